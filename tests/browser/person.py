"""What a person does on the pages, and sees."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

from recsys.settings import SHIPPED_CATALOGUE
from webapp.catalogue import read_catalogue

FILMS = read_catalogue(SHIPPED_CATALOGUE).films
PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 740},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}


def cards(page: Page) -> Locator:
    return page.locator(".cards .card")


def listed(page: Page) -> list[str]:
    """Ids of the films on the page, in order."""
    fields = page.locator(".cards [name=item_id]")
    return [str(field.get_attribute("value")) for field in fields.all()]


def button(place: Page | Locator, action: str) -> Locator:
    return place.locator(f'[data-react] [data-action="{action}"]')


def card_of(page: Page, item: str) -> Locator:
    return page.locator(".card").filter(has=page.locator(f'[data-react] [name=item_id][value="{item}"]'))


def react_to_first(page: Page, action: str) -> str:
    """Press a button of the first film of the list, wait for the new list, and return the film's id."""
    item = listed(page)[0]
    button(cards(page).first, action).click()
    wait_for_new_list(page, item)
    return item


def wait_for_new_list(page: Page, old: str) -> None:
    expect(page.locator(f'#recommended [name=item_id][value="{old}"]')).to_have_count(0)
    expect(cards(page)).to_have_count(10)


def say_about(page: Page, item: str, action: str) -> None:
    """On the film's own page."""
    page.goto(f"/item/{item}")
    own = button(page.locator(".item"), action)
    own.click()
    expect(own).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("status")).to_have_text(re.compile("."))


def of_genre(items: list[str], genre: str) -> int:
    return sum(genre in FILMS[item].genres for item in items)


def user_id(page: Page) -> str:
    return page.locator("footer .id").inner_text()
