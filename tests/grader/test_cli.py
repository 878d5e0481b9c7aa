"""The command line: exit codes, sentences instead of tracebacks, and what is shown."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from grader.assessment import assess, figures
from grader.cli import finish_run
from grader.errors import GraderError
from grader.run import load
from grader.screen import ProgressScreen
from grader.terminal import show
from grader.traffic import TrafficConfig, plan_traffic
from tests.grader.commands import QUICK, Command, at, command, sentence_of
from tests.grader.runs import asked, run_of
from tests.grader.services import InOrder, serving_apart
from tests.grader.worlds import world_of
from tests.servers import ROOT, free_port, wait_until

__all__ = ["command"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A service that keeps the contract."""
    with serving_apart(InOrder()) as address:
        yield address.recs_url


def test_a_run_is_graded_saved_and_told(command: Command, url: str, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    code, output, _ = command("run", *at(url), *QUICK, "--output", str(folder), "--fail-under", "points=0,p95_ms=1e6")
    assert code == 0
    for words in ("Score card", "precision", "coverage", "Spoiled lists", str(folder)):
        assert words in output
    assessment = assess(load(folder))
    assert f"{assessment.card.quality.value:.1f}" in output
    assert json.loads((folder / "run.json").read_text())["assessment"] == figures(assessment)


def test_users_come_at_the_rate_and_as_many_at_once_as_was_asked_for(
    command: Command, url: str, tmp_path: Path
) -> None:
    command("run", *at(url), *QUICK, "--rate", "20", "--concurrency", "2", "--output", str(tmp_path))
    run = load(tmp_path)
    planned = plan_traffic(20, TrafficConfig(20.0, 2), seed=0).arrival_s / 1_000
    arrived = run.requests.unique("visit", keep="first", maintain_order=True).sort("visit")["due_s"]
    assert arrived.to_list() == planned.tolist()
    assert run.facts["settings"]["concurrency"] == 2


def test_a_run_is_saved_before_it_is_assessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    run = run_of(world_of([{0: True}], [{0}]), [asked(0, [0])])
    monkeypatch.setattr("grader.cli.assess", fail)
    with pytest.raises(MemoryError):
        finish_run(run, tmp_path, "standard")
    assert load(tmp_path).requests.equals(run.requests)


def test_a_run_that_cannot_be_saved_is_shown_at_least(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(world_of([{0: True}], [{0}]), [asked(0, [0])])
    (tmp_path / "file").touch()
    with pytest.raises(GraderError, match="could not be saved"):
        finish_run(run, tmp_path / "file", "standard")
    assert "Score card" in capsys.readouterr().out


def test_a_report_that_cannot_be_written_costs_neither_run_nor_score(
    command: Command, url: str, tmp_path: Path
) -> None:
    (tmp_path / "report.html").mkdir()
    code, output, errors = command("run", *at(url), *QUICK, "--output", str(tmp_path))
    assert code == 2
    assert "Score card" in output
    assert "The run is saved in" in errors
    assert load(tmp_path).recs.height


def test_a_broken_limit_ends_with_1_and_keeps_the_run(command: Command, url: str, tmp_path: Path) -> None:
    code, _, errors = command("run", *at(url), *QUICK, "--output", str(tmp_path / "saved"), "--fail-under", "points=41")
    assert code == 1
    assert "limit broken: points is" in errors
    assert load(tmp_path / "saved").recs.height > 0


def test_a_saved_run_is_assessed_again_by_another_profile(command: Command, url: str, tmp_path: Path) -> None:
    folder = str(tmp_path / "saved")
    command("run", *at(url), *QUICK, "--output", folder)
    code, output, _ = command("report", folder, "--profile", "published")
    assert code == 0
    assert "published profile" in output
    assert json.loads((tmp_path / "saved" / "run.json").read_text())["assessment"]["profile"] == "published"
    code, _, errors = command("report", folder, "--fail-under", "precision=1.1")
    assert code == 1
    assert "at least 1.1 wanted" in errors


def test_a_folder_that_cannot_be_written_is_told_before_the_run(command: Command, tmp_path: Path) -> None:
    service, taken = InOrder(), tmp_path / "file"
    taken.touch()
    with serving_apart(service) as address:
        code, _, errors = command("run", *at(address.recs_url), *QUICK, "--output", str(taken))
    assert code == 2
    assert f"{taken} cannot be used" in sentence_of(errors)
    assert set(service.paths) == {"GET /healthcheck"}, "nothing is erased"


def test_a_folder_without_a_run_is_told_in_a_sentence(command: Command, tmp_path: Path) -> None:
    code, _, errors = command("report", str(tmp_path / "absent"))
    assert code == 2
    assert "is no saved run" in sentence_of(errors)


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "grader", "run", *at(f"http://127.0.0.1:{free_port()}"), *QUICK]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert "is the service running" in sentence_of(ended.stderr)


def test_names_given_by_others_are_shown_as_they_are() -> None:
    """Brackets are no markup in what a service or a data set calls things."""
    world = world_of([{0: True, 1: False}], [{0}, {1}])
    world = replace(world, genre_names=["[Sci-Fi]", "[/Drama]", "[red]Noir", "other"])
    run = run_of(world, [asked(0, [0, 1], sources=["[bold]ranked", "[/explore]"])])
    console = Console(width=200, record=True, file=io.StringIO())
    show(console, run, assess(run))
    text = console.export_text()
    assert all(name in text for name in ("[Sci-Fi]", "[/Drama]", "[bold]ranked", "[/explore]"))


@pytest.mark.parametrize("name", ["run", "compare"])
def test_ctrl_c_keeps_what_was_done(tmp_path: Path, name: str) -> None:
    """A real signal to a real process, as soon as the service has shown some lists."""
    service = InOrder()
    with serving_apart(service) as address:
        urls = [address.recs_url, address.interact_url]
        sides = at(address.recs_url) if name == "run" else [",".join(urls)] * 2
        options = ["--world", "tiny", "--rate", "20", "--output", str(tmp_path)]
        words = [sys.executable, "-m", "grader", name, *sides, *options, *["--no-ladder"] * (name == "run")]
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            wait_until(lambda: len(service.events) > 10, 60, "lists are shown")
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "ended early" in " ".join((output + errors).split())
    run = load(tmp_path if name == "run" else tmp_path / "a1")
    assert run.facts["ended_early"]
    assert 5 < run.recs.height < len(run.catalogue.genres) * 2


def test_progress_never_shows_more_than_was_done() -> None:
    output = io.StringIO()
    with ProgressScreen(Console(file=output, width=120)) as screen:
        screen.begin("building")
        screen.begin("visits", 10)
        screen.advance(4)
    assert "1/1" in output.getvalue()
    assert "4/10" in output.getvalue()
    assert "10/10" not in output.getvalue()
