"""The files of the MovieLens data sets as arrays; whatever is wrong with them in one sentence with file and line."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, NoReturn

import numpy as np
import polars as pl

from grader.errors import GraderError
from grader.worlds.genres import GENRE_SHARES
from grader.worlds.world import Bools, Floats, Ints, Longs

NO_GENRES: Final = frozenset({"(no genres listed)", "unknown", ""})
LOWEST, HIGHEST = 0.5, 5.0  # stars
AGAIN: Final = "unpack the data set again"

GENRES_100K: Final = ("unknown", *GENRE_SHARES)
FIRST_FLAG: Final = 5  # of u.item: id, title, two dates and an address come before the flags

FIELDS: Final = ["userId", "movieId", "rating", "timestamp"]
# Some copies have damaged timestamps, so they are text.
TYPES: Final = {"userId": pl.Int32, "movieId": pl.Int32, "rating": pl.Float32, "timestamp": pl.String}

Movie = tuple[int, str, list[str]]  # line number, id, genres by name


@dataclass(frozen=True)
class Layout:
    """One way in which MovieLens data sets are packed.

    separator: between the fields of a rating; movies: reads the movies file; header: first line, "" if there is none.
    """

    ratings_name: str
    movies_name: str
    separator: str
    movies: Callable[[Path], Iterator[Movie]]
    header: str = ""


@dataclass(frozen=True)
class Catalogue:
    """ids (items,) ascending as the files have them; genres (items, len(genre_names)); names in alphabetical order."""

    ids: Longs
    genre_names: list[str]
    genres: Bools


@dataclass(frozen=True)
class Ratings:
    """Columns of the ratings file, (ratings,) each: ids as the file has them, stars from 0.5 to 5; row 0 is on line
    ``first_line``."""

    path: Path
    users: Ints
    movies: Ints
    stars: Floats
    first_line: int


def fail(path: Path, line: int, problem: str) -> NoReturn:
    raise GraderError(f"{path}, line {line}: {problem}.")


def find_layout(folder: Path) -> Layout:
    """The packing of which ``folder`` has at least one file. GraderError if there is none or it is not complete."""
    if not folder.is_dir():
        raise GraderError(f"{folder} is not a folder: give the folder of an unpacked MovieLens data set.")
    for layout in LAYOUTS:
        missing = [n for n in (layout.ratings_name, layout.movies_name) if not (folder / n).is_file()]
        if len(missing) == 1:
            raise GraderError(f"{folder} has no {missing[0]}: {AGAIN}, both files belong together.")
        if not missing:
            return layout
    pairs = ", ".join(f"{layout.ratings_name} and {layout.movies_name}" for layout in LAYOUTS)
    raise GraderError(f"{folder} is not a MovieLens data set: it needs one of the pairs {pairs}.")


def read_catalogue(folder: Path, layout: Layout) -> Catalogue:
    """Every movie of the movies file. GraderError with the line that is cut off, has no number or repeats one."""
    path = folder / layout.movies_name
    found: dict[int, list[str]] = {}
    for line, movie, genres in layout.movies(path):
        if not _is_id(movie):
            fail(path, line, f"the movie id is {movie[:80]!r} instead of a whole number below 2**31; {AGAIN}")
        if int(movie) in found:
            fail(path, line, f"movie {movie} is there a second time; delete one of its lines")
        found[int(movie)] = [g for g in genres if g not in NO_GENRES]
    if not found:
        raise GraderError(f"{path} has no movies: {AGAIN}.")
    ids = np.array(sorted(found), dtype=np.int64)
    names = sorted({g for genres in found.values() for g in genres})
    flags = np.array([[name in found[i] for name in names] for i in ids.tolist()], dtype=np.bool_)
    return Catalogue(ids, names, flags.reshape(len(ids), len(names)))


def read_ratings(folder: Path, layout: Layout) -> Ratings:
    """Users, movies and stars of the ratings file; what the timestamp says does not matter.

    Reads 25 million lines in a few seconds. GraderError with the first line that is cut off or has a field that is
    not a number, and if there is no rating at all.
    """
    path = folder / layout.ratings_name
    first_line = 2 if layout.header else 1
    names = _field_names(path, layout)
    lines = pl.scan_csv(
        path,
        has_header=layout.header != "",
        separator=layout.separator[0],
        schema=_schema(names, layout.separator),
        quote_char=None,
        ignore_errors=True,  # a field that cannot be read is null; its line is named below
        truncate_ragged_lines=True,
        encoding="utf8-lossy",
        raise_if_empty=False,
    )
    good = pl.all_horizontal(pl.col(names).is_not_null()) & pl.col("rating").is_between(LOWEST, HIGHEST)
    try:
        read = lines.select("userId", "movieId", "rating", good=good.fill_null(False)).collect(engine="streaming")
    except pl.exceptions.SchemaError:  # a first line, where there is no header, with another number of fields
        _explain(path, layout, names, first_line)
    if not read.height:
        raise GraderError(f"{path} has no ratings: {AGAIN}.")
    if not read["good"].all():
        _explain(path, layout, names, first_line + int((~read["good"]).arg_max() or 0))
    users, movies, stars = (read[name].to_numpy() for name in ("userId", "movieId", "rating"))
    return Ratings(path, users, movies, stars, first_line)


def _field_names(path: Path, layout: Layout) -> list[str]:
    """Of a rating. Copies without timestamps are fine: nothing here needs them."""
    if not layout.header:
        return FIELDS
    header = _line(path, 1)
    if header not in (",".join(FIELDS), ",".join(FIELDS[:3])):
        fail(path, 1, f"the header is {header[:80]!r} instead of {layout.header!r}; {AGAIN}")
    return header.split(",")


def _schema(names: list[str], separator: str) -> dict[str, type[pl.DataType]]:
    """A two-character separator counts as two separators with an empty field between them."""
    schema: dict[str, type[pl.DataType]] = {}
    for name in names:
        if schema and len(separator) == 2:
            schema[f"before {name}"] = pl.String
        schema[name] = TYPES[name]
    return schema


def _explain(path: Path, layout: Layout, names: list[str], line: int) -> NoReturn:
    """Says what is wrong with a line that could not be read."""
    text = _line(path, line)
    fields = text.split(layout.separator)
    if not text.strip():
        fail(path, line, "the line is empty; delete it")
    if len(fields) < len(names) or "" in fields[: len(names)]:
        fail(path, line, f"the line is cut off, it should hold {', '.join(names)}; {AGAIN}")
    for name, field in zip(names[:2], fields[:2], strict=True):
        if not _is_id(field):
            fail(path, line, f"the {name} is {field[:80]!r} instead of a whole number below 2**31; {AGAIN}")
    if line == 1 and len(fields) > len(names):
        fail(path, line, f"the line has {len(fields)} fields instead of {len(names)}; {AGAIN}")
    fail(path, line, f"the rating is {fields[2][:80]!r} instead of a number from {LOWEST:g} to {HIGHEST:g}; {AGAIN}")


def _is_id(field: str) -> bool:
    return field.isascii() and field.isdecimal() and len(field) <= 10 and int(field) < 2**31


def _line(path: Path, number: int) -> str:
    """Line ``number`` from 1, without its end; "" after the last."""
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        return next(islice(lines, number - 1, None), "").rstrip("\r\n")


def _csv_movies(path: Path) -> Iterator[Movie]:
    """movieId,title,genres with titles in quotes where they hold a comma; genres separated by "|"."""
    rows = _csv_rows(path)
    if (header := next(rows, (1, []))[1]) != (expected := ["movieId", "title", "genres"]):
        fail(path, 1, f"the header is {','.join(header)[:80]!r} instead of {','.join(expected)!r}; {AGAIN}")
    for line, row in rows:
        yield line, row[0] if row else "", _fields(path, line, row, 3)[2].split("|")


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """With the number of the line where each begins: a title may hold a line break."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as text:
        rows, line = csv.reader(text), 1
        try:
            for row in rows:
                yield line, row
                line = rows.line_num + 1
        except csv.Error as error:
            fail(path, line, f"{error}, as after a quote that is never closed; {AGAIN}")


