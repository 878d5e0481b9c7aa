"""The plan of a run played in process against a recommender that answers at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np

from grader.metrics.lists import NOTHING
from grader.session import opinions_of
from grader.traffic import Plan
from grader.worlds.world import Ints, World

TOLD_EVERY: Final = 500  # steps


class Recommender(Protocol):
    """``at`` is the time of the plan, in seconds."""

    def recommend(self, user: int, shown: Sequence[int], k: int, at: float = 0.0) -> Sequence[int]:
        """Up to k items, best first. ``shown`` is everything this user saw before, oldest first."""
        ...

    def react(self, user: int, items: Sequence[int], opinions: Mapping[int, bool], at: float = 0.0) -> None:
        """What the user says of the list just shown: True for a like, False for a dislike, others are left out.

        Nobody says anything of an item twice.
        """
        ...


class Replay(NamedTuple):
    """What a recommender showed, in the order of ``plan.lists``."""

    lists: Ints  # (lists, k), NOTHING where they are short
    reactions: Ints  # (lists,): how many there had been before each


def simulate(
    world: World, plan: Plan, recommender: Recommender, k: int, stepped: Callable[[int], None] = lambda steps: None
) -> Replay:
    """Play the whole plan. ``stepped`` is told now and then by how many steps it has come further."""
    shown: defaultdict[int, list[int]] = defaultdict(list)
    said: defaultdict[int, set[int]] = defaultdict(set)
    last: dict[int, list[int]] = {}
    lists = np.full((len(plan.lists), k), NOTHING, np.int32)
    before = np.zeros(len(plan.lists), np.int32)
    number = reactions = 0
    for done, step in enumerate(plan.order.tolist(), start=1):
        user, at = int(plan.step_user[step]), float(plan.due_s[step])
        if plan.looks[step]:
            items = last[user] = list(recommender.recommend(user, shown[user], k, at))
            lists[number, : len(items)] = items
            before[number] = reactions
            number += 1
            shown[user].extend(items)
        else:
            opinions = opinions_of(world, user, [item for item in last[user] if item not in said[user]])
            said[user].update(opinions)
            reactions += len(opinions)
            recommender.react(user, last[user], opinions, at)
        if done % TOLD_EVERY == 0:
            stepped(TOLD_EVERY)
    stepped(len(plan.order) % TOLD_EVERY)
    return Replay(lists, before)
