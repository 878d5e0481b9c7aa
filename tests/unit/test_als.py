"""Alternating least squares: against the same objective in dense matrices, row by row."""

from __future__ import annotations

import itertools
from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recsys.recommenders.als import Als
from recsys.recommenders.factor_models import LeastSquaresModel
from recsys.recommenders.interactions import interactions
from recsys.user_state import DISLIKE, LIKE
from tests.unit.by_hand import data_of, items_of, rng
from tests.unit.tastes import ITEMS, TASTES, asking, fitted, learner_of, logged, ranked, refusal, two_tastes

pytest.importorskip("implicit")
SMALL: Final = {"factors": 3, "regularization": 2.0, "like": 10.0, "dislike": 3.0}
Doubles = NDArray[np.float64]


def fit(log: pl.DataFrame, previous: Any = None, items: int = ITEMS, seed: int = 0, **options: Any) -> Any:
    return fitted(Als(threads=1, **{**SMALL, **options}), items_of(items), log, previous, seed)


def said_in(log: pl.DataFrame, items: int = ITEMS, **of: float) -> tuple[Doubles, Doubles]:
    """Confidence and preference (users, items) of all pairs."""
    found = interactions(data_of(items, log))
    confidence, wanted = np.ones((found.users, items)), np.zeros((found.users, items))
    confidence[found.user, found.item] = np.where(found.liked, of["like"], of["dislike"])
    wanted[found.user, found.item] = found.liked
    return confidence, wanted


def solved(fixed: Doubles, confidence: Doubles, wanted: Doubles, regularization: float) -> Doubles:
    """For each row the vector where the squared errors are least."""
    rows = []
    for c, p in zip(confidence, wanted, strict=True):
        left = fixed.T @ (c[:, None] * fixed) + regularization * np.eye(fixed.shape[1])
        rows.append(np.linalg.solve(left, fixed.T @ (c * p)))
    return np.array(rows)


def loss(items: Doubles, log: pl.DataFrame, regularization: float, **of: float) -> float:
    """Of these items' vectors, with the best users' vectors there are for them."""
    confidence, wanted = said_in(log, len(items), **of)
    users = solved(items, confidence, wanted, regularization)
    errors = confidence * (wanted - users @ items.T) ** 2
    return float(errors.sum() + regularization * ((users**2).sum() + (items**2).sum()))


def loss_of(model: LeastSquaresModel, log: pl.DataFrame, **numbers: float) -> float:
    of = {name: value for name, value in {**SMALL, **numbers}.items() if name != "factors"}
    return loss(model.item_factors.astype(np.float64), log, **of)


def exact(log: pl.DataFrame, seed: int, rounds: int = 60, items: int = ITEMS) -> Doubles:
    """Items' vectors by the naive method, from a start of its own."""
    confidence, wanted = said_in(log, items, like=SMALL["like"], dislike=SMALL["dislike"])
    vectors = rng(seed).normal(size=(items, int(SMALL["factors"]))) * 0.1
    for _ in range(rounds):
        users = solved(vectors, confidence, wanted, SMALL["regularization"])
        vectors = solved(users, confidence.T, wanted.T, SMALL["regularization"])
    return vectors


NUMBERS: Final = {name: value for name, value in SMALL.items() if name != "factors"}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_comes_to_the_loss_of_the_naive_method(seed: int) -> None:
    log = two_tastes(seed=seed)
    best = min(loss(exact(log, start), log, **NUMBERS) for start in range(3))
    assert loss_of(fit(log, iterations=60, seed=seed), log) == pytest.approx(best, rel=0.02)


def test_the_loss_falls_with_every_iteration() -> None:
    log = two_tastes()
    losses = [loss_of(fit(log, iterations=rounds), log) for rounds in range(1, 12)]
    assert all(after <= before * (1 + 1e-4) for before, after in itertools.pairwise(losses))
    assert losses[-1] < 0.95 * losses[0]


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1_000), st.sampled_from([0.5, 5.0]), st.sampled_from([1.0, 20.0]), st.sampled_from([1.0, 5.0]))
def test_the_items_are_where_the_errors_of_all_users_are_least(
    seed: int, regularization: float, like: float, dislike: float
) -> None:
    """At the end one more round by the naive method changes nothing that counts."""
    log, of = two_tastes(seed=seed), {"regularization": regularization, "like": like, "dislike": dislike}
    model = fit(log, iterations=80, **of)
    vectors = model.item_factors.astype(np.float64)
    confidence, wanted = said_in(log, like=like, dislike=dislike)
    users = solved(vectors, confidence, wanted, regularization)
    better = solved(users, confidence.T, wanted.T, regularization)
    assert loss(better, log, **of) == pytest.approx(loss(vectors, log, **of), rel=2e-3)


