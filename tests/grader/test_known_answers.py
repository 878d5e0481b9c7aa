"""Runs over real HTTP against services whose figures theory tells."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import polars as pl
import pytest
from aiohttp import web

from grader.assessment import Assessment, assess
from grader.grade import Stage, put_through
from grader.run import Run
from tests.grader import definitions
from tests.grader.services import AllKnowing, AtRandom, InOrder, SameForAll, lists_of, serving
from tests.grader.stages import Silence, graded, names_of, staged
from tests.grader.worlds import likes_in

K = 10


def lists_per_user(stage: Stage) -> Counter[int]:
    return Counter(stage.plan.step_user[stage.plan.lists].tolist())


def values_of(assessment: Assessment) -> dict[str, float]:
    return {name: measured.value for name, measured in assessment.measurements.items()}


def linear(value: float, none: float, full: float) -> float:
    return min(10.0, max(0.0, 10 * (value - none) / (full - none)))


def faults_of(assessment: Assessment) -> dict[str, tuple[int, int]]:
    """Lists and places of each fault that there was."""
    return {fault.name: (fault.lists, fault.places) for fault in assessment.faults if fault.lists}


async def test_who_knows_all_gets_what_the_best_lists_are_worth() -> None:
    stage = staged(explain=False)
    service = AllKnowing.of(stage.world, names_of(stage))
    assessment = assess(await graded(service, stage))
    hits, everything, remaining_ndcg, all_ndcg = [], [], [], []
    for user, lists in lists_per_user(stage).items():
        liked = len(likes_in(stage.world)[user])
        for number in range(lists):
            found = min(K, max(0, liked - K * number))
            row = [place < found for place in range(K)]
            hits.append(found)
            everything.append(float(found > 0))
            remaining_ndcg.append(1.0 if found else math.nan)
            all_ndcg.append(definitions.ndcg(row, liked))
    assert 0 < hits.count(0) < len(hits), "some users run out of what they like"
    expected = {
        "precision": definitions.mean(hits) / K,
        "hits_per_list": definitions.mean(hits),
        "hit_rate": definitions.mean(everything),
        "ndcg_remaining": definitions.mean(remaining_ndcg),
        "ndcg_all": definitions.mean(all_ndcg),
    }
    values = values_of(assessment)
    assert {name: values[name] for name in expected} == pytest.approx(expected)
    assert faults_of(assessment) == {}
    assert [row.points.value for row in assessment.card.rows[:2]] == [10.0, 10.0]
    diversity, coverage = values["intra_list_diversity"], values["catalogue_coverage"]
    points = 20 + linear(diversity, 0.1, 0.4) + linear(coverage, 0.1, 0.8)
    assert assessment.card.quality.value == pytest.approx(points)


async def test_the_same_list_for_all_is_worth_what_its_first_time_is() -> None:
    stage, service = staged(explain=False), SameForAll()
    assessment = assess(await graded(service, stage))
    positions = [names_of(stage).position[item] for item in service.items[:K]]
    likes, lists = likes_in(stage.world), lists_per_user(stage)
    first_hits = [[item in likes[user] for item in positions] for user in lists]
    n_lists, repeated = sum(lists.values()), sum(lists.values()) - len(lists)
    genres = [{*names} for names in stage.world.genre_lists()]
    nothing_left = sum(not likes[user] - {*positions} for user in lists)
    ndcgs = [definitions.ndcg(row, len(likes[user])) for row, user in zip(first_hits, lists, strict=True)]
    assert nothing_left == 0, "later lists have an nDCG of 0, not none"
    expected = {
        "precision": sum(map(sum, first_hits)) / (n_lists * K),
        "hit_rate": sum(map(any, first_hits)) / n_lists,
        "ndcg_remaining": sum(ndcgs) / n_lists,
        "ndcg_all": sum(ndcgs) / n_lists,
        "intra_list_diversity": definitions.intra_list_diversity(positions, genres),  # type: ignore[arg-type]
        "share_of_genres": len(set[str]().union(*(genres[item] for item in positions))) / len(stage.world.genre_names),
        "catalogue_coverage": K / stage.world.n_items,
        "inter_user_diversity": 0.0,
        "exposure_gini": 1 - K / stage.world.n_items,
    }
    values = values_of(assessment)
    assert {name: values[name] for name in expected} == pytest.approx(expected, rel=1e-6, abs=1e-12)
    assert faults_of(assessment) == {"already shown to the user": (repeated, repeated * K)}
    by_request = {part.label: part.hits for part in assessment.breakdowns[0].parts}
    assert sum(by_request.values()) == by_request["1"] == sum(map(sum, first_hits))


async def test_random_lists_hit_as_often_as_chance_has_it() -> None:
    stage = staged(explain=False)
    values = values_of(assess(await graded(AtRandom(), stage)))
    lists, likes, n_items = lists_per_user(stage), likes_in(stage.world), stage.world.n_items
    rates = [len(likes[user]) / n_items for user in lists.elements()]
    mean, variance = sum(rates) / len(rates), sum(p * (1 - p) for p in rates) / len(rates) ** 2 / K
    assert values["precision"] == pytest.approx(mean, abs=5 * math.sqrt(variance))
    assert values["inter_user_diversity"] == pytest.approx(1 - K / n_items, abs=0.01)


async def test_random_lists_cover_as_much_as_chance_has_it() -> None:
    stage = staged(explain=False, users=6)
    values = values_of(assess(await graded(AtRandom(), stage)))
    n_items = stage.world.n_items
    missed = math.prod(1 - n * K / n_items for n in lists_per_user(stage).values())
    assert 0.1 < missed < 0.9
    deviation = math.sqrt(missed * (1 - missed) / n_items)
    assert values["catalogue_coverage"] == pytest.approx(1 - missed, abs=5 * deviation)


@pytest.mark.parametrize("speeds", [(1_000.0, 300.0)])
async def test_runs_with_other_ids_measure_the_same_to_the_last_bit(speeds: tuple[float, float]) -> None:
    one, other = [
        assess(await graded(InOrder(), staged(salt=salt, speed=speed, explain=False)))
        for salt, speed in zip((1, 2), speeds, strict=True)
    ]
    lists = {name: measured for name, measured in one.measurements.items() if not name.endswith("_ms")}
    assert len(lists) == 11
    for name, measured in lists.items():
        assert other.measurements[name].value == measured.value, name
        assert other.measurements[name].repeats.tobytes() == measured.repeats.tobytes(), name
    assert one.card.quality.repeats.tobytes() == other.card.quality.repeats.tobytes()
    assert one.breakdowns[0].parts[0].precision.value == other.breakdowns[0].parts[0].precision.value
    assert faults_of(one) == faults_of(other) == {}


class Way(NamedTuple):
    """How an answer fails, and what the run says of it: problem, ids returned, unknown, repeated, places lost."""

    problem: str
    returned: int = 0
    unknown: int = 0
    repeated: int = 0
    fault: str = "no list: error or timeout"
    lost: int = K


GOOD = Way("", K, fault="", lost=0)
WAYS = {
    "good": GOOD,
    "status 500": Way("status 500"),
    "status 204": Way("status 204"),
    "hangs": Way("timeout"),
    "closes": Way("connection closed"),
    "cut off": Way("ClientPayloadError"),
    "endless": Way("answer over 0.1 MB"),
    "sent nowhere": Way("sent on to an invalid host name"),
    "html": Way("no JSON"),
    "other key": Way("no item_ids"),
    "no object": Way("no item_ids"),
    "short": Way("", 7, fault="short", lost=3),
    "empty": Way("", 0, fault="short", lost=10),
    "unknown ids": Way("", K, unknown=4, fault="unknown ids", lost=4),
    "repeated ids": Way("", K, repeated=2, fault="repeated within the list", lost=2),
    "numbers": Way("", K, unknown=K, fault="unknown ids", lost=K),
    "no text": Way("", K, unknown=1, fault="unknown ids", lost=1),
    "too many": Way("", 13, fault="", lost=0),
}


@dataclass
class Failing(InOrder):
    """Fails in every way in turn; ``ways`` by user and number of the list."""

    ways: dict[tuple[str, int], str] = field(default_factory=dict)

    async def answer(self, request: web.Request, user: str, found: list[str]) -> web.StreamResponse:
        way = list(WAYS)[(len(lists_of(self.events)) - 1) % len(WAYS)]
        self.ways[user, sum(who == user for who, _ in self.ways) + 1] = way
        match way:
            case "status 500":
                return web.json_response({"item_ids": found}, status=500)
            case "status 204":
                return web.Response(status=204)
            case "hangs":
                await asyncio.Event().wait()
            case "closes":
                return hung_up(request)
            case "cut off":
                return await cut_off(request)
            case "endless":
                return await endless(request)
            case "sent nowhere":
                raise web.HTTPFound("http://a..b/")
            case "html":
                return web.Response(text="<html>", content_type="text/html")
        return web.json_response(body_of(way, found, self.items))


def hung_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def cut_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b'{"item_ids": [')
    return hung_up(request)


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:  # until nobody reads it any more
        await response.write(b" " * 10_000)


def body_of(way: str, found: Sequence[str], items: Sequence[str]) -> Any:
    changed: dict[str, Any] = {
        "other key": {"items": found},
        "no object": found,
        "short": {"item_ids": found[:7]},
        "empty": {"item_ids": []},
        "unknown ids": {"item_ids": [*found[:6], *"wxyz"]},
        "repeated ids": {"item_ids": [*found[:8], found[0], found[1]]},
        "numbers": {"item_ids": list(range(K))},
        "no text": {"item_ids": [*found[:9], "\ud800"]},
        "too many": {"item_ids": [*found, *items[-3:]]},
    }
    return changed.get(way, {"item_ids": found})


@pytest.fixture(scope="module")
def failing() -> tuple[Run, Failing, Stage]:
    """One run against a service that fails in every way; every test looks at another side of it."""
    stage, service = staged(explain=False, timeout_s=1.0), Failing()

    async def go() -> Run:
        async with serving(service) as address:
            return await put_through(stage, address, Silence())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("grader.service.MAX_ANSWER_BYTES", 100_000)
        return asyncio.run(go()), service, stage


def way_of(row: dict[str, Any], service: Failing, stage: Stage) -> Way:
    return WAYS[service.ways[names_of(stage).user_ids[row["user"]], row["number"]]]


def test_every_failing_list_is_noted_with_its_problem(failing: tuple[Run, Failing, Stage]) -> None:
    run, service, stage = failing
    assert run.recs.height == len(stage.plan.lists)
    assert set(service.ways.values()) == set(WAYS)
    for row in run.recs.iter_rows(named=True):
        way = way_of(row, service, stage)
        assert (row["problem"], row["returned"], row["unknown"], row["repeated"]) == way[:4]
        if way.problem:
            assert row["items"] == [-1] * K
            assert not any(row["hits"])


def test_every_list_is_asked_for_once_even_if_the_connection_is_closed(failing: tuple[Run, Failing, Stage]) -> None:
    """A second request would get another list, and use up what the user was never shown."""
    run, service, _ = failing
    assert len(lists_of(service.events)) == run.recs.height


def test_failing_lists_count_as_misses(failing: tuple[Run, Failing, Stage]) -> None:
    run, service, stage = failing
    likes, position = likes_in(stage.world), names_of(stage).position
    rows = [
        [position.get(str(item), -1) for item in ids[:K]] + [-1] * (K - len(ids[:K]))
        for ids in (ids_of(row, service, stage) for row in run.recs.iter_rows(named=True))
    ]
    lists = definitions.judged(likes, run.recs["user"].to_list(), rows)
    assert run.recs["hits"].to_list() == [one.hits for one in lists]
    measured = values_of(assess(run))
    assert measured["precision"] == pytest.approx(sum(sum(one.hits) for one in lists) / (K * len(lists)))
    assert measured["ndcg_remaining"] == pytest.approx(
        definitions.mean([definitions.ndcg(one.hits, one.remaining) for one in lists])
    )


def ids_of(row: dict[str, Any], service: Failing, stage: Stage) -> list[Any]:
    """What the list held: the user's next items in order, as its way left them."""
    if row["problem"]:
        return []
    name = names_of(stage).user_ids[row["user"]]
    given = [listed.answer for listed in lists_of(service.events) if listed.user == name][row["number"] - 1]
    ids: list[Any] = body_of(service.ways[name, row["number"]], given, service.items)["item_ids"]
    return ids


