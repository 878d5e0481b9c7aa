"""Other ways to use the demo: in Russian, on a phone, by keyboard, without JavaScript."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage
from tests.browser.person import FILMS, PHONE, button, cards, listed, react_to_first, say_about, wait_for_new_list


class TestLanguages:
    def test_russian_by_the_browser_english_by_hand(self, new_page: NewPage) -> None:
        page = new_page(locale="ru-RU")
        page.goto("/")
        expect(page.locator("html")).to_have_attribute("lang", "ru")
        liked = react_to_first(page, "like")
        expect(page.get_by_role("status")).to_have_text(f"Понравилось: {FILMS[liked].title}.")
        expect(page.locator(".intro")).to_have_text("Подобрано по вашим оценкам: 1 понравился, 0 не понравились.")
        page.get_by_role("link", name="English").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("For you")
        page.get_by_role("link", name="Top", exact=True).click()
        expect(page.locator("html")).to_have_attribute("lang", "en")
        page.get_by_role("link", name="Русский").click()
        expect(page.get_by_role("link", name="Ужасы")).to_be_visible()


class TestPhone:
    @pytest.mark.parametrize("width", [320, 360])
    @pytest.mark.parametrize("locale", ["en-GB", "ru-RU"])
    def test_everything_fits_the_width(self, new_page: NewPage, locale: str, width: int) -> None:
        phone = PHONE | {"viewport": {"width": width, "height": 740}}
        page = new_page(locale=locale, expected=("404",), **phone)
        say_about(page, "2", "like")
        widths = {}
        for address in ("/", "/top", "/item/2", "/search?q=night", "/reactions", "/status", "/none"):
            page.goto(address)
            widths[address] = page.evaluate("document.scrollingElement.scrollWidth")
        assert set(widths.values()) == {width}, widths
        page.goto("/")
        hide, card = button(cards(page).first, "hide").bounding_box(), cards(page).first.bounding_box()
        assert hide is not None
        assert card is not None
        assert hide["x"] + hide["width"] <= card["x"] + card["width"]

    def test_a_tap_changes_the_list(self, new_page: NewPage) -> None:
        page = new_page(**PHONE)
        page.goto("/")
        item = listed(page)[0]
        button(cards(page).first, "like").tap()
        wait_for_new_list(page, item)


class TestKeyboard:
    def test_the_whole_demo_without_a_mouse(self, page: Page) -> None:
        page.goto("/")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("k")
        expect(cards(page).first.get_by_role("link")).to_be_focused()
        item = listed(page)[0]
        page.keyboard.press("l")
        wait_for_new_list(page, item)
        expect(cards(page).first.get_by_role("link")).to_be_focused()
        page.keyboard.press("u")
        expect(page.get_by_role("status")).to_have_text(f"Taken back: {FILMS[item].title}.")
        page.keyboard.press("/")
        expect(page.get_by_role("combobox")).to_be_focused()
        page.keyboard.type("l")
        expect(page.get_by_role("combobox")).to_have_value("l")

    def test_shortcuts_are_listed_and_can_be_switched_off(self, page: Page) -> None:
        page.goto("/item/2")
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.get_by_label("Shortcuts are on").uncheck()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        page.reload()
        page.keyboard.press("d")
        page.get_by_role("button", name="Keyboard shortcuts").click()
        page.get_by_label("Shortcuts are on").check()
        page.get_by_role("button", name="Close").click()
        expect(button(page.locator(".item"), "dislike")).to_have_attribute("aria-pressed", "false")
        page.keyboard.press("d")
        expect(button(page.locator(".item"), "dislike")).to_have_attribute("aria-pressed", "true")
        expect(page.get_by_role("status")).to_have_text("You dislike Nosferatu.")


def test_without_javascript_everything_works_in_full_pages(new_page: NewPage) -> None:
    page = new_page(java_script_enabled=False)
    page.goto("/item/2")
    button(page.locator(".item"), "like").click()
    expect(page.get_by_role("status")).to_have_text("You like Nosferatu.")
    expect(button(page.locator(".item"), "like")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("status")).to_have_text("Taken back: Nosferatu.")
    expect(button(page.locator(".item"), "like")).to_have_attribute("aria-pressed", "false")
    page.get_by_role("link", name="For you").click()
    expect(cards(page)).to_have_count(10)
