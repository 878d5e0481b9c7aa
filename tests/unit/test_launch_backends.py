"""Which backends a start takes, and how it says so."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from dotenv import dotenv_values
from rich.console import Console
from rich.table import Table

from recsys.catalogue_csv import Skipped
from recsys.launch.backends import (
    STANDARD_URLS,
    Finding,
    Kind,
    choose_backends,
    needs_private_redis,
    redis_finding,
    url_finding,
)
from recsys.launch.backends_file import published
from recsys.launch.errors import LaunchError
from recsys.launch.report import LastingConsole, Report, open_console, overview
from recsys.launch.services import Service
from recsys.launch.supervisor import STOP_FIRST, Program, Supervisor

PRIVATE = "unix:///data/redis/redis.sock"
Findings = dict[Kind, Finding]


def findings(redis: Finding | None = None, broker: Finding | None = None, qdrant: Finding | None = None) -> Findings:
    return {
        "Redis": redis or Finding("redis://r", "silent"),
        "broker": broker or Finding("amqp://b", "silent"),
        "Qdrant": qdrant or Finding("http://q", "silent"),
    }


class TestChoiceOfBackends:
    def test_embedded_where_nothing_answers(self) -> None:
        chosen = choose_backends({}, findings(), PRIVATE)
        assert chosen.environment() == {"REDIS_URL": PRIVATE, "BROKER_URL": PRIVATE, "QDRANT_URL": ""}
        assert chosen.redis.reason == "no server found on port 6379: private redis-server"
        assert chosen.broker.reason == "no server found on port 5672: Redis Streams on the Redis above"
        assert chosen.qdrant.reason == "no server found on port 6333: local folder"

    def test_servers_on_standard_ports_are_taken(self) -> None:
        found = {kind: Finding(finding.url, "usable") for kind, finding in findings().items()}
        chosen = choose_backends({}, found, "")
        assert not needs_private_redis({}, found)
        assert chosen.environment() == {"REDIS_URL": "redis://r", "BROKER_URL": "amqp://b", "QDRANT_URL": "http://q"}
        assert chosen.broker.reason == "answers on port 5672"

    def test_a_url_that_is_set_wins(self) -> None:
        found = findings(redis=Finding("redis://mine", "usable"))
        chosen = choose_backends({"Redis": "redis://mine"}, found, "")
        assert not needs_private_redis({"Redis": "redis://mine"}, found)
        assert chosen.redis.url == chosen.broker.url == "redis://mine"
        assert chosen.redis.reason == "REDIS_URL is set"

    def test_every_url_that_is_set_and_does_not_answer_is_named_without_its_password(self) -> None:
        found = findings(
            redis=Finding("redis://:secret@r", "silent", "refused"), qdrant=Finding("http://q", "unusable", "is odd")
        )
        with pytest.raises(LaunchError) as error:
            choose_backends({"Redis": "redis://:secret@r", "Qdrant": "http://q"}, found, PRIVATE)
        assert str(error.value).splitlines() == [
            "REDIS_URL is set to redis://:***@r, but no server answers there: refused",
            "QDRANT_URL is set to http://q, but that server is odd.",
        ]

    def test_an_unusable_server_leads_to_the_embedded_one_and_says_why(self) -> None:
        found = findings(redis=redis_finding("redis://r", {"redis_version": "5.0.14"}))
        chosen = choose_backends({}, found, PRIVATE)
        assert needs_private_redis({}, found)
        assert chosen.redis.url == PRIVATE
        assert chosen.redis.reason.startswith("server on 6379 is version 5.0.14, too old")
        assert "private redis-server" in chosen.redis.reason

    @pytest.mark.parametrize(
        ("kind", "url", "problem"),
        [
            ("Redis", "localhost:6379", "must start with one of redis://, rediss://, unix://"),
            ("broker", "rabbitmq://h", "must start with one of amqp://"),
            ("Qdrant", "http://h:99999", "has a port"),
            ("Qdrant", "http://[::1", "is no URL"),
        ],
    )
    def test_malformed_urls(self, kind: Kind, url: str, problem: str) -> None:
        assert url_finding(kind, STANDARD_URLS[kind]) is None
        found = url_finding(kind, url)
        assert found is not None
        with pytest.raises(LaunchError, match=problem):
            choose_backends({kind: url}, findings() | {kind: found}, PRIVATE)

    def test_embedded_option(self) -> None:
        found = {kind: Finding(finding.url, "not asked") for kind, finding in findings().items()}
        assert choose_backends({}, found, PRIVATE).redis.reason == "--embedded: private redis-server"

    @pytest.mark.parametrize("version", ["6.2", "6.2.14", "7.0.15", "8.0.0", "10.1"])
    def test_redis_from_6_2_on_is_usable(self, version: str) -> None:
        assert redis_finding("redis://r", {"redis_version": version}).outcome == "usable"

    def test_a_broker_redis_without_append_only_file_is_noted(self) -> None:
        volatile = findings(redis=Finding("redis://r", "usable", append_only=False))
        assert (
            "survive a crash of our services but not of that Redis" in choose_backends({}, volatile, "").broker.reason
        )

    def test_not_noted_where_rabbit_is_the_broker(self) -> None:
        found = findings(redis=Finding("redis://r", "usable", append_only=False), broker=Finding("amqp://b", "usable"))
        assert choose_backends({}, found, "").broker.reason == "answers on port 5672"


class TestBackendsFile:
    def test_exists_while_the_launcher_runs(self, tmp_path: Path) -> None:
        path = tmp_path / "data" / "backends.env"
        variables = {"REDIS_URL": r"redis://:it's \ #secret@host", "QDRANT_URL": ""}
        with published(path, variables) as problem:
            assert problem == ""
            assert dotenv_values(path) == variables
            assert path.stat().st_mode & 0o777 == 0o600
        assert not path.exists()

    def test_that_of_another_launcher_stays(self, tmp_path: Path) -> None:
        path = tmp_path / "backends.env"
        with published(path, {"REDIS_URL": "first"}):
            with published(path, {"REDIS_URL": "second"}) as problem:
                assert problem == "belongs to another run_all.sh and stays as it is"
            assert dotenv_values(path) == {"REDIS_URL": "first"}

    def test_that_of_a_killed_launcher_is_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "backends.env"
        path.write_text("REDIS_URL='old'\nand='more'\n")
        with published(path, {"REDIS_URL": "new"}):
            assert dotenv_values(path) == {"REDIS_URL": "new"}

    def test_a_folder_that_cannot_be_written_is_no_obstacle(self, tmp_path: Path) -> None:
        (tmp_path / "data").touch()
        with published(tmp_path / "data" / "backends.env", {"REDIS_URL": "new"}) as problem:
            assert problem.startswith("cannot be written (")

    def test_a_full_disk_is_no_obstacle(self, tmp_path: Path) -> None:
        path = tmp_path / "backends.env"
        path.symlink_to("/dev/full")
        with published(path, {"REDIS_URL": "new"}) as problem:
            assert problem.startswith("cannot be written (")


class TestReport:
    def test_output_that_cannot_be_written_is_no_obstacle(self) -> None:
        with Path("/dev/full").open("w", buffering=1) as full:
            report = Report(LastingConsole(file=full))
            report.say("something happened")
            report.console.print(Table("a column"))
            with suppress(OSError):
                full.close()

    async def test_overview(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        console = Console(width=120, force_terminal=False, color_system=None)
        supervisor = Supervisor(Report(console))
        log = tmp_path / "logs" / "collector.log"
        code = ("-c", "import signal; signal.pause()")
        supervisor.start(Program("collector", (sys.executable, *code), dict(os.environ), tmp_path, log, STOP_FIRST))
        found = findings(redis=Finding("redis://u:secret@r", "usable"))
        backends = choose_backends({"Redis": "redis://u:secret@r"}, found, "")
        with console.capture() as capture:
            console.print(overview([Service("collector", "127.0.0.1", 5000)], supervisor.children, backends))
        await supervisor.stop()
        text = capture.get()
        for part in ("http://127.0.0.1:5000", "logs/collector.log", "redis://u:***@r", "REDIS_URL is set"):
            assert part in text
        assert "secret" not in text

    def test_only_the_first_warnings_are_shown(self) -> None:
        console = Console(width=120, force_terminal=False, color_system=None)
        with console.capture() as capture:
            Report(console).warn_rows(Path("films.csv"), [Skipped(line, "no title") for line in range(9)])
        assert capture.get().splitlines()[-1].startswith("4 more rows")
        assert "films.csv, line 4: no title; row skipped." in capture.get()
        assert "line 5" not in capture.get()

    def test_what_a_file_holds_is_printed_as_it_is(self, capsys: pytest.CaptureFixture[str]) -> None:
        Report(open_console()).fail("the header lacks movieId; found root:x:0")
        assert capsys.readouterr().out == "the header lacks movieId; found root:x:0\n"
