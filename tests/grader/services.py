"""Small services of the contract over real HTTP, both roles on one port, whose lists are known beforehand."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from grader.service import Address
from grader.session import Names
from grader.worlds.world import World
from tests.grader.worlds import likes_in

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Listed:
    """A list that was asked for, and the answer."""

    user: str
    answer: Any


@dataclass(frozen=True)
class Reacted:
    user: str
    item_ids: list[str]
    actions: list[str]


@dataclass
class InOrder:
    """Gives every user the next items in the order in which they were added, and keeps all that it is sent."""

    batches: list[dict[str, Any]] = field(default_factory=list)
    events: list[Listed | Reacted] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    shown: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._keep_path], client_max_size=2**26)
        app.router.add_get("/healthcheck", self.health)
        app.router.add_route("*", "/cleanup", self.cleanup)
        app.router.add_post("/add_items", self._add_items)
        app.router.add_get("/recs/{user_id}", self._recs)
        app.router.add_post("/interact", self._interact)
        return app

    @property
    def _keep_path(self) -> Any:
        @web.middleware
        async def keep(request: web.Request, handler: Any) -> web.StreamResponse:
            self.paths.append(f"{request.method} {request.path_qs}")
            response: web.StreamResponse = await handler(request)
            return response

        return keep

    async def health(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({})

    async def cleanup(self, request: web.Request) -> web.StreamResponse:
        for kept in (self.batches, self.events, self.items, self.shown):
            kept.clear()
        return web.json_response({})

    async def _add_items(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.batches.append(body)
        self.items.extend(body["item_ids"])
        return web.json_response({})

    async def _recs(self, request: web.Request) -> web.StreamResponse:
        user, k = request.match_info["user_id"], int(request.query.get("k", "10"))
        found = self.choose(user, k)
        self.shown[user].extend(found)
        self.events.append(Listed(user, found))
        return await self.answer(request, user, found)

    async def _interact(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        reacted = Reacted(body["user_id"], body["item_ids"], body["actions"])
        self.events.append(reacted)
        return await self.react(request, reacted)

    def choose(self, user: str, k: int) -> list[str]:
        seen = len(self.shown[user])
        return self.items[seen : seen + k]

    async def answer(self, request: web.Request, user: str, found: list[str]) -> web.StreamResponse:
        return web.json_response({"item_ids": found})

    async def react(self, request: web.Request, reacted: Reacted) -> web.StreamResponse:
        return web.json_response({})


@dataclass
class SameForAll(InOrder):
    def choose(self, user: str, k: int) -> list[str]:
        return self.items[:k]


@dataclass
class AtRandom(InOrder):
    """Items that the user has not seen; by user and number of the list, whatever others do."""

    def choose(self, user: str, k: int) -> list[str]:
        seen = set(self.shown[user])
        unseen = [item for item in self.items if item not in seen]
        return random.Random(f"{user} {len(seen)}").sample(unseen, k)


@dataclass
class AllKnowing(InOrder):
    """Likes of the user first, then what he does not like; never an item twice."""

    best: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, world: World, names: Names) -> AllKnowing:
        best = {}
        for user, likes in zip(names.user_ids, likes_in(world), strict=True):
            order = [*sorted(likes), *(item for item in range(world.n_items) if item not in likes)]
            best[user] = [names.item_ids[item] for item in order]
        return cls(best=best)

    def choose(self, user: str, k: int) -> list[str]:
        seen = len(self.shown[user])
        return self.best[user][seen : seen + k]


@asynccontextmanager
async def serving(service: InOrder | web.Application) -> AsyncIterator[Address]:
    """In the running event loop."""
    app = service if isinstance(service, web.Application) else service.app()
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, 0).start()
        url = f"http://{LOOPBACK}:{runner.addresses[0][1]}"
        yield Address(url, url)
    finally:
        await runner.cleanup()


@contextmanager
def serving_apart(service: InOrder | web.Application) -> Iterator[Address]:
    """In a thread with an event loop of its own, for callers that have none."""
    ready, address = threading.Event(), list[Address]()

    async def serve() -> None:
        async with serving(service) as found:
            address.append(found)
            ready.set()
            await stopped.wait()

    with asyncio.Runner() as runner:
        loop, stopped = runner.get_loop(), asyncio.Event()
        thread = threading.Thread(target=runner.run, args=(serve(),))
        thread.start()
        try:
            assert ready.wait(30)
            yield address[0]
        finally:
            loop.call_soon_threadsafe(stopped.set)
            thread.join()


def lists_of(events: Sequence[Listed | Reacted]) -> list[Listed]:
    return [event for event in events if isinstance(event, Listed)]


def reactions_of(events: Sequence[Listed | Reacted]) -> list[Reacted]:
    return [event for event in events if isinstance(event, Reacted)]
