"""The catalogue that an empty system is filled with."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from recsys.contract import ID_PATTERN, MAX_ID_CHARS
from recsys.launch.errors import LaunchError, UsageError
from recsys.launch.seed import ITEMS_PER_CALL, VALID_ID, Catalogue, read_catalogue, seed
from recsys.settings import ROOT


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
