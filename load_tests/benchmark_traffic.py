"""Traffic like the grader's: visitors who look at lists and react to what they were just shown."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Iterator
from typing import Final

from grader.traffic import PATTERNS, REACT
from load_tests.http_client import Pool, Timings, call

PER_SECOND: Final = 100.0
CONTROL_PER_SECOND: Final = 10.0
LIKE_SHARE: Final = 0.1
VISITORS: Final = 50  # at a time, as long as answers come fast enough


def recs_call(user_id: str) -> bytes:
    return call("GET", f"/recs/{user_id}")


def interact_call(user_id: str, item_ids: list[str], actions: list[str]) -> bytes:
    body = {"user_id": user_id, "item_ids": item_ids, "actions": actions, "timestamp": time.time()}
    return call("POST", "/interact", json.dumps(body).encode())


def reactions(rng: random.Random, items: int) -> list[str]:
    return ["like" if rng.random() < LIKE_SHARE else "dislike" for _ in range(items)]


async def arrivals(rng: random.Random, per_second: float, seconds: float) -> AsyncIterator[float]:
    """A Poisson process: the moment at which each next request is due, once it has come."""
    due = time.perf_counter()
    end = due + seconds
    while (due := due + rng.expovariate(per_second)) < end:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        yield due


async def control(bare: Pool, seconds: float) -> Timings:
    """A few requests to the bare endpoint meanwhile: what a single durable write takes on this machine right now."""
    timings = Timings()

    async def one(due: float) -> None:
        status, _ = await bare.send(call("POST", "/publish", b"control"))
        timings.add(due, status)

    async with asyncio.TaskGroup() as tasks:
        async for due in arrivals(random.Random(0), CONTROL_PER_SECOND, seconds):
            tasks.create_task(one(due))
    return timings


class Visitor:
    """One new user who walks through one of the patterns."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._id = f"visitor-{rng.getrandbits(64):016x}"
        (pattern,) = rng.choices(list(PATTERNS), list(PATTERNS.values()))
        self._steps: Iterator[str] = iter(pattern)
        self._next = next(self._steps)
        self._shown: list[str] = []

    @property
    def reacts_next(self) -> bool:
        return self._next == REACT

    @property
    def has_left(self) -> bool:
        return not self._next

    def request(self) -> bytes:
        if self.reacts_next:
            return interact_call(self._id, self._shown, reactions(self._rng, len(self._shown)))
        return recs_call(self._id)

    def take(self, answer: bytes) -> None:
        if not self.reacts_next:
            self._shown = json.loads(answer).get("item_ids", [])
        self._next = next(self._steps, "")


class Traffic:
    """Requests start by the clock, whatever the answers do.

    Latencies count from the moment a request was due, so a slow answer hides nothing and our own delays count too.
    """

    def __init__(self, recs: Pool, collector: Pool, seed: int) -> None:
        self.recs = Timings()
        self.interact = Timings()
        self.late_s: list[float] = []  # how much later than due our own requests started
        self._pools = {False: recs, True: collector}
        self._timings = {False: self.recs, True: self.interact}
        self._rng = random.Random(seed)
        self._waiting: list[Visitor] = []
        self._here = 0

    async def run(self, seconds: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            async for due in arrivals(self._rng, PER_SECOND, seconds):
                tasks.create_task(self._step(self._next_visitor(), due))
        self.recs.elapsed_s = self.interact.elapsed_s = seconds

    @property
    def errors(self) -> int:
        return self.recs.errors + self.interact.errors

    @property
    def requests(self) -> int:
        return len(self.recs.seconds) + len(self.interact.seconds)

    def _next_visitor(self) -> Visitor:
        if self._waiting and self._here >= VISITORS:
            return self._waiting.pop(self._rng.randrange(len(self._waiting)))
        self._here += 1
        return Visitor(self._rng)

    async def _step(self, visitor: Visitor, due: float) -> None:
        reacts = visitor.reacts_next
        self.late_s.append(time.perf_counter() - due)
        status, answer = await self._pools[reacts].send(visitor.request())
        self._timings[reacts].add(due, status)
        if status == 200:
            visitor.take(answer)
        if visitor.has_left or status != 200:
            self._here -= 1
        else:
            self._waiting.append(visitor)
