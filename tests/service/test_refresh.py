"""What the pipeline's followers do when there is something new, and when there is not, on a real Redis."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from recsys.contract import INTERACT_TOPIC, ItemRecord
from recsys.recommenders.bandit.learner import Bandit
from recsys.recommenders.bandit.statistics import Statistics
from recsys.recommenders.live import LiveFollower
from recsys.recommenders.port import AtOnce
from recsys.recommenders.recipe import read_recipe
from recsys.settings import Settings
from recsys.stores import event_log
from recsys.stores.connect import State, log_folder, open_broker
from recsys.stores.event_log import EventLog
from regular_pipeline import service
from regular_pipeline.live_models import checkpoint_of
from regular_pipeline.loop import Pipeline
from regular_pipeline.service import open_pipeline
from tests.service.rig import dumped


async def add(state: State, pipeline: Pipeline, item: str) -> None:
    await state.catalogue.add(await state.epochs.current(), [ItemRecord(id=item)], [item])
    await pipeline.tick()


async def statistics_of(state: State) -> Statistics:
    _, blob = await state.models.fetch(await state.epochs.current(), "bandit")
    assert blob is not None
    return Statistics.load(blob)


async def test_a_refresh_without_news_looks_at_nothing(
    settings: Settings, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = []

    def fit(self: LiveFollower, *arguments: Any) -> Any:
        fitted.append(arguments)
        return original(self, *arguments)

    original = LiveFollower.fit
    monkeypatch.setattr(LiveFollower, "fit", fit)
    async with open_pipeline(settings) as pipeline:
        for number, item in enumerate("ab", start=1):
            await add(state, pipeline, item)
            for _ in range(3):
                await pipeline.catch_up()
            assert len((await statistics_of(state)).mean) == len(fitted) == number


async def test_a_model_that_comes_out_the_same_is_not_sent_again(
    settings: Settings, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its facts are: they say what it reflects."""
    sent = []
    async with open_pipeline(settings.model_copy(update={"recommender": "random"})) as pipeline:
        models = pipeline.state.models
        publish = models.publish

        async def publish_noted(epoch: int, name: str, version: str, facts: Any, blob: bytes | None = None) -> None:
            sent.append((name, facts["items"], blob))
            await publish(epoch, name, version, facts, blob)

        monkeypatch.setattr(models, "publish", publish_noted)
        for item in "ab":
            await add(state, pipeline, item)
            await pipeline.refresh_model("random")
    assert sent == [("random", 1, b""), ("random", 2, None)]
    assert (await state.models.facts(await state.epochs.current()))["random"]["items"] == 2


async def drain_likes(settings: Settings, pipeline: Pipeline, *items: str) -> None:
    """Each as a batch of its own."""
    broker = open_broker(settings)
    for item in items:
        await broker.publish(INTERACT_TOPIC, [dumped({"user_id": "u", "item_ids": [item], "actions": ["like"]})])
        await pipeline.tick()
    await broker.close()


async def test_housekeeping_merges_small_parts(
    settings: Settings, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "MERGE_AT_PARTS", 3)
    events = EventLog(log_folder(settings)).events(await state.epochs.current())
    async with open_pipeline(settings) as pipeline:
        for items, parts in (("ab", 2), ("c", 1), ("d", 2)):
            await drain_likes(settings, pipeline, *items)
            await pipeline.keep_house()
            assert len(events.parts()) == parts
    assert events.read()["item_id"].to_list() == list("abcd")


def resumed(settings: Settings, checkpoint: bytes, rows: int) -> tuple[LiveFollower, Bandit]:
    """A bandit as it goes on from a checkpoint. ValueError: it is of no use."""
    learner = Bandit(half_life_days=settings.half_life_days)
    follower = followed_by(settings, learner)
    follower.resume(checkpoint, rows)
    return follower, learner


def followed_by(settings: Settings, learner: Bandit) -> LiveFollower:
    made_by = read_recipe(**settings.recipe).made_by("bandit")
    return LiveFollower(learner, epoch=1, seed=0, background=AtOnce(), made_by=made_by)


async def test_a_refresh_now_and_then_saves_a_checkpoint(settings: Settings, state: State) -> None:
    folder = EventLog(log_folder(settings)).epoch_folder(await state.epochs.current())
    checkpoint = folder / "checkpoints" / "bandit.npz"
    for interval_s, item, is_saved in ((1e6, "a", False), (1e-9, "b", True)):
        changed = settings.model_copy(update={"checkpoint_interval_s": interval_s})
        async with open_pipeline(changed) as pipeline:
            await drain_likes(settings, pipeline, item)
            await pipeline.refresh_model("bandit")
            assert checkpoint.exists() == is_saved
    with pytest.raises(ValueError, match="it is of 2 rows, but the log has 1"):
        resumed(settings, checkpoint.read_bytes(), 1)
    resumed(settings, checkpoint.read_bytes(), 2)


async def a_log_with_a_wrong_checkpoint(settings: Settings, state: State) -> int:
    """Its likes are of the second item; by the checkpoint they are of the first. Returns the epoch."""
    async with open_pipeline(settings) as pipeline:
        for item in "ab":
            await add(state, pipeline, item)
        await drain_likes(settings, pipeline, "b")
    log = EventLog(log_folder(settings))
    (epoch,) = log.epochs()
    wrong = followed_by(settings, Bandit(half_life_days=settings.half_life_days))
    wrong.add(0, log.events(epoch).read().with_columns(item_index=pl.lit(0, pl.Int32)))
    path = checkpoint_of(log.epoch_folder(epoch), "bandit")
    path.parent.mkdir()
    path.write_bytes(wrong.save() or b"")
    return epoch


async def test_a_start_believes_the_checkpoint(settings: Settings, state: State) -> None:
    await a_log_with_a_wrong_checkpoint(settings, state)
    async with open_pipeline(settings) as pipeline:
        await pipeline.refresh_model("bandit")
    assert (await statistics_of(state)).order.tolist() == [0, 1]


async def test_a_rebuild_does_not_believe_the_checkpoint(settings: Settings, state: State) -> None:
    epoch = await a_log_with_a_wrong_checkpoint(settings, state)
    found = await service.rebuild(settings, epoch)
    assert (found.number, found.feed.rows) == (epoch, 1)
    assert (await statistics_of(state)).order.tolist() == [1, 0]
    _, learner = resumed(settings, checkpoint_of(found.folder, "bandit").read_bytes(), 1)
    likes, *_ = learner._counts.decayed()
    assert likes.tolist() == [0, 1], "the next start has a right one"


@pytest.mark.parametrize("saved", [b"", b"no checkpoint", None], ids=["empty", "garbage", "of other options"])
async def test_a_checkpoint_of_no_use_is_as_none(settings: Settings, state: State, saved: bytes | None) -> None:
    """Of other options: what was counted with another half-life."""
    epoch = await a_log_with_a_wrong_checkpoint(settings, state)
    if saved is None:
        settings = settings.model_copy(update={"half_life_days": 3.0})
    else:
        checkpoint_of(EventLog(log_folder(settings)).epoch_folder(epoch), "bandit").write_bytes(saved)
    async with open_pipeline(settings) as pipeline:
        await pipeline.refresh_model("bandit")
    assert (await statistics_of(state)).order.tolist() == [1, 0]
