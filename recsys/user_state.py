"""What the system remembers of one user: an append-only string of 4-byte codes.

A code is ``item_index << 2 | mark`` as little-endian uint32, oldest first. Both writers only ever append, so they need
no lock between them: the recommendations service appends what it shows, the pipeline appends reactions. An undo voids
the earlier reactions to its item: what is left of them, and of the undo, is that the item was shown.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Indices = NDArray[np.int64]
Marks = int | NDArray[np.integer[Any]]
DTYPE: Final = np.dtype("<u4")
SHOWN: Final = 0
LIKE: Final = 1
DISLIKE: Final = 2
UNDO: Final = 3  # in codes only: decoded marks have it applied
# For the user alone "hide" is a dislike: never again, and evidence of his taste. Only like rates leave it out.
MARKS: Final = {"impression": SHOWN, "like": LIKE, "dislike": DISLIKE, "hide": DISLIKE, "undo": UNDO}


def encode(indices: ArrayLike, marks: Marks) -> bytes:
    """Catalogue positions (n,) below 2**30 and their marks (n,), or one for all → 4 n bytes; empty for none."""
    return _codes(indices, marks).tobytes()


def _codes(indices: ArrayLike, marks: Marks) -> NDArray[np.uint32]:
    return (np.asarray(indices, DTYPE) << 2 | marks).astype(DTYPE)


class UserState:
    """Decoded view of one user's codes. A user nobody has seen has ``codes == b""`` and empty arrays."""

    __slots__ = ("indices", "marks")

    def __init__(self, codes: bytes) -> None:
        raw = np.frombuffer(codes, dtype=DTYPE)
        self.indices: Indices = (raw >> 2).astype(np.int64)
        self.marks = _undone(self.indices, raw & 3)

    def marked(self, mark: int) -> Indices:
        """Positions with this mark in the order they were made; repeats stay."""
        found: Indices = self.indices[self.marks == mark]
        return found

    def answered(self, places: int) -> Indices:
        """Distinct positions, ascending, that were reacted to or among the ``places`` shown last before a reaction."""
        shown = np.flatnonzero(self.marks == SHOWN)
        reacted = np.flatnonzero(self.marks != SHOWN)
        # How many were shown before each reaction; of these the last ones were in front of the user.
        before = np.unique(np.searchsorted(shown, reacted))
        looked = np.zeros(len(shown) + 1, dtype=np.int64)
        np.add.at(looked, np.maximum(before - places, 0), 1)
        np.add.at(looked, before, -1)
        seen = shown[np.cumsum(looked[:-1]) > 0]
        answered: Indices = np.unique(self.indices[np.concatenate([seen, reacted])])
        return answered


def _undone(indices: Indices, marks: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """The marks (n,) with every undo, and what it voids, turned into SHOWN."""
    undos = np.flatnonzero(marks == UNDO)
    if not len(undos):
        return marks
    items, item = np.unique(indices, return_inverse=True)
    last = np.full(len(items), -1)
    last[item[undos]] = undos
    return np.where(np.arange(len(marks)) <= last[item], np.uint32(SHOWN), marks)


def compacted(codes: bytes) -> bytes:
    """Only the last code of every (item, mark), order kept. Bounded by three codes per catalogue item."""
    user = UserState(codes)
    newest_first = _codes(user.indices, user.marks)[::-1]
    _, first = np.unique(newest_first, return_index=True)
    return newest_first[np.sort(first)][::-1].tobytes()
