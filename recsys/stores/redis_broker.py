"""The broker on Redis Streams: one stream, one consumer group, entries deleted once acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from recsys.batching import Batcher
from recsys.stores.ports import Delivery
from recsys.stores.redis_client import redis_errors

GROUP: Final = "pipeline"
# A fixed name, so that a restarted pipeline finds what its predecessor had fetched and not acknowledged.
CONSUMER: Final = "pipeline"
FROM_START_OF_PENDING: Final = b"0"


class RedisBroker:
    """Durability is that of the server: with ``appendfsync always`` an entry is on disk before XADD answers."""

    def __init__(self, client: Redis, url: str, prefix: str, timeout_s: float) -> None:
        self._client = client
        self._url = url
        self._stream = f"{prefix}:events"
        self._timeout_s = timeout_s
        self._publishing: Batcher[tuple[str, Sequence[bytes]], None] = Batcher(self._publish_batch)
        self._pending_from: bytes | None = FROM_START_OF_PENDING

    async def publish(self, topic: str, bodies: Sequence[bytes]) -> None:
        await self._publishing.submit((topic, bodies))

    async def _publish_batch(self, calls: Sequence[tuple[str, Sequence[bytes]]]) -> list[None]:
        with redis_errors(self._url):
            pipeline = self._client.pipeline(transaction=False)
            for topic, bodies in calls:
                for body in bodies:
                    pipeline.xadd(self._stream, {topic: body})
            await pipeline.execute()
        return [None] * len(calls)

    async def fetch(self, limit: int, *, wait_s: float, linger_s: float) -> list[Delivery]:
        try:
            with redis_errors(self._url):
                return await self._fetch(limit, wait_s, linger_s)
        except BaseException:
            # The answer may have been lost on its way: what it held is pending for us now.
            self._pending_from = FROM_START_OF_PENDING
            raise

    async def _fetch(self, limit: int, wait_s: float, linger_s: float) -> list[Delivery]:
        if self._pending_from is not None:
            if pending := await self._read(limit, self._pending_from):
                self._pending_from = pending[-1].receipt
                # An entry that was deleted while pending has no body left.
                return [delivery for delivery in pending if delivery.topic]
            self._pending_from = None
        deliveries = await self._read(limit, b">", block_s=wait_s)
        if deliveries and len(deliveries) < limit and linger_s > 0:
            await asyncio.sleep(linger_s)
            deliveries += await self._read(limit - len(deliveries), b">")
        return deliveries

    async def _read(self, limit: int, start: bytes, block_s: float | None = None) -> list[Delivery]:
        # Blocks shorter than the socket's time limit, so that a silent server is noticed.
        block_ms = None if block_s is None else max(1, int(min(block_s, self._timeout_s / 2) * 1000))
        try:
            answer = await self._client.xreadgroup(GROUP, CONSUMER, {self._stream: start}, count=limit, block=block_ms)
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            await self._client.xgroup_create(self._stream, GROUP, id="0", mkstream=True)
            return []
        return [_delivery(entry_id, fields) for entry_id, fields in _entries(answer)]

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        if not deliveries:
            return
        ids = [delivery.receipt for delivery in deliveries]
        with redis_errors(self._url):
            pipeline = self._client.pipeline(transaction=True)
            pipeline.xack(self._stream, GROUP, *ids)
            pipeline.xdel(self._stream, *ids)
            await pipeline.execute()

    async def depth(self) -> int:
        with redis_errors(self._url):
            return int(await self._client.xlen(self._stream))

    async def ping(self) -> None:
        """With a write: a server that is out of memory or a replica answers, but takes nothing."""
        with redis_errors(self._url):
            await self._client.set(f"{self._stream}:ping", int(time.time()))

    async def close(self) -> None:
        await self._client.aclose()


def _entries(answer: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Entries of the only stream asked for, from the shapes of both RESP versions."""
    if not answer:
        return []
    if isinstance(answer, dict):
        (groups,) = answer.values()
        return [entry for group in groups for entry in group] if groups and isinstance(groups[0], list) else groups
    return list(answer[0][1])


def _delivery(entry_id: bytes, fields: dict[bytes, bytes] | None) -> Delivery:
    if not fields:
        return Delivery("", b"", entry_id)
    topic, body = next(iter(fields.items()))
    return Delivery(topic.decode(), body, entry_id)
