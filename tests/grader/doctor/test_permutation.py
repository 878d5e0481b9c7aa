"""The exact permutation test against all splits, one by one."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.doctor.checks_reactions import permutation_p

counts = st.lists(st.integers(0, 9), min_size=1, max_size=5)


@given(counts, counts)
def test_equals_the_share_of_splits_with_a_sum_as_large(high: list[int], low: list[int]) -> None:
    splits = [sum(chosen) for chosen in combinations(high + low, len(high))]
    assert permutation_p(high, low) == pytest.approx(sum(s >= sum(high) for s in splits) / len(splits))


def test_of_known_answer() -> None:
    assert permutation_p([9, 8, 7], [1, 2, 3]) == pytest.approx(1 / 20)
    assert permutation_p([5, 5], [5, 5]) == 1


def test_as_many_users_as_the_check_has() -> None:
    assert permutation_p([14] * 40, [10] * 40) < 1e-20
