"""The command line: exit codes, what is printed, and the one sentence where nothing can be examined."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from grader.doctor.command import doctor
from grader.doctor.run import examine
from grader.doctor.service import Limits
from grader.errors import GraderError
from grader.service import Address
from tests.grader.doctor.faulty import running
from tests.grader.doctor.reference import Fault

ONLY = ("--only", "health", "--only", "shapes")
app = typer.Typer()
app.command()(doctor)


async def invoke(urls: Address, *options: str) -> Result:
    """In a thread, because the service runs in this one."""
    arguments = ["--recs-url", urls.recs_url, "--interact-url", urls.interact_url, *options]
    return await asyncio.to_thread(CliRunner().invoke, app, arguments, env={"COLUMNS": "200"})


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Taken, but nothing listens there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


async def test_exit_code_0_when_all_is_well(tmp_path: Path) -> None:
    async with running() as urls:
        result = await invoke(urls, *ONLY, "--json", str(tmp_path / "report.json"))
    assert result.exit_code == 0, result.output
    assert "Erasing the state" in result.output
    assert "2 ok" in result.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["passed"]
    assert [outcome["verdict"] for outcome in report["outcomes"]] == ["ok", "ok"]


async def test_exit_code_1_with_a_line_to_paste_when_a_check_failed(tmp_path: Path) -> None:
    async with running(Fault.EXTRA_KEY) as urls:
        result = await invoke(urls, *ONLY, "--json", str(tmp_path / "report.json"))
    assert result.exit_code == 1
    assert any(line.startswith(f"curl -sS -i {urls.recs_url}/recs/") for line in result.output.splitlines())
    assert "Wanted:" in result.output and "[...]" in result.output
    assert not json.loads((tmp_path / "report.json").read_text())["passed"]


async def test_a_warning_is_shown_and_does_not_fail() -> None:
    async with running(Fault.EMPTY_CATALOGUE_500) as urls:
        result = await invoke(urls, "--only", "cleanup-forgets-items")
    assert result.exit_code == 0
    assert "1 warning" in result.output and "curl " in result.output


async def test_what_utf_8_cannot_hold_is_printed_as_its_escape() -> None:
    async with running(Fault.UNKNOWN_ITEMS) as urls:
        result = await invoke(urls, "--only", "known-items")
    assert result.exit_code == 1, result.exception
    assert "made-up \\ud800" in result.output


def test_help_warns_of_the_cleanup() -> None:
    result = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"})
    assert "ERASES ITS STATE" in result.output and "/cleanup" in result.output


async def test_nothing_listens(silent_port: int) -> None:
    url = f"http://127.0.0.1:{silent_port}"
    result = await invoke(Address(url, url))
    assert isinstance(result.exception, GraderError)
    assert "nothing listens there; start the service, or correct --recs-url" in str(result.exception)


async def test_the_second_url_is_tried_too(silent_port: int) -> None:
    async with running() as urls:
        with pytest.raises(GraderError, match="correct --interact-url"):
            await examine(Address(urls.recs_url, f"http://127.0.0.1:{silent_port}"))


async def test_a_web_page_answers() -> None:
    async with running(Fault.WEB_PAGE) as urls:
        with pytest.raises(GraderError, match="web page"):
            await examine(urls)


async def test_no_answer_in_time() -> None:
    async with running(Fault.HEALTH_HANGS) as urls:
        with pytest.raises(GraderError, match=r"no answer within 0\.1 s"):
            await examine(urls, limits=Limits(timeout_s=0.1))


async def test_no_http_answers() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(GraderError, match="start the service, or correct --recs-url"):
            await examine(Address(url, url))


async def test_what_is_no_url(silent_port: int) -> None:
    url = f"http://127.0.0.1:{silent_port}"
    result = await invoke(Address(url, url), "--interact-url", "localhost:5001")
    assert isinstance(result.exception, GraderError)
    assert "'localhost:5001' is no URL" in str(result.exception)


async def test_a_host_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # a real one may answer after a long time, or not at all
    with pytest.raises(GraderError, match="no such host"):
        await examine(Address("http://no-such-host.invalid", "http://localhost"))


@pytest.mark.parametrize("option", ["--timeout", "--patience"])
async def test_a_time_without_end(option: str) -> None:
    result = await invoke(Address("http://localhost", "http://localhost"), option, "inf")
    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.output


async def test_a_check_that_does_not_exist() -> None:
    result = await invoke(Address("http://localhost", "http://localhost"), "--only", "helth")
    assert isinstance(result.exception, GraderError)
    assert "no check named 'helth'" in str(result.exception) and "health" in str(result.exception)


async def test_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    result = await invoke(
        Address("http://localhost", "http://localhost"), "--json", str(tmp_path / "no" / "report.json")
    )
    assert isinstance(result.exception, GraderError)
    assert "cannot be written" in str(result.exception)
