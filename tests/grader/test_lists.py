"""Lists judged by the hidden world."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.metrics.lists import NOTHING, count_before, judge, without_repeats
from grader.worlds.world import World
from tests.grader import definitions
from tests.grader.worlds import Shown, likes_in, opinions_in, shown_lists, world_of, worlds

FAST = settings(deadline=None, max_examples=60)


@FAST
@given(shown_lists())
def test_lists_are_judged_as_defined(shown: Shown) -> None:
    lists = judge(shown.world, shown.user, shown.items)
    expected = definitions.judged(likes_in(shown.world), shown.users, shown.rows)
    assert lists.number.tolist() == [one.number for one in expected]
    assert lists.items.tolist() == [one.items for one in expected]
    assert lists.fresh.tolist() == [one.fresh for one in expected]
    assert lists.hits.tolist() == [one.hits for one in expected]
    assert lists.relevant.tolist() == [one.relevant for one in expected]
    assert lists.remaining.tolist() == [one.remaining for one in expected]
    assert (len(lists), lists.k, lists.n_items) == (*shown.items.shape, shown.world.n_items)


def test_an_item_is_a_hit_once_and_only_for_who_likes_it() -> None:
    world = world_of([{0: True, 1: True, 2: False}, {0: False}], [set()] * 4)
    user = np.array([0, 1, 0, 0], np.int32)
    items = np.array([[3, 0, 0], [0, 1, 2], [0, 2, NOTHING], [1, 1, 1]], np.int32)
    lists = judge(world, user, items)
    assert lists.hits.astype(int).tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0]]
    assert lists.fresh.astype(int).tolist() == [[1, 1, 0], [1, 1, 1], [0, 1, 0], [1, 0, 0]]
    assert lists.number.tolist() == [1, 1, 2, 3]
    assert lists.relevant.tolist() == [2, 0, 2, 2]
    assert lists.remaining.tolist() == [2, 0, 1, 1]


@FAST
@given(st.lists(st.lists(st.integers(-1, 4), min_size=4, max_size=4)))
def test_only_the_first_of_each_item_in_a_list_stays(rows: list[list[int]]) -> None:
    cleaned = without_repeats(np.array(rows, np.int32).reshape(-1, 4)).tolist()
    assert cleaned == [[item if item not in row[:place] else -1 for place, item in enumerate(row)] for row in rows]


@FAST
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9))))
def test_count_before_sums_the_earlier_rows_of_the_user(rows: list[tuple[int, int]]) -> None:
    user, amounts = np.array(rows, np.int64).reshape(-1, 2).T
    expected = [sum(a for u, a in rows[:n] if u == who) for n, (who, _) in enumerate(rows)]
    assert count_before(user, amounts).tolist() == expected


@FAST
@given(worlds(), st.data())
def test_a_subset_holds_the_chosen_users_in_the_order_given(world: World, data: st.DataObject) -> None:
    users = data.draw(st.lists(st.integers(0, world.n_users - 1), unique=True, min_size=1))
    part = world.subset(np.array(users, np.int32))
    assert opinions_in(part) == [opinions_in(world)[user] for user in users]
    assert part.genre_lists() == world.genre_lists()
    assert part.likes_per_user.tolist() == [len(likes_in(world)[user]) for user in users]


@FAST
@given(worlds())
def test_a_world_counts_its_opinions(world: World) -> None:
    opinions, likes = opinions_in(world), likes_in(world)
    every = range(world.n_items)
    assert world.opinion_users.tolist() == [user for user, held in enumerate(opinions) for _ in held]
    assert world.likes_per_user.tolist() == [len(liked) for liked in likes]
    assert world.likes_per_item.tolist() == [sum(item in liked for liked in likes) for item in every]
    assert world.opinions_per_item.tolist() == [sum(item in held for held in opinions) for item in every]
    catalogue = world.catalogue
    assert (catalogue.likes.tolist(), catalogue.n_users) == (world.likes_per_item.tolist(), len(opinions))


def test_genres_are_named_as_they_are_added() -> None:
    world = world_of([{}], [{1}, set(), {0, 2}], n_genres=3)
    assert world.genre_lists() == [["genre 1"], [], ["genre 0", "genre 2"]]


def test_a_subset_of_a_generated_world_keeps_the_tastes_of_its_users() -> None:
    class ByNumber:
        def like_probability(self, users: np.ndarray) -> np.ndarray:
            return users[:, None].astype(np.float32)

    world = replace(world_of([{0: True}, {}, {0: False}], [set()]), taste=ByNumber())
    part = world.subset(np.array([2, 0], np.int32)).subset(np.array([1, 0], np.int32))
    assert part.taste is not None
    assert part.taste.like_probability(np.array([1, 0], np.int32)).tolist() == [[2.0], [0.0]]
