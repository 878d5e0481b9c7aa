"""What the HTTP bodies and broker messages accept, and which field a refusal names."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from recsys.contract import (
    CATALOGUE_CHUNK,
    MAX_CLOCK_SKEW_S,
    MAX_ITEMS_PER_CALL,
    MAX_K,
    MAX_REACTIONS_PER_CALL,
    AddItems,
    Impressions,
    Interact,
    Interaction,
    ItemRecord,
    Slate,
    stamped,
)
from recsys.limits import MAX_GENRES_PER_ITEM, MAX_ID_CHARS

M = TypeVar("M", bound=BaseModel)
NOW = 1.7e9
REACTIONS = {"user_id": "u", "item_ids": ["a", "b"], "actions": ["like", "dislike"]}
ITEMS = {"item_ids": ["a", "b"], "genres": [["x"], []]}
SLATE = {"event_id": "e", "user_id": "u", "item_ids": ["a"], "sources": ["ranked"], "received_at": NOW}
BAD_IDS = {
    "slash": "a/b",
    "space": "a b",
    "only a space": " ",
    "unicode": "é",
    "invisible unicode": "a\u200b",
    "newline at the end": "a\n",
    "tab": "a\tb",
    "nul": "\0",
    "delete": "\x7f",
    "too long": "x" * (MAX_ID_CHARS + 1),
    "empty": "",
    "null": None,
    "bool": True,
    "list": ["a"],
    "object": {},
}


def parse(model: type[M], body: dict[str, Any]) -> M:
    return model.model_validate_json(json.dumps(body))


def refused(model: type[BaseModel], body: dict[str, Any]) -> list[str]:
    """The fields that the refusal names, dotted."""
    with pytest.raises(ValidationError) as caught:
        parse(model, body)
    return [".".join(map(str, error["loc"])) for error in caught.value.errors()]


def without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != name}


# Interact


@pytest.mark.parametrize("name", REACTIONS)
def test_a_missing_field_is_named(name: str) -> None:
    assert refused(Interact, without(REACTIONS, name)) == [name]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"actions": ["like"]}, "actions"),
        ({"actions": ["like"] * 3}, "actions"),
        ({"actions": []}, "actions"),
        ({"item_ids": []}, "actions"),
        ({"actions": ["like", "love"]}, "actions.1"),
        ({"actions": ["Like", "like"]}, "actions.0"),
        ({"actions": ["like", None]}, "actions.1"),
        ({"actions": ["like", 1]}, "actions.1"),
        ({"actions": "like"}, "actions"),
        ({"item_ids": "ab"}, "item_ids"),
        ({"item_ids": None}, "item_ids"),
        ({"item_ids": {"a": 1, "b": 2}}, "item_ids"),
        ({"user_id": 5}, "user_id"),
        ({"user_id": 1.5}, "user_id"),
        ({"timestamp": float("nan")}, "timestamp"),
        ({"timestamp": float("inf")}, "timestamp"),
        ({"timestamp": float("-inf")}, "timestamp"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": [1]}, "timestamp"),
    ],
    ids=str,
)
def test_bad_reactions_name_the_field(change: dict[str, Any], field: str) -> None:
    assert refused(Interact, REACTIONS | change) == [field]


@pytest.mark.parametrize("bad", BAD_IDS.values(), ids=BAD_IDS)
@pytest.mark.parametrize(
    ("model", "body", "field"),
    [(Interact, REACTIONS, "user_id"), (Interact, REACTIONS, "item_ids"), (AddItems, ITEMS, "item_ids")],
    ids=["user", "reaction", "item"],
)
def test_bad_ids_name_the_field(model: type[BaseModel], body: dict[str, Any], field: str, bad: Any) -> None:
    value, where = (bad, field) if field == "user_id" else (["a", bad], f"{field}.1")
    assert refused(model, body | {field: value}) == [where]


@settings(deadline=None)
@given(st.characters(max_codepoint=0x2FF))
def test_ids_are_visible_ascii_without_the_slash(character: str) -> None:
    if "!" <= character <= "~" and character != "/":
        assert parse(Interact, REACTIONS | {"user_id": character}).user_id == character
    else:
        assert refused(Interact, REACTIONS | {"user_id": character}) == ["user_id"]


@pytest.mark.parametrize("good", ["x" * MAX_ID_CHARS, "a:b@c.d", "%2F", "0", "-", "null"])
def test_good_ids_pass_unchanged(good: str) -> None:
    parsed = parse(Interact, {"user_id": good, "item_ids": [good], "actions": ["like"]})
    assert (parsed.user_id, parsed.item_ids) == (good, [good])


@pytest.mark.parametrize("bad", [[1] * 100_000, ["g"] * (MAX_GENRES_PER_ITEM + 1), ["g" * 101] * 100_000])
def test_a_refusal_does_not_grow_with_what_is_wrong(bad: list[Any]) -> None:
    fields = refused(AddItems, {"item_ids": ["a", "b"], "genres": [bad, bad]})
    assert len(fields) == 1
    assert fields[0].startswith("genres.0")


def test_as_many_genres_as_are_told_apart() -> None:
    genres = [str(n) for n in range(MAX_GENRES_PER_ITEM)]
    assert parse(AddItems, {"item_ids": ["a"], "genres": [genres]}).records()[0].genres == tuple(genres)


@pytest.mark.parametrize("model", [Interact, AddItems])
def test_numbers_as_item_ids_become_strings(model: type[Interact] | type[AddItems]) -> None:
    body = {"user_id": "u", "item_ids": [7, -1, 2.5, 10**20], "actions": ["like"] * 4}
    assert parse(model, body).item_ids == ["7", "-1", "2.5", "100000000000000000000"]


def test_an_overlong_number_is_refused_as_an_id() -> None:
    assert refused(AddItems, {"item_ids": [10**MAX_ID_CHARS]}) == ["item_ids.0"]


@pytest.mark.parametrize("timestamp", [None, 0, -1.5, -6e10, 1.7e9, 1.7e12, 1e18])
def test_any_finite_timestamp_is_accepted(timestamp: float | None) -> None:
    assert parse(Interact, REACTIONS | {"timestamp": timestamp}).timestamp == timestamp


def test_timestamp_may_be_absent() -> None:
    assert parse(Interact, REACTIONS).timestamp is None


def test_no_reactions_at_all_are_fine() -> None:
    assert parse(Interact, REACTIONS | {"item_ids": [], "actions": []}).item_ids == []


@pytest.mark.parametrize(
    ("model", "limit"), [(Interact, MAX_REACTIONS_PER_CALL), (AddItems, MAX_ITEMS_PER_CALL)], ids=["react", "add"]
)
def test_a_call_is_limited_in_size(model: type[BaseModel], limit: int) -> None:
    body = {"user_id": "u", "item_ids": ["a"] * limit, "actions": ["like"] * limit}
    parse(model, body)
    assert refused(model, body | {"item_ids": ["a"] * (limit + 1)}) == ["item_ids"]


# AddItems


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"genres": [["x"]]}, "genres"),
        ({"genres": [["x"]] * 3}, "genres"),
        ({"item_ids": []}, "genres"),
        ({"genres": ["x", "y"]}, "genres.0"),
        ({"genres": [["x"], None]}, "genres.1"),
        ({"genres": [["x"], [""]]}, "genres.1.0"),
        ({"genres": [["x"], ["y", "z" * 101]]}, "genres.1.1"),
        ({"genres": [["x"], [1]]}, "genres.1.0"),
        ({"genres": "xy"}, "genres"),
    ],
    ids=str,
)
def test_bad_items_name_the_field(change: dict[str, Any], field: str) -> None:
    assert refused(AddItems, ITEMS | change) == [field]


def test_items_without_ids_are_refused() -> None:
    assert refused(AddItems, without(ITEMS, "item_ids")) == ["item_ids"]


@pytest.mark.parametrize("genres", [{}, {"genres": []}, {"genres": [[], []]}], ids=["absent", "empty", "empty lists"])
def test_genres_may_be_unknown(genres: dict[str, Any]) -> None:
    records = parse(AddItems, {"item_ids": ["a", "b"]} | genres).records()
    assert records == [ItemRecord(id="a"), ItemRecord(id="b")]


def test_no_items_give_no_records() -> None:
    assert parse(AddItems, {"item_ids": []}).records() == []


@pytest.mark.parametrize(
    ("ids", "genres", "expected"),
    [
        (["a", "b", "a"], [["x"], ["y"], ["z"]], [("a", ("z",)), ("b", ("y",))]),
        (["a", "a"], [["x"], []], [("a", ())]),
        ([1, "1"], [["x"], ["y"]], [("1", ("y",))]),
        (["a", "a"], [], [("a", ())]),
        (["a"], [["y", "x", "y"]], [("a", ("y", "x"))]),
    ],
    ids=["last genres win", "even if empty", "numbers are strings", "without genres", "repeated genre"],
)
def test_records_hold_each_id_once(ids: list[Any], genres: list[list[str]], expected: list[Any]) -> None:
    records = parse(AddItems, {"item_ids": ids, "genres": genres}).records()
    assert [(r.id, r.genres) for r in records] == expected


def test_a_catalogue_chunk_survives_json() -> None:
    records = [ItemRecord(id="a", genres=("x", "y")), ItemRecord(id="b")]
    assert CATALOGUE_CHUNK.validate_json(CATALOGUE_CHUNK.dump_json(records)) == records


# Messages


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"sources": []}, "sources"),
        ({"sources": ["ranked"] * 2}, "sources"),
        ({"item_ids": ["a"] * (MAX_K + 1)}, "item_ids"),
        ({"received_at": float("nan")}, "received_at"),
        ({"received_at": None}, "received_at"),
        ({"user_id": 1}, "user_id"),
    ],
    ids=str,
)
def test_bad_slates_name_the_field(change: dict[str, Any], field: str) -> None:
    assert refused(Slate, SLATE | change) == [field]
    assert refused(Impressions, {"epoch": 1, "slates": [SLATE, SLATE | change]}) == [f"slates.1.{field}"]


def message(**stamps: Any) -> Interaction:
    return parse(Interaction, REACTIONS | stamps)


def test_a_complete_message_is_not_touched() -> None:
    complete = message(event_id="e", epoch=3, received_at=NOW - 60)
    assert stamped(complete, b"body", epoch=9, now=NOW) is complete


def test_a_bare_message_gets_all_stamps() -> None:
    filled = stamped(message(), b"body", epoch=9, now=NOW)
    assert (len(filled.event_id), filled.epoch, filled.received_at) == (32, 9, NOW)
    assert filled.model_dump(include=set(REACTIONS)) == REACTIONS


def test_the_same_bytes_get_the_same_id() -> None:
    first = stamped(message(), b"body", epoch=1, now=NOW)
    again = stamped(message(), b"body", epoch=2, now=NOW + 5)
    other = stamped(message(), b"bodY", epoch=1, now=NOW)
    assert first.event_id == again.event_id != other.event_id


@pytest.mark.parametrize(
    ("stamps", "epoch", "received_at"),
    [
        ({"epoch": 0, "received_at": NOW}, 9, NOW),
        ({"epoch": -4, "received_at": NOW}, 9, NOW),
        ({"epoch": 3, "received_at": 0}, 3, NOW),
        ({"epoch": 3, "received_at": -1.0}, 3, NOW),
        ({"epoch": 3, "received_at": NOW + MAX_CLOCK_SKEW_S + 1}, 3, NOW),
        ({"epoch": 3, "received_at": NOW + MAX_CLOCK_SKEW_S}, 3, NOW + MAX_CLOCK_SKEW_S),
    ],
    ids=str,
)
def test_impossible_stamps_are_replaced(stamps: dict[str, Any], epoch: int, received_at: float) -> None:
    filled = stamped(message(event_id="e", **stamps), b"body", epoch=9, now=NOW)
    assert (filled.event_id, filled.epoch, filled.received_at) == ("e", epoch, received_at)


@pytest.mark.parametrize("missing", ["event_id", "epoch"])
def test_good_receipt_is_kept_when_another_stamp_is_missing(missing: str) -> None:
    stamps = without({"event_id": "e", "epoch": 3, "received_at": NOW - 60}, missing)
    assert stamped(message(**stamps), b"body", epoch=9, now=NOW).received_at == NOW - 60
