"""The external protocol against a running service: setting up, then every visit of the plan at its time."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from grader.metrics.lists import NOTHING
from grader.record import Record
from grader.service import Answer, K, Service, read_list
from grader.traffic import Plan
from grader.worlds.world import World

BATCH: Final = 1_000


@dataclass(frozen=True)
class SessionConfig:
    """speed: how many times faster than planned visits come and users think; concurrency: users at once."""

    speed: float = 1.0
    concurrency: int = 50
    k: int = K
    batch: int = BATCH
    explain: bool = False


@dataclass(frozen=True)
class Names:
    """The ids of one run. ``position[item_ids[n]] == n``; ``order`` is how the catalogue is added."""

    item_ids: Sequence[str]
    user_ids: Sequence[str]
    order: Sequence[int]
    position: dict[str, int]

    @classmethod
    def of(cls, world: World, seed: int, salt: int) -> Names:
        """The order depends on the seed, the ids on both: a new salt gives ids that no service has seen before."""
        order = np.random.default_rng([seed, 3]).permutation(world.n_items)
        drawn = np.random.default_rng([seed, salt]).bytes(8 * (world.n_items + world.n_users))
        ids = [drawn[n : n + 8].hex() for n in range(0, len(drawn), 8)]
        items = ids[: world.n_items]
        return cls(items, ids[world.n_items :], order.tolist(), {item: n for n, item in enumerate(items)})


async def add_catalogue(service: Service, world: World, names: Names, batch: int) -> list[float]:
    """Seconds of each call."""
    genres = world.genre_lists()
    taken = []
    for start in range(0, len(names.order), batch):
        part = names.order[start : start + batch]
        answer = await service.add_items([names.item_ids[n] for n in part], [genres[n] for n in part])
        taken.append(answer.done_s - answer.sent_s)
    return taken


async def sleep_until(due_s: float) -> None:
    """Until ``time.perf_counter`` says so: timers of event loops fire up to a millisecond before they are due."""
    while (left := due_s - time.perf_counter()) > 0:  # noqa: ASYNC110  (time comes without an event)
        await asyncio.sleep(left)


class Session:
    """Arrivals are open: a visit starts at its time, whatever others are waiting for, as long as a place is free.

    Who has to wait for a place is late: ``due_s`` is when he came, ``sent_s`` when he could ask.
    """

    def __init__(self, service: Service, world: World, plan: Plan, names: Names, config: SessionConfig) -> None:
        self.record = Record.of(plan, config.k)
        self._service = service
        self._world = world
        self.plan = plan
        self._names = names
        self._config = config
        self._places = asyncio.Semaphore(config.concurrency)
        self._busy: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._reacted: defaultdict[int, set[int]] = defaultdict(set)
        self._began_s = 0.0

    async def run(self, visited: Callable[[], None] = lambda: None) -> None:
        """All visits; ``visited`` is called after each. What was done until a cancellation is in ``record``."""
        self._began_s = time.perf_counter()
        async with asyncio.TaskGroup() as visits:
            for visit, arrival_s in enumerate((self.plan.arrival_s / self._config.speed).tolist()):
                await sleep_until(self._began_s + arrival_s)
                await self._places.acquire()
                task = visits.create_task(self._visit(visit, arrival_s))
                task.add_done_callback(lambda _: self._places.release())
                task.add_done_callback(lambda _: visited())

    def _now(self) -> float:
        return time.perf_counter() - self._began_s

    async def _visit(self, visit: int, due_s: float) -> None:
        plan, user = self.plan, int(self.plan.user[visit])
        async with self._busy[user]:
            shown: list[int] = []
            for step in range(plan.first[visit], plan.first[visit + 1]):
                if step > plan.first[visit]:
                    due_s = self._now() + plan.pause_s[step] / self._config.speed
                    await sleep_until(self._began_s + due_s)
                self.record.due_s[step] = due_s
                if plan.looks[step]:
                    shown = await self._look(step, user)
                else:
                    await self._react(step, user, shown)

    async def _look(self, step: int, user: int) -> list[int]:
        """The items shown; none if the answer was no list."""
        answer = await self._service.recs(self._names.user_ids[user], self._config.k, explain=self._config.explain)
        self._note(step, answer)
        shown = read_list(answer.body) if answer.status == 200 else answer.problem
        if isinstance(shown, str):
            self.record.problems[step] = shown
            return []
        record, k = self.record, self._config.k
        found = [self._names.position.get(item, NOTHING) for item in shown.item_ids]
        record.returned[step] = min(len(found), np.iinfo(np.int16).max)
        record.unknown[step] = found[:k].count(NOTHING)
        record.repeated[step] = len(shown.item_ids[:k]) - len(set(shown.item_ids[:k]))
        record.items[step, : len(found[:k])] = found[:k]
        for rank, source in enumerate(shown.sources[:k]):
            record.source[step, rank] = record.source_number(source)
        return [item for item in dict.fromkeys(found[:k]) if item != NOTHING]

    async def _react(self, step: int, user: int, shown: list[int]) -> None:
        """Send the user's opinions of what he was just shown, once each; nothing if there are none."""
        reactions = opinions_of(self._world, user, [item for item in shown if item not in self._reacted[user]])
        if not reactions:
            return
        self._reacted[user].update(reactions)
        items = [self._names.item_ids[item] for item in reactions]
        actions = ["like" if liked else "dislike" for liked in reactions.values()]
        self.record.likes[step] = sum(reactions.values())
        self.record.dislikes[step] = len(reactions) - self.record.likes[step]
        answer = await self._service.interact(self._names.user_ids[user], items, actions)
        self._note(step, answer)
        if answer.problem:
            self.record.problems[step] = answer.problem

    def _note(self, step: int, answer: Answer) -> None:
        self.record.status[step] = answer.status
        self.record.sent_s[step] = answer.sent_s - self._began_s
        self.record.done_s[step] = answer.done_s - self._began_s


def opinions_of(world: World, user: int, items: Sequence[int]) -> dict[int, bool]:
    """Of ``items`` those that the user has an opinion of, in the same order: True for a like."""
    start, end = world.indptr[user], world.indptr[user + 1]
    held = world.opinion_items[start:end]
    places = np.searchsorted(held, items).tolist()
    return {
        item: bool(world.liked[start + place])
        for item, place in zip(items, places, strict=True)
        if place < len(held) and held[place] == item
    }
