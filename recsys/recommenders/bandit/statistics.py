"""What a fit finds out about the items, and that as bytes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recsys.recommenders.arrays import packed, unpacked
from recsys.recommenders.port import Floats

SCALARS: Final = ("base_rate", "base_sd", "explore_share", "genre_variance")


@dataclass(frozen=True)
class Statistics:
    """Of the first n items and g genres of one epoch's catalogue, as of one row of its event log."""

    mean: Floats  # (n,) posterior like rate
    sd: Floats  # (n,) its standard deviation
    order: NDArray[np.int32]  # (n,) positions by mean, best first
    genre_rate: Floats  # (g,) like rate of an item of this genre that was never shown
    genre_sd: Floats  # (g,) its standard deviation
    base_rate: float  # the same of one without genres
    base_sd: float
    explore_share: float  # of a list's places, for the exploration queue
    item_factors: Floats  # (n, f) of the factor model
    genre_variance: float  # of its tastes for genres

    def dump(self) -> bytes:
        """Of the item factors only the rows that are not all 0: few items have any."""
        arrays: dict[str, Any] = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}
        known = np.flatnonzero(self.item_factors.any(axis=1))
        return packed(**arrays | {"item_factors": self.item_factors[known], "known": known})

    @classmethod
    def load(cls, blob: bytes) -> Statistics:
        """What was dumped. ValueError: by another version of this code."""
        values: dict[str, Any] = unpacked(blob)
        known = values.pop("known", None)
        if known is None or values.keys() != {f.name for f in fields(cls)}:
            raise ValueError(f"statistics with the fields {sorted(values)}")
        rows = values["item_factors"]
        values["item_factors"] = np.zeros((len(values["mean"]), rows.shape[1]), rows.dtype)
        values["item_factors"][known] = rows
        return cls(**values | {name: float(values[name]) for name in SCALARS})
