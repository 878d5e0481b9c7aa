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

    def expect_clean_end(self) -> None:
        """Everything that a stop promises, from now on within its time."""
        assert self.process.wait(STOPPED_WITHIN_S) == 0, self.output()
        assert not self.processes()
        assert not any(is_bound(port) for port in self.ports)
        assert not published_for(self.data_dir)
        assert "Traceback" not in self.output()

    def end(self) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            self.process.wait(STOPPED_WITHIN_S)


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


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    launcher = Launcher(tmp_path_factory.mktemp("run") / "data")
    launcher.wait_until_ready()
    yield launcher
    launcher.end()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Launcher]]:
    started: list[Launcher] = []

    def start(*options: str, ports: list[int] | None = None) -> Launcher:
        started.append(Launcher(tmp_path / "data", *options, ports=ports))
        return started[-1]

    yield start
    for launcher in started:
        launcher.end()


def test_both_healthchecks_answer(running: Launcher) -> None:
    assert is_well(running.collector)
    assert is_well(running.recommendations)


def test_a_new_user_gets_ten_known_items(running: Launcher) -> None:
    with (ROOT / "webapp" / "data" / "catalogue.csv").open(newline="") as file:
        known = {row["movieId"] for row in csv.DictReader(file)}
    ids = get(f"{running.recommendations}/recs/somebody-new")["item_ids"]
    assert len(set(ids)) == 10
    assert set(ids) <= known


def test_the_overview_fits_a_file(running: Launcher) -> None:
    lines = running.output().splitlines()
    assert max(map(len, lines)) <= 200
    assert "\x1b" not in running.output()
    for part in ("collector", "recommendations", "pipeline", "private redis-server", "Ctrl-C stops everything"):
        assert part in running.output()


def test_services_started_by_hand_can_join(running: Launcher) -> None:
    assert published_for(running.data_dir) or "belongs to another run_all.sh" in running.output()


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_killed_program_comes_back(running: Launcher, program: str) -> None:
    old = eventually(lambda: running.children().get(program), f"{program} runs")
    names = {"event_collector": "collector", "regular_pipeline": "pipeline"}
    name = names.get(program, program)
    old.kill()
    running.wait_for_word(f"{name} was killed by SIGKILL (exit code -9)")
    running.wait_for_word(f"{name} was started again")
    new = eventually(lambda: running.children().get(program), f"{program} is back")
    assert new.pid != old.pid
    eventually(lambda: is_well(running.collector) and is_well(running.recommendations), "health after the restart")
    assert len(get(f"{running.recommendations}/recs/after-{program}")["item_ids"]) == 10


def test_a_second_start_names_the_busy_ports_and_their_owner(
    running: Launcher, launch: Callable[..., Launcher]
) -> None:
    second = launch(ports=running.ports)
    assert second.process.wait(DEADLINE_S) == 1
    owners = running.children()
    for port, module in zip(running.ports, ("event_collector", "recommendations"), strict=False):
        assert f"Port {port}" in second.output()
        assert f"pid {owners[module].pid} (" in second.output()
    assert is_well(running.collector)


def test_a_second_start_on_the_same_data_is_refused(running: Launcher) -> None:
    second = Launcher(running.data_dir)
    assert second.process.wait(DEADLINE_S) == 1
    assert f"in use by another run_all.sh (pid {running.process.pid})" in second.output()
    assert running.children().keys() >= {"redis"}


def test_sigint_stops_everything_and_the_next_run_finds_its_catalogue(launch: Callable[..., Launcher]) -> None:
    first = launch()
    first.wait_until_ready()
    assert first.children().keys() >= set(PROGRAMS)
    first.signal(signal.SIGINT)
    first.expect_clean_end()

    second = launch(ports=first.ports)
    second.wait_until_ready()
    assert "already holds 500 items" in second.output()
    second.signal(signal.SIGTERM)
    second.expect_clean_end()


@pytest.mark.parametrize("moment", ["redis", "event_collector", "regular_pipeline"])
def test_sigint_while_starting(launch: Callable[..., Launcher], moment: str) -> None:
    launcher = launch()
    eventually(lambda: moment in launcher.children(), f"{moment} runs")
    launcher.signal(signal.SIGINT)
    launcher.expect_clean_end()


def test_a_second_ctrl_c_kills_at_once(launch: Callable[..., Launcher]) -> None:
    launcher = launch()
    launcher.wait_until_ready()
    launcher.children()["regular_pipeline"].suspend()
    launcher.signal(signal.SIGINT)
    launcher.wait_for_word("Stopping everything")
    launcher.signal(signal.SIGINT)
    began = time.monotonic()
    launcher.expect_clean_end()
    assert time.monotonic() - began < 1


def test_a_service_that_does_not_listen_is_killed_in_time(launch: Callable[..., Launcher]) -> None:
    launcher = launch()
    launcher.wait_until_ready()
    for process in launcher.children().values():
        process.suspend()
    launcher.signal(signal.SIGINT)
    launcher.expect_clean_end()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell a child that its parent has died")
def test_nothing_outlives_a_killed_launcher(launch: Callable[..., Launcher]) -> None:
    launcher = launch()
    launcher.wait_until_ready()
    launcher.process.kill()
    launcher.process.wait()
    eventually(lambda: not launcher.processes(), "all have ended", within_s=STOPPED_WITHIN_S)
    again = launch(ports=launcher.ports)
    again.wait_until_ready()
    assert "already holds 500 items" in again.output()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--only", "collektor"], 2, "unknown name collektor"),
        (["--catalogue", "/no/such.csv"], 2, "/no/such.csv cannot be read"),
        (["--catalogue", __file__], 2, "line 1: the header lacks movieId"),
        (["--no-such-option"], 2, "--no-such-option"),
    ],
)
def test_wrong_options(launch: Callable[..., Launcher], options: list[str], code: int, message: str) -> None:
    launcher = launch(*options)
    assert launcher.process.wait(DEADLINE_S) == code
    assert message in launcher.output()
    assert not launcher.processes()
