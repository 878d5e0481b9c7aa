"""The status page: what it says of the recommender and its models, by what the service says of them."""

from __future__ import annotations

import html
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from recsys.settings import Settings
from tests.servers import wait_until
from tests.webapp.conftest import visited
from tests.webapp.visitor import Visitor
from webapp.english import ENGLISH
from webapp.russian import RUSSIAN
from webapp.service_status import ModelStatus, Refresh, ServiceStatus, read_status
from webapp.texts import moment, rounded

RU = {"Accept-Language": "ru"}
TEXTS = pytest.mark.parametrize(("texts", "headers"), [(ENGLISH, {}), (RUSSIAN, RU)], ids=["English", "Russian"])
NOON, LATER = 1_750_000_000, 1_750_000_060
LIVE = {"version": "81a3", "rows": 1_200, "items": 500, "seconds": 0.0123, "bytes": 345_678, "published_at": LATER}
TRAINED = {
    "version": "12",
    "rows": 900,
    "seconds": 64.25,
    "bytes": 12_345_678,
    "trained_at": NOON,
    "published_at": NOON + 2,
    "full": True,
}
HOSTILE = 'ValueError: <script>alert(1)</script> & "quotes"'


def said(recommender: str = "als:factors=32,popular", **more: Any) -> dict[str, Any]:
    """As ``/status`` of the recommendations service has it."""
    return {
        "epoch": 1,
        "items": 500,
        "profile": "balanced",
        "recommender": recommender,
        "explore": "auto",
        "log": {"rows": 1_500, "likes": 3, "dislikes": 2},
        "refresh": {"rows": 900, "published_at": NOON},
        "models": {},
        "backends": {"state": "redis://h", "broker": "redis://h", "vectors": "local folder"},
        **more,
    }


def models_of(body: dict[str, Any]) -> dict[str, ModelStatus]:
    return {model.name: model for model in read_status(body).models}


@contextmanager
def telling(status: object, tmp_path: Path) -> Iterator[Visitor]:
    """A visitor of a site whose service says this of itself."""
    answers = {"/status": status, "/catalogue": {"items": 500, "genres": ["Drama"], "epoch": 1}}

    class Teller(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answers.get(self.path, {"status": "ok"})).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Teller) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        port = server.server_address[1]
        ports = {"collector_port": port, "recommendations_port": port}
        settings = Settings(_env_file=None, listen_host="127.0.0.1", data_dir=tmp_path, **ports)  # type: ignore[arg-type]
        with visited(settings) as visitor:
            yield visitor
        server.shutdown()


