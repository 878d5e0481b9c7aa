"""``run_all.sh`` as a person uses it: real processes, real ports, real signals."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import psutil  # type: ignore[import-untyped]
import pytest

from recsys.settings import BACKENDS_FILE, ROOT

T = TypeVar("T")
DEADLINE_S = 60.0
STOPPED_WITHIN_S = 5.0
PORT_OPTIONS = ("--collector-port", "--recommendations-port", "--webapp-port")
CHILDREN = {"collector", "recommendations", "pipeline", "redis"}

fetch = build_opener(ProxyHandler({})).open


def eventually(look: Callable[[], T], what: str, within_s: float = DEADLINE_S) -> T:
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
        with fetch(url, timeout=2) as answer:
            return json.load(answer)
    except (URLError, HTTPException, OSError, ValueError):
        return None


def is_well(url: str) -> bool:
    try:
        with fetch(f"{url}/healthcheck", timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, HTTPException, OSError):
        return False


def is_bound(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Launcher:
    """One ``run_all.sh`` with ports of its own, in a process group of its own like the foreground job of a terminal."""

    def __init__(self, data_dir: Path, *options: str, ports: list[int] | None = None) -> None:
        self.data_dir = data_dir
        self.ports = ports or free_ports(len(PORT_OPTIONS))
        self.collector, self.recommendations, _ = (f"http://127.0.0.1:{port}" for port in self.ports)
        self._output = data_dir.with_name(f"{data_dir.name}.{time.monotonic_ns()}.out")
        chosen = [word for pair in zip(PORT_OPTIONS, map(str, self.ports), strict=True) for word in pair]
        environment = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [ROOT / "run_all.sh", "--embedded", "--data-dir", data_dir, *chosen, *options],
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

    def family(self) -> list[psutil.Process]:
        """Every process whose data folder is ours, whoever is its parent now."""
        return [process for process in psutil.process_iter() if process.pid != self.process.pid and self._owns(process)]

    def _owns(self, process: psutil.Process) -> bool:
        try:
            return str(self.data_dir) in (process.environ().get("DATA_DIR"), *process.cmdline()[-12:])
        except psutil.Error:
            return False
