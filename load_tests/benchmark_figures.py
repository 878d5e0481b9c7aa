"""The budgets, the figures measured against them, and the machine they were measured on."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
from rich.markup import escape
from rich.table import Table

GB: Final = 1e9
FSYNCS: Final = 200


@dataclass(frozen=True)
class Budget:
    """What a figure has to reach, and what it should."""

    least: float
    aim: float
    more_is_better: bool = False

    def verdict(self, value: float) -> str:
        if self._reaches(value, self.aim):
            return "aim"
        return "ok" if self._reaches(value, self.least) else "missed"

    def _reaches(self, value: float, wanted: float) -> bool:
        return value >= wanted if self.more_is_better else value <= wanted


RECS: Final = Budget(0.5, 0.8, more_is_better=True)  # of the bare endpoint's throughput
INTERACT: Final = Budget(0.6, 0.9, more_is_better=True)  # of the bare endpoint's throughput
LATENCY_MS: Final = Budget(20, 8)
FRESHNESS_MS: Final = Budget(300, 100)
PROMOTION_MS: Final = Budget(1_000, 500)
DRAIN_PER_S: Final = Budget(20_000, 50_000, more_is_better=True)  # rows of the event log
REFRESH_S: Final = Budget(2, 0.5)
MEMORY_GB: Final = Budget(2, 1)
TRAIN_RATIO: Final = Budget(1.5, 1.1)  # of the library's seconds
TRAIN_MS: Final = Budget(15, 8)
STARTUP_S: Final = Budget(10, 4)
ALL_MB: Final = Budget(400, 250)
GRADER_PER_S: Final = Budget(1_000, 3_000, more_is_better=True)
GRADER_GROWTH_MB: Final = Budget(100, 20)


@dataclass(frozen=True)
class Figure:
    """``unit`` is empty for a ratio; ``detail`` says how it was measured and what else was seen."""

    what: str
    value: float
    unit: str = ""
    budget: Budget | None = None
    detail: str = ""
    others: float = 0.0  # share of the processors that everybody else used meanwhile

    @property
    def verdict(self) -> str:
        return self.budget.verdict(self.value) if self.budget else ""

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict}


@dataclass(frozen=True)
class Failure:
    """A part that could not be measured."""

    part: str
    reason: str


@dataclass(frozen=True)
class Machine:
    cpu: str
    cores: int
    memory_gb: float
    system: str
    python: str
    load_average: float  # of the minute before the run: what others were doing
    fsync_ms: float  # median time to make 4 kB durable
    fsync_p95_ms: float

    @classmethod
    def here(cls, folder: Path) -> Machine:
        """This machine, with its disk below ``folder``."""
        syncs = _fsync_times_ms(folder)
        return cls(
            cpu=_cpu_model(),
            cores=os.cpu_count() or 1,
            memory_gb=round(psutil.virtual_memory().total / GB, 1),
            system=f"{platform.system()} {platform.release()}",
            python=platform.python_version(),
            load_average=round(os.getloadavg()[0], 1),
            fsync_ms=round(float(np.median(syncs)), 2),
            fsync_p95_ms=round(float(np.percentile(syncs, 95)), 2),
        )

    def __str__(self) -> str:
        return (
            f"{self.cpu}, {self.cores} cores, {self.memory_gb} GB memory, {self.system}, Python {self.python}; "
            f"fsync {self.fsync_ms} ms (p95 {self.fsync_p95_ms}); load average before the run: {self.load_average}"
        )


@dataclass
class Outcome:
    """What a run has found so far."""

    machine: Machine | None = None
    servers: set[str] = field(default_factory=set)  # Redis and brokers with their versions
    figures: list[Figure] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    interrupted: bool = False

    @property
    def place(self) -> str:
        """Where it was measured, in one line."""
        return "; ".join([str(self.machine), *sorted(self.servers)])

    def as_json(self) -> dict[str, Any]:
        return {
            "machine": asdict(self.machine) if self.machine else None,
            "servers": sorted(self.servers),
            "figures": [figure.as_json() for figure in self.figures],
            "failures": [asdict(failure) for failure in self.failures],
            "warnings": self.warnings,
            "interrupted": self.interrupted,
        }


def _fsync_times_ms(folder: Path) -> list[float]:
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(FSYNCS):
            file.write(b"x" * 4096)
            file.flush()
            begun = time.perf_counter()
            os.fsync(file.fileno())
            times.append((time.perf_counter() - begun) * 1000)
    return times


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


STYLES: Final = {"aim": "green", "ok": "green", "missed": "bold red", "": ""}
WORDS: Final = {"aim": "ok, aim reached", "ok": "ok", "missed": "missed", "": "-"}


def table(outcome: Outcome) -> Table:
    grid = Table(caption="others: share of the processors that went to other programs meanwhile")
    for name in ("what", "measured", "budget", "aim", "verdict", "others"):
        grid.add_column(name, justify="left" if name == "what" else "right", overflow="fold")
    for figure in outcome.figures:
        limits = _limits(figure)
        verdict = f"[{STYLES[figure.verdict]}]{WORDS[figure.verdict]}[/]" if figure.verdict else "-"
        measured = _amount(figure.value, figure.unit)
        grid.add_row(escape(figure.what), measured, *limits, verdict, f"{figure.others:.0%}")
    for failure in outcome.failures:
        grid.add_row(escape(failure.part), "-", "-", "-", "[bold red]not measured[/]", "-")
    return grid


def notes(outcome: Outcome) -> list[str]:
    """How each figure was measured, why others are missing, and what puts figures in doubt."""
    measured = [f"{figure.what}: {figure.detail}" for figure in outcome.figures if figure.detail]
    missing = [f"{failure.part}: not measured: {failure.reason}" for failure in outcome.failures]
    return [*measured, *missing, *(f"warning: {warning}" for warning in outcome.warnings)]


def _limits(figure: Figure) -> tuple[str, str]:
    if figure.budget is None:
        return "-", "-"
    sign = "≥" if figure.budget.more_is_better else "≤"
    least, aim = (_amount(value, figure.unit) for value in (figure.budget.least, figure.budget.aim))
    return f"{sign} {least}", f"{sign} {aim}"


def _amount(value: float, unit: str) -> str:
    number = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{number} {unit}".strip()
