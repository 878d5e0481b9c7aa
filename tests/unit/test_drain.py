"""From messages to rows, and from rows to their effects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommendations.impressions import MESSAGE_SLATES
from recsys.contract import IMPRESSION_TOPIC, INTERACT_TOPIC, MAX_CLOCK_SKEW_S, Interaction, Slate
from recsys.schemas import EVENT_SCHEMA
from recsys.settings import read_settings
from recsys.stores.ports import Delivery
from recsys.stores.rabbit_broker import PREFETCH
from recsys.user_state import DISLIKE, LIKE, MARKS, SHOWN, UNDO, encode
from regular_pipeline import drain
from regular_pipeline.drain import (
    EVERYTHING,
    REACTIONS,
    REMEMBERED_EVENTS,
    Decoded,
    RecentIds,
    codes_of,
    counters_of,
    decode,
    earlier_reactions,
    last_event_ids,
    rows_of,
    with_undone,
)

FAST = settings(deadline=None, max_examples=50)
EPOCH, NOW = 7, 1.7e9
FOREIGN = {"user_id": "u", "item_ids": ["a", "b"], "actions": ["like", "dislike"]}


def interaction(event_id: str, *, epoch: int = EPOCH, **fields: Any) -> Delivery:
    stamps = {"event_id": event_id, "epoch": epoch, "received_at": NOW - 1}
    return Delivery(INTERACT_TOPIC, json.dumps(FOREIGN | stamps | fields).encode(), event_id)


def foreign(**fields: Any) -> Delivery:
    return Delivery(INTERACT_TOPIC, json.dumps(FOREIGN | fields).encode(), "foreign")


def slate(event_id: str, **fields: Any) -> dict[str, Any]:
    shown = {"user_id": "u", "item_ids": ["a", "b"], "sources": ["ranked", "explore"], "received_at": NOW - 1}
    return {"event_id": event_id} | shown | fields


def impressions(*slates: dict[str, Any], epoch: int = EPOCH) -> Delivery:
    return Delivery(IMPRESSION_TOPIC, json.dumps({"epoch": epoch, "slates": slates}).encode(), "impressions")


def remembered(*ids: str, epoch: int = EPOCH) -> RecentIds:
    """A memory that found these ids at the end of an epoch's log, and nothing in other logs."""
    recent = RecentIds(lambda asked: ids if asked == epoch else ())
    recent.read(epoch)
    return recent


def decoded(*deliveries: Delivery, recent: RecentIds | None = None, now: float = NOW) -> Decoded:
    return decode(deliveries, recent or remembered(), epoch=EPOCH, now=now)


def ids_in(found: Decoded) -> list[str]:
    return [event.event_id for events in found.events.values() for event in events]


def event_rows(*rows: tuple[str, str, int]) -> pl.DataFrame:
    """Rows of (user, kind, item index)."""
    users, kinds, indices = ([row[part] for row in rows] for part in range(3))
    schema = {"user_id": pl.String, "kind": pl.String, "item_index": pl.Int32, "source": pl.String}
    empty = [""] * len(rows)
    return pl.DataFrame({"user_id": users, "kind": kinds, "item_index": indices, "source": empty}, schema=schema)


def logged(*rows: tuple[str, str, str], since: int = 0, index: int = 0) -> pl.DataFrame:
    """Rows of (user, kind, item), received one second after the other, all of this index."""
    schema = {name: EVENT_SCHEMA[name] for name in ("user_id", "kind", "item_id", "received_at")}
    told = [(*row, NOW + since + second) for second, row in enumerate(rows)]
    others = [pl.lit(None, dtype).alias(name) for name, dtype in EVENT_SCHEMA.items() if name not in schema]
    frame = pl.DataFrame(told, schema=schema, orient="row").with_columns(others)
    return frame.with_columns(item_index=pl.lit(index, pl.Int32)).select(EVENT_SCHEMA.names())


def undone_in(rows: pl.DataFrame, *log: pl.DataFrame) -> list[tuple[str, str, str | None, float | None]]:
    """What each undo takes back: (user, item, kind, seconds after NOW)."""
    wanted = earlier_reactions(rows)
    assert wanted is not None
    undos = with_undone(rows, [frame.filter(wanted) for frame in log]).filter(pl.col("kind") == "undo")
    found = undos.select("user_id", "item_id", "source", pl.col("undone_at") - NOW)
    return found.rows()


def frame_of(*ids: str) -> pl.DataFrame:
    return pl.DataFrame({"event_id": ids}, schema={"event_id": pl.String})


# decode


def test_nothing_decodes_to_nothing() -> None:
    assert decoded() == Decoded()


