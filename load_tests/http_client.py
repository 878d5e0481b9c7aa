"""A keep-alive HTTP/1.1 client for load on this machine: little work per request, so that the server is the limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np


class Connection:
    """One connection, one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body. Only answers with a Content-Length are understood: all of ours have one."""
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        lower = answer.lower()
        start = lower.index(b"content-length:") + 15
        length = int(lower[start : lower.index(b"\r\n", start)])
        return int(answer[9:12]), await self._reader.readexactly(length)

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


@dataclass
class Timings:
    """Latencies in seconds, in the order of completion."""

    seconds: list[float] = field(default_factory=list)
    errors: int = 0
    elapsed_s: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.seconds) / self.elapsed_s

    def percentile_ms(self, percent: float) -> float:
        return float(np.percentile(self.seconds, percent)) * 1000


Call = tuple[str, str, bytes]


async def closed_loop(port: int, calls: Sequence[Call], connections: int) -> Timings:
    """Every connection sends its next call as soon as it has its answer."""
    timings = Timings()
    queue = iter(calls)
    opened = [await Connection.open(port) for _ in range(connections)]

    async def work(connection: Connection) -> None:
        for call in queue:
            await _timed(timings, connection.request, call, time.perf_counter())

    begun = time.perf_counter()
    await asyncio.gather(*(work(connection) for connection in opened))
    timings.elapsed_s = time.perf_counter() - begun
    await asyncio.gather(*(connection.close() for connection in opened))
    return timings


async def open_arrivals(port: int, calls: Sequence[Call], per_second: float, connections: int = 50) -> Timings:
    """Calls start by the clock. The wait for a free connection counts: a slow answer hides nothing."""
    timings = Timings()
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(connections):
        free.put_nowait(await Connection.open(port))
    begun = time.perf_counter()

    async def one(call: Call, due: float) -> None:
        connection = await free.get()
        await _timed(timings, connection.request, call, due)
        free.put_nowait(connection)

    async with asyncio.TaskGroup() as tasks:
        for number, call in enumerate(calls):
            due = begun + number / per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(one(call, due))
    timings.elapsed_s = time.perf_counter() - begun
    while not free.empty():
        await free.get_nowait().close()
    return timings


async def _timed(
    timings: Timings, request: Callable[..., Awaitable[tuple[int, Any]]], call: Call, begun: float
) -> None:
    status, _ = await request(*call)
    timings.seconds.append(time.perf_counter() - begun)
    timings.errors += status != 200
