"""What goes with what: against dense sums of rows."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.recommenders.neighbours import NeighbourModel, largest_of_rows
from recsys.recommenders.port import Scoring, Similar
from recsys.user_state import DISLIKE, LIKE, SHOWN
from tests.unit.by_hand import items_of, query_of, rng, user_of

FAST = settings(deadline=None, max_examples=80)
N: Final = 7
ALL: Final = np.ones(N, bool)
Said = list[tuple[int, int]]
SAID = st.lists(st.tuples(st.integers(0, N - 1), st.sampled_from([LIKE, DISLIKE, SHOWN])), max_size=8)
SEEDS = st.integers(0, 10_000)
MASKS = st.lists(st.booleans(), min_size=N, max_size=N)


def dense(seed: int) -> NDArray[np.float64]:
    """About half of the weights are 0, and so is every item's with itself."""
    draw = rng(seed)
    weights = np.where(draw.random((N, N)) < 0.5, draw.random((N, N)), 0).astype(np.float32)
    np.fill_diagonal(weights, 0)
    return weights.astype(np.float64)


def model_of(weights: Any, dislike: float = 0.1) -> NeighbourModel:
    return NeighbourModel(csr_matrix(np.asarray(weights, np.float32)), dislike)


def naive(weights: NDArray[np.float64], said: Said, dislike: float) -> NDArray[np.float64] | None:
    """Item by item; None without a like."""
    last = {item: mark for item, mark in said if mark != SHOWN}
    if LIKE not in last.values():
        return None
    worth = {LIKE: 1.0, DISLIKE: -dislike}
    return np.array([sum(worth[mark] * weights[item, other] for item, mark in last.items()) for other in range(N)])


@FAST
@given(
    SEEDS, SAID, st.sampled_from([0.0, 0.1, 3.0]), st.lists(st.booleans(), min_size=N, max_size=N), st.integers(0, N)
)
def test_scores_are_sums_of_weights(seed: int, said: Said, dislike: float, may: list[bool], k: int) -> None:
    weights = dense(seed)
    model, query, expected = model_of(weights, dislike), query_of(user_of(*said)), naive(weights, said, dislike)
    found = model.rank(query, np.array(may), k, rng())
    positions = np.array([3, 0, 3])
    if expected is None:
        assert len(found.positions) == 0
        assert model.scores(query, positions) is None
        return
    assert model.scores(query, positions) == pytest.approx(expected[positions], abs=1e-5)
    best = sorted((item for item in range(N) if may[item] and expected[item] > 1e-5), key=lambda item: -expected[item])
    assert expected[found.positions] == pytest.approx(expected[best[:k]], abs=1e-5)
    assert found.scores == pytest.approx(expected[found.positions], abs=1e-5)
    assert all(may[item] for item in found.positions)


def test_a_dislike_takes_away_from_its_neighbours() -> None:
    weights = np.zeros((N, N))
    weights[0, [1, 2]], weights[3, 1] = [0.5, 0.4], 0.5
    liked = [(0, LIKE)]
    assert ranked(model_of(weights), liked) == [1, 2]
    assert ranked(model_of(weights, dislike=0.5), [*liked, (3, DISLIKE)]) == [2, 1]
    assert ranked(model_of(weights, dislike=2.0), [*liked, (3, DISLIKE)]) == [2], "what is not above 0 is left out"
    assert ranked(model_of(weights, dislike=0.0), [*liked, (3, DISLIKE)]) == [1, 2]


def ranked(model: NeighbourModel, said: Said, n: int = N) -> list[int]:
    return [int(item) for item in model.rank(query_of(user_of(*said)), np.ones(n, bool), n, rng()).positions]


