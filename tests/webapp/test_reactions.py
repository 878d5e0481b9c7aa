"""What visitors do, and what becomes of it."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from recsys.limits import MAX_ID_CHARS
from recsys.settings import SHIPPED_CATALOGUE
from tests.servers import RedisServer, System, free_port, wait_until
from tests.webapp.conftest import add_catalogue, settings_of, visited
from tests.webapp.visitor import JSON, Visitor, items_in, reasons_in
from webapp.catalogue import read_catalogue
from webapp.texts import text

FILMS = read_catalogue(SHIPPED_CATALOGUE).films
PAIRS = 4
HORROR = [film.id for film in FILMS.values() if film.genres == ("Horror",)]


def accepted(system: System) -> float:
    """Reactions the collector took, by its own counter."""
    metrics = httpx.get(f"{system.collector.url}/metrics", timeout=30).text
    found = re.search(r"^reactions_accepted_total (\S+)$", metrics, re.MULTILINE)
    assert found
    return float(found[1])


def begin_anew(system: System, visitor: Visitor) -> None:
    httpx.post(f"{system.recommendations.url}/cleanup", timeout=30).raise_for_status()
    add_catalogue(system)
    visitor.get("/status")  # from here on the web app knows the new epoch


def new_person_page(system: System, visitor: Visitor, likes: list[str]) -> str:
    """What somebody new is recommended after these likes, once the pipeline has them."""
    counted = system.likes_counted()
    visitor.get("/reactions")
    visitor.post("/new-person", {"csrf_token": visitor.token})
    for item in likes:
        assert visitor.react(item, "like").status_code == 303
    wait_until(lambda: system.likes_counted() >= counted + len(likes), 30, "the likes are drained")
    return visitor.get("/").text


def horror_in(page: str) -> int:
    return sum("Horror" in FILMS[item].genres for item in items_in(page))


class TestReactions:
    def test_liked_horror_brings_more_horror(self, system: System, visitor: Visitor) -> None:
        """Pairs, as one list is a random draw; each in a new system, as the films liked are soon in everybody's lists.

        Over 40 pairs who likes got 4.6 films more (standard deviation 1.4), and 2.5 reasons that name a liked film.
        """
        liking, others, reasons = 0, 0, 0
        for _ in range(PAIRS):
            begin_anew(system, visitor)
            others += horror_in(new_person_page(system, visitor, []))
            page = new_person_page(system, visitor, HORROR[:3])
            liking += horror_in(page)
            named = {text("reason_because", title=FILMS[item].title) for item in HORROR[:3]}
            reasons += sum(reason in named for reason in reasons_in(page))
            assert "3 likes" in page
        assert liking >= others + PAIRS
        assert reasons >= PAIRS

    def test_reaches_the_collector(self, system: System, visitor: Visitor) -> None:
        visitor.get("/reactions")
        before = accepted(system)
        visitor.react("2", "like", headers=JSON)
        visitor.react("3", "dislike", headers=JSON)
        assert accepted(system) == before + 2

    def test_is_listed_and_can_be_changed(self, visitor: Visitor) -> None:
        visitor.get("/reactions")
        assert visitor.react("2", "like", headers=JSON).json == {"message": "You like Nosferatu."}
        visitor.react("3", "dislike", headers=JSON)
        assert items_in(visitor.get("/reactions").text) == ["2", "3"]
        visitor.react("2", "dislike", headers=JSON)
        assert text("liked") + " <" not in visitor.get("/reactions").text

    def test_all_are_listed(self, visitor: Visitor) -> None:
        visitor.get("/reactions")
        for item in list(FILMS)[:120]:
            visitor.react(item, "like", headers=JSON)
        assert len(items_in(visitor.get("/reactions").text)) == 120

    def test_without_javascript_comes_back_with_a_notice_once(self, visitor: Visitor) -> None:
        visitor.get("/reactions")
        assert visitor.react("2", "like").location == "/reactions"
        assert ">You like Nosferatu.<" in visitor.get("/reactions").text
        assert ">You like Nosferatu.<" not in visitor.get("/reactions").text

    @pytest.mark.parametrize("elsewhere", ["//evil.example", "/\\evil", "https://evil.example", "/\t/evil", "", "x"])
    def test_never_leads_to_another_site(self, visitor: Visitor, elsewhere: str) -> None:
        visitor.get("/reactions")
        form = {"csrf_token": visitor.token, "item_id": "2", "action": "like", "next": elsewhere}
        assert visitor.post("/react", form).location == "/"

    @pytest.mark.parametrize(
        ("item", "action"),
        [("", "like"), ("a/b", "like"), ("2", "love"), ("2", ""), ("x" * 257, "like"), ("2\n", "like")],
    )
    def test_invalid_ones_are_refused(self, system: System, visitor: Visitor, item: str, action: str) -> None:
        visitor.get("/reactions")
        before = accepted(system)
        assert visitor.react(item, action, headers=JSON).status_code == 400
        assert accepted(system) == before

    def test_a_huge_form_is_refused(self, visitor: Visitor) -> None:
        visitor.get("/reactions")
        assert visitor.react("2" * 100_000, "like").status_code == 413


class TestForgery:
    @pytest.mark.parametrize("token", ["", "wrong", "\N{SNOWMAN}"])
    def test_without_the_token_nothing_happens(self, system: System, visitor: Visitor, token: str) -> None:
        visitor.get("/reactions")
        before, person = accepted(system), visitor.user_id
        form = {"csrf_token": token, "item_id": "2", "action": "like"}
        assert visitor.post("/react", form).status_code == 403
        assert visitor.post("/react", form, headers=JSON).json == {"message": text("error_403_message")}
        assert visitor.post("/new-person", form).status_code == 403
        assert (accepted(system), visitor.user_id) == (before, person)

    def test_without_a_session(self, visitor: Visitor) -> None:
        assert visitor.post("/react", {"csrf_token": "", "item_id": "2", "action": "like"}).status_code == 403

    def test_reactions_are_not_taken_from_links(self, visitor: Visitor) -> None:
        assert visitor.get("/react?item_id=2&action=like").status_code in (403, 405)


class TestPeople:
    def test_somebody_new_starts_over(self, visitor: Visitor) -> None:
        visitor.get("/reactions")
        first = visitor.user_id
        visitor.react("2", "like", headers=JSON)
        visitor.post("/new-person", {"csrf_token": visitor.token})
        assert visitor.user_id != first
        assert items_in(visitor.get("/reactions").text) == []
        assert visitor.get(f"/reactions?user_id={first}", follow_redirects=True).text.count('value="2"') == 1

    @pytest.mark.parametrize(
        "user", ["a", "u" * MAX_ID_CHARS, "!#$%&'()*+,-.:;<=>?@[]^_`{|}~", ".", "..", '"><script>']
    )
    def test_any_id_of_the_contract_may_be_opened(self, visitor: Visitor, user: str) -> None:
        answer = visitor.get(f"/?user_id={quote(user, safe='')}")
        assert answer.location == "/"
        assert visitor.user_id == user
        page = visitor.get("/")
        assert len(items_in(page.text)) == 10
        assert "<script>" not in page.text

    @pytest.mark.parametrize("user", ["", "%20", "a/b", "a%0A", "%C3%A9", "u" * (MAX_ID_CHARS + 1), "%00", "a%20b"])
    def test_others_may_not(self, visitor: Visitor, user: str) -> None:
        visitor.get("/reactions")
        before = visitor.user_id
        assert visitor.get(f"/?user_id={user}").status_code == 400
        assert visitor.user_id == before

    def test_the_rest_of_the_address_stays(self, visitor: Visitor) -> None:
        answer = visitor.get("/search?q=a+%26b&user_id=ann&_external=1&_scheme=javascript")
        assert answer.location == "/search?q=a+%26b"


def test_after_a_cleanup_the_reactions_are_forgotten(redis_server: RedisServer, tmp_path: Path) -> None:
    prefix = f"test_{uuid.uuid4().hex[:12]}"
    with (
        System(tmp_path / "system", redis_server.url, redis_server.url, KEY_PREFIX=prefix) as system,
        visited(settings_of(system, tmp_path)) as visitor,
    ):
        assert text("no_items") in visitor.get("/").text
        add_catalogue(system)
        visitor.react("2", "like")
        assert items_in(visitor.get("/reactions").text) == ["2"]
        httpx.post(f"{system.recommendations.url}/cleanup", timeout=30).raise_for_status()
        visitor.get("/status")
        assert items_in(visitor.get("/reactions").text) == []


def test_without_the_collector_a_reaction_is_not_kept(system: System, tmp_path: Path) -> None:
    with visited(settings_of(system, tmp_path, collector_port=free_port())) as visitor:
        assert len(items_in(visitor.get("/").text)) == 10
        answer = visitor.react("2", "like", headers=JSON)
        assert (answer.status_code, answer.json) == (503, {"message": text("collector_down")})
        assert visitor.react("2", "like").status_code == 303
        page = visitor.get("/reactions").text
        assert text("collector_down") in page
        assert items_in(page) == []
        assert text("status_silent") in visitor.get("/status").text


class TestUndoAndHide:
    def listed(self, visitor: Visitor) -> list[tuple[str, str]]:
        """(item, pressed button) of the reactions page."""
        page = visitor.get("/reactions").text
        pressed = re.findall(r'data-action="(\w+)"[^>]*aria-pressed="true"', page)
        return list(zip(items_in(page), pressed, strict=True))

    def test_each_replaces_what_was_said_before(self, visitor: Visitor) -> None:
        visitor.get("/reactions")
        for action in ("like", "hide", "dislike"):
            assert visitor.react("2", action, headers=JSON).status_code == 200
            assert self.listed(visitor) == [("2", action)]
        visitor.react("2", "undo", headers=JSON)
        assert self.listed(visitor) == []

    def test_the_collector_hears_of_changes_only(self, system: System, visitor: Visitor) -> None:
        visitor.get("/reactions")
        heard = []
        for action in ("undo", "like", "like", "dislike", "undo", "undo"):
            before = accepted(system)
            visitor.react("2", action, headers=JSON)
            heard.append(accepted(system) - before)
        assert heard == [0, 1, 0, 2, 1, 0]  # a change of mind is an undo and a reaction

    def test_a_pressed_button_takes_back_without_javascript(self, visitor: Visitor) -> None:
        visitor.get("/reactions")
        visitor.react("2", "like")
        page = visitor.get("/item/2").text
        assert 'value="undo" data-action="like"' in page
        assert ">You like Nosferatu.<" in page
        assert re.search(r'name="item_id" value="2"[^\0]*?<button name="action" value="undo">Undo<', page)
        visitor.react("2", "undo")
        assert ">Taken back: Nosferatu.<" in visitor.get("/reactions").text
        assert self.listed(visitor) == []

    @pytest.mark.parametrize("action", ["", "love", "LIKE", "like ", "impression"])
    def test_other_actions_are_refused(self, visitor: Visitor, action: str) -> None:
        visitor.get("/reactions")
        assert visitor.react("2", action).status_code == 400

    def test_an_undo_of_yesterdays_like_on_another_page_needs_the_token(self, visitor: Visitor) -> None:
        visitor.get("/reactions")
        form = {"csrf_token": "x", "item_id": "2", "action": "undo"}
        assert visitor.post("/react", form).status_code == 403
