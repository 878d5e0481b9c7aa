"""Users folded in from their own reactions: against dense arithmetic, and losses added up pair by pair."""

from __future__ import annotations

import itertools
import math
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recsys.recommenders import factor_models
from recsys.recommenders.factor_models import FactorModel, LeastSquaresModel, PairwiseModel
from recsys.recommenders.port import Embedding, Query, Scoring, Similar
from recsys.user_state import DISLIKE, LIKE, SHOWN
from tests.unit.by_hand import items_of, query_of, rng, user_of

FAST = settings(deadline=None, max_examples=60)
N, F = 12, 4
NUMBERS: Final = {"regularization": 3.0, "like": 20.0, "dislike": 2.0}
ALL: Final = np.ones(N, bool)
Doubles = NDArray[np.float64]


def vectors(seed: int, scale: float = 1.0) -> NDArray[np.float32]:
    """Items 3 and 7 are not known."""
    found = rng(seed).normal(size=(N, F)).astype(np.float32) * np.float32(scale)
    found[[3, 7]] = 0
    return found


def least_squares(seed: int = 0, **numbers: float) -> LeastSquaresModel:
    return LeastSquaresModel(vectors(seed), np.zeros(N, np.float32), **{**NUMBERS, **numbers})


def pairwise(seed: int = 0, scale: float = 1.0, fold_in: float = 0.2) -> PairwiseModel:
    bias = rng(seed + 1).normal(size=N).astype(np.float32)
    bias[[3, 7]] = 0
    return PairwiseModel(vectors(seed, scale), bias, fold_in=fold_in)


MODELS: Final = [least_squares(), pairwise()]
each_model = pytest.mark.parametrize("model", MODELS, ids=["least squares", "pairwise"])
KNOWN: Final = [item for item in range(N) if item not in (3, 7)]
SAID = st.lists(st.tuples(st.sampled_from(KNOWN), st.sampled_from([LIKE, DISLIKE])), min_size=1, max_size=8).filter(
    lambda said: LIKE in dict(said).values()
)
Said = list[tuple[int, int]]


def asked(*said: tuple[int, int]) -> Query:
    return query_of(user_of(*said))


def opinions_in(said: Said) -> tuple[list[int], list[int]]:
    last = dict(said)
    return tuple(sorted(item for item, mark in last.items() if mark == wanted) for wanted in (LIKE, DISLIKE))  # type: ignore[return-value]


def user_of_model(model: FactorModel, said: Said) -> Doubles:
    liked, disliked = (np.array(items, np.int64) for items in opinions_in(said))
    return np.asarray(model.user_factors(liked, disliked), np.float64)


# least squares


def least(items: Doubles, liked: list[int], disliked: list[int], regularization: float, **of: float) -> Doubles:
    """Every squared error as a row of its own, weighed by its confidence, and one for each dimension."""
    confidence, wanted = np.ones(len(items)), np.zeros(len(items))
    confidence[liked], confidence[disliked], wanted[liked] = of["like"], of["dislike"], 1
    rows = np.vstack([np.sqrt(confidence)[:, None] * items, np.sqrt(regularization) * np.eye(items.shape[1])])
    return np.asarray(np.linalg.lstsq(rows, np.append(np.sqrt(confidence) * wanted, np.zeros(items.shape[1])))[0])


@FAST
@given(
    st.integers(0, 1_000),
    SAID,
    st.sampled_from([0.01, 1.0, 30.0]),
    st.sampled_from([0.5, 1.0, 20.0]),
    st.sampled_from([1.0, 2.0, 9.0]),
)
def test_a_user_is_where_the_squared_errors_are_least(
    seed: int, said: Said, regularization: float, like: float, dislike: float
) -> None:
    numbers = {"regularization": regularization, "like": like, "dislike": dislike}
    model = least_squares(seed, **numbers)
    expected = least(model.item_factors.astype(np.float64), *opinions_in(said), **numbers)
    assert user_of_model(model, said) == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_a_dislike_that_counts_as_nothing_said_changes_nothing() -> None:
    model = least_squares(dislike=1.0)
    assert user_of_model(model, [(0, LIKE), (1, DISLIKE)]) == pytest.approx(user_of_model(model, [(0, LIKE)]))
    strict = least_squares(dislike=9.0)
    assert user_of_model(strict, [(0, LIKE), (1, DISLIKE)]) != pytest.approx(user_of_model(strict, [(0, LIKE)]))


