"""The catalogue that a system without items is filled with; ``python -m recsys.launch.seed URL`` does it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote

import typer

from recsys.catalogue_csv import CatalogueError, Item, Skipped, catalogue_file, read_items
from recsys.launch.errors import LaunchError, UsageError
from recsys.launch.http import NoAnswer, request
from recsys.settings import SHIPPED_CATALOGUE

ITEMS_PER_CALL: Final = 5_000
QUERY_S: Final = 5.0
SEND_S: Final = 30.0


@dataclass(frozen=True)
class Catalogue:
    path: Path
    items: Sequence[Item]
    skipped: Sequence[Skipped] = field(default_factory=list)

    def calls(self) -> Iterator[dict[str, object]]:
        """Bodies of ``POST /add_items``."""
        for start in range(0, len(self.items), ITEMS_PER_CALL):
            part = self.items[start : start + ITEMS_PER_CALL]
            yield {"item_ids": [item.id for item in part], "genres": [list(item.genres) for item in part]}


def read_catalogue(path: Path) -> Catalogue:
    """Of a CSV file, or of a folder of MovieLens. UsageError for a file that is not a catalogue."""
    path = catalogue_file(path)
    try:
        read = read_items(path)
    except CatalogueError as error:
        raise UsageError(str(error)) from error
    return Catalogue(path, read.rows, read.skipped)


def seed(url: str, catalogue: Catalogue) -> str:
    """Send the catalogue unless the service at ``url`` has items. Returns what was done; raises LaunchError."""
    try:
        if held := _items(url):
            if held == len(catalogue.items) and _knows_ends_of(url, catalogue):
                return f"already holds {held} items"
            return (
                f"already holds {held} items, others than {catalogue.path.name}. To replace them and all that was "
                f"learned: curl -X POST {url}/cleanup, then start again. To keep them: another --data-dir, and with a "
                "REDIS_URL another KEY_PREFIX too."
            )
        for body in catalogue.calls():
            _expect_ok("POST /add_items", *request("POST", f"{url}/add_items", timeout_s=SEND_S, body=body))
    except NoAnswer as error:
        raise LaunchError(str(error)) from error
    return f"filled with {len(catalogue.items)} items"


def _knows_ends_of(url: str, catalogue: Catalogue) -> bool:
    """Whether the service knows the first and last item."""
    ends = (catalogue.items[0], catalogue.items[-1])
    answers = [request("GET", f"{url}/similar/{quote(item.id, safe='')}", timeout_s=QUERY_S) for item in ends]
    return all(status != 404 for status, _ in answers)


def _items(url: str) -> int:
    body = _expect_ok("GET /catalogue", *request("GET", f"{url}/catalogue", timeout_s=QUERY_S))
    try:
        return int(json.loads(body)["items"])
    except (ValueError, KeyError, TypeError) as error:
        raise LaunchError(f"GET /catalogue answered something else than a number of items: {body[:300]!r}") from error


def _expect_ok(call: str, status: int, body: bytes) -> bytes:
    if status != 200:
        raise LaunchError(f"{call} answered {status}: {body[:300].decode(errors='replace')}")
    return body


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def main(
    url: Annotated[str, typer.Argument(help="of the recommendations service")],
    catalogue: Annotated[Path, typer.Option(envvar="CATALOGUE", help="as for run_all.sh")] = SHIPPED_CATALOGUE,
) -> None:
    """Send the catalogue to a service that has no items yet."""
    try:
        typer.echo(f"Catalogue: {seed(url.rstrip('/'), read_catalogue(catalogue))}")
    except LaunchError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from error


if __name__ == "__main__":
    app()
