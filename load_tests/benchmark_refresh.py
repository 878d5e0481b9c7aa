"""New models and memory of a pipeline whose log is long."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from typing import Final

import numpy as np
import polars as pl

from load_tests.benchmark_children import BenchmarkError, Child, until, until_quiet
from load_tests.benchmark_events import K, interactions, log_rows
from load_tests.benchmark_figures import GB, MEMORY_GB, REFRESH_S, Figure
from load_tests.benchmark_run import Run
from load_tests.benchmark_system import System, catalogue, open_system
from recsys.contract import INTERACT_TOPIC
from recsys.schemas import CATALOGUE_SCHEMA
from recsys.stores.connect import log_folder
from recsys.stores.event_log import EventLog

LOG_ITEMS: Final = 60_000
PART_ROWS: Final = 100_000
CHUNK_ITEMS: Final = 5_000
BYTES_PER_ROW: Final = 20  # on disk, generously
NEW_ROWS: Final = 10_000
REPEATS: Final = 10
INTERVAL_S: Final = 0.05
READ_S: Final = 900.0
REFRESH_WITHIN_S: Final = 60.0
SAMPLE_S: Final = 0.002


async def refresh(run: Run) -> list[Figure]:
    rows = run.options.rows
    require_disk(run, rows)
    async with open_system(run, REFRESH_INTERVAL_S=str(INTERVAL_S)) as system:
        await write_items(system)
        await write_log(run, system, rows)
        run.say(f"waiting for the pipeline to read {rows:,} rows")
        pipeline = system.start_pipeline()
        await system.settle(rows, [pipeline], READ_S)
        read_s = time.perf_counter() - pipeline.started
        run.say("waiting for the pipeline to come to rest")
        at_start = pipeline.peak_memory_bytes()
        await until_quiet(pipeline, READ_S)
        delays = [await _publish_delay(run, system, pipeline, rows, number) for number in range(REPEATS)]
        peak = pipeline.peak_memory_bytes()
    what = f"on top of {rows:,} rows"
    return [
        Figure(
            f"refresh after {NEW_ROWS:,} new rows {what}",
            float(np.median(delays)),
            "s",
            REFRESH_S,
            f"from when the broker holds them to a model that reflects them, {LOG_ITEMS:,} items; includes up to "
            f"{INTERVAL_S} s of waiting for its turn; median of {REPEATS}, {min(delays):.2f} to {max(delays):.2f}",
        ),
        Figure(
            f"peak memory of the pipeline {what}",
            peak / GB,
            "GB",
            MEMORY_GB,
            f"resident, 1 GB = 10⁹ bytes; {at_start / GB:.2f} GB when the first model was published",
        ),
        Figure(f"start of the pipeline {what}", read_s, "s", detail="without a checkpoint, to the first model"),
    ]


def require_disk(run: Run, rows: int) -> None:
    free = shutil.disk_usage(run.workspace.folder).free
    if free < rows * BYTES_PER_ROW:
        raise BenchmarkError(
            f"{run.workspace.folder} has {free / GB:.1f} GB free and the log may need {rows * BYTES_PER_ROW / GB:.1f} "
            "GB: give fewer --rows or another --folder"
        )


async def write_items(system: System) -> None:
    """The catalogue in the state and its mirror on disk."""
    epoch = await system.state.epochs.current()
    records = catalogue(LOG_ITEMS)
    mirror = EventLog(log_folder(system.settings)).catalogue(epoch)
    for start in range(0, LOG_ITEMS, CHUNK_ITEMS):
        chunk = records[start : start + CHUNK_ITEMS]
        await system.state.catalogue.add(epoch, chunk, [record.id for record in chunk])
        columns = {"item_id": [r.id for r in chunk], "genres": [list(r.genres) for r in chunk]}
        mirror.append(pl.DataFrame(columns, schema=CATALOGUE_SCHEMA))


async def write_log(run: Run, system: System, rows: int) -> None:
    """The event log, and a ledger that says that all of it was applied."""
    epoch = await system.state.epochs.current()
    events = EventLog(log_folder(system.settings)).events(epoch)
    for frame in log_rows(rows, LOG_ITEMS, PART_ROWS):
        events.append(frame)
        run.say(f"writing an event log of {rows:,} rows: {events.rows / rows:.0%}")
        await asyncio.sleep(0)
    await system.state.ledger.apply(epoch, (0, rows), {}, {})


async def _publish_delay(run: Run, system: System, pipeline: Child, logged: int, number: int) -> float:
    """Seconds from when the broker holds new rows to a model that reflects them."""
    run.say(f"refresh {number + 1} of {REPEATS}")
    rows = logged + NEW_ROWS * (number + 1)
    epoch = await system.state.epochs.current()
    await system.publish(INTERACT_TOPIC, interactions(epoch, NEW_ROWS // K, LOG_ITEMS))
    accepted = time.perf_counter()
    await _reach(rows, system.published_rows, pipeline)
    return time.perf_counter() - accepted


async def _reach(rows: int, look: Callable[[], Awaitable[int]], pipeline: Child) -> None:
    async def reached() -> bool:
        return await look() >= rows

    await until(reached, f"{rows:,} rows reached", REFRESH_WITHIN_S, pipeline, pause_s=SAMPLE_S)
