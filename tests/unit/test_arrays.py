"""Models cross a process boundary as named arrays."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.recommenders.arrays import packed, unpacked

FAST = settings(deadline=None, max_examples=50)
SOME = {"rates": np.arange(6, dtype=np.float32), "known": np.array([1, 3]), "made_by": "popular", "row": 7}


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 3), np.float32),
        np.arange(12, dtype=np.int32).reshape(3, 4),
        np.array([True, False]),
        np.array([0.1, np.nan, np.inf]),
        np.frombuffer(b"\x00any\xff", np.uint8),
    ],
    ids=lambda array: str(array.dtype),
)
def test_unpacking_reverses_packing(array: np.ndarray[Any, Any]) -> None:
    (found,) = unpacked(packed(it=array)).values()
    assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_numbers_and_text_come_back_as_arrays_without_dimensions() -> None:
    found = unpacked(packed(**SOME))
    assert found.keys() == SOME.keys()
    assert (str(found["made_by"]), int(found["row"])) == ("popular", 7)


def test_nothing_at_all_can_be_packed() -> None:
    assert unpacked(packed()) == {}


def test_equal_values_pack_to_equal_bytes() -> None:
    assert packed(**SOME) == packed(**SOME) != packed(**SOME | {"row": 8})


def test_pickled_objects_are_refused() -> None:
    """Whoever loads runs no code of whoever saved."""
    buffer = io.BytesIO()
    np.savez(buffer, **SOME, likes=np.array([object()]))
    with pytest.raises(ValueError, match="allow_pickle"):
        unpacked(buffer.getvalue())


@FAST
@given(st.binary(max_size=40))
def test_other_bytes_are_refused(blob: bytes) -> None:
    with pytest.raises(ValueError):
        unpacked(blob)


@FAST
@given(st.integers(0, len(packed(**SOME)) - 1))
def test_a_file_that_ends_too_early_is_refused(size: int) -> None:
    with pytest.raises(ValueError):
        unpacked(packed(**SOME)[:size])
