"""Ratings from before this system, on their way into the log: from a file to rows, each of which is logged once."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from recsys.contract import HISTORY
from recsys.limits import ID_PATTERN, MAX_ID_CHARS, is_id
from recsys.movielens import (
    DISLIKE_UP_TO,
    LIKE_FROM,
    Layout,
    MovieLensError,
    find_layout,
    flaw_of_rating,
    scan_ratings,
)
from recsys.schemas import EVENT_SCHEMA

ACTIONS: Final = ("like", "dislike", "hide")
NEUTRAL: Final = "neutral"
FLAWS_TOLD: Final = 10


class HistoryError(Exception):
    """The file is no history. The message says what is wrong with it."""


@dataclass(frozen=True)
class History:
    """``events``: user_id, item_id, kind and timestamp (Unix seconds or null), oldest first.

    ``neutral`` ratings lie between a dislike and a like; ``flaws`` are the first of the ``bad`` lines, and what is
    wrong with them.
    """

    events: pl.DataFrame
    neutral: int
    bad: int
    flaws: list[tuple[int, str]]


def read_history(path: Path, like_from: float = LIKE_FROM, dislike_up_to: float = DISLIKE_UP_TO) -> History:
    """Of a folder of MovieLens, or of a CSV with user_id, item_id, action or rating, and perhaps a timestamp.

    HistoryError for what is neither. Bad lines are left out and told.
    """
    try:
        if path.is_dir():
            layout = find_layout(path)
            return _of_movielens(path / layout.ratings_name, layout, like_from, dislike_up_to)
        return _of_csv(path, like_from, dislike_up_to)
    except MovieLensError as error:
        raise HistoryError(str(error)) from error
    except OSError as error:
        raise HistoryError(f"{path} cannot be read: {error.strerror or error}") from error
    except (csv.Error, pl.exceptions.PolarsError) as error:
        why = "a quote is never closed" if "not properly escaped" in str(error) else str(error).partition("\n")[0]
        raise HistoryError(f"{path} cannot be read: {why}") from error


def _of_movielens(path: Path, layout: Layout, like_from: float, dislike_up_to: float) -> History:
    lines = scan_ratings(path, layout, pl.String)
    columns = lines.select(
        "line",
        user_id="userId",
        item_id="movieId",
        kind=_kind(pl.col("rating"), like_from, dislike_up_to),
        timestamp=_number("timestamp"),
        good=pl.col("good") & _is_id("userId") & _is_id("movieId"),
    )
    try:
        return _history(columns, lambda lines: [flaw_of_rating(path, layout, line) for line in lines])
    except pl.exceptions.SchemaError:  # a first line, where there is no header, with another number of fields
        line, problem = flaw_of_rating(path, layout, layout.first_line)
        raise HistoryError(f"{path}, line {line}: {problem}") from None


def _of_csv(path: Path, like_from: float, dislike_up_to: float) -> History:
    names = _header(path)
    header = [name.strip() for name in names]
    said = "action" if "action" in header else "rating"
    schema: Any = dict.fromkeys(names, pl.String)
    lines = pl.scan_csv(
        path,
        schema=schema,
        ignore_errors=True,
        truncate_ragged_lines=True,
        encoding="utf8-lossy",
        row_index_name="line",
        row_index_offset=2,
    )
    lines = lines.rename(dict(zip(names, header, strict=True)))
    action = pl.when(pl.col("action").is_in(ACTIONS)).then(pl.col("action"))
    kind = action if said == "action" else _kind(_number("rating"), like_from, dislike_up_to)
    columns = lines.select(
        "line",
        "user_id",
        "item_id",
        kind=kind,
        timestamp=_number("timestamp") if "timestamp" in header else pl.lit(None, pl.Float64),
        good=_is_id("user_id") & _is_id("item_id") & kind.is_not_null(),
    )

    def problem(row: Sequence[str]) -> str:
        if not row:
            return "the line is empty"
        fields = dict(zip(header, row, strict=False))
        for name in ("user_id", "item_id"):
            if not is_id(fields.get(name, "")):
                return f"{name} {fields.get(name, '')[:40]!r} is no id"
        wanted = f"one of {', '.join(ACTIONS)}" if said == "action" else "a number"
        return f"{said} {fields.get(said, '')[:40]!r} is not {wanted}"

    return _history(columns, lambda rows: [(line, problem(row)) for line, row in _rows_of(path, rows)])


def _header(path: Path) -> list[str]:
    """Names of the columns, as they stand; HistoryError for names that are not those of a history."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="\n") as file:
        first = file.readline().rstrip("\r\n")
    names = next(csv.reader([first]), [])
    header = [name.strip() for name in names]
    found = f"{path}, line 1: the header must name user_id, item_id, action or rating, and perhaps timestamp; found"
    if not {"user_id", "item_id"} <= set(header) or not {"action", "rating"} & set(header):
        raise HistoryError(f"{found} {','.join(header)[:80] or 'nothing'}")
    if repeated := [name for name in header if header.count(name) > 1]:
        raise HistoryError(f"{found} {repeated[0]!r} twice")
    return names


