"""From broker messages to rows of the event log, and from rows to their effects. Pure: no store, no clock."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any, Final, get_args

import polars as pl
from pydantic import ValidationError

from recsys.contract import (
    EVENT_SCHEMA,
    IMPRESSION_TOPIC,
    Action,
    Impressions,
    Interaction,
    Slate,
    believable,
    stamped,
)
from recsys.stores.ports import Delivery
from recsys.user_state import DTYPE, MARKS

# Far more events than the broker can have in flight, so that whatever it delivers twice is recognised.
REMEMBERED_EVENTS: Final = 200_000


class RecentIds:
    """The ids of the latest events written to the log, for dropping redeliveries."""

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict.fromkeys(ids)

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._ids

    def add(self, ids: Iterable[str]) -> None:
        self._ids.update(zip(ids, repeat(None)))
        while len(self._ids) > REMEMBERED_EVENTS:
            self._ids.popitem(last=False)


@dataclass(frozen=True)
class Rejected:
    """A message that is not of the contract; it is set aside, never retried."""

    delivery: Delivery
    reason: str


@dataclass
class Decoded:
    """What a batch of messages holds, by epoch, without repeats."""

    events: dict[int, list[Interaction | Slate]] = field(default_factory=lambda: defaultdict(list))
    ids: list[str] = field(default_factory=list)
    duplicates: int = 0
    rejected: list[Rejected] = field(default_factory=list)


def decode(deliveries: Sequence[Delivery], recent: RecentIds, *, epoch: int, now: float) -> Decoded:
    """Parse and deduplicate. Messages without stamps count as of this epoch and moment; none is of a later epoch."""
    decoded = Decoded()
    batch_ids: set[str] = set()
    for delivery in deliveries:
        try:
            message_epoch, events = _parse(delivery, epoch, now)
        except ValidationError as error:
            decoded.rejected.append(Rejected(delivery, str(error)))
            continue
        for event in events:
            if event.event_id in batch_ids or event.event_id in recent:
                decoded.duplicates += 1
                continue
            batch_ids.add(event.event_id)
            decoded.ids.append(event.event_id)
            decoded.events[min(message_epoch, epoch)].append(event)
    return decoded


def _parse(delivery: Delivery, epoch: int, now: float) -> tuple[int, Sequence[Interaction | Slate]]:
    if delivery.topic == IMPRESSION_TOPIC:
        impressions = Impressions.model_validate_json(delivery.body)
        return impressions.epoch, [_received(slate, now) for slate in impressions.slates]
    interaction = Interaction.model_validate_json(delivery.body)
    interaction = stamped(interaction, delivery.body, epoch=epoch, now=now)
    return interaction.epoch, [interaction]


def _received(slate: Slate, now: float) -> Slate:
    return slate if believable(slate.received_at, now) else slate.model_copy(update={"received_at": now})


def rows_of(events: Iterable[Interaction | Slate], index: dict[str, int]) -> pl.DataFrame:
    """One row of EVENT_SCHEMA for each item of each event, in order. ``index`` is the catalogue's."""
    columns: dict[str, list[Any]] = {name: [] for name in EVENT_SCHEMA if name != "item_index"}
    for event in events:
        n = len(event.item_ids)
        if isinstance(event, Interaction):
            columns["kind"] += event.actions
            columns["source"] += [""] * n
            columns["timestamp"] += [event.timestamp] * n
        else:
            columns["kind"] += ["impression"] * n
            columns["source"] += event.sources
            columns["timestamp"] += [None] * n
        columns["event_id"] += [event.event_id] * n
        columns["user_id"] += [event.user_id] * n
        columns["item_id"] += event.item_ids
        columns["position"] += range(n)
        columns["undone_at"] += [None] * n
        columns["received_at"] += [event.received_at] * n
    columns["item_index"] = list(map(index.get, columns["item_id"], repeat(-1)))
    return pl.DataFrame({name: columns[name] for name in EVENT_SCHEMA}, schema=EVENT_SCHEMA)


def earlier_reactions(rows: pl.DataFrame) -> pl.Expr | None:
    """What of the log ``with_undone`` has to see; None if the rows hold no undo."""
    undos = rows.filter(pl.col("kind") == "undo")
    if undos.is_empty():
        return None
    known = {name: undos[name].unique().to_list() for name in ("user_id", "item_id")}
    same = pl.all_horizontal(pl.col(name).is_in(values) for name, values in known.items())
    return same & (pl.col("kind") != "impression")


def with_undone(rows: pl.DataFrame, earlier: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """The rows with every undo completed by what it takes back, as one row for each such reaction.

    That is everything the user said about the item since the last undo, in ``earlier`` rows of the log or before it
    in these.
    """
    said: defaultdict[tuple[str, str], list[tuple[str, float | None]]] = defaultdict(list)
    completed: list[dict[str, Any]] = []
    for row in chain.from_iterable(frame.iter_rows(named=True) for frame in earlier):
        _follow(said, row)
    for row in rows.iter_rows(named=True):
        taken_back = _follow(said, row)
        completed += [row | {"source": kind, "undone_at": at} for kind, at in taken_back] or [row]
    return pl.DataFrame(completed, schema=EVENT_SCHEMA)


def _follow(
    said: defaultdict[tuple[str, str], list[tuple[str, float | None]]], row: dict[str, Any]
) -> list[tuple[str, float | None]]:
    """Note what the row says. Returns what it takes back."""
    pair = (row["user_id"], row["item_id"])
    if row["kind"] == "undo":
        return said.pop(pair, [])
    if row["kind"] != "impression":
        said[pair].append((row["kind"], row["received_at"]))
    return []


def counters_of(rows: pl.DataFrame) -> dict[str, int]:
    """What the rows add to the counters of the ledger; an undo takes away what its reaction added."""
    kinds = rows["kind"]
    undone = rows.filter(kinds == "undo")["source"] if (kinds == "undo").any() else kinds.clear()
    return {
        "likes": int((kinds == "like").sum()) - int((undone == "like").sum()),
        "dislikes": int((kinds == "dislike").sum()) - int((undone == "dislike").sum()),
        "impressions": int((kinds == "impression").sum()),
        "unknown_items": int((rows["item_index"] < 0).sum()),
    }


REACTIONS: Final = get_args(Action)
EVERYTHING: Final = tuple(MARKS)


def codes_of(rows: pl.DataFrame, kinds: Sequence[str] = REACTIONS) -> dict[str, bytes]:
    """What the rows append to each user's state. What was shown is already there while the system runs."""
    known = rows.filter(pl.col("kind").is_in(list(kinds)) & (pl.col("item_index") >= 0))
    marks = known["kind"].replace_strict(MARKS, return_dtype=pl.UInt32).to_numpy()
    packed = (known["item_index"].to_numpy().astype(DTYPE) << 2 | marks).astype(DTYPE).tobytes()
    codes: defaultdict[str, bytes] = defaultdict(bytes)
    for place, user in enumerate(known["user_id"].to_list()):
        codes[user] += packed[4 * place : 4 * place + 4]
    return dict(codes)


def last_event_ids(frames_newest_first: Iterable[pl.DataFrame]) -> list[str]:
    """Up to REMEMBERED_EVENTS distinct ids from the end of a log, oldest first."""
    found: dict[str, None] = {}
    for frame in frames_newest_first:
        found.update(dict.fromkeys(reversed(frame["event_id"].to_list())))
        if len(found) >= REMEMBERED_EVENTS:
            break
    return list(found)[:REMEMBERED_EVENTS][::-1]
