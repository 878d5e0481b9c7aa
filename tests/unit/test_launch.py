from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from dotenv import dotenv_values
from rich.console import Console
from typer.main import get_command

from recsys.contract import ID_PATTERN, MAX_ID_CHARS
from recsys.launch.backends import Finding, Kind, choose_backends, needs_private_redis, redis_finding, url_finding
from recsys.launch.backends_file import published
from recsys.launch.cli import app
from recsys.launch.embedded_redis import MAX_SOCKET_PATH_BYTES, find_redis_server, reserve
from recsys.launch.errors import LaunchError, UsageError
from recsys.launch.network import require_free_ports
from recsys.launch.report import Report, overview
from recsys.launch.seed import ITEMS_PER_CALL, VALID_ID, Catalogue, read_catalogue, seed
from recsys.launch.services import Service, choose_services
from recsys.launch.supervisor import STOP_FIRST, STOP_LAST, Backoff, Child, Program, Supervisor, describe_exit
from recsys.settings import ROOT

PRIVATE = "unix:///data/redis/redis.sock"
Findings = dict[Kind, Finding]
PORTS = {"collector": 5000, "recommendations": 5001, "webapp": 8000}


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
        found = findings(redis=redis_finding("redis://r", "5.0.14", append_only=True))
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
            ("Qdrant", "http://h:99999", "is no URL"),
            ("Qdrant", "http://[::1", "is no URL"),
        ],
    )
    def test_malformed_urls(self, kind: Kind, url: str, problem: str) -> None:
        found = url_finding(kind, url)
        assert found is not None
        with pytest.raises(LaunchError, match=problem):
            choose_backends({kind: url}, findings() | {kind: found}, PRIVATE)

    def test_embedded_option(self) -> None:
        found = {kind: Finding(finding.url, "not asked") for kind, finding in findings().items()}
        assert choose_backends({}, found, PRIVATE).redis.reason == "--embedded: private redis-server"

    @pytest.mark.parametrize("version", ["6.2", "6.2.14", "7.0.15", "8.0.0", "10.1"])
    def test_redis_from_6_2_on_is_usable(self, version: str) -> None:
        assert redis_finding("redis://r", version, append_only=True).outcome == "usable"

    def test_a_broker_redis_without_append_only_file_is_noted(self) -> None:
        volatile = findings(redis=Finding("redis://r", "usable", append_only=False))
        assert (
            "survive a crash of our services but not of that Redis" in choose_backends({}, volatile, "").broker.reason
        )

    def test_not_noted_where_rabbit_is_the_broker(self) -> None:
        found = findings(redis=Finding("redis://r", "usable", append_only=False), broker=Finding("amqp://b", "usable"))
        assert choose_backends({}, found, "").broker.reason == "answers on port 5672"


