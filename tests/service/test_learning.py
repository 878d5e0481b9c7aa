"""The running pipeline learns: what many say reaches everybody, and which items belong together is found out."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from tests.servers import RedisServer, wait_until
from tests.service.rig import Rig, ids

LEARN_S: Final = 60.0
CROWD: Final = 60  # a round of visitors


@pytest.fixture(scope="module")
def system(folder: Path, redis_server: RedisServer) -> Iterator[Rig]:
    # Its visitors are quick, so their reactions reach the log before the lists that they are to.
    with Rig(folder, redis_server.url, redis_server.url, TASTE_INTERVAL_S="0.2", IMPRESSION_FLUSH_MS="300") as made:
        yield made


def test_what_many_like_is_first_for_a_stranger(rig: Rig) -> None:
    rig.add(ids("item", 200))
    for n in range(20):
        rig.react(f"fan-{n}", likes=["item-150"])
    rig.wait_counted(likes=20)
    wait_until(lambda: rig.get("/top", k=1).json()["item_ids"] == ["item-150"], LEARN_S, "the find is known")
    assert "item-150" in rig.recs("stranger")


def test_items_that_the_same_users_like_are_found_to_belong_together(rig: Rig) -> None:
    """Half of the users like even items, half odd ones; their first lists hold both, and there are no genres."""
    rig.add(ids("item", 20))
    visitors = count()

    def learned() -> bool:
        for n in (next(visitors) for _ in range(CROWD)):
            shown = rig.recs(f"user-{n}", k=8)
            rig.react(f"user-{n}", likes=[item for item in shown if int(item.split("-")[1]) % 2 == n % 2])
        known = rig.statistics()
        if known is None or not known.item_factors.any(axis=1).all():
            return False
        alike = known.item_factors @ known.item_factors.T
        even = np.arange(20) % 2 == 0
        same = even[:, None] == even[None, :]
        np.fill_diagonal(alike, np.nan)
        return bool(np.nanmin(alike[same]) > np.nanmax(alike[~same]))

    wait_until(learned, LEARN_S, "the two kinds of items are told apart")

    def served() -> bool:
        rig.recs("stranger")  # with a request the worker learns of a newer model
        neighbours = rig.get("/similar/item-4", k=9).json()["item_ids"]
        return {int(item.split("-")[1]) % 2 for item in neighbours} == {0}

    wait_until(served, LEARN_S, "the neighbours of an even item are even")
