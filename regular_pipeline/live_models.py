"""A follower of the log for each live learner: adds the rows, fits, and publishes what is new."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar
from urllib.parse import quote

import numpy as np
import polars as pl
import structlog

from recsys.recommenders.live import Fitted, LiveFollower
from recsys.recommenders.port import Embedding, Exploring, Floats, Live, Model, Ordered
from recsys.recommenders.toplists import top_lists
from recsys.stores.connect import State
from recsys.stores.event_log import disk_errors, write_whole
from regular_pipeline.epoch import Epoch

log = structlog.get_logger()

RETRY_S: Final = (1.0, 300.0)  # first and longest pause after a learner failed
PUBLISHED_BYTES_PER_S: Final = 10_000_000  # of one model: Redis keeps each version on disk
REST: Final = 0.5  # beside the time that a fit takes: what the pipeline has for everything else
P = ParamSpec("P")
R = TypeVar("R")


class LearnerFailed(Exception):
    """It raised, and it may be somebody's own code."""


class LiveModel:
    """One learner in one epoch. What it raises costs its own model's freshness, and nothing else."""

    def __init__(
        self,
        name: str,
        make: Callable[[], Live],
        epoch: Epoch,
        state: State,
        rng: np.random.Generator,
        *,
        made_by: str,
        seed: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``made_by`` tells checkpoints of the same learner from those of another or of other options."""
        self.name = name
        self.peers: Sequence[LiveModel] = (self,)  # all of this epoch, in the order of their importance
        self.ordered = False  # whether its model has an order of all items
        self.item_factors: Floats | None = None  # of its model
        self.pause_s = 0.0  # that the last refresh asks for: a model that is slow or large is made less often
        self._make = make
        self._epoch, self._state, self._rng = epoch, state, rng
        self._made_by, self._seed, self._clock = made_by, seed, clock
        self._path = checkpoint_of(epoch.folder, name)
        self._background = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._last_checkpoint = clock()
        self._waiting: Fitted | None = None  # to be published
        self._published = ""  # version of the model in force
        self._failures = 0
        self._not_before = -np.inf
        self.follower = self._new()

    def _new(self) -> LiveFollower:
        return LiveFollower(
            self._make(), epoch=self._epoch.number, seed=self._seed, background=self._background, made_by=self._made_by
        )

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one that fits."""
        if not self._path.exists():
            return
        try:
            self.follower.resume(self._path.read_bytes(), self._epoch.feed.rows)
        except Exception as error:  # it may be somebody's own code, and the file anything
            log.warning("a checkpoint is of no use: the log is read again", model=self.name, error=str(error))
            self.follower = self._new()

    async def refresh(self) -> None:
        """Add the rows there are, and publish a new model if anything changed."""
        if self._clock() < self._not_before:
            return
        try:
            await self._fit()
            if self._waiting is not None:
                await self._publish(self._waiting)
        except LearnerFailed as failure:
            self._waiting = None
            await self._failed(failure.__cause__ or failure)
            return
        self._waiting = None
        self._failures = 0

    async def _fit(self) -> None:
        async for first, rows in self._epoch.feed.read(self.follower.next_row):
            try:
                await _theirs(self.follower.add, first, rows)
            except LearnerFailed:
                self.follower = self._new()  # nobody knows how much it has taken in
                raise
        items = self._epoch.catalogue.items()
        if len(items) and self.follower.changed(items):
            self._waiting = await _theirs(self.follower.fit, items, time.time(), self._scan)
            model = self._waiting.model
            self.ordered = await _theirs(isinstance, model, Ordered)
            self.item_factors = await _theirs(_item_factors, model, len(items))

    def _scan(self) -> pl.LazyFrame:
        return self._epoch.events.scan(self.follower.next_row)

    async def _publish(self, fitted: Fitted) -> None:
        epoch, is_new = self._epoch.number, fitted.version != self._published
        self.pause_s = max(REST * fitted.seconds, len(fitted.blob) / PUBLISHED_BYTES_PER_S if is_new else 0.0)
        facts: dict[str, Any] = {
            "version": fitted.version,
            "rows": fitted.rows,
            "items": len(fitted.items),
            "seconds": round(fitted.seconds, 3),
            "bytes": len(fitted.blob),
            "published_at": int(time.time()),
        }
        await self._state.models.publish(epoch, self.name, fitted.version, facts, fitted.blob if is_new else None)
        if is_new and self._is_first(lambda peer: peer.ordered):
            await self._state.models.publish_top(epoch, await _theirs(_top_lists, fitted))
        if is_new and self._is_first(lambda peer: isinstance(peer.follower.learner, Exploring)):
            await self._fill_queue()
        self._published = fitted.version

    def _is_first(self, can: Callable[[LiveModel], bool]) -> bool:
        return next((peer for peer in self.peers if can(peer)), None) is self

    async def _fill_queue(self) -> None:
        """Anew by what is known now. An empty queue is no harm: its places go to the sources.

        What was shown since the last time is on its way to somebody, so it is left out once.
        """
        shown = await self._state.exploration.shown(self._epoch.number)
        candidates = await _theirs(self._candidates, shown)
        await self._state.exploration.fill(self._epoch.number, candidates)

    def _candidates(self, shown: int) -> list[str]:
        positions, ids = self.follower.candidates(shown, self._rng), self._epoch.catalogue.ids
        if positions and not 0 <= min(positions) <= max(positions) < len(ids):
            raise ValueError(f"candidates from {min(positions)} to {max(positions)}, but there are {len(ids)} items")
        return [ids[position] for position in positions]

    async def _failed(self, error: BaseException) -> None:
        pause_s = min(RETRY_S[0] * 2**self._failures, RETRY_S[1])
        self._failures += 1
        self._not_before = self._clock() + pause_s
        why = f"{type(error).__name__}: {error}"
        log.error("a learner failed, trying again", model=self.name, error=why, in_s=pause_s, exc_info=error)
        facts = (await self._state.models.facts(self._epoch.number)).get(self.name, {})
        await self._state.models.note(self._epoch.number, self.name, facts | {"error": why})

    async def save_checkpoint(self, interval_s: float) -> None:
        """Unless the last one is younger than this."""
        now = self._clock()
        if now - self._last_checkpoint >= interval_s:
            try:
                await self.save()
            except LearnerFailed as failure:
                await self._failed(failure.__cause__ or failure)
            self._last_checkpoint = now

    async def save(self) -> None:
        """StoreUnavailable if the disk does not take it; LearnerFailed."""
        saved = await _theirs(self.follower.save)
        if saved is not None:
            await asyncio.to_thread(_write, self._path, saved)

    def close(self) -> None:
        self._background.shutdown(wait=False, cancel_futures=True)


def _write(path: Path, saved: bytes) -> None:
    with disk_errors(path):
        path.parent.mkdir(exist_ok=True)
    write_whole(path, lambda file: file.write(saved))


def _item_factors(model: Model, items: int) -> Floats | None:
    if not isinstance(model, Embedding):
        return None
    factors = np.asarray(model.item_factors, np.float32)
    if factors.ndim != 2 or len(factors) > items or not factors.shape[1] or not np.isfinite(factors).all():
        raise ValueError(f"item_factors must be finite numbers (items, f), not of shape {factors.shape}")
    return factors


def checkpoint_of(folder: Path, name: str) -> Path:
    return folder / "checkpoints" / f"{quote(name, safe='')}.npz"


async def _theirs(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    try:
        return await asyncio.to_thread(function, *args, **kwargs)
    except Exception as error:
        raise LearnerFailed from error


def _top_lists(fitted: Fitted) -> dict[str, list[str]]:
    assert isinstance(fitted.model, Ordered)
    return top_lists(fitted.model.order, fitted.items)
