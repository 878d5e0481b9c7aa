"""The event collector: ``POST /interact`` → broker."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import Response
from prometheus_client import Counter
from pydantic_core import to_json

from recsys.contract import INTERACT_TOPIC, Interact
from recsys.settings import Settings
from recsys.stores.connect import open_broker, open_state
from recsys.stores.ports import Broker, Epochs, StoreUnavailable
from recsys.web import add_web_basics, body_schema, health, parse_body

log = structlog.get_logger()

ACCEPTED: Final = Counter("reactions_accepted_total", "reactions that the broker holds")
RETRY_PAUSE_S: Final = 0.1
EPOCH_SHARE: Final = 0.5  # of the patience; the rest is left for the broker


class Collector:
    """Stamps events and publishes them."""

    def __init__(self, epochs: Epochs, broker: Broker, patience_s: float) -> None:
        self._epochs = epochs
        self._broker = broker
        self._patience_s = patience_s
        self._last_epoch = 0

    async def accept(self, body: Interact) -> None:
        """Return once the broker holds the event for good. StoreUnavailable: it may or may not hold it."""
        if not body.item_ids:
            return
        deadline = asyncio.get_running_loop().time() + self._patience_s
        event: dict[str, Any] = {
            "event_id": uuid.uuid4().hex,
            "epoch": await self._epoch(),
            "received_at": time.time(),
            "user_id": body.user_id,
            "item_ids": body.item_ids,
            "actions": body.actions,
            "timestamp": body.timestamp,
        }
        await self._publish(to_json(event), deadline)
        ACCEPTED.inc(len(body.item_ids))

    async def _epoch(self) -> int:
        """While Redis is away: the last one known.

        It may have ended if a cleanup was answered between this process's last event and the outage; then the event is
        logged with the epoch that it belonged to, and has no effect.
        """
        try:
            async with asyncio.timeout(self._patience_s * EPOCH_SHARE):
                self._last_epoch = await self._epochs.current()
        except (StoreUnavailable, TimeoutError) as error:
            if not self._last_epoch:
                raise StoreUnavailable(str(error) or "Redis does not tell the epoch") from error
            log.warning("epoch taken from memory", epoch=self._last_epoch, error=str(error) or "no answer in time")
        return self._last_epoch

    async def _publish(self, event: bytes, deadline: float) -> None:
        """Wait a moment for a broker that is away. A second copy of an event does no harm: its id is the same."""
        failure = StoreUnavailable(f"the broker did not take the event within {self._patience_s:g} s")
        try:
            async with asyncio.timeout_at(deadline):
                while True:
                    try:
                        return await self._broker.publish(INTERACT_TOPIC, [event])
                    except StoreUnavailable as error:
                        failure = error
                    await asyncio.sleep(RETRY_PAUSE_S)
        except TimeoutError:
            raise failure from None

    async def check(self) -> str:
        await self._broker.ping()
        await self._epoch()
        return "ok"


def create_app(settings: Settings) -> FastAPI:
    state, broker = open_state(settings), open_broker(settings)
    collector = Collector(state.epochs, broker, settings.publish_timeout_s)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await broker.close()
        await state.close()

    app = FastAPI(title="Event collector", lifespan=lifespan)
    add_web_basics(app)
    origins = [origin.strip() for origin in settings.cors_origins.split(",")]
    app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["*"], allow_headers=["*"])

    @app.get("/healthcheck", summary="200 once events can be published")
    async def healthcheck() -> Response:
        return await health(collector.check)

    @app.post("/interact", summary="Take a user's likes and dislikes", openapi_extra=body_schema(Interact))
    async def interact(request: Request) -> Response:
        await collector.accept(await parse_body(request, Interact, settings.max_body_mib))
        return Response(b'{"status":"ok"}', media_type="application/json")

    return app
