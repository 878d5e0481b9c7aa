"""Hide and undo: what a user says about an item without liking it, and how it is taken back."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.user_state import DISLIKE, LIKE, SHOWN
from tests.service.rig import Rig, ids

ITEMS = ids("item", 6)


def say(rig: Rig, user: str, *told: tuple[str, str]) -> None:
    body = {"user_id": user, "item_ids": [item for item, _ in told], "actions": [action for _, action in told]}
    answer = rig.http.post(rig.collector.url + "/interact", json=body)
    assert answer.status_code == 200, answer.text


def rates(rig: Rig) -> np.ndarray:
    rig.wait_published()
    statistics = rig.statistics()
    assert statistics is not None
    return np.stack([statistics.mean, statistics.sd])


@pytest.mark.parametrize("action", ["dislike", "hide"])
def test_what_is_taken_back_may_come_again(rig: Rig, action: str) -> None:
    rig.add(ITEMS)
    say(rig, "u", (ITEMS[0], action), (ITEMS[1], "like"))
    rig.wait_counted(applied=2, likes=1)
    assert set(rig.recs("u", k=6)) == set(ITEMS) - {ITEMS[0]}
    say(rig, "u", (ITEMS[0], "undo"))
    rig.wait_counted(applied=3 + 5, likes=1, dislikes=0)
    assert set(rig.recs("u", k=6)) == set(ITEMS)


def test_an_undo_leaves_like_rates_as_if_nothing_had_been_said(rig: Rig) -> None:
    rig.add(ITEMS)
    say(rig, "v", (ITEMS[2], "like"), (ITEMS[3], "dislike"))
    rig.wait_counted(applied=2)
    before = rates(rig)
    say(rig, "u", (ITEMS[2], "like"), (ITEMS[2], "dislike"), (ITEMS[3], "like"))
    rig.wait_counted(applied=5, likes=3, dislikes=2)
    assert not np.allclose(rates(rig), before)
    say(rig, "u", (ITEMS[2], "undo"), (ITEMS[3], "undo"), (ITEMS[4], "undo"), ("unheard", "undo"))
    rig.wait_counted(applied=10, likes=1, dislikes=1)  # ITEMS[2] takes two rows, one for each of its reactions
    np.testing.assert_allclose(rates(rig), before, atol=1e-4)
    assert rig.history("u") == {(2, SHOWN), (3, SHOWN), (4, SHOWN)}


def test_hiding_weighs_nothing_in_like_rates(rig: Rig) -> None:
    rig.add(ITEMS)
    say(rig, "u", *[(item, "hide") for item in ITEMS[:3]])
    rig.wait_counted(applied=3, likes=0, dislikes=0)
    assert np.ptp(rates(rig), axis=1).tolist() == [0, 0]
    assert rig.log()["kind"].to_list() == ["hide"] * 3


def test_an_undo_of_a_like_of_an_unknown_item_takes_nothing_from_others(rig: Rig) -> None:
    rig.add(ITEMS[1:])
    say(rig, "early", (ITEMS[0], "like"))
    rig.wait_counted(applied=1, unknown_items=1)
    rig.add(ITEMS[:1])
    for user in ("u", "v"):
        say(rig, user, (ITEMS[0], "like"))
    rig.wait_counted(applied=3)
    before = rates(rig)
    say(rig, "early", (ITEMS[0], "undo"))
    rig.wait_counted(applied=4, likes=2)
    np.testing.assert_allclose(rates(rig), before)
    assert rig.history("early") == set()
    assert rig.history("u") == {(5, LIKE)}


def test_a_mind_may_be_changed_for_good(rig: Rig) -> None:
    rig.add(ITEMS)
    say(rig, "u", (ITEMS[0], "dislike"))
    say(rig, "u", (ITEMS[0], "undo"), (ITEMS[0], "like"))
    rig.wait_counted(applied=3, likes=1, dislikes=0)
    assert rig.history("u") == {(0, SHOWN), (0, LIKE)}
    say(rig, "u", (ITEMS[0], "dislike"))
    rig.wait_counted(applied=4, likes=1, dislikes=1)
    assert rig.history("u") == {(0, SHOWN), (0, LIKE), (0, DISLIKE)}
