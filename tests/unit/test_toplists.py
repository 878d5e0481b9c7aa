"""The best items overall and of each genre."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.catalogue import Catalogue, Items
from recsys.contract import ItemRecord
from recsys.recommenders.bandit.posterior import Genres
from recsys.recommenders.toplists import (
    ALL_ITEMS,
    GENRE_PREFIX,
    TOP_LIST_SIZE,
    Positions,
    fair_top,
    genre_tops,
    top_list,
    top_lists,
)
from tests.unit.by_hand import catalogue_of, items_of

FAST = settings(deadline=None, max_examples=50)
World = tuple[Positions, Genres, int]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """An order, at most two genres for each item (halves are exact in floating point), and a size."""
    n, g = draw(st.integers(0, 12)), draw(st.integers(0, 4))
    genres = np.zeros((n, g), dtype=bool)
    for row in range(n if g else 0):
        genres[row, draw(st.lists(st.integers(0, g - 1), max_size=2))] = True
    order = np.array(draw(st.permutations(range(n))), dtype=np.int32)
    return order, genres, draw(st.integers(0, 14))


def shares(genres: Genres) -> list[list[Fraction]]:
    return [[Fraction(int(has), max(int(row.sum()), 1)) for has in row] for row in genres]


def caps(genres: Genres, size: int) -> list[int]:
    mass = [sum(column, Fraction()) for column in zip(*shares(genres), strict=True)] or [Fraction()] * genres.shape[1]
    return [ceil(size * m / sum(mass)) if sum(mass) else 0 for m in mass]


def taken(positions: list[int], genres: Genres) -> list[Fraction]:
    weight = shares(genres)
    return [sum((weight[p][g] for p in positions), Fraction()) for g in range(genres.shape[1])]


def capped_part(order: list[int], genres: Genres, size: int) -> list[int]:
    """What the caps admit, one item at a time, in exact arithmetic."""
    chosen: list[int] = []
    for position in order:
        counts = taken([*chosen, position], genres)
        if len(chosen) < size and all(c <= cap for c, cap in zip(counts, caps(genres, size), strict=True)):
            chosen.append(position)
    return chosen


@FAST
@given(worlds())
def test_genre_tops_are_the_first_of_each_genre(world: World) -> None:
    order, genres, size = world
    expected = [[p for p in order.tolist() if genres[p, g]][:size] for g in range(genres.shape[1])]
    assert [top.tolist() for top in genre_tops(order, genres, size)] == expected


@FAST
@given(worlds())
def test_fair_top_holds_each_item_once_and_as_many_as_there_are(world: World) -> None:
    order, genres, size = world
    top = fair_top(order, genres, size)
    assert top.dtype == np.int32
    assert len(set(top.tolist())) == len(top) == min(size, len(order))
    assert set(top.tolist()) <= set(order.tolist())


@FAST
@given(worlds())
def test_no_genre_exceeds_its_share_unless_places_stay_empty(world: World) -> None:
    order, genres, size = world
    admitted = capped_part(order.tolist(), genres, size)
    top = fair_top(order, genres, size).tolist()
    assert set(admitted) <= set(top)
    if len(admitted) == len(top):
        assert top == admitted
        assert all(c <= cap for c, cap in zip(taken(top, genres), caps(genres, size), strict=True))


@FAST
@given(worlds())
def test_empty_places_go_to_the_best_of_the_rest(world: World) -> None:
    order, genres, size = world
    admitted = capped_part(order.tolist(), genres, size)
    rest = [p for p in order.tolist() if p not in admitted]
    top = fair_top(order, genres, size).tolist()
    assert sorted(top) == sorted([*admitted, *rest[: max(size - len(admitted), 0)]])


@FAST
@given(worlds())
def test_items_without_genres_are_not_capped(world: World) -> None:
    order, genres, size = world
    assert fair_top(order, np.zeros_like(genres), size).tolist() == order[:size].tolist()


def test_a_genre_gets_its_part_of_the_catalogue() -> None:
    genres = np.repeat([[True, False], [False, True]], [90, 10], axis=0)
    assert fair_top(np.arange(100, dtype=np.int32), genres, 10).tolist() == [*range(9), 90]


def test_a_share_is_rounded_up() -> None:
    genres = np.repeat([[True, False], [False, True]], [2, 98], axis=0)
    assert fair_top(np.arange(100, dtype=np.int32), genres, 10).tolist() == [0, *range(2, 11)]


def test_a_whole_share_is_not_rounded_up() -> None:
    names = ["bcd", "bc", "ab", "acd", "abc", "bcd", "bcd", "b"]
    genres = np.array([[genre in of for genre in "abcd"] for of in names])
    order = np.arange(len(names), dtype=np.int32)
    assert fair_top(order, genres, 6).tolist() == capped_part(order.tolist(), genres, 6) == [0, 1, 2, 3, 5, 7]


def test_best_first_even_when_places_were_filled() -> None:
    genres = np.array([[genre in of for genre in "abcd"] for of in ["c", "cd", "abd", "a", "b"]])
    top = fair_top(np.arange(5, dtype=np.int32), genres, 3).tolist()
    assert top == sorted(top)


# the published lists


def named(size: int, seed: int = 0) -> Items:
    """Items of two of six genres each."""
    rng = np.random.default_rng(seed)
    return catalogue_of(*("".join(rng.choice(list("abcdef"), 2, replace=False)) for _ in range(size))).items()


def test_top_lists_name_the_best_items_of_each_genre() -> None:
    lists = top_lists(np.array([0, 2, 1, 3, 4]), catalogue_of("a", "b", "ab", "", "b").items())
    assert lists == {
        ALL_ITEMS: ["i0", "i2", "i1", "i3", "i4"],
        GENRE_PREFIX + "a": ["i0", "i2"],
        GENRE_PREFIX + "b": ["i2", "i1", "i4"],
    }


def test_top_lists_hold_at_most_a_hundred_items_of_their_genre() -> None:
    items, order = named(600), np.random.default_rng(1).permutation(600)
    lists = top_lists(order, items)
    assert len(lists) == 1 + len(items.genre_names)
    assert lists[ALL_ITEMS] == [items.ids[p] for p in fair_top(order, items.genres, TOP_LIST_SIZE)]
    for column, name in enumerate(items.genre_names):
        of_genre = [items.ids[p] for p in order if items.genres[p, column]]
        assert lists[GENRE_PREFIX + name] == of_genre[:TOP_LIST_SIZE]
        assert top_list(order, items, name) == of_genre[:TOP_LIST_SIZE]
    assert top_list(order, items) == lists[ALL_ITEMS]
    assert all(isinstance(item, str) for item in lists[ALL_ITEMS])


@pytest.mark.parametrize("size", [0, 3, TOP_LIST_SIZE, TOP_LIST_SIZE + 1])
def test_a_top_list_is_as_long_as_there_are_items(size: int) -> None:
    items = items_of(size, np.ones((size, 1)))
    best = [f"i{n}" for n in range(min(size, TOP_LIST_SIZE))]
    assert top_list(np.arange(size), items) == top_list(np.arange(size), items, "g0") == best


def test_items_and_genres_that_are_newer_than_the_order_wait() -> None:
    lists = top_lists(np.array([1, 0]), catalogue_of("a", "b", "c", "ab").items())
    assert lists == {ALL_ITEMS: ["i1", "i0"], "genre:a": ["i0"], "genre:b": ["i1"], "genre:c": []}


def test_an_empty_catalogue_has_an_empty_list() -> None:
    assert top_lists(np.zeros(0, np.int64), items_of(0)) == {ALL_ITEMS: []}


def test_a_genre_of_any_name_leaves_the_list_over_all_items() -> None:
    catalogue = Catalogue()
    catalogue.extend([ItemRecord(id="a", genres=(ALL_ITEMS,)), ItemRecord(id="b")])
    lists = top_lists(np.array([1, 0]), catalogue.items())
    assert lists == {ALL_ITEMS: ["b", "a"], "genre:all": ["a"]}
