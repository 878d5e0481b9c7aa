"""All that is said about a run: metrics, points by every profile, the ladder, and where the points went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np

from grader.breakdown import Breakdown, Fault, breakdowns, faults
from grader.errors import GraderError
from grader.metrics.intervals import REPEATS, Measured
from grader.run import Run
from grader.scoring import (
    PROFILES,
    Measurements,
    Profile,
    ScoreCard,
    measure_latency,
    measure_lists,
    profile_of,
    score,
)


@dataclass(frozen=True)
class Rung:
    """A reference recommender or the graded service (``is_service``) with its metrics and card."""

    name: str
    knows: str
    measurements: Measurements
    card: ScoreCard
    is_service: bool = False


@dataclass(frozen=True)
class Assessment:
    """``card`` is that of the chosen profile, ``cards`` those of all named ones. ``ladder``: ascending by precision."""

    profile_name: str
    profile: Profile
    measurements: Measurements
    card: ScoreCard
    cards: Mapping[str, ScoreCard]
    ladder: list[Rung]
    breakdowns: list[Breakdown]
    faults: list[Fault]
    warnings: list[str]


def assess(run: Run, profile_spec: str = "standard") -> Assessment:
    """GraderError if the run holds no list at all."""
    if not run.recs.height:
        raise GraderError("The run ended before the first list: nothing to assess.")
    seed = int(run.facts["settings"]["seed"])
    profile = profile_of(profile_spec)
    measured = measure(run, seed)
    card = score(measured, profile)
    return Assessment(
        profile_name=profile_spec,
        profile=profile,
        measurements=measured,
        card=card,
        cards={name: score(measured, other) for name, other in PROFILES.items()},
        ladder=_ladder(run.facts["ladder"], profile, Rung("this service", "", measured, card, is_service=True)),
        breakdowns=breakdowns(run, seed),
        faults=faults(run, profile),
        warnings=warnings(run),
    )


def figures(assessment: Assessment) -> dict[str, Any]:
    """For JSON: points of the profile and all metrics, each with its value and 95 % interval; None for NaN."""
    card = assessment.card
    points = {"points": card.quality, "total": card.total}
    return {
        "profile": assessment.profile_name,
        **{name: _figure(measured) for name, measured in points.items()},
        "rows": {scored.row.name: {"metric": scored.metric, **_figure(scored.points)} for scored in card.rows},
        "metrics": {name: _figure(measured) for name, measured in assessment.measurements.items()},
    }


def _figure(measured: Measured) -> dict[str, float | None]:
    low, high = measured.interval
    return {name: None if isnan(x) else x for name, x in (("value", measured.value), ("low", low), ("high", high))}


def measure(run: Run, seed: int) -> Measurements:
    """Metrics of the lists and latencies of both kinds of requests, ``recs_due`` from when a list was due."""
    measured = measure_lists(run.catalogue, run.lists, seed)
    for name, frame in (("recs", run.recs), ("interact", run.interacts)):
        if frame.height:
            taken_s = (frame["done_s"] - frame["sent_s"]).to_numpy()
            measured |= measure_latency(name, frame["user"].to_numpy(), taken_s, seed)
    due = measure_latency("recs_due", run.lists.user, (run.recs["done_s"] - run.recs["due_s"]).to_numpy(), seed)
    return measured | due


def _ladder(rungs: list[dict[str, Any]], profile: Profile, service: Rung) -> list[Rung]:
    references = []
    for rung in rungs:
        measured = {name: Measured(value, np.full(REPEATS, value)) for name, value in rung["metrics"].items()}
        references.append(Rung(rung["name"], rung["knows"], measured, score(measured, profile)))
    return sorted([*references, service], key=lambda rung: rung.measurements["precision"].value)


def warnings(run: Run) -> list[str]:
    """What puts the figures in doubt."""
    found = []
    if run.facts["ended_early"]:
        found.append("The run was ended early: it holds only the visits until then.")
    starts_s = (run.requests["sent_s"] - run.requests["due_s"]).to_numpy()
    late_ms = float(np.percentile(starts_s, 95)) * 1000
    if late_ms > 20:
        found.append(
            f"5 % of requests started {late_ms:.0f} ms or more after they were due: the service, or this machine, did "
            "not keep up with the arrivals. Latency from the moment a list was due is in the table."
        )
    return found


def standing(assessment: Assessment) -> str:
    """How far up the ladder the service stands, in one sentence; empty without a ladder."""
    ladder = assessment.ladder
    place = next(n for n, rung in enumerate(ladder) if rung.is_service)
    references = {rung.name: rung.measurements["precision"].value for rung in ladder if not rung.is_service}
    if not references:
        return ""
    own = ladder[place].measurements["precision"].value
    lowest, highest = min(references.values()), max(references.values())
    below = f"above {ladder[place - 1].name}" if place else "below every reference"
    above = f", below {ladder[place + 1].name}" if 0 < place < len(ladder) - 1 else ""
    way = (own - lowest) / (highest - lowest) if highest > lowest else 0.0
    return f"Precision {own:.4f} is {below}{above}: {way * 100:.0f} % of the way from {ladder_ends(references)}."


def ladder_ends(references: Mapping[str, float]) -> str:
    lowest, highest = min(references, key=references.__getitem__), max(references, key=references.__getitem__)
    return f"{lowest} ({references[lowest]:.4f}) to {highest} ({references[highest]:.4f})"
