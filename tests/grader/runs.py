"""Finished runs made by hand, row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from grader.run import INTERACT, RECS, Run
from grader.worlds.world import World
from tests.grader import definitions
from tests.grader.worlds import likes_in

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "visit": pl.Int32,
    "user": pl.Int32,
    "kind": pl.String,
    "number": pl.Int32,
    "due_s": pl.Float64,
    "sent_s": pl.Float64,
    "done_s": pl.Float64,
    "status": pl.Int16,
    "problem": pl.String,
    "returned": pl.Int16,
    "unknown": pl.Int16,
    "repeated": pl.Int16,
    "items": pl.List(pl.Int32),
    "fresh": pl.List(pl.Boolean),
    "hits": pl.List(pl.Boolean),
    "relevant": pl.Int32,
    "remaining": pl.Int32,
    "sources": pl.List(pl.String),
    "likes": pl.Int16,
    "dislikes": pl.Int16,
}
FACTS: Mapping[str, Any] = {"settings": {"seed": 0}, "ladder": [], "lag": None, "ended_early": False}
Row = dict[str, Any]


def asked(user: int, items: Sequence[int], **changes: Any) -> Row:
    """A list, answered at once with as many ids as it holds items."""
    returned = sum(item != -1 for item in items)
    return request(RECS, user, **{"items": list(items), "returned": returned} | changes)


def told(user: int, **changes: Any) -> Row:
    """A reaction, accepted at once."""
    return request(INTERACT, user, **changes)


def request(kind: str, user: int, **changes: Any) -> Row:
    empty: Row = {name: [] if isinstance(dtype, pl.List) else 0 for name, dtype in SCHEMA.items()}
    return empty | {"kind": kind, "user": user, "status": 200, "problem": "", "done_s": 0.01} | changes


def run_of(world: World, rows: Sequence[Row], **facts: Any) -> Run:
    """``rows`` in the order in which they were sent; what the lists were worth is filled in."""
    lists = [row for row in rows if row["kind"] == RECS]
    users, items = [row["user"] for row in lists], [row["items"] for row in lists]
    for row, judged in zip(lists, definitions.judged(likes_in(world), users, items), strict=True):
        row.update(judged._asdict())
    return Run({**FACTS, **facts}, world.catalogue, pl.DataFrame(rows, schema=SCHEMA))
