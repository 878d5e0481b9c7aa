"""The files of the MovieLens data sets, in each of their packings; whatever is wrong with a line in one sentence."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    import polars as pl

LIKE_FROM: Final = 4.0  # stars; the scale's word for 4 is "good"
DISLIKE_UP_TO: Final = 3.0  # stars; what lies between is no opinion
NO_GENRES: Final = frozenset({"(no genres listed)", "unknown", ""})
LOWEST, HIGHEST = 0.5, 5.0  # stars
AGAIN: Final = "unpack the data set again"

GENRES_100K: Final = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
FIRST_FLAG: Final = 5  # of u.item: id, title, two dates and an address come before the flags

FIELDS: Final = ["userId", "movieId", "rating", "timestamp"]


class MovieLensError(Exception):
    """These are not the files of a data set. The message says what is wrong, and where."""


class Movie(NamedTuple):
    line: int
    id: str
    title: str
    genres: list[str]


class Flaw(NamedTuple):
    """A line that could not be read."""

    line: int
    problem: str


@dataclass(frozen=True)
class Layout:
    """One way in which MovieLens data sets are packed.

    separator: between the fields of a rating; movies: reads the movies file; header: first line, "" if there is none.
    """

    ratings_name: str
    movies_name: str
    separator: str
    movies: Callable[[Path], Iterator[Movie | Flaw]]
    header: str = ""

    @property
    def first_line(self) -> int:
        """Of the ratings."""
        return 2 if self.header else 1


def find_layout(folder: Path) -> Layout:
    """The packing of which ``folder`` has both files. MovieLensError if there is none or it is not complete."""
    if not folder.is_dir():
        raise MovieLensError(f"{folder} is not a folder: give the folder of an unpacked MovieLens data set.")
    for layout in LAYOUTS:
        missing = [n for n in (layout.ratings_name, layout.movies_name) if not (folder / n).is_file()]
        if len(missing) == 1:
            raise MovieLensError(f"{folder} has no {missing[0]}: {AGAIN}, both files belong together.")
        if not missing:
            return layout
    pairs = ", ".join(f"{layout.ratings_name} and {layout.movies_name}" for layout in LAYOUTS)
    raise MovieLensError(f"{folder} is not a MovieLens data set: it needs one of the pairs {pairs}.")


def movies_layout(path: Path) -> Layout | None:
    """The packing that has a movies file of this name; None for one that is no movies file of MovieLens."""
    return next((layout for layout in LAYOUTS if layout.movies_name == path.name), None)


def movies_file(folder: Path) -> Path | None:
    """The movies file in a folder, whether the ratings are there or not; None if there is none."""
    return next((path for layout in LAYOUTS if (path := folder / layout.movies_name).is_file()), None)


def scan_ratings(path: Path, layout: Layout, ids: Any) -> pl.LazyFrame:
    """Each line of a ratings file: line, userId and movieId of the type ``ids``, rating, timestamp as text, and good.

    What cannot be read is null and not good. Copies without timestamps are fine. MovieLensError for another header,
    or a first line, where there is no header, with another number of fields.
    """
    import polars as pl  # here, because who only reads movies shall not have to load it

    names = _field_names(path, layout)
    types = {"userId": ids, "movieId": ids, "rating": pl.Float32, "timestamp": pl.String}
    lines = pl.scan_csv(
        path,
        has_header=layout.header != "",
        separator=layout.separator[0],
        schema=_schema(names, types, layout.separator),
        quote_char=None,
        ignore_errors=True,
        truncate_ragged_lines=True,
        encoding="utf8-lossy",
        raise_if_empty=False,
        row_index_name="line",
        row_index_offset=layout.first_line,
    )
    good = pl.all_horizontal(pl.col(names).is_not_null()) & pl.col("rating").is_between(LOWEST, HIGHEST)
    if "timestamp" not in names:
        lines = lines.with_columns(timestamp=pl.lit(None, pl.String))
    return lines.with_columns(good=good.fill_null(False))


def _field_names(path: Path, layout: Layout) -> list[str]:
    if not layout.header:
        return FIELDS
    header = line_of(path, 1)
    if header not in (",".join(FIELDS), ",".join(FIELDS[:3])):
        raise MovieLensError(f"{path}, line 1: the header is {header[:80]!r} instead of {layout.header!r}; {AGAIN}.")
    return header.split(",")


def _schema(names: Sequence[str], types: dict[str, Any], separator: str) -> dict[str, Any]:
    """A two-character separator counts as two separators with an empty field between them."""
    schema: dict[str, Any] = {}
    for name in names:
        if schema and len(separator) == 2:
            schema[f"before {name}"] = types["timestamp"]
        schema[name] = types[name]
    return schema


def flaw_of_rating(path: Path, layout: Layout, line: int) -> Flaw:
    """What is wrong with a line of a ratings file that is not good."""
    names = _field_names(path, layout)
    text = line_of(path, line)
    fields = text.split(layout.separator)
    if not text.strip():
        return Flaw(line, "the line is empty; delete it")
    if len(fields) < len(names) or "" in fields[: len(names)]:
        return Flaw(line, f"the line is cut off, it should hold {', '.join(names)}; {AGAIN}")
    for name, field in zip(names[:2], fields[:2], strict=True):
        if not is_number(field):
            return Flaw(line, f"the {name} is {field[:80]!r} instead of a whole number below 2**31; {AGAIN}")
    if line == 1 and len(fields) > len(names):
        return Flaw(line, f"the line has {len(fields)} fields instead of {len(names)}; {AGAIN}")
    stars = f"a number from {LOWEST:g} to {HIGHEST:g}"
    return Flaw(line, f"the rating is {fields[2][:80]!r} instead of {stars}; {AGAIN}")


def is_number(field: str) -> bool:
    """Whether it is an id as MovieLens has them."""
    return field.isascii() and field.isdecimal() and len(field) <= 10 and int(field) < 2**31


def line_of(path: Path, number: int) -> str:
    """Line ``number`` from 1, without its end; "" after the last."""
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        return next(islice(lines, number - 1, None), "").rstrip("\r\n")


def _csv_movies(path: Path) -> Iterator[Movie | Flaw]:
    """movieId,title,genres with titles in quotes where they hold a comma; genres separated by "|"."""
    rows = _csv_rows(path)
    if (header := next(rows, (1, []))[1]) != (expected := ["movieId", "title", "genres"]):
        found = ",".join(header)[:80]
        raise MovieLensError(f"{path}, line 1: the header is {found!r} instead of {','.join(expected)!r}; {AGAIN}.")
    for line, row in rows:
        yield _movie(line, row, 3, lambda row: row[2].split("|"))


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """With the number of the line where each begins: a title may hold a line break."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as text:
        rows, line = csv.reader(text), 1
        try:
            for row in rows:
                yield line, row
                line = rows.line_num + 1
        except csv.Error as error:
            problem = f"{error}, as after a quote that is never closed; {AGAIN}"
            raise MovieLensError(f"{path}, line {line}: {problem}.") from error


