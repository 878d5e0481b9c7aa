"""The films the demo knows: read from a CSV file in the format of MovieLens, searched in memory."""

from __future__ import annotations

import csv
import hashlib
import heapq
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final, TypeVar

import structlog

from recsys.contract import ID_PATTERN, MAX_ID_CHARS

log = structlog.get_logger()
T = TypeVar("T")

SHIPPED: Final = Path(__file__).resolve().parent / "data" / "catalogue.csv"
REQUIRED: Final = ("movieId", "title", "genres")
OPTIONAL: Final = ("type", "description", "title_ru", "description_ru")
MOVIES, LINKS = "movies.csv", "links.csv"  # of a folder of MovieLens
VALID_IMDB: Final = re.compile(r"[0-9]{1,10}")
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
    if path.is_dir():
        path = path / MOVIES
    catalogue = Catalogue()
    for film in _read(path, REQUIRED, _film):
        catalogue.films[film.id] = film
    if (links := path.with_name(LINKS)).exists():
        for item_id, imdb in _read(links, ("movieId", "imdbId"), _link):
            if (found := catalogue.films.get(item_id)) is not None:
                catalogue.films[item_id] = replace(found, imdb=imdb)
    return catalogue


def _read(path: Path, columns: Sequence[str], parse: Callable[[Mapping[str, str]], T]) -> list[T]:
    """What ``parse`` makes of each row; a row for which it raises ValueError is skipped."""
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise CatalogueError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise CatalogueError(f"{path}, line {line}: this is not UTF-8 text") from error
    rows = csv.reader(io.StringIO(content, newline=""))
    try:
        header = [name.strip() for name in next(rows, [])]
        if missing := [name for name in columns if name not in header]:
            raise CatalogueError(f"{path}, line 1: the header lacks {', '.join(missing)}")
        return _collect(path, header, ((rows.line_num, row) for row in rows if row), parse)
    except csv.Error as error:
        raise CatalogueError(f"{path}, line {rows.line_num}: {error}") from error


def _collect(
    path: Path,
    header: Sequence[str],
    rows: Iterable[tuple[int, list[str]]],
    parse: Callable[[Mapping[str, str]], T],
) -> list[T]:
    found: list[T] = []
    skipped = 0
    for line, row in rows:
        try:
            if len(row) != len(header):
                raise ValueError(f"{len(row)} fields instead of {len(header)}")
            found.append(parse({name: value.strip() for name, value in zip(header, row, strict=True)}))
        except ValueError as problem:
            skipped += 1
            if skipped <= WARNINGS_LOGGED:
                log.warning("row skipped", path=str(path), line=line, problem=str(problem))
    if skipped > WARNINGS_LOGGED:
        log.warning("rows skipped", path=str(path), count=skipped)
    return found


def _film(values: Mapping[str, str]) -> Film:
    if not is_id(values["movieId"]):
        raise ValueError(f"movieId {values['movieId'][:40]!r} is not an id")
    if "\n" in values["title"] or "\n" in values["genres"]:
        raise ValueError("a line break within title or genres, perhaps an unclosed quotation mark")
    title, year = split_title(values["title"])
    if not title:
        raise ValueError("no title")
    kind, description, title_ru, description_ru = (values.get(name, "")[:MAX_DESCRIPTION_CHARS] for name in OPTIONAL)
    genres = tuple(dict.fromkeys(split_genres(values["genres"])))
    return Film(values["movieId"], title, year, genres, kind, description, split_title(title_ru)[0], description_ru)


def _link(values: Mapping[str, str]) -> tuple[str, str]:
    if not VALID_IMDB.fullmatch(values["imdbId"]):
        raise ValueError(f"imdbId {values['imdbId'][:40]!r} is no number")
    return values["movieId"], values["imdbId"]


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
