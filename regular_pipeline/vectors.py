"""Keeps the vector store in step with catalogue and item factors, in the background and only for what changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import structlog
from numpy.typing import NDArray

from recsys.recommenders.diversity import unit_genres
from recsys.recommenders.port import Bools, Floats
from recsys.recommenders.similar import unit_rows
from recsys.stores.ports import COLLABORATIVE, CONTENT, StoreError, VectorStore
from regular_pipeline.epoch import Epoch

log = structlog.get_logger()

CHUNK: Final = 256
# Models are fitted every few seconds, and each fit moves every item a little. Storing that would keep a core busy for
# nobody: /similar asks the models.
LEAST_MOVE: Final = 0.02  # cosine distance from what is stored
FACTORS_INTERVAL_S: Final = 60.0
MIN_DIMENSIONS: Final = 8
NO_FACTORS: Final[Floats] = np.zeros((0, 1), np.float32)


class VectorMirror:
    """One run at a time. A failed run is logged and continues from where it was at the next ``follow``."""

    def __init__(self, store: VectorStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        # One thread only: the local store may not be used by two at once.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vectors")
        self._task: asyncio.Task[None] | None = None
        self._following: Epoch | None = None
        self._stored_of: Epoch | None = None  # whose vectors the store holds
        self._records = 0  # of its catalogue's history, whose vectors are stored
        self._dimensions = 0  # of its content vectors
        self._factors = NO_FACTORS  # of the run under way
        self._stored = NO_FACTORS  # (n, f) the collaborative vectors that the store holds
        self._factors_done = -np.inf  # when they were last brought up to date

    def follow(self, epoch: Epoch, item_factors: Floats | None) -> None:
        """Start bringing the store up to the catalogue and these factors (n, f), unless a run is under way."""
        self._following = epoch
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self.catch_up(epoch, item_factors))
            self._task.add_done_callback(_told_of_failure)

    async def catch_up(self, epoch: Epoch, item_factors: Floats | None) -> None:
        """Upsert every item whose record is newer than the last run, then, once a minute, those whose factors moved.

        Other epochs' vectors are dropped first.
        """
        self._following = epoch
        self._factors = NO_FACTORS if item_factors is None else item_factors
        if epoch is not self._stored_of or self._factors.shape[1] != self._stored.shape[1]:
            self._begin_anew(epoch)
        try:
            if self._records == 0:
                await self._call(self._store.drop_all_but, epoch.number)
            await self._follow_catalogue(epoch)
            if self._clock() - self._factors_done >= FACTORS_INTERVAL_S:
                await self._follow_factors(epoch)
        except StoreError as error:
            log.error("vectors not stored, trying again at the next refresh", error=str(error))

    def _begin_anew(self, epoch: Epoch) -> None:
        self._stored_of, self._records = epoch, 0
        self._stored = np.zeros((0, self._factors.shape[1]), np.float32)

    async def _follow_catalogue(self, epoch: Epoch) -> None:
        history = epoch.catalogue.history
        while self._records < len(history) and self._following is epoch:
            end = min(self._records + CHUNK, len(history))
            changed = history[self._records : end]
            if await self._upsert(epoch, sorted({epoch.catalogue.index[record.id] for record in changed})):
                self._records = end

    async def _follow_factors(self, epoch: Epoch) -> None:
        positions = moved(unit_rows(self._factors), self._stored).tolist()
        for start in range(0, len(positions), CHUNK):
            await self._follow_catalogue(epoch)  # it may have grown meanwhile
            if self._following is not epoch:
                return
            await self._upsert(epoch, positions[start : start + CHUNK])
        if positions:
            self._factors_done = self._clock()

    async def _upsert(self, epoch: Epoch, positions: Sequence[int]) -> bool:
        """Store these items as they are now. False: they need other dimensions, so everything has to be stored anew."""
        vectors = content_vectors(epoch.catalogue.genres()[positions])
        if vectors.shape[1] != self._dimensions:
            self._dimensions = vectors.shape[1]
            self._begin_anew(epoch)
            return False
        factors = _padded(self._factors, len(epoch.catalogue))
        unit = unit_rows(factors[positions])
        ids = epoch.catalogue.ids
        payloads = [{"item_id": ids[p], "genres": list(epoch.catalogue.genres_of(ids[p]))} for p in positions]
        both = {CONTENT: vectors, COLLABORATIVE: unit}
        await self._call(self._store.upsert, epoch.number, both, positions, payloads)
        self._stored = _padded(self._stored, len(factors))
        self._stored[positions] = unit
        return True

    async def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    async def close(self) -> None:
        """Stop after the chunk under way and close the store."""
        self._following = None
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        await self._call(self._store.close)
        self._thread.shutdown()


def _told_of_failure(task: asyncio.Task[None]) -> None:
    """Nobody waits for a run: what no store has raised is told here, and the next run tries again."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("vectors not stored", error=f"{type(error).__name__}: {error}", exc_info=error)


def content_vectors(genres: Bools) -> Floats:
    """Genres (n, g) → vectors (n, d) of length 1 (0 without genres); d is the power of two that fits, at least 8."""
    unit = unit_genres(genres)
    dimensions = max(MIN_DIMENSIONS, 1 << max(unit.shape[1] - 1, 0).bit_length())
    return np.pad(unit, ((0, 0), (0, dimensions - unit.shape[1])))


def moved(unit: Floats, stored: Floats) -> NDArray[np.int64]:
    """Positions of the rows of unit (n, f) that are too far from what is stored (m, f); rows missing there are zeros.

    Rows have length 1, or 0 for an item without factors: to get factors, or to lose them, is a move.
    """
    stored = _padded(stored, len(unit))[: len(unit)]
    far = 1 - (unit * stored).sum(axis=1) > LEAST_MOVE
    return np.flatnonzero(far & (unit.any(axis=1) | stored.any(axis=1)))


def _padded(rows: Floats, n: int) -> Floats:
    """Rows (m, f) with zeros below, (n, f); as they are if m ≥ n."""
    return np.pad(rows, ((0, n - len(rows)), (0, 0))) if n > len(rows) else rows
