"""How fast the pipeline works off a queue that filled up while it was away."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from load_tests.benchmark_children import BenchmarkError, Child
from load_tests.benchmark_events import K, impressions, interactions
from load_tests.benchmark_figures import DRAIN_PER_S, Figure
from load_tests.benchmark_run import Run
from load_tests.benchmark_system import ITEMS, System, catalogue, open_system
from recsys.contract import IMPRESSION_TOPIC, INTERACT_TOPIC

SLATES: Final = 5  # lists per message of a recommendations worker: those of a tenth of a second at 50 a second
DRAIN_S: Final = 600.0
SAMPLE_S: Final = 0.005


async def drain(run: Run) -> list[Figure]:
    return [await _reactions(run), await _impressions(run)]


async def _reactions(run: Run) -> Figure:
    async with open_system(run) as system:
        epoch = await _add_items(system)
        run.say(f"publishing {run.options.messages:,} messages of {K} reactions")
        await system.publish(INTERACT_TOPIC, interactions(epoch, run.options.messages, ITEMS))
        return await _measure(run, system, "reactions", K)


async def _impressions(run: Run) -> Figure:
    async with open_system(run) as system:
        epoch = await _add_items(system)
        run.say(f"publishing {run.options.messages:,} messages of {SLATES} lists")
        await system.publish(IMPRESSION_TOPIC, impressions(epoch, run.options.messages, SLATES, ITEMS))
        return await _measure(run, system, "impressions", SLATES * K)


async def _add_items(system: System) -> int:
    epoch = await system.state.epochs.current()
    records = catalogue(ITEMS)
    await system.state.catalogue.add(epoch, records, [record.id for record in records])
    return epoch


async def _measure(run: Run, system: System, name: str, rows_per_message: int) -> Figure:
    """Rows per second between the first and the last change of the ledger: start-up and imports do not count."""
    rows = run.options.messages * rows_per_message
    run.say(f"draining {rows:,} rows")
    pipeline = system.start_pipeline()
    changes = await asyncio.wait_for(_changes(system, pipeline, rows), DRAIN_S)
    if len(changes) < 2:
        raise BenchmarkError(f"all {rows:,} rows were applied at once: give --messages a larger value")
    (first_s, first), (last_s, last) = changes[0], changes[-1]
    per_second = (last - first) / (last_s - first_s)
    detail = (
        f"{rows:,} rows of the event log in {run.options.messages:,} messages of "
        f"{rows_per_message} rows: {per_second / rows_per_message:,.0f} messages/s; {len(changes)} batches, "
        f"the first {first_s - pipeline.started:.1f} s after the start; peak memory "
        f"{pipeline.peak_memory_bytes() / 1e6:,.0f} MB"
    )
    return Figure(f"drain of {name}", per_second, "rows/s", DRAIN_PER_S, detail)


async def _changes(system: System, pipeline: Child, rows: int) -> list[tuple[float, int]]:
    """Moment and value of each change of the number of applied rows, until it is ``rows``."""
    changes: list[tuple[float, int]] = []
    while not changes or changes[-1][1] < rows:
        applied = await system.applied()
        if applied > (changes[-1][1] if changes else 0):
            changes.append((time.perf_counter(), applied))
        pipeline.require_running()
        await asyncio.sleep(SAMPLE_S)
    return changes
