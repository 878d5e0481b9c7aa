"""Messages and log rows in bulk, as collector, recommendations and pipeline would have made them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import polars as pl

from recsys.contract import EVENT_SCHEMA

USERS: Final = 18_000
K: Final = 10
LIKE_SHARE: Final = 0.1
# Of the rows of a log, as with the grader: 52 lists and 36 reactions to lists a second, one reaction in ten a like.
KINDS: Final = ("like", "dislike", "impression")
KIND_SHARES: Final = (0.04, 0.37, 0.59)
SOURCES: Final = ("ranked", "explore")
ROWS_PER_S: Final = 880.0  # of the grader's traffic


def interactions(epoch: int, messages: int, items: int) -> list[bytes]:
    """Messages of the collector: ten reactions each."""
    rng = np.random.default_rng(2)
    likes = rng.random((messages, K)) < LIKE_SHARE
    chosen = rng.integers(0, items, (messages, K)).astype(str)
    users = rng.integers(0, USERS, messages)
    return [
        json.dumps(
            _stamped(user)
            | {
                "epoch": epoch,
                "item_ids": ids.tolist(),
                "actions": np.where(liked, "like", "dislike").tolist(),
                "timestamp": time.time(),
            }
        ).encode()
        for user, ids, liked in zip(users, chosen, likes, strict=True)
    ]


def impressions(epoch: int, messages: int, slates: int, items: int) -> list[bytes]:
    """Messages of a recommendations worker: this many lists of ten each."""
    rng = np.random.default_rng(3)
    chosen = rng.integers(0, items, (messages, slates, K)).astype(str)
    users = rng.integers(0, USERS, (messages, slates))
    sources = [SOURCES[0]] * 7 + [SOURCES[1]] * 3
    return [
        json.dumps(
            {
                "epoch": epoch,
                "slates": [
                    _stamped(user) | {"item_ids": ids.tolist(), "sources": sources}
                    for user, ids in zip(users[number], chosen[number], strict=True)
                ],
            }
        ).encode()
        for number in range(messages)
    ]


def _stamped(user: int) -> dict[str, Any]:
    return {"event_id": uuid.uuid4().hex, "received_at": time.time(), "user_id": f"user-{user}"}


def log_rows(total: int, items: int, part_rows: int) -> Iterator[pl.DataFrame]:
    """The rows of an event log that ends now, part by part."""
    rng = np.random.default_rng(4)
    begun = time.time() - total / ROWS_PER_S
    for first in range(0, total, part_rows):
        rows = min(part_rows, total - first)
        yield _part(rng, rows, items, begun + first / ROWS_PER_S)


def _part(rng: np.random.Generator, rows: int, items: int, begun: float) -> pl.DataFrame:
    events = -(-rows // K)
    of_event = np.arange(rows) // K
    kinds = rng.choice(len(KINDS), events, p=KIND_SHARES)[of_event]
    index = rng.integers(0, items, rows).astype(np.int32)
    received = begun + np.sort(rng.random(events))[of_event] * rows / ROWS_PER_S
    seen = kinds == KINDS.index("impression")
    raw = rng.bytes(16 * events).hex()
    ids = np.array([raw[32 * i : 32 * i + 32] for i in range(events)])
    users = np.char.add("user-", rng.integers(0, USERS, events).astype(str))
    return pl.DataFrame(
        {
            "event_id": ids[of_event],
            "kind": np.array(KINDS)[kinds],
            "user_id": users[of_event],
            "item_id": index.astype(str),
            "item_index": index,
            "position": np.arange(rows) % K,
            "source": np.where(seen, np.where(np.arange(rows) % K < 7, *SOURCES), ""),
            "received_at": received,
            "timestamp": pl.Series(np.where(seen, np.nan, received)).fill_nan(None),
        }
    ).cast(EVENT_SCHEMA)
