"""Where the points went."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings

from grader.assessment import assess, measure, standing
from grader.breakdown import MOST_SOURCES, Breakdown, Fault, Part, breakdowns, faults
from grader.errors import GraderError
from grader.record import MOST_SOURCES as MOST_KEPT
from grader.record import Record
from grader.run import Run
from grader.scoring import Profile
from tests.grader.runs import asked, run_of, told
from tests.grader.stages import staged
from tests.grader.worlds import Shown, shown_lists, world_of

NOT_ALL = {"Genre of the item", "Source named by the service"}  # items have several genres or none, sources may lack
WORLD = world_of([{n: n % 2 == 0 for n in range(8)}] * 3, [{0}, {0, 1}, {1}, set(), {0}, {0}, {0}, {2}], n_genres=3)


def parts_of(found: list[Breakdown], title: str) -> dict[str, tuple[int, int, int]]:
    """Lists, places and hits of each part."""
    (parts,) = [breakdown.parts for breakdown in found if breakdown.title == title]
    return {part.label: (part.lists, part.places, part.hits) for part in parts}


def played(shown: Shown) -> Run:
    rows = [asked(user, row) for user, row in zip(shown.users, shown.rows, strict=True)]
    return run_of(shown.world, rows)


@settings(deadline=None, max_examples=30)
@given(shown_lists().filter(lambda shown: len(shown.user) > 0))
def test_parts_add_up_to_all_places_and_hits(shown: Shown) -> None:
    run = played(shown)
    for breakdown in breakdowns(run, seed=0):
        if breakdown.title not in NOT_ALL:
            assert sum(part.places for part in breakdown.parts) == shown.items.size, breakdown.title
            assert sum(part.hits for part in breakdown.parts) == run.lists.hits.sum(), breakdown.title
        for part in breakdown.parts:
            assert part.precision.value == pytest.approx(part.hits / part.places)
            assert part.places > 0


def test_requests_of_a_user_are_counted_and_the_late_ones_together() -> None:
    world = world_of([dict.fromkeys(range(9), True)] * 2, [set()] * 9)
    rows = [asked(0, [n]) for n in range(9)] + [asked(1, [0])]
    found = parts_of(breakdowns(run_of(world, rows), seed=0), "Request of the user")
    assert found == {**{f"{n}": (1, 1, 1) for n in range(2, 6)}, "1": (2, 2, 2), "6 and later": (4, 4, 4)}


def test_fifths_follow_the_order_of_the_run() -> None:
    rows = [asked(0, [n]) for n in range(8)] + [asked(1, [0]), asked(1, [1])]
    found = parts_of(breakdowns(run_of(WORLD, rows), seed=0), "Fifth of the run")
    assert found == {f"{n}": (2, 2, 1) for n in range(1, 6)}


def test_a_user_is_warm_once_a_reaction_of_his_was_accepted() -> None:
    rows = [
        asked(0, [0, 1]),  # cold, 1 hit
        told(1, status=503, problem="status 503"),
        told(0),
        asked(0, [2, 4]),  # warm, 2 hits
        asked(1, [0, 2]),  # cold: refused, 2 hits
        told(1),
        asked(1, [1, 3]),  # warm, none
        asked(2, [0, 1]),  # cold: others reacted, 1 hit
    ]
    found = parts_of(breakdowns(run_of(WORLD, rows), seed=0), "User")
    assert found == {"cold: nothing accepted before": (3, 6, 4), "warm: reacted before": (2, 4, 2)}


def test_places_and_genres_are_those_of_the_items() -> None:
    rows = [asked(0, [0, 1, -1]), asked(0, [2, 3, 4]), asked(1, [7, -1, -1])]
    found = breakdowns(run_of(WORLD, rows), seed=0)
    assert parts_of(found, "Place in the list") == {"1": (3, 3, 2), "2": (3, 3, 0), "3": (3, 3, 1)}
    assert parts_of(found, "Genre of the item") == {"genre 0": (2, 3, 2), "genre 1": (2, 2, 1), "genre 2": (1, 1, 0)}


def test_sources_are_those_that_the_service_named() -> None:
    rows = [asked(0, [0, 1], sources=["ranked", "explore"]), asked(1, [2, 4], sources=["ranked", "ranked"])]
    found = parts_of(breakdowns(run_of(WORLD, [*rows, asked(2, [0, 2])]), seed=0), "Source named by the service")
    assert found == {"explore": (1, 1, 0), "ranked": (2, 3, 3)}


def test_of_many_sources_the_rare_ones_are_counted_together() -> None:
    often = [f"often {n:02}" for n in range(MOST_SOURCES)]
    rows = [asked(0, [0, 1], sources=[name, name]) for name in often]
    rows += [asked(0, [0, 1], sources=[f"rare {n}", "often 00"]) for n in range(5)]
    found = parts_of(breakdowns(run_of(WORLD, rows), seed=0), "Source named by the service")
    assert sorted(found) == ["all other sources", *often]
    assert found["all other sources"][:2] == (5, 5)
    assert found["often 00"][:2] == (6, 7)


def test_of_more_sources_than_a_record_keeps_no_place_is_lost() -> None:
    record = Record.of(staged().plan, k=1)
    names = [f"source {n}" for n in range(3 * MOST_KEPT // 2)]
    numbers = [record.source_number(name) for name in names]
    rows = [asked(0, [0], sources=[record.source_names[number]]) for number in numbers]
    found = parts_of(breakdowns(run_of(WORLD, rows), seed=0), "Source named by the service")
    assert len(found) == MOST_SOURCES + 1
    assert found["all other sources"][1] == len(names) - MOST_SOURCES


def test_without_sources_there_is_no_breakdown_by_them() -> None:
    titles = {breakdown.title for breakdown in breakdowns(run_of(WORLD, [asked(0, [0, 1])]), seed=0)}
    assert "Source named by the service" not in titles


FAULTY = [
    asked(0, [0, 2, 4]),
    asked(0, [0, 1, 2], visit=1),  # two shown before
    asked(1, [-1, -1, -1], status=500, problem="status 500"),
    asked(1, [-1, -1, -1], status=0, problem="timeout"),
    asked(1, [0, -1, -1]),  # short by two
    asked(2, [1, -1, -1], returned=3, unknown=2),
    asked(2, [0, 2, -1], returned=3, repeated=1),
    asked(2, [6, 4, 3], returned=9),  # more than asked for spoils nothing
]


def test_faults_count_the_lists_they_spoiled_and_the_places_they_wasted() -> None:
    found = {fault.name: (fault.lists, fault.places) for fault in faults(run_of(WORLD, FAULTY), Profile())}
    assert found == {
        "no list: error or timeout": (2, 6),
        "short": (1, 2),
        "unknown ids": (1, 2),
        "repeated within the list": (1, 1),
        "already shown to the user": (1, 2),
    }


@pytest.mark.parametrize(
    ("spoiled", "fault", "places"),
    [
        (asked(3, [-1] * 10, status=500, problem="status 500"), "no list: error or timeout", 10),
        (asked(3, [*range(20, 28), -1, -1]), "short", 2),
    ],
    ids=["failed", "short"],
)
def test_a_fault_costs_what_the_other_lists_earn_more(spoiled: dict[str, Any], fault: str, places: int) -> None:
    """Coverage is that of all lists: what spoiled ones show is shown. nDCG and diversity are full with and without."""
    likes = {n: n in (0, 1) for n in range(40)}
    world = world_of([likes] * 4, [{n % 3} for n in range(40)])
    good = [asked(user, [0, *range(10, 19)]) for user in range(3)]
    (found,) = [each for each in faults(run_of(world, [*good, spoiled]), Profile()) if each.lists]
    precision_points = 10 * (0.1 - 0.075) / (0.15 - 0.02)
    assert found == Fault(fault, 1, places, pytest.approx(precision_points))


def test_without_spoiled_lists_no_points_are_lost() -> None:
    assert {fault.points for fault in faults(run_of(WORLD, [asked(0, [0, 2])]), Profile())} == {0.0}


def test_without_other_lists_nobody_knows_what_was_lost() -> None:
    run = run_of(WORLD, [asked(0, [-1, -1], status=500, problem="status 500")])
    points = {fault.name: fault.points for fault in faults(run, Profile())}
    assert math.isnan(points.pop("no list: error or timeout"))
    assert set(points.values()) == {0.0}


def test_a_run_without_a_list_cannot_be_assessed() -> None:
    with pytest.raises(GraderError, match="before the first list"):
        assess(run_of(WORLD, []))


def test_latencies_are_of_answers_and_of_when_lists_were_due() -> None:
    rows = [
        asked(0, [0, 2], due_s=0.0, sent_s=1.0, done_s=1.5),
        asked(1, [0, 2], due_s=2.0, sent_s=2.0, done_s=2.1),
        told(0, due_s=3.0, sent_s=3.0, done_s=3.2),
    ]
    measured = {name: one.value for name, one in measure(run_of(WORLD, rows), 0).items() if name.endswith("mean_ms")}
    assert measured == pytest.approx({"recs_mean_ms": 300.0, "recs_due_mean_ms": 800.0, "interact_mean_ms": 200.0})


def test_without_reactions_there_is_no_latency_of_them() -> None:
    assert not any(name.startswith("interact") for name in measure(run_of(WORLD, [asked(0, [0, 2])]), 0))


@pytest.mark.parametrize(("late_s", "warned"), [(0.0, False), (0.019, False), (0.05, True)])
def test_late_requests_put_a_run_in_doubt(late_s: float, warned: bool) -> None:
    run = run_of(WORLD, [asked(0, [0, 2], sent_s=late_s, done_s=1.0)])
    assert bool(assess(run).warnings) is warned


LADDER = [
    {"name": "low", "knows": "nothing", "metrics": {"precision": 0.2}},
    {"name": "high", "knows": "all", "metrics": {"precision": 0.6}},
]


def on_ladder(precision: float) -> str:
    """Where a service with that precision stands; a list of ten."""
    hits = round(10 * precision)
    world = world_of([{n: n < hits for n in range(10)}], [set()] * 10)
    service = measure(run_of(world, [asked(0, range(10))]), 0)
    ladder = [{**rung, "metrics": {n: m.value for n, m in service.items()} | rung["metrics"]} for rung in LADDER]  # type: ignore[operator]
    assessment = assess(run_of(world, [asked(0, range(10))], ladder=ladder))
    values = [rung.measurements["precision"].value for rung in assessment.ladder]
    assert values == sorted(values)
    assert [rung.is_service for rung in assessment.ladder].count(True) == 1
    return standing(assessment)


@pytest.mark.parametrize(
    ("precision", "words"),
    [
        (0.1, "below every reference: -25 % of the way"),
        (0.3, "above low, below high: 25 % of the way"),
        (0.8, "above high: 150 % of the way"),
    ],
)
def test_the_standing_is_told_between_its_neighbours(precision: float, words: str) -> None:
    sentence = on_ladder(precision)
    assert words in sentence
    assert "from low (0.2000) to high (0.6000)" in sentence


def test_without_a_ladder_there_is_no_standing() -> None:
    assert standing(assess(run_of(WORLD, [asked(0, [0, 2])]))) == ""


def test_empty_parts_have_no_precision_of_their_own() -> None:
    parts: list[Part] = [part for one in breakdowns(run_of(WORLD, [asked(0, [3, -1])]), 0) for part in one.parts]
    assert not any(math.isnan(part.precision.value) for part in parts)
