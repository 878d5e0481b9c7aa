"""The loops: ``drain`` as events come, ``refresh`` all the time, ``learn`` now and then. ``tick`` is one drain."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import numpy as np
import polars as pl
import structlog

from recsys.contract import Interaction, Slate
from recsys.settings import Settings, masked
from recsys.stores.event_log import EventLog, PartFolder, disk_errors
from recsys.stores.ports import Broker, Delivery, EpochOver, StoreError, StoreMisconfigured, StoreUnavailable
from recsys.stores.redis_state import RedisState
from regular_pipeline.drain import (
    RecentIds,
    Rejected,
    codes_of,
    counters_of,
    decode,
    earlier_reactions,
    last_event_ids,
    rows_of,
    with_undone,
)
from regular_pipeline.epoch_work import EpochWork
from regular_pipeline.refresh import Refreshed, Snapshot, compute, deck_size, learn_taste, top_lists
from regular_pipeline.vectors import VectorMirror

log = structlog.get_logger()

IDLE_WAIT_S: Final = 0.2  # how long a drain waits for a first message before it looks at epoch and catalogue again
RETRY_S: Final = (0.1, 5.0)  # first and longest pause after a failure


class Pipeline:
    """Owns the event log. ``state`` and ``broker`` may fail at any point: what was fetched is kept and tried again."""

    def __init__(
        self, settings: Settings, state: RedisState, broker: Broker, event_log: EventLog, vectors: VectorMirror
    ) -> None:
        self._settings = settings
        self._state = state
        self._broker = broker
        self._log = event_log
        self._vectors = vectors
        self._recent = RecentIds(self._logged_ids)
        self._held: list[Delivery] = []
        self._work: EpochWork | None = None
        self._beginning = asyncio.Lock()
        self._last_checkpoint = time.monotonic()
        self._ranking = settings.ranking
        self._rng = np.random.default_rng(settings.seed)

    async def start(self) -> None:
        """Read the ids that the broker may deliver again; those of older epochs are read when they are asked for.

        StoreMisconfigured if the state cannot be used like this; one that is away may come later.
        """
        for epoch in self._log.epochs()[-2:]:
            await asyncio.to_thread(self._recent.read, epoch)
        with suppress(StoreUnavailable, EpochOver):
            await self.current_work()

    def _logged_ids(self, epoch: int) -> list[str]:
        return last_event_ids(self._log.events(epoch).frames_newest_first())

    async def poll(self) -> None:
        """Drain, refresh and learn until cancelled. A refresh does not wait for a fit, which takes longer."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_forever("drain", self.tick, pause_s=0.0))
            tasks.create_task(_forever("refresh", self.refresh, pause_s=self._settings.refresh_interval_s))
            tasks.create_task(_forever("learn", self.learn, pause_s=self._settings.taste_interval_s))

    async def tick(self) -> int:
        """Drain one batch: log it, apply its effects, acknowledge it. Returns the messages done; 0 when idle.

        What was fetched and did not fit into the batch is kept for the next ticks.
        """
        if self._work is None:
            await self.current_work()  # what is not ours to log is not ours to fetch
        if not self._held:
            self._held = await self._broker.fetch(
                self._settings.drain_batch_messages,
                wait_s=IDLE_WAIT_S,
                linger_s=self._settings.drain_linger_ms / 1000,
            )
        work = await self.current_work()
        await work.read_catalogue(self._state)
        if not work.settled:
            await work.settle(self._state)
        if not self._held:
            return 0
        done = await self._write(work, self._held)
        if not work.settled:
            await work.settle(self._state)
        await self._broker.ack(self._held[:done])
        del self._held[:done]
        return done

    async def current_work(self) -> EpochWork:
        """The work of the epoch in force; begun from disk when the epoch is new to this process.

        StoreMisconfigured if the state reflects another log.
        """
        async with self._beginning:
            epoch = await self._state.current()
            if self._work is None or self._work.epoch != epoch:
                work = await asyncio.to_thread(EpochWork, epoch, self._log, self._settings.half_life_days)
                await self._claim(work)
                await work.restore_catalogue(self._state)
                self._work = work
                log.info("epoch begun", epoch=epoch, items=len(work.catalogue), rows=work.events.rows)
            return self._work

    async def _claim(self, work: EpochWork) -> None:
        known = await self._state.applied(work.epoch) <= work.events.rows
        if not (known and await self._state.claim(work.epoch, self._log.identity())):
            raise StoreMisconfigured(
                f"{masked(self._settings.redis_url)} holds what was learned from another event log than the one in "
                f"{self._log.folder}: set DATA_DIR to the folder of that one, or begin anew by /cleanup or with "
                "another KEY_PREFIX"
            )

    async def _write(self, work: EpochWork, deliveries: Sequence[Delivery]) -> int:
        """Log as many of the messages as a batch may hold and apply their effects. Returns how many these are."""
        decoded = decode(deliveries, self._recent, epoch=work.epoch, now=time.time())
        if decoded.duplicates:
            log.info("duplicates dropped", count=decoded.duplicates)
        for epoch, events in decoded.events.items():
            if epoch == work.epoch:
                await self._write_current(work, events)
            else:
                # Accepted before a cleanup and drained after it: kept in the archive, without effect.
                await asyncio.to_thread(_append, self._log.events(epoch), rows_of(events, {}))
                self._recent.add(epoch, (event.event_id for event in events))
        for rejected in decoded.rejected:
            self._set_aside(rejected)
        return decoded.messages

    async def _write_current(self, work: EpochWork, events: Sequence[Interaction | Slate]) -> None:
        start = work.events.rows
        rows = await asyncio.to_thread(_append, work.events, rows_of(events, work.catalogue.index))
        end = work.events.rows
        # From here on the rows are logged: what fails below, ``settle`` makes good in the next tick.
        work.settled = False
        self._recent.add(work.epoch, (event.event_id for event in events))
        work.counts.add(rows)
        work.settled = await self._state.apply(work.epoch, (start, end), counters_of(rows), codes_of(rows))

    def _set_aside(self, rejected: Rejected) -> None:
        body = rejected.delivery.body.decode(errors="replace")
        log.error("message rejected", topic=rejected.delivery.topic, reason=rejected.reason, body=body[:200])
        path = self._log.folder / "rejected.jsonl"
        with disk_errors(path), path.open("a") as file:
            file.write(json.dumps({"at": time.time(), "reason": rejected.reason, "body": body}) + "\n")

    async def refresh(self) -> None:
        """Publish new artifacts if anything changed, keep the deck filled, and do the log's housekeeping."""
        work = await self.current_work()
        sources = work.sources()
        if sources != work.considered and sources.records:
            await self._publish(work)
            work.considered = sources
        self._vectors.follow(work)
        await asyncio.to_thread(work.events.merge_small)
        await self._save_checkpoint(work)

    async def _publish(self, work: EpochWork) -> None:
        snapshot = Snapshot.take(work.epoch, work.catalogue, work.counts, work.taste, self._ranking)
        version = snapshot.version(self._settings.seed)
        if version == work.published:
            return
        refreshed = await asyncio.to_thread(compute, snapshot, self._settings.seed)
        await self._state.publish(work.epoch, refreshed.artifacts, top_lists(refreshed.artifacts, work.catalogue))
        work.published = version
        await fill_deck(self._state, work, snapshot, refreshed, self._rng)
        work.rates = refreshed.posterior.mean

    async def learn(self) -> None:
        """Go on with the factor model, from the newest like rates; nothing to do before there are any."""
        work = await self.current_work()
        if not self._ranking.factors or work.rates is None:
            return
        snapshot = Snapshot.take(work.epoch, work.catalogue, work.counts, work.taste, self._ranking)
        lessons = work.counts.slates.lessons()
        work.taste = await asyncio.to_thread(learn_taste, snapshot, lessons, work.rates, self._settings.seed)

    async def _save_checkpoint(self, work: EpochWork) -> None:
        now = time.monotonic()
        if now - self._last_checkpoint >= self._settings.checkpoint_interval_s:
            await asyncio.to_thread(work.counts.copy().save, work.checkpoint)
            self._last_checkpoint = now


