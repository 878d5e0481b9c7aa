"""Training a model on a long log: seconds and memory beside the library alone, and lists served meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

from load_tests.benchmark_children import BenchmarkError, Child, until, until_quiet
from load_tests.benchmark_events import log_rows
from load_tests.benchmark_figures import TRAIN_MS, TRAIN_RATIO, Figure
from load_tests.benchmark_refresh import LOG_ITEMS, NEW_ROWS, READ_S, require_disk, write_items, write_log
from load_tests.benchmark_run import Run
from load_tests.benchmark_system import System, open_system
from load_tests.benchmark_traffic import PER_SECOND, Traffic
from load_tests.http_client import open_pools
from recsys.stores.connect import log_folder
from recsys.stores.event_log import EventLog

# As the recommender als has them.
FACTORS: Final = 64
LIKE, DISLIKE, REGULARIZATION = 20.0, 2.0, 30.0
ITERATIONS, FURTHER = 15, 3
ROUNDS: Final = 2
TRAIN_S: Final = 1_800.0
NICENESS: Final = 10  # of a worker
THREADS: Final = max((os.cpu_count() or 1) - 1, 1)


@dataclass(frozen=True)
class Trained:
    seconds: float
    memory_mb: float


async def train(run: Run) -> list[Figure]:
    if find_spec("implicit") is None or find_spec("rq") is None:
        raise BenchmarkError("als is not installed: pip install -r requirements-als.txt")
    rows = run.options.rows
    require_disk(run, rows)
    async with open_system(run, RECOMMENDER=f"als:factors={FACTORS},popular", EXPLORE="off") as system:
        await write_items(system)
        await write_log(run, system, rows)
        logged = rows
        full, further, alone = [], [], []
        for number in range(1, ROUNDS + 1):
            run.say(f"training from nothing, {number} of {ROUNDS}")
            full.append(await _ours(system, "--full"))
            run.say(f"the library alone, {number} of {ROUNDS}")
            alone.append(await _alone(system))
            run.say(f"training that goes on, {number} of {ROUNDS}")
            logged = await _grow(system, logged)
            further.append(await _ours(system))
        p95_ms, lists, meanwhile = await _served_meanwhile(run, system)
    ratios = [ours.seconds / bare.seconds for ours, bare in zip(full, alone, strict=True)]
    what = f"on {rows:,} rows, {LOG_ITEMS:,} items, {FACTORS} factors"
    return [
        Figure(
            f"ALS from nothing ÷ the library alone on the same matrix, {what}",
            float(np.median(ratios)),
            "",
            TRAIN_RATIO,
            f"ours with reading the log, writing and checking the model; {ITERATIONS} iterations, {THREADS} threads; "
            f"{_both(full)} against {_both(alone)}",
        ),
        Figure(
            f"ALS that goes on, {what}",
            float(np.median([one.seconds for one in further])),
            "s",
            detail=f"{FURTHER} iterations, with reading the whole log; {_both(further)}",
        ),
        Figure(
            f"/recs p95 at {PER_SECOND:g} requests/s while it trains",
            p95_ms,
            "ms",
            TRAIN_MS,
            f"whole system, source als, {lists:,} lists, {meanwhile} trainings meanwhile",
        ),
    ]


def _both(trained: list[Trained]) -> str:
    seconds = ", ".join(f"{one.seconds:.1f}" for one in trained)
    return f"{seconds} s and up to {max(one.memory_mb for one in trained) / 1000:.2f} GB"


async def _ours(system: System, *options: str) -> Trained:
    """One training by the command, in a process of its own."""
    await _until_ended(_start_training(system, *options))
    facts = (await system.state.models.facts(await system.state.epochs.current()))["als"]
    return Trained(float(facts["seconds"]), float(facts["memory_mb"]))


def _start_training(system: System, *options: str) -> Child:
    command = ["nice", "-n", str(NICENESS), sys.executable, "-m", "jobs", "train", "als", *options]
    return system.workspace.start("train", command, system.environment)


async def _alone(system: System) -> Trained:
    folder = EventLog(log_folder(system.settings)).events(await system.state.epochs.current()).folder
    numbers = (LOG_ITEMS, FACTORS, LIKE, DISLIKE, REGULARIZATION, ITERATIONS, THREADS)
    command = ["nice", "-n", str(NICENESS), sys.executable, "-m", "load_tests.implicit_alone", str(folder)]
    child = system.workspace.start("alone", [*command, *map(str, numbers)], system.environment)
    await _until_ended(child)
    found: dict[str, Any] = json.loads(child.output.splitlines()[-1])
    return Trained(found["seconds"], found["memory_mb"])


async def _until_ended(child: Child) -> None:
    async def ended() -> bool:
        return child.exit_code is not None

    await until(ended, f"the end of {child.name}", TRAIN_S)
    if child.exit_code:
        raise BenchmarkError(f"{child.name} ended with code {child.exit_code}. It wrote:\n{child.output[-2000:]}")


async def _grow(system: System, rows: int) -> int:
    """A few new rows, or there would be nothing to go on for."""
    epoch = await system.state.epochs.current()
    (frame,) = log_rows(NEW_ROWS, LOG_ITEMS, NEW_ROWS)
    EventLog(log_folder(system.settings)).events(epoch).append(frame)
    await system.state.ledger.apply(epoch, (rows, rows + NEW_ROWS), {}, {})
    return rows + NEW_ROWS


async def _served_meanwhile(run: Run, system: System) -> tuple[float, int, int]:
    """95th percentile in ms, how many lists, and how many trainings were begun meanwhile."""
    run.say("starting the services, and waiting for the pipeline to come to rest")
    pipeline = system.start_pipeline()
    await system.start_collector()
    await system.start_recommendations()
    await until_quiet(pipeline, READ_S)
    ports = system.settings.recommendations_port, system.settings.collector_port
    async with open_pools(*ports) as (recs, collector):
        await Traffic(recs, collector, 1).run(3.0)
        run.say(f"grader-like traffic for {run.options.seconds:g} s beside a training")
        traffic = Traffic(recs, collector, 2)
        load = asyncio.create_task(traffic.run(run.options.seconds))
        begun = 0
        while not load.done():
            training = _start_training(system, "--full")
            begun += 1
            ending = asyncio.create_task(_until_ended(training))
            await asyncio.wait({ending, load}, return_when=asyncio.FIRST_COMPLETED)
            ending.cancel()
            training.stop()
        await load
    if traffic.errors:
        raise BenchmarkError(f"{traffic.errors:,} of {traffic.requests:,} requests were not answered with 200")
    return traffic.recs.percentile_ms(95), len(traffic.recs.seconds), begun
