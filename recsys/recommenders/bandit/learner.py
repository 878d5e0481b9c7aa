"""The bandit as a live learner: what it keeps of the log, and when it makes what of it."""

from __future__ import annotations

from concurrent.futures import Future
from functools import cached_property

import numpy as np
import polars as pl

from recsys.catalogue import Items
from recsys.recommenders.arrays import packed, unpacked
from recsys.recommenders.bandit.config import configured
from recsys.recommenders.bandit.counts import Counts
from recsys.recommenders.bandit.refresh import Refreshed, compute
from recsys.recommenders.bandit.slates import Slates
from recsys.recommenders.bandit.statistics import Statistics
from recsys.recommenders.bandit.taste import TasteModel, learn
from recsys.recommenders.bandit.view import BanditModel
from recsys.recommenders.diversity import unit_genres
from recsys.recommenders.port import Floats, Positions, TrainingData


class Bandit:
    """Learns which items are liked when shown, which of them suit whom, and what is worth another look.

    ``without``: components to leave out, separated by "+" (``noise+taste``). ``half_life_days``: an interaction this
    old counts half. ``taste_interval_s``: seconds between two fits of the factor model, which takes longer than a
    refresh. Every constant of its parts is an option too: ``explore.looks=0.2``. docs/tried.md has what others
    are worth.
    """

    def __init__(
        self, without: str = "", half_life_days: float = 7.0, taste_interval_s: float = 10.0, **constants: str
    ) -> None:
        self._config = configured(without, constants)
        self._taste_interval_s = taste_interval_s
        self._half_life_days = half_life_days
        self._known = 0  # rows that are in the counts already, though the slates may have to see them again
        self._row = 0
        self._taste: TasteModel | None = None  # what was learned so far; after a restart it is learned anew
        self._learning: Future[TasteModel] | None = None
        self._next_learning = -np.inf
        self._refreshed: Refreshed | None = None

    @cached_property
    def _counts(self) -> Counts:
        """Made when the first rows come: who only loads models needs none."""
        return Counts(self._half_life_days)

    def add(self, rows: pl.DataFrame) -> None:
        again = max(self._known - self._row, 0)
        if again:
            self._counts.slates.add(rows.head(again))
        if rows.height > again:
            self._counts.add(rows.slice(again))
        self._row += rows.height

    def fit(self, data: TrainingData, previous: BanditModel | None, rng: np.random.Generator) -> BanditModel:
        # Of its own, beginning alike: what a training gives does not depend on how much the fit has drawn.
        of_training = np.random.default_rng(rng.bit_generator.seed_seq)  # type: ignore[arg-type]
        if self._learning is not None and self._learning.done():
            learned, self._learning = self._learning, None
            self._taste = learned.result()
        taste = self._taste or TasteModel.untrained(len(data.items), self._config.taste)
        self._refreshed = refreshed = compute(self._counts, data.items.genres, taste, self._config, rng)
        if self._config.factors and self._learning is None and data.at >= self._next_learning:
            self._next_learning = data.at + self._taste_interval_s
            self._learn(data, taste, refreshed.posterior.mean, of_training)
        return self._model(refreshed.statistics, data.items)

    def _learn(self, data: TrainingData, taste: TasteModel, rates: Floats, rng: np.random.Generator) -> None:
        """Go on with the factor model in the background, unless no slate is new to it."""
        examples = self._counts.slates.examples()
        if len(examples.slate) and examples.slate[-1] > taste.newest:
            taste, unit = taste.resized(len(data.items)), unit_genres(data.items.genres)
            self._learning = data.background.submit(learn, taste, examples, rates, unit, rng, self._config.taste)

    def candidates(self, size: int, rng: np.random.Generator) -> Positions:
        if self._refreshed is None:
            return np.zeros(0, np.int64)
        return self._refreshed.queue(size, rng, self._config)

    def load(self, blob: bytes, items: Items) -> BanditModel:
        statistics = Statistics.load(blob)
        if len(statistics.mean) > len(items) or len(statistics.genre_rate) > len(items.genre_names):
            raise ValueError(f"statistics of {len(statistics.mean)} items for a catalogue of {len(items)}")
        model = self._model(statistics, items)
        _ = model.view  # made here, not by the first request
        return model

    def _model(self, statistics: Statistics, items: Items) -> BanditModel:
        return BanditModel(statistics, items, self._config.rank, self._config.explore.known_user)

    def save(self) -> bytes:
        counted = max(self._known, self._row)
        return packed(counted=counted, counts=np.frombuffer(self._counts.save(), np.uint8))

    def resume(self, saved: bytes, row: int) -> int:
        """The slates need to see again what they remember of the rows before."""
        values = unpacked(saved)
        if values.keys() != {"counted", "counts"}:
            raise ValueError("counts of another version")
        counts = Counts.load(values["counts"].tobytes(), self._half_life_days)
        self._row = max(row - counts.slates.remembered, 0)
        counts.slates = Slates(self._row)
        self._counts, self._known = counts, int(values["counted"])
        return self._row
