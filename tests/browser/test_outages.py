"""The demo while a service is away, and addresses that lead nowhere."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import NewPage
from tests.browser.person import button, card_of, cards, listed, react_to_first, say_about
from tests.servers import Service, System


class TestOutages:
    REFUSED = ("503", "ERR_")

    def test_a_reaction_is_taken_back_while_the_collector_is_away(self, new_page: NewPage, system: System) -> None:
        page = new_page(expected=self.REFUSED)
        page.goto("/")
        item = listed(page)[0]
        like = button(card_of(page, item), "like")
        system.collector.stop()
        try:
            like.click()
            expect(page.get_by_role("status")).to_have_text(re.compile("could not be kept"))
            expect(like).to_have_attribute("aria-pressed", "false")
            assert listed(page)[0] == item
            page.goto("/status")
            expect(page.locator("#live")).to_contain_text("no answer")
        finally:
            system.collector.start()
        page.goto("/")
        react_to_first(page, "like")

    def test_films_can_be_found_while_the_recommendations_are_away(
        self, new_page: NewPage, system: System, site: Service
    ) -> None:
        page = new_page(expected=self.REFUSED)
        page.goto("/")
        system.recommendations.stop()
        try:
            page.get_by_role("link", name="Show me others").click()
            expect(page.get_by_role("status")).to_have_text(re.compile("does not answer"))
            expect(cards(page)).to_have_count(10)
            page.goto("/")
            expect(page.get_by_role("heading", level=1)).to_have_text("No recommendations at the moment")
            say_about(page, "2", "like")
            expect(page.locator(".empty")).to_have_text(re.compile("Similar films cannot be shown"))
        finally:
            system.recommendations.start()
        page.goto("/")
        expect(cards(page)).to_have_count(10)
        assert site.health() == 200


def test_an_unknown_film_has_a_way_back(new_page: NewPage) -> None:
    page = new_page(expected=("404",))
    page.goto("/item/none")
    expect(page.get_by_role("heading", level=1)).to_have_text("Not found")
    page.get_by_role("link", name="Back to the films for you").click()
    expect(cards(page)).to_have_count(10)
