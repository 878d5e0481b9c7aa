"""The web app without services: as a process, while they are away, and its parts."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from recsys.settings import Settings
from tests.servers import ROOT, Child, Service, free_port
from tests.webapp.conftest import visited
from tests.webapp.visitor import JSON, Visitor, items_in
from webapp.catalogue import SHIPPED, CatalogueError, Film, read_catalogue, split_title
from webapp.posters import SIZES, fit
from webapp.reaction_store import ReactionStore
from webapp.reasons import liked_genres, reason_for
from webapp.texts import ENGLISH


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
            assert app._process.wait(2) == 0
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


class TestCatalogue:
    def read(self, tmp_path: Path, content: str | bytes) -> list[Film]:
        path = tmp_path / "films.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return list(read_catalogue(path).films.values())

    def test_shipped(self) -> None:
        films = read_catalogue(SHIPPED).films
        assert len(films) == 500
        assert all(film.year and film.genres and film.description for film in films.values())

    def test_bad_rows_are_skipped(self, tmp_path: Path) -> None:
        bad = 'a/b,B,Drama\n3,too,many,fields\n4\n\n5,,Drama\n6,"x\ny",Drama\n'
        rows = f"movieId,title,genres\n1,A (2000),Drama|Drama\n{bad}"
        assert self.read(tmp_path, rows) == [Film("1", "A", "2000", ("Drama",))]

    def test_columns_in_any_order_and_a_byte_order_mark(self, tmp_path: Path) -> None:
        rows = "\ufeffgenres,extra,title,movieId\n(no genres listed),x,A,1\n"
        assert self.read(tmp_path, rows) == [Film("1", "A")]

    @pytest.mark.parametrize("content", [b"", b"movieId,title\n", b"\xff\xfe", b'movieId,title,genres\n1,"\0'])
    def test_other_files_are_refused(self, tmp_path: Path, content: bytes) -> None:
        with pytest.raises(CatalogueError):
            films = self.read(tmp_path, content)
            raise CatalogueError if not films else AssertionError(films)

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(CatalogueError, match="cannot be read"):
            read_catalogue(tmp_path / "none.csv")

    @pytest.mark.parametrize(
        ("text", "title", "year"),
        [
            ("Matrix, The (1999)", "The Matrix", "1999"),
            ("Avventura, L' (Adventure, The) (1960)", "L'Avventura (Adventure, The)", "1960"),
            ("Lost (2004-2010)", "Lost", "2004"),
            ("2001: A Space Odyssey", "2001: A Space Odyssey", ""),
        ],
    )
    def test_titles(self, text: str, title: str, year: str) -> None:
        assert split_title(text) == (title, year)

    def test_search_ignores_case_accents_and_signs(self) -> None:
        catalogue = read_catalogue(SHIPPED)
        assert "Le Samouraï" in [film.title for film in catalogue.search("LE samourai!", 5)]
        assert "Singin' in the Rain" in [film.title for film in catalogue.search("singin’ rain", 5)]  # noqa: RUF001


class TestReasons:
    def test_in_words(self) -> None:
        catalogue = read_catalogue(SHIPPED)
        horror = next(film for film in catalogue.films.values() if film.genres == ("Horror",))
        liked = liked_genres(catalogue, {horror.id: "like", "unheard": "like"})
        assert liked.keys() == {"Horror"}
        kinds = [
            (source, weights, reason_for(source, horror, weights))
            for source in ("ranked", "again")
            for weights in (liked, {})
        ]
        assert [reason.kind for *_, reason in kinds if reason] == ["genre", "people", "again", "again"]
        assert reason_for("something new", horror, liked) is None

    def test_what_is_everywhere_says_least(self) -> None:
        catalogue = read_catalogue(SHIPPED)
        both = next(film for film in catalogue.films.values() if {"Drama", "Horror"} <= set(film.genres))
        weights = liked_genres(catalogue, {both.id: "like"})
        assert weights["Horror"] > weights["Drama"]

    def test_dislikes_give_none(self) -> None:
        assert liked_genres(read_catalogue(SHIPPED), {"2": "dislike"}) == {}


class TestReactionStore:
    def test_is_bounded_and_forgets_the_oldest(self, tmp_path: Path) -> None:
        store = ReactionStore(tmp_path / "db", per_person=3)
        for item in "abcd":
            store.remember(1, "ann", item, "like")
        assert list(store.of(1, "ann")) == ["d", "c", "b"]
        assert store.of(1, "bob") == store.of(2, "ann") == {}
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


def test_every_text_that_is_asked_for_exists() -> None:
    files = [path for kind in ("*.py", "*.html") for path in (ROOT / "webapp").rglob(kind) if path.name != "texts.py"]
    used = set(re.findall(r"""\b(?:t|text)\(\s*["']([a-z_0-9]+)["']""", "".join(path.read_text() for path in files)))
    assert used <= ENGLISH.keys()
