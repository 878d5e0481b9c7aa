"""Child processes in a temporary folder. When the block ends, however it ends, both are gone."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Self

import psutil

from recsys.launch.supervisor import TETHER, describe_exit
from recsys.settings import ROOT

STOP_S: Final = 10.0
POLL_S: Final = 0.02
TAIL_LINES: Final = 15
QUIET_SHARE: Final = 0.1  # of one core
ERROR: Final = re.compile(r"\[(error|critical)\b|^Traceback|\bERROR\b|\"level\": \"error\"")


class BenchmarkError(Exception):
    """Something could not be measured. The message is for the person who started the benchmark."""


class Child:
    """A program in a session of its own, with its output in a file. It also ends when this process is killed."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str], pass_fds: Sequence[int] = ()
    ) -> None:
        self.name = name
        self._log = log
        self.started = time.perf_counter()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *command],
                cwd=ROOT,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=tuple(pass_fds),
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def require_running(self) -> None:
        if (code := self._process.poll()) is not None:
            tail = "\n".join(self.output.splitlines()[-TAIL_LINES:])
            raise BenchmarkError(f"{self.name} {describe_exit(code)}. It wrote:\n{tail}")

    def error_lines(self) -> list[str]:
        return [line for line in self.output.splitlines() if ERROR.search(line)]

    def cpu_s(self) -> float:
        """Processor time used so far, with its children's."""
        leader = psutil.Process(self.pid)
        times = [process.cpu_times() for process in (leader, *leader.children(recursive=True))]
        return float(sum(t.user + t.system for t in times))

    def peak_memory_bytes(self) -> int:
        """The most resident memory it ever had; where the system does not keep that, what it has now."""
        with suppress(OSError, StopIteration):
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
            return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
        return int(psutil.Process(self.pid).memory_info().rss)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        self._signal(signal.SIGTERM)
        self.resume()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _signal(self, number: int) -> None:
        """To its whole session."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)


class Workspace:
    """A temporary folder below ``parent`` and the children that work in it, stopped in reverse order."""

    def __init__(self, parent: Path | None) -> None:
        self._parent = parent
        self._children: list[Child] = []
        self.stack = ExitStack()

    def __enter__(self) -> Self:
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="recsys-", dir=self._parent)))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        with self.stack:
            if isinstance(error, Exception) and not isinstance(error, BenchmarkError):
                # A child that has died explains a connection that broke.
                for child in self._children:
                    child.require_running()

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str], pass_fds: Sequence[int] = ()) -> Child:
        child = Child(name, command, self.folder / f"{name}.log", env, pass_fds)
        self._children.append(child)
        self.stack.callback(child.stop)
        return child

    def cpu_s(self) -> float:
        """Processor time of the children that run."""
        return sum(child.cpu_s() for child in self._children)

    def errors(self) -> list[str]:
        """What the children logged as errors."""
        return [f"{child.name}: {line}" for child in self._children for line in child.error_lines()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until(
    happened: Callable[[], Awaitable[bool]], what: str, seconds: float, *children: Child, pause_s: float = POLL_S
) -> None:
    """Poll until ``happened``. BenchmarkError if it does not within ``seconds`` or one of the children ends."""
    deadline = time.monotonic() + seconds
    while not await happened():
        for child in children:
            child.require_running()
        if time.monotonic() > deadline:
            raise BenchmarkError(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(pause_s)


async def until_quiet(child: Child, seconds: float) -> None:
    """Until it needs hardly any processor time: what it does in the background is done."""
    used = child.cpu_s()

    async def quiet() -> bool:
        nonlocal used
        await asyncio.sleep(1)
        before, used = used, child.cpu_s()
        return used - before < QUIET_SHARE

    await until(quiet, f"{child.name} is at rest", seconds, child)
