"""The system without its processes: the learners and the mix that serve, driven by a clock that the plan sets."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from grader.worlds.world import World
from recsys.catalogue import Catalogue
from recsys.contract import ItemRecord
from recsys.recommenders.live import LiveFollower
from recsys.recommenders.mix import Hand, Mix, Source
from recsys.recommenders.port import AtOnce, Learner, Live, Model, Query, TrainingData
from recsys.recommenders.recipe import Recipe
from recsys.schemas import EVENT_SCHEMA
from recsys.settings import Settings
from recsys.user_state import MARKS, UserState, encode

EPOCH = 1
BEGUN = 1.0  # a receipt at the start of the plan: times of receipt are above 0


@dataclass(frozen=True)
class Clock:
    """How often what happens, in seconds of the plan; by default as in the running system."""

    refresh_s: float = Settings.model_fields["refresh_interval_s"].default
    train_s: float = Settings.model_fields["train_interval_s"].default
    train_full_s: float = Settings.model_fields["train_full_interval_s"].default
    training_takes_time: bool = False  # as long as it took here; else none


REAL: Final = Clock()


class Costs(NamedTuple):
    """What a play took beside its quality, in real time on this machine."""

    training_s: float  # all fits and trainings of the run
    list_us: float  # mean, to fill one list
    model_mb: float  # of the models at the end, as they are kept


class System:
    """One catalogue, from its first request on. Reactions are in a user's next list; the rest waits for a refresh."""

    def __init__(self, world: World, recipe: Recipe, seed: int, clock: Clock = REAL) -> None:
        self._recipe, self._clock = recipe, clock
        self._catalogue = Catalogue()
        self._catalogue.extend(
            ItemRecord(id=str(n), genres=tuple(names)) for n, names in enumerate(world.genre_lists())
        )
        learners = recipe.learners()
        self._live = {
            name: LiveFollower(learner, epoch=EPOCH, seed=seed, background=AtOnce())
            for name, learner in learners.items()
            if isinstance(learner, Live)
        }
        self._periodic = {
            name: Trained(learner, seed) for name, learner in learners.items() if not isinstance(learner, Live)
        }
        self._rng = np.random.default_rng(seed)
        self._codes: defaultdict[int, bytes] = defaultdict(bytes)
        self._log: list[pl.DataFrame] = []
        self._logged = 0
        self._rows: list[tuple[Any, ...]] = []
        self._queue: Hand[int] = Hand()
        self._shown = 0  # of the queue since it was filled
        self._next_refresh = 0.0
        self._filling_s: list[float] = []
        self._mix = Mix(self._catalogue.items())

    def recommend(self, user: int, shown: Sequence[int], k: int, at: float = 0.0) -> list[int]:
        self._catch_up(at)
        offered = self._queue.offer(self._mix.candidates([k]))
        query = Query(str(user), UserState(self._codes[user]), at)
        begun = time.perf_counter()
        slate = self._mix.fill(query, k, offered, self._rng)
        self._filling_s.append(time.perf_counter() - begun)
        self._queue.take_back([candidate for candidate in offered if candidate not in slate.positions])
        self._shown += len(set(offered) & set(slate.positions))
        self._note(user, "impression", slate.positions, slate.sources, at)
        return slate.positions

    def react(self, user: int, items: Sequence[int], opinions: Mapping[int, bool], at: float = 0.0) -> None:
        for kind, meant in (("like", True), ("dislike", False)):
            said = [item for item, liked in opinions.items() if liked is meant]
            self._note(user, kind, said, [""] * len(said), at)

    @property
    def costs(self) -> Costs:
        """So far, of the sources alone: not of who fills the exploration queue."""
        live = [self._live[spec.name] for spec in self._recipe.sources if spec.name in self._live]
        sizes = [len(follower.fitted.blob) for follower in live if follower.fitted]
        training_s = [follower.fitting_s for follower in live]
        for trained in self._periodic.values():
            sizes.append(trained.size)
            training_s.append(sum(trained.training_s))
        us = float(np.mean(self._filling_s)) * 1e6 if self._filling_s else 0.0
        return Costs(sum(training_s), us, sum(sizes) / 1e6)

    def _note(self, user: int, kind: str, items: list[int], sources: list[str], at: float) -> None:
        event = f"{kind}{len(self._rows)}"
        self._rows += [
            (event, kind, str(user), str(item), item, place, source, BEGUN + at, None, None)
            for place, (item, source) in enumerate(zip(items, sources, strict=True))
        ]
        self._codes[user] += encode(items, MARKS[kind])

    def _catch_up(self, at: float) -> None:
        while at >= self._next_refresh:
            self._refresh(self._next_refresh)
            # A pause of many intervals changes nothing after the first.
            self._next_refresh = max(self._next_refresh + self._clock.refresh_s, at - self._clock.refresh_s)

    def _refresh(self, at: float) -> None:
        if self._rows:
            rows = pl.DataFrame(self._rows, schema=EVENT_SCHEMA, orient="row")
            for follower in self._live.values():
                follower.add(self._logged, rows)
            self._log.append(rows)
            self._logged += rows.height
            self._rows = []
        items = self._catalogue.items()
        for follower in self._live.values():
            follower.fit(items, at, self._scan)
        for trained in self._periodic.values():
            trained.catch_up(TrainingData(EPOCH, items, self._logged, at, self._scan, AtOnce()), self._clock)
        models = {name: live.model for name, live in self._live.items() if live.model is not None}
        models |= {name: of.model for name, of in self._periodic.items() if of.model is not None}
        sources = [
            Source(spec.name, models[spec.name], len(items)) for spec in self._recipe.sources if spec.name in models
        ]
        exploration = self._recipe.exploration(models)
        self._mix = Mix(items, sources, exploration, self._recipe.diversity, _failed, self._mix)
        for follower in self._live.values():
            if found := follower.candidates(self._shown, self._rng):
                self._queue = Hand(found)
                self._shown = 0
                break

    def _scan(self) -> pl.LazyFrame:
        return pl.concat([pl.DataFrame(schema=EVENT_SCHEMA), *self._log]).lazy()


class Trained:
    """A learner that a job trains now and then. A model is in force once the time that its training took is over."""

    def __init__(self, learner: Learner, seed: int) -> None:
        self.model: Model | None = None
        self.training_s: list[float] = []  # of each training, real time
        self.size = 0  # bytes of the model
        self._learner, self._seed = learner, seed
        self._rows = 0  # that the last training has seen
        self._next = self._next_full = 0.0
        self._ready: tuple[float, Model] | None = None

    def catch_up(self, data: TrainingData, clock: Clock) -> None:
        if self._ready is not None and data.at >= self._ready[0]:
            self.model, self._ready = self._ready[1], None
        if self._ready is not None or data.at < self._next or data.rows == self._rows:
            return
        full = self.model is None or data.at >= self._next_full
        rng = np.random.default_rng([self._seed, EPOCH, len(self.training_s)])
        begun = time.perf_counter()
        fitted = self._learner.fit(data, None if full else self.model, rng)
        self.training_s.append(time.perf_counter() - begun)
        # As it is served: what does not survive being written and read does not count.
        blob = fitted.dump()
        self.size = len(blob)
        model = self._learner.load(blob, data.items)
        self._rows, self._next = data.rows, data.at + clock.train_s
        if full:
            self._next_full = data.at + clock.train_full_s
        self._ready = (data.at + (self.training_s[-1] if clock.training_takes_time else 0.0), model)
        if not clock.training_takes_time:
            self.model, self._ready = model, None


def _failed(source: str, error: Exception) -> None:
    raise error
