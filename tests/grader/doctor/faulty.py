"""The reference recommender on two free ports, both roles of the contract, with the faults it was given."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from grader.service import Address
from tests.grader.doctor.reference import Fault, Reference, Refused, must

MAX_BODY_BYTES = 16 * 1024 * 1024
MANY_AT_ONCE = 20  # as many as any check but the load sends
SLOW_S = 0.1  # long enough for the requests of fifty users to meet
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def running(*faults: Fault, apply_s: float = 0.005) -> AsyncIterator[Address]:
    """In the running event loop."""
    runner = web.AppRunner(Faulty(Reference(*faults, apply_s=apply_s)).app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    sites = [web.TCPSite(runner, "127.0.0.1", 0) for _ in range(2)]
    for site in sites:
        await site.start()
    ports = [address[1] for address in runner.addresses]
    try:
        yield Address(*(f"http://127.0.0.1:{port}" for port in ports))
    finally:
        await runner.cleanup()


class Faulty:
    """HTTP around a Reference; faults of HTTP itself are here."""

    def __init__(self, reference: Reference) -> None:
        self.reference, self.has = reference, reference.has
        self.at_once = self.waited = 0
        self.dead = False

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._errors], client_max_size=MAX_BODY_BYTES)
        app.router.add_get("/healthcheck", self.health)
        if not self.has(Fault.NO_CLEANUP):
            app.router.add_post("/cleanup", self.cleanup)
        if not self.has(Fault.NO_CLEANUP, Fault.GET_CLEANUP_405):
            app.router.add_get("/cleanup", self.cleanup)
        app.router.add_post("/add_items", self.add_items)
        app.router.add_get("/recs/{user_id}", self.recs)
        app.router.add_post("/interact", self.interact)
        return app

    @property
    def _errors(self) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
        @web.middleware
        async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
            if self.dead:
                return _hang_up(request)
            self.at_once += 1
            try:
                return await handler(request)
            except Refused as refused:
                return web.json_response({"detail": str(refused)}, status=422)
            except web.HTTPException:
                raise
            except Exception as error:
                return web.json_response({"detail": repr(error)}, status=500)
            finally:
                self.at_once -= 1

        return errors

    async def health(self, request: web.Request) -> web.Response:
        if self.has(Fault.HEALTH_HANGS):
            await asyncio.Event().wait()
        if self.has(Fault.WEB_PAGE):
            return web.Response(text="<!DOCTYPE html><p>hello", content_type="text/html")
        return web.json_response({}, status=500 if self.has(Fault.HEALTH_500) else 200)

    async def cleanup(self, request: web.Request) -> web.Response:
        self.reference.cleanup()
        return web.json_response({})

    async def add_items(self, request: web.Request) -> web.StreamResponse:
        self.reference.add_items(await self._body(request))
        return web.json_response({})

    async def interact(self, request: web.Request) -> web.Response:
        self.reference.interact(await self._body(request))
        return web.json_response({})

    async def recs(self, request: web.Request) -> web.Response:
        if self.has(Fault.FAILS_UNDER_LOAD):
            await self._exhaust_pool()
        user = request.match_info["user_id"]
        if self.has(Fault.UNICODE_USER_500):
            user.encode("ascii")
        found = await self.reference.recs(user, self._k(request))
        answer: Any = found if self.has(Fault.BARE_LIST) else {"item_ids": found}
        if self.has(Fault.EXTRA_KEY):
            answer["user_id"] = user
        if self.has(Fault.PLAIN_TEXT):
            return web.Response(text=json.dumps(answer))
        return web.json_response(answer)

    async def _exhaust_pool(self) -> None:
        """Every tenth request that finds many others fails."""
        self.waited += self.at_once > MANY_AT_ONCE
        if self.at_once > MANY_AT_ONCE and self.waited % 10 == 0:
            raise RuntimeError("pool exhausted")
        await asyncio.sleep(SLOW_S)

    def _k(self, request: web.Request) -> int:
        text = request.query.get("k", "10")
        valid = text.isdecimal() and int(text) > 0
        must(valid or self.has(Fault.K_UNCHECKED), "k has to be a positive number")
        return int(text) if valid else 10

    async def _body(self, request: web.Request) -> Any:
        try:
            return json.loads(await request.read())
        except ValueError:
            if self.has(Fault.BAD_JSON_500):
                raise
            raise Refused("no JSON") from None
        except web.HTTPRequestEntityTooLarge:
            self.dead = self.has(Fault.DIES_OF_HUGE_BODY)
            if self.has(Fault.HUGE_BODY_500):
                raise RuntimeError("out of memory") from None
            raise


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