def test_the_model_folds_users_in_as_the_training_did() -> None:
    log = two_tastes()
    model = fit(log)
    found = interactions(data_of(ITEMS, log))
    confidence, wanted = said_in(log, like=SMALL["like"], dislike=SMALL["dislike"])
    users = solved(model.item_factors.astype(np.float64), confidence, wanted, SMALL["regularization"])
    for user in range(found.users):
        own = found.user == user
        state = [
            (int(i), LIKE if liked else DISLIKE) for i, liked in zip(found.item[own], found.liked[own], strict=True)
        ]
        scores = model.scores(asking(*state), np.arange(ITEMS))
        assert scores == pytest.approx(model.item_factors @ users[user], abs=2e-3)


# what it learns


def test_a_dislike_speaks_against_an_item() -> None:
    """Of two items that as many like, the one that the others dislike is further down."""
    rows = [(f"u{n}", "like", item) for n in range(12) for item in (0, 1 if n % 2 else 2)]
    rows += [(f"u{n}", "dislike", 1) for n in range(0, 12, 2)]
    scores = fit(logged(*rows), items=4, dislike=8.0).scores(asking((0, LIKE)), np.arange(4))
    assert scores[2] > scores[1]
    rows = [row for row in rows if row[1] == "like"]
    even = fit(logged(*rows), items=4).scores(asking((0, LIKE)), np.arange(4))
    assert even[2] == pytest.approx(even[1], abs=0.02)


def test_of_an_item_that_nobody_mentions_it_knows_nothing() -> None:
    model = fit(two_tastes(), items=ITEMS + 2)
    assert not model.item_factors[ITEMS:].any()
    assert model.item_factors[:ITEMS].any(axis=1).all()
    assert set(ranked(model, asking((0, LIKE)), ITEMS + 2)) == set(range(ITEMS))


@pytest.mark.parametrize("log", [logged(), logged(("a", "like", -1)), logged(("a", "like", 0), ("a", "undo like", 0))])
def test_of_an_empty_log_comes_a_model_that_abstains(log: pl.DataFrame) -> None:
    model = fit(log)
    assert model.item_factors.shape == (ITEMS, 3)
    assert not model.item_factors.any()
    assert ranked(model, asking((0, LIKE)), ITEMS) == []
    assert fit(two_tastes(), previous=model).item_factors.any(axis=1).all(), "and it can go on from there"


# going on from the model before


def test_it_goes_on_from_the_model_before() -> None:
    log = two_tastes()
    before = fit(log, iterations=30)
    further = fit(log, previous=before, further=1)
    assert loss_of(further, log) <= loss_of(before, log) * 1.001
    assert loss_of(fit(log, iterations=1), log) > loss_of(further, log) * 1.05
    assert np.abs(further.item_factors - before.item_factors).max() < 0.05, "it began where that one was"


def test_new_users_and_items_are_learned_further() -> None:
    """Half of the users and items come later; three more rounds are about as good as all of them."""
    first = two_tastes().filter(pl.col("item_index") % 2 == 0)
    log = pl.concat([first, two_tastes(users=60, seed=1)])
    before = fit(first, items=ITEMS - 1)
    assert not before.item_factors[1].any()
    further, full = fit(log, previous=before, further=3), fit(log, iterations=30)
    assert loss_of(further, log) <= 1.05 * loss_of(full, log)
    assert set(ranked(further, asking((1, LIKE), (3, LIKE)), ITEMS, 6)) <= set(TASTES[0])
    assert loss_of(further, log) < loss_of(fit(log, previous=before, further=1), log)


def test_the_model_before_is_not_changed() -> None:
    before = fit(two_tastes())
    kept = before.dump()
    fit(two_tastes(seed=1), previous=before)
    assert before.dump() == kept


def test_the_same_seed_gives_the_same_model() -> None:
    log = two_tastes()
    assert fit(log).dump() == fit(log).dump() != fit(log, seed=1).dump()
    before = fit(log, iterations=2)
    assert fit(log, previous=before).dump() == fit(log, previous=before).dump()


# options


@pytest.mark.parametrize(
    "option",
    [
        *("factors=0", "iterations=0", "further=0", "threads=0", "regularization=0", "like=0", "dislike=0.5"),
        *("factors=-3", "factors=many", "factors=1.5", "regularization=much"),
    ],
)
def test_options_that_cannot_be(option: str) -> None:
    assert option in refusal(f"als:{option}")


def test_an_option_that_is_none() -> None:
    said = refusal("als:factor=3")
    assert "als has no option 'factor'" in said
    assert "factors, regularization, like, dislike, iterations, further, threads" in said


def test_options_are_those_of_the_model() -> None:
    model = fitted(learner_of("als:factors=5,regularization=7,like=9,dislike=4"), items_of(ITEMS), two_tastes())
    assert model.item_factors.shape == (ITEMS, 5)
    assert model.numbers == {"regularization": 7, "like": 9, "dislike": 4}
