"""The loops: ``drain`` takes events to the log; whatever follows the log has a loop and a cursor of its own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import polars as pl
import structlog

from recsys.recommenders.port import Live
from recsys.recommenders.recipe import Recipe
from recsys.settings import Settings, masked
from recsys.stores.connect import State
from recsys.stores.event_log import EventLog, PartFolder, disk_errors
from recsys.stores.ports import Broker, Delivery, EpochOver, StoreError, StoreMisconfigured, StoreUnavailable
from regular_pipeline.drain import (
    RecentIds,
    Rejected,
    decode,
    earlier_reactions,
    last_event_ids,
    rows_of,
    with_undone,
)
from regular_pipeline.epoch import Epoch
from regular_pipeline.live_models import LiveModel
from regular_pipeline.user_states import UserStates
from regular_pipeline.vectors import VectorMirror

log = structlog.get_logger()

IDLE_WAIT_S: Final = 0.2  # how long a drain waits for a first message before it looks at epoch and catalogue again
RETRY_S: Final = (0.1, 5.0)  # first and longest pause after a failure


@dataclass
class Following:
    """The epoch in force, and all that follows its log."""

    epoch: Epoch
    users: UserStates
    models: dict[str, LiveModel]  # by name, the most important first

    def close(self) -> None:
        for model in self.models.values():
            model.close()


class Pipeline:
    """Owns the event log. ``state`` and ``broker`` may fail at any point: what was fetched is kept and tried again."""

    def __init__(
        self,
        settings: Settings,
        recipe: Recipe,
        state: State,
        broker: Broker,
        event_log: EventLog,
        vectors: VectorMirror,
    ) -> None:
        self._settings = settings
        self._recipe = recipe
        self.state = state
        self._broker = broker
        self._log = event_log
        self._vectors = vectors
        self._recent = RecentIds(self._logged_ids)
        self._held: list[Delivery] = []
        self._following: Following | None = None
        self._beginning = asyncio.Lock()
        self._rng = np.random.default_rng(settings.seed)
        self._live = [name for name, learner in recipe.learners().items() if isinstance(learner, Live)]

    async def start(self) -> None:
        """Read the ids that the broker may deliver again; those of older epochs are read when they are asked for.

        StoreMisconfigured if the state cannot be used like this; one that is away may come later.
        """
        for epoch in self._log.epochs()[-2:]:
            await asyncio.to_thread(self._recent.read, epoch)
        with suppress(StoreUnavailable, EpochOver):
            await self.following()

    def _logged_ids(self, epoch: int) -> list[str]:
        return last_event_ids(self._log.events(epoch).frames_newest_first())

    async def poll(self) -> None:
        """Drain and follow until cancelled. None of the loops waits for another."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_forever("drain", self.tick))
            tasks.create_task(_forever("users", self.follow_users))
            pause_s = self._settings.refresh_interval_s
            for name in self._live:
                tasks.create_task(_forever(name, partial(self.refresh_model, name), pause_s))
            tasks.create_task(_forever("housekeeping", self.keep_house, pause_s))

    async def tick(self) -> int:
        """Drain one batch: log it, acknowledge it. Returns the messages done; 0 when idle.

        What was fetched and did not fit into the batch is kept for the next ticks.
        """
        if self._following is None:
            await self.following()  # what is not ours to log is not ours to fetch
        if not self._held:
            self._held = await self._broker.fetch(
                self._settings.drain_batch_messages,
                wait_s=IDLE_WAIT_S,
                linger_s=self._settings.drain_linger_ms / 1000,
            )
        epoch = (await self.following()).epoch
        await epoch.read_catalogue(self.state.catalogue)
        if not self._held:
            return 0
        done = await self._write(epoch, self._held)
        await self._broker.ack(self._held[:done])
        del self._held[:done]
        return done

    async def following(self) -> Following:
        """The epoch in force and its followers; begun from disk when the epoch is new to this process.

        StoreMisconfigured if the state reflects another log.
        """
        async with self._beginning:
            number = await self.state.epochs.current()
            if self._following is None or self._following.epoch.number != number:
                begun = await self._begin(number)
                if self._following is not None:
                    self._following.close()
                self._following = begun
                epoch = begun.epoch
                log.info("epoch begun", epoch=number, items=len(epoch.catalogue), rows=epoch.feed.rows)
            return self._following

    async def _begin(self, number: int) -> Following:
        async with AsyncExitStack() as undo:
            epoch = await asyncio.to_thread(Epoch, number, self._log)
            await self._claim(epoch)
            await epoch.restore_catalogue(self.state.catalogue)
            following = follow(epoch, self.state, self._recipe, self._settings, self._rng)
            undo.callback(following.close)
            for model in following.models.values():
                await asyncio.to_thread(model.resume)
            undo.pop_all()
            return following

    async def _claim(self, epoch: Epoch) -> None:
        ledger = self.state.ledger
        known = await ledger.applied(epoch.number) <= epoch.feed.rows
        if not (known and await ledger.claim(epoch.number, self._log.identity())):
            raise StoreMisconfigured(
                f"{masked(self._settings.redis_url)} holds what was learned from another event log than the one in "
                f"{self._log.folder}: set DATA_DIR to the folder of that one, or begin anew by /cleanup or with "
                "another KEY_PREFIX"
            )

    async def _write(self, epoch: Epoch, deliveries: Sequence[Delivery]) -> int:
        """Log as many of the messages as a batch may hold. Returns how many these are."""
        decoded = decode(deliveries, self._recent, epoch=epoch.number, now=time.time())
        if decoded.duplicates:
            log.info("duplicates dropped", count=decoded.duplicates)
        for number, events in decoded.events.items():
            if number == epoch.number:
                rows = rows_of(events, epoch.catalogue.index)
                await epoch.feed.append(partial(append, rows))
            else:
                # Accepted before a cleanup and drained after it: kept in the archive, without effect.
                await asyncio.to_thread(append, rows_of(events, {}), self._log.events(number))
            self._recent.add(number, (event.event_id for event in events))
        for rejected in decoded.rejected:
            self._set_aside(rejected)
        return decoded.messages

    def _set_aside(self, rejected: Rejected) -> None:
        body = rejected.delivery.body.decode(errors="replace")
        log.error("message rejected", topic=rejected.delivery.topic, reason=rejected.reason, body=body[:200])
        path = self._log.folder / "rejected.jsonl"
        with disk_errors(path), path.open("a") as file:
            file.write(json.dumps({"at": time.time(), "reason": rejected.reason, "body": body}) + "\n")

    async def follow_users(self) -> None:
        """Bring users' states up to the log."""
        await (await self.following()).users.follow()

    async def refresh_model(self, name: str) -> float:
        """Bring a live model up to the log, and publish it. Returns how long to wait at least until the next time."""
        model = (await self.following()).models[name]
        await model.refresh()
        await model.save_checkpoint(self._settings.checkpoint_interval_s)
        return model.pause_s

    async def keep_house(self) -> None:
        """Merge small parts of the log; let the vectors follow."""
        following = await self.following()
        models = [model for model in following.models.values() if model.follower.model is not None]
        if models or not self._live:
            factors = next((model.item_factors for model in models if model.item_factors is not None), None)
            self._vectors.follow(following.epoch, factors)
        await asyncio.to_thread(following.epoch.events.merge_small)

    async def catch_up(self) -> None:
        """All followers, once."""
        await (await self.following()).users.settle()
        for name in self._live:
            await self.refresh_model(name)
        await self.keep_house()

    def close(self) -> None:
        if self._following is not None:
            self._following.close()


