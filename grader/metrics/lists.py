"""What was shown to whom, judged by the hidden world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grader.worlds.world import Bools, Ints, Longs, World

NOTHING = -1  # stands where a list holds no item of the catalogue, or an item a second time


@dataclass(frozen=True)
class Lists:
    """Every list asked for, in the order of the plan; a failed one holds nothing.

    user: (lists,). number: (lists,) from 1, the user's how-manieth list. items: (lists, k), best first, NOTHING where
    a place was wasted. fresh: (lists, k) bool, not shown to this user before. hits: (lists, k) bool, fresh and liked.
    relevant: (lists,) how many items the user likes; remaining: how many of these were not shown to him before.
    n_items: size of the catalogue.
    """

    user: Ints
    number: Ints
    items: Ints
    fresh: Bools
    hits: Bools
    relevant: Ints
    remaining: Ints
    n_items: int

    @property
    def k(self) -> int:
        return int(self.items.shape[1])

    def __len__(self) -> int:
        return len(self.user)


def judge(world: World, user: Ints, items: Ints) -> Lists:
    """``user`` (lists,) in the order in which the lists were shown, ``items`` (lists, k) positions or NOTHING."""
    items = without_repeats(items)
    placed = items != NOTHING
    keys = user[:, None].astype(np.int64) * world.n_items + items
    fresh = placed & first_occurrences(np.where(placed, keys, -1))
    hits = fresh & is_member(keys, liked_keys(world))
    relevant = world.likes_per_user[user]
    return Lists(
        user=user,
        number=count_before(user, np.ones(len(user), np.int64)).astype(np.int32) + 1,
        items=items,
        fresh=fresh,
        hits=hits,
        relevant=relevant,
        remaining=(relevant - count_before(user, hits.sum(axis=1))).astype(np.int32),
        n_items=world.n_items,
    )


def without_repeats(items: Ints) -> Ints:
    """The same lists with NOTHING wherever an item stands a second time in its list."""
    order = np.argsort(items, axis=1, kind="stable")
    ordered = np.take_along_axis(items, order, axis=1)
    repeated = np.zeros(items.shape, bool)
    np.put_along_axis(repeated, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    return np.where(repeated, NOTHING, items).astype(np.int32)


def first_occurrences(keys: Longs) -> Bools:
    """Of a matrix of keys, read row by row: where each key stands for the first time."""
    first = np.zeros(keys.size, bool)
    first[np.unique(keys, return_index=True)[1]] = True
    return first.reshape(keys.shape)


def liked_keys(world: World) -> Longs:
    """``user * n_items + item`` of every like, ascending."""
    return opinion_keys(world)[world.liked]


def opinion_keys(world: World) -> Longs:
    """``user * n_items + item`` of every opinion, ascending."""
    return world.opinion_users.astype(np.int64) * world.n_items + world.opinion_items


def is_member(keys: Longs, ascending: Longs) -> Bools:
    if not len(ascending):
        return np.zeros(keys.shape, bool)
    places = np.minimum(np.searchsorted(ascending, keys), len(ascending) - 1)
    return np.asarray(ascending[places] == keys)


def count_before(user: Ints, amounts: Longs) -> Longs:
    """For each row the sum of ``amounts`` over earlier rows of the same user."""
    order = np.argsort(user, kind="stable")
    running = np.cumsum(amounts[order]) - amounts[order]
    starts = np.flatnonzero(np.diff(user[order], prepend=-1))
    running -= np.repeat(running[starts], np.diff(np.append(starts, len(user))))
    before = np.empty(len(user), np.int64)
    before[order] = running
    return before
