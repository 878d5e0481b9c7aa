"""The best items overall and of each genre."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.ranking.posterior import Genres
from recsys.ranking.toplists import Positions, fair_top, genre_tops

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
