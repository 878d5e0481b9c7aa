"""Keeps the vector store in step with catalogue and factor model, in the background and only for what changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import structlog
from numpy.typing import NDArray

from recsys.ranking.posterior import Floats
from recsys.ranking.similar import unit_rows
from recsys.ranking.taste import TasteModel
from recsys.stores.ports import COLLABORATIVE, CONTENT, StoreError, VectorStore
from regular_pipeline.epoch_work import EpochWork
from regular_pipeline.refresh import content_vectors

log = structlog.get_logger()

CHUNK: Final = 256
# The model is fitted every few seconds, and each fit moves every item a little. Storing that would keep a core busy for
# nobody: /similar reads the published loadings.
LEAST_MOVE: Final = 0.02  # cosine distance from what is stored
LOADINGS_INTERVAL_S: Final = 60.0


class VectorMirror:
    """One run at a time. A failed run is logged and continues from where it was at the next ``follow``."""

    def __init__(self, store: VectorStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        # One thread only: the local store may not be used by two at once.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vectors")
        self._task: asyncio.Task[None] | None = None
        self._following: EpochWork | None = None
        self._taste = TasteModel.untrained(0)  # of the run under way
        self._stored = self._taste.loadings  # (n, f) the collaborative vectors that the store holds
        self._loadings_done = -np.inf  # when they were last brought up to date

    def follow(self, work: EpochWork) -> None:
        """Start bringing the store up to the catalogue and taste model of ``work``, unless a run is under way."""
        self._following = work
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self.catch_up(work))

    async def catch_up(self, work: EpochWork) -> None:
        """Upsert every item whose record is newer than the last run, then, once a minute, those whose loadings moved.

        Other epochs' vectors are dropped first.
        """
        self._following = work
        items = len(work.catalogue)
        self._taste = (work.taste or TasteModel.untrained(items)).resized(items)
        factors = self._taste.loadings.shape[1]
        if factors != self._stored.shape[1]:
            work.vectors_done = 0
        try:
            if work.vectors_done == 0:
                await self._call(self._store.drop_all_but, work.epoch)
                self._stored = np.zeros((0, factors), np.float32)
            await self._follow_catalogue(work)
            if self._clock() - self._loadings_done >= LOADINGS_INTERVAL_S:
                await self._follow_loadings(work)
        except StoreError as error:
            log.error("vectors not stored, trying again at the next refresh", error=str(error))

    async def _follow_catalogue(self, work: EpochWork) -> None:
        while work.vectors_done < len(work.catalogue.history) and self._following is work:
            end = min(work.vectors_done + CHUNK, len(work.catalogue.history))
            changed = work.catalogue.history[work.vectors_done : end]
            if await self._upsert(work, sorted({work.catalogue.index[record.id] for record in changed})):
                work.vectors_done = end

    async def _follow_loadings(self, work: EpochWork) -> None:
        positions = moved(unit_rows(self._taste.loadings), self._stored).tolist()
        for start in range(0, len(positions), CHUNK):
            await self._follow_catalogue(work)  # it may have grown meanwhile
            if self._following is not work:
                return
            await self._upsert(work, positions[start : start + CHUNK])
        if positions:
            self._loadings_done = self._clock()

    async def _upsert(self, work: EpochWork, positions: Sequence[int]) -> bool:
        """Store these items as they are now. False: they need other dimensions, so everything has to be stored anew."""
        vectors = content_vectors(work.catalogue.genres()[positions])
        if vectors.shape[1] != work.vector_dimensions:
            work.vector_dimensions, work.vectors_done = vectors.shape[1], 0
            self._stored = self._stored[:0]
            return False
        loadings = self._taste.resized(len(work.catalogue)).loadings
        unit = unit_rows(loadings[positions])
        ids = work.catalogue.ids
        payloads = [{"item_id": ids[p], "genres": list(work.catalogue.genres_of(ids[p]))} for p in positions]
        both = {CONTENT: vectors, COLLABORATIVE: unit}
        await self._call(self._store.upsert, work.epoch, both, positions, payloads)
        self._stored = _padded(self._stored, len(loadings))
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


def moved(unit: Floats, stored: Floats) -> NDArray[np.int64]:
    """Positions of the rows of unit (n, f) that are too far from what is stored (m, f); rows missing there are zeros.

    Rows have length 1, or 0 for an item without loadings: to get loadings, or to lose them, is a move.
    """
    stored = _padded(stored, len(unit))[: len(unit)]
    far = 1 - (unit * stored).sum(axis=1) > LEAST_MOVE
    return np.flatnonzero(far & (unit.any(axis=1) | stored.any(axis=1)))


def _padded(rows: Floats, n: int) -> Floats:
    """Rows (m, f) with zeros below, (n, f); as they are if m ≥ n."""
    return np.pad(rows, ((0, n - len(rows)), (0, 0))) if n > len(rows) else rows
