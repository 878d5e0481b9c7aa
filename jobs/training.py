"""One training: from the log to a version of a model that is in force."""

from __future__ import annotations

import asyncio
import resource
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

import numpy as np
import structlog

from recsys.catalogue import Catalogue, Items
from recsys.recommenders.port import AtOnce, Learner, Model, TrainingData
from recsys.recommenders.recipe import Recipe, read_recipe
from recsys.settings import Settings
from recsys.stores.connect import State, log_folder, open_models, open_state
from recsys.stores.event_log import EventLog
from recsys.stores.ports import EpochOver, ModelStore, StoreError, StoreMisconfigured, StoreUnavailable

log = structlog.get_logger()

R = TypeVar("R")
HELD_S: Final = 15.0  # a training belongs to its process for so long after its last sign of life
SIGN_OF_LIFE_S: Final = 1.0
TOLD_S: Final = 5.0  # between two lines of progress in the log
WRITE_RETRIES_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)


class TrainingFailed(Exception):
    """The learner raised, took too long, or its model cannot be read again: the model before stays in force."""


@dataclass
class Progress:
    """Of a training, as people see it. The learner tells it from its own thread."""

    rows: int = 0
    share: float = 0.0
    doing: str = "waiting"
    began_at: float = field(default_factory=time.time)

    def tell(self, share: float, doing: str) -> None:
        self.share, self.doing = min(max(share, 0.0), 1.0), doing

    @property
    def facts(self) -> dict[str, Any]:
        spent_s = time.time() - self.began_at
        left_s = spent_s * (1 - self.share) / self.share if self.share > 0.05 else None
        return {
            "rows": self.rows,
            "share": round(self.share, 3),
            "doing": self.doing,
            "began_at": int(self.began_at),
            "left_s": None if left_s is None else round(left_s, 1),
        }


async def train(
    settings: Settings, name: str, *, full: bool = False, progress: Progress | None = None, token: str = ""
) -> str:
    """Train the model of this name, unless somebody does or nothing is new. Returns what was done, for people.

    From nothing if ``full`` is wanted, if the last training from nothing is long ago, or if there is nothing to go on
    from. Who was killed holds the training for a moment, except against who has the same ``token``. TrainingFailed,
    StoreError: the model before stays in force. EpochOver: a cleanup came.
    """
    recipe = read_recipe(**settings.recipe)
    state = open_state(settings)
    progress = progress or Progress()
    try:
        epoch = await state.epochs.current()
        store = await asyncio.to_thread(open_models, settings)
        async with _reserved(state, epoch, name, progress, token or uuid.uuid4().hex) as ours:
            if not ours:
                return f"{name} is being trained already"
            try:
                return await _limited(settings, _Training(settings, recipe, state, store, epoch, name, progress), full)
            except TrainingFailed as error:
                facts = (await state.models.facts(epoch)).get(name, {})
                await state.models.note(epoch, name, facts | {"error": str(error)})
                raise
    finally:
        await state.close()


async def _limited(settings: Settings, training: _Training, full: bool) -> str:
    limit_s = settings.train_timeout_s
    try:
        async with asyncio.timeout(limit_s):
            return await training.run(full)
    except TimeoutError as error:
        raise TrainingFailed(f"it took longer than TRAIN_TIMEOUT_S={limit_s}") from error


