"""From broker messages to rows of the event log, and from rows to their effects. Pure: no store, no clock."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any, Final, get_args

import polars as pl
from pydantic import ValidationError

from recsys.contract import (
    HISTORY,
    IMPRESSION_TOPIC,
    Action,
    Impressions,
    Interaction,
    Slate,
    believable,
    of_history,
    stamped,
)
from recsys.schemas import EVENT_SCHEMA
from recsys.stores.ports import Delivery
from recsys.user_state import MARKS, encode, marks_of

# Of each epoch. What comes again was logged from the latest fetch: at most 10,000 messages, of 10 lists at most.
REMEMBERED_EVENTS: Final = 200_000
REMEMBERED_EPOCHS: Final = 4
# A batch closes at so many rows, whatever its messages hold: that bounds what one step keeps in memory.
BATCH_ROWS: Final = 250_000


class RecentIds:
    """The ids of the latest events in the logs of a few epochs, for dropping redeliveries.

    An epoch is known from when an event of it is asked for or added: ``logged`` gives the ids at the end of its log,
    oldest first. Of more than REMEMBERED_EPOCHS the one known longest is forgotten.
    """

    def __init__(self, logged: Callable[[int], Iterable[str]]) -> None:
        self._logged = logged
        self._known: OrderedDict[int, OrderedDict[str, None]] = OrderedDict()

    def knows(self, event_id: str, epoch: int) -> bool:
        """Whether the event was logged; an unstamped one may have been in an epoch before this one."""
        self.read(epoch)
        return any(event_id in ids for ids in self._known.values())

    def add(self, epoch: int, ids: Iterable[str]) -> None:
        known = self.read(epoch)
        known.update(zip(ids, repeat(None)))
        _keep_newest(known, REMEMBERED_EVENTS)

    def read(self, epoch: int) -> OrderedDict[str, None]:
        """The ids of an epoch, from its log if it is not known."""
        if epoch not in self._known:
            self._known[epoch] = OrderedDict.fromkeys(self._logged(epoch))
            _keep_newest(self._known, REMEMBERED_EPOCHS)
        return self._known[epoch]


def _keep_newest(entries: OrderedDict[Any, Any], size: int) -> None:
    while len(entries) > size:
        entries.popitem(last=False)


@dataclass(frozen=True)
class Rejected:
    """A message that is not of the contract; it is set aside, never retried."""

    delivery: Delivery
    reason: str


@dataclass
class Decoded:
    """What a batch of messages holds, by epoch, without repeats."""

    messages: int = 0  # of the deliveries, from the first on; the others did not fit in
    rows: int = 0  # with repeats
    events: dict[int, list[Interaction | Slate]] = field(default_factory=lambda: defaultdict(list))
    duplicates: int = 0
    rejected: list[Rejected] = field(default_factory=list)


def decode(deliveries: Sequence[Delivery], recent: RecentIds, *, epoch: int, now: float) -> Decoded:
    """Parse and deduplicate, up to BATCH_ROWS.

    Messages without stamps count as of this epoch and moment; none is of a later epoch.
    """
    decoded = Decoded()
    batch_ids: set[str] = set()
    for delivery in deliveries:
        if decoded.rows >= BATCH_ROWS:
            break
        decoded.messages += 1
        try:
            message_epoch, events = _parse(delivery, epoch, now)
        except ValidationError as error:
            decoded.rejected.append(Rejected(delivery, str(error)))
            continue
        event_epoch = min(message_epoch, epoch)
        for event in events:
            decoded.rows += len(event.item_ids)
            if event.event_id in batch_ids or recent.knows(event.event_id, event_epoch):
                decoded.duplicates += 1
                continue
            batch_ids.add(event.event_id)
            decoded.events[event_epoch].append(event)
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


Said = defaultdict[tuple[str, str], list[dict[str, Any]]]  # the reactions of a user to an item, as rows


def with_undone(rows: pl.DataFrame, earlier: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """The rows with every undo completed by what it takes back, as one row for each such reaction.

    That is everything the user said about the item since the last undo, in ``earlier`` rows of the log or before it
    in these. Its row has the item's index of then: what had no effect because the item was unknown has none to lose.
    """
    said: Said = defaultdict(list)
    completed: list[dict[str, Any]] = []
    for row in chain.from_iterable(frame.iter_rows(named=True) for frame in earlier):
        _follow(said, row)
    for row in rows.iter_rows(named=True):
        taken_back = _follow(said, row)
        completed += [row | _takes_back(reaction) for reaction in taken_back] or [row]
    return pl.DataFrame(completed, schema=EVENT_SCHEMA)


def _takes_back(reaction: dict[str, Any]) -> dict[str, Any]:
    kind = reaction["kind"]
    return {
        "item_index": reaction["item_index"],
        "source": of_history(kind) if reaction["source"] == HISTORY else kind,
        "undone_at": reaction["received_at"],
    }


def _follow(said: Said, row: dict[str, Any]) -> list[dict[str, Any]]:
    """Note what the row says. Returns the reactions it takes back."""
    pair = (row["user_id"], row["item_id"])
    if row["kind"] == "undo":
        return said.pop(pair, [])
    if row["kind"] != "impression":
        said[pair].append(row)
    return []


def counters_of(rows: pl.DataFrame) -> dict[str, int]:
    """What the rows add to the counters of the ledger; an undo takes away what its reaction added."""
    kinds = rows["kind"]
    undone = rows.filter(kinds == "undo")["source"] if (kinds == "undo").any() else kinds.clear()
    return {
        "likes": int((kinds == "like").sum()) - _times("like", undone),
        "dislikes": int((kinds == "dislike").sum()) - _times("dislike", undone),
        "impressions": int((kinds == "impression").sum()),
        "unknown_items": int((rows["item_index"] < 0).sum()),
    }


def _times(kind: str, undone: pl.Series) -> int:
    return int(undone.is_in([kind, of_history(kind)]).sum())


REACTIONS: Final = get_args(Action)
EVERYTHING: Final = tuple(MARKS)


def codes_of(rows: pl.DataFrame, kinds: Sequence[str] = REACTIONS) -> dict[str, bytes]:
    """What the rows append to each user's state. What was shown is already there while the system runs."""
    known = rows.filter(pl.col("kind").is_in(list(kinds)) & (pl.col("item_index") >= 0))
    packed = encode(known["item_index"].to_numpy(), marks_of(known["kind"]))
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
