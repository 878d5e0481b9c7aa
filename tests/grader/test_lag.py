"""From when on a reaction shows in lists."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import aiohttp
import numpy as np
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from grader import lag as module
from grader.lag import DELAYS_S, FAVOURITES, PROBES, Lag, Probe, favourites, lag_of, measure_lag
from grader.metrics.lists import judge
from grader.service import Address, Answer, Service
from grader.session import Names
from tests.grader.clock import jumping
from tests.grader.services import AtRandom, InOrder, Reacted
from tests.grader.stages import graded, names_of, staged
from tests.grader.worlds import world_of

DELAYS = (0.0, 0.1, 0.2, 0.4)


def probes_of(*reflected: int, of: int = 20) -> list[Probe]:
    """So many of the probes of each delay in DELAYS were reflected."""
    return [Probe(DELAYS[at], n < count) for at, count in enumerate(reflected) for n in range(of)]


@pytest.mark.parametrize(
    ("reflected", "p50_s", "p95_s"),
    [
        ((20, 20, 20, 20), 0.0, 0.0),
        ((0, 0, 0, 0), None, None),
        ((0, 20, 20, 20), 0.1, 0.1),
        ((9, 10, 18, 19), 0.1, 0.4),
        ((10, 10, 19, 20), 0.0, 0.2),
        ((10, 10, 18, 18), 0.0, None),
        ((20, 20, 5, 20), 0.4, 0.4),  # not reached for good before
        ((20, 20, 20, 9), None, None),
    ],
)
def test_a_share_is_reached_where_no_later_one_is_below(
    reflected: tuple[int, ...], p50_s: float | None, p95_s: float | None
) -> None:
    lag = lag_of(probes_of(*reflected), DELAYS)
    assert (lag.p50_s, lag.p95_s, lag.reason) == (p50_s, p95_s, "")
    assert lag.shares == [(delay, count / 20) for delay, count in zip(DELAYS, reflected, strict=True)]


def test_a_late_probe_counts_at_the_delay_that_it_had() -> None:
    late = [Probe(0.15, True), Probe(0.399, False), Probe(9.0, True)]
    assert lag_of(late, DELAYS).shares == [(0.1, 1.0), (0.2, 0.0), (0.4, 1.0)]


@given(st.floats(0, 3), st.integers(1, 40))
def test_a_sharp_lag_is_found_at_the_first_delay_beyond_it(true_s: float, probes: int) -> None:
    found = lag_of([Probe(delay, delay >= true_s) for delay in DELAYS_S for _ in range(probes)])
    expected = min(delay for delay in DELAYS_S if delay >= true_s)
    assert found.p50_s == found.p95_s == expected


def test_favourites_are_what_new_users_are_shown_most() -> None:
    world = world_of([{}] * 3, [set()] * 6)
    rows = np.array([[0, 1, -1], [2, 1, 0], [3, 4, 5], [0, 1, 5]], np.int32)
    found, expected = favourites(judge(world, np.array([0, 1, 1, 2], np.int32), rows))
    assert set(found[:2]) == {0, 1}
    assert set(found) == {0, 1, 2, 5}, "3 and 4 were in a second list"
    assert expected == pytest.approx(8 / 3)


def test_favourites_are_not_more_than_a_probe_dislikes() -> None:
    world = world_of([{}] * 60, [set()] * 600)
    rows = np.arange(600, dtype=np.int32).reshape(60, 10)
    found, expected = favourites(judge(world, np.arange(60, dtype=np.int32), rows))
    assert len(found) == FAVOURITES
    assert expected == pytest.approx(FAVOURITES / 60)


@dataclass
class Reflecting(InOrder):
    """The first items that the user did not dislike."""

    disliked: set[tuple[str, str]] = field(default_factory=set)

    def choose(self, user: str, k: int) -> list[str]:
        return [item for item in self.items if (user, item) not in self.disliked][:k]

    async def react(self, request: web.Request, reacted: Reacted) -> web.StreamResponse:
        told = zip(reacted.item_ids, reacted.actions, strict=True)
        self.disliked.update((reacted.user, item) for item, action in told if action == "dislike")
        return await super().react(request, reacted)


@dataclass
class Unanswered(InOrder):
    """Takes no reaction of users that come after the visits."""

    visitors: Sequence[str] = ()

    async def react(self, request: web.Request, reacted: Reacted) -> web.StreamResponse:
        if reacted.user in self.visitors:
            return await super().react(request, reacted)
        return web.json_response({}, status=500)


class Sharp(Service):
    """In process: lists reflect a dislike ``lag_s`` after it. They are sent ``held_s`` after they are wanted."""

    def __init__(self, lag_s: float, held_s: float = 0.0) -> None:
        super().__init__(cast(aiohttp.ClientSession, None), Address())
        self._lag_s, self._held_s = lag_s, held_s
        self._accepted_s: dict[str, float] = {}

    async def interact(self, user_id: str, item_ids: Sequence[str], actions: Sequence[str]) -> Answer:
        self._accepted_s[user_id] = now_s = time.perf_counter()
        return Answer(200, b"{}", "", now_s, now_s)

    async def recs(self, user_id: str, k: int, *, explain: bool = False) -> Answer:
        await asyncio.sleep(self._held_s)
        now_s = time.perf_counter()
        reflects = now_s - self._accepted_s[user_id] >= self._lag_s
        body = {"item_ids": ["other"] if reflects else ["favourite 0"]}
        return Answer(200, json.dumps(body).encode(), "", now_s, now_s)


def probed(service: Service, early_s: float = 0.0) -> Lag:
    """What ``measure_lag`` finds; all users were shown ten favourites."""
    items = [f"favourite {n}" for n in range(10)]
    names = Names(items, ["user"], range(10), {item: n for n, item in enumerate(items)})
    shown = judge(world_of([{}], [set()] * 10), np.array([0], np.int32), np.arange(10, dtype=np.int32)[None])
    with jumping(early_s) as run:
        return run(measure_lag(service, names, shown, seed=0))


@pytest.mark.parametrize("early_s", [0.0, 0.001], ids=lambda early_s: f"timers {early_s:g} s early")
def test_a_probe_waits_for_its_delay_whatever_timers_do(early_s: float) -> None:
    """Probes that came before their time would be counted at the next shorter delay, where nothing is reflected."""
    lag = probed(Sharp(lag_s=0.06), early_s)
    assert lag.shares == [(delay, float(delay > 0.06)) for delay in DELAYS_S]
    assert lag.p50_s == lag.p95_s == 0.1


def test_a_probe_counts_at_the_delay_with_which_it_was_sent() -> None:
    """Not at the planned one: a grader that is late would find a service slower to learn than it is, or quicker."""
    lag = probed(Sharp(lag_s=0.06, held_s=0.15))
    assert lag.shares == [(delay, 1.0) for delay in DELAYS_S if delay >= 0.1]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> int:
    """Two short delays instead of seconds; how many probes they make."""
    monkeypatch.setattr(module, "DELAYS_S", DELAYS_S[:2])
    return 2 * PROBES


async def measured(service: InOrder) -> dict[str, Any]:
    stage = staged(lag=True, explain=False)
    if isinstance(service, Unanswered):
        service.visitors = names_of(stage).user_ids
    lag: dict[str, Any] = (await graded(service, stage)).facts["lag"]
    return lag


async def test_a_service_that_reflects_at_once_has_no_lag(soon: int) -> None:
    service = Reflecting()
    lag = await measured(service)
    assert lag["p50_s"] == lag["p95_s"] == lag["shares"][0][0]
    assert {share for _, share in lag["shares"]} == {1.0}
    probes = {user for user in service.shown if "-" in user}
    assert len(probes) == soon, "each probe is a user of its own"
    assert all(len(service.shown[user]) == 10 for user in probes), "and asks once"


async def test_a_service_that_never_reflects_has_a_lag_beyond_all_that_was_tried(soon: int) -> None:
    lag = await measured(InOrder())
    assert (lag["p50_s"], lag["p95_s"], lag["reason"]) == (None, None, "")
    assert {share for _, share in lag["shares"]} == {0.0}


async def test_the_visits_are_scored_without_the_probes(soon: int) -> None:
    stage = staged(lag=True, explain=False)
    run = await graded(InOrder(), stage)
    assert run.recs.height == len(stage.plan.lists)
    assert set(run.requests["user"].to_list()) <= set(range(stage.world.n_users))


async def test_lists_without_anything_in_common_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FAVOURITES", 5)
    service = AtRandom()
    lag = await measured(service)
    assert lag["p95_s"] is None
    assert "too different" in lag["reason"]
    assert not any("-" in user for user in service.shown)


async def test_probes_that_are_not_answered_tell_nothing(soon: int) -> None:
    assert await measured(Unanswered()) == {
        **vars(Lag(None, None, (), "the probes were not answered")),
        "shares": (),
    }
