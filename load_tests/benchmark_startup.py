"""From the command that starts everything to both services answering."""

from __future__ import annotations

import os
import sys
import time
from typing import Final

import numpy as np
import psutil

from load_tests.benchmark_children import Workspace, free_port, until
from load_tests.benchmark_figures import ALL_MB, STARTUP_S, Figure
from load_tests.benchmark_run import Run
from load_tests.benchmark_system import is_healthy
from recsys.settings import ROOT

STARTS: Final = 3
INSTALL_S: Final = 600.0  # the first start installs what is missing
READY_S: Final = 60.0
POLL_S: Final = 0.01


async def startup(run: Run) -> list[Figure]:
    run.say("first start, which does not count")
    await _start(run)
    seconds, megabytes = [], []
    for number in range(STARTS):
        run.say(f"start {number + 1} of {STARTS}")
        took_s, memory_mb = await _start(run)
        seconds.append(took_s)
        megabytes.append(memory_mb)
    detail = (
        f"--embedded, empty data folder, requirements installed; median of {STARTS} starts, "
        f"{min(seconds):.1f} to {max(seconds):.1f}"
    )
    shared = "what is shared is divided among all who share it (PSS), also with programs that are not ours"
    return [
        Figure("run_all.sh to both healthchecks", float(np.median(seconds)), "s", STARTUP_S, detail),
        Figure("memory of all processes, demo filled", float(np.median(megabytes)), "MB", ALL_MB, shared),
    ]


async def _start(run: Run) -> tuple[float, float]:
    """Seconds until healthy, and the megabytes of all processes once the demo has its films."""
    with Workspace(run.workspace.folder) as workspace:
        collector, recommendations = free_port(), free_port()
        options = {
            "--data-dir": str(workspace.folder / "data"),
            "--collector-port": str(collector),
            "--recommendations-port": str(recommendations),
            "--webapp-port": str(free_port()),
        }
        command = [str(ROOT / "run_all.sh"), "--embedded", *(word for option in options.items() for word in option)]
        # URLs that are set win over --embedded; our own environment is the one to install into.
        others = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
        launcher = workspace.start("run_all.sh", command, others | {"VIRTUAL_ENV": sys.prefix})

        async def healthy() -> bool:
            return await is_healthy(collector) and await is_healthy(recommendations)

        await until(healthy, "both healthchecks answer", INSTALL_S, launcher, pause_s=POLL_S)
        took_s = time.perf_counter() - launcher.started

        async def ready() -> bool:
            return "Ready after" in launcher.output

        await until(ready, "the demo has its films", READY_S, launcher)
        root = psutil.Process(launcher.pid)
        return took_s, sum(_pss(process) for process in [root, *root.children(recursive=True)]) / 1e6


def _pss(process: psutil.Process) -> int:
    """Bytes; where the system does not tell, those that are resident."""
    memory = process.memory_full_info()
    return int(getattr(memory, "pss", memory.rss))
