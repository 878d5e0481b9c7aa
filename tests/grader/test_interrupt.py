"""What is left of runs that are ended early."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from grader.assessment import assess
from grader.errors import GraderError
from grader.grade import Stage, put_through
from grader.run import Run
from tests.grader.commands import QUICK, at
from tests.grader.services import InOrder, Reacted, lists_of, serving, serving_apart
from tests.grader.stages import Silence, names_of, staged
from tests.servers import ROOT, wait_until


@dataclass
class Halting(InOrder):
    """Answers some lists, then none any more; ``halted`` tells of it."""

    answers: int = 0
    halted: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request, user: str, found: list[str]) -> web.StreamResponse:
        if len(lists_of(self.events)) > self.answers:
            self.halted.set()
            await asyncio.Event().wait()
        return await super().answer(request, user, found)


async def interrupted(service: Halting, stage: Stage) -> Run:
    async with serving(service) as address:
        running = asyncio.create_task(put_through(stage, address, Silence()))
        await service.halted.wait()
        running.cancel()
        return await running


async def test_a_run_that_is_interrupted_holds_what_was_done() -> None:
    run = await interrupted(Halting(answers=30), staged(concurrency=1, lag=True, explain=False))
    assert run.facts["ended_early"] is True
    assert run.facts["lag"] is None
    assert run.recs.height == 30
    assert set(run.requests["status"].to_list()) == {200}
    assert "ended early" in assess(run).warnings[0]


async def test_a_run_that_is_interrupted_before_the_first_list_cannot_be_assessed() -> None:
    run = await interrupted(Halting(), staged(explain=False))
    assert run.facts["ended_early"] is True
    with pytest.raises(GraderError, match="before the first list"):
        assess(run)


@dataclass
class HaltingAfterwards(Halting):
    """Answers every visit, but not the users that measure the lag."""

    visitors: frozenset[str] = frozenset()

    async def answer(self, request: web.Request, user: str, found: list[str]) -> web.StreamResponse:
        return web.json_response({"item_ids": found})

    async def react(self, request: web.Request, reacted: Reacted) -> web.StreamResponse:
        if reacted.user not in self.visitors:
            self.halted.set()
            await asyncio.Event().wait()
        return await super().react(request, reacted)


async def test_interrupting_the_measurement_of_the_lag_keeps_the_run() -> None:
    stage = staged(lag=True, explain=False)
    service = HaltingAfterwards(visitors=frozenset(names_of(stage).user_ids))
    run = await interrupted(service, stage)
    assert run.recs.height == len(stage.plan.lists)
    assert run.facts["lag"] is None


@dataclass
class HangingFrom(InOrder):
    """Answers nothing from the first request on whose path begins with ``part``."""

    part: str = ""

    def app(self) -> web.Application:
        app = super().app()

        @web.middleware
        async def hang_there(request: web.Request, handler: Any) -> web.StreamResponse:
            if request.path.startswith(self.part):
                self.paths.append("hanging")
                await asyncio.Event().wait()
            response: web.StreamResponse = await handler(request)
            return response

        app.middlewares.append(hang_there)
        return app


@pytest.mark.parametrize("part", ["/cleanup", "/recs"])
def test_ctrl_c_before_the_first_list_ends_with_130_and_saves_nothing(tmp_path: Path, part: str) -> None:
    service = HangingFrom(part=part)
    with serving_apart(service) as address:
        words = [sys.executable, "-m", "grader", "run", *at(address.recs_url), *QUICK, "--no-explain"]
        words += ["--output", str(tmp_path)]
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            wait_until(lambda: "hanging" in service.paths, 60, "the grader waits")
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "error:" not in errors
    assert list(tmp_path.iterdir()) == []
    assert output == ""
