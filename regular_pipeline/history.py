"""Ratings from before this system, on their way into the log: from a file to rows, each of which is logged once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from recsys.contract import EVENT_SCHEMA, HISTORY
from recsys.limits import ID_PATTERN, MAX_ID_CHARS
from recsys.movielens import (
    DISLIKE_UP_TO,
    LIKE_FROM,
    Layout,
    MovieLensError,
    find_layout,
    flaw_of_rating,
    line_of,
    scan_ratings,
)

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
    except (OSError, pl.exceptions.PolarsError) as error:
        raise HistoryError(f"{path} cannot be read: {error}") from error


def _of_movielens(path: Path, layout: Layout, like_from: float, dislike_up_to: float) -> History:
    lines = scan_ratings(path, layout, pl.String)
    columns = lines.select(
        "line",
        user_id="userId",
        item_id="movieId",
        kind=_kind(pl.col("rating"), like_from, dislike_up_to),
        timestamp=pl.col("timestamp").cast(pl.Float64, strict=False),
        good=pl.col("good") & _is_id("userId") & _is_id("movieId"),
    )
    return _history(columns, lambda line: flaw_of_rating(path, layout, line).problem)


def _of_csv(path: Path, like_from: float, dislike_up_to: float) -> History:
    header = [name.strip() for name in line_of(path, 1).split(",")]
    missing = [name for name in ("user_id", "item_id") if name not in header]
    if missing or not {"action", "rating"} & set(header):
        needed = "user_id, item_id, action or rating, and perhaps timestamp"
        raise HistoryError(f"{path}, line 1: the header must name {needed}; found {','.join(header)[:80] or 'nothing'}")
    schema: Any = dict.fromkeys(header, pl.String)
    lines = pl.scan_csv(
        path, schema=schema, ignore_errors=True, truncate_ragged_lines=True, row_index_name="line", row_index_offset=2
    )
    said = "action" if "action" in header else "rating"
    number = pl.col("rating").cast(pl.Float64, strict=False)
    action: pl.Expr = pl.when(pl.col("action").is_in(ACTIONS)).then(pl.col("action"))
    kind = action if said == "action" else _kind(number, like_from, dislike_up_to)
    timed = "timestamp" in header
    timestamp = pl.col("timestamp").cast(pl.Float64, strict=False) if timed else pl.lit(None, pl.Float64)
    columns = lines.select(
        "line",
        "user_id",
        "item_id",
        kind=kind,
        timestamp=timestamp,
        good=_is_id("user_id") & _is_id("item_id") & kind.is_not_null(),
    )

    def problem(line: int) -> str:
        fields = dict(zip(header, line_of(path, line).split(","), strict=False))
        for name in ("user_id", "item_id"):
            if not _fits(fields.get(name, "")):
                return f"{name} {fields.get(name, '')[:40]!r} is no id"
        wanted = f"one of {', '.join(ACTIONS)}" if said == "action" else "a number"
        return f"{said} {fields.get(said, '')[:40]!r} is not {wanted}"

    return _history(columns, problem)


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


def _fits(value: str) -> bool:
    return bool(pl.select(pl.lit(value).alias("x")).select(_is_id("x")).item())


def _history(lines: pl.LazyFrame, problem: Callable[[int], str]) -> History:
    read = lines.collect(engine="streaming")
    bad = read.filter(~pl.col("good"))["line"]
    good = read.filter("good")
    events = good.filter(pl.col("kind") != NEUTRAL).select("user_id", "item_id", "kind", "timestamp")
    flaws = [(line, problem(line)) for line in bad.head(FLAWS_TOLD).to_list()]
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
