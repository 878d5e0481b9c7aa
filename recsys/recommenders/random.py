"""Random items: what every recommender has to beat."""

from __future__ import annotations

import numpy as np
import polars as pl

from recsys.catalogue import Items
from recsys.recommenders.port import Bools, Positions, Query, TrainingData


class RandomModel:
    def rank(self, query: Query, eligible: Bools, k: int, rng: np.random.Generator) -> Positions:
        unseen = np.flatnonzero(eligible)
        return rng.choice(unseen, min(k, len(unseen)), replace=False)

    def dump(self) -> bytes:
        return b""


class Random:
    """Learns nothing."""

    def add(self, rows: pl.DataFrame) -> None:
        pass

    def fit(self, data: TrainingData, previous: RandomModel | None, rng: np.random.Generator) -> RandomModel:
        return RandomModel()

    def load(self, blob: bytes, items: Items) -> RandomModel:
        return RandomModel()

    def save(self) -> bytes:
        return b""

    def resume(self, saved: bytes, row: int) -> int:
        return row
