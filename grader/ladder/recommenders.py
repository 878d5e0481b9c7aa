"""The rungs: what each of them knows decides how well it can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from grader.worlds.world import Ints, World

PRIOR_EXPOSURES: Final = 20.0  # from 5 to 40 precision on MovieLens latest-small differs less than from seed to seed
USERS_AT_ONCE: Final = 500


class _Silent:
    """Learns nothing from reactions."""

    def react(self, user: int, items: Sequence[int], opinions: Mapping[int, bool], at: float = 0.0) -> None:
        pass


class Random(_Silent):
    """Knows nothing."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self._n_items = world.n_items
        self._rng = rng

    def recommend(self, user: int, shown: Sequence[int], k: int, at: float = 0.0) -> list[int]:
        # Among so many distinct items at least k are new.
        drawn = self._rng.choice(self._n_items, min(k + len(shown), self._n_items), replace=False)
        return without(drawn, shown)[:k]


class OnlinePopularity:
    """Learns from this run who liked what, as every service can; the same order for all users.

    The score of an item is its like rate, smoothed by PRIOR_EXPOSURES at the rate of all items so far.
    """

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self._likes = np.zeros(world.n_items)
        self._exposures = np.zeros(world.n_items)
        self._ties = rng.random(world.n_items) * 1e-9

    def recommend(self, user: int, shown: Sequence[int], k: int, at: float = 0.0) -> list[int]:
        rate = (self._likes.sum() + 1) / (self._exposures.sum() + 100)
        score = (self._likes + rate * PRIOR_EXPOSURES) / (self._exposures + PRIOR_EXPOSURES) + self._ties
        return best(score, shown, k)

    def react(self, user: int, items: Sequence[int], opinions: Mapping[int, bool], at: float = 0.0) -> None:
        self._exposures[items] += 1
        self._likes[items] += [opinions.get(item, False) for item in items]


class Ranked(_Silent):
    """One order for each user, known before the run: ``order`` is (users or 1, n), best first."""

    def __init__(self, order: Ints) -> None:
        self._order = order

    def recommend(self, user: int, shown: Sequence[int], k: int, at: float = 0.0) -> list[int]:
        return without(self._order[user % len(self._order), : k + len(shown)], shown)[:k]


def popularity_oracle(world: World, rng: np.random.Generator) -> Ranked:
    """Knows how many users like each item."""
    return Ranked(np.lexsort((rng.random(world.n_items), -world.likes_per_item))[None].astype(np.int32))


def taste_oracle(world: World, depth: int) -> Ranked:
    """Knows how likely each user likes each item, as the generated world was drawn; ``depth`` items of each user."""
    if world.taste is None:
        raise ValueError("only generated worlds know tastes")
    chunks = []
    for start in range(0, world.n_users, USERS_AT_ONCE):
        users = np.arange(start, min(start + USERS_AT_ONCE, world.n_users), dtype=np.int32)
        likely = world.taste.like_probability(users)
        top = np.argpartition(likely, -depth, axis=1)[:, -depth:]
        inner = np.argsort(-np.take_along_axis(likely, top, axis=1), axis=1)
        chunks.append(np.take_along_axis(top, inner, axis=1).astype(np.int32))
    return Ranked(np.concatenate(chunks))


class Ceiling(_Silent):
    """Knows every opinion: lists of likes only, as far as there are any, of what was shown least so far."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self._world = world
        self._exposures = rng.random(world.n_items) * 1e-9  # breaks ties

    def recommend(self, user: int, shown: Sequence[int], k: int, at: float = 0.0) -> list[int]:
        own = slice(self._world.indptr[user], self._world.indptr[user + 1])
        score = -self._exposures
        liked = self._world.opinion_items[own][self._world.liked[own]]
        score[liked] += self._world.n_users * k
        items = best(score, shown, k)
        self._exposures[items] += 1
        return items


def best(score: np.ndarray, shown: Sequence[int], k: int) -> list[int]:
    """The k items with the highest score of those not shown; fewer if there are no more."""
    k = min(k, len(score) - len(shown))
    if k <= 0:
        return []
    score = score.copy()
    score[shown] = -np.inf
    top = np.argpartition(score, -k)[-k:]
    found: list[int] = top[np.argsort(-score[top], kind="stable")].tolist()
    return found


def without(items: np.ndarray, shown: Sequence[int]) -> list[int]:
    """``items`` in their order without those shown."""
    seen = set(shown)
    return [item for item in items.tolist() if item not in seen]
