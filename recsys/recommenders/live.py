"""A live learner with its cursor in the log: the same in the pipeline, in a rebuild and in virtual time."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from recsys.catalogue import Items
from recsys.recommenders.arrays import packed, unpacked
from recsys.recommenders.port import Exploring, Live, Model, Resumable, TrainingData

LEAST_CANDIDATES: Final = 1_000  # in a new exploration queue


@dataclass(frozen=True)
class Fitted:
    """A new model, as it is published."""

    version: str  # equal versions hold equal contents
    blob: bytes
    model: Model
    rows: int  # of the log that it reflects
    items: Items  # that it was fitted to
    seconds: float  # that the fit took


class LiveFollower:
    """Gives a learner each row of the log once, in order, and asks it for a model when there is something new."""

    def __init__(
        self,
        learner: Live,
        *,
        epoch: int,
        seed: int,
        background: Executor,
        made_by: str = "",
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """``made_by`` names learner and options: a checkpoint of others is of no use."""
        self.learner = learner
        self.next_row = 0
        self.fitted: Fitted | None = None
        self.fitting_s = 0.0  # all fits together
        self._epoch, self._seed = epoch, seed
        self._background = _Counted(background)
        self._made_by = made_by
        self._clock = clock
        self._considered: tuple[int, int, int] | None = None

    @property
    def model(self) -> Model | None:
        return None if self.fitted is None else self.fitted.model

    def add(self, first: int, rows: pl.DataFrame) -> None:
        """Rows from number ``first`` on, which is not beyond ``next_row``; those already added are left out."""
        new = rows.slice(max(self.next_row - first, 0))
        if new.height:
            self.learner.add(new)
            self.next_row += new.height

    def changed(self, items: Items) -> bool:
        """Whether there is anything that the last fit did not know."""
        return (self.next_row, items.records, self._background.done) != self._considered

    def fit(self, items: Items, at: float, scan: Callable[[], pl.LazyFrame]) -> Fitted:
        """A model as of the rows and ``items`` of now; ``at`` is this moment, Unix seconds."""
        considered = (self.next_row, items.records, self._background.done)
        data = TrainingData(self._epoch, items, self.next_row, at, scan, self._background)
        begun = self._clock()
        model = self.learner.fit(data, self.model, np.random.default_rng([self._seed, self._epoch]))
        self._considered = considered
        blob = model.dump()
        version = hashlib.blake2b(blob, digest_size=8).hexdigest()
        self.fitted = Fitted(version, blob, model, self.next_row, items, self._clock() - begun)
        self.fitting_s += self.fitted.seconds
        return self.fitted

    def candidates(self, shown: int, rng: np.random.Generator) -> list[int]:
        """Positions for a new exploration queue, if the learner explores.

        ``shown`` is how many of the last queue were: the traffic may grow until the next.
        """
        if not isinstance(self.learner, Exploring):
            return []
        wanted = max(LEAST_CANDIDATES, 3 * shown) + shown
        found: list[int] = self.learner.candidates(wanted, rng).tolist()
        return found

    def save(self) -> bytes | None:
        """A checkpoint; None if the learner makes none."""
        if not isinstance(self.learner, Resumable):
            return None
        learner = np.frombuffer(self.learner.save(), np.uint8)
        return packed(made_by=self._made_by, row=self.next_row, learner=learner)

    def resume(self, saved: bytes, rows: int) -> None:
        """Go on from a checkpoint of a log of ``rows`` rows. ValueError: it is of no use, and the learner is as new."""
        if not isinstance(self.learner, Resumable):
            raise ValueError("this learner makes no checkpoints")
        arrays = unpacked(saved)
        if arrays.keys() != {"made_by", "row", "learner"} or str(arrays["made_by"]) != self._made_by:
            raise ValueError("it is of another learner, or of other options")
        if not 0 <= (row := int(arrays["row"])) <= rows:
            raise ValueError(f"it is of {row} rows, but the log has {rows}")
        self.next_row = self.learner.resume(arrays["learner"].tobytes(), row)


class _Counted(Executor):
    """Counts what has been done: then there is something for the next fit to collect."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.done = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = self._executor.submit(fn, *args, **kwargs)
        future.add_done_callback(self._count)
        return future

    def _count(self, _: Future[Any]) -> None:
        self.done += 1
