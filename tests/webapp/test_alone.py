"""The web app without services: as a process, while they are away, and its parts."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from recsys.settings import Settings
from tests.servers import ROOT, Child, Service, free_port
from tests.webapp.conftest import visited
from tests.webapp.visitor import JSON, Visitor, items_in
from webapp.english import ENGLISH
from webapp.posters import SIZES, fit
from webapp.reaction_store import ReactionStore
from webapp.services import Services


class TestWithoutServices:
    @pytest.mark.parametrize("path", ["/", "/cards", "/top"])
    def test_lists_are_a_friendly_503(self, lonely: Visitor, path: str) -> None:
        answer = lonely.get(path)
        assert answer.status_code == 503
        assert ENGLISH["error_503_heading"] in answer.text
        assert answer.headers["Retry-After"]

    @pytest.mark.parametrize("path", ["/item/2", "/search?q=nosferatu", "/reactions", "/status", "/healthcheck"])
    def test_the_rest_works(self, lonely: Visitor, path: str) -> None:
        assert lonely.get(path).status_code == 200

    def test_a_reaction_is_refused(self, lonely: Visitor) -> None:
        lonely.get("/item/2")
        assert lonely.react("2", "like", headers=JSON).status_code == 503
        assert items_in(lonely.get("/reactions").text) == []


def test_the_services_may_be_on_other_hosts(tmp_path: Path) -> None:
    """As in containers of their own."""

    class Well(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.2", 0), Well) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        hosts = {"collector_host": "127.0.0.2", "recommendations_host": "127.0.0.2"}
        services = Services(Settings(_env_file=None, collector_port=port, recommendations_port=port, **hosts))
        assert [services.health(name).status for name in ("collector", "recommendations")] == [200, 200]
        services.close()
        server.shutdown()


@pytest.mark.parametrize("body", [b"not json", b"[]", b"{}", b'{"items": "x", "genres": 3}'])
def test_answers_of_something_else_are_no_crash(tmp_path: Path, body: bytes) -> None:
    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        ports = {"collector_port": port, "recommendations_port": port}
        settings = Settings(_env_file=None, listen_host="127.0.0.1", data_dir=tmp_path, **ports)  # type: ignore[arg-type]
        with visited(settings) as visitor:
            for path in ("/", "/top", "/item/2", "/status"):
                assert visitor.get(path).status_code in (200, 503)
        server.shutdown()


@pytest.mark.parametrize("patience_s", [0.1, 3.0, 30.0])
def test_the_collector_is_given_up_later_than_its_own_patience(patience_s: float) -> None:
    services = Services(Settings(_env_file=None, publish_timeout_s=patience_s))  # type: ignore[call-arg]
    assert services._patience["collector"] > patience_s
    services.close()


def test_status_does_not_wait_for_a_service_as_long_as_a_reaction_would(tmp_path: Path) -> None:
    # It takes connections and never answers.
    with ThreadPoolExecutor() as pool, socket.create_server(("127.0.0.1", 0)) as hanging:
        port = hanging.getsockname()[1]
        ports = {"collector_port": port, "recommendations_port": port, "publish_timeout_s": 1e4}
        settings = Settings(_env_file=None, listen_host="127.0.0.1", data_dir=tmp_path, **ports)  # type: ignore[arg-type]
        with visited(settings) as visitor:
            page = pool.submit(visitor.get, "/status").result(60).text
            assert page.count(f"</span>{ENGLISH['status_silent']}") == 2


class TestProcess:
    def environment(self, tmp_path: Path, port: int) -> dict[str, str]:
        return {"WEBAPP_PORT": str(port), "DATA_DIR": str(tmp_path / "data"), "LISTEN_HOST": "127.0.0.1"}

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_stops_at_once_and_cleanly(self, tmp_path: Path, number: signal.Signals) -> None:
        port = free_port()
        app = Service("webapp", tmp_path, "webapp", port, self.environment(tmp_path, port))
        app.start()
        assert (tmp_path / "data" / "webapp-secret").stat().st_mode & 0o777 == 0o600
        with socket.create_connection(("127.0.0.1", port)):  # somebody who is connected does not hold it up
            app.signal(number)
            assert app._process is not None
            assert app._process.wait(10) == 0
        app.stop()
        assert "Traceback" not in app.output

    def test_starts_from_its_own_folder(self, tmp_path: Path) -> None:
        port = free_port()
        app = Service("webapp", tmp_path, "webapp", port, self.environment(tmp_path, port))
        app._command = ["sh", "-c", f"cd {ROOT / 'webapp'} && exec {sys.executable} app.py"]
        app.start()
        app.stop()
        assert "Traceback" not in app.output

    def test_a_bad_catalogue_is_one_line(self, tmp_path: Path) -> None:
        path = tmp_path / "bad.csv"
        path.write_text("a,b\n", encoding="utf-8")
        env = {**self.environment(tmp_path, free_port()), "CATALOGUE": str(path), "PATH": "", "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-m", "webapp"], env=env, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 1
        assert "the header lacks movieId, title, genres" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_huge_body_is_refused_before_it_is_sent(self, tmp_path: Path) -> None:
        port = free_port()
        app = Service("webapp", tmp_path, "webapp", port, self.environment(tmp_path, port))
        app.start()
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sender:
            sender.sendall(b"POST /react HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n\r\nbody")
            assert b" 413 " in sender.recv(1000)
        assert app.health() == 200
        app.stop()

    def test_a_connection_that_says_nothing_is_harmless(self, tmp_path: Path) -> None:
        port = free_port()
        app: Child = Service("webapp", tmp_path, "webapp", port, self.environment(tmp_path, port))
        app.start()
        with socket.create_connection(("127.0.0.1", port)) as silent:
            silent.sendall(b"%s %d {} nonsense\r\n\r\n")
            time.sleep(0.1)
            assert isinstance(app, Service)
            assert app.health() == 200
        app.stop()
        assert "Traceback" not in app.output


class TestReactionStore:
    def test_is_bounded_and_forgets_the_oldest(self, tmp_path: Path) -> None:
        store = ReactionStore(tmp_path / "db", per_person=3)
        for item in "abcd":
            store.remember(1, "ann", item, "like")
        assert list(store.of(1, "ann")) == ["d", "c", "b"]
        assert store.of(1, "bob") == store.of(2, "ann") == {}
        store.remember(1, "ann", "c", "")
        assert list(store.of(1, "ann")) == ["d", "b"]
        store.close()

    def test_outlives_a_restart(self, tmp_path: Path) -> None:
        first = ReactionStore(tmp_path / "db")
        first.remember(1, "ann", "a", "like")
        first.close()
        second = ReactionStore(tmp_path / "db")
        assert second.of(1, "ann") == {"a": "like"}
        second.close()


@pytest.mark.parametrize("title", ["M", "word " * 80, "x" * 300, "Dr. Strangelove or: How I Learned to Stop Worrying"])
def test_titles_fit_on_posters(title: str) -> None:
    size, lines = fit(title.strip())
    _, width, most = next(row for row in SIZES if row[0] == size)
    assert len(lines) <= most
    assert max(map(len, lines)) <= width