def test_faults_count_lists_and_lost_places_of_each_way(failing: tuple[Run, Failing, Stage]) -> None:
    run, service, stage = failing
    ways = [way_of(row, service, stage) for row in run.recs.iter_rows(named=True)]
    named = {way.fault for way in WAYS.values() if way.fault}
    expected = {
        name: (sum(way.fault == name for way in ways), sum(way.lost for way in ways if way.fault == name))
        for name in named
    }
    assert faults_of(assess(run)) == expected


def test_nobody_reacts_to_a_list_that_failed(failing: tuple[Run, Failing, Stage]) -> None:
    run, _, _ = failing
    failed = run.recs.filter(pl.col("problem") != "").select("user", "number")
    assert failed.height > 0
    assert run.interacts.join(failed, on=["user", "number"]).is_empty()


@dataclass
class RefusingReactions(InOrder):
    async def react(self, request: web.Request, reacted: Any) -> web.StreamResponse:
        return web.json_response({"detail": "broker away"}, status=503)


async def test_refused_reactions_are_noted_and_leave_users_cold() -> None:
    run = await graded(RefusingReactions(), staged(explain=False))
    assert set(run.interacts["problem"].to_list()) == {"status 503"}
    (users,) = [breakdown for breakdown in assess(run).breakdowns if breakdown.title == "User"]
    assert [part.label for part in users.parts] == ["cold: nothing accepted before"]
    assert set(run.recs["problem"].to_list()) == {""}
