"""A keep-alive HTTP/1.1 client for load on this machine: little work per request, so that the server is the limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Self, cast

import numpy as np

HEAD_END: Final = b"\r\n\r\n"
LENGTH: Final = b"content-length:"


def call(method: str, path: str, body: bytes = b"") -> bytes:
    """The request as it goes over the wire."""
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Connection(asyncio.Protocol):
    """One connection, one request at a time. Only answers with a Content-Length are understood: all ours have one."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._closed = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(cls, port: int) -> Self:
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    def send(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        """Status and body of a request made with ``call``. ConnectionError if the server hangs up."""
        if self._transport is None or self._closed.done():
            raise ConnectionError("the connection is closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            await self._closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is none of asyncio's

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data
        head_end = received.find(HEAD_END)
        if head_end < 0:
            return
        head = received[: head_end + 2].lower()
        start = head.index(LENGTH) + len(LENGTH)
        body_start = head_end + len(HEAD_END)
        end = body_start + int(head[start : head.index(b"\r\n", start)])
        if len(received) < end:
            return
        self._received = received[end:]
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((int(received[9:12]), received[body_start:end]))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the server closed the connection"))
        self._closed.set_result(None)


class Pool:
    """Connections that are opened as they are needed and kept: a request never waits for another's answer."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[Connection] = []

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Repeated on a new connection if the server has just closed the kept one: it does so after a few seconds."""
        while self._idle:
            connection = self._idle.pop()
            try:
                return await self._send_on(connection, request)
            except ConnectionError:
                continue
        return await self._send_on(await Connection.open(self._port), request)

    async def _send_on(self, connection: Connection, request: bytes) -> tuple[int, bytes]:
        answer = await connection.send(request)
        self._idle.append(connection)
        return answer

    async def close(self) -> None:
        await asyncio.gather(*(connection.close() for connection in self._idle))


@asynccontextmanager
async def open_pools(*ports: int) -> AsyncIterator[list[Pool]]:
    """One pool for each port."""
    pools = [Pool(port) for port in ports]
    try:
        yield pools
    finally:
        for pool in pools:
            await pool.close()


@dataclass
class Timings:
    """Latencies in seconds, in the order of completion."""

    seconds: list[float] = field(default_factory=list)
    errors: int = 0
    elapsed_s: float = 0.0

    def add(self, begun: float, status: int) -> None:
        self.seconds.append(time.perf_counter() - begun)
        self.errors += status != 200

    def slices_ms(self, percent: float, parts: int) -> list[float]:
        """The percentile of each of so many equal parts of the run, one after the other."""
        return [float(np.percentile(part, percent)) * 1000 for part in np.array_split(self.seconds, parts)]

    @property
    def per_second(self) -> float:
        return len(self.seconds) / self.elapsed_s

    def percentile_ms(self, percent: float) -> float:
        return float(np.percentile(self.seconds, percent)) * 1000


async def closed_loop(port: int, calls: Sequence[bytes], connections: int) -> Timings:
    """Every connection sends its next call as soon as it has its answer."""
    timings = Timings()
    opened = [await Connection.open(port) for _ in range(connections)]
    begun = time.perf_counter()
    queue = iter(calls)
    await asyncio.gather(*(_send_all(connection, queue, timings) for connection in opened))
    timings.elapsed_s = time.perf_counter() - begun
    await asyncio.gather(*(connection.close() for connection in opened))
    return timings


async def _send_all(connection: Connection, queue: Iterator[bytes], timings: Timings) -> None:
    for request in queue:
        begun = time.perf_counter()
        status, _ = await connection.send(request)
        timings.add(begun, status)
