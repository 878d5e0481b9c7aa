"""Concurrent calls of one process served together: one round trip instead of n."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Hands everything submitted while the previous batch ran to ``run`` as the next batch.

    ``run`` gets up to ``limit`` items and returns as many results in the same order; what it raises, every caller of
    that batch gets. A batch never holds an item submitted after it began, so results are never older than the call,
    and none whose caller has given up.
    """

    def __init__(self, run: Callable[[Sequence[T]], Awaitable[Sequence[R]]], limit: int = 256) -> None:
        self._run = run
        self._limit = limit
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, item: T) -> R:
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        try:
            while self._waiting:
                waiting = [(item, future) for item, future in self._waiting if not future.done()]
                batch, self._waiting = waiting[: self._limit], waiting[self._limit :]
                if batch:
                    await self._serve(batch)
        finally:
            self._worker = None
            for _, future in self._waiting:  # none, unless this task was cancelled
                future.cancel()
            self._waiting.clear()

    async def _serve(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        futures = [future for _, future in batch]
        try:
            results = await self._run([item for item, _ in batch])
            if len(results) != len(batch):
                raise ValueError(f"{len(results)} results for {len(batch)} calls")
        except asyncio.CancelledError:
            for future in futures:
                future.cancel()
            raise
        except Exception as error:
            for future in futures:
                if not future.done():
                    future.set_exception(error)
        else:
            for future, result in zip(futures, results, strict=True):
                if not future.done():
                    future.set_result(result)