class TestServices:
    def test_all_but_a_missing_webapp(self) -> None:
        chosen = choose_services("", "0.0.0.0", PORTS, runnable=lambda name: name != "webapp")
        assert [service.name for service in chosen] == ["collector", "recommendations", "pipeline"]

    def test_only(self) -> None:
        chosen = choose_services("pipeline, collector", "0.0.0.0", PORTS, runnable=lambda _: True)
        assert [(s.name, s.health_url) for s in chosen] == [
            ("collector", "http://127.0.0.1:5000/healthcheck"),
            ("pipeline", None),
        ]

    @pytest.mark.parametrize(
        ("only", "message"), [("collektor", "unknown name collektor"), ("webapp", "webapp is not part of this copy")]
    )
    def test_wrong_names(self, only: str, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            choose_services(only, "", PORTS, runnable=lambda name: name != "webapp")

    def test_two_services_on_one_port(self) -> None:
        with pytest.raises(UsageError, match="collector and recommendations cannot share port 5001"):
            choose_services("", "", PORTS | {"collector": 5001}, runnable=lambda _: True)


def test_all_busy_ports_are_named_at_once_with_their_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [one.getsockname()[1], two.getsockname()[1]]
        services = [Service("collector", "", ports[0]), Service("pipeline", "", None), Service("webapp", "", ports[1])]
        with pytest.raises(LaunchError) as error:
            require_free_ports(services, "0.0.0.0")
    first, second = str(error.value).splitlines()
    assert first.startswith(f"Port {ports[0]}, needed by collector, is in use by pid {os.getpid()} (")
    assert f"Port {ports[1]}" in second
    require_free_ports(services, "0.0.0.0")


class TestCatalogue:
    @pytest.fixture
    def csv(self, tmp_path: Path) -> Path:
        return tmp_path / "movies.csv"

    def test_movielens_rows(self, csv: Path) -> None:
        csv.write_text(
            'movieId,title,genres\n1,"American President, The (1995)",Comedy|Drama|\n2,Other,(no genres listed)\n',
            encoding="utf-8-sig",
        )
        read = read_catalogue(csv)
        assert (read.item_ids, read.genres, read.warnings) == (["1", "2"], [["Comedy", "Drama"], []], [])

    def test_columns_in_any_order_and_extra_ones(self, csv: Path) -> None:
        csv.write_text("year,genres,movieId,title\n1995,Drama,7,Heat\n")
        assert read_catalogue(csv).genres == [["Drama"]]

    def test_broken_rows_are_skipped_with_their_line_number(self, csv: Path) -> None:
        csv.write_text(f"movieId,title,genres\n1,a,A\n2,b\n,c,A\n\nx y,d,A\n5,e,{'g' * 101}\n6,f,B\n")
        read = read_catalogue(csv)
        assert read.item_ids == ["1", "6"]
        assert [re.search(r"line \d+: .{7}", w)[0] for w in read.warnings] == [  # type: ignore[index]
            "line 3: 2 field",
            "line 4: movieId",
            "line 6: movieId",
            "line 7: a genre",
        ]

    def test_an_unclosed_quotation_mark_is_noticed(self, csv: Path) -> None:
        csv.write_text('movieId,title,genres\n1,"a,A\n2,b",B\n3,c,C\n')
        read = read_catalogue(csv)
        assert read.item_ids == ["3"]
        assert "unclosed quotation mark" in read.warnings[0]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"id,title,genres\n", "line 1: the header lacks movieId"),
            (b"", "line 1: the header lacks movieId, title, genres"),
            (b"movieId,title,genres\n1,\xff,A\n", "line 2: this is not UTF-8 text"),
            (b'movieId,title,genres\n1,"' + b"a" * 200_000, "line 2: field larger"),
        ],
    )
    def test_a_file_that_is_no_catalogue(self, csv: Path, content: bytes, message: str) -> None:
        csv.write_bytes(content)
        with pytest.raises(UsageError, match=message):
            read_catalogue(csv)

    def test_a_missing_file(self, csv: Path) -> None:
        with pytest.raises(UsageError, match="cannot be read: No such file"):
            read_catalogue(csv)

    def test_a_folder_of_movielens(self, tmp_path: Path) -> None:
        (tmp_path / "movies.csv").write_text("movieId,title,genres\n7,A,Drama\n")
        assert read_catalogue(tmp_path).item_ids == ["7"]

    def test_the_demo_catalogue_has_no_broken_row(self) -> None:
        read = read_catalogue(ROOT / "webapp" / "data" / "catalogue.csv")
        assert len(read.item_ids) >= 500
        assert not read.warnings

    def test_ids_are_those_of_the_contract(self) -> None:
        assert f"^{VALID_ID.pattern}$" == ID_PATTERN.replace("+", f"{{1,{MAX_ID_CHARS}}}")


