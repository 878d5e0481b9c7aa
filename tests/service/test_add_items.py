"""What may be an item: ids, genres, batches, updates. Each test begins with a cleanup."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

import pytest

from tests.service.rig import Rig, ids

DRAMA: Final = ["Drama"]


def test_numbers_as_item_ids(rig: Rig) -> None:
    assert rig.add([1, 2.5, "3", -4, 10**20]) == (5, 0)
    assert set(rig.recs("u")) == {"1", "2.5", "3", "-4", str(10**20)}
    rig.react("u", likes=[1, "2.5"], dislikes=[3])
    rig.wait_counted(likes=2, dislikes=1, unknown_items=0)
    assert rig.add(["1", "2.5"]) == (0, 0)


STRANGE: Final = [
    'a"b',
    "a\\b",
    "<script>alert(1)</script>".replace("/", "|"),
    "%2F",
    "%",
    "?k=5&explain=true",
    "#top",
    "~!*'();:@+$,[]{}",
    ".",
    "..",
    "..%2Fhealthcheck",
    "__proto__",
    "null",
    "-1",
    "*",
    "x" * 256,
]


def test_any_visible_ascii_is_an_item_id(rig: Rig) -> None:
    assert rig.add(STRANGE, [DRAMA] * len(STRANGE)) == (len(STRANGE), 0)
    assert sorted(rig.recs("u", k=100)) == sorted(STRANGE)
    rig.react("u", likes=STRANGE)
    rig.wait_counted(likes=len(STRANGE), unknown_items=0)
    assert rig.log()["item_id"].to_list() == STRANGE
    rig.wait_published()
    for item in (item for item in STRANGE if set(item) != {"."}):
        assert len(rig.get(f"/similar/{quote(item, safe='')}").json()["item_ids"]) == 10


@pytest.mark.parametrize("user", [user for user in STRANGE if set(user) != {"."}])
def test_any_visible_ascii_is_a_user_id(rig: Rig, user: str) -> None:
    rig.add(ids("item", 4))
    rig.react(user, dislikes=["item-0"])
    rig.wait_counted(dislikes=1)
    assert sorted(rig.recs(user)) == ids("item", 4)[1:]


def test_long_uuids_as_user_ids(rig: Rig) -> None:
    rig.add(ids("item", 30))
    user = uuid.uuid4().hex * 2
    first = rig.recs(user)
    assert not set(first) & set(rig.recs(user))
    rig.react(user, likes=first[:2], dislikes=first[2:])
    rig.wait_counted(likes=2, dislikes=8)
    assert set(rig.log()["user_id"]) == {user}


@pytest.mark.parametrize(
    "genres", [pytest.param(None, id="absent"), pytest.param([], id="empty"), pytest.param([[], []], id="empty lists")]
)
def test_items_without_genres(rig: Rig, genres: Sequence[Sequence[str]] | None) -> None:
    assert rig.add(["a", "b"], genres) == (2, 0)
    assert sorted(rig.recs("u")) == ["a", "b"]
    rig.wait_published()
    assert sorted(rig.get("/top").json()["item_ids"]) == ["a", "b"]
    assert rig.catalogue()["genres"] == []


def test_an_empty_batch_of_items(rig: Rig) -> None:
    assert rig.add([], []) == (0, 0)
    assert rig.add([]) == (0, 0)
    assert rig.catalogue()["items"] == 0


def test_the_last_of_repeated_ids_counts(rig: Rig) -> None:
    assert rig.add(["a", "a", "b", "a"], [["Drama"], ["Horror"], ["Drama"], ["Comedy"]]) == (2, 0)
    assert rig.catalogue()["items"] == 2
    assert sorted(rig.recs("u")) == ["a", "b"]
    rig.wait_published()
    assert rig.get("/top", genre="Comedy").json()["item_ids"] == ["a"]
    assert rig.get("/top", genre="Drama").json()["item_ids"] == ["b"]
    assert rig.get("/top", genre="Horror").status_code == 404


def test_repeated_genres_of_one_item_count_once(rig: Rig) -> None:
    rig.add(["a"], [["Drama", "Drama", "Комедия", "Drama"]])
    assert rig.catalogue()["genres"] == ["Drama", "Комедия"]


def test_an_upsert_replaces_the_genres_and_nothing_else(rig: Rig) -> None:
    rig.add(["a", "b"], [["Drama"], ["Drama"]])
    shown = rig.recs("u", k=2)
    assert rig.add(["a", "b"], [["Drama"], ["Drama"]]) == (0, 0)
    assert rig.add(["b", "c"], [["Comedy"], ["Drama"]]) == (1, 1)
    assert rig.catalogue()["items"] == 3
    rig.wait_published()
    assert rig.get("/top", genre="Comedy").json()["item_ids"] == ["b"]
    assert sorted(rig.get("/top", genre="Drama").json()["item_ids"]) == ["a", "c"]
    assert rig.recs("u", k=1) == ["c"], f"{shown} were shown before the upsert"


def test_more_genres_than_fit(rig: Rig) -> None:
    rig.add(ids("item", 300), [[f"Genre {n}"] for n in range(300)])
    assert len(rig.catalogue()["genres"]) == 256
    assert len(rig.recs("u", k=300)) == 300
    rig.wait_published()
    assert len(rig.get("/top").json()["item_ids"]) == 10
