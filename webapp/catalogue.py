"""The films the demo knows: read from a CSV file in the format of MovieLens, searched in memory."""

from __future__ import annotations

import csv
import hashlib
import heapq
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import structlog

from recsys.contract import ID_PATTERN, MAX_ID_CHARS

log = structlog.get_logger()

SHIPPED: Final = Path(__file__).resolve().parent / "data" / "catalogue.csv"
REQUIRED: Final = ("movieId", "title", "genres")
OPTIONAL: Final = ("type", "description")
NO_GENRES: Final = "(no genres listed)"
MAX_TITLE_CHARS: Final = 300
MAX_DESCRIPTION_CHARS: Final = 2_000
WARNINGS_LOGGED: Final = 5

VALID_ID: Final = re.compile(ID_PATTERN)
YEAR: Final = re.compile(r"\s*\((\d{4})(?:\s*[-–]\s*(?:\d{4})?)?\)\s*$")  # noqa: RUF001  (MovieLens has both dashes)
ARTICLE_LAST: Final = re.compile(r"^(.+), (The|A|An|Le|La|Les|L'|Il|Der|Die|Das|El|Los)((?: \(.*\))?)$")


class CatalogueError(Exception):
    """The file is not a catalogue. The message says what is wrong with it."""


def is_id(value: str) -> bool:
    """Whether the services take it as an id of a user or item."""
    return len(value) <= MAX_ID_CHARS and VALID_ID.fullmatch(value) is not None


@dataclass(frozen=True)
class Film:
    id: str
    title: str  # without the year
    year: str = ""
    genres: tuple[str, ...] = ()
    type: str = ""
    description: str = ""
    known: bool = True  # False: the services know it, our catalogue does not

    @property
    def version(self) -> str:
        """Changes with everything that its poster shows."""
        shown = "\n".join((self.title, self.year, *self.genres))
        return hashlib.blake2b(shown.encode(), digest_size=4).hexdigest()


@dataclass
class Catalogue:
    films: dict[str, Film] = field(default_factory=dict)

    def film(self, item_id: str) -> Film:
        """A stand-in for an item that only the services know."""
        return self.films.get(item_id) or Film(item_id, f"#{item_id}", known=False)

    @cached_property
    def genres(self) -> list[str]:
        return sorted(self._genre_counts)

    @cached_property
    def genre_shares(self) -> Mapping[str, float]:
        """Share of the films that carry the genre."""
        return {genre: count / len(self.films) for genre, count in self._genre_counts.items()}

    @cached_property
    def _genre_counts(self) -> Counter[str]:
        return Counter(genre for film in self.films.values() for genre in film.genres)

    @cached_property
    def _searchable(self) -> list[tuple[str, Film]]:
        return [(_plain(f"{film.title} {film.year}"), film) for film in self.films.values()]

    def search(self, words: str, limit: int) -> list[Film]:
        """Films whose title and year hold every word, those that begin like the search first."""
        wanted = _plain(words)
        parts = wanted.split()
        if not parts:
            return []
        hits = ((title, film) for title, film in self._searchable if all(part in title for part in parts))
        best = heapq.nsmallest(limit, hits, key=lambda hit: (not hit[0].startswith(wanted), len(hit[0]), hit[0]))
        return [film for _, film in best]


def _plain(text: str) -> str:
    """Small letters, digits and single spaces: "Amélie!" is found as "amelie"."""
    letters = unicodedata.normalize(
        "NFKD", text.casefold().replace("'", "").replace("\N{RIGHT SINGLE QUOTATION MARK}", "")
    )
    return " ".join("".join(c if c.isalnum() else " " for c in letters if not unicodedata.combining(c)).split())


def read_catalogue(path: Path) -> Catalogue:
    """Raises CatalogueError; single rows that are broken are skipped with a warning."""
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise CatalogueError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CatalogueError(f"{path} is not UTF-8 text") from error
    rows = csv.reader(io.StringIO(content, newline=""))
    try:
        header = [name.strip() for name in next(rows, [])]
        if missing := [name for name in REQUIRED if name not in header]:
            raise CatalogueError(f"{path}, line 1: the header lacks {', '.join(missing)}")
        return _collect(path, header, ((rows.line_num, row) for row in rows if row))
    except csv.Error as error:
        raise CatalogueError(f"{path}, line {rows.line_num}: {error}") from error


def _collect(path: Path, header: Sequence[str], rows: Iterable[tuple[int, list[str]]]) -> Catalogue:
    catalogue = Catalogue()
    skipped = 0
    for line, row in rows:
        problem, film = _parse(header, row)
        if film is not None:
            catalogue.films[film.id] = film
            continue
        skipped += 1
        if skipped <= WARNINGS_LOGGED:
            log.warning("row skipped", path=str(path), line=line, problem=problem)
    if skipped > WARNINGS_LOGGED:
        log.warning("rows skipped", path=str(path), count=skipped)
    return catalogue


def _parse(header: Sequence[str], row: Sequence[str]) -> tuple[str, Film | None]:
    """A film, or why the row is none."""
    if len(row) != len(header):
        return f"{len(row)} fields instead of {len(header)}", None
    values = {name: value.strip() for name, value in zip(header, row, strict=True)}
    if not is_id(values["movieId"]):
        return f"movieId {values['movieId'][:40]!r} is not an id", None
    if "\n" in values["title"] or "\n" in values["genres"]:
        return "a line break within title or genres, perhaps an unclosed quotation mark", None
    title, year = split_title(values["title"])
    if not title:
        return "no title", None
    kind, description = (values.get(name, "") for name in OPTIONAL)
    genres = tuple(dict.fromkeys(split_genres(values["genres"])))
    return "", Film(values["movieId"], title, year, genres, kind, description[:MAX_DESCRIPTION_CHARS])


def split_title(text: str) -> tuple[str, str]:
    """``Matrix, The (1999)`` → ``("The Matrix", "1999")``; no year: empty."""
    match = YEAR.search(text)
    title = text[: match.start()] if match else text
    if article := ARTICLE_LAST.match(title):
        first = article[2] if article[2].endswith("'") else f"{article[2]} "
        title = f"{first}{article[1]}{article[3]}"
    return title[:MAX_TITLE_CHARS], match[1] if match else ""


def split_genres(text: str) -> Iterator[str]:
    if text != NO_GENRES:
        yield from (genre for part in text.split("|") if (genre := part.strip()[:100]))
