"""The plan of a run played in process against a recommender that answers at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np

from grader.metrics.lists import NOTHING
from grader.session import opinions_of
from grader.traffic import Plan
from grader.worlds.world import Ints, World

TOLD_EVERY: Final = 500  # steps


class Recommender(Protocol):
    def recommend(self, user: int, shown: Sequence[int], k: int) -> Sequence[int]:
        """Up to k items, best first, none of ``shown``: everything this user saw before."""
        ...

    def react(self, user: int, items: Sequence[int], liked: Sequence[bool]) -> None:
        """What the user says of the list just shown: ``liked`` is False for a dislike and for no opinion."""
        ...


def simulate(
    world: World, plan: Plan, recommender: Recommender, k: int, stepped: Callable[[int], None] = lambda steps: None
) -> Ints:
    """(lists, k): the lists in the order of ``plan.lists``, NOTHING where they are short.

    ``stepped`` is told now and then by how many steps it has come further.
    """
    shown: defaultdict[int, list[int]] = defaultdict(list)
    last: dict[int, list[int]] = {}
    lists = np.full((len(plan.lists), k), NOTHING, np.int32)
    number = 0
    for done, step in enumerate(plan.order.tolist(), start=1):
        user = int(plan.step_user[step])
        if plan.looks[step]:
            items = last[user] = list(recommender.recommend(user, shown[user], k))
            lists[number, : len(items)] = items
            number += 1
            shown[user].extend(items)
        else:
            opinions = opinions_of(world, user, last[user])
            recommender.react(user, last[user], [opinions.get(item, False) for item in last[user]])
        if done % TOLD_EVERY == 0:
            stepped(TOLD_EVERY)
    stepped(len(plan.order) % TOLD_EVERY)
    return lists