def test_events_keep_the_order_of_delivery() -> None:
    result = decoded(interaction("1"), impressions(slate("2"), slate("3")), interaction("4"))
    assert ids_in(result) == ["1", "2", "3", "4"]
    assert [type(event) for event in result.events[EPOCH]] == [Interaction, Slate, Slate, Interaction]


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (interaction("1"), interaction("1")),
        (interaction("1"), interaction("1", epoch=EPOCH - 1)),
        (impressions(slate("1")), impressions(slate("1"))),
        (foreign(), foreign()),
    ],
    ids=["interaction", "interaction of another epoch", "impressions", "foreign"],
)
def test_a_redelivery_counts_once(first: Delivery, again: Delivery) -> None:
    within = decoded(first, again)
    assert (len(ids_in(within)), within.duplicates) == (1, 1)

    across = decode([again], remembered(*ids_in(within)), epoch=EPOCH, now=NOW + 60)
    assert (dict(across.events), across.duplicates) == ({}, 1)


def test_new_slates_beside_a_repeated_one_count() -> None:
    result = decoded(impressions(slate("1"), slate("2"), slate("1")), impressions(slate("2"), slate("3")))
    assert (ids_in(result), result.duplicates) == (["1", "2", "3"], 2)


def test_decoding_alone_remembers_nothing() -> None:
    recent = remembered()
    assert [ids_in(decoded(interaction("1"), recent=recent)) for _ in range(2)] == [["1"], ["1"]]
    recent.add(EPOCH, ["1"])
    assert ids_in(decoded(interaction("1"), recent=recent)) == []


def test_foreign_messages_get_the_epoch_and_the_moment() -> None:
    (event,) = decoded(foreign()).events[EPOCH]
    assert isinstance(event, Interaction)
    assert (event.epoch, event.received_at) == (EPOCH, NOW)


def test_foreign_messages_are_told_apart_by_their_bytes() -> None:
    result = decoded(foreign(), foreign(timestamp=1), foreign(user_id="v"), foreign())
    assert (len(set(ids_in(result))), result.duplicates) == (3, 1)


@pytest.mark.parametrize(
    ("message_epoch", "event_epoch"), [(1, 1), (EPOCH - 1, EPOCH - 1), (EPOCH, EPOCH), (EPOCH + 1, EPOCH)]
)
@pytest.mark.parametrize("kind", ["interaction", "impressions"])
def test_no_event_is_of_a_later_epoch(kind: str, message_epoch: int, event_epoch: int) -> None:
    delivery = {
        "interaction": interaction("1", epoch=message_epoch),
        "impressions": impressions(slate("1"), epoch=message_epoch),
    }[kind]
    assert list(decoded(delivery).events) == [event_epoch]


def test_epochs_are_kept_apart() -> None:
    result = decoded(interaction("1", epoch=6), interaction("2"), interaction("3", epoch=6), foreign())
    found = {epoch: [event.event_id for event in events] for epoch, events in result.events.items()}
    assert found == {6: ["1", "3"], EPOCH: ["2", *ids_in(decoded(foreign()))]}


@pytest.mark.parametrize(
    ("topic", "body", "named"),
    [
        (INTERACT_TOPIC, b"", "JSON"),
        (INTERACT_TOPIC, b"\xff\xfe", "JSON"),
        (INTERACT_TOPIC, b"[" * 1_000, "JSON"),
        (INTERACT_TOPIC, b"[]", "object"),
        (INTERACT_TOPIC, foreign(actions=["like"]).body, "actions"),
        (INTERACT_TOPIC, foreign(user_id="a/b").body, "user_id"),
        (INTERACT_TOPIC, foreign(item_ids=["a", ""]).body, "item_ids.1"),
        (INTERACT_TOPIC, foreign(epoch="new").body, "epoch"),
        (INTERACT_TOPIC, foreign(received_at=float("nan")).body, "received_at"),
        (IMPRESSION_TOPIC, foreign().body, "slates"),
        (IMPRESSION_TOPIC, impressions(slate("1", sources=["ranked"])).body, "slates.0.sources"),
        (IMPRESSION_TOPIC, impressions(slate("1", received_at=float("inf"))).body, "slates.0.received_at"),
    ],
)
def test_a_rejected_message_is_named_and_stops_no_other(topic: str, body: bytes, named: str) -> None:
    bad = Delivery(topic, body, "bad")
    result = decoded(interaction("1"), bad, interaction("2"))
    assert ids_in(result) == ["1", "2"]
    (rejected,) = result.rejected
    assert rejected.delivery is bad
    assert named in rejected.reason


