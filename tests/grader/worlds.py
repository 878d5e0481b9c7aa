"""Small worlds made by hand or by hypothesis, and lists shown in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from grader.metrics.lists import NOTHING
from grader.worlds.world import Bools, Ints, World

Opinions = Mapping[int, bool]  # item → liked


def world_of(opinions: Sequence[Opinions], genres: Sequence[Set[int]], n_genres: int = 4) -> World:
    """``opinions`` of each user, ``genres`` of each item."""
    held = [sorted(user.items()) for user in opinions]
    return World(
        name="by hand",
        genre_names=[f"genre {n}" for n in range(n_genres)],
        genres=genre_matrix(genres, n_genres),
        indptr=np.cumsum([0, *map(len, held)]).astype(np.int64),
        opinion_items=np.array([item for user in held for item, _ in user], np.int32),
        liked=np.array([liked for user in held for _, liked in user], bool),
        parameters={"made": "by hand"},
    )


def genre_matrix(genres: Sequence[Set[int]], n_genres: int) -> Bools:
    matrix = np.zeros((len(genres), n_genres), bool)
    for item, numbers in enumerate(genres):
        matrix[item, sorted(numbers)] = True
    return matrix


def opinions_in(world: World) -> list[dict[int, bool]]:
    """The opinions of each user."""
    bounds = zip(world.indptr[:-1].tolist(), world.indptr[1:].tolist(), strict=True)
    items, liked = world.opinion_items.tolist(), world.liked.tolist()
    return [dict(zip(items[start:end], liked[start:end], strict=True)) for start, end in bounds]


def likes_in(world: World) -> list[set[int]]:
    return [{item for item, liked in user.items() if liked} for user in opinions_in(world)]


@dataclass(frozen=True)
class Shown:
    """Lists in the order in which they were shown; the same as rows of Python numbers."""

    world: World
    user: Ints
    items: Ints

    @property
    def users(self) -> list[int]:
        return [int(user) for user in self.user]

    @property
    def rows(self) -> list[list[int]]:
        return [[int(item) for item in row] for row in self.items]


@st.composite
def worlds(draw: st.DrawFn, max_users: int = 5, max_items: int = 8) -> World:
    n_items = draw(st.integers(1, max_items))
    n_genres = draw(st.integers(0, 3))
    genre = st.sets(st.integers(0, n_genres - 1)) if n_genres else st.just(set[int]())
    genres = draw(st.lists(genre, min_size=n_items, max_size=n_items))
    opinion = st.dictionaries(st.integers(0, n_items - 1), st.booleans())
    return world_of(draw(st.lists(opinion, min_size=1, max_size=max_users)), genres, n_genres)


@st.composite
def shown_lists(draw: st.DrawFn, *, repeats: bool = True) -> Shown:
    """A world and lists with places left empty; an item more than once in a list only with ``repeats``."""
    world = draw(worlds())
    k = draw(st.integers(1, 4))
    n_lists = draw(st.integers(0, 8))
    item = st.integers(NOTHING, world.n_items - 1)
    row = st.lists(item, min_size=k, max_size=k)
    user = draw(st.lists(st.integers(0, world.n_users - 1), min_size=n_lists, max_size=n_lists))
    rows = draw(st.lists(row, min_size=n_lists, max_size=n_lists))
    if not repeats:
        rows = [[NOTHING if item in row[:place] else item for place, item in enumerate(row)] for row in rows]
    return Shown(world, np.array(user, np.int32), np.array(rows, np.int32).reshape(n_lists, k))
