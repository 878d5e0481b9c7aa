"""The commands of the pipeline, from settings to finished work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import structlog

from recsys.settings import Settings
from recsys.stores.connect import log_folder, open_broker, open_state, open_vectors
from recsys.stores.event_log import EventLog
from recsys.stores.ports import StoreMisconfigured
from recsys.stores.redis_state import RedisState
from regular_pipeline.drain import EVERYTHING
from regular_pipeline.epoch_work import EpochWork
from regular_pipeline.loop import Pipeline, fill_deck
from regular_pipeline.refresh import Snapshot, compute, top_lists
from regular_pipeline.vectors import VectorMirror

log = structlog.get_logger()

EPOCHS_TOLD: Final = 5  # in a sentence: every run of the doctor leaves thirty


@asynccontextmanager
async def open_pipeline(settings: Settings) -> AsyncIterator[Pipeline]:
    """A pipeline that holds the log and the local vectors until the block ends."""
    event_log = EventLog(log_folder(settings))
    with event_log.lock():
        state, broker = open_state(settings), open_broker(settings)
        vectors = VectorMirror(open_vectors(settings))
        pipeline = Pipeline(settings, state, broker, event_log, vectors)
        try:
            await pipeline.start()
            yield pipeline
        finally:
            await vectors.close()
            await broker.close()
            await state.close()


async def run(settings: Settings) -> None:
    """Drain and refresh until cancelled."""
    async with open_pipeline(settings) as pipeline:
        log.info("pipeline started", log=str(log_folder(settings)))
        await pipeline.poll()


async def run_once(settings: Settings) -> int:
    """Drain what is queued, refresh once, and return the messages drained."""
    drained = 0
    async with open_pipeline(settings) as pipeline:
        while done := await pipeline.tick():
            drained += done
        await pipeline.refresh()
    return drained


async def rebuild(settings: Settings, epoch: int | None) -> EpochWork:
    """Put an epoch in force again from its log alone: catalogue, user states, counters, artifacts."""
    event_log = EventLog(log_folder(settings))
    with event_log.lock():
        state = open_state(settings)
        try:
            return await _rebuild(settings, event_log, state, _epoch_to_rebuild(event_log, epoch))
        finally:
            await state.close()


async def _rebuild(settings: Settings, event_log: EventLog, state: RedisState, epoch: int) -> EpochWork:
    work = await asyncio.to_thread(EpochWork, epoch, event_log, settings.half_life_days, use_checkpoint=False)
    await state.restore(epoch)
    await state.claim(epoch, event_log.identity())
    await work.restore_catalogue(state)
    await work.settle(state, EVERYTHING)
    snapshot = Snapshot.take(epoch, work.catalogue, work.counts, ranking=settings.ranking)
    refreshed = await asyncio.to_thread(compute, snapshot, settings.seed)
    await state.publish(epoch, refreshed.artifacts, top_lists(refreshed.artifacts, work.catalogue))
    await fill_deck(state, work, snapshot, refreshed, np.random.default_rng(settings.seed))
    await asyncio.to_thread(work.counts.save, work.checkpoint)
    return work


def _epoch_to_rebuild(event_log: EventLog, wanted: int | None) -> int:
    """The one that is wanted, or the only one with events: the newest of several may have begun after the loss."""
    rows = {epoch: rows for epoch in event_log.epochs() if (rows := event_log.events(epoch).rows)}
    if wanted is None and len(rows) > 1:
        found = _newest([f"{epoch} ({count:,} rows)" for epoch, count in rows.items()])
        raise StoreMisconfigured(f"{event_log.folder} holds events of several epochs: choose by --epoch from {found}")
    return _known_epoch(event_log, wanted)


def _newest(epochs: Sequence[str]) -> str:
    earlier = len(epochs) - EPOCHS_TOLD
    return ", ".join(epochs[-EPOCHS_TOLD:]) + (f" and {earlier} earlier ones, which stats lists" if earlier > 0 else "")


def _known_epoch(event_log: EventLog, wanted: int | None) -> int:
    known = event_log.epochs()
    if not known:
        raise StoreMisconfigured(f"{event_log.folder} holds no event log: is DATA_DIR right?")
    if wanted is not None and wanted not in known:
        raise StoreMisconfigured(
            f"no log of epoch {wanted} in {event_log.folder}: it holds {_newest([*map(str, known)])}"
        )
    if wanted is not None:
        return wanted
    # After a loss of Redis a newer one has begun, in which nothing may have happened yet.
    return next((epoch for epoch in reversed(known) if event_log.events(epoch).rows), known[-1])


def export(settings: Settings, target: Path, epoch: int | None) -> int:
    """Write an epoch's event log as CSV and return its rows."""
    event_log = EventLog(log_folder(settings))
    known = _known_epoch(event_log, epoch)
    rows = 0
    with target.open("wb") as file:
        for frame in event_log.events(known).frames():
            frame.write_csv(file, include_header=rows == 0)
            rows += frame.height
    return rows


async def stats(settings: Settings) -> dict[str, Any]:
    """Figures of the epoch in force and of the log on disk."""
    state, broker = open_state(settings), open_broker(settings)
    try:
        epoch = await state.current()
        counters = await state.counters(epoch)
        figures: dict[str, Any] = {"epoch": epoch, "queued messages": await broker.depth(), **counters}
        figures["deck cards"] = len(await state.deck(epoch))
    finally:
        await broker.close()
        await state.close()
    event_log = EventLog(log_folder(settings))
    for logged in event_log.epochs():
        events = event_log.events(logged)
        size_mb = sum(part.path.stat().st_size for part in events.parts()) / 1e6
        figures[f"log of epoch {logged}"] = f"{events.rows:,} rows, {len(events.parts())} parts, {size_mb:.1f} MB"
    return figures
