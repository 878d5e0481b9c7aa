"""How busy everybody else kept the machine while something was measured."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Final, Self

import psutil

from load_tests.benchmark_children import Workspace

IDLE: Final = ("idle", "iowait")
COUNTED_TWICE: Final = ("guest", "guest_nice")


@dataclass(frozen=True)
class Moment:
    """Processor seconds so far, of the whole machine and of the benchmark with all it started."""

    at: float
    busy_s: float
    ours_s: float

    @classmethod
    def now(cls, workspace: Workspace) -> Self:
        """``workspace`` holds the children that still run; those that have ended count with this process."""
        machine = psutil.cpu_times()._asdict()
        own = psutil.Process().cpu_times()
        return cls(
            at=time.perf_counter(),
            busy_s=sum(value for name, value in machine.items() if name not in IDLE + COUNTED_TWICE),
            ours_s=own.user + own.system + own.children_user + own.children_system + workspace.cpu_s(),
        )

    def others_until(self, later: Moment) -> float:
        """Share of all processors that went to others, between 0 and 1."""
        others_s = (later.busy_s - self.busy_s) - (later.ours_s - self.ours_s)
        available_s = (later.at - self.at) * (os.cpu_count() or 1)
        return min(max(others_s / available_s, 0.0), 1.0)