class _Training:
    def __init__(
        self,
        settings: Settings,
        recipe: Recipe,
        state: State,
        store: ModelStore,
        epoch: int,
        name: str,
        progress: Progress,
    ) -> None:
        self._settings, self._state, self._store = settings, state, store
        self._epoch, self._name, self._progress = epoch, name, progress
        self._learner: Learner = recipe.learner(name)
        self._made_by = recipe.made_by(name)
        self._in_force = 0  # before this training; 0 if no job trained it

    async def run(self, full: bool) -> str:
        items = await self._items()
        events = EventLog(log_folder(self._settings)).events(self._epoch)
        before, previous = await self._previous(items)
        last_full = float(before.get("full_at", 0))
        full = full or previous is None or time.time() - last_full >= self._settings.train_full_interval_s
        new = (events.rows, len(items), self._made_by)
        if not len(items) or (not full and new == tuple(before.get(fact) for fact in ("rows", "items", "made_by"))):
            return f"{self._name}: nothing is new"
        self._progress.rows = events.rows
        data = TrainingData(
            self._epoch,
            items,
            events.rows,
            time.time(),
            lambda: events.scan(data.rows),
            AtOnce(),
            self._progress.tell,
        )
        began = time.time()
        blob = await self._fitted(data, None if full else previous)
        facts = {
            "made_by": self._made_by,
            "rows": data.rows,
            "items": len(items),
            "seconds": round(time.time() - began, 3),
            "memory_mb": _peak_memory_mb(),
            "full": full,
            "full_at": began if full else last_full,
            "trained_at": int(time.time()),
        }
        version = await self._written(facts, blob)
        await self._put_in_force(version, facts | {"version": str(version), "bytes": len(blob)})
        await self._prune(version)
        how = "from nothing" if full else "further"
        return f"{self._name}@{version}: trained {how} on {data.rows:,} rows in {facts['seconds']:.1f} s"

    async def _items(self) -> Items:
        catalogue = Catalogue()
        for chunk in await self._state.catalogue.since(self._epoch, 0):
            catalogue.extend(chunk)
        return catalogue.items()

    async def _previous(self, items: Items) -> tuple[Mapping[str, Any], Model | None]:
        """Facts of the version in force, and that one itself if this learner can go on from it."""
        version, _ = await self._state.models.fetch(self._epoch, self._name)
        self._in_force = number_of(version)
        if not self._in_force:
            return {}, None
        try:
            facts, blob = await asyncio.to_thread(self._store.read, self._epoch, self._name, self._in_force)
            if facts.get("made_by") != self._made_by:
                return {}, None
            return facts, await _aside(self._learner.load, blob, items)
        except (StoreUnavailable, StoreMisconfigured):
            raise
        except Exception as error:  # it may be somebody's own code
            why = f"{type(error).__name__}: {error}"
            log.error("the model in force is of no use: it is trained from nothing", model=self._name, error=why)
            return {}, None

    async def _fitted(self, data: TrainingData, previous: Model | None) -> bytes:
        rng = np.random.default_rng([self._settings.seed, data.epoch, data.rows])
        try:
            model = await _aside(self._learner.fit, data, previous, rng)
            self._progress.tell(1.0, "writing")
            blob = await _aside(model.dump)
            await _aside(self._learner.load, blob, data.items)
        except Exception as error:  # it may be somebody's own code
            raise TrainingFailed(f"{type(error).__name__}: {error}") from error
        return blob

    async def _written(self, facts: Mapping[str, Any], blob: bytes) -> int:
        for pause_s in (*WRITE_RETRIES_S, None):
            try:
                write = partial(self._store.write, self._epoch, self._name, facts, blob, after=self._in_force)
                return await asyncio.to_thread(write)
            except StoreUnavailable as error:
                if pause_s is None:
                    raise
                log.error("model not kept, trying again", model=self._name, error=str(error), in_s=pause_s)
                await asyncio.sleep(pause_s)
        raise AssertionError("unreachable")

    async def _put_in_force(self, version: int, facts: Mapping[str, Any]) -> None:
        published = dict(facts) | {"published_at": int(time.time())}
        try:
            await self._state.models.publish(self._epoch, self._name, str(version), published)
        except EpochOver:
            await asyncio.to_thread(self._store.delete, self._epoch, self._name, version)
            raise

    async def _prune(self, in_force: int) -> None:
        """What is too old. A store that fails now does no harm: the next training tries again."""
        try:
            await asyncio.to_thread(prune, self._store, self._epoch, self._name, in_force, self._settings.models_kept)
        except StoreError as error:
            log.warning("old models not deleted", model=self._name, error=str(error))


def number_of(version: str) -> int:
    """Of a version that a job trained; 0 for those of live models, and for none."""
    return int(version) if version.isdecimal() else 0


def prune(store: ModelStore, epoch: int, name: str, in_force: int, kept: int) -> int:
    """Delete all but the newest ``kept`` versions and the one in force, and those of other epochs; how many it were."""
    deleted = store.drop_all_but(epoch)
    for version in store.versions(epoch, name)[:-kept]:
        if version != in_force:
            store.delete(epoch, name, version)
            deleted += 1
    return deleted


@asynccontextmanager
async def _reserved(state: State, epoch: int, name: str, progress: Progress, token: str) -> AsyncIterator[bool]:
    """Whether the training is ours until the block ends: nobody else trains the same model meanwhile."""
    if not await state.models.train(epoch, name, token, progress.facts, HELD_S):
        yield False
        return
    signs = asyncio.create_task(_give_signs_of_life(state, epoch, name, token, progress))
    try:
        yield True
    finally:
        signs.cancel()
        await asyncio.gather(signs, return_exceptions=True)
        try:
            await state.models.trained(epoch, name, token)
        except StoreUnavailable as error:
            log.warning("the end of a training was not noted: it ends by itself", model=name, error=str(error))


async def _give_signs_of_life(state: State, epoch: int, name: str, token: str, progress: Progress) -> None:
    told_at, told = time.monotonic(), ""
    task = asyncio.current_task()
    # Up to Python 3.11 asyncio.wait_for, which Redis's client sends with, may swallow a cancellation.
    while task is not None and not task.cancelling():
        await asyncio.sleep(SIGN_OF_LIFE_S)
        try:
            await state.models.train(epoch, name, token, progress.facts, HELD_S)
        except EpochOver:
            return
        except StoreUnavailable as error:
            log.warning("progress not told", model=name, error=str(error))
        if progress.doing != told and time.monotonic() - told_at >= TOLD_S:
            told_at, told = time.monotonic(), progress.doing
            log.info("training", model=name, **progress.facts)


async def _aside(function: Callable[..., R], *args: Any) -> R:
    """What it returns, from a thread that does not keep the process from ending: nothing else stops a fit."""
    result: Future[R] = Future()
    result.set_running_or_notify_cancel()

    def work() -> None:
        try:
            result.set_result(function(*args))
        except BaseException as error:  # it is the caller's
            result.set_exception(error)

    threading.Thread(target=work, name="training", daemon=True).start()
    return await asyncio.wrap_future(result)


def _peak_memory_mb() -> int:
    """Resident, of this process."""
    kilo = 1_000 if sys.platform == "darwin" else 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // kilo * 1_024 // 1_000_000
