"""Lists: empty and small catalogues, never a repeat, what reactions change. Each test begins with a cleanup."""

from __future__ import annotations

import uuid
from typing import Final

import pytest

from recsys.recommenders.mix import AGAIN, EXPLORE, RANDOM
from tests.servers import wait_until
from tests.service.rig import DRAIN_S, Rig, frozen, ids

DRAMA: Final = ["Drama"]
SOURCES: Final = {"bandit", EXPLORE, RANDOM, AGAIN}


def test_an_empty_catalogue_gives_an_empty_list(rig: Rig) -> None:
    answer = rig.get("/recs/u")
    assert answer.status_code == 200
    assert answer.content == b'{"item_ids":[]}'
    assert answer.headers["content-type"] == "application/json"


def test_an_empty_list_has_no_sources(rig: Rig) -> None:
    assert rig.get("/recs/u", explain=True).json() == {"item_ids": [], "sources": []}


@pytest.mark.parametrize("path", ["/top", "/catalogue", "/healthcheck", "/metrics"])
def test_an_empty_catalogue_is_no_error_anywhere(rig: Rig, path: str) -> None:
    assert rig.get(path).status_code == 200


def test_a_catalogue_smaller_than_k_comes_whole(rig: Rig) -> None:
    rig.add(ids("item", 4))
    assert sorted(rig.recs("u")) == ids("item", 4)
    assert sorted(rig.recs("v", k=1_000)) == ids("item", 4)


def test_an_item_is_recommendable_from_the_next_request_on(rig: Rig) -> None:
    for size in range(1, 21):
        rig.add([f"item-{size - 1}"], [DRAMA] if size % 2 else [[]])
        assert sorted(rig.recs(f"user-{size}", k=size)) == sorted(ids("item", size))


def test_a_new_item_reaches_those_who_have_seen_everything(rig: Rig) -> None:
    rig.add(ids("item", 10))
    rig.recs("u", k=10)
    rig.add(["new"])
    assert "new" in rig.recs("u", k=3)


def test_the_whole_catalogue_of_a_grader_in_one_call(rig: Rig) -> None:
    names = [f"Genre {n}" for n in range(19)]
    known = ids("item", 30_000)
    assert rig.add(known, [names[n % 19 : n % 19 + 3] for n in range(30_000)]) == (30_000, 0)
    assert rig.catalogue()["items"] == 30_000
    listed = rig.recs("u", k=1_000)
    assert len(set(listed)) == 1_000
    assert set(listed) <= set(known)
    assert rig.add(["late"]) == (1, 0)
    assert rig.catalogue()["items"] == 30_001


@pytest.mark.parametrize(("k", "length"), [(None, 10), (1, 1), (3, 3), (100, 100), (1_000, 200)])
def test_a_new_user_gets_k_items(rig: Rig, k: int | None, length: int) -> None:
    rig.add(ids("item", 200))
    listed = rig.recs(uuid.uuid4().hex, k)
    assert len(set(listed)) == len(listed) == length
    assert set(listed) <= set(ids("item", 200))


def test_an_explained_list_names_the_source_of_every_item(rig: Rig) -> None:
    rig.add(ids("item", 15), [DRAMA] * 15)
    found = set()
    for _ in range(4):
        body = rig.get("/recs/u", explain=True).json()
        assert list(body) == ["item_ids", "sources"]
        assert len(body["item_ids"]) == len(body["sources"]) == 10
        assert set(body["sources"]) <= SOURCES
        found |= set(body["sources"])
    assert AGAIN in found


def test_lists_are_random_until_there_is_a_model_and_then_its_own(rig: Rig) -> None:
    with frozen(rig.pipeline):
        rig.add(ids("item", 100), [DRAMA] * 100)
        assert rig.get("/recs/early", explain=True).json()["sources"] == [RANDOM] * 10
    rig.wait_published()

    def sources() -> list[str]:
        """With a request the worker learns of a newer model."""
        return list(rig.get(f"/recs/{uuid.uuid4()}", explain=True).json()["sources"])

    wait_until(lambda: "bandit" in sources(), DRAIN_S, "the model fills lists")
    found = {source for _ in range(20) for source in sources()}
    assert found == {"bandit", EXPLORE}


@pytest.mark.parametrize("value", ["false", "0", "False"])
def test_a_list_is_not_explained_when_not_asked_for(rig: Rig, value: str) -> None:
    rig.add(ids("item", 3))
    assert list(rig.get("/recs/u", explain=value).json()) == ["item_ids"]


def test_never_a_repeat_then_the_oldest_come_back_and_disliked_ones_never(rig: Rig) -> None:
    """On past the point where the service compacts the user's state."""
    catalogue = ids("item", 60)
    disliked = set(catalogue[::12])
    allowed = len(catalogue) - len(disliked)
    rig.add(catalogue, [[f"Genre {n % 3}"] for n in range(60)])
    rig.react("u", dislikes=sorted(disliked))
    rig.wait_counted(dislikes=len(disliked))
    last_shown: dict[str, int] = {}
    for request in range(130):
        oldest_first = sorted(last_shown, key=lambda item: last_shown[item])
        unseen = allowed - len(last_shown)
        listed = rig.recs("u")
        assert len(listed) == len(set(listed)) == 10
        assert not set(listed) & disliked
        again = [item for item in listed if item in last_shown]
        assert len(again) == max(10 - unseen, 0)
        assert again == oldest_first[: len(again)]
        for place, item in enumerate(listed):
            last_shown[item] = request * 10 + place
    assert set(last_shown) == set(catalogue) - disliked
    codes = len(rig.codes("u")[0]) // 4
    assert codes < 1_300, "the state of the user was compacted"


def test_what_was_shown_to_one_user_is_new_to_another(rig: Rig) -> None:
    rig.add(ids("item", 10))
    assert sorted(rig.recs("u")) == sorted(rig.recs("v")) == ids("item", 10)


def test_a_reaction_counts_before_the_first_list(rig: Rig) -> None:
    rig.add(ids("item", 10))
    rig.react("u", likes=["item-1"], dislikes=["item-2"])
    rig.wait_counted(likes=1, dislikes=1)
    assert sorted(rig.recs("u")[:8]) == sorted({*ids("item", 10)} - {"item-1", "item-2"})


def test_a_list_is_short_only_when_everything_else_is_disliked(rig: Rig) -> None:
    rig.add(ids("item", 5))
    rig.react("u", dislikes=ids("item", 3))
    rig.wait_counted(dislikes=3)
    for _ in range(3):
        assert sorted(rig.recs("u")) == ["item-3", "item-4"]
    rig.react("u", dislikes=["item-3", "item-4"])
    rig.wait_counted(dislikes=5)
    assert rig.recs("u") == []


def test_a_disliked_item_stays_away_although_it_is_liked_as_well(rig: Rig) -> None:
    rig.add(ids("item", 3))
    rig.react("u", dislikes=["item-0"])
    rig.react("u", likes=["item-0"])
    rig.wait_counted(likes=1, dislikes=1)
    for _ in range(5):
        assert sorted(rig.recs("u")) == ["item-1", "item-2"]
