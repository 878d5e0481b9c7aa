"""What the system remembers of one user: an append-only string of 4-byte codes.

A code is ``item_index << 2 | mark`` as little-endian uint32, oldest first. Both writers only ever append, so they need
no lock between them: the recommendations service appends what it shows, the pipeline appends reactions. An undo voids
the earlier reactions to its item: what is left of them, and of the undo, is that the item was shown.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

Indices = NDArray[np.int64]
Marks = int | NDArray[np.integer[Any]]
DTYPE: Final = np.dtype("<u4")
_NEVER: Final = -(2**31)
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


def marks_of(kinds: pl.Series) -> NDArray[np.uint8]:
    """The marks (n,) of the log's kinds of event. Comparing is several times faster here than polars' ``replace``."""
    marks = np.zeros(len(kinds), np.uint8)
    for kind, mark in MARKS.items():
        marks[(kinds == kind).to_numpy()] = mark
    return marks


class UserState:
    """What one user was shown and said, oldest first: ``indices`` (m,) of items and ``marks`` (m,).

    Marks are SHOWN, LIKE and DISLIKE; undos are applied. A user nobody has seen has ``codes == b""`` and empty arrays.
    """

    __slots__ = ("indices", "marks")

    def __init__(self, codes: bytes) -> None:
        raw = np.frombuffer(codes, dtype=DTYPE)
        self.indices: Indices = (raw >> 2).astype(np.int64)
        self.marks = _undone(self.indices, raw & 3)

    @property
    def reacted(self) -> bool:
        """Whether anything that this user said stands."""
        return bool(self.marks.any())  # SHOWN is 0

    def marked(self, mark: int) -> Indices:
        """Positions with this mark in the order they were made; repeats stay."""
        found: Indices = self.indices[self.marks == mark]
        return found

    def said(self) -> tuple[Indices, NDArray[np.integer[Any]]]:
        """Distinct positions (r,) that stand as liked or disliked, and which of both (r,), by the last word on each."""
        reacted = np.flatnonzero(self.marks != SHOWN)
        _, newest = np.unique(self.indices[reacted][::-1], return_index=True)
        last = reacted[::-1][newest]
        return self.indices[last], self.marks[last]

    def below(self, items: int) -> UserState:
        """Without positions from ``items`` on."""
        if not len(self.indices) or self.indices.max() < items:
            return self
        kept = UserState(b"")
        known = self.indices < items
        kept.indices, kept.marks = self.indices[known], self.marks[known]
        return kept

    def answered(self, places: int) -> Indices:
        """Distinct positions, ascending, that were reacted to or among the ``places`` shown last before a reaction."""
        reacted = self.marks[::-1] != SHOWN  # newest first
        shown = np.cumsum(~reacted)  # so many, up to here
        at_reaction = np.maximum.accumulate(np.where(reacted, shown, _NEVER))
        answered: Indices = np.unique(self.indices[::-1][shown - at_reaction <= places])
        return answered


def _undone(indices: Indices, marks: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """The marks (n,) with every undo, and what it voids, turned into SHOWN."""
    undone = marks == UNDO
    if not undone.any():
        return marks
    undos = np.flatnonzero(undone)
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
