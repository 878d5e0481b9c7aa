"""Limits for continuous integration."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from grader.assessment import Assessment, assess
from grader.errors import GraderError
from grader.limits import SHORT_NAMES, broken, parse_limits, values_of
from grader.metrics.intervals import Measured
from tests.grader.runs import asked, run_of
from tests.grader.worlds import world_of


@pytest.fixture(scope="module")
def assessment() -> Assessment:
    """Precision 0.5, p95 of 40 ms, two thirds covered."""
    world = world_of([{0: True, 1: False, 2: True}], [{0}, {1}, {2}])
    return assess(run_of(world, [asked(0, [0, 1], sent_s=1.0, done_s=1.04)]))


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", {}),
        ("points=38", {"points": 38.0}),
        ("points=38,p95_ms=50", {"points": 38.0, "p95_ms": 50.0}),
        ("points=38, p95_ms=5e1,", {"points": 38.0, "p95_ms": 50.0}),
    ],
)
def test_limits_are_names_with_numbers(text: str, limits: dict[str, float]) -> None:
    assert parse_limits(text) == limits


@pytest.mark.parametrize("text", ["nonsense", "points", "points=", "points=many", "points>3", "points=1;p95_ms=2"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(GraderError, match="--fail-under") as refused:
        parse_limits(text)
    assert "points=38" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("limits", "names"),
    [
        ({"precision": 0.5, "p95_ms": 40.01, "coverage": 0.66, "exposure_gini": 0.34}, []),
        ({"precision": 0.51}, ["precision"]),
        ({"exposure_gini": 0.33}, ["exposure_gini"]),
        ({"p95_ms": 39.9}, ["p95_ms"]),
        ({"mean_ms": 39.9, "recs_p50_ms": 39.9, "precision": 0.4}, ["mean_ms", "recs_p50_ms"]),
        ({"coverage": 0.67, "hit_rate": 1.0}, ["coverage"]),
        ({"points": 41.0, "total": 51.0}, ["points", "total"]),
    ],
)
def test_times_and_inequality_may_not_be_above_and_all_else_not_below(
    assessment: Assessment, limits: dict[str, float], names: list[str]
) -> None:
    sentences = broken(assessment, limits)
    assert [sentence.split()[0] for sentence in sentences] == names
    for name, sentence in zip(names, sentences, strict=True):
        assert ("at most" if name.endswith(("_ms", "gini")) else "at least") in sentence


def test_points_are_those_of_the_chosen_profile(assessment: Assessment) -> None:
    values = values_of(assessment)
    assert values["points"] == assessment.card.quality.value
    assert values["total"] == assessment.card.total.value
    assert set(SHORT_NAMES.values()) <= set(values)


def test_what_was_not_measured_holds_no_limit(assessment: Assessment) -> None:
    unknown = Measured(math.nan, np.full(3, math.nan))
    silent = replace(assessment, measurements={**assessment.measurements, "ndcg_all": unknown, "recs_p95_ms": unknown})
    assert len(broken(silent, {"ndcg_all": 0.0, "p95_ms": 1e9})) == 2


def test_an_unknown_name_is_refused_with_the_choices() -> None:
    with pytest.raises(GraderError, match="nonsense") as refused:
        parse_limits("nonsense=1")
    assert all(name in str(refused.value) for name in ("points", "p95_ms", "precision"))