@pytest.mark.parametrize("received_at", [NOW + MAX_CLOCK_SKEW_S + 1, 1.7e12, 1e300])
@pytest.mark.parametrize("kind", ["interaction", "impressions"])
def test_an_event_received_in_the_future_is_not_believed(kind: str, received_at: float) -> None:
    delivery = {
        "interaction": interaction("1", received_at=received_at),
        "impressions": impressions(slate("1", received_at=received_at)),
    }[kind]
    (event,) = decoded(delivery).events[EPOCH]
    assert event.received_at == NOW


@pytest.mark.parametrize(
    ("limit", "messages"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (9, 4), (10, 4), (11, 5)]
)
def test_a_batch_closes_at_its_limit_of_rows(limit: int, messages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is in the rows: what came again would come again."""
    monkeypatch.setattr(drain, "BATCH_ROWS", limit)
    bad = Delivery(INTERACT_TOPIC, b"", "bad")
    fetched = [interaction("1"), impressions(slate("2")), impressions(slate("1"), slate("3")), interaction("4"), bad]
    result = decoded(*fetched)
    assert result.messages == messages
    assert ids_in(result) == ids_in(decoded(*fetched[:messages])) == ["1", "2", "3", "4"][: min(messages, 4)]
    assert len(result.rejected) == (messages == 5)


# rows


def test_every_item_of_an_event_becomes_a_row() -> None:
    events = decoded(interaction("1", timestamp=5.5), impressions(slate("2", user_id="v"))).events[EPOCH]
    rows = rows_of(events, {"b": 4})
    assert rows.schema == EVENT_SCHEMA
    assert rows.rows() == [
        ("1", "like", "u", "a", -1, 0, "", NOW - 1, 5.5, None),
        ("1", "dislike", "u", "b", 4, 1, "", NOW - 1, 5.5, None),
        ("2", "impression", "v", "a", -1, 0, "ranked", NOW - 1, None, None),
        ("2", "impression", "v", "b", 4, 1, "explore", NOW - 1, None, None),
    ]


@pytest.mark.parametrize("deliveries", [[], [interaction("1", item_ids=[], actions=[])]], ids=["none", "empty"])
def test_events_without_items_give_no_rows(deliveries: list[Delivery]) -> None:
    rows = rows_of(decoded(*deliveries).events[EPOCH], {})
    assert (rows.height, rows.schema) == (0, EVENT_SCHEMA)


def test_counters_tell_what_the_rows_add() -> None:
    rows = event_rows(*[("u", "like", 0)] * 3, ("u", "dislike", -1), *[("v", "impression", 2)] * 2)
    assert counters_of(rows) == {"likes": 3, "dislikes": 1, "impressions": 2, "unknown_items": 1}


def test_no_rows_have_no_effects() -> None:
    assert counters_of(event_rows()) == {"likes": 0, "dislikes": 0, "impressions": 0, "unknown_items": 0}
    assert codes_of(event_rows()) == {}


@FAST
@given(
    st.lists(st.tuples(st.sampled_from("uvw"), st.sampled_from(list(MARKS)), st.just(-1) | st.integers(0, 2**29 - 1))),
    st.sampled_from([REACTIONS, EVERYTHING, ("impression",)]),
)
def test_codes_are_each_users_known_rows_in_order(rows: list[tuple[str, str, int]], kinds: tuple[str, ...]) -> None:
    expected: dict[str, bytes] = {}
    for user, kind, index in rows:
        if kind in kinds and index >= 0:
            expected[user] = expected.get(user, b"") + encode([index], MARKS[kind])
    assert codes_of(event_rows(*rows), kinds) == expected


def test_impressions_are_left_out_unless_asked_for() -> None:
    rows = event_rows(("u", "impression", 1), ("u", "like", 1), ("v", "dislike", 2))
    assert codes_of(rows) == {"u": encode([1], LIKE), "v": encode([2], DISLIKE)}
    assert codes_of(rows, EVERYTHING)["u"] == encode([1], SHOWN) + encode([1], LIKE)


# undo


def test_rows_without_an_undo_need_no_look_at_the_log() -> None:
    assert earlier_reactions(logged(("u", "like", "a"), ("u", "hide", "b"))) is None


def test_an_undo_takes_back_what_this_user_said_about_this_item() -> None:
    log = [logged(("u", "impression", "a"), ("u", "like", "a"), ("u", "like", "b"), ("v", "like", "a"))]
    assert undone_in(logged(("u", "undo", "a"), since=9), *log) == [("u", "a", "like", 1.0)]


@pytest.mark.parametrize("cut", range(6))
def test_it_takes_back_everything_since_the_last_undo(cut: int) -> None:
    told = [(kind, "a") for kind in ("like", "undo", "like", "dislike", "hide")]
    rows = [("u", *row) for row in (*told, ("undo", "a"))]
    taken = undone_in(logged(*rows[cut:], since=cut), logged(*rows[:cut]))
    assert taken[-3:] == [("u", "a", "like", 2.0), ("u", "a", "dislike", 3.0), ("u", "a", "hide", 4.0)]
    assert len(taken) == (4 if cut <= 1 else 3)


def test_an_undo_of_nothing_is_one_row_without_effect() -> None:
    assert undone_in(logged(("u", "undo", "a")), logged(("v", "like", "a"))) == [("u", "a", None, None)]


def test_what_an_undo_takes_back_leaves_the_counters() -> None:
    rows = logged(*[("u", kind, "a") for kind in ("like", "dislike", "hide", "undo")], ("v", "like", "a"))
    after = with_undone(rows, [])
    assert counters_of(after) == {"likes": 1, "dislikes": 0, "impressions": 0, "unknown_items": 0}


def test_what_had_no_effect_has_none_to_lose() -> None:
    """The item was unknown at the first like, and is the catalogue's third one at the second."""
    log = [logged(("u", "like", "a"), index=-1), logged(("u", "like", "a"), since=1, index=2)]
    undos = with_undone(logged(("u", "undo", "a"), since=9, index=2), log)
    assert undos.select("source", "item_index").rows() == [("like", -1), ("like", 2)]
    assert codes_of(undos) == {"u": encode([2], UNDO)}


# memory of event ids


@pytest.fixture
def remember_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "REMEMBERED_EVENTS", 3)


