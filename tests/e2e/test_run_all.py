"""``run_all.sh`` as a person uses it: real processes, real ports, real signals."""

from __future__ import annotations

import csv
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recsys.settings import ROOT
from tests.e2e.launcher import (
    DEADLINE_S,
    PROGRAMS,
    STOPPED_WITHIN_S,
    Launcher,
    eventually,
    fetch,
    get,
    has_ipv6,
    is_well,
    published_for,
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    launcher = Launcher(tmp_path_factory.mktemp("run") / "data")
    try:
        launcher.wait_until_ready()
        yield launcher
    finally:
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
    assert "others than" not in second.output()
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
    for process in launcher.children().values():
        process.suspend()  # patience with these takes more than 3.5 s
    launcher.signal(signal.SIGINT)
    launcher.wait_for_word("Stopping everything")
    launcher.signal(signal.SIGINT)
    began = time.monotonic()
    launcher.expect_clean_end()
    assert time.monotonic() - began < 3


def test_a_service_that_does_not_listen_is_killed_in_time(launch: Callable[..., Launcher]) -> None:
    launcher = launch()
    launcher.wait_until_ready()
    for process in launcher.children().values():
        process.suspend()
    launcher.signal(signal.SIGINT)
    launcher.expect_clean_end(within_s=STOPPED_WITHIN_S + 3)  # the launcher waits 3.5 s before it kills


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell a child that its parent has died")
def test_nothing_outlives_a_killed_launcher(launch: Callable[..., Launcher]) -> None:
    launcher = launch()
    launcher.wait_until_ready()
    launcher.process.kill()
    launcher.process.wait()
    eventually(lambda: not launcher.processes(), "all have ended")
    again = launch(ports=launcher.ports)
    again.wait_until_ready()
    assert "already holds 500 items" in again.output()
    assert "others than" not in again.output()


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


def test_a_wrong_setting_is_told_before_anything_starts(
    launch: Callable[..., Launcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANKING_PROFILE", "clever")
    launcher = launch()
    assert launcher.process.wait(DEADLINE_S) == 1
    assert "RANKING_PROFILE='clever': there is no profile 'clever': choose from balanced, " in launcher.output()
    assert "started" not in launcher.output()
    assert "Traceback" not in launcher.output()


@pytest.mark.parametrize("host", ["::1", "::"])
def test_listening_on_ipv6(launch: Callable[..., Launcher], monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    if not has_ipv6():
        pytest.skip("no IPv6 here")
    monkeypatch.setenv("LISTEN_HOST", host)
    launcher = launch()
    launcher.wait_until_ready()
    with fetch(f"http://[::1]:{launcher.ports[2]}/", timeout=20) as page:
        assert b"/poster/" in page.read(), "the web app reaches the services"


def test_data_that_another_start_cannot_use(launch: Callable[..., Launcher], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "redis").touch()
    launcher = launch()
    assert launcher.process.wait(DEADLINE_S) == 2
    assert launcher.output().startswith(f"{tmp_path}/data/redis is not a folder: ")
    assert "Traceback" not in launcher.output()
