"""Maximal marginal relevance against a naive loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recsys.recommenders.diversity import mmr, unit_genres

FAST = settings(deadline=None, max_examples=50)
GENRES = st.tuples(st.integers(0, 10), st.integers(0, 4)).flatmap(
    lambda shape: st.lists(
        st.lists(st.booleans(), min_size=shape[1], max_size=shape[1]), min_size=shape[0], max_size=shape[0]
    ).map(lambda rows: np.array(rows, dtype=bool).reshape(shape))
)


def scores_for(genres: NDArray[np.bool_], low: float, high: float) -> st.SearchStrategy[NDArray[np.float32]]:
    n = len(genres)
    value = st.floats(low, high, width=32)
    return st.lists(value, min_size=n, max_size=n).map(lambda values: np.array(values, dtype=np.float32))


def marginals(scores: Any, unit: Any, chosen: list[int], diversity: float) -> list[float]:
    """The value of every item as the next one; -inf for those already chosen."""
    top = max(scores)
    return [
        float("-inf")
        if i in chosen
        else scores[i] / top - diversity * max((float(np.dot(unit[i], unit[c])) for c in chosen), default=0.0)
        for i in range(len(scores))
    ]


@FAST
@given(GENRES, st.data(), st.integers(0, 12), st.sampled_from([0.0, 0.3, 1.0]))
def test_every_step_takes_the_largest_marginal(
    genres: NDArray[np.bool_], data: st.DataObject, k: int, diversity: float
) -> None:
    scores = data.draw(scores_for(genres, 0.125, 1))
    unit = unit_genres(genres)
    chosen = mmr(scores, unit, k, diversity)
    wide = [row.astype(np.float64) for row in unit]
    for step, index in enumerate(chosen):
        values = marginals(scores.tolist(), wide, chosen[:step], diversity)
        assert values[index] >= max(values) - 1e-5  # equal up to single precision


@FAST
@given(GENRES, st.data(), st.integers(0, 12), st.sampled_from([0.0, 0.3, 1.0]))
def test_any_scores_give_distinct_indices_as_many_as_there_are(
    genres: NDArray[np.bool_], data: st.DataObject, k: int, diversity: float
) -> None:
    scores = data.draw(scores_for(genres, -10, 10))
    before = scores.copy()
    unit = unit_genres(genres)
    chosen = mmr(scores, unit, k, diversity)
    assert len(set(chosen)) == len(chosen) == min(k, len(scores))
    assert set(chosen) <= set(range(len(scores)))
    assert np.array_equal(scores, before)
    assert np.array_equal(unit, unit_genres(genres))


@FAST
@given(GENRES, st.data())
def test_without_diversity_it_is_the_order_by_score(genres: NDArray[np.bool_], data: st.DataObject) -> None:
    scores = data.draw(scores_for(genres, 0.125, 1))
    by_score = sorted(scores.tolist(), reverse=True)
    assert scores[mmr(scores, unit_genres(genres), len(scores), 0.0)].tolist() == by_score


def test_two_kinds_of_items_alternate() -> None:
    kinds = np.repeat([[True, False], [False, True]], 4, axis=0)
    scores = np.array([1.0, 0.99, 0.98, 0.97, 0.96, 0.95, 0.94, 0.93])
    assert mmr(scores, unit_genres(kinds), 4, 0.3)[:2] == [0, 4]
    assert mmr(scores, unit_genres(kinds), 8, 0.0) == list(range(8))


def test_only_the_nearest_chosen_item_counts() -> None:
    genres = np.array([[True, False, False], [False, True, False], [True, True, False], [False, False, True]])
    assert mmr(np.array([1.0, 0.9, 0.85, 0.3]), unit_genres(genres), 4, 0.5) == [0, 1, 2, 3]


@pytest.mark.parametrize("k", [0, 3])
def test_no_items_give_an_empty_list(k: int) -> None:
    assert mmr(np.zeros(0, dtype=np.float32), np.zeros((0, 2), dtype=np.float32), k, 0.3) == []


@FAST
@given(GENRES)
def test_unit_rows_have_length_one_or_zero(genres: NDArray[np.bool_]) -> None:
    unit = unit_genres(genres)
    assert unit.dtype == np.float32
    assert np.linalg.norm(unit, axis=1) == pytest.approx(genres.any(axis=1).astype(float))
    assert np.array_equal(unit > 0, genres)
