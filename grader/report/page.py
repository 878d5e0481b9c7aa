"""The report of a run: one HTML file that asks for nothing from anywhere, for any browser, now or in years."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from grader.assessment import Assessment, standing
from grader.report import about, plots, series, view
from grader.run import Run
from grader.scoring import LATENCY_COUNTS_FROM, PROFILES, Profile, ScoreCard
from grader.words import lag_sentence

TEMPLATE: Final = "template.html.j2"
# Titles of breakdowns as the page calls them, in its order; of the fifths of the run there is a finer plot.
TITLES: Final = {
    "Place in the list": "By place in the list",
    "Request of the user": "By request of the user",
    "User": "By what is known of the user",
    "Source named by the service": "By source that the service names",
    "Genre of the item": "By genre of the item",
}
BEST_FIRST: Final = ("Genre of the item", "Source named by the service")


def write_report(path: Path, run: Run, assessment: Assessment) -> None:
    """Write the file, also for runs in which little or nothing was measured; the same input gives the same bytes."""
    path.write_text(render(run, assessment), encoding="utf-8")


def render(run: Run, assessment: Assessment) -> str:
    folder = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.get_template(TEMPLATE).render(_context(run, assessment))


def _context(run: Run, assessment: Assessment) -> dict[str, Any]:
    facts = run.facts
    return {
        "run": run,
        "assessment": assessment,
        "points_interval": view.points_interval,
        "began": about.moment(facts["began"]),
        "took": about.duration(facts["took_s"]),
        "users": run.requests["user"].n_unique(),
        "card": view.card_rows(assessment),
        "latency_counts_from": LATENCY_COUNTS_FROM,
        "profiles": [(name, view.profile_readings(profile), card) for name, profile, card in _profiles(assessment)],
        "ladder": view.ladder_view(assessment),
        "standing": standing(assessment),
        "bars": list(_bar_tables(run, assessment)),
        "spoiled": [fault for fault in assessment.faults if fault.lists],
        "latency": view.latency_rows(assessment),
        "problems": view.problem_rows(run),
        "catalogue": about.catalogue_sentence(facts["add_items_s"]),
        "lag_sentence": lag_sentence(facts["lag"]),
        "readings": {
            "Of lists": view.readings(assessment.measurements, of_times=False),
            "Of times": view.readings(assessment.measurements, of_times=True),
        },
        "facts": about.facts_tables(facts),
        "command": about.command(facts, assessment.profile_name),
        "plots": dict(_plots(run, assessment)),
    }


def _profiles(assessment: Assessment) -> Iterator[tuple[str, Profile, ScoreCard]]:
    """All named ones, after the chosen one if it has no name."""
    if assessment.profile_name not in PROFILES:
        yield assessment.profile_name, assessment.profile, assessment.card
    for name, card in assessment.cards.items():
        yield name, PROFILES[name], card


def _bar_tables(run: Run, assessment: Assessment) -> Iterator[view.BarTable]:
    found = {breakdown.title: breakdown for breakdown in assessment.breakdowns}
    places = run.lists.items.size
    for title, heading in TITLES.items():
        if title in found:
            yield view.bar_table(found[title], heading, places, title in BEST_FIRST)


def _plots(run: Run, assessment: Assessment) -> Iterator[tuple[str, Markup]]:
    """That of the lag only if it was measured."""
    seed = int(run.facts["settings"]["seed"])
    band = series.precision_over_run(run.lists, seed)
    yield "precision", plots.precision_plot(band, assessment.measurements["precision"].value)
    yield "coverage", plots.coverage_plot(series.coverage_over_run(run.lists))
    kinds = (run.recs, run.interacts)
    yield "times", plots.times_plot(*(series.not_slower(series.milliseconds(requests)) for requests in kinds))
    yield "p95", plots.p95_plot(*(series.p95_over_time(requests) for requests in kinds))
    if run.facts["lag"] and run.facts["lag"]["shares"]:
        yield "lag", plots.lag_plot(run.facts["lag"]["shares"])
