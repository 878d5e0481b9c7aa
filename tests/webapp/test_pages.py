"""Pages in front of real services."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from recsys.settings import SHIPPED_CATALOGUE
from tests.servers import System, wait_until
from tests.webapp.conftest import settings_of, visited
from tests.webapp.visitor import Visitor, items_in, reasons_in
from webapp.catalogue import read_catalogue
from webapp.texts import counted, text

PAGES = ("/", "/cards", "/top", "/top?genre=Horror", "/item/2", "/search?q=night", "/reactions", "/status")
HOSTILE = "<script>alert(1)</script>"


class TestForYou:
    def test_ten_films_with_a_reason_each(self, visitor: Visitor) -> None:
        page = visitor.get("/").text
        assert len(set(items_in(page))) == 10
        assert len(reasons_in(page)) == 10

    def test_others_at_the_next_visit(self, visitor: Visitor) -> None:
        assert not set(items_in(visitor.get("/").text)) & set(items_in(visitor.get("/cards").text))

    def test_weighs_less_than_300_kb_with_its_posters(self, visitor: Visitor) -> None:
        page = visitor.get("/")
        parts = set(re.findall(r'(?:src|href)="(/(?:static|poster)/[^"]+)"', page.text))
        assert len(parts) == 15
        assert len(page.data) + sum(len(visitor.get(part).data) for part in parts) < 300_000

    def test_nothing_is_fetched_from_elsewhere(self, visitor: Visitor) -> None:
        for path in PAGES:
            addresses = re.findall(r'\s(?:src|href|action)="([^"]*)"', visitor.get(path).text)
            assert [address for address in addresses if not re.match(r"/(?!/)|#", address)] == []


class TestTop:
    def test_of_a_genre(self, visitor: Visitor) -> None:
        films = read_catalogue(SHIPPED_CATALOGUE).films
        wait_until(lambda: bool(items_in(visitor.get("/top?genre=Horror").text)), 20, "lists are published")
        found = items_in(visitor.get("/top?genre=Horror").text)
        assert len(found) == 20
        assert all("Horror" in films[item].genres for item in found)

    def test_over_all(self, visitor: Visitor) -> None:
        wait_until(lambda: len(items_in(visitor.get("/top").text)) == 20, 20, "lists are published")

    def test_unknown_genre(self, visitor: Visitor) -> None:
        assert visitor.get("/top?genre=Unheard").status_code == 404


class TestItem:
    def test_shows_the_film_and_similar_ones(self, visitor: Visitor) -> None:
        wait_until(lambda: len(items_in(visitor.get("/item/2").text)) == 11, 20, "vectors are published")
        page = visitor.get("/item/2").text
        assert "Nosferatu" in page
        assert "vampire count" in page
        assert items_in(page)[0] == "2"

    @pytest.mark.parametrize("item", ["none", "0", "%3Cscript%3E", "x" * 400, "%00", "%F0%9F%8E%AC"])
    def test_unknown_is_404_with_a_way_back(self, visitor: Visitor, item: str) -> None:
        answer = visitor.get(f"/item/{item}")
        assert answer.status_code == 404
        assert text("back_to_list") in answer.text


class TestSearch:
    def test_finds_by_parts_of_the_title(self, visitor: Visitor) -> None:
        assert items_in(visitor.get("/search?q=nosfer+1922").text) == ["2"]

    def test_tells_that_there_is_more(self, visitor: Visitor) -> None:
        page = visitor.get("/search?q=the").text
        assert len(items_in(page)) == 30
        assert counted("search_more", 30) in page

    def test_what_was_typed_is_escaped(self, visitor: Visitor) -> None:
        page = visitor.get("/search", query_string={"q": f'"{HOSTILE}'}).text
        assert HOSTILE not in page
        assert "&lt;script&gt;" in page

    @pytest.mark.parametrize("query", ["", "   ", "%00", "x" * 5000, "%ff%fe"])
    def test_odd_searches_find_nothing(self, visitor: Visitor, query: str) -> None:
        answer = visitor.get(f"/search?q={query}")
        assert answer.status_code == 200
        assert len(answer.data) < 10_000


class TestAnyPage:
    @pytest.mark.parametrize("path", [*PAGES, "/nothing", "/static/site.css", "/poster/2.svg"])
    def test_security_headers(self, visitor: Visitor, path: str) -> None:
        answer = visitor.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"

    @pytest.mark.parametrize("path", PAGES)
    def test_no_inline_scripts_or_styles(self, visitor: Visitor, path: str) -> None:
        page = visitor.get(path).text
        assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", page)

    def test_cookie_is_small_and_hidden_from_scripts(self, visitor: Visitor) -> None:
        cookie = visitor.get("/?user_id=" + "u" * 256).headers["Set-Cookie"]
        assert len(cookie) < 1_000
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie

    @pytest.mark.parametrize("path", ["/healthcheck", "/static/site.js", "/poster/2.svg"])
    def test_no_cookie_where_none_is_needed(self, visitor: Visitor, path: str) -> None:
        answer = visitor.get(path)
        assert answer.status_code == 200
        assert "Set-Cookie" not in answer.headers

    def test_status_shows_size_and_health(self, visitor: Visitor) -> None:
        page = visitor.get("/status").text
        assert page.count(f"</span>{text('status_well')}</td>") == 2
        assert page.count("<td>500</td>") == 2
        assert page.count(f"<td>{text('status_unknown')}</td>") <= 3  # what needs a reaction or a second look
        assert "redis://" in page

    def test_suggestions(self, visitor: Visitor) -> None:
        found = visitor.get("/suggest?q=nosf").json
        assert found == [{"title": "Nosferatu", "year": "1922", "url": "/item/2"}]
        assert len(visitor.get("/suggest?q=the").json) == 8
        assert visitor.get("/suggest?q=").json == visitor.get("/suggest?q=" + "x" * 5000).json == []


def test_a_catalogue_of_others_is_escaped_and_may_lack_items(system: System, tmp_path: Path) -> None:
    """Titles with markup; and items that the services know, but not this catalogue."""
    path = tmp_path / "own.csv"
    path.write_text(f'movieId,title,genres\n2,"{HOSTILE} & ""q"" (1999)",Horror|<b>x</b>\n', encoding="utf-8")
    with visited(settings_of(system, tmp_path, catalogue=path)) as visitor:
        for page in (visitor.get("/item/2").text, visitor.get("/search?q=script").text):
            assert HOSTILE not in page
            assert "<b>x" not in page
            assert "&lt;script&gt;" in page
        poster = ElementTree.fromstring(visitor.get("/poster/2.svg").text)
        assert not [node for node in poster.iter() if node.tag.endswith("script")]
        assert text("unknown_film") in visitor.get("/").text


class TestPosters:
    def test_every_film_has_one_that_is_well_formed(self, visitor: Visitor) -> None:
        for film in read_catalogue(SHIPPED_CATALOGUE).films.values():
            answer = visitor.get(f"/poster/{film.id}.svg?v={film.version}")
            assert ElementTree.fromstring(answer.text).tag == "{http://www.w3.org/2000/svg}svg"
            assert len(answer.data) < 25_000

    def test_may_be_kept(self, visitor: Visitor) -> None:
        film = read_catalogue(SHIPPED_CATALOGUE).films["2"]
        answer = visitor.get(f"/poster/2.svg?v={film.version}")
        assert "max-age=2592000" in answer.headers["Cache-Control"]
        assert visitor.get("/poster/2.svg", headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
        assert "max-age=60" in visitor.get("/poster/2.svg?v=old").headers["Cache-Control"]
