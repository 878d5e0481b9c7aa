"""``python -m load_tests.webapp_figures --url http://localhost:8000``: how quick and how light a running web app is.

Needs requirements-dev.txt and Debian's chromium. The people it invents really like films there.
"""

from __future__ import annotations

import http.client
import time
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import numpy as np
import typer
from playwright.sync_api import Browser, Error, Response, sync_playwright

LIKES_PER_PERSON: Final = 10
# From the press of the button to the first frame that shows the new list.
LIKE_FIRST_FILM: Final = """
() => new Promise((resolve) => {
  const began = performance.now();
  const list = document.getElementById("recommended");
  new MutationObserver((_, observer) => {
    observer.disconnect();
    requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - began)));
  }).observe(list, { childList: true });
  list.querySelector('[data-action="like"]').click();
})
"""
TALL: Final = {"width": 1280, "height": 4000}  # so that no picture is left for later

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def measure(
    url: Annotated[str, typer.Option(help="Of the web app.")] = "http://localhost:8000",
    likes: Annotated[int, typer.Option(min=1)] = 100,
    requests: Annotated[int, typer.Option(min=1)] = 300,
    chromium: Annotated[Path, typer.Option()] = Path("/usr/bin/chromium"),
) -> None:
    """From like to changed list, weight of a page, time to first byte."""
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page_bytes, resources = weight(browser, url)
            changes = like_films(browser, url, likes)
            browser.close()
    except Error as error:
        typer.echo(f"Not measured: {error.message.splitlines()[0]}. Is the web app at {url}, and is {chromium} there?")
        raise typer.Exit(2) from error
    bytes_at = first_bytes(url, requests)
    print(f"like → changed list, {likes} likes: {quantiles(changes)}")
    print(f"For you with its {resources} resources: {page_bytes / 1000:.0f} KB, uncompressed")
    print(f"For you, time to first byte, {requests} requests: {quantiles(bytes_at)}")


def like_films(browser: Browser, url: str, likes: int) -> list[float]:
    """Milliseconds of each."""
    took: list[float] = []
    while len(took) < likes:
        page = browser.new_page()
        page.goto(url)
        took += [page.evaluate(LIKE_FIRST_FILM) for _ in range(min(LIKES_PER_PERSON, likes - len(took)))]
        page.close()
    return took


def weight(browser: Browser, url: str) -> tuple[int, int]:
    """Bytes of the page and everything it loads, and the number of the latter."""
    found: list[Response] = []
    page = browser.new_page(viewport=TALL)  # type: ignore[arg-type]
    page.on("response", lambda response: found.append(response))
    page.goto(url, wait_until="networkidle")
    sizes = [len(response.body()) for response in found]
    page.close()
    return sum(sizes), len(sizes) - 1


def first_bytes(url: str, requests: int) -> list[float]:
    """Milliseconds until the answer begins, on one connection, after ten requests that are not counted."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port)
    took: list[float] = []
    cookie = ""
    for _ in range(10 + requests):
        began = time.perf_counter()
        connection.request("GET", "/", headers={"Cookie": cookie})
        answer = connection.getresponse()
        took.append((time.perf_counter() - began) * 1000)
        answer.read()
        cookie = cookie or (answer.headers["Set-Cookie"] or "").partition(";")[0]
    connection.close()
    return took[10:]


def quantiles(milliseconds: list[float]) -> str:
    p50, p95 = np.quantile(milliseconds, [0.5, 0.95])
    return f"p50 {p50:.0f} ms, p95 {p95:.0f} ms, longest {max(milliseconds):.0f} ms"


if __name__ == "__main__":
    app()