def plain(fragment: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", fragment)).split())


def table_of(page: str) -> dict[str, list[str]]:
    """The cells beside each row's name, of all tables of the page."""
    rows = re.findall(r"<tr>\s*<th scope=\"row\">(.*?)</th>(.*?)</tr>", page, re.DOTALL)
    return {plain(name): [plain(cell) for cell in re.findall(r"<td.*?</td>", cells, re.DOTALL)] for name, cells in rows}


Look = Callable[..., dict[str, list[str]]]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """What the page shows of a status."""

    def shown(status: object, headers: dict[str, str] | None = None) -> dict[str, list[str]]:
        with telling(status, tmp_path) as visitor:
            answer = visitor.get("/status", headers=headers or {})
            assert answer.status_code == 200
            return table_of(answer.text)

    return shown


def in_language(headers: dict[str, str], function: Callable[[], str]) -> str:
    with Flask(__name__).test_request_context(headers=headers):
        return function()


class TestPage:
    @TEXTS
    def test_recommender_and_models_in_force(self, look: Look, texts: dict[str, str], headers: dict[str, str]) -> None:
        found = look(said(models={"als": TRAINED, "popular": LIVE}), headers)
        trained, published = (in_language(headers, lambda at=at: moment(at)) for at in (NOON, LATER))
        seconds, small, large, rows, log, few = (
            ("0.0123", "0.346", "12.3", "1,200", "1,500", "64.2")
            if texts is ENGLISH
            else ("0,0123", "0,346", "12,3", "1\xa0200", "1\xa0500", "64,2")
        )

        def of(key: str, **values: str) -> str:
            return " ".join(texts[key].format(**values).split())

        assert found[texts["status_recommender"]] == ["als:factors=32,popular"]
        assert found[texts["status_explore"]] == [texts["status_explore_auto"]]
        assert found["als"] == [
            f"{texts['status_in_force']} 12",
            of("status_learned_of", rows="900", all=log),
            " ".join(trained.split()),
            of("status_seconds", s=few),
            of("status_mb", mb=large),
        ]
        assert found["popular"] == [
            f"{texts['status_in_force']} 81a3",
            of("status_learned_of", rows=rows, all=log),
            " ".join(published.split()),
            of("status_seconds", s=seconds),
            of("status_mb", mb=small),
        ]

    @TEXTS
    def test_a_model_that_is_not_there_yet(self, look: Look, texts: dict[str, str], headers: dict[str, str]) -> None:
        found = look(said(models={}), headers)
        nothing = ["\N{EN DASH}"] * 4
        assert found["als"] == [texts["status_no_model_next"], *nothing]
        assert found["popular"] == [texts["status_no_model_random"], *nothing]

    @TEXTS
    def test_an_error_is_loud_and_escaped(self, tmp_path: Path, texts: dict[str, str], headers: dict[str, str]) -> None:
        models = {"als": {**TRAINED, "error": HOSTILE}, "popular": {"error": "KeyError: 'x'"}}
        with telling(said(models=models), tmp_path) as visitor:
            page = visitor.get("/status", headers=headers).text
        assert HOSTILE not in page
        assert "<script>alert" not in page
        found = table_of(page)
        failed = f"{texts['status_failed']}:"
        assert found["als"][0] == f"{failed} {HOSTILE} {texts['status_in_force']} 12"
        assert found["popular"][0] == f"{failed} KeyError: 'x' {texts['status_no_model_random']}"
        assert page.count('<span class="dot unwell">') == 2
        assert page.count('<span class="dot well">') == 2  # the two services

    @TEXTS
    @pytest.mark.parametrize(("explore", "share"), [(0.125, "12.5"), (0.2, "20"), (1.0, "100"), (0.0, "")])
    def test_the_share_that_explores(
        self, look: Look, texts: dict[str, str], headers: dict[str, str], explore: float, share: str
    ) -> None:
        share = share if texts is ENGLISH else share.replace(".", ",")
        wanted = texts["status_explore_share"].format(share=share) if share else texts["status_explore_off"]
        assert look(said(explore=explore), headers)[texts["status_explore"]] == [wanted]

    @TEXTS
    def test_the_last_refresh_is_of_the_model_that_came_last(
        self, look: Look, texts: dict[str, str], headers: dict[str, str]
    ) -> None:
        (shown,) = look(said(models={"als": TRAINED, "popular": LIVE}), headers)[texts["status_refresh"]]
        rows = "1,200" if texts is ENGLISH else "1 200"
        at = in_language(headers, lambda: moment(LATER))
        wanted = texts["status_refresh_of"].format(time=at, model="popular", rows=rows)
        assert shown == " ".join(wanted.split())

    def test_of_a_single_model_it_needs_no_name(self, look: Look) -> None:
        (shown,) = look(said("bandit", models={"bandit": LIVE}))[ENGLISH["status_refresh"]]
        assert shown.endswith(", as of event 1,200")
        assert "bandit" not in shown

    @TEXTS
    def test_a_model_of_an_earlier_recommender_has_no_part(
        self, look: Look, texts: dict[str, str], headers: dict[str, str]
    ) -> None:
        found = look(said("bandit", models={"als": {**TRAINED, "error": "old"}, "bandit": LIVE}), headers)
        assert found["als"][0] == texts["status_not_wanted"]
        assert list(found).index("bandit") < list(found).index("als")

    @TEXTS
    def test_who_finds_unknown_items_says_so(self, look: Look, texts: dict[str, str], headers: dict[str, str]) -> None:
        found = look(said(models={"als": TRAINED, "popular": LIVE, "explore": LIVE}), headers)
        assert found[f"explore {texts['status_explorer']}"][0] == f"{texts['status_in_force']} 81a3"
        found = look(said(models={"explore": {"error": "x"}}), headers)
        assert found[f"explore {texts['status_explorer']}"][0].endswith(texts["status_no_model_sources"])

    def test_a_model_may_know_of_more_rows_than_were_counted_a_moment_ago(self, look: Look) -> None:
        found = look(said("bandit", models={"bandit": {**LIVE, "rows": 1_501}}))
        assert found["bandit"][1] == "1,501 of 1,501 events"

    @TEXTS
    def test_an_older_service_is_shown_as_far_as_it_goes(
        self, look: Look, texts: dict[str, str], headers: dict[str, str]
    ) -> None:
        older = {name: said()[name] for name in ("log", "refresh", "backends")}
        found = look(older, headers)
        assert found[texts["backend_state"]] == ["redis://h"]
        assert found[texts["status_rows"]] == ["1,500" if texts is ENGLISH else "1 500"]
        assert found[texts["status_refresh"]] != [texts["status_unknown"]]
        assert not {texts["status_recommender"], texts["status_explore"]} & found.keys()

    def test_models_without_a_recommender_are_shown_as_they_are(self, look: Look) -> None:
        found = look(said("", models={"mine": LIVE, "other": {}}))
        assert found["mine"][0] == "in force: version 81a3"
        assert found["other"][0] == ENGLISH["status_no_model"]

    @pytest.mark.parametrize(
        "odd",
        [
            {"models": []},
            {"models": {"als": 5, "popular": None}},
            {"models": {"als": dict.fromkeys(TRAINED, "x"), "popular": dict.fromkeys(LIVE, -1)}},
            {"models": {"als": dict.fromkeys(TRAINED, 1e300), "popular": dict.fromkeys(LIVE, float("nan"))}},
            {"models": {"als": {name: [1] for name in TRAINED}, "popular": dict.fromkeys(LIVE, True)}},
            {"explore": "much", "recommender": ["als"]},
            {"explore": None, "recommender": None},
            {"refresh": {"rows": 1, "published_at": 1e300}},
        ],
    )
    def test_odd_answers_are_no_crash(self, look: Look, odd: dict[str, Any]) -> None:
        assert look(said(**odd))[ENGLISH["backend_state"]] == ["redis://h"]

    def test_real_services(self, visitor: Visitor) -> None:
        def published() -> bool:
            return table_of(visitor.get("/status").text)["bandit"][0].startswith(ENGLISH["status_in_force"])

        wait_until(published, 20, "the first model is published")
        found = table_of(visitor.get("/status").text)
        assert found[ENGLISH["status_recommender"]] == ["bandit"]
        state, learned, made, took, size = found["bandit"]
        assert re.fullmatch(r"in force: version [0-9a-f]{16}", state)
        assert re.fullmatch(r"[\d,]+ of [\d,]+ events", learned)
        assert re.fullmatch(r"[\d.]+ s", took)
        assert re.fullmatch(r"[\d.]+ MB", size)
        assert found[ENGLISH["status_refresh"]][0].startswith(made)


class TestReading:
    @pytest.mark.parametrize(
        ("recommender", "names"),
        [
            ("bandit", ["bandit"]),
            ("als:factors=32,iterations=8,popular", ["als", "popular"]),
            (" item-knn , popular:shrinkage=5", ["item-knn", "popular"]),
            ("my_module:Mine:depth=3,wide=1,popular", ["my_module:Mine", "popular"]),
            ("my_module:Mine,bandit:explore.looks=0.25,rank.pool=300", ["my_module:Mine", "bandit"]),
        ],
    )
    def test_names_are_those_of_the_registry(self, recommender: str, names: list[str]) -> None:
        from recsys.recommenders.registry import read_specs

        assert list(models_of(said(recommender))) == names == [spec.name for spec in read_specs(recommender)]

    @pytest.mark.parametrize(
        ("recommender", "explore", "wanted"),
        [("als", "auto", True), ("als", 0.2, True), ("als", 0.0, False), ("als,bandit", "auto", False)],
    )
    def test_whether_an_explorer_has_a_part(self, recommender: str, explore: object, wanted: bool) -> None:
        models = models_of(said(recommender, explore=explore, models={"explore": LIVE}))
        assert models["explore"].wanted is wanted

    def test_the_last_refresh_is_not_of_what_has_no_part(self) -> None:
        models = {"als": {**TRAINED, "published_at": LATER + 5}, "bandit": LIVE}
        assert read_status(said("bandit", models=models)).refresh == Refresh(LATER, 1_200, "bandit")

    def test_a_model_with_an_error_alone_refreshed_nothing(self) -> None:
        models = {"als": {"error": "x"}, "popular": LIVE}
        body = said(models=models, refresh={"rows": 0, "published_at": None})
        assert read_status(body).refresh == Refresh(LATER, 1_200, "popular")

    def test_a_version_that_was_put_in_force_by_hand_has_no_time_of_publication(self) -> None:
        by_hand = {name: fact for name, fact in TRAINED.items() if name != "published_at"}
        body = said(models={"als": by_hand, "popular": LIVE})
        assert models_of(body)["als"].made_at == NOON
        assert read_status(body).refresh == Refresh(LATER, 1_200, "popular")

    def test_before_the_first_refresh(self) -> None:
        status: ServiceStatus = read_status(said(refresh={"rows": 0, "published_at": None}))
        assert status.refresh is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.000345, "0.000345"), (0.0123456, "0.0123"), (0.5, "0.5"), (1.2345, "1.23"), (12.3456, "12.3"),
     (20.000000000000004, "20"), (99.96, "100"), (123.4, "123"), (1_234.5, "1,234"), (1e-9, "0")],
)  # fmt: skip
def test_three_digits_that_tell_something(value: float, shown: str) -> None:
    assert rounded(value) == shown