def _dat_movies(path: Path) -> Iterator[Movie]:
    """movieId::title::genres"""
    for line, fields in _split_lines(path, "::", 3):
        yield line, fields[0], fields[2].split("|")


def _item_movies(path: Path) -> Iterator[Movie]:
    """movie id|title|date|date|address|one flag per genre, the genres named by ``u.genre`` if there is such a file."""
    names = _genres_100k(path.with_name("u.genre"))
    for line, fields in _split_lines(path, "|", FIRST_FLAG + len(names)):
        flags = fields[FIRST_FLAG : FIRST_FLAG + len(names)]
        yield line, fields[0], [name for name, flag in zip(names, flags, strict=True) if flag == "1"]


def _genres_100k(path: Path) -> Sequence[str]:
    """From lines "name|number"."""
    if not path.is_file():
        return GENRES_100K
    lines = path.read_text(encoding="latin-1").splitlines()
    return [line.split("|")[0] for line in lines if line.strip()]


def _split_lines(path: Path, separator: str, expected: int) -> Iterator[tuple[int, list[str]]]:
    with path.open(encoding="latin-1") as lines:
        for line, text in enumerate(lines, 1):
            yield line, _fields(path, line, text.rstrip("\r\n").split(separator), expected)


def _fields(path: Path, line: int, fields: list[str], expected: int) -> list[str]:
    if len(fields) < expected:
        fail(path, line, f"the line is cut off, it has {len(fields)} of {expected} fields; {AGAIN}")
    return fields


LAYOUTS: Final = (
    Layout("ratings.csv", "movies.csv", ",", _csv_movies, header=",".join(FIELDS)),  # latest-small, 20M, 25M
    Layout("ratings.dat", "movies.dat", "::", _dat_movies),  # 1M, 10M
    Layout("u.data", "u.item", "\t", _item_movies),  # 100K
)