def test_what_has_nothing_to_do_with_his_likes_is_left_to_others() -> None:
    weights = np.zeros((N, N))
    weights[0, 1] = 0.5
    model = model_of(weights)
    assert ranked(model, [(0, LIKE)]) == [1]
    assert ranked(model, [(5, LIKE)]) == []
    scores = model.scores(query_of(user_of((5, LIKE))), np.arange(N))
    assert scores is not None
    assert scores.tolist() == [0] * N


def test_a_user_is_added_up_once_for_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    sums = NeighbourModel._sums
    monkeypatch.setattr(NeighbourModel, "_sums", lambda *of: calls.append(of) or sums(*of))
    model, query = model_of(dense(0)), query_of(user_of((0, LIKE)))
    model.rank(query, ALL, 3, rng())
    model.scores(query, np.arange(3))
    assert len(calls) == 1
    model_of(dense(1)).rank(query, ALL, 3, rng())
    assert len(calls) == 2, "another model has sums of its own"


@FAST
@given(SEEDS, st.integers(0, N - 1), st.integers(0, N))
def test_similar_items_are_those_of_the_largest_weights(seed: int, position: int, k: int) -> None:
    weights = dense(seed)
    found = model_of(weights).similar(position, k)
    assert found.dtype == np.int64
    others = np.flatnonzero(weights[position])
    assert found.tolist() == sorted(others.tolist(), key=lambda item: -weights[position, item])[:k]


@FAST
@given(SEEDS, st.integers(1, N + 1))
def test_of_each_row_the_largest_are_kept_that_are_above_0(seed: int, count: int) -> None:
    weights = dense(seed) - 0.3 * (dense(seed + 1) > 0)
    kept = largest_of_rows(csr_matrix(weights), count).toarray()
    for row, of in zip(weights, kept, strict=True):
        best = sorted((value for value in row if value > 0), reverse=True)[:count]
        assert sorted(of[of != 0], reverse=True) == pytest.approx(best, rel=1e-6)
        assert of[of != 0] == pytest.approx(row[of != 0], rel=1e-6), "where they were"
    model = NeighbourModel.of(csr_matrix(weights), count, 0.0)
    assert model._weights.toarray().tolist() == kept.tolist()


def test_rows_of_nothing() -> None:
    assert largest_of_rows(csr_matrix((N, N)), 3).nnz == 0
    assert largest_of_rows(csr_matrix(-dense(0)), 3).nnz == 0
    assert largest_of_rows(csr_matrix((0, 0)), 3).shape == (0, 0)


def test_it_says_more_than_a_rank() -> None:
    assert isinstance(model_of(dense(0)), Scoring)
    assert isinstance(model_of(dense(0)), Similar)


@FAST
@given(SEEDS, SAID)
def test_what_is_dumped_is_loaded(seed: int, said: Said) -> None:
    model = model_of(dense(seed), 0.25)
    again = NeighbourModel.load(model.dump(), items_of(N))
    assert again.dump() == model.dump()
    assert ranked(again, said) == ranked(model, said)


def test_newer_items_have_no_neighbours_and_are_nobodys() -> None:
    model = model_of(dense(1))
    larger = NeighbourModel.load(model.dump(), items_of(N + 2))
    assert ranked(larger, [(0, LIKE), (N + 1, LIKE)], N + 2) == ranked(model, [(0, LIKE)])
    assert ranked(larger, [(N, LIKE)], N + 2) == []
    assert larger.similar(N + 1, 5).tolist() == []
    assert larger.similar(2, 5).tolist() == model.similar(2, 5).tolist()


@pytest.mark.parametrize("blob", [b"", b"any bytes"])
def test_what_is_no_model_is_refused(blob: bytes) -> None:
    with pytest.raises(ValueError):
        NeighbourModel.load(blob, items_of(N))


def test_a_model_of_a_larger_catalogue_is_refused() -> None:
    with pytest.raises(ValueError, match=f"^neighbours of {N} items for a catalogue of {N - 1}$"):
        NeighbourModel.load(model_of(dense(0)).dump(), items_of(N - 1))