async def fill_deck(
    state: RedisState, work: EpochWork, snapshot: Snapshot, refreshed: Refreshed, rng: np.random.Generator
) -> None:
    """Deal anew by what is known now. An empty deck is no harm: its places go to ranked items.

    Cards that were played since the last time are on their way to somebody, so they are left out once.
    """
    played = await state.played(work.epoch)
    ids = work.catalogue.ids
    cards = [ids[position] for position in refreshed.deck(snapshot, deck_size(played) + played, rng)]
    await state.deal(work.epoch, cards)


def _append(folder: PartFolder, rows: pl.DataFrame) -> pl.DataFrame:
    """Log the rows. Returns them as they stand in the log."""
    wanted = earlier_reactions(rows)
    if wanted is not None:
        rows = with_undone(rows, folder.frames(where=wanted))
    folder.append(rows)
    return rows


async def _forever(name: str, step: Callable[[], Awaitable[object]], pause_s: float) -> None:
    """Repeat ``step``. After a failure of a store wait a little longer each time; a new epoch is no failure."""
    wait_s = RETRY_S[0]
    while True:
        try:
            await step()
            wait_s = RETRY_S[0]
            await asyncio.sleep(pause_s)
        except EpochOver:
            log.info("epoch ended", during=name)
        except StoreError as error:
            log.error("store failed, trying again", during=name, error=str(error), in_s=round(wait_s, 1))
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, RETRY_S[1])
