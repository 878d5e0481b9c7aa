"""An assessment as tables on the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from grader.assessment import Assessment, standing
from grader.metrics.intervals import Measured
from grader.run import Run
from grader.words import METRICS, amount, interval, lag_sentence


def show(console: Console, run: Run, assessment: Assessment) -> None:
    for renderable in tables(run, assessment):
        console.print(renderable)
        console.print()


def tables(run: Run, assessment: Assessment) -> Iterator[RenderableType]:
    yield _card(assessment)
    yield _metrics(assessment)
    if assessment.ladder[1:]:
        yield _ladder(assessment)
        yield standing(assessment)
    yield from (_breakdown(assessment, number) for number in range(len(assessment.breakdowns)))
    yield _faults(assessment)
    yield lag_sentence(run.facts["lag"])
    for warning in assessment.warnings:
        yield f"[yellow]{warning}[/]"


def _card(assessment: Assessment) -> Table:
    card = assessment.card
    table = Table(
        "",
        "measured",
        "95 %",
        "0 points at",
        "10 points at",
        "points",
        title=f"Score card, {assessment.profile_name} profile",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for scored in card.rows:
        row = scored.row
        counts = row.name != "latency" or card.latency_counts
        points = f"{scored.points.value:.1f}" if counts else f"[dim]({scored.points.value:.1f})[/]"
        label = f"{row.name} ({METRICS[scored.metric].name})"
        measured = scored.measured
        table.add_row(
            label,
            amount(scored.metric, measured.value),
            interval(scored.metric, measured),
            f"{row.none:g}",
            f"{row.full:g}",
            points,
        )
    table.add_section()
    table.add_row("[bold]quality, of 40", "", _points(card.quality), "", "", f"[bold]{card.quality.value:.1f}")
    table.add_row("with latency, of 50", "", _points(card.total), "", "", f"{card.total.value:.1f}")
    if not card.latency_counts and len(card.rows) > 4:
        table.caption = "Latency gives points only with at least 30 of the first 40."
    return table


def _points(measured: Measured) -> str:
    low, high = measured.interval
    return f"{low:.1f} to {high:.1f}"


def _metrics(assessment: Assessment) -> Table:
    table = Table("metric", "value", "95 %", "what it is", title="All readings")
    for name, measured in assessment.measurements.items():
        table.add_row(METRICS[name].name, amount(name, measured.value), interval(name, measured), METRICS[name].meaning)
    return table


def _ladder(assessment: Assessment) -> Table:
    table = Table("", "precision", "nDCG", "coverage", "points", "knows", title="Reference ladder")
    for rung in assessment.ladder:
        values = [rung.measurements[n].value for n in ("precision", assessment.profile.ndcg, "catalogue_coverage")]
        style = "bold cyan" if rung.is_service else ""
        table.add_row(
            rung.name, *(f"{v:.4f}" for v in values), f"{rung.card.quality.value:.1f}", rung.knows, style=style
        )
    return table


def _breakdown(assessment: Assessment, number: int) -> Table:
    breakdown = assessment.breakdowns[number]
    table = Table(breakdown.title, "places", "hits", "precision", "95 %")
    for part in breakdown.parts:
        precision = part.precision
        table.add_row(
            escape(part.label),
            f"{part.places:,}",
            f"{part.hits:,}",
            f"{precision.value:.4f}",
            interval("precision", precision),
        )
    return table


def _faults(assessment: Assessment) -> Table:
    table = Table("Spoiled lists", "lists", "places", "points lost")
    for fault in assessment.faults:
        table.add_row(
            fault.name,
            f"{fault.lists:,}",
            f"{fault.places:,}",
            "unknown" if fault.points != fault.points else f"{fault.points:.2f}",
            style="" if fault.lists else "dim",
        )
    return table