@pytest.mark.usefixtures("remember_three")
def test_recent_ids_forget_the_oldest() -> None:
    recent = remembered("1", "2")
    recent.add(EPOCH, ["3", "4"])
    assert [recent.knows(event_id, EPOCH) for event_id in "1234"] == [False, True, True, True]


def test_each_epoch_is_read_when_it_is_asked_for_and_remembered_by_itself() -> None:
    logs = {epoch: [f"{epoch}-{n}" for n in range(3)] for epoch in range(20)}
    read = []

    def logged(epoch: int) -> list[str]:
        read.append(epoch)
        return logs[epoch]

    recent = RecentIds(logged)
    for _ in range(2):
        for epoch in (3, 1, 2):
            assert all(recent.knows(event_id, epoch) for event_id in logs[epoch])
            assert not recent.knows("4-0", epoch)
    assert read == [3, 1, 2]
    assert all(recent.knows(event_id, epoch) for epoch, ids in logs.items() for event_id in ids)


def test_ids_of_a_forgotten_epoch_are_read_again() -> None:
    logs: dict[int, list[str]] = {epoch: [] for epoch in range(20)}
    recent = RecentIds(logs.__getitem__)
    for epoch, ids in logs.items():
        recent.add(epoch, [str(epoch)])
        ids.append(str(epoch))
    assert not recent.knows("0", 19)
    assert recent.knows("0", 0)


def test_more_than_a_fetch_can_hold_is_remembered() -> None:
    read_settings(drain_batch_messages=PREFETCH)
    with pytest.raises(SystemExit):
        read_settings(drain_batch_messages=PREFETCH + 1)  # RabbitMQ would not fill such a batch
    assert PREFETCH * MESSAGE_SLATES <= REMEMBERED_EVENTS


def test_last_ids_are_distinct_and_oldest_first() -> None:
    assert last_event_ids([frame_of("3", "3", "4"), frame_of("1", "2", "2", "3")]) == ["1", "2", "3", "4"]


@pytest.mark.parametrize("frames", [[], [frame_of()]], ids=["no frame", "empty frame"])
def test_an_empty_log_has_no_last_ids(frames: list[pl.DataFrame]) -> None:
    assert last_event_ids(frames) == []


@pytest.mark.usefixtures("remember_three")
def test_no_more_of_the_log_is_read_than_remembered() -> None:
    def frames() -> Iterator[pl.DataFrame]:
        yield frame_of("4", "5")
        yield frame_of("1", "2", "3")
        pytest.fail("read on")

    assert last_event_ids(frames()) == ["3", "4", "5"]


def test_a_restart_recognises_what_was_logged() -> None:
    first = decoded(interaction("1"), impressions(slate("2")), foreign())
    log = rows_of(first.events[EPOCH], {})
    again = decoded(foreign(), interaction("1"), impressions(slate("2")), recent=remembered(*last_event_ids([log])))
    assert (ids_in(again), again.duplicates) == ([], 3)
