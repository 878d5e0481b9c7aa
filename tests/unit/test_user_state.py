"""The codes that a user's history consists of."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.user_state import DISLIKE, LIKE, MARKS, SHOWN, UserState, compacted, encode

FAST = settings(deadline=None, max_examples=50)
HISTORY = st.lists(st.tuples(st.integers(0, 5) | st.integers(0, 2**30 - 1), st.sampled_from([SHOWN, LIKE, DISLIKE])))


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
    assert MARKS == {"impression": SHOWN, "like": LIKE, "dislike": DISLIKE}


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


@FAST
@given(HISTORY, HISTORY)
def test_compacting_the_past_does_not_change_the_result(
    past: list[tuple[int, int]], later: list[tuple[int, int]]
) -> None:
    assert compacted(compacted(codes_of(past)) + codes_of(later)) == compacted(codes_of(past + later))


def test_at_most_three_codes_per_item_remain() -> None:
    rng = np.random.default_rng(0)
    history = list(zip(rng.integers(0, 20, 5_000).tolist(), rng.integers(0, 3, 5_000).tolist(), strict=True))
    assert len(history_of(compacted(codes_of(history)))) == 60
