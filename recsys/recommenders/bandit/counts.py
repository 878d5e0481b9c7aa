"""Time-decayed counts of likes, dislikes, impressions and answered impressions of every item, row by row."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import polars as pl

from recsys.contract import HISTORY, of_history
from recsys.recommenders.arrays import packed, unpacked
from recsys.recommenders.bandit.slates import Slates
from recsys.recommenders.decay import DecayedSums, voted
from recsys.recommenders.port import Floats

# The fourth: impressions in slates that were answered. Then what is from before this system, and of how many users.
KINDS: Final = ("like", "dislike", "impression", "answered", of_history("like"), of_history("dislike"), "users")
ANSWERED: Final = KINDS.index("answered")
USERS: Final = KINDS.index("users")  # one number for all items, kept with the first


class Decayed(NamedTuple):
    """Time-decayed counts (n,) of every item.

    An item was seen at least as often as it was reacted to: where there were more reactions than impressions, or than
    answered ones, these are as many as the reactions. ``before`` is how many said something before this system: each
    of them could have rated every item.
    """

    likes: Floats
    dislikes: Floats
    impressions: Floats
    answered: Floats
    before: Floats


class Counts:
    """What the log says of the items, and the slates that it is in."""

    def __init__(self, half_life_days: float) -> None:
        self.slates = Slates()  # fed by ``add``
        self._sums = DecayedSums(len(KINDS), half_life_days)
        self._users: set[str] = set()  # who said something before this system

    def resize(self, items: int) -> None:
        """Make room for a catalogue that has grown to ``items``."""
        self._sums.resize(items)

    def add(self, rows: pl.DataFrame) -> None:
        """Rows of the event log that follow those already added. Those of unknown items may only answer a slate."""
        answered = self.slates.add(rows)
        known = rows.filter(pl.col("item_index") >= 0)
        if known.height:
            self._count(known)
        if len(answered.index):
            self._sums.add(ANSWERED, answered.index, self._sums.weights(answered.received_at))

    def _count(self, known: pl.DataFrame) -> None:
        index = known["item_index"].to_numpy()
        self.resize(int(index.max()) + 1)
        self._sums.begin(known["received_at"].to_numpy())
        if (history := known.filter(source=HISTORY)).height:
            self._count_users(history)
        known, sign, received = voted(known)
        weights = sign * self._sums.weights(received)
        for kind in set(KINDS) & set(known["kind"].unique()):
            chosen = (known["kind"] == kind).to_numpy()
            self._sums.add(KINDS.index(kind), index[chosen], weights[chosen])

    def _count_users(self, history: pl.DataFrame) -> None:
        new = history.filter(~pl.col("user_id").is_in(list(self._users))).unique(
            "user_id", keep="first", maintain_order=True
        )
        self._users.update(new["user_id"])
        if new.height:
            weights = self._sums.weights(new["received_at"].to_numpy())
            self._sums.add(USERS, np.zeros(len(weights), np.int64), weights)

    def decayed(self) -> Decayed:
        """All counts, as of the newest row."""
        likes, dislikes, impressions, answered, liked_before, disliked_before, users = self._sums.now()
        reactions = likes + dislikes
        impressions, answered = np.maximum(impressions, reactions), np.maximum(answered, reactions)
        before = np.maximum(users[:1].sum(), liked_before + disliked_before)
        columns = (likes + liked_before, dislikes + disliked_before, impressions, answered, before)
        return Decayed(*(column.astype(np.float32) for column in columns))

    def save(self) -> bytes:
        """All but the slates, which are read from the log again."""
        return packed(sums=np.frombuffer(self._sums.save(), np.uint8), users=np.array(sorted(self._users), np.str_))

    @classmethod
    def load(cls, saved: bytes, half_life_days: float) -> Counts:
        """What was saved, with empty slates. ValueError: with another half-life, or by another version."""
        values = unpacked(saved)
        if values.keys() != {"sums", "users"}:
            raise ValueError("counts of another version")
        counts = cls(half_life_days)
        counts._sums = DecayedSums.load(values["sums"].tobytes(), len(KINDS), half_life_days)
        counts._users = set(values["users"].tolist())
        return counts
