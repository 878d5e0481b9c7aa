"""The catalogue that an empty system is filled with."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from typer.testing import CliRunner

from recsys.catalogue_csv import Item
from recsys.launch.errors import LaunchError, UsageError
from recsys.launch.seed import ITEMS_PER_CALL, Catalogue, app, read_catalogue, seed


def test_a_file_that_is_no_catalogue(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"movies\.csv cannot be read"):
        read_catalogue(tmp_path)


def catalogue_of(*ids: str) -> Catalogue:
    return Catalogue(Path("films.csv"), [Item(id, "Title", ("A",), {}) for id in ids])


class Recommendations(HTTPServer):
    """Stands in for the service, as far as seeding needs it."""

    def __init__(self, held: Sequence[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.held = held
        self.received: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Recommendations

    def do_GET(self) -> None:
        known = [f"/similar/{quote(item, safe='')}" for item in self.server.held]
        self._answer(200 if self.path in ("/catalogue", *known) else 404, {"items": len(self.server.held), "epoch": 1})

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

    @pytest.mark.parametrize("service", [[]], indirect=True)
    def test_sends_everything_in_batches(self, service: Recommendations) -> None:
        ids = [str(i) for i in range(ITEMS_PER_CALL + 1)]
        assert seed(service.url, catalogue_of(*ids)) == f"filled with {len(ids)} items"
        assert [len(call["item_ids"]) for call in service.received] == [ITEMS_PER_CALL, 1]
        assert service.received[1] == {"item_ids": ids[-1:], "genres": [["A"]]}

    @pytest.mark.parametrize("service", [["1", "2", "a?b"]], indirect=True)
    def test_leaves_a_filled_catalogue_alone(self, service: Recommendations) -> None:
        assert seed(service.url, catalogue_of("1", "2", "a?b")) == "already holds 3 items"
        assert not service.received

    @pytest.mark.parametrize("service", [["1", "2", "3"]], indirect=True)
    @pytest.mark.parametrize("ids", [["1", "2"], ["4", "2", "3"], ["1", "2", "4"]])
    def test_says_how_to_get_this_catalogue_instead_of_another(self, service: Recommendations, ids: list[str]) -> None:
        said = seed(service.url, catalogue_of(*ids))
        assert said.startswith("already holds 3 items, others than films.csv.")
        assert f"curl -X POST {service.url}/cleanup" in said
        assert not service.received

    @pytest.mark.parametrize("service", [[]], indirect=True)
    def test_says_what_the_service_answered(self, service: Recommendations) -> None:
        with pytest.raises(LaunchError, match="GET /catalogue answered 404"):
            seed(f"{service.url}/elsewhere", catalogue_of("1"))

    @pytest.mark.parametrize("service", [[]], indirect=True)
    def test_the_command_says_what_it_did(self, tmp_path: Path, service: Recommendations) -> None:
        films = tmp_path / "films.csv"
        films.write_text("movieId,title,genres\n1,A,Drama\n")
        done = CliRunner().invoke(app, [service.url + "/", "--catalogue", str(films)])
        assert (done.exit_code, done.output) == (0, "Catalogue: filled with 1 items\n")
        assert service.received == [{"item_ids": ["1"], "genres": [["Drama"]]}]


def test_the_command_on_a_service_that_is_away() -> None:
    done = CliRunner().invoke(app, ["http://127.0.0.1:1"])
    assert done.exit_code == 1
    assert "127.0.0.1:1" in done.output
    assert isinstance(done.exception, SystemExit)
