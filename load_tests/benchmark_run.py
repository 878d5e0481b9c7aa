"""What every measurement is given."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from load_tests.benchmark_brokers import Broker
from load_tests.benchmark_children import Workspace
from load_tests.benchmark_figures import Outcome


class Part(StrEnum):
    """What can be measured."""

    RECS = "recs"
    INTERACT = "interact"
    LATENCY = "latency"
    FRESHNESS = "freshness"
    DRAIN = "drain"
    STARTUP = "startup"
    REFRESH = "refresh"
    TRAIN = "train"
    GRADER = "grader"


@dataclass(frozen=True)
class Options:
    rounds: int  # of our service and the bare endpoint in turn
    calls: int  # of each, per round
    seconds: float  # of grader-like traffic
    messages: int  # that the drain finds waiting
    rows: int  # of the event log that refresh and training build on
    folder: Path | None  # for temporary files; None for the system's


class Screen:
    """What a person sees while the benchmark runs: a line that changes, if there is a terminal, and lines that stay."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = Status("starting", console=console) if console.is_terminal else None

    def live(self) -> AbstractContextManager[object]:
        return self._status or nullcontext()

    def now(self, text: str) -> None:
        if self._status is not None:
            self._status.update(escape(text))

    def line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Run:
    """One part with one broker."""

    part: Part
    options: Options
    workspace: Workspace
    broker: Broker
    screen: Screen
    outcome: Outcome

    def say(self, text: str) -> None:
        """What is done next. Ends the measurement if a signal came and its cancellation got lost on the way."""
        if self.outcome.interrupted:
            raise asyncio.CancelledError
        self.screen.now(f"{self.part}: {text}")
