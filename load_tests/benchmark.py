"""``python -m load_tests.benchmark``: every budget of the project as a figure measured here and now."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import uvloop
from rich.console import Console
from rich.markup import escape

from load_tests.benchmark_brokers import EMBEDDED, RABBITMQ, Broker, RedisStreams, open_broker
from load_tests.benchmark_children import BenchmarkError, Workspace
from load_tests.benchmark_drain import drain
from load_tests.benchmark_figures import Failure, Figure, Machine, table
from load_tests.benchmark_live import freshness, latency
from load_tests.benchmark_ratio import interact, recs
from load_tests.benchmark_refresh import refresh
from load_tests.benchmark_run import Options, Run
from load_tests.benchmark_startup import startup
from load_tests.benchmark_system import open_system

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Part(StrEnum):
    RECS = "recs"
    INTERACT = "interact"
    LATENCY = "latency"
    FRESHNESS = "freshness"
    DRAIN = "drain"
    STARTUP = "startup"
    REFRESH = "refresh"
    ALL = "all"


Measure = Callable[[Run], Awaitable[list[Figure]]]
MEASURES: Final[dict[Part, Measure]] = {
    Part.RECS: recs,
    Part.INTERACT: interact,
    Part.LATENCY: latency,
    Part.FRESHNESS: freshness,
    Part.DRAIN: drain,
    Part.STARTUP: startup,
    Part.REFRESH: refresh,
}
OF_EACH_BROKER: Final = (Part.INTERACT, Part.LATENCY, Part.FRESHNESS, Part.DRAIN)
UNLESS_ASKED: Final = (Part.REFRESH,)


@dataclass
class Outcome:
    figures: list[Figure] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    machine: Machine | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "machine": asdict(self.machine) if self.machine else None,
            "figures": [figure.as_json() for figure in self.figures],
            "failures": [asdict(failure) for failure in self.failures],
        }


@app.command(help=__doc__)
def benchmark(
    parts: Annotated[
        list[Part] | None, typer.Argument(help="what to measure; without any: everything but refresh, which takes minutes")
    ] = None,
    broker: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{EMBEDDED} (Redis Streams, the default), {RABBITMQ} (started for this run) or the amqp:// URL of a "
            "server; may be given more than once"
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="rounds of service and bare endpoint in turn")] = 7,
    calls: Annotated[int, typer.Option(min=500, max=7_000, help="calls to each of the two in a round")] = 5_000,
    seconds: Annotated[float, typer.Option(min=1, help="length of the grader-like traffic")] = 30,
    messages: Annotated[int, typer.Option(min=10_000, help="messages that wait when the drain begins")] = 20_000,
    rows: Annotated[int, typer.Option(min=10_000, help="rows of the event log that refresh builds on")] = 25_000_000,
    folder: Annotated[Path | None, typer.Option(exists=True, file_okay=False, help="where to work; for a disk of your choice")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="keep the figures in this file")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="exit with 1 if a budget is missed")] = False,
) -> None:
    brokers = list(dict.fromkeys(broker or [EMBEDDED]))
    if unknown := [name for name in brokers if name not in (EMBEDDED, RABBITMQ) and not name.startswith("amqp")]:
        raise typer.BadParameter(f"{unknown[0]}: expected {EMBEDDED}, {RABBITMQ} or an amqp:// URL", param_hint="--broker")
    options = Options(rounds, calls, seconds, messages, rows)
    outcome = Outcome()
    console, messages_to = Console(), Console(stderr=True)
    interrupted = False
    try:
        uvloop.run(_measure_all(_chosen(parts or []), brokers, options, folder, outcome, messages_to))
    except (KeyboardInterrupt, asyncio.CancelledError):
        interrupted = True
    ...
