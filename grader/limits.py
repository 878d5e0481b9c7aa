"""``--fail-under points=38,p95_ms=50``: limits for continuous integration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from grader.assessment import Assessment
from grader.errors import GraderError
from grader.words import METRICS, less_is_better

SHORT_NAMES: Final = {"p95_ms": "recs_p95_ms", "mean_ms": "recs_mean_ms", "coverage": "catalogue_coverage"}
NAMES: Final = ("points", "total", *SHORT_NAMES, *METRICS)


def parse_limits(text: str) -> dict[str, float]:
    """``name=number`` pairs separated by commas; GraderError for anything else."""
    limits = {}
    for part in filter(None, text.split(",")):
        name, _, number = part.partition("=")
        try:
            limits[name.strip()] = float(number)
        except ValueError:
            raise GraderError(f"--fail-under {part!r} is no limit: write one like points=38 or p95_ms=50.") from None
        if name.strip() not in NAMES:
            raise GraderError(f"--fail-under knows no {name.strip()!r}, but {', '.join(NAMES)}.")
    return limits


def broken(assessment: Assessment, limits: Mapping[str, float]) -> list[str]:
    """A sentence for each limit that does not hold: what is better if less may not be above it, all else not below."""
    values = values_of(assessment)
    sentences = []
    for name, limit in limits.items():
        key = SHORT_NAMES.get(name, name)
        value = values.get(key, float("nan"))  # nothing measured holds no limit
        holds, bound = (value <= limit, "at most") if less_is_better(key) else (value >= limit, "at least")
        if not holds:
            sentences.append(f"{name} is {value:.4g}, {bound} {limit:g} wanted")
    return sentences


def values_of(assessment: Assessment) -> dict[str, float]:
    card = assessment.card
    points = {"points": card.quality.value, "total": card.total.value}
    return points | {name: measured.value for name, measured in assessment.measurements.items()}
