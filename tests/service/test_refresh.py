"""What the pipeline's refresh does when there is something new, and when there is not, on a real Redis."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from recsys.contract import INTERACT_TOPIC, ItemRecord
from recsys.settings import Settings
from recsys.stores import event_log
from recsys.stores.connect import log_folder, open_broker
from recsys.stores.event_log import EventLog
from recsys.stores.redis_state import RedisState
from regular_pipeline import loop, service
from regular_pipeline.counts import Counts
from regular_pipeline.loop import Pipeline
from regular_pipeline.service import open_pipeline
from tests.service.rig import dumped


async def add(state: RedisState, pipeline: Pipeline, item: str) -> None:
    await state.add(await state.current(), [ItemRecord(id=item)], [item])
    await pipeline.tick()


async def test_a_refresh_without_news_looks_at_nothing(
    settings: Settings, state: RedisState, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []

    class Counted(loop.Snapshot):
        @classmethod
        def take(cls, *arguments: Any) -> loop.Snapshot:
            taken.append(arguments)
            return super().take(*arguments)

    monkeypatch.setattr(loop, "Snapshot", Counted)
    async with open_pipeline(settings) as pipeline:
        for number, item in enumerate("ab", start=1):
            await add(state, pipeline, item)
            for _ in range(3):
                await pipeline.refresh()
            artifacts = await state.fetch(await state.current())
            assert artifacts is not None
            assert len(artifacts.mean) == len(taken) == number


async def drain_likes(settings: Settings, pipeline: Pipeline, *items: str) -> None:
    """Each as a batch of its own."""
    broker = open_broker(settings)
    for item in items:
        await broker.publish(INTERACT_TOPIC, [dumped({"user_id": "u", "item_ids": [item], "actions": ["like"]})])
        await pipeline.tick()
    await broker.close()


async def test_a_refresh_merges_small_parts(
    settings: Settings, state: RedisState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "MERGE_AT_PARTS", 3)
    events = EventLog(log_folder(settings)).events(await state.current())
    async with open_pipeline(settings) as pipeline:
        for items, parts in (("ab", 2), ("c", 1), ("d", 2)):
            await drain_likes(settings, pipeline, *items)
            await pipeline.refresh()
            assert len(events.parts()) == parts
    assert events.read()["item_id"].to_list() == list("abcd")


async def test_a_refresh_now_and_then_saves_a_checkpoint(settings: Settings, state: RedisState) -> None:
    checkpoint = EventLog(log_folder(settings)).epoch_folder(await state.current()) / "checkpoint.npz"
    for interval_s, item, saved in ((1e6, "a", 0), (1e-9, "b", 2)):
        changed = settings.model_copy(update={"checkpoint_interval_s": interval_s})
        async with open_pipeline(changed) as pipeline:
            await drain_likes(settings, pipeline, item)
            await pipeline.refresh()
            assert Counts.load(checkpoint, settings.half_life_days).rows == saved


async def test_a_rebuild_does_not_believe_the_checkpoint(settings: Settings, state: RedisState) -> None:
    async with open_pipeline(settings) as pipeline:
        for item in "ab":
            await add(state, pipeline, item)
        await drain_likes(settings, pipeline, "b")
    log = EventLog(log_folder(settings))
    (epoch,) = log.epochs()
    wrong = Counts(settings.half_life_days)
    wrong.add(log.events(epoch).read().with_columns(item_index=pl.lit(0, pl.Int32)))
    wrong.save(log.epoch_folder(epoch) / "checkpoint.npz")
    work = await service.rebuild(settings, epoch)
    assert work.counts.decayed()[0].tolist() == [0, 1]
