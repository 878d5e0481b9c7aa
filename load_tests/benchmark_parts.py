"""The measurements by name, and running them one after the other."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final

from redis.exceptions import RedisError

from load_tests.benchmark_brokers import open_broker
from load_tests.benchmark_children import BenchmarkError, Workspace
from load_tests.benchmark_drain import drain
from load_tests.benchmark_figures import Failure, Figure, Machine, Outcome
from load_tests.benchmark_grader import grader
from load_tests.benchmark_live import freshness, latency
from load_tests.benchmark_noise import Moment
from load_tests.benchmark_ratio import interact, recs
from load_tests.benchmark_refresh import refresh
from load_tests.benchmark_run import Options, Part, Run, Screen
from load_tests.benchmark_startup import startup
from load_tests.benchmark_train import train
from recsys.launch.errors import LaunchError
from recsys.settings import masked
from recsys.stores.ports import StoreError

Measure = Callable[[Run], Awaitable[list[Figure]]]
MEASURES: Final[dict[Part, Measure]] = {
    Part.RECS: recs,
    Part.INTERACT: interact,
    Part.LATENCY: latency,
    Part.FRESHNESS: freshness,
    Part.DRAIN: drain,
    Part.STARTUP: startup,
    Part.REFRESH: refresh,
    Part.TRAIN: train,
    Part.GRADER: grader,
}
OF_EACH_BROKER: Final = (Part.INTERACT, Part.LATENCY, Part.FRESHNESS, Part.DRAIN)
EXPECTED: Final = (BenchmarkError, LaunchError, StoreError, RedisError, OSError)


async def measure(
    parts: Sequence[Part], brokers: Sequence[str], options: Options, outcome: Outcome, screen: Screen
) -> None:
    """All parts with the first broker, then those that depend on it with each other one."""
    _stop_on_signals(outcome, screen)
    with Workspace(options.folder) as workspace:
        outcome.machine = Machine.here(workspace.folder)
    for name in brokers:
        chosen = [part for part in parts if name == brokers[0] or part in OF_EACH_BROKER]
        async with AsyncExitStack() as stack:
            workspace = stack.enter_context(Workspace(options.folder))
            screen.now(f"starting the broker {masked(name)}")
            try:
                broker = await stack.enter_async_context(open_broker(name, workspace))
            except EXPECTED as error:
                outcome.failures += [Failure(f"{part}, {masked(name)}", _sentence(error)) for part in chosen]
                continue
            for part in chosen:
                run = Run(part, options, workspace, broker, screen, outcome)
                await _measure_one(run)


async def _measure_one(run: Run) -> None:
    outcome = run.outcome
    begun = Moment.now(run.workspace)
    try:
        figures = await MEASURES[run.part](run)
        share = round(begun.others_until(Moment.now(run.workspace)), 2)
        with_what = f", {run.broker.label}" if run.part in OF_EACH_BROKER else ""
        outcome.figures += [replace(f, what=f.what + with_what, others=share) for f in figures]
    except EXPECTED as error:
        outcome.failures.append(Failure(f"{run.part}, {run.broker.label}", _sentence(error)))
    except ExceptionGroup as group:
        expected, unexpected = group.split(EXPECTED)
        if expected is None or unexpected is not None:
            raise
        outcome.failures.append(Failure(f"{run.part}, {run.broker.label}", _sentence(_first(expected))))
    run.screen.line(f"{run.part}, {run.broker.label}: {time.perf_counter() - begun.at:.0f} s")


def _sentence(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _stop_on_signals(outcome: Outcome, screen: Screen) -> None:
    """End the measurement; what was started is stopped on the way out."""
    task = asyncio.current_task()
    assert task is not None

    def stop() -> None:
        if not outcome.interrupted:
            outcome.interrupted = True
            screen.now("stopping everything")
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # a background job of a shell ignores Ctrl-C
            asyncio.get_running_loop().add_signal_handler(number, stop)
