"""The demo catalogue: read from a CSV file in the format of MovieLens, sent to a system that has no items yet."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from recsys.launch.errors import LaunchError, UsageError
from recsys.launch.http import NoAnswer, request

if TYPE_CHECKING:
    from _csv import Reader

COLUMNS: Final = ("movieId", "title", "genres")
NO_GENRES: Final = "(no genres listed)"
# The ids that the contract allows, without the import of its whole module.
VALID_ID: Final = re.compile(r"[!-.0-~]{1,256}")
MAX_GENRE_CHARS: Final = 100
ITEMS_PER_CALL: Final = 5_000
QUERY_S: Final = 5.0
SEND_S: Final = 30.0


@dataclass
class Catalogue:
    item_ids: list[str] = field(default_factory=list)
    genres: list[list[str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)  # one per row that was skipped

    def calls(self) -> Iterator[dict[str, object]]:
        """Bodies of ``POST /add_items``."""
        for start in range(0, len(self.item_ids), ITEMS_PER_CALL):
            part = slice(start, start + ITEMS_PER_CALL)
            yield {"item_ids": self.item_ids[part], "genres": self.genres[part]}


def read_catalogue(path: Path) -> Catalogue:
    """Of a CSV file, or of ``movies.csv`` in a folder of MovieLens.

    Raises UsageError for a file that is not a catalogue; single rows that are broken are skipped with a warning.
    """
    if path.is_dir():
        path = path / "movies.csv"
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}, line {line}: this is not UTF-8 text.") from error
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        return _parse(path, rows)
    except csv.Error as error:
        raise UsageError(f"{path}, line {rows.line_num}: {error}.") from error


def _parse(path: Path, rows: Reader) -> Catalogue:
    header = next(rows, [])
    if missing := [column for column in COLUMNS if column not in header]:
        raise UsageError(
            f"{path}, line 1: the header lacks {', '.join(missing)}; found {','.join(header) or 'nothing'}."
        )
    columns = [header.index(column) for column in COLUMNS]
    catalogue = Catalogue()
    for row in rows:
        if not row:
            continue
        problem = f"{len(row)} fields instead of {len(header)}" if len(row) != len(header) else ""
        if not problem:
            item, title, genres = (row[column].strip() for column in columns)
            problem = _problem(item, title, genres)
        if problem:
            catalogue.warnings.append(f"{path}, line {rows.line_num}: {problem}; row skipped.")
            continue
        catalogue.item_ids.append(item)
        catalogue.genres.append(split_genres(genres))
    return catalogue


def _problem(item: str, title: str, genres: str) -> str:
    """Why the row cannot be an item; empty if it can."""
    if not VALID_ID.fullmatch(item):
        return f"movieId {item[:40]!r} is not an id"
    if "\n" in title or "\n" in genres:
        return "a line break within title or genres, perhaps an unclosed quotation mark"
    if any(len(genre) > MAX_GENRE_CHARS for genre in split_genres(genres)):
        return f"a genre longer than {MAX_GENRE_CHARS} characters"
    return ""


def split_genres(text: str) -> list[str]:
    if text == NO_GENRES:
        return []
    return [genre for part in text.split("|") if (genre := part.strip())]


def seed(url: str, catalogue: Catalogue) -> str:
    """Send the catalogue unless the service at ``url`` has items. Returns what was done; raises LaunchError."""
    try:
        if items := _items(url):
            return f"already holds {items} items"
        for body in catalogue.calls():
            _expect_ok("POST /add_items", *request("POST", f"{url}/add_items", timeout_s=SEND_S, body=body))
    except NoAnswer as error:
        raise LaunchError(str(error)) from error
    return f"filled with {len(catalogue.item_ids)} items"


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
