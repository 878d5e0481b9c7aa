"""The command line: exit codes, sentences instead of tracebacks, and what is shown."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from rich.console import Console

from grader.assessment import assess, figures
from grader.cli import finish_run, main
from grader.errors import GraderError
from grader.grade import Silence, put_through
from grader.run import load
from grader.screen import ProgressScreen
from grader.service import Address
from grader.terminal import show
from grader.traffic import TrafficConfig, plan_traffic
from tests.grader.runs import asked, run_of
from tests.grader.services import InOrder, serving, serving_apart
from tests.grader.stages import staged
from tests.grader.worlds import world_of
from tests.servers import ROOT, free_port, wait_until

QUICK = ["--world", "tiny", "--users", "20", "--lists", "3.1", "--speed", "1000", "--no-ladder", "--no-lag"]
Command = Callable[..., tuple[int, str, str]]
Handler = Callable[[web.Request], Awaitable[web.Response]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """``python -m grader`` with these arguments: exit code, output and errors."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["grader", *arguments])
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        assert code is None or isinstance(code, int)
        return code or 0, *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A service that keeps the contract."""
    with serving_apart(InOrder()) as address:
        yield address.recs_url


def at(url: str) -> list[str]:
    return ["--recs-url", url, "--interact-url", url]


def sentence_of(errors: str) -> str:
    """The one line that says what is wrong."""
    (line,) = [line for line in errors.splitlines() if line.startswith("error:")]
    assert "Traceback" not in errors
    assert errors.rstrip().endswith(line.rstrip()), "nothing follows it"
    return line


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fail-under", "nonsense"], "'nonsense' is no limit"),
        (["--fail-under", "nonsense=3"], "knows no 'nonsense'"),
        (["--profile", "best"], "published"),
        (["--world", "flat"], "'flat'"),
        (["--world", "[/flat]"], "'[/flat]'"),
        (["--world", "tiny:sheep=3"], "sheep=3"),
        (["--recs-url", "localhost:5001"], "'localhost:5001' is no URL"),
        (["--interact-url", "ftp://localhost"], "is no URL"),
        (["--recs-url", "http://[::1"], "is no URL"),
        (["--recs-url", "http://localhost:99999"], "is no URL"),
        (["--interact-url", "http://localhost:port"], "is no URL"),
        (["--recs-url", "http://a..b:5001"], "'http://a..b:5001' is no URL"),
        (["--interact-url", f"http://{'x' * 64}"], "is no URL"),
        (["--recs-url", "http://\udcff"], "'http://\\udcff' is no URL"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_option_is_told_in_a_sentence_before_anything_is_asked(
    command: Command, arguments: list[str], words: str
) -> None:
    """Nothing listens at the URLs: the option is what is complained about."""
    code, output, errors = command("run", *at(f"http://127.0.0.1:{free_port()}"), *QUICK, *arguments)
    assert code == 2
    assert words in sentence_of(errors)
    assert output == ""


def test_a_folder_that_cannot_be_written_is_told_before_the_run(command: Command, tmp_path: Path) -> None:
    service, taken = InOrder(), tmp_path / "file"
    taken.touch()
    with serving_apart(service) as address:
        code, _, errors = command("run", *at(address.recs_url), *QUICK, "--output", str(taken))
    assert code == 2
    assert f"{taken} cannot be written" in sentence_of(errors)
    assert set(service.paths) == {"GET /healthcheck"}, "nothing is erased"


@pytest.mark.parametrize("arguments", [["run", "--users", "0"], ["run", "--sheep"], ["sing"], ["report"]])
def test_wrong_usage_ends_with_2(command: Command, arguments: list[str]) -> None:
    code, _, errors = command(*arguments)
    assert code == 2
    assert "Usage" in errors


@pytest.mark.parametrize(
    ("option", "number"),
    [
        ("--seed", "-1"),
        ("--salt", "-1"),
        ("--lists", "2.9"),
        *((option, number) for option in ("--lists", "--rate", "--speed", "--timeout") for number in ("inf", "nan")),
    ],
)
def test_a_number_that_cannot_be_is_refused(command: Command, option: str, number: str) -> None:
    code, _, errors = command("run", *at(f"http://127.0.0.1:{free_port()}"), *QUICK, option, number)
    assert code == 2
    assert f"Invalid value for '{option}'" in errors
    assert "Traceback" not in errors


def test_a_folder_without_a_run_is_told_in_a_sentence(command: Command, tmp_path: Path) -> None:
    code, _, errors = command("report", str(tmp_path / "absent"))
    assert code == 2
    assert "is no saved run" in sentence_of(errors)


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "grader", "run", *at(f"http://127.0.0.1:{free_port()}"), *QUICK]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert "is the service running" in sentence_of(ended.stderr)


def answering(status: int, body: str) -> web.Application:
    """The same to everything."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    return anything(answer)


