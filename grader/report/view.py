"""What the page's tables show: texts, and places along a scale in percent. Pure, without HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from grader.assessment import Assessment, Rung
from grader.breakdown import Breakdown, Part
from grader.metrics.intervals import Measured
from grader.run import Run
from grader.scoring import Measurements, Profile, Scored
from grader.words import METRICS, amount, interval

NOT_MEASURED: Final = "not measured"
ROWS: Final = 40  # of a table, at most: a service can name as many sources as it likes
LEAST_SHARE: Final = 0.01  # of the places; parts smaller than that do not stretch the scale of a table


class Mark(NamedTuple):
    """A value and the bounds of its interval in percent along a scale, cut at its ends."""

    at: float
    low: float
    high: float


class BarRow(NamedTuple):
    """``share``: of all places, in percent; ``mark`` is None where nothing was measured."""

    label: str
    mark: Mark | None
    value: str
    interval: str
    places: str
    share: float


class BarTable(NamedTuple):
    """``end``: what the right end of the bars stands for. ``left_out``: how many rows more there were."""

    title: str
    rows: list[BarRow]
    end: str
    left_out: int = 0


class CardView(NamedTuple):
    name: str
    reading: str
    value: str
    interval: str
    none: str
    full: str
    mark: Mark | None
    points: str
    points_interval: str
    counts: bool


class Reading(NamedTuple):
    name: str
    meaning: str
    value: str
    interval: str


class RungView(NamedTuple):
    name: str
    knows: str
    is_service: bool
    mark: Mark | None
    precision: str
    interval: str
    points: str
    coverage: str


class LadderView(NamedTuple):
    """``ticks``: (percent along the scale, text). The scale is that of square roots: it shows the low rungs apart."""

    rungs: list[RungView]
    ticks: list[tuple[float, str]]


def value_of(metric: str, measured: Measured | None) -> str:
    return NOT_MEASURED if measured is None or math.isnan(measured.value) else amount(metric, measured.value)


def interval_of(metric: str, measured: Measured | None) -> str:
    """Empty without one. In narrow columns it breaks before "to"."""
    if measured is None or math.isnan(measured.interval[0]):
        return ""
    return interval(metric, measured).replace("to ", "to\N{NO-BREAK SPACE}")


def points_interval(points: Measured) -> str:
    low, high = points.interval
    return f"{low:.1f} to\N{NO-BREAK SPACE}{high:.1f}"


def card_rows(assessment: Assessment) -> list[CardView]:
    return [_card_row(scored, assessment.card.latency_counts) for scored in assessment.card.rows]


def _card_row(scored: Scored, latency_counts: bool) -> CardView:
    row, metric = scored.row, METRICS[scored.metric]
    known = not math.isnan(scored.measured.value)
    low, high = scored.points.interval
    scale = 100 / row.points
    return CardView(
        name=row.name,
        reading=metric.name,
        value=value_of(scored.metric, scored.measured),
        interval=interval_of(scored.metric, scored.measured),
        none=f"{row.none:g}",
        full=f"{row.full:g}",
        mark=Mark(scored.points.value * scale, low * scale, high * scale) if known else None,
        points=f"{scored.points.value:.1f}",
        points_interval=points_interval(scored.points),
        counts=row.name != "latency" or latency_counts,
    )


def profile_readings(profile: Profile) -> str:
    names = (profile.precision, profile.ndcg, profile.diversity, profile.latency)
    return ", ".join(METRICS[name].name for name in names)


def readings(measurements: Measurements, of_times: bool) -> list[Reading]:
    """Every metric that there is, measured or not: those of times, or those of lists."""
    return [
        Reading(
            metric.name,
            metric.meaning,
            value_of(name, measurements.get(name)),
            interval_of(name, measurements.get(name)),
        )
        for name, metric in METRICS.items()
        if name.endswith("_ms") == of_times
    ]


def ladder_view(assessment: Assessment) -> LadderView | None:
    """None without a reference."""
    rungs = assessment.ladder
    if len(rungs) < 2:
        return None
    top = _end_of_scale([rung.measurements["precision"].value for rung in rungs])
    ticks = {_one_digit(top * share**2) for share in (0, 0.25, 0.5, 0.75)} | {top}
    return LadderView(
        [_rung_view(rung, top) for rung in rungs],
        [(100 * math.sqrt(tick / top), f"{tick:g}") for tick in sorted(ticks)],
    )


def _rung_view(rung: Rung, top: float) -> RungView:
    """References have no interval."""
    precision = rung.measurements["precision"]
    places = (100 * math.sqrt(_cut(value / top)) for value in (precision.value, *precision.interval))
    return RungView(
        name=rung.name,
        knows=rung.knows,
        is_service=rung.is_service,
        mark=None if math.isnan(precision.value) else Mark(*places),
        precision=value_of("precision", precision),
        interval=interval_of("precision", precision) if rung.is_service else "",
        points=f"{rung.card.quality.value:.1f}",
        coverage=value_of("catalogue_coverage", rung.measurements.get("catalogue_coverage")),
    )


def bar_table(breakdown: Breakdown, title: str, all_places: int, by_precision: bool = False) -> BarTable:
    """Parts as they come, or the best first."""
    parts = breakdown.parts
    if by_precision:
        parts = sorted(parts, key=lambda part: (-_zero(part.precision.value), part.label))
    large = [part for part in parts if part.places >= LEAST_SHARE * all_places] or parts
    top = _end_of_scale([_with_interval(part.precision) for part in large])
    rows = [_bar_row(part, top, all_places) for part in parts[:ROWS]]
    return BarTable(title, rows, f"{top:g}", len(parts) - len(rows))


def _bar_row(part: Part, top: float, all_places: int) -> BarRow:
    precision = part.precision
    mark = Mark(*(100 * _cut(value / top) for value in (precision.value, *precision.interval)))
    share = 100 * part.places / max(all_places, 1)
    known = not math.isnan(precision.value)
    value, between = value_of("precision", precision), interval_of("precision", precision)
    return BarRow(part.label, mark if known else None, value, between, f"{share:.1f}\N{NO-BREAK SPACE}%", share)


def latency_rows(assessment: Assessment) -> list[tuple[str, list[tuple[str, str]]]]:
    """For each kind of request (value, interval) of the mean and of the percentiles."""
    kinds = {"recs": "lists", "interact": "reactions", "recs_due": "lists, from when due"}
    figures = ("mean", "p50", "p90", "p95", "p99")
    measured = assessment.measurements
    return [
        (label, [_pair(f"{kind}_{figure}_ms", measured.get(f"{kind}_{figure}_ms")) for figure in figures])
        for kind, label in kinds.items()
    ]


def _pair(metric: str, measured: Measured | None) -> tuple[str, str]:
    return value_of(metric, measured), interval_of(metric, measured)


def problem_rows(run: Run) -> list[tuple[str, str, int]]:
    """(list or reaction, problem, how many requests), the most frequent first."""
    failed = run.requests.filter(run.requests["problem"] != "").group_by("kind", "problem").len()
    kinds = {"recs": "list", "interact": "reaction"}
    ordered = failed.sort("len", "kind", "problem", descending=[True, False, False])
    return [(kinds.get(kind, kind), problem, count) for kind, problem, count in ordered.iter_rows()]


def _with_interval(precision: Measured) -> float:
    """The upper bound, unless hits were so few that it would make everything else small."""
    return max(precision.value, min(precision.interval[1], 2 * precision.value))


def _end_of_scale(shares: Sequence[float]) -> float:
    """The largest rounded up, at most 1; 0.01 where there is nothing above 0."""
    largest = max(_zero(share) for share in shares)
    if largest <= 0:
        return 0.01
    unit = 10.0 ** math.floor(math.log10(largest)) / 2
    return min(float(f"{math.ceil(round(largest / unit, 6)) * unit:.6g}"), 1.0)


def _zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _cut(share: float) -> float:
    return min(max(_zero(share), 0.0), 1.0)


def _one_digit(value: float) -> float:
    return float(f"{value:.0e}")
