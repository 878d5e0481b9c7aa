"""Items predicted from items: against the closed form of the paper (Steck 2019), in dense numbers of double size."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import polars as pl
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recsys.recommenders.ease import Ease
from recsys.recommenders.interactions import interactions
from recsys.user_state import LIKE
from tests.unit.by_hand import data_of, items_of, rng
from tests.unit.tastes import ITEMS, OF_TASTE, TASTES, asking, fitted, logged, ranked, refusal, two_tastes

FAST = settings(deadline=None, max_examples=60)
N: Final = 6
ROWS = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["like", "like", "dislike"]), st.integers(0, N - 1)),
    max_size=40,
)
Doubles = NDArray[np.float64]


def fit(log: pl.DataFrame, items: int = ITEMS, **options: Any) -> Any:
    return fitted(Ease(**options), items_of(items), log)


def closed_form(likes: Doubles, regularization: float) -> Doubles:
    """B = I - P diag(1 / diag P) with P = (XᵀX + λI)⁻¹."""
    inverse = np.linalg.inv(likes.T @ likes + regularization * np.eye(likes.shape[1]))
    weights = np.eye(len(inverse)) - inverse @ np.diag(1 / np.diag(inverse))
    np.fill_diagonal(weights, 0)
    return np.asarray(weights)


@FAST
@given(ROWS, st.sampled_from([0.5, 10.0, 300.0]))
def test_weights_are_those_of_the_closed_form_that_are_above_0(
    rows: list[tuple[str, str, int]], regularization: float
) -> None:
    log = logged(*rows)
    likes = interactions(data_of(N, log)).matrix(1.0).toarray().astype(np.float64)
    model = fit(log, N, regularization=regularization, least_likes=1, neighbours=N)
    expected = np.maximum(closed_form(likes, regularization), 0)
    assert model._weights.toarray() == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_what_each_item_is_predicted_from_leaves_the_least_error() -> None:
    """Column by column: ridge regression on all other items."""
    likes = interactions(data_of(ITEMS, two_tastes())).matrix(1.0).toarray().astype(np.float64)
    weights = closed_form(likes, 5.0)
    for item in range(ITEMS):
        others = np.delete(np.arange(ITEMS), item)
        x = likes[:, others]
        expected = np.linalg.solve(x.T @ x + 5.0 * np.eye(len(others)), x.T @ likes[:, item])
        assert weights[others, item] == pytest.approx(expected, abs=1e-9)
    model = fit(two_tastes(), regularization=5.0, least_likes=1, neighbours=ITEMS)
    assert model._weights.toarray() == pytest.approx(np.maximum(weights, 0), abs=1e-4)


@FAST
@given(ROWS, st.integers(1, N))
def test_of_each_item_the_largest_weights_are_kept(rows: list[tuple[str, str, int]], neighbours: int) -> None:
    log = logged(*rows)
    whole = fit(log, N, regularization=5.0, least_likes=1, neighbours=N)._weights.toarray()
    kept = fit(log, N, regularization=5.0, least_likes=1, neighbours=neighbours)._weights.toarray()
    for of_all, of_kept in zip(whole, kept, strict=True):
        wanted = np.sort(of_all[of_all > 0])[::-1][:neighbours]
        # Equals of the last one are kept with it.
        assert np.sort(of_kept[of_kept > 0])[::-1][: len(wanted)] == pytest.approx(wanted, rel=1e-5)
        assert np.all((of_kept == 0) | (of_kept == of_all))
        assert len(wanted) < neighbours or np.all(of_kept[of_kept > 0] >= wanted[-1] * (1 - 1e-5))


@pytest.mark.parametrize("taste", TASTES)
def test_a_user_whom_it_never_saw_gets_his_taste(taste: range) -> None:
    model = fit(two_tastes(), regularization=10.0)
    found = ranked(model, asking((taste[0], LIKE), (taste[1], LIKE)), ITEMS)
    assert set(found) <= set(taste)
    assert len(found) >= OF_TASTE - 2


def test_items_that_few_like_are_left_out() -> None:
    log = pl.concat([two_tastes(), logged(("a", "like", ITEMS), ("a", "like", 0))])
    model = fit(log, ITEMS + 1, least_likes=2)
    assert ranked(model, asking((ITEMS, LIKE)), ITEMS + 1) == []
    assert ITEMS not in ranked(model, asking((0, LIKE)), ITEMS + 1)
    assert ranked(fit(log, ITEMS + 1, least_likes=1), asking((ITEMS, LIKE)), ITEMS + 1) == [0]


def test_dislikes_do_not_teach_it() -> None:
    log = two_tastes()
    assert fit(log).dump() == fit(log.filter(kind="like")).dump()


@pytest.mark.parametrize(
    "rows", [[], [("a", "dislike", 0)], [("a", "like", 0)], [("a", "like", -1), ("b", "like", -1)]]
)
def test_of_a_log_without_likes_enough_comes_a_model_that_abstains(rows: list[tuple[str, str, int]]) -> None:
    model = fit(logged(*rows))
    assert model._weights.shape == (ITEMS, ITEMS)
    assert ranked(model, asking((0, LIKE)), ITEMS) == []


def test_it_does_not_depend_on_chance_or_on_the_model_before() -> None:
    log = two_tastes()
    before = fit(two_tastes(seed=1))
    assert fit(log).dump() == fitted(Ease(), items_of(ITEMS), log, before, seed=9).dump()


# memory


class TestMemory:
    ITEMS: Final = 2_000  # of which the square matrix is 16 MB, four times at once

    @pytest.fixture
    def log(self) -> pl.DataFrame:
        return logged(*((f"u{n % 2}", "like", n // 2) for n in range(2 * self.ITEMS)))

    def refusal(self, log: pl.DataFrame, **options: Any) -> str:
        with pytest.raises(ValueError) as refused:
            fit(log, self.ITEMS, **options)
        return str(refused.value)

    def test_more_than_it_may_use_is_refused(self, log: pl.DataFrame) -> None:
        assert self.refusal(log, memory_gb=0.02) == (
            "ease needs 0.1 GB for 2,000 items, more than the 0.0 GB it may use: give more (memory_gb=), or leave out "
            "items that few like (least_likes=)"
        )

    def test_by_default_it_may_use_two_thirds_of_what_is_free(
        self, log: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=0.06e9))
        assert "more than the 0.0 GB it may use" in self.refusal(log)
        assert fit(log, self.ITEMS, least_likes=3)._weights.nnz == 0, "of fewer items it has enough"
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1.51 * 16 * 30**2))
        some = logged(*((f"u{n % 2}", "like", n // 2) for n in range(60)))
        assert fit(some, 30)._weights.shape == (30, 30)

    def test_it_is_asked_before_the_matrix_is_made(self, log: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
        made: list[Any] = []
        monkeypatch.setattr(Ease, "_weights", lambda *of: made.append(of))
        self.refusal(log, memory_gb=0.01)
        assert not made


# options


@pytest.mark.parametrize(
    "option",
    ["regularization=0", "least_likes=0", "neighbours=0", "dislike=-1", "memory_gb=-1", "neighbours=1.5", "dislike=no"],
)
def test_options_that_cannot_be(option: str) -> None:
    assert option in refusal(f"ease:{option}")


def test_larger_numbers_than_single_ones_hold() -> None:
    """Many users: the matrix to invert is far from that of the regularization."""
    draw = rng(0)
    likes = draw.random((3_000, N)) < np.array([0.9, 0.5, 0.5, 0.2, 0.02, 0.002])
    likes[:, 1] |= likes[:, 3]
    log = logged(*((f"u{user}", "like", int(item)) for user, item in zip(*np.nonzero(likes), strict=True)))
    model = fit(log, N, least_likes=1, neighbours=N, regularization=1.0)
    assert model._weights.toarray() == pytest.approx(np.maximum(closed_form(likes.astype(float), 1.0), 0), abs=1e-4)