def follow(epoch: Epoch, state: State, recipe: Recipe, settings: Settings, rng: np.random.Generator) -> Following:
    """Followers of the epoch's log that have read nothing of it yet."""
    models = {
        name: LiveModel(
            name,
            partial(recipe.live_learner, name),
            epoch,
            state,
            rng,
            made_by=recipe.made_by(name),
            seed=settings.seed,
        )
        for name, learner in recipe.learners().items()
        if isinstance(learner, Live)
    }
    for model in models.values():
        model.peers = tuple(models.values())
    return Following(epoch, UserStates(epoch, state.ledger), models)


def append(rows: pl.DataFrame, folder: PartFolder) -> pl.DataFrame:
    """Log the rows. Returns them as they stand in the log."""
    wanted = earlier_reactions(rows)
    if wanted is not None:
        rows = with_undone(rows, folder.frames(where=wanted))
    folder.append(rows)
    return rows


async def _forever(name: str, step: Callable[[], Awaitable[float | object]], pause_s: float = 0.0) -> None:
    """Repeat ``step``, which may ask for a longer pause by returning seconds, until cancelled.

    After a failure of a store wait a little longer each time; a new epoch is no failure.
    """
    wait_s = RETRY_S[0]
    task = asyncio.current_task()
    assert task is not None
    # Up to Python 3.11 asyncio.wait_for, which Redis's client sends with, may swallow a cancellation.
    while not task.cancelling():
        try:
            asked_s = await step()
            wait_s = RETRY_S[0]
            await asyncio.sleep(max(pause_s, asked_s) if isinstance(asked_s, float) else pause_s)
        except EpochOver:
            log.info("epoch ended", during=name)
        except StoreError as error:
            log.error("store failed, trying again", during=name, error=str(error), in_s=round(wait_s, 1))
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, RETRY_S[1])
