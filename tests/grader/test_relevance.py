"""How well lists meet tastes, against the definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.metrics import relevance
from grader.metrics.lists import judge
from tests.grader import definitions
from tests.grader.worlds import Shown, likes_in, shown_lists

FAST = settings(deadline=None, max_examples=60)
HITS = st.integers(1, 12).flatmap(lambda k: st.lists(st.lists(st.booleans(), min_size=k, max_size=k), min_size=1))


@FAST
@given(HITS)
def test_precision_hits_and_hit_rate_are_as_defined(rows: list[list[bool]]) -> None:
    hits = np.array(rows)
    assert relevance.precision(hits) == pytest.approx([definitions.precision(row) for row in rows])
    assert relevance.hits_per_list(hits).tolist() == [definitions.hits_per_list(row) for row in rows]
    assert relevance.hit_rate(hits).tolist() == [definitions.hit_rate(row) for row in rows]


@FAST
@given(shown_lists())
def test_ndcg_is_as_defined_of_all_likes_and_of_those_remaining(shown: Shown) -> None:
    lists = judge(shown.world, shown.user, shown.items)
    expected = definitions.judged(likes_in(shown.world), shown.users, shown.rows)
    for relevant in ("relevant", "remaining"):
        found = relevance.ndcg(lists.hits, getattr(lists, relevant))
        defined = [definitions.ndcg(one.hits, getattr(one, relevant)) for one in expected]
        assert found.tolist() == pytest.approx(defined, nan_ok=True)


def test_ndcg_of_lists_known_by_hand() -> None:
    hits = np.array([[1, 1, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0], [0, 0, 0]], bool)
    relevant = np.array([2, 1, 5, 4, 0])
    best = 1 + 1 / math.log2(3) + 1 / 2
    expected = [1.0, 0.5, 1 / math.log2(3) / best, 0.0, math.nan]
    assert relevance.ndcg(hits, relevant).tolist() == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("metric", [relevance.precision, relevance.hits_per_list, relevance.hit_rate])
def test_no_list_gives_no_value(metric: object) -> None:
    assert callable(metric)
    assert metric(np.zeros((0, 10), bool)).shape == (0,)
    assert relevance.ndcg(np.zeros((0, 10), bool), np.zeros(0, np.int32)).shape == (0,)
