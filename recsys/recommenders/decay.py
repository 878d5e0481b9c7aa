"""Sums in which what is old counts less, one number per item and kind, touched once per event."""

from __future__ import annotations

from typing import Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.contract import HISTORY, of_history
from recsys.recommenders.arrays import packed, unpacked

DAY_S: Final = 86_400.0
# Weights grow by powers of two; far below float64's 2**1023 they are scaled back by an exact power of two.
RESCALE_AT: Final = 500
VANISHED: Final = -5_000  # any weight times this power of two is 0
Doubles = NDArray[np.float64]


class DecayedSums:
    """Forward decay (Cormode et al. 2009): what was received at t weighs ``2 ** ((t - origin) / half_life)``.

    Adding touches one number, whatever the history. The sums depend on the order of what is added but not on how it
    was cut into batches, so a replay of the log gives the same numbers to the last bit.
    """

    def __init__(self, kinds: int, half_life_days: float) -> None:
        if not 0 < half_life_days < np.inf:
            raise ValueError("half_life_days must be above 0")
        self.half_life_s = half_life_days * DAY_S
        self.origin: float | None = None  # receipt of the first event, Unix seconds
        self.latest = 0.0  # newest receipt, Unix seconds
        self._shift = 0
        self._sums = np.zeros((kinds, 0))

    def resize(self, items: int) -> None:
        """Make room for a catalogue that has grown to ``items``."""
        missing = items - self._sums.shape[1]
        if missing > 0:
            self._sums = np.pad(self._sums, ((0, 0), (0, missing)))

    def begin(self, received: Doubles) -> None:
        """Events with these receipts (r,), at least one, are about to be added."""
        if self.origin is None:
            self.origin = float(received[0])
        self.latest = max(self.latest, float(received.max()))

    def weights(self, received: Doubles) -> Doubles:
        """Of events with these receipts (r,), after ``begin``."""
        assert self.origin is not None
        whole = np.floor(ages := (received - self.origin) / self.half_life_s)
        if (highest := int(whole.max())) - self._shift > RESCALE_AT:
            self._sums = np.ldexp(self._sums, max(self._shift - highest, VANISHED))
            self._shift = highest
        exponents = np.maximum(whole - self._shift, VANISHED).astype(np.int64)
        weights: Doubles = np.ldexp(np.exp2(ages - whole), exponents)
        return weights

    def add(self, kind: int, index: NDArray[np.integer], weights: Doubles) -> None:
        """Add weights (r,) to the sums of items ``index`` (r,), for which there is room."""
        np.add.at(self._sums[kind], index, weights)

    def now(self) -> Doubles:
        """(kinds, n) as of the newest event."""
        scale = 1.0 if self.origin is None else 1 / float(self.weights(np.array([self.latest]))[0])
        return np.maximum(self._sums, 0) * scale  # what was taken away again may leave rounding errors

    def save(self) -> bytes:
        origin = np.nan if self.origin is None else self.origin
        return packed(scalars=np.array([self.half_life_s, origin, self.latest, self._shift]), sums=self._sums)

    @classmethod
    def load(cls, saved: bytes, kinds: int, half_life_days: float) -> Self:
        """What was saved. ValueError: with another half-life, or by a version that counted other kinds."""
        arrays = unpacked(saved)
        if arrays.keys() != {"scalars", "sums"} or len(arrays["sums"]) != kinds or len(arrays["scalars"]) != 4:
            raise ValueError("sums of another version")
        sums = cls(kinds, half_life_days)
        half_life_s, origin, latest, shift = arrays["scalars"].tolist()
        if half_life_s != sums.half_life_s:
            raise ValueError("sums with another half-life")
        sums.origin = None if np.isnan(origin) else origin
        sums.latest, sums._shift, sums._sums = latest, int(shift), arrays["sums"]
        return sums


def voted(rows: pl.DataFrame) -> tuple[pl.DataFrame, Doubles, Doubles]:
    """Rows of known items, each with the kind it is about, its sign and its time of receipt (r,).

    An undo takes away what its reaction added: the kind and the time of receipt are in its row. The kind of what is
    from before this system begins with HISTORY.
    """
    sign = np.ones(rows.height)
    undo, history = (rows["kind"] == "undo").to_numpy(), (rows["source"] == HISTORY).to_numpy()
    if history.any():
        rows = rows.with_columns(
            kind=pl.when(source=HISTORY).then(pl.format(of_history("{}"), "kind")).otherwise("kind")
        )
    if not undo.any():
        return rows, sign, rows["received_at"].to_numpy()
    sign[undo] = -1
    rows = rows.with_columns(kind=pl.when(kind="undo").then("source").otherwise("kind"))
    return rows, sign, rows.select(pl.coalesce("undone_at", "received_at")).to_series().to_numpy()
