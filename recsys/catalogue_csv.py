"""Catalogue files in the formats of MovieLens, as the launcher sends them to the services and the demo shows them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Generic, TypeVar

from recsys.limits import MAX_GENRE_CHARS, MAX_GENRES_PER_ITEM, is_id
from recsys.movielens import Flaw, Layout, movies_file, movies_layout

COLUMNS: Final = ("movieId", "title", "genres")
MOVIES: Final = "movies.csv"  # of a folder of MovieLens, if it has no other
NO_GENRES: Final = "(no genres listed)"
T = TypeVar("T")


class CatalogueError(Exception):
    """The file is not a catalogue. The message says what is wrong with it."""


@dataclass(frozen=True)
class Item:
    id: str
    title: str  # never empty
    genres: tuple[str, ...]  # no repeats
    columns: Mapping[str, str]  # all of the row, by name


@dataclass(frozen=True)
class Skipped:
    """A row that could not be used."""

    line: int
    problem: str


@dataclass
class Table(Generic[T]):
    rows: list[T] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def catalogue_file(path: Path) -> Path:
    """``path``, or the movies file in a folder of MovieLens, whatever its packing."""
    return movies_file(path) or path / MOVIES if path.is_dir() else path


def read_items(path: Path) -> Table[Item]:
    """Of a CSV file, or of movies.dat or u.item of MovieLens; of several rows with one id the last counts.

    CatalogueError for a file that is no catalogue.
    """
    layout = movies_layout(path)
    table = read_table(path, COLUMNS, _item) if layout is None or layout.header else _read_movies(path, layout)
    return Table(list({item.id: item for item in table.rows}.values()), table.skipped)


def read_table(path: Path, columns: Sequence[str], parse: Callable[[Mapping[str, str]], T]) -> Table[T]:
    """What ``parse`` makes of each row, by column; a row for which it raises ValueError is skipped.

    CatalogueError for a file that cannot be read, is not UTF-8 text or lacks one of the ``columns``.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise CatalogueError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise CatalogueError(f"{path}, line {line}: this is not UTF-8 text.") from error
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip() for name in next(rows, [])]
        if missing := [name for name in columns if name not in header]:
            found = ",".join(header) or "nothing"
            raise CatalogueError(f"{path}, line 1: the header lacks {', '.join(missing)}; found {found}.")
        return _collect(header, ((rows.line_num, row) for row in rows if row), parse)
    except csv.Error as error:
        raise CatalogueError(f"{path}, line {rows.line_num}: {error}.") from error


def _collect(
    header: Sequence[str], rows: Iterable[tuple[int, list[str]]], parse: Callable[[Mapping[str, str]], T]
) -> Table[T]:
    table: Table[T] = Table()
    for line, row in rows:
        try:
            if len(row) != len(header):
                raise ValueError(f"{len(row)} fields instead of {len(header)}")
            table.rows.append(parse({name: value.strip() for name, value in zip(header, row, strict=True)}))
        except ValueError as problem:
            table.skipped.append(Skipped(line, str(problem)))
    return table


def _read_movies(path: Path, layout: Layout) -> Table[Item]:
    table: Table[Item] = Table()
    try:
        for movie in layout.movies(path):
            if isinstance(movie, Flaw):
                table.skipped.append(Skipped(movie.line, movie.problem))
                continue
            columns = (movie.id, movie.title, "|".join(movie.genres))
            try:
                table.rows.append(_item(dict(zip(COLUMNS, columns, strict=True))))
            except ValueError as problem:
                table.skipped.append(Skipped(movie.line, str(problem)))
    except OSError as error:
        raise CatalogueError(f"{path} cannot be read: {error.strerror}.") from error
    return table


def _item(columns: Mapping[str, str]) -> Item:
    item, title, listed = (columns[name] for name in COLUMNS)
    if not is_id(item):
        raise ValueError(f"movieId {item[:40]!r} is not an id")
    if "\n" in title or "\n" in listed:
        raise ValueError("a line break within title or genres, perhaps an unclosed quotation mark")
    if not title:
        raise ValueError("no title")
    genres = tuple(dict.fromkeys(_split(listed)))
    if any(len(genre) > MAX_GENRE_CHARS for genre in genres):
        raise ValueError(f"a genre longer than {MAX_GENRE_CHARS} characters")
    if len(genres) > MAX_GENRES_PER_ITEM:
        raise ValueError(f"more than {MAX_GENRES_PER_ITEM} genres")
    return Item(item, title, genres, columns)


def _split(listed: str) -> Iterator[str]:
    if listed != NO_GENRES:
        yield from (genre for part in listed.split("|") if (genre := part.strip()))
