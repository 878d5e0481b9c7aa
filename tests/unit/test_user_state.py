"""The codes that a user's history consists of."""

from __future__ import annotations

import struct
from typing import get_args

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.contract import Action
from recsys.user_state import DISLIKE, LIKE, MARKS, SHOWN, UNDO, UserState, compacted, encode, marks_of

FAST = settings(deadline=None, max_examples=50)
HISTORY = st.lists(st.tuples(st.integers(0, 5) | st.integers(0, 2**30 - 1), st.sampled_from([SHOWN, LIKE, DISLIKE])))


WITH_UNDO = st.lists(st.tuples(st.integers(0, 3), st.sampled_from([SHOWN, LIKE, DISLIKE, UNDO])))


def codes_of(history: list[tuple[int, int]]) -> bytes:
    return b"".join(encode([index], mark) for index, mark in history)


def history_of(codes: bytes) -> list[tuple[int, int]]:
    user = UserState(codes)
    return list(zip(user.indices.tolist(), user.marks.tolist(), strict=True))


@pytest.mark.parametrize(("mark", "low_bits"), [(SHOWN, 0), (LIKE, 1), (DISLIKE, 2)])
def test_a_code_is_four_little_endian_bytes(mark: int, low_bits: int) -> None:
    assert encode([0, 1, 300], mark) == struct.pack("<3I", low_bits, 4 + low_bits, 1200 + low_bits)


@FAST
@given(HISTORY)
def test_decoding_reverses_encoding(history: list[tuple[int, int]]) -> None:
    assert history_of(codes_of(history)) == history


@FAST
@given(st.lists(st.integers(0, 2**30 - 1)))
def test_lists_and_arrays_encode_alike(indices: list[int]) -> None:
    assert encode(indices, LIKE) == encode(np.array(indices, dtype=np.int64), LIKE)


def test_largest_position_survives() -> None:
    assert history_of(encode([2**30 - 1], DISLIKE)) == [(2**30 - 1, DISLIKE)]


def test_unseen_user_has_empty_arrays() -> None:
    user = UserState(b"")
    assert (len(user.indices), len(user.marks), len(user.marked(LIKE))) == (0, 0, 0)
    assert (encode([], LIKE), compacted(b"")) == (b"", b"")


@FAST
@given(HISTORY, st.sampled_from([SHOWN, LIKE, DISLIKE]))
def test_marked_keeps_order_and_repeats(history: list[tuple[int, int]], mark: int) -> None:
    assert UserState(codes_of(history)).marked(mark).tolist() == [index for index, m in history if m == mark]


def test_half_a_code_is_refused() -> None:
    with pytest.raises(ValueError, match="buffer size"):
        UserState(b"\0\0\0")


def test_marks_name_every_kind_of_row() -> None:
    assert {"impression", *get_args(Action)} == MARKS.keys()
    assert MARKS == {"impression": SHOWN, "like": LIKE, "dislike": DISLIKE, "hide": DISLIKE, "undo": UNDO}


@FAST
@given(HISTORY)
def test_compacting_keeps_the_last_of_each_code_in_order(history: list[tuple[int, int]]) -> None:
    last = {code: place for place, code in enumerate(history)}
    expected = [code for place, code in enumerate(history) if last[code] == place]
    assert history_of(compacted(codes_of(history))) == expected


@FAST
@given(HISTORY)
def test_compacting_twice_is_compacting_once(history: list[tuple[int, int]]) -> None:
    once = compacted(codes_of(history))
    assert compacted(once) == once


def test_an_undo_leaves_that_the_item_was_shown() -> None:
    history = [(1, SHOWN), (1, LIKE), (2, LIKE), (1, DISLIKE), (1, UNDO), (1, LIKE), (2, UNDO), (3, UNDO)]
    left = [(1, SHOWN), (1, SHOWN), (2, SHOWN), (1, SHOWN), (1, SHOWN), (1, LIKE), (2, SHOWN), (3, SHOWN)]
    assert history_of(codes_of(history)) == left


@FAST
@given(WITH_UNDO)
def test_nothing_before_the_last_undo_of_an_item_counts(history: list[tuple[int, int]]) -> None:
    last = {index: place for place, (index, mark) in enumerate(history) if mark == UNDO}
    expected = [(index, SHOWN if place <= last.get(index, -1) else mark) for place, (index, mark) in enumerate(history)]
    assert history_of(codes_of(history)) == expected


@FAST
@given(HISTORY | WITH_UNDO, HISTORY | WITH_UNDO)
def test_compacting_the_past_does_not_change_the_result(
    past: list[tuple[int, int]], later: list[tuple[int, int]]
) -> None:
    assert compacted(compacted(codes_of(past)) + codes_of(later)) == compacted(codes_of(past + later))


def test_at_most_three_codes_per_item_remain() -> None:
    rng = np.random.default_rng(0)
    history = list(zip(rng.integers(0, 20, 5_000).tolist(), rng.integers(0, 3, 5_000).tolist(), strict=True))
    assert len(history_of(compacted(codes_of(history)))) == 60


def looked_at(history: list[tuple[int, int]], places: int) -> list[int]:
    """From every reaction back to the items shown last before it, one by one."""
    found = set()
    for place, (reacted, mark) in enumerate(history):
        if mark == SHOWN:
            continue
        found.add(reacted)
        left = places
        for index, earlier in reversed(history[:place]):
            if earlier == SHOWN and left > 0:
                found.add(index)
                left -= 1
    return sorted(found)