def _dat_movies(path: Path) -> Iterator[Movie | Flaw]:
    """movieId::title::genres"""
    for line, fields in _split_lines(path, "::"):
        yield _movie(line, fields, 3, lambda fields: fields[2].split("|"))


def _item_movies(path: Path) -> Iterator[Movie | Flaw]:
    """movie id|title|date|date|address|one flag per genre, the genres named by ``u.genre`` if there is such a file."""
    names = _genres_100k(path.with_name("u.genre"))

    def flagged(fields: list[str]) -> list[str]:
        flags = fields[FIRST_FLAG : FIRST_FLAG + len(names)]
        return [name for name, flag in zip(names, flags, strict=True) if flag == "1"]

    for line, fields in _split_lines(path, "|"):
        yield _movie(line, fields, FIRST_FLAG + len(names), flagged)


def _genres_100k(path: Path) -> Sequence[str]:
    """From lines "name|number"."""
    if not path.is_file():
        return GENRES_100K
    lines = path.read_text(encoding="latin-1").splitlines()
    return [line.split("|")[0] for line in lines if line.strip()]


def _split_lines(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    with path.open(encoding=_encoding(path)) as lines:
        for line, text in enumerate(lines, 1):
            yield line, text.rstrip("\r\n").split(separator)


def _encoding(path: Path) -> str:
    """10M is UTF-8, the older sets are Latin-1."""
    try:
        path.read_bytes().decode()
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _movie(line: int, fields: list[str], expected: int, genres: Callable[[list[str]], list[str]]) -> Movie | Flaw:
    if len(fields) < expected:
        return Flaw(line, f"the line is cut off, it has {len(fields)} of {expected} fields; {AGAIN}")
    if not is_number(fields[0]):
        return Flaw(line, f"the movie id is {fields[0][:80]!r} instead of a whole number below 2**31; {AGAIN}")
    named = [genre for genre in genres(fields) if genre not in NO_GENRES]
    return Movie(line, fields[0], fields[1].strip(), named)


LAYOUTS: Final = (
    Layout("ratings.csv", "movies.csv", ",", _csv_movies, header=",".join(FIELDS)),  # latest-small, 20M, 25M
    Layout("ratings.dat", "movies.dat", "::", _dat_movies),  # 1M, 10M
    Layout("u.data", "u.item", "\t", _item_movies),  # 100K
)
