"""Every page on desktop and phone, light and dark: accessible, no wider than the screen, and fit to be shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage, take_picture
from tests.browser.person import PHONE, button, cards, listed, say_about, wait_for_new_list

SERIOUS = {"serious", "critical"}
SCREENS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 860}},
    "phone": PHONE,
}
LIKED = ("92", "287", "176")


@dataclass(frozen=True)
class Shown:
    address: str
    prepare: Callable[[Page], None] = lambda page: None


def suggest(page: Page) -> None:
    page.get_by_role("combobox").press_sequentially("the g")
    expect(page.get_by_role("option").first).to_be_visible()
    page.get_by_role("combobox").press("ArrowDown")


def open_keys(page: Page) -> None:
    page.locator("#help").click()
    expect(page.get_by_role("dialog")).to_be_visible()


def react(page: Page) -> None:
    item = listed(page)[0]
    button(cards(page).first, "like").click()
    wait_for_new_list(page, item)
    expect(page.locator("#notice")).to_have_css("visibility", "visible")


PAGES = {
    "for-you": Shown("/"),
    "noted": Shown("/", react),
    "top": Shown("/top?genre=Sci-Fi"),
    "item": Shown("/item/176"),
    "search": Shown("/search?q=night"),
    "suggestions": Shown("/reactions", suggest),
    "reactions": Shown("/reactions"),
    "keys": Shown("/status", open_keys),
    "status": Shown("/status"),  # the second look, so that it knows a rate
    "not-found": Shown("/none"),
}


def findings(page: Page) -> list[str]:
    """What axe finds serious, with the elements."""
    violations = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{violation['id']}: {node['target']} {node.get('failureSummary', '')}"
        for violation in violations
        if violation["impact"] in SERIOUS
        for node in violation["nodes"]
    ]


def test_a_fault_would_be_found(page: Page) -> None:
    page.goto("/search")
    page.evaluate("document.querySelector('main').append(document.createElement('button'))")
    assert any(finding.startswith("button-name") for finding in findings(page))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_every_page(new_page: NewPage, screen: str, scheme: str) -> None:
    page = new_page(color_scheme=scheme, reduced_motion="reduce", expected=("404",), **SCREENS[screen])
    for item in LIKED:
        say_about(page, item, "like")
    say_about(page, "2", "dislike")
    say_about(page, "10", "hide")
    found = {}
    for name, shown in PAGES.items():
        page.goto(shown.address)
        shown.prepare(page)
        page.wait_for_function("[...document.images].every((image) => image.complete || image.loading === 'lazy')")
        take_picture(page, f"{name}-{screen}-{scheme}")
        found[name] = findings(page)
        if page.evaluate("document.scrollingElement.scrollWidth") > SCREENS[screen]["viewport"]["width"]:
            found[name].append("wider than the screen")
    assert found == {name: [] for name in PAGES}


def test_russian_pages_are_accessible_too(new_page: NewPage) -> None:
    page = new_page(locale="ru-RU", reduced_motion="reduce", **SCREENS["desktop"])
    for address in ("/", "/top", "/status"):
        page.goto(address)
        assert findings(page) == []
    page.goto("/")
    take_picture(page, "for-you-russian")
    expect(page.locator(".reason").first).to_have_text(re.compile("[а-я]"))  # noqa: RUF001
