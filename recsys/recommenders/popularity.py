"""What most people like who are shown it, lately: the same order for everybody."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from recsys.catalogue import Items
from recsys.contract import of_history
from recsys.recommenders.arrays import packed, unpacked
from recsys.recommenders.decay import DecayedSums, voted
from recsys.recommenders.port import Bools, Floats, Positions, Query, Ranked, TrainingData

KINDS: Final = ("like", "dislike", "impression", of_history("like"), of_history("dislike"))


class PopularModel:
    """One score (n,) for each item; ``usual`` is that of one that was never shown."""

    def __init__(self, score: Floats, usual: float) -> None:
        self._score, self._usual = score, usual
        self.order: Positions = np.argsort(-score, kind="stable")

    def rank(self, query: Query, eligible: Bools, k: int, rng: np.random.Generator) -> Ranked:
        # Of the best so many, at least k are eligible.
        best = self.order[: k + len(eligible) - np.count_nonzero(eligible)]
        best = best[eligible[best]][:k]
        return Ranked(best, self._score[best])

    def dump(self) -> bytes:
        return packed(score=self._score, usual=self._usual)


class Popular:
    """Like rate: time-decayed likes for each time-decayed exposure, shrunk towards the rate of all items.

    ``half_life_days``: an event this old counts half (forward decay: Cormode et al. 2009). ``shrinkage``: so many
    exposures at the rate of all items are added to each (empirical Bayes: Efron & Morris 1975). Dislikes are exposures
    without a like.
    """

    def __init__(self, half_life_days: float = 7.0, shrinkage: float = 20.0) -> None:
        if shrinkage <= 0:
            raise ValueError("shrinkage must be above 0")
        self._half_life_days, self._shrinkage = half_life_days, shrinkage
        self._sums = DecayedSums(len(KINDS), half_life_days)

    def add(self, rows: pl.DataFrame) -> None:
        known = rows.filter(pl.col("item_index") >= 0)
        if not known.height:
            return
        index = known["item_index"].to_numpy()
        self._sums.resize(int(index.max()) + 1)
        self._sums.begin(known["received_at"].to_numpy())
        known, sign, received = voted(known)
        weights = sign * self._sums.weights(received)
        for kind in set(KINDS) & set(known["kind"].unique()):
            chosen = (known["kind"] == kind).to_numpy()
            self._sums.add(KINDS.index(kind), index[chosen], weights[chosen])

    def fit(self, data: TrainingData, previous: PopularModel | None, rng: np.random.Generator) -> PopularModel:
        self._sums.resize(len(data.items))
        likes, dislikes, impressions, liked_before, disliked_before = self._sums.now()
        # Before this system nobody was shown anything: there the reactions are all that is known.
        exposures = np.maximum(impressions, likes + dislikes) + liked_before + disliked_before
        likes = likes + liked_before
        usual = (likes.sum() + 1) / (exposures.sum() + 100)
        score = (likes + self._shrinkage * usual) / (exposures + self._shrinkage)
        # Equals, such as all that was never shown, are in random order.
        return PopularModel((score + 1e-6 * usual * rng.random(len(score))).astype(np.float32), float(usual))

    def load(self, blob: bytes, items: Items) -> PopularModel:
        saved = unpacked(blob)
        score, usual = saved["score"], float(saved["usual"])
        return PopularModel(np.pad(score, (0, len(items) - len(score)), constant_values=usual), usual)

    def save(self) -> bytes:
        return self._sums.save()

    def resume(self, saved: bytes, row: int) -> int:
        self._sums = DecayedSums.load(saved, len(KINDS), self._half_life_days)
        return row
