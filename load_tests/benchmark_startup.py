"""From the command that starts everything to both services answering."""

from __future__ import annotations

import os
import sys
import time
from typing import Final

import numpy as np

from load_tests.benchmark_children import Workspace, free_port, until
from load_tests.benchmark_figures import STARTUP_S, Figure
from load_tests.benchmark_run import Run
from load_tests.benchmark_system import is_healthy
from recsys.settings import ROOT

STARTS: Final = 3
INSTALL_S: Final = 600.0  # the first start installs what is missing
POLL_S: Final = 0.01


async def startup(run: Run) -> list[Figure]:
    run.say("first start, which does not count")
    await _start(run)
    seconds = []
    for number in range(STARTS):
        run.say(f"start {number + 1} of {STARTS}")
        seconds.append(await _start(run))
    detail = (
        f"--embedded, empty data folder, requirements installed; median of {STARTS} starts, "
        f"{min(seconds):.1f} to {max(seconds):.1f}"
    )
    return [Figure("run_all.sh to both healthchecks", float(np.median(seconds)), "s", STARTUP_S, detail)]


async def _start(run: Run) -> float:
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
        return time.perf_counter() - launcher.started
