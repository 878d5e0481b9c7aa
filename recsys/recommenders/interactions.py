"""What users said of items, as the log holds it: what periodic learners train on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.recommenders.port import Floats, TrainingData
from recsys.user_state import DISLIKE, LIKE, UserState

Ints = NDArray[np.int32]
KINDS: Final = {"like": LIKE, "dislike": DISLIKE, "hide": DISLIKE, "undo": 0}


@dataclass(frozen=True)
class Interactions:
    """The last word of every user on every item (r,): reactions that were taken back are left out."""

    users: int  # numbered from 0 in no particular order
    items: int
    user: Ints
    item: Ints
    liked: NDArray[np.bool_]

    def matrix(self, like: float, dislike: float = 0.0) -> csr_matrix:
        """(users, items) float32 with these values where somebody liked and disliked; without entries of 0."""
        values = np.where(self.liked, np.float32(like), np.float32(dislike))
        kept = values != 0
        shape = (self.users, self.items)
        return csr_matrix((values[kept], (self.user[kept], self.item[kept])), shape=shape)


def interactions(data: TrainingData) -> Interactions:
    """Of all rows of the log; those about items that were unknown when they were logged say nothing."""
    data.progress(0.0, f"reading {data.rows:,} rows")
    reactions = (
        data.scan()
        .filter(pl.col("kind") != "impression", pl.col("item_index") >= 0)
        .select(
            # Who it is does not matter, only who is the same: a number of 64 bits is a third of the memory of an id.
            user=pl.col("user_id").hash(),
            item="item_index",
            mark=pl.col("kind").replace_strict(KINDS, default=0, return_dtype=pl.UInt8),
        )
        .collect()
        .unique(subset=["user", "item"], keep="last", maintain_order=False)
        .filter(pl.col("mark") > 0)
        # In an order of its own, so that the same log gives the same model.
        .sort("item", "user")
    )
    user = reactions["user"].rank("dense").to_numpy().astype(np.int32) - 1
    return Interactions(
        int(user.max(initial=-1)) + 1,
        len(data.items),
        user,
        reactions["item"].to_numpy(),
        reactions["mark"].to_numpy() == LIKE,
    )


def opinions(state: UserState, items: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions below ``items`` that a user likes, and those that he dislikes, ascending."""
    positions, marks = state.said()
    known = positions < items
    positions, marks = positions[known], marks[known]
    return positions[marks == LIKE], positions[marks == DISLIKE]


def by_position(rows: Floats, items: int) -> Floats:
    """Rows (m, ...) with zeros for items that are newer, (items, ...)."""
    return np.pad(rows, ((0, items - len(rows)), *((0, 0),) * (rows.ndim - 1)))