class Recommendations(HTTPServer):
    """Stands in for the service, as far as seeding needs it."""

    def __init__(self, items: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.items = items
        self.received: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Recommendations

    def do_GET(self) -> None:
        self._answer(200 if self.path == "/catalogue" else 404, {"items": self.server.items, "epoch": 1})

    def do_POST(self) -> None:
        self.server.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer(200 if self.path == "/add_items" else 404, {})

    def _answer(self, status: int, body: dict[str, int]) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        """Not a word."""


class TestSeed:
    @pytest.fixture
    def service(self, request: pytest.FixtureRequest) -> Iterator[Recommendations]:
        with Recommendations(request.param) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            yield server
            server.shutdown()
            thread.join()

    @pytest.mark.parametrize("service", [0], indirect=True)
    def test_sends_everything_in_batches(self, service: Recommendations) -> None:
        ids = [str(i) for i in range(ITEMS_PER_CALL + 1)]
        assert seed(service.url, Catalogue(ids, [["A"]] * len(ids))) == f"filled with {len(ids)} items"
        assert [len(call["item_ids"]) for call in service.received] == [ITEMS_PER_CALL, 1]
        assert service.received[1] == {"item_ids": ids[-1:], "genres": [["A"]]}

    @pytest.mark.parametrize("service", [3], indirect=True)
    def test_leaves_a_filled_catalogue_alone(self, service: Recommendations) -> None:
        assert "already holds 3 items" in seed(service.url, Catalogue(["1"], [[]]))
        assert not service.received

    @pytest.mark.parametrize("service", [0], indirect=True)
    def test_says_what_the_service_answered(self, service: Recommendations) -> None:
        with pytest.raises(LaunchError, match="GET /catalogue answered 404"):
            seed(f"{service.url}/elsewhere", Catalogue(["1"], [[]]))


def test_backoff_doubles_up_to_30_s_and_starts_again_after_a_healthy_minute() -> None:
    backoff = Backoff()
    assert [backoff.after(ran_s=1) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert backoff.after(ran_s=60) == 0.5
    assert backoff.after(ran_s=59) == 1


def test_describe_exit() -> None:
    assert describe_exit(3) == "exited with code 3"
    assert describe_exit(-9) == "was killed by SIGKILL (exit code -9)"


class Recorder:
    """A Listener that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[tuple[str, int | None]] = asyncio.Queue()

    def crashed(self, child: Child, how: str, delay_s: float) -> None:
        self.heard.put_nowait((f"{how}, {delay_s:g} s", None))

    def restarted(self, child: Child) -> None:
        self.heard.put_nowait(("restarted", child.pid))

    async def next(self) -> tuple[str, int | None]:
        return await asyncio.wait_for(self.heard.get(), 10)


class TestSupervisor:
    @pytest.fixture
    def recorder(self) -> Recorder:
        return Recorder()

    def program(self, folder: Path, code: str, stage: int = STOP_FIRST) -> Program:
        return Program("it", (sys.executable, "-c", code), dict(os.environ), folder, folder / "logs" / "it.log", stage)

    async def line(self, child: Child) -> str:
        """The first line that the child writes."""
        await eventually(lambda: child.program.log.exists() and child.log_tail(1) != "")
        return child.log_tail(1)

    async def test_a_crash_is_reported_and_the_program_started_again(self, tmp_path: Path, recorder: Recorder) -> None:
        supervisor = Supervisor(recorder)
        child = supervisor.start(self.program(tmp_path, "import sys; print('one\\ntwo\\nthree'); sys.exit(3)"))
        assert await recorder.next() == ("exited with code 3, 0.5 s", None)
        assert child.log_tail(2) == "two\nthree"
        assert (await recorder.next())[0] == "restarted"
        assert await recorder.next() == ("exited with code 3, 1 s", None)
        await supervisor.stop()
        assert child.pid is None
        assert child.program.log.read_text().count("one") == 2

    async def test_a_program_that_is_not_there_counts_as_crashed(self, tmp_path: Path, recorder: Recorder) -> None:
        supervisor = Supervisor(recorder)
        supervisor.start(Program("it", ("/no/such/program",), {}, tmp_path, tmp_path / "it.log", STOP_FIRST))
        assert (await recorder.next())[0].startswith("exited with code")
        await supervisor.stop()

    async def test_sigkill_for_what_ignores_sigterm(
        self, tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("recsys.launch.supervisor.GRACE_S", {STOP_FIRST: 0.1})
        deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
        supervisor = Supervisor(recorder)
        child = supervisor.start(self.program(tmp_path, deaf))
        assert await self.line(child) == "deaf"
        await supervisor.stop()
        assert child.pid is None
        assert recorder.heard.empty()

    async def test_stop_while_starting(self, tmp_path: Path, recorder: Recorder) -> None:
        supervisor = Supervisor(recorder)
        child = supervisor.start(self.program(tmp_path, "import signal; signal.pause()", STOP_LAST))
        await asyncio.sleep(0)
        await asyncio.wait_for(supervisor.stop(), 10)
        assert child.pid is None

    async def test_processes_of_a_killed_child_go_with_it(self, tmp_path: Path, recorder: Recorder) -> None:
        code = "import os, signal; pid = os.fork(); pid and print(pid, flush=True); signal.pause()"
        supervisor = Supervisor(recorder)
        child = supervisor.start(self.program(tmp_path, code))
        grandchild = int(await self.line(child))
        assert child.pid is not None
        os.kill(child.pid, 9)
        assert (await recorder.next())[0].startswith("was killed by SIGKILL")
        await eventually(lambda: not is_running(grandchild))
        await supervisor.stop()


async def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not happen within 10 seconds")


def is_running(pid: int) -> bool:
    return bool(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)


class TestEmbeddedRedis:
    def test_the_folder_is_for_one_run_alone(self, tmp_path: Path) -> None:
        with (
            reserve(tmp_path) as redis,
            pytest.raises(LaunchError, match=rf"in use by another run_all.sh \(pid {os.getpid()}\)"),
            reserve(tmp_path),
        ):
            pass
        assert redis.url == f"unix://{tmp_path}/redis/redis.sock"
        with reserve(tmp_path):
            pass

    def test_a_long_path_gets_its_socket_elsewhere(self, tmp_path: Path) -> None:
        with reserve(tmp_path / ("long" * 30)) as redis:
            assert len(os.fsencode(redis.socket)) <= MAX_SOCKET_PATH_BYTES
            assert redis.socket.parent.stat().st_mode & 0o777 == 0o700
        assert not redis.socket.parent.exists()

    def test_a_url_with_odd_characters(self, tmp_path: Path) -> None:
        with reserve(tmp_path / "a b#c?") as redis:
            assert redis.url.endswith("/a%20b%23c%3F/redis/redis.sock")

    def test_no_server_to_be_found(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr("recsys.launch.embedded_redis._bundled", lambda: None)
        with pytest.raises(LaunchError, match=r"No redis-server 6\.2 or newer was found: install one"):
            find_redis_server(tmp_path)

    def test_an_older_server_would_overlook_the_files_of_a_newer_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = tmp_path / "redis-server"
        old.write_text("#!/bin/sh\necho Redis server v=6.2.14 sha=0:0\n")
        old.chmod(0o700)
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
        monkeypatch.setattr("recsys.launch.embedded_redis._bundled", lambda: None)
        assert find_redis_server(tmp_path) == str(old)
        monkeypatch.setenv("PATH", str(tmp_path))
        (tmp_path / "appendonlydir").mkdir()
        with pytest.raises(LaunchError, match=r"No redis-server 7\.0 or newer"):
            find_redis_server(tmp_path)


class TestBackendsFile:
    def test_exists_while_the_launcher_runs(self, tmp_path: Path) -> None:
        path = tmp_path / "data" / "backends.env"
        variables = {"REDIS_URL": r"redis://:it's \ #secret@host", "QDRANT_URL": ""}
        with published(path, variables) as is_published:
            assert is_published
            assert dotenv_values(path) == variables
            assert path.stat().st_mode & 0o777 == 0o600
        assert not path.exists()

    def test_that_of_another_launcher_stays(self, tmp_path: Path) -> None:
        path = tmp_path / "backends.env"
        with published(path, {"REDIS_URL": "first"}):
            with published(path, {"REDIS_URL": "second"}) as is_published:
                assert not is_published
            assert dotenv_values(path) == {"REDIS_URL": "first"}

    def test_that_of_a_killed_launcher_is_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "backends.env"
        path.write_text("REDIS_URL='old'\nand='more'\n")
        with published(path, {"REDIS_URL": "new"}):
            assert dotenv_values(path) == {"REDIS_URL": "new"}


class TestReport:
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

    async def test_the_first_crash_while_starting_shows_the_end_of_the_log(self, tmp_path: Path) -> None:
        console = Console(width=120, force_terminal=False, color_system=None, record=True, file=StringIO())
        report = Report(console)
        supervisor = Supervisor(report)
        log = tmp_path / "it.log"
        command = (sys.executable, "-c", "raise ValueError('bad luck')")
        child = supervisor.start(Program("it", command, dict(os.environ), tmp_path, log, STOP_FIRST))
        await eventually(lambda: child.crashes == 2)
        await supervisor.stop()
        text = console.export_text()
        assert f"it exited with code 1; next start in 0.5 s; log: {log}" in text
        assert text.count("ValueError: bad luck") == 1

    def test_only_the_first_warnings_are_shown(self) -> None:
        console = Console(width=120, force_terminal=False, color_system=None)
        with console.capture() as capture:
            Report(console).warn_rows([f"line {i}" for i in range(9)])
        assert capture.get().splitlines()[-1].startswith("4 more rows")
        assert "line 4" in capture.get()
        assert "line 5" not in capture.get()


def test_the_help_of_the_script_names_every_option() -> None:
    text = subprocess.run([ROOT / "run_all.sh", "--help"], capture_output=True, text=True, check=True).stdout
    options = {name for parameter in get_command(app).params for name in parameter.opts}
    assert set(re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE)) == options | {"--help"}