# pairs


def loss(model: PairwiseModel, liked: list[int], disliked: list[int], user: Doubles) -> float:
    """By pairs: what he likes with what he dislikes and, as the catalogue is small, with all that is known."""
    scores = model.item_factors.astype(np.float64) @ user + model.bias
    others = [*disliked, *KNOWN]
    pairs = sum(math.log1p(math.exp(scores[other] - scores[item])) for item in liked for other in others)
    return pairs / len(others) + model.numbers["fold_in"] / 2 * float(user @ user)


def along(model: PairwiseModel, said: Said, steps: int) -> list[Doubles]:
    """Where the user is after 0, 1, … steps."""
    found = []
    for count in range(steps + 1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(factor_models, "FOLD_IN_STEPS", count)
            found.append(user_of_model(model, said))
    return found


@FAST
@given(st.integers(0, 1_000), SAID, st.sampled_from([0.01, 0.3, 1.0, 5.0]), st.sampled_from([0.01, 0.2, 5.0]))
def test_the_loss_of_pairs_falls_with_every_step(seed: int, said: Said, scale: float, fold_in: float) -> None:
    model = pairwise(seed, scale, fold_in)
    users = along(model, said, 12)
    assert not users[0].any()
    losses = [loss(model, *opinions_in(said), user) for user in users]
    assert all(after <= before + 1e-5 * before for before, after in itertools.pairwise(losses))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("opposed", [True, False])
def test_no_step_goes_beyond_where_the_loss_is_least(opposed: bool) -> None:
    """In one dimension. The loss bends most where what is liked and all else are opposed."""
    factors = np.array([[1.0], *[[-1.0 if opposed else 0.0]] * 9], np.float32) + np.float32(1e-6)
    model = PairwiseModel(factors, np.zeros(10, np.float32), fold_in=1.0)
    users = [float(user[0]) for user in along(model, [(0, LIKE), *((item, DISLIKE) for item in range(1, 10))], 60)]
    assert users[0] == 0 < users[1]
    assert users == pytest.approx(sorted(users), rel=1e-5), "it comes from one side"
    assert users[-1] == pytest.approx(users[-2], rel=1e-5), "and stays there"


@pytest.mark.parametrize("fold_in", [0.01, 0.2])
def test_what_is_liked_ends_above_what_is_not(fold_in: float) -> None:
    """Two kinds of items; what nobody said anything of goes with its kind, whatever the biases say."""
    factors = np.tile(np.array([[1, 0.1], [0.1, 1]], np.float32), (6, 1)) + vectors(4)[:, :2] * 0.05
    bias = np.where(np.arange(N) % 2 == 0, 0.0, 0.05).astype(np.float32)
    model = PairwiseModel(factors, bias, fold_in=fold_in)
    found = model.rank(asked((0, LIKE), (2, LIKE), (1, DISLIKE)), ALL, N, rng()).positions
    assert {item % 2 for item in found[:6].tolist()} == {0}
    assert found[-1] % 2 == 1


def test_of_many_items_a_few_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PairwiseModel, "SAMPLE", 5)
    model, again = pairwise(), pairwise()
    sample = model._sample.tolist()
    assert len(set(sample)) == 5
    assert set(sample) <= set(KNOWN)
    user = np.array([0]), np.array([1])
    assert model.user_factors(*user).tolist() == again.user_factors(*user).tolist(), "the same for every request"


# both


@FAST
@given(st.sampled_from(MODELS), SAID, st.lists(st.booleans(), min_size=N, max_size=N), st.integers(0, N))
def test_items_are_ranked_by_vector_and_bias(model: FactorModel, said: Said, may: list[bool], k: int) -> None:
    scores = model.item_factors.astype(np.float64) @ user_of_model(model, said) + model.bias
    best = sorted((item for item in KNOWN if may[item]), key=lambda item: -scores[item])[:k]
    found = model.rank(asked(*said), np.array(may), k, rng())
    assert scores[found.positions] == pytest.approx(scores[best], abs=1e-4)
    assert found.scores == pytest.approx(scores[found.positions], abs=1e-4)
    assert len(set(found.positions.tolist())) == len(found.positions)
    assert all(may[item] and item in KNOWN for item in found.positions)
    positions = np.array([5, 0, 3, 5])
    assert model.scores(asked(*said), positions) == pytest.approx(scores[positions], abs=1e-4)


