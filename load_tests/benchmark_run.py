"""What every measurement is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from load_tests.benchmark_brokers import Broker
from load_tests.benchmark_children import Workspace


@dataclass(frozen=True)
class Options:
    rounds: int  # of our service and the bare endpoint in turn
    calls: int  # of each, per round
    seconds: float  # of grader-like traffic
    messages: int  # that the drain finds waiting
    rows: int  # of the event log that the refresh builds on


@dataclass(frozen=True)
class Run:
    options: Options
    workspace: Workspace
    broker: Broker
    say: Callable[[str], None]  # what is being done now
