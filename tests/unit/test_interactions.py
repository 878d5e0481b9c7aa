"""The last word of every user on every item: against a dictionary that follows the log row by row."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.recommenders.interactions import Interactions, by_position, interactions, opinions
from recsys.user_state import DISLIKE, LIKE, SHOWN, UNDO
from tests.servers import ROOT
from tests.unit.by_hand import data_of, log_of, user_of

FAST = settings(deadline=None, max_examples=100)
ITEMS = 4
Row = tuple[str, str, int]
KIND = st.sampled_from(["like", "dislike", "hide", "impression", "undo", "undo like", "undo dislike"])
ROWS = st.lists(st.tuples(st.sampled_from("abc"), KIND, st.integers(-1, ITEMS - 1)), max_size=30)
# Five users and everything that can be said of an item.
LOG = [(user, kind, item) for item in range(3) for user in "edcba" for kind in ("impression", "like", "hide")][:-4]
AGAIN = f"""
import hashlib
from recsys.recommenders.interactions import interactions
from tests.unit.by_hand import data_of, log_of
found = interactions(data_of({ITEMS}, log_of(*{LOG!r})))
print(hashlib.sha256(found.user.tobytes() + found.item.tobytes() + found.liked.tobytes()).hexdigest())
"""


def found_in(*rows: Row) -> Interactions:
    return interactions(data_of(ITEMS, log_of(*rows)))


def words(found: Interactions) -> Counter[frozenset[tuple[int, bool]]]:
    """How many users say just this."""
    said: defaultdict[int, set[tuple[int, bool]]] = defaultdict(set)
    for user, item, liked in zip(found.user.tolist(), found.item.tolist(), found.liked.tolist(), strict=True):
        said[user].add((item, liked))
    assert sum(map(len, said.values())) == len(found.item), "one word on each item"
    assert sorted(said) == list(range(found.users)), "numbered from 0"
    return Counter(map(frozenset, said.values()))


def last_words(rows: list[Row]) -> Counter[frozenset[tuple[int, bool]]]:
    said: defaultdict[str, dict[int, bool]] = defaultdict(dict)
    for user, kind, item in rows:
        if kind == "impression" or item < 0:
            continue
        said[user].pop(item, None)
        if not kind.startswith("undo"):
            said[user][item] = kind == "like"
    return Counter(frozenset(of.items()) for of in said.values() if of)


def same(a: Interactions, b: Interactions) -> bool:
    arrays = ("user", "item", "liked")
    return (a.users, a.items) == (b.users, b.items) and all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in arrays
    )


@FAST
@given(ROWS, st.data())
def test_the_last_word_of_each_user_on_each_item_counts_however_the_log_is_cut(
    rows: list[Row], data: st.DataObject
) -> None:
    places = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    pieces = [log_of(*rows[a:b]) for a, b in zip([0, *places], [*places, len(rows)], strict=True)]
    found = interactions(data_of(ITEMS, *pieces))
    assert words(found) == last_words(rows)
    assert found.items == ITEMS
    assert same(found, found_in(*rows)), "the same numbers, in the same order"


def test_the_same_log_gives_the_same_numbers_in_every_process() -> None:
    ended = subprocess.run([sys.executable, "-c", AGAIN], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    found = found_in(*LOG)
    arrays = found.user.tobytes() + found.item.tobytes() + found.liked.tobytes()
    assert ended.stdout.strip() == hashlib.sha256(arrays).hexdigest()


def test_who_says_it_first_does_not_matter() -> None:
    said = [(user, "like", item) for user in "abcde" for item in range(ITEMS)]
    assert same(found_in(*said), found_in(*said[::-1]))


def test_of_items_that_were_unknown_nothing_is_said() -> None:
    found = found_in(("a", "like", -1), ("a", "like", 2), ("a", "undo like", -1), ("b", "dislike", -1))
    assert (found.users, found.item.tolist(), found.liked.tolist()) == (1, [2], [True])


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [("a", "impression", 1)],
        [("a", "like", 1), ("a", "undo like", 1)],
        [("a", "like", 1), ("a", "hide", 1), ("a", "undo like", 1), ("a", "undo hide", 1)],
    ],
    ids=["no row", "nothing but impressions", "all taken back", "all of it taken back"],
)
def test_where_nothing_is_said_there_are_no_users(rows: list[Row]) -> None:
    found = found_in(*rows)
    assert (found.users, found.items, len(found.user), len(found.item), len(found.liked)) == (0, ITEMS, 0, 0, 0)
    assert found.matrix(1.0, -1.0).shape == (0, ITEMS)


def test_items_that_nobody_knows_have_columns_too() -> None:
    assert replace(found_in(("a", "like", 0)), items=9).matrix(1.0).shape == (1, 9)


def test_a_matrix_has_the_values_that_are_asked_for() -> None:
    """Three users, each known by the item that he alone likes."""
    found = found_in(
        ("a", "like", 0), ("a", "dislike", 3), ("b", "like", 1), ("b", "hide", 0), ("c", "like", 2), ("c", "like", 3)
    )
    matrix = found.matrix(20.0, -2.0)
    assert matrix.dtype == np.float32
    assert sorted(matrix.toarray().tolist()) == [[-2, 20, 0, 0], [0, 0, 20, 20], [20, 0, 0, -2]]
    likes = found.matrix(1.0)
    assert sorted(likes.toarray().tolist()) == [[0, 0, 1, 1], [0, 1, 0, 0], [1, 0, 0, 0]]
    assert likes.nnz == 4, "without entries of 0"


def test_reading_the_log_is_told() -> None:
    told: list[tuple[float, str]] = []
    data = replace(data_of(ITEMS, log_of(*[("a", "like", 0)] * 1_500)), progress=lambda *of: told.append(of))
    interactions(data)
    assert told == [(0.0, "reading 1,500 rows")]


def test_opinions_of_a_user_are_his_last_words_on_items_that_the_model_knows() -> None:
    user = user_of((3, LIKE), (1, LIKE), (0, DISLIKE), (5, LIKE), (6, DISLIKE), (1, DISLIKE), (2, SHOWN))
    user_again = user_of((3, LIKE), (4, LIKE), (4, UNDO), (0, DISLIKE), (0, LIKE))
    assert [found.tolist() for found in opinions(user, 5)] == [[3], [0, 1]]
    assert [found.tolist() for found in opinions(user, 7)] == [[3, 5], [0, 1, 6]]
    assert [found.tolist() for found in opinions(user_again, 5)] == [[0, 3], []]
    assert [found.tolist() for found in opinions(user_of(), 5)] == [[], []]


@pytest.mark.parametrize("rows", [np.ones((2, 3), np.float32), np.ones(2, np.float32)], ids=["vectors", "numbers"])
def test_newer_items_have_zeros(rows: np.ndarray) -> None:
    found = by_position(rows, 4)
    assert found.dtype == np.float32
    assert found.shape == (4, *rows.shape[1:])
    assert (found[:2].min(), np.abs(found[2:]).max()) == (1, 0)
    found[:] = 7
    assert rows.max() == 1, "it is a copy"
    by_position(rows, 2)[:] = 7
    assert rows.max() == 1
