"""The commands of the pipeline, from settings to finished work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import structlog

from recsys.recommenders.recipe import read_recipe
from recsys.settings import Settings
from recsys.stores.connect import State, log_folder, open_broker, open_state, open_vectors
from recsys.stores.event_log import EventLog
from recsys.stores.ports import StoreMisconfigured
from regular_pipeline.drain import BATCH_ROWS, EVERYTHING
from regular_pipeline.epoch import Epoch
from regular_pipeline.history import History, HistoryError, rows_of_history, unlogged
from regular_pipeline.loop import Pipeline, append, follow
from regular_pipeline.vectors import VectorMirror

log = structlog.get_logger()

EPOCHS_TOLD: Final = 5  # in a sentence: every run of the doctor leaves thirty


class Imported(NamedTuple):
    """Rows of a history: those that are new, those that were logged before, those of unknown items among the new."""

    rows: int
    known: int
    unknown_items: int


@asynccontextmanager
async def open_pipeline(settings: Settings) -> AsyncIterator[Pipeline]:
    """A pipeline that holds the log and the local vectors until the block ends."""
    recipe = read_recipe(**settings.recipe)
    event_log = EventLog(log_folder(settings))
    with event_log.lock():
        state, broker = open_state(settings), open_broker(settings)
        vectors = VectorMirror(open_vectors(settings))
        pipeline = Pipeline(settings, recipe, state, broker, event_log, vectors)
        try:
            await pipeline.start()
            yield pipeline
        finally:
            pipeline.close()
            await vectors.close()
            await broker.close()
            await state.close()


async def run(settings: Settings) -> None:
    """Drain and refresh until cancelled."""
    async with open_pipeline(settings) as pipeline:
        log.info("pipeline started", log=str(log_folder(settings)))
        await pipeline.poll()


async def run_once(settings: Settings) -> int:
    """Drain what is queued, let all followers catch up, and return the messages drained."""
    drained = 0
    async with open_pipeline(settings) as pipeline:
        while done := await pipeline.tick():
            drained += done
        await pipeline.catch_up()
    return drained


async def import_history(settings: Settings, history: History, told: Callable[[int, int], None]) -> Imported:
    """Log what of the history is not logged yet, and let all that follows the log learn from it.

    ``told`` how many of how many rows are done. HistoryError while there is no item to say anything of.
    """
    async with open_pipeline(settings) as pipeline:
        following = await pipeline.following()
        epoch = following.epoch
        await epoch.read_catalogue(pipeline.state.catalogue)
        if not len(epoch.catalogue):
            raise HistoryError(
                "there are no items yet: send the catalogue first (/add_items, or run_all.sh --catalogue)"
            )
        new = await asyncio.to_thread(unlogged, history.events, epoch.events.scan(epoch.feed.rows))
        rows = await asyncio.to_thread(rows_of_history, new, epoch.catalogue.index, time.time())
        done = 0
        for piece in rows.iter_slices(BATCH_ROWS):
            await epoch.feed.append(partial(append, piece))
            await following.users.settle()
            told(done := done + piece.height, rows.height)
        await pipeline.catch_up()
        for model in following.models.values():
            await model.save_checkpoint(0.0)
    unknown = int((rows["item_index"] < 0).sum())
    return Imported(rows.height, history.events.height - rows.height, unknown)


async def rebuild(settings: Settings, epoch: int | None) -> Epoch:
    """Put an epoch in force again from its log alone: catalogue, user states, counters, live models."""
    event_log = EventLog(log_folder(settings))
    with event_log.lock():
        state = open_state(settings)
        try:
            return await _rebuild(settings, event_log, state, _epoch_to_rebuild(event_log, epoch))
        finally:
            await state.close()


async def _rebuild(settings: Settings, event_log: EventLog, state: State, number: int) -> Epoch:
    epoch = await asyncio.to_thread(Epoch, number, event_log)
    await state.epochs.restore(number)
    await state.ledger.claim(number, event_log.identity())
    await epoch.restore_catalogue(state.catalogue)
    following = follow(epoch, state, read_recipe(**settings.recipe), settings, np.random.default_rng(settings.seed))
    try:
        await following.users.settle(EVERYTHING)
        for model in following.models.values():
            await model.refresh()
            await model.save_checkpoint(0.0)
    finally:
        following.close()
    return epoch


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
        epoch = await state.epochs.current()
        counters = await state.ledger.counters(epoch)
        figures: dict[str, Any] = {"epoch": epoch, "queued messages": await broker.depth(), **counters}
        figures["exploration queue"] = len(await state.exploration.waiting(epoch))
    finally:
        await broker.close()
        await state.close()
    event_log = EventLog(log_folder(settings))
    for logged in event_log.epochs():
        events = event_log.events(logged)
        size_mb = sum(part.path.stat().st_size for part in events.parts()) / 1e6
        figures[f"log of epoch {logged}"] = f"{events.rows:,} rows, {len(events.parts())} parts, {size_mb:.1f} MB"
    return figures
