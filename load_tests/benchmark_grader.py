"""The grader itself: how many requests it sends from one core, and whether its memory grows with the run."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from grader.run import RUN_FILE, load
from load_tests.benchmark_children import Workspace, free_port, until
from load_tests.benchmark_figures import GRADER_GROWTH_MB, GRADER_PER_S, Figure
from load_tests.benchmark_run import Run
from load_tests.benchmark_system import is_healthy

# Users that come as fast as the client can serve them: 50 at once, no pause to speak of.
SATURATED: Final = ("--world", "synthetic:items=2000,users=20000", "--speed", "100000", "--no-ladder", "--no-lag")
RUN_S: Final = 600.0


async def grader(run: Run) -> list[Figure]:
    with Workspace(run.workspace.folder) as workspace:
        port = free_port()
        options = ["--port", str(port), "--no-access-log", "--log-level", "warning", "--lifespan", "off"]
        command = [sys.executable, "-m", "uvicorn", "load_tests.trivial:app", *options]
        service = workspace.start("trivial service", command, os.environ)
        await until(lambda: is_healthy(port), "the trivial service answers", 30, service)
        run.say("a run as fast as the client can")
        folder = workspace.folder / "run"
        url = f"http://127.0.0.1:{port}"
        urls = ["--recs-url", url, "--interact-url", url]
        words = [sys.executable, "-m", "grader", "run", *urls, *SATURATED, "--output", str(folder)]
        # One core: the arrays before and after the session may not spread over more.
        client = workspace.start("grader", words, os.environ | {"OMP_NUM_THREADS": "1"})
        await until(lambda: _saved(folder), "the run is saved", RUN_S, client)
        return _figures(folder)


async def _saved(folder: Path) -> bool:
    return (folder / RUN_FILE).exists()


def _figures(folder: Path) -> list[Figure]:
    graded = load(folder)
    per_s = graded.requests.height / graded.facts["took_s"]
    growth = graded.facts["memory_growth_bytes"] / 1e6
    detail = f"{graded.requests.height:,} requests to a service that does nothing, 50 users at once, no pauses"
    return [
        Figure("grader: requests/s from one core", per_s, "/s", GRADER_PER_S, detail),
        Figure("grader: memory growth over these requests", growth, "MB", GRADER_GROWTH_MB),
    ]
