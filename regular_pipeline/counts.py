"""Time-decayed counts of likes, dislikes, impressions and answered impressions of every item, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.ranking.posterior import Floats
from recsys.stores.event_log import write_whole
from regular_pipeline.slates import Slates

KINDS: Final = ("like", "dislike", "impression", "answered")  # the last: impressions in slates that were answered
DAY_S: Final = 86_400.0
# Weights grow by powers of two; far below float64's 2**1023 they are scaled back by an exact power of two.
RESCALE_AT: Final = 500
VANISHED: Final = -5_000  # any weight times this power of two is 0


class Counts:
    """Forward decay (Cormode et al. 2009): a row received at t weighs ``2 ** ((t - origin) / half_life)``.

    Adding a row touches one number, whatever the history. The sums depend on the order of the rows but not on how they
    were cut into batches, so a replay of the log gives the same numbers to the last bit.
    """

    slates: Slates  # fed by ``add``; a copy has none

    def __init__(self, half_life_days: float) -> None:
        self.half_life_s = half_life_days * DAY_S
        self.rows = 0
        self.origin: float | None = None  # receipt of the first row, Unix seconds
        self.latest = 0.0  # newest receipt, Unix seconds
        self.slates = Slates()
        self._shift = 0
        self._sums = np.zeros((len(KINDS), 0))

    def resize(self, items: int) -> None:
        """Make room for a catalogue that has grown to ``items``."""
        missing = items - self._sums.shape[1]
        if missing > 0:
            self._sums = np.pad(self._sums, ((0, 0), (0, missing)))

    def add(self, rows: pl.DataFrame) -> None:
        """Rows of the event log that follow those already added. Those of unknown items may only answer a slate."""
        self.rows += rows.height
        answered = self.slates.add(rows)
        known = rows.filter(pl.col("item_index") >= 0)
        if known.height:
            self._count(known)
        if len(answered.index):
            np.add.at(self._sums[-1], answered.index, self._weights(answered.received_at))

    def _count(self, known: pl.DataFrame) -> None:
        index = known["item_index"].to_numpy()
        self.resize(int(index.max()) + 1)
        received = known["received_at"].to_numpy()
        if self.origin is None:
            self.origin = float(received[0])
        self.latest = max(self.latest, float(received.max()))
        undo = (known["kind"] == "undo").to_numpy()
        if undo.any():
            # It takes away what the reaction added: the kind and the time of receipt are in its row.
            known = known.with_columns(kind=pl.when(kind="undo").then("source").otherwise("kind"))
            received = known.select(pl.coalesce("undone_at", "received_at")).to_series().to_numpy()
        weights = np.where(undo, -1, 1) * self._weights(received)
        for row, kind in enumerate(KINDS[:-1]):
            chosen = (known["kind"] == kind).to_numpy()
            np.add.at(self._sums[row], index[chosen], weights[chosen])

    def _weights(self, received: NDArray[np.float64]) -> NDArray[np.float64]:
        assert self.origin is not None
        whole = np.floor(ages := (received - self.origin) / self.half_life_s)
        if (highest := int(whole.max())) - self._shift > RESCALE_AT:
            self._sums = np.ldexp(self._sums, max(self._shift - highest, VANISHED))
            self._shift = highest
        exponents = np.maximum(whole - self._shift, VANISHED).astype(np.int64)
        weights: NDArray[np.float64] = np.ldexp(np.exp2(ages - whole), exponents)
        return weights

    def decayed(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Likes, dislikes, impressions and answered impressions (n,), as of the newest row.

        An item was seen at least as often as it was reacted to: where there were more reactions than impressions, or
        than answered ones, these are as many as the reactions.
        """
        scale = 1.0 if self.origin is None else 1 / float(self._weights(np.array([self.latest]))[0])
        likes, dislikes, impressions, answered = np.maximum(self._sums, 0) * scale  # undos may leave rounding errors
        reactions = likes + dislikes
        impressions, answered = np.maximum(impressions, reactions), np.maximum(answered, reactions)
        return (
            likes.astype(np.float32),
            dislikes.astype(np.float32),
            impressions.astype(np.float32),
            answered.astype(np.float32),
        )

    def copy(self) -> Counts:
        """These counts as they are now, to read and to save. It has no slates, so nothing can be added to it."""
        other = Counts.__new__(Counts)
        other.__dict__.update(self.__dict__)
        del other.slates
        other._sums = self._sums.copy()
        return other

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all: StoreUnavailable.

        The slates are not in it: ``EpochWork`` reads them from the log.
        """
        origin = np.nan if self.origin is None else self.origin
        scalars = np.array([self.half_life_s, self.rows, origin, self.latest, self._shift])
        write_whole(path, lambda file: np.savez(file, scalars=scalars, sums=self._sums))

    @classmethod
    def load(cls, path: Path, half_life_days: float) -> Counts:
        """The checkpoint at ``path``, without slates; empty counts if there is none or it is of another make.

        That is, made with another half-life or by a version that counted other kinds.
        """
        counts = cls(half_life_days)
        if not path.exists():
            return counts
        with np.load(path) as saved:
            half_life_s, rows, origin, latest, shift = saved["scalars"].tolist()
            sums = saved["sums"]
            if half_life_s == counts.half_life_s and len(sums) == len(KINDS):
                counts.rows, counts.latest, counts._shift = int(rows), latest, int(shift)
                counts.origin = None if np.isnan(origin) else origin
                counts._sums = sums
        return counts
