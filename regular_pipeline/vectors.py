"""Keeps the vector store in step with the catalogue, in the background and only for what changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import structlog

from recsys.stores.ports import StoreError, VectorStore
from regular_pipeline.epoch_work import EpochWork
from regular_pipeline.refresh import content_vectors

log = structlog.get_logger()

CHUNK: Final = 256


class VectorMirror:
    """One upsert run at a time. A failed run is logged and continues from where it was at the next ``follow``."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store
        # One thread only: the local store may not be used by two at once.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vectors")
        self._task: asyncio.Task[None] | None = None
        self._following: EpochWork | None = None

    def follow(self, work: EpochWork) -> None:
        """Start bringing the store up to the catalogue of ``work``, unless a run is under way."""
        self._following = work
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self.catch_up(work))

    async def catch_up(self, work: EpochWork) -> None:
        """Upsert every item whose record is newer than the last run; drop other epochs' vectors first."""
        self._following = work
        try:
            if work.vectors_done == 0:
                await self._call(self._store.drop_all_but, work.epoch)
            while work.vectors_done < len(work.catalogue.history) and self._following is work:
                await self._upsert_chunk(work)
        except StoreError as error:
            log.error("vectors not stored, trying again at the next refresh", error=str(error))

    async def _upsert_chunk(self, work: EpochWork) -> None:
        end = min(work.vectors_done + CHUNK, len(work.catalogue.history))
        changed = work.catalogue.history[work.vectors_done : end]
        positions = sorted({work.catalogue.index[record.id] for record in changed})
        vectors = content_vectors(work.catalogue.genres()[positions])
        ids = work.catalogue.ids
        payloads = [{"item_id": ids[p], "genres": list(work.catalogue.genres_of(ids[p]))} for p in positions]
        if vectors.shape[1] != work.vector_dimensions:
            # More genres than dimensions: the store starts its collection anew, and so do we.
            work.vector_dimensions = vectors.shape[1]
            if work.vectors_done:
                work.vectors_done = 0
                return
        await self._call(self._store.upsert, work.epoch, vectors, positions, payloads)
        work.vectors_done = end

    async def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    async def close(self) -> None:
        """Stop after the chunk under way and close the store."""
        self._following = None
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        await self._call(self._store.close)
        self._thread.shutdown()
