"""What was shown to whom, on its way back through the broker in small batches."""

from __future__ import annotations

import asyncio
import time
import uuid
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import structlog
from prometheus_client import Counter
from pydantic_core import to_json

from recsys.contract import IMPRESSION_TOPIC
from recsys.stores.ports import Broker, StoreError

log = structlog.get_logger()

LOST: Final = Counter("impressions_lost_total", "impressions dropped because the broker was away for too long")
MESSAGE_SLATES: Final = 10  # bounds the events that the pipeline may have to recognise when they come again
FLUSH_SLATES: Final = 500  # published at once
KEPT_SLATES: Final = 50_000  # while the broker is away; beyond that the oldest are dropped, loudly
RETRY_S: Final = 1.0


class ImpressionRecorder:
    """Collects slates and publishes them every ``flush_s`` seconds. A killed worker loses at most that much."""

    def __init__(self, broker: Broker, flush_s: float) -> None:
        self._broker = broker
        self._flush_s = flush_s
        self._slates: list[tuple[int, dict[str, Any]]] = []
        self._task: asyncio.Task[None] | None = None

    def record(self, epoch: int, user_id: str, item_ids: list[str], sources: list[str]) -> None:
        slate = {
            "event_id": uuid.uuid4().hex,
            "user_id": user_id,
            "item_ids": item_ids,
            "sources": sources,
            "received_at": time.time(),
        }
        self._slates.append((epoch, slate))
        if self._task is None:
            self._task = asyncio.create_task(self._flush_until_empty())

    async def _flush_until_empty(self) -> None:
        pause_s = self._flush_s
        try:
            while self._slates:
                await asyncio.sleep(pause_s)
                pause_s = self._flush_s if await self._flushed() else RETRY_S
        finally:
            self._task = None

    async def _flushed(self) -> bool:
        try:
            await self.flush()
        except StoreError as error:
            self._drop_oldest()
            log.error("impressions wait for the broker", waiting=len(self._slates), error=str(error))
            return False
        return True

    async def flush(self) -> None:
        """Publish everything recorded so far; what could not be published stays."""
        while self._slates:
            epoch, same = next(groupby(self._slates[:FLUSH_SLATES], key=itemgetter(0)))
            batch = [slate for _, slate in same]
            pieces = (batch[first : first + MESSAGE_SLATES] for first in range(0, len(batch), MESSAGE_SLATES))
            await self._broker.publish(IMPRESSION_TOPIC, [to_json({"epoch": epoch, "slates": p}) for p in pieces])
            del self._slates[: len(batch)]

    def _drop_oldest(self) -> None:
        surplus = len(self._slates) - KEPT_SLATES
        if surplus > 0:
            del self._slates[:surplus]
            LOST.inc(surplus)
            log.error("impressions lost", slates=surplus)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        try:
            await self.flush()
        except StoreError as error:
            log.error("impressions lost at shutdown", slates=len(self._slates), error=str(error))