def _rows_of(path: Path, wanted: Sequence[int]) -> list[tuple[int, list[str]]]:
    """The rows of these numbers, where the header is row 1, each with the line where it begins."""
    found: list[tuple[int, list[str]]] = []
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows, line = csv.reader(file), 1
        for number, row in enumerate(rows, 1):
            if number in wanted:
                found.append((line, row))
            if len(found) == len(wanted):
                break
            line = rows.line_num + 1
    return found


def _number(name: str) -> pl.Expr:
    """Null for what is no number."""
    number = pl.col(name).cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number)


def _kind(rating: pl.Expr, like_from: float, dislike_up_to: float) -> pl.Expr:
    """NEUTRAL for a rating that is neither a like nor a dislike; null for none."""
    return (
        pl.when(rating >= like_from)
        .then(pl.lit("like"))
        .when(rating <= dislike_up_to)
        .then(pl.lit("dislike"))
        .when(rating.is_not_null())
        .then(pl.lit(NEUTRAL))
    )


def _is_id(name: str) -> pl.Expr:
    column = pl.col(name)
    return (column.str.contains(ID_PATTERN) & (column.str.len_chars() <= MAX_ID_CHARS)).fill_null(False)


def _history(lines: pl.LazyFrame, flaws_of: Callable[[list[int]], Sequence[tuple[int, str]]]) -> History:
    read = lines.collect(engine="streaming")
    bad = read.filter(~pl.col("good"))["line"]
    good = read.filter("good")
    events = good.filter(pl.col("kind") != NEUTRAL).select("user_id", "item_id", "kind", "timestamp")
    flaws = [(line, problem) for line, problem in flaws_of(bad.head(FLAWS_TOLD).to_list())]
    return History(
        events.sort("timestamp", maintain_order=True, nulls_last=False), good.height - events.height, len(bad), flaws
    )


def unlogged(events: pl.DataFrame, log: pl.LazyFrame) -> pl.DataFrame:
    """Events with an event_id that is the same whenever the same is imported, without those that the log holds."""
    parts = [pl.col(name) for name in ("user_id", "item_id", "kind")]
    moment = pl.col("timestamp").cast(pl.String).fill_null("")
    named = events.with_columns(event_id=pl.concat_str([pl.lit(HISTORY), *parts, moment], separator=" "))
    logged = log.filter(pl.col("source") == HISTORY).select("event_id").collect(engine="streaming")
    return named.unique("event_id", keep="first", maintain_order=True).join(logged, on="event_id", how="anti")


def rows_of_history(events: pl.DataFrame, index: Mapping[str, int], received_at: float) -> pl.DataFrame:
    """Rows of EVENT_SCHEMA. ``index`` is the catalogue's. They count as of now, when they were received."""
    schema = {"item_id": pl.String, "item_index": pl.Int32}
    known = pl.DataFrame({"item_id": list(index), "item_index": list(index.values())}, schema=schema)
    rows = events.join(known, on="item_id", how="left", maintain_order="left").with_columns(
        pl.col("item_index").fill_null(-1),
        position=pl.lit(0),
        source=pl.lit(HISTORY),
        received_at=pl.lit(received_at),
        undone_at=None,
    )
    return rows.select(EVENT_SCHEMA.names()).cast(EVENT_SCHEMA)
