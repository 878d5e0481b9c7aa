"""The films the demo knows: read from a CSV file in the format of MovieLens, searched in memory."""

from __future__ import annotations

import hashlib
import heapq
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final, TypeVar

import structlog

from recsys.catalogue_csv import Item, Table, catalogue_file, read_items, read_table

log = structlog.get_logger()
T = TypeVar("T")

OPTIONAL: Final = ("type", "description", "title_ru", "description_ru")
LINKS: Final = "links.csv"  # of a folder of MovieLens
LINK_COLUMNS: Final = ("movieId", "imdbId")
VALID_IMDB: Final = re.compile(r"[0-9]{1,10}")
MAX_TITLE_CHARS: Final = 300
MAX_DESCRIPTION_CHARS: Final = 2_000
WARNINGS_LOGGED: Final = 5

YEAR: Final = re.compile(r"\s*\((\d{4})(?:\s*[-–]\s*(?:\d{4})?)?\)\s*$")  # noqa: RUF001  (MovieLens has both dashes)
ARTICLE_LAST: Final = re.compile(r"^(.+), (The|A|An|Le|La|Les|L'|Il|Der|Die|Das|El|Los)((?: \(.*\))?)$")


@dataclass(frozen=True)
class Film:
    id: str
    title: str  # without the year
    year: str = ""
    genres: tuple[str, ...] = ()
    type: str = ""
    description: str = ""
    title_ru: str = ""
    description_ru: str = ""
    imdb: str = ""  # digits of its number there
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
        return [(_plain(f"{film.title} {film.year} {film.title_ru}"), film) for film in self.films.values()]

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
    """Of a CSV file, or of a folder of MovieLens; with links to IMDb if ``links.csv`` lies beside it.

    Raises CatalogueError; single rows that are broken are skipped with a warning.
    """
    path = catalogue_file(path)
    catalogue = Catalogue({item.id: _film(item) for item in _rows(path, read_items(path))})
    if (links := path.with_name(LINKS)).exists():
        for item_id, imdb in _rows(links, read_table(links, LINK_COLUMNS, _link)):
            if (found := catalogue.films.get(item_id)) is not None:
                catalogue.films[item_id] = replace(found, imdb=imdb)
    return catalogue


def _rows(path: Path, table: Table[T]) -> list[T]:
    for row in table.skipped[:WARNINGS_LOGGED]:
        log.warning("row skipped", path=str(path), line=row.line, problem=row.problem)
    if len(table.skipped) > WARNINGS_LOGGED:
        log.warning("rows skipped", path=str(path), count=len(table.skipped))
    return table.rows


def _film(item: Item) -> Film:
    title, year = split_title(item.title)
    kind, description, title_ru, description_ru = (
        item.columns.get(name, "")[:MAX_DESCRIPTION_CHARS] for name in OPTIONAL
    )
    return Film(item.id, title, year, item.genres, kind, description, split_title(title_ru)[0], description_ru)


def _link(values: Mapping[str, str]) -> tuple[str, str]:
    if not VALID_IMDB.fullmatch(values["imdbId"]):
        raise ValueError(f"imdbId {values['imdbId'][:40]!r} is no number")
    return values["movieId"], values["imdbId"]


def split_title(text: str) -> tuple[str, str]:
    """``Matrix, The (1999)`` → ``("The Matrix", "1999")``; no year: empty. A year alone is the title as well."""
    match = YEAR.search(text)
    title = (text[: match.start()] if match else text) or text
    if article := ARTICLE_LAST.match(title):
        first = article[2] if article[2].endswith("'") else f"{article[2]} "
        title = f"{first}{article[1]}{article[3]}"
    return title[:MAX_TITLE_CHARS], match[1] if match else ""
