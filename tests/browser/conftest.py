"""Debian's Chromium in front of the whole system. Every page is watched: no error in its console, no other host."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.conftest import missing
from tests.servers import Service, System, free_port
from tests.webapp.conftest import system as system

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)  # 5 s unless told
NewPage = Callable[..., Page]


@pytest.fixture(scope="session")
def site(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    yield from web_app(system, tmp_path_factory.mktemp("site"))


def web_app(system: System, folder: Path, **more: str) -> Iterator[Service]:
    """The web app as a process of its own, with the shipped catalogue unless ``CATALOGUE`` says otherwise."""
    port = free_port()
    env = {**system.env, "WEBAPP_PORT": str(port), "DATA_DIR": str(folder), **more}
    app = Service("webapp", folder, "webapp", port, env)
    app.start()
    yield app
    app.stop()
    assert "Traceback" not in app.output


# Not for the whole session: while Playwright runs, no other test can have an event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        missing("chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-component-update", "--disable-sync"]
        )
        yield launched
        launched.close()


class Watch:
    """What must not happen on any page of a context. ``expected`` are parts of errors that a test provokes."""

    def __init__(self, context: BrowserContext, host: str) -> None:
        self.expected: list[str] = []
        self._host = host
        self._errors: list[str] = []
        self._strangers: list[str] = []
        context.on("console", lambda message: self._errors.append(message.text) if message.type == "error" else None)
        context.on("weberror", lambda failure: self._errors.append(str(failure.error)))
        context.on("request", lambda request: self._look_at(request.url))

    def _look_at(self, url: str) -> None:
        if urlsplit(url).netloc != self._host:
            self._strangers.append(url)

    def report(self) -> list[str]:
        errors = [error for error in self._errors if not any(part in error for part in self.expected)]
        return errors + self._strangers


@pytest.fixture
def new_page(browser: Browser, site: Service) -> Iterator[NewPage]:
    """Makes a page of somebody new; ``options`` are those of a browser context. Watched until the test ends."""
    opened: list[tuple[BrowserContext, Watch]] = []

    def make(base_url: str = site.url, expected: tuple[str, ...] = (), **options: object) -> Page:
        context = browser.new_context(base_url=base_url, **{"locale": "en-GB", **options})
        context.set_default_timeout(PATIENCE_MS)
        watch = Watch(context, urlsplit(base_url).netloc)
        watch.expected += expected
        opened.append((context, watch))
        return context.new_page()

    yield make
    for context, _ in opened:
        context.close()
    assert [watch.report() for _, watch in opened] == [[]] * len(opened)


@pytest.fixture
def page(new_page: NewPage) -> Page:
    return new_page()


def take_picture(page: Page, name: str) -> None:
    """Into the folder that the environment variable SCREENSHOTS names; without it none is taken."""
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        with Image.open(io.BytesIO(page.screenshot())) as picture:
            picture.convert("RGB").save(Path(folder) / f"{name}.png", optimize=True)
