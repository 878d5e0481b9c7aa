"""``run_all.sh`` as a child process of a test."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import psutil
import pytest

from recsys.settings import BACKENDS_FILE, ROOT

T = TypeVar("T")
DEADLINE_S = 60.0
STOPPED_WITHIN_S = 5.0
PORT_OPTIONS = ("--collector-port", "--recommendations-port", "--webapp-port")
PROGRAMS = ("event_collector", "recommendations", "regular_pipeline", "redis")

fetch = build_opener(ProxyHandler({})).open


def eventually(look: Callable[[], T | None], what: str, within_s: float = DEADLINE_S) -> T:
    """The first true answer of ``look``."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if answer := look():
            return answer
        time.sleep(0.02)
    pytest.fail(f"not within {within_s:g} s: {what}")


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


def get(url: str) -> Any:
    """The JSON answer, None if there is none."""
    try:
        with fetch(url, timeout=20) as answer:
            return json.load(answer)
    except (URLError, HTTPException, OSError, ValueError):
        return None


def is_well(url: str) -> bool:
    try:
        with fetch(f"{url}/healthcheck", timeout=20) as answer:
            return bool(answer.status == 200)
    except (URLError, HTTPException, OSError):
        return False


def is_bound(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


class Launcher:
    """One ``run_all.sh`` with ports of its own, in a process group of its own like the foreground job of a terminal."""

    def __init__(
        self, data_dir: Path, *options: str, ports: list[int] | None = None, backends: Sequence[str] = ("--embedded",)
    ) -> None:
        self.data_dir = data_dir
        self.ports = ports or free_ports(len(PORT_OPTIONS))
        self.collector, self.recommendations, _ = (f"http://127.0.0.1:{port}" for port in self.ports)
        self._output = data_dir.with_name(f"{data_dir.name}.{time.monotonic_ns()}.out")
        chosen = [word for pair in zip(PORT_OPTIONS, map(str, self.ports), strict=True) for word in pair]
        environment = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [ROOT / "run_all.sh", *backends, "--data-dir", data_dir, *chosen, *options],
                stdout=output,
                stderr=output,
                env=environment | {"VIRTUAL_ENV": sys.prefix},
                cwd=data_dir.parent,
                start_new_session=True,
            )

    def output(self) -> str:
        return self._output.read_text()

    def wait_until_ready(self) -> None:
        eventually(lambda: "Ready after" in self.output() or self.process.poll() is not None, "readiness")
        assert self.process.poll() is None, self.output()

    def wait_for_word(self, text: str) -> None:
        eventually(lambda: text in self.output(), f"{text!r} in the output:\n{self.output()}")

    def children(self) -> dict[str, psutil.Process]:
        """The programs that run now, by the name of their module or binary."""
        found = psutil.Process(self.process.pid).children()
        return {name: process for process in found if (name := program_of(process))}

    def processes(self) -> list[psutil.Process]:
        """Everything that this launcher started and that lives, whoever is its parent now."""
        others = (process for process in psutil.process_iter() if process.pid != self.process.pid)
        return [process for process in others if belongs_to(process, self.data_dir)]

    def signal(self, number: int) -> None:
        """To the whole group, like the Ctrl-C of a terminal."""
        os.killpg(self.process.pid, number)

    def expect_clean_end(self, within_s: float = STOPPED_WITHIN_S) -> None:
        """Everything that a stop promises, from now on within its time."""
        assert self.process.wait(within_s) == 0, self.output()
        assert not self.processes()
        assert not any(is_bound(port) for port in self.ports)
        assert not published_for(self.data_dir)
        assert "Traceback" not in self.output()

    def end(self) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            self.process.wait(DEADLINE_S)


def program_of(process: psutil.Process) -> str:
    """Empty for a process that is on its way to become a program, or to its end."""
    try:
        command = process.cmdline()
    except psutil.Error:
        return ""
    if command[1:2] == ["-m"]:
        return str(command[2])
    return "redis" if command and "redis-server" in command[0] else ""


def belongs_to(process: psutil.Process, data_dir: Path) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        # redis-server overwrites its environment, but works in its folder.
        return str(data_dir) in (process.environ().get("DATA_DIR"), str(Path(process.cwd()).parent))
    except psutil.Error:
        return False


def published_for(data_dir: Path) -> bool:
    return BACKENDS_FILE.exists() and str(data_dir) in BACKENDS_FILE.read_text()
