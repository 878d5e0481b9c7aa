"""Messages and log rows in bulk, as collector, recommendations and pipeline would have made them."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import polars as pl

from recsys.schemas import EVENT_SCHEMA

USERS: Final = 18_000
K: Final = 10
LIKE_SHARE: Final = 0.1
# Of the rows of a log, as with the grader: 52 lists and 36 reactions to lists a second, one reaction in ten a like.
KINDS: Final = ("like", "dislike", "impression")
KIND_SHARES: Final = (0.04, 0.37, 0.59)
SOURCES: Final = ("bandit", "explore")
RANKED: Final = 7  # of the ten of a list
ROWS_PER_S: Final = 880.0  # of the grader's traffic


def interactions(epoch: int, messages: int, items: int) -> Iterator[bytes]:
    """Messages of the collector: ten reactions each."""
    rng = random.Random(2)
    for _ in range(messages):
        message = _stamped(rng, items) | {"epoch": epoch, "timestamp": time.time()}
        actions = ["like" if rng.random() < LIKE_SHARE else "dislike" for _ in range(K)]
        yield json.dumps(message | {"actions": actions}).encode()


def impressions(epoch: int, messages: int, slates: int, items: int) -> Iterator[bytes]:
    """Messages of a recommendations worker: this many lists of ten each."""
    rng = random.Random(3)
    sources = [SOURCES[0]] * RANKED + [SOURCES[1]] * (K - RANKED)
    for _ in range(messages):
        lists = [_stamped(rng, items) | {"sources": sources} for _ in range(slates)]
        yield json.dumps({"epoch": epoch, "slates": lists}).encode()


def _stamped(rng: random.Random, items: int) -> dict[str, Any]:
    return {
        "event_id": uuid.uuid4().hex,
        "received_at": time.time(),
        "user_id": f"user-{rng.randrange(USERS)}",
        "item_ids": [str(item) for item in rng.sample(range(items), K)],
    }


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
            "source": np.where(seen, np.where(np.arange(rows) % K < RANKED, *SOURCES), ""),
            "received_at": received,
            "timestamp": pl.Series(np.where(seen, np.nan, received)).fill_nan(None),
            "undone_at": None,
        }
    ).cast(EVENT_SCHEMA)
