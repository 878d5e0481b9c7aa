"""Services that crash, stop and start again."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from recsys.launch.report import Report
from recsys.launch.supervisor import STOP_FIRST, STOP_LAST, Backoff, Child, Program, Supervisor, describe_exit


def test_backoff_doubles_up_to_30_s_and_starts_again_after_a_healthy_minute() -> None:
    backoff = Backoff()
    assert [backoff.after(ran_s=1) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert backoff.after(ran_s=60) == 0.5
    assert backoff.after(ran_s=59) == 1


def test_describe_exit() -> None:
    assert describe_exit(3) == "exited with code 3"
    assert describe_exit(-9) == "was killed by SIGKILL (exit code -9)"


class Recorder:
    """A Listener that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[tuple[str, int | None]] = asyncio.Queue()

    def crashed(self, child: Child, how: str, delay_s: float) -> None:
        self.heard.put_nowait((f"{how}, {delay_s:g} s", None))

    def restarted(self, child: Child) -> None:
        self.heard.put_nowait(("restarted", child.pid))

    async def next(self) -> tuple[str, int | None]:
        return await asyncio.wait_for(self.heard.get(), 30)


class TestSupervisor:
    @pytest.fixture
    def recorder(self) -> Recorder:
        return Recorder()

    def program(self, folder: Path, code: str, stage: int = STOP_FIRST) -> Program:
        return Program("it", (sys.executable, "-c", code), dict(os.environ), folder, folder / "logs" / "it.log", stage)

    async def line(self, child: Child) -> str:
        """The first line that the child writes."""
        await eventually(lambda: child.program.log.exists() and child.log_tail(1) != "")
        return child.log_tail(1)

    async def test_a_crash_is_reported_and_the_program_started_again(self, tmp_path: Path, recorder: Recorder) -> None:
        supervisor = Supervisor(recorder)
        child = supervisor.start(self.program(tmp_path, "import sys; print('one\\ntwo\\nthree'); sys.exit(3)"))
        assert await recorder.next() == ("exited with code 3, 0.5 s", None)
        assert child.log_tail(2) == "two\nthree"
        assert (await recorder.next())[0] == "restarted"
        assert await recorder.next() == ("exited with code 3, 1 s", None)
        await supervisor.stop()
        assert child.pid is None
        assert child.program.log.read_text().count("one") == 2

    async def test_a_program_that_is_not_there_counts_as_crashed(self, tmp_path: Path, recorder: Recorder) -> None:
        supervisor = Supervisor(recorder)
        supervisor.start(Program("it", ("/no/such/program",), {}, tmp_path, tmp_path / "it.log", STOP_FIRST))
        assert (await recorder.next())[0].startswith("exited with code")
        await supervisor.stop()

    async def test_a_log_that_cannot_be_written_counts_as_crashed(self, tmp_path: Path, recorder: Recorder) -> None:
        (tmp_path / "logs").touch()
        supervisor = Supervisor(recorder)
        child = supervisor.start(self.program(tmp_path, "pass"))
        assert (await recorder.next())[0].startswith("could not be started (")
        assert child.log_tail(1) == ""
        await supervisor.stop()

    async def test_sigkill_for_what_ignores_sigterm(
        self, tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("recsys.launch.supervisor.GRACE_S", {STOP_FIRST: 0.1})
        deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
        supervisor = Supervisor(recorder)
        child = supervisor.start(self.program(tmp_path, deaf))
        assert await self.line(child) == "deaf"
        await supervisor.stop()
        assert child.pid is None
        assert recorder.heard.empty()

    async def test_stop_while_starting(self, tmp_path: Path, recorder: Recorder) -> None:
        supervisor = Supervisor(recorder)
        child = supervisor.start(self.program(tmp_path, "import signal; signal.pause()", STOP_LAST))
        await asyncio.sleep(0)
        await asyncio.wait_for(supervisor.stop(), 10)
        assert child.pid is None

    async def test_processes_of_a_killed_child_go_with_it(self, tmp_path: Path, recorder: Recorder) -> None:
        code = "import os, signal; pid = os.fork(); pid and print(pid, flush=True); signal.pause()"
        supervisor = Supervisor(recorder)
        child = supervisor.start(self.program(tmp_path, code))
        grandchild = int(await self.line(child))
        assert child.pid is not None
        os.kill(child.pid, 9)
        assert (await recorder.next())[0].startswith("was killed by SIGKILL")
        await eventually(lambda: not is_running(grandchild))
        await supervisor.stop()


async def test_the_first_crash_shows_the_end_of_the_log(tmp_path: Path) -> None:
    console = Console(width=120, force_terminal=False, color_system=None, record=True, file=StringIO())
    report = Report(console)
    supervisor = Supervisor(report)
    log = tmp_path / "it.log"
    command = (sys.executable, "-c", "raise ValueError('bad luck')")
    child = supervisor.start(Program("it", command, dict(os.environ), tmp_path, log, STOP_FIRST))
    await eventually(lambda: child.crashes == 2)
    await supervisor.stop()
    text = console.export_text()
    assert f"it exited with code 1; next start in 0.5 s; log: {log}" in text
    assert text.count("ValueError: bad luck") == 1


async def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(3_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not happen within 30 seconds")


def is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