@FAST
@given(
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from([SHOWN] * 4 + [LIKE, DISLIKE, UNDO])), max_size=40),
    st.integers(0, 12),
)
def test_answered_is_what_was_in_front_of_a_reaction(history: list[tuple[int, int]], places: int) -> None:
    codes = codes_of(history)
    found = UserState(codes).answered(places)
    assert found.dtype == np.int64
    assert found.tolist() == looked_at(history_of(codes), places)


def test_a_list_after_the_last_reaction_is_not_answered() -> None:
    codes = encode([7, 5, 6], SHOWN) + encode([5], LIKE) + encode([1, 2, 3], SHOWN)
    assert UserState(codes).answered(3).tolist() == [5, 6, 7]
    assert UserState(codes).answered(2).tolist() == [5, 6]
    assert UserState(codes + encode([9], DISLIKE)).answered(3).tolist() == [1, 2, 3, 5, 6, 7, 9]


@pytest.mark.parametrize("codes", [b"", encode([1, 2], SHOWN), encode([1], SHOWN) + encode([1], UNDO)])
def test_without_a_reaction_nothing_is_answered(codes: bytes) -> None:
    assert UserState(codes).answered(10).tolist() == []


# marks of the log's rows


@FAST
@given(st.lists(st.sampled_from([*MARKS, "", "anything"])))
def test_marks_are_those_of_each_kind_of_row(kinds: list[str]) -> None:
    found = marks_of(pl.Series("kind", kinds, pl.String))
    assert found.dtype == np.uint8
    assert found.tolist() == [MARKS.get(kind, SHOWN) for kind in kinds]


# what a user said


def last_words(history: list[tuple[int, int]]) -> dict[int, int]:
    """By item, from the first to the last: an undo leaves nothing said."""
    found: dict[int, int] = {}
    for index, mark in history:
        if mark == UNDO:
            found.pop(index, None)
        elif mark != SHOWN:
            found[index] = mark
    return found


@FAST
@given(HISTORY | WITH_UNDO)
def test_what_was_said_is_the_last_word_on_each_item(history: list[tuple[int, int]]) -> None:
    items, marks = UserState(codes_of(history)).said()
    assert items.dtype == np.int64
    assert len(set(items.tolist())) == len(items) == len(marks)
    assert dict(zip(items.tolist(), marks.tolist(), strict=True)) == last_words(history)


@FAST
@given(HISTORY | WITH_UNDO)
def test_compacting_does_not_change_what_was_said(history: list[tuple[int, int]]) -> None:
    before, after = (UserState(codes).said() for codes in (codes_of(history), compacted(codes_of(history))))
    assert [column.tolist() for column in before] == [column.tolist() for column in after]


def test_one_may_change_his_mind() -> None:
    items, marks = UserState(codes_of([(7, LIKE), (5, DISLIKE), (7, DISLIKE), (5, SHOWN), (5, LIKE)])).said()
    assert dict(zip(items.tolist(), marks.tolist(), strict=True)) == {7: DISLIKE, 5: LIKE}


@pytest.mark.parametrize("codes", [b"", encode([1, 2], SHOWN), encode([1], LIKE) + encode([1], UNDO)])
def test_who_said_nothing_that_stands_said_nothing(codes: bytes) -> None:
    assert [column.tolist() for column in UserState(codes).said()] == [[], []]


# what a model of fewer items may know of it


@FAST
@given(HISTORY | WITH_UNDO, st.integers(0, 7) | st.just(2**30))
def test_below_is_a_history_of_the_first_items_alone(history: list[tuple[int, int]], items: int) -> None:
    state = UserState(codes_of(history))
    kept = state.below(items)
    found = list(zip(kept.indices.tolist(), kept.marks.tolist(), strict=True))
    assert found == [(index, mark) for index, mark in history_of(codes_of(history)) if index < items]
    assert found == history_of(codes_of([(index, mark) for index, mark in history if index < items]))
    assert kept.marked(LIKE).tolist() == [index for index in state.marked(LIKE).tolist() if index < items]


@FAST
@given(HISTORY, st.integers(0, 7))
def test_of_below_everything_else_follows(history: list[tuple[int, int]], items: int) -> None:
    """As if this user had never met the other items."""
    expected = UserState(codes_of([(index, mark) for index, mark in history if index < items]))
    kept = UserState(codes_of(history)).below(items)
    assert kept.answered(3).tolist() == expected.answered(3).tolist()
    assert [column.tolist() for column in kept.said()] == [column.tolist() for column in expected.said()]
    assert (kept.indices.dtype, kept.marks.dtype) == (expected.indices.dtype, expected.marks.dtype)


@FAST
@given(HISTORY, st.integers(0, 7))
def test_below_leaves_the_whole_history_as_it_is(history: list[tuple[int, int]], items: int) -> None:
    state = UserState(codes_of(history))
    state.below(items)
    assert list(zip(state.indices.tolist(), state.marks.tolist(), strict=True)) == history


def test_a_history_of_the_first_items_is_itself() -> None:
    state = UserState(encode([3, 1], SHOWN))
    assert state.below(4) is state
    assert state.below(3) is not state
    nobody = UserState(b"")
    assert nobody.below(0) is nobody
