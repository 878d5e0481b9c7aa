"""Values and their resamples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.metrics import intervals
from grader.metrics.intervals import REPEATS, Measured, of_means, of_percentiles, of_ratios, resamples
from tests.grader import definitions

FAST = settings(deadline=None, max_examples=40)
VALUE = st.one_of(st.just(math.nan), st.floats(-10, 10))
ROWS = st.lists(st.tuples(st.integers(0, 4), VALUE, VALUE), min_size=1, max_size=20)
Row = tuple[int, float, float]


def columns(rows: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([user for user, *_ in rows]), np.array([values for _, *values in rows])


@FAST
@given(ROWS)
def test_means_leave_nan_out(rows: list[Row]) -> None:
    user, values = columns(rows)
    found = of_means(user, values, seed=0)
    expected = [definitions.mean(values[:, n].tolist()) for n in range(2)]
    assert [measured.value for measured in found] == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert all(measured.repeats.shape == (REPEATS,) for measured in found)


@FAST
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 5)), min_size=1))
def test_ratios_are_of_sums(rows: list[tuple[int, int, int]]) -> None:
    user, above, below = np.array(rows).T
    (found,) = of_ratios(user, above[:, None], below[:, None], seed=0)
    expected = sum(above) / sum(below) if sum(below) else math.nan
    if sum(above) and not sum(below):
        assert not math.isfinite(found.value)
    else:
        assert found.value == pytest.approx(expected, nan_ok=True)


@FAST
@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0, 100)), min_size=1, max_size=30), st.integers(0, 3))
def test_percentiles_are_the_smallest_value_that_so_many_do_not_exceed(
    rows: list[tuple[int, float]], seed: int
) -> None:
    values = [value for _, value in rows]
    found = of_percentiles(np.array([user for user, _ in rows]), np.array(values), (50.0, 95.0, 99.0), seed)
    assert [one.value for one in found] == [definitions.percentile(values, percent) for percent in (50, 95, 99)]
    assert all(set(one.repeats.tolist()) <= set(values) for one in found)


@pytest.mark.parametrize("n_users", [1, 3, 40])
def test_a_resample_draws_as_many_users_as_there_are(n_users: int) -> None:
    drawn = np.concatenate(list(resamples(n_users, seed=5)))
    assert drawn.shape == (REPEATS, n_users)
    assert (drawn.sum(axis=1) == n_users).all()
    assert drawn.mean(axis=0) == pytest.approx(np.ones(n_users), abs=0.2)


def test_each_repeat_weighs_all_rows_of_a_user_alike() -> None:
    user = np.array([7, 2, 7, 9, 2])
    values = np.array([1.0, 2.0, 4.0, 8.0, math.nan])
    (mean,) = of_means(user, values[:, None], seed=3)
    (median,) = of_percentiles(user[:4], values[:4], (50.0,), seed=3)
    for number, drawn in enumerate(np.concatenate(list(resamples(3, seed=3))).astype(int).tolist()):
        times = dict(zip([2, 7, 9], drawn, strict=True))  # users in ascending order
        rows = [v for who, v in zip(user.tolist(), values.tolist(), strict=True) for _ in range(times[who])]
        assert mean.repeats[number] == pytest.approx(definitions.mean(rows), nan_ok=True)
        known = [v for v in rows if not math.isnan(v)]
        assert median.repeats[number] == definitions.percentile(known, 50)


@pytest.mark.parametrize("weights_at_once", [1, 100, intervals.WEIGHTS_AT_ONCE])
def test_resamples_come_from_the_seed_alone(weights_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    user, values = np.arange(10), np.arange(10.0)[:, None]
    (first,), (again,), (other,) = (of_means(user, values, seed) for seed in (1, 1, 2))
    assert (first.repeats == again.repeats).all()
    assert not (first.repeats == other.repeats).all()
    monkeypatch.setattr(intervals, "WEIGHTS_AT_ONCE", weights_at_once)
    (chunked,) = of_means(user, values, seed=1)
    assert len(chunked.repeats) == REPEATS
    assert chunked.value == first.value


def test_an_interval_holds_what_is_known_of_the_mean() -> None:
    values = np.random.default_rng(0).normal(5.0, 2.0, 400)
    (measured,) = of_means(np.arange(400), values[:, None], seed=0)
    low, high = measured.interval
    assert low < measured.value < high
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / math.sqrt(400), rel=0.1)


def test_rows_of_one_user_are_no_independent_evidence() -> None:
    values = np.random.default_rng(0).normal(5.0, 2.0, 100)
    (once,) = of_means(np.arange(100), values[:, None], seed=0)
    (often,) = of_means(np.repeat(np.arange(100), 20), np.repeat(values, 20)[:, None], seed=0)
    assert often.interval == pytest.approx(once.interval)


def test_nothing_measured_has_no_interval() -> None:
    (nothing,) = of_means(np.zeros(3, int), np.full((3, 1), math.nan), seed=0)
    assert math.isnan(nothing.value)
    assert all(map(math.isnan, nothing.interval))
    assert Measured(1.0, np.array([math.nan, 2.0, 2.0])).interval == (2.0, 2.0)