def anything(answer: Handler) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


async def hang(request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    return web.Response()


async def hang_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def page_for_browsers(request: web.Request) -> web.Response:
    if request.method == "GET" and request.path == "/healthcheck":
        return web.Response(text="<html>", content_type="text/html")
    return web.Response(status=404, text="<!doctype html>\n<html>\nnot found", content_type="text/html")


async def much(request: web.Request) -> web.Response:
    return web.Response(body=b" " * 5_000_000)


async def send_nowhere(request: web.Request) -> web.Response:
    raise web.HTTPFound("http://a..b/")


BAD = {
    "an HTML page": (page_for_browsers, "HTML page"),
    "hangs": (hang, "timeout"),
    "hangs up": (hang_up, "connection closed"),
    "sends nowhere": (send_nowhere, "sent on to an invalid host name"),
    "too large": (much, "answer over 4 MB"),
}
REFUSING = {
    "status 503": (503, '{"detail": "Redis is away"}', 'answered status 503 ({"detail": "Redis is away"})'),
    "several lines": (503, "Redis is away\nsince noon:\n  line 3\n", "Redis is away"),
    "nothing": (500, "", "answered status 500"),
    "words in brackets": (500, "[error] no database [/recs]", "[error] no database [/recs]"),
    "a long page": (404, "x" * 5_000, "xxx"),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_no_service_is_told_in_a_sentence(name: str) -> None:
    handler, words = BAD[name]
    async with serving(anything(handler)) as address:
        await refused(address, words, timeout_s=0.3 if name == "hangs" else 30)


@pytest.mark.parametrize("name", REFUSING)
async def test_a_service_that_refuses_is_told_in_a_sentence(name: str) -> None:
    status, body, words = REFUSING[name]
    async with serving(answering(status, body)) as address:
        await refused(address, words)


async def refused(address: Address, words: str, timeout_s: float = 30) -> None:
    with pytest.raises(GraderError) as error:
        await put_through(staged(timeout_s=timeout_s), address, Silence())
    sentence = str(error.value)
    assert sentence.startswith(address.recs_url)
    assert words in sentence
    assert "\n" not in sentence
    assert len(sentence) < 400


async def test_where_nothing_listens_the_url_is_named() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    await refused(Address(url, url), "is the service running, and is the URL right?")


async def test_both_urls_are_tried() -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    async with serving(InOrder()) as address:
        with pytest.raises(GraderError, match=nobody):
            await put_through(staged(), Address(address.recs_url, nobody), Silence())


class RefusingItems(InOrder):
    async def _add_items(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"detail": "full"}, status=507)


class RefusingCleanup(InOrder):
    async def cleanup(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"detail": "busy"}, status=500)


@pytest.mark.parametrize(
    ("service", "words"),
    [(RefusingItems(), "/add_items answered status 507"), (RefusingCleanup(), "/cleanup answered status 500")],
    ids=["add_items", "cleanup"],
)
async def test_without_a_clean_catalogue_nothing_is_graded(service: InOrder, words: str) -> None:
    async with serving(service) as address:
        await refused(address, words)
    assert not any("/recs/" in path for path in service.paths)


@pytest.mark.parametrize("name", REFUSING)
def test_a_service_that_refuses_ends_the_command_with_2(command: Command, name: str) -> None:
    status, body, words = REFUSING[name]
    with serving_apart(answering(status, body)) as address:
        code, _, errors = command("run", *at(address.recs_url), *QUICK)
    assert code == 2
    assert words in sentence_of(errors)


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


def test_progress_never_shows_more_than_was_done() -> None:
    output = io.StringIO()
    with ProgressScreen(Console(file=output, width=120)) as screen:
        screen.begin("building")
        screen.begin("visits", 10)
        screen.advance(4)
    assert "1/1" in output.getvalue()
    assert "4/10" in output.getvalue()
    assert "10/10" not in output.getvalue()
