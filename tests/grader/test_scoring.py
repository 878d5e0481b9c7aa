"""From measured values to points."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.errors import GraderError
from grader.metrics.intervals import REPEATS, Measured
from grader.metrics.lists import judge
from grader.scoring import (
    PROFILES,
    READINGS,
    Measurements,
    Profile,
    measure_latency,
    measure_lists,
    profile_of,
    score,
)
from tests.grader import definitions
from tests.grader.worlds import Shown, likes_in, opinions_in, shown_lists

ENDS = {  # 0 points, 10 points
    "precision": (0.02, 0.15),
    "ndcg_remaining": (0.02, 0.07),
    "intra_list_diversity": (0.1, 0.4),
    "catalogue_coverage": (0.1, 0.8),
    "recs_mean_ms": (800.0, 80.0),
}
FULL = {metric: full for metric, (_, full) in ENDS.items()}
BETWEEN = pytest.mark.parametrize(
    ("share", "points"), [(0.0, 0.0), (0.25, 2.5), (0.5, 5.0), (1.0, 10.0), (-0.1, 0.0), (1.1, 10.0), (math.nan, 0.0)]
)


def measured(**values: float) -> Measurements:
    return {name: Measured(value, np.full(REPEATS, value)) for name, value in values.items()}


@BETWEEN
@pytest.mark.parametrize("metric", ENDS)
def test_points_are_linear_between_the_ends_of_each_row(metric: str, share: float, points: float) -> None:
    none, full = ENDS[metric]
    value = none + share * (full - none)
    card = score(measured(**{**FULL, metric: value}), Profile())
    (row,) = [row for row in card.rows if row.metric == metric]
    assert row.points.value == pytest.approx(points)
    assert row.points.repeats == pytest.approx(np.full(REPEATS, points))
    assert card.quality.value == pytest.approx(sum(row.points.value for row in card.rows[:4]))


@pytest.mark.parametrize(
    ("coverage_points", "counts"), [(0.0, True), (-0.01, False)], ids=["exactly 30 points", "just below"]
)
def test_latency_counts_only_from_30_points(coverage_points: float, counts: bool) -> None:
    if not counts:
        values = {**FULL, "catalogue_coverage": 0.0, "precision": 0.1499}
    else:
        values = {**FULL, "catalogue_coverage": coverage_points}
    card = score(measured(**values), Profile())
    assert card.latency_counts is counts
    assert card.total.value - card.quality.value == (10.0 if counts else 0.0)
    assert card.rows[-1].points.value == 10.0, "the row says what latency would give"


def test_each_repeat_decides_for_itself_whether_latency_counts() -> None:
    coverage = np.where(np.arange(REPEATS) % 2, 0.8, 0.0)
    measurements = measured(**{**FULL, "precision": 0.02}) | {"catalogue_coverage": Measured(0.8, coverage)}
    card = score(measurements, Profile())
    assert card.total.value == pytest.approx(40.0)
    assert card.total.repeats.tolist() == pytest.approx(np.where(np.arange(REPEATS) % 2, 40.0, 20.0).tolist())


def test_without_a_latency_there_is_no_latency_row() -> None:
    card = score(measured(**{name: value for name, value in FULL.items() if name != "recs_mean_ms"}), Profile())
    assert [row.row.name for row in card.rows] == ["precision", "ndcg", "diversity", "coverage"]
    assert card.total.value == card.quality.value == 40.0


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_go_by_name(name: str) -> None:
    assert profile_of(name) is PROFILES[name]


@pytest.mark.parametrize(("row", "reading"), [(row, name) for row, names in READINGS.items() for name in names])
def test_each_reading_can_be_chosen_alone(row: str, reading: str) -> None:
    expected = replace(PROFILES["standard"], **{row: READINGS[row][reading]})
    assert profile_of(f"{row}={reading}") == expected


def test_readings_can_be_put_together() -> None:
    assert profile_of("precision=hits,ndcg=all") == PROFILES["published"]
    assert profile_of("diversity=users,latency=due") == Profile(
        diversity="inter_user_diversity", latency="recs_due_mean_ms"
    )


def test_the_profile_decides_what_is_scored() -> None:
    values = {**FULL, "hits_per_list": 0.085, "ndcg_all": 0.045, "hit_rate": 0.02, "inter_user_diversity": 0.25}
    points = {name: score(measured(**values), profile).quality.value for name, profile in PROFILES.items()}
    assert points == pytest.approx({"standard": 40.0, "published": 30.0, "hit-rate": 30.0, "users": 35.0})


@pytest.mark.parametrize("spec", ["", "best", "precision", "precision=", "precision=best", "coverage=all", "ndcg=all,"])
def test_a_bad_profile_is_refused_with_the_choices(spec: str) -> None:
    with pytest.raises(GraderError) as refused:
        profile_of(spec)
    sentence = str(refused.value)
    assert repr(spec) in sentence
    assert all(name in sentence for name in [*PROFILES, *READINGS, "hits/10", "remaining"])
    assert "\n" not in sentence


@settings(deadline=None, max_examples=30)
@given(shown_lists().filter(lambda shown: len(shown.user) > 0), st.integers(0, 3))
def test_every_metric_of_lists_is_the_mean_of_its_definition(shown: Shown, seed: int) -> None:
    world = shown.world
    found = measure_lists(world.catalogue, judge(world, shown.user, shown.items), seed)
    lists = definitions.judged(likes_in(world), shown.users, shown.rows)
    genres = [set(np.flatnonzero(row).tolist()) for row in world.genres]
    rows, n_genres = [one.items for one in lists], len(world.genre_names)
    expected = {
        "precision": definitions.mean([definitions.precision(one.hits) for one in lists]),
        "hits_per_list": definitions.mean([definitions.hits_per_list(one.hits) for one in lists]),
        "hit_rate": definitions.mean([definitions.hit_rate(one.hits) for one in lists]),
        "ndcg_remaining": definitions.mean([definitions.ndcg(one.hits, one.remaining) for one in lists]),
        "ndcg_all": definitions.mean([definitions.ndcg(one.hits, one.relevant) for one in lists]),
        "intra_list_diversity": definitions.mean([definitions.intra_list_diversity(row, genres) for row in rows]),
        "share_of_genres": definitions.mean([definitions.share_of_genres(row, genres, n_genres) for row in rows]),
        "novelty_bits": definitions.mean([definitions.novelty(row, opinions_in(world)) for row in rows]),
        "catalogue_coverage": definitions.catalogue_coverage(rows, world.n_items),
        "inter_user_diversity": definitions.inter_user_diversity(shown.users, rows),
        "exposure_gini": definitions.exposure_gini(rows, world.n_items),
    }
    values = {name: one.value for name, one in found.items()}
    assert values == pytest.approx(expected, rel=1e-6, abs=1e-9, nan_ok=True)


def test_latency_is_told_in_milliseconds() -> None:
    seconds = np.arange(1, 101) / 1000
    found = measure_latency("recs", np.arange(100) % 7, seconds, seed=0)
    assert {name: one.value for name, one in found.items()} == pytest.approx(
        {"recs_mean_ms": 50.5, "recs_p50_ms": 50.0, "recs_p90_ms": 90.0, "recs_p95_ms": 95.0, "recs_p99_ms": 99.0}
    )