@each_model
@pytest.mark.parametrize(
    "said",
    [[], [(0, DISLIKE)], [(0, SHOWN)], [(3, LIKE)], [(3, LIKE), (7, LIKE), (1, DISLIKE)], [(N, LIKE)]],
    ids=["nothing", "a dislike", "an impression", "of an unknown item", "of unknown ones", "of a newer one"],
)
def test_without_a_like_of_what_it_knows_it_abstains(model: FactorModel, said: Said) -> None:
    found = model.rank(asked(*said), ALL, 5, rng())
    assert len(found.positions) == 0
    assert model.scores(asked(*said), np.arange(3)) is None


@each_model
def test_what_is_said_of_unknown_items_changes_nothing(model: FactorModel) -> None:
    said, positions = [(0, LIKE), (1, DISLIKE)], np.arange(N)
    beside = [(3, LIKE), (7, DISLIKE), (N, LIKE), (N + 1, DISLIKE)]
    plain, more = model.scores(asked(*said), positions), model.scores(asked(*said, *beside), positions)
    assert plain is not None
    assert more is not None
    assert plain.tolist() == more.tolist()


@each_model
def test_a_user_is_folded_in_once_for_a_request(model: FactorModel, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    fold_in = type(model).user_factors
    monkeypatch.setattr(type(model), "user_factors", lambda *of: calls.append(of) or fold_in(*of))
    query = asked((0, LIKE))
    model.rank(query, ALL, 3, rng())
    model.scores(query, np.arange(3))
    model.rank(query, ALL, 3, rng())
    assert len(calls) == 1
    model.rank(asked((0, LIKE)), ALL, 3, rng())
    assert len(calls) == 2


@each_model
@pytest.mark.parametrize("position", [0, 5, 3])
def test_similar_items_point_the_same_way(model: FactorModel, position: int) -> None:
    y = model.item_factors.astype(np.float64)
    others = [item for item in KNOWN if item != position]
    angles = [-(y[item] @ y[position]) / (np.linalg.norm(y[item]) or 1) for item in range(N)]
    expected = sorted(others, key=lambda item: angles[item])[:4] if position in KNOWN else []
    assert model.similar(position, 4).tolist() == expected
    assert len(model.similar(position, N)) == (len(others) if position in KNOWN else 0)


@each_model
def test_it_says_more_than_a_rank(model: FactorModel) -> None:
    assert isinstance(model, Scoring)
    assert isinstance(model, Similar)
    assert isinstance(model, Embedding)
    assert model.item_factors.shape == (N, F)
    assert model.item_factors.dtype == np.float32


@each_model
def test_what_is_dumped_is_loaded(model: FactorModel) -> None:
    again = type(model).load(model.dump(), items_of(N))
    assert again.dump() == model.dump()
    assert again.numbers == model.numbers
    query, positions = asked((0, LIKE), (1, DISLIKE)), np.arange(N)
    assert again.scores(query, positions).tolist() == model.scores(query, positions).tolist()  # type: ignore[union-attr]


@each_model
def test_newer_items_are_neither_ranked_nor_similar(model: FactorModel) -> None:
    larger = type(model).load(model.dump(), items_of(N + 3))
    assert larger.item_factors.shape == (N + 3, F)
    found = larger.rank(asked((0, LIKE), (N + 1, LIKE)), np.ones(N + 3, bool), N + 3, rng()).positions
    assert found.tolist() == model.rank(asked((0, LIKE)), ALL, N, rng()).positions.tolist()
    assert larger.similar(0, N + 3).tolist() == model.similar(0, N).tolist()
    assert larger.similar(N + 1, 3).tolist() == []
    assert len(larger.rank(asked((N + 1, LIKE)), np.ones(N + 3, bool), 3, rng()).positions) == 0


@each_model
def test_a_model_of_a_larger_catalogue_is_refused(model: FactorModel) -> None:
    with pytest.raises(ValueError, match=f"^factors of {N} items for a catalogue of {N - 1}$"):
        type(model).load(model.dump(), items_of(N - 1))


def test_a_model_of_nothing_abstains() -> None:
    for model in (
        LeastSquaresModel(np.zeros((N, F), np.float32), np.zeros(N, np.float32), **NUMBERS),
        PairwiseModel(np.zeros((N, F), np.float32), np.zeros(N, np.float32), fold_in=0.2),
    ):
        assert len(model.rank(asked((0, LIKE)), ALL, 3, rng()).positions) == 0
        assert model.similar(0, 3).tolist() == []
