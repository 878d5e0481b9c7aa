"""Child processes that are restarted when they crash and stopped in stages."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

FIRST_DELAY_S: Final = 0.5
LONGEST_DELAY_S: Final = 30.0
HEALTHY_AFTER_S: Final = 60.0

STOP_FIRST, STOP_SECOND, STOP_LAST = range(3)
# Time between SIGTERM and SIGKILL per stage: all of them end within 5 seconds.
GRACE_S: Final = {STOP_FIRST: 1.5, STOP_SECOND: 1.3, STOP_LAST: 0.8}

TETHER: Final = Path(__file__).with_name("tether.py")


@dataclass(frozen=True)
class Program:
    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    log: Path
    stop_stage: int
    pass_fds: tuple[int, ...] = ()


class Listener(Protocol):
    def crashed(self, child: Child, how: str, delay_s: float) -> None: ...

    def restarted(self, child: Child) -> None: ...


@dataclass
class Backoff:
    """Seconds to wait before the next start: doubling, and from the beginning again after a long healthy run."""

    _next_s: float = field(default=FIRST_DELAY_S, init=False)

    def after(self, ran_s: float) -> float:
        if ran_s >= HEALTHY_AFTER_S:
            self._next_s = FIRST_DELAY_S
        delay_s = self._next_s
        self._next_s = min(2 * delay_s, LONGEST_DELAY_S)
        return delay_s


class Child:
    """One program, kept running in a session of its own until it is stopped.

    Its task is never cancelled: a start under way completes, so that no process goes unnoticed.
    """

    def __init__(self, program: Program, listener: Listener) -> None:
        self.program = program
        self.crashes = 0
        self.log_start = 0
        self._listener = listener
        self._process: Process | None = None
        self._stopping = asyncio.Event()
        self._task = asyncio.create_task(self._keep_running())

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def log_tail(self, lines: int) -> str:
        """The last lines that the latest process wrote; empty without a log that can be read."""
        try:
            with self.program.log.open("rb") as log:
                log.seek(self.log_start)
                return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def terminate(self) -> None:
        self._stopping.set()
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.terminate()

    def kill(self) -> None:
        self._stopping.set()
        if self._process is not None:
            kill_group(self._process.pid)

    async def stop(self, grace_s: float) -> None:
        self.terminate()
        _, late = await asyncio.wait({self._task}, timeout=grace_s)
        if late:
            self.kill()
        await self._task

    async def _keep_running(self) -> None:
        backoff = Backoff()
        while not self._stopping.is_set():
            started = time.monotonic()
            how = await self._run_once()
            if self._stopping.is_set():
                return
            self.crashes += 1
            delay_s = backoff.after(time.monotonic() - started)
            self._listener.crashed(self, how, delay_s)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay_s)

    async def _run_once(self) -> str:
        """Start the program and wait until it has ended. Returns how it ended."""
        try:
            self._process = process = await self._spawn()
        except OSError as error:
            return f"could not be started ({error})"
        if self._stopping.is_set():
            self.terminate()
        elif self.crashes:
            self._listener.restarted(self)
        code = await process.wait()
        self._process = None
        kill_group(process.pid)
        return describe_exit(code)

    async def _spawn(self) -> Process:
        program = self.program
        program.log.parent.mkdir(parents=True, exist_ok=True)
        with program.log.open("ab") as log:
            self.log_start = log.tell()
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *program.command),
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                env=program.env,
                cwd=program.cwd,
                start_new_session=True,
                pass_fds=program.pass_fds,
            )


class Supervisor:
    def __init__(self, listener: Listener) -> None:
        self.children: dict[str, Child] = {}
        self._listener = listener

    def start(self, program: Program) -> Child:
        child = self.children[program.name] = Child(program, self._listener)
        return child

    async def stop(self) -> None:
        """End all children, stage after stage. Afterwards none of their processes is left."""
        for stage, grace_s in GRACE_S.items():
            members = [child for child in self.children.values() if child.program.stop_stage == stage]
            await asyncio.gather(*(child.stop(grace_s) for child in members))

    def kill(self) -> None:
        for child in self.children.values():
            child.kill()


def kill_group(leader: int) -> None:
    """SIGKILL to the processes that are left of a child's session, if any. macOS refuses when only zombies are left."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def describe_exit(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    names = {number.value: number.name for number in signal.Signals}
    return f"was killed by {names.get(-code, 'a signal')} (exit code {code})"
