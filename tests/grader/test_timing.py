"""When users come, ask and react."""

from __future__ import annotations

import time
from typing import cast

import aiohttp
import pytest

from grader.service import Address, Answer, Service
from grader.session import Session, SessionConfig
from tests.grader.clock import jumping
from tests.grader.services import InOrder
from tests.grader.stages import graded, names_of, staged


@pytest.mark.parametrize("concurrency", [1, 50])
async def test_requests_are_timed_from_when_they_were_due(concurrency: int) -> None:
    """The first of a visit from the arrival of the user, even if he has to wait until a place is free."""
    stage = staged(concurrency=concurrency)
    run = await graded(InOrder(), stage)
    firsts = run.requests.unique("visit", maintain_order=True)
    assert firsts["due_s"].to_list() == (stage.plan.arrival_s[firsts["visit"].to_numpy()] / 1_000).tolist()
    due_s, sent_s, done_s = (run.requests[name].to_numpy() for name in ("due_s", "sent_s", "done_s"))
    assert (due_s >= 0).all()
    assert (due_s <= sent_s).all()
    assert (sent_s < done_s).all()


class AtOnce(Service):
    """In process: lists of nothing, and answers that take no time."""

    def __init__(self) -> None:
        super().__init__(cast(aiohttp.ClientSession, None), Address())

    async def recs(self, user_id: str, k: int, *, explain: bool = False) -> Answer:
        return Answer(200, b'{"item_ids": []}', "", time.perf_counter(), time.perf_counter())


@pytest.mark.parametrize("speed", [1, 20])
def test_users_come_and_pause_as_planned(speed: float) -> None:
    """Of a service that answers at once everything is asked for when the plan says, ``speed`` times faster."""
    stage = staged()
    session = Session(AtOnce(), stage.world, stage.plan, names_of(stage), SessionConfig(speed))
    with jumping() as run:
        run(session.run())
    lists = stage.plan.lists
    planned_s = stage.plan.due_s / speed
    assert session.record.due_s == pytest.approx(planned_s, abs=1e-3)
    assert session.record.sent_s[lists] == pytest.approx(planned_s[lists], abs=1e-3)
    assert planned_s.max() * speed > 5, "pauses were long"


def test_nobody_asks_before_his_time_even_if_timers_fire_early() -> None:
    stage = staged()
    session = Session(AtOnce(), stage.world, stage.plan, names_of(stage), SessionConfig())
    with jumping(early_s=0.001) as run:
        run(session.run())
    lists = stage.plan.lists
    assert (session.record.sent_s[lists] >= session.record.due_s[lists]).all()
