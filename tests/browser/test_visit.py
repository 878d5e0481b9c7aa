"""One visit from the first list to the last, by mouse, by keyboard, by phone and without JavaScript."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import NewPage, web_app
from tests.browser.person import (
    FILMS,
    button,
    cards,
    listed,
    of_genre,
    react_to_first,
    say_about,
    user_id,
    wait_for_new_list,
)
from tests.servers import System, wait_until
from tests.webapp.conftest import add_catalogue
from webapp.english import ENGLISH

GENRE = "Horror"
OF_GENRE = [film.id for film in FILMS.values() if film.genres == (GENRE,)]
PEOPLE = 3
EVERYTHING = 1_000


def recs(system: System, page: Page) -> list[str]:
    """The rest of the catalogue for this person, by the service itself: from now on everything was shown."""
    answer = httpx.get(f"{system.recommendations.url}/recs/{quote(user_id(page), safe='')}?k={EVERYTHING}", timeout=30)
    return list(answer.json()["item_ids"])


def test_three_likes_of_a_genre_bring_clearly_more_of_it(new_page: NewPage, system: System) -> None:
    """Three people, as a single list is a random draw: one more film each on average, at least.

    Each comes to a new system: what others like would be in all lists, before and after.
    """
    before = after = named = 0
    for _ in range(PEOPLE):
        httpx.post(f"{system.recommendations.url}/cleanup", timeout=30).raise_for_status()
        add_catalogue(system)
        page = new_page()
        page.goto("/status")  # from here on the web app knows the new epoch; it asks once a second
        page.goto("/")
        before += of_genre(listed(page), GENRE)
        counted = system.likes_counted()
        for item in OF_GENRE[:3]:
            say_about(page, item, "like")
        wait_until(lambda counted=counted: system.likes_counted() >= counted + 3, 30, "the likes are drained")  # type: ignore[misc]
        page.get_by_role("link", name="See what changed").click()
        expect(cards(page)).to_have_count(10)
        expect(page.locator(".intro")).to_have_text("Chosen from your 3 likes and 0 dislikes.")
        after += of_genre(listed(page), GENRE)
        named += page.locator(".reason.because").filter(has_text=FILMS[OF_GENRE[2]].title).count()
    assert after >= before + PEOPLE
    assert named


def test_the_list_refreshes_in_place_and_gives_reasons(page: Page) -> None:
    page.goto("/")
    expect(page.locator(".cards .reason")).to_have_count(10)
    shown = set(listed(page))
    liked = react_to_first(page, "like")
    expect(page.get_by_role("status")).to_have_text(f"You like {FILMS[liked].title}.")
    assert not shown & set(listed(page))
    assert page.evaluate("performance.getEntriesByType('navigation').length") == 1


@pytest.mark.parametrize("action", ["dislike", "hide"])
def test_what_is_not_wanted_never_comes_back(page: Page, system: System, action: str) -> None:
    page.goto("/")
    unwanted = react_to_first(page, action)
    wait_until(lambda: unwanted not in recs(system, page), 30, "the reaction is drained")
    for _ in range(3):
        old = listed(page)[0]
        page.get_by_role("link", name="Show me others").click()
        wait_for_new_list(page, old)
        assert unwanted not in listed(page)
    expect(page.locator(".reason.again").first).to_be_visible()
    assert unwanted not in recs(system, page)
    page.goto("/reactions")
    assert listed(page) == [unwanted]
    button(cards(page).first, action).click()
    expect(page.get_by_role("status")).to_have_text(f"Taken back: {FILMS[unwanted].title}.")
    page.goto("/")
    wait_until(lambda: unwanted in recs(system, page), 30, "what was taken back may be shown again")


def test_undo(page: Page) -> None:
    page.goto("/")
    liked = react_to_first(page, "like")
    old = listed(page)[0]
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("status")).to_have_text(f"Taken back: {FILMS[liked].title}.")
    wait_for_new_list(page, old)
    expect(page.locator(".intro")).to_have_text("Like or dislike a few films: the list changes within a second.")
    expect(page.get_by_role("button", name="Undo")).to_be_hidden()
    page.goto("/reactions")
    expect(cards(page)).to_have_count(0)


class TestSlowLists:
    """The site answers when the test lets it."""

    @pytest.fixture
    def page(self, new_page: NewPage) -> Page:
        return new_page(expected=("503",))

    @staticmethod
    def hold(page: Page, address: str) -> list[Route]:
        held: list[Route] = []
        page.route(address, lambda route: held.append(route))
        return held

    @staticmethod
    def wait_for(page: Page, held: list[Route], count: int) -> None:
        # Whatever is asked of the page lets Playwright hand over what happened on it.
        wait_until(lambda: bool(page.title()) and len(held) == count, 30, f"request {count} of this page")

    def test_quick_clicks_ask_for_one_list(self, page: Page) -> None:
        page.goto("/")
        asked = self.hold(page, "**/cards")
        old = listed(page)[0]
        others = page.get_by_role("link", name="Show me others")
        others.dblclick()
        self.wait_for(page, asked, 1)
        others.click()
        asked[0].continue_()
        wait_for_new_list(page, old)
        assert len(asked) == 1, "what nobody has seen yet counts as shown"
        others.click()
        self.wait_for(page, asked, 2)

    def test_an_older_list_does_not_replace_a_newer_one(self, page: Page) -> None:
        page.goto("/")
        asked = self.hold(page, "**/cards")
        liked = listed(page)[0]
        page.get_by_role("link", name="Show me others").click()
        self.wait_for(page, asked, 1)
        button(cards(page).first, "like").click()
        self.wait_for(page, asked, 2)
        asked[1].continue_()
        wait_for_new_list(page, liked)
        newer = listed(page)
        with page.expect_response("**/cards"):
            asked[0].continue_()
        expect(page.get_by_role("status")).to_have_text(f"You like {FILMS[liked].title}.")
        expect(page.get_by_role("button", name="Undo")).to_be_visible()
        assert listed(page) == newer

    def test_a_list_that_came_during_a_reaction_is_asked_for_again(self, page: Page) -> None:
        page.goto("/")
        asked, said = self.hold(page, "**/cards"), self.hold(page, "**/react")
        old = listed(page)[0]
        page.get_by_role("link", name="Show me others").click()
        self.wait_for(page, asked, 1)
        button(cards(page).first, "like").click()
        self.wait_for(page, said, 1)
        with page.expect_response("**/cards"):
            asked[0].continue_()
        assert listed(page)[0] == old
        said[0].fulfill(status=503, json={})
        self.wait_for(page, asked, 2)
        asked[1].continue_()
        wait_for_new_list(page, old)


def test_a_mind_is_changed(page: Page) -> None:
    say_about(page, "2", "like")
    button(page.locator(".item"), "dislike").click()
    expect(page.get_by_role("status")).to_have_text("You dislike Nosferatu.")
    expect(button(page.locator(".item"), "like")).to_have_attribute("aria-pressed", "false")
    page.goto("/reactions")
    expect(page.get_by_role("heading", name="Disliked 1")).to_be_visible()
    expect(page.get_by_role("heading", name="Liked 1", exact=True)).to_have_count(0)


class TestSearch:
    def test_suggests_while_typing(self, page: Page) -> None:
        page.goto("/")
        field = page.get_by_role("combobox", name="Search films by title")
        field.press_sequentially("nosf")
        expect(page.get_by_role("option")).to_have_text(["Nosferatu 1922"])
        expect(field).to_have_attribute("aria-expanded", "true")
        field.press("Escape")
        expect(page.get_by_role("option")).to_have_count(0)
        expect(field).to_be_focused()
        field.press("Backspace")
        expect(page.get_by_role("option").first).to_be_visible()
        field.press("ArrowDown")
        expect(page.get_by_role("option").first).to_have_attribute("aria-selected", "true")
        field.press("Enter")
        expect(page).to_have_url(re.compile(r"/item/2$"))
        expect(page.get_by_role("heading", name="Nosferatu")).to_be_visible()

    def test_lists_what_was_found(self, page: Page) -> None:
        page.goto("/")
        page.get_by_role("combobox").fill("night")
        page.get_by_role("button", name="Search", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Results for “night”")
        assert all("night" in FILMS[item].title.lower() for item in listed(page))


def test_titles_and_searches_with_markup_are_harmless(new_page: NewPage, system: System, tmp_path: Path) -> None:
    path = tmp_path / "films.csv"
    evil = '<img src=x onerror=""window.hacked=1""><script>window.hacked=1</script>'
    path.write_text(f'movieId,title,genres,description\n2,"Evil {evil}","Drama","{evil}"\n', encoding="utf-8")
    for app in web_app(system, tmp_path, CATALOGUE=str(path)):
        page = new_page(app.url)
        page.goto("/search?q=" + quote("evil <script>window.hacked=1</script>"))
        page.get_by_role("combobox").fill("evil")
        page.get_by_role("combobox").press("End")
        expect(page.get_by_role("option")).to_have_text(re.compile("<script>"))
        for address in (
            "/item/2",
            "/reactions",
            "/?user_id=" + quote('"><script>window.hacked=1<', safe=""),
        ):
            page.goto(address)
            assert page.evaluate("window.hacked") is None
        say_about(page, "2", "hide")
        expect(page.get_by_role("status")).to_have_text(re.compile("^Evil <img.* will not be shown again.$"))
        assert page.evaluate("window.hacked") is None


class TestPeople:
    def test_somebody_new_and_back_again(self, page: Page) -> None:
        say_about(page, "2", "like")
        first = user_id(page)
        page.get_by_role("button", name="New person").click()
        expect(page.locator("footer .id")).not_to_have_text(first)
        page.goto("/reactions")
        expect(cards(page)).to_have_count(0)
        page.get_by_label("Open another person").fill(first)
        page.get_by_role("button", name="Open", exact=True).click()
        page.get_by_role("link", name="My reactions").click()
        assert listed(page) == ["2"]

    def test_a_name_that_cannot_be_an_id_is_refused_with_the_rule(self, page: Page) -> None:
        page.goto("/reactions")
        field = page.get_by_label("Open another person")
        for name, valid in (("Ann Smith", False), ("Анна", False), ("a/b", False), (" ann-1@x.org ", True)):
            field.fill(name)
            assert field.evaluate("field => field.checkValidity()") is valid, name
        expect(field).to_have_attribute("title", ENGLISH["person_id_rule"])
