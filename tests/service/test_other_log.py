"""A pipeline whose event log is not the one that the state was learned from: it takes nothing and says so."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from recsys.contract import INTERACT_TOPIC, ItemRecord
from recsys.recommenders.recipe import read_recipe
from recsys.settings import Settings
from recsys.stores.connect import State, log_folder, open_vectors
from recsys.stores.event_log import EventLog
from recsys.stores.ports import Broker, StoreMisconfigured
from regular_pipeline import service
from regular_pipeline.loop import Pipeline
from regular_pipeline.service import open_pipeline
from regular_pipeline.vectors import VectorMirror
from tests.service.rig import dumped


@pytest.fixture
def elsewhere(settings: Settings, tmp_path: Path) -> Settings:
    return settings.model_copy(update={"data_dir": tmp_path / "elsewhere"})


async def like(state: State, broker: Broker, user: str) -> int:
    epoch = await state.epochs.current()
    stamps = {"event_id": f"event of {user}", "epoch": epoch, "received_at": 1.7e9}
    body = {"user_id": user, "item_ids": ["a"], "actions": ["like"], **stamps}
    await broker.publish(INTERACT_TOPIC, [dumped(body)])
    return epoch


async def learn_one_like(settings: Settings, state: State, broker: Broker) -> int:
    await state.catalogue.add(await state.epochs.current(), [ItemRecord(id="a")], [])
    epoch = await like(state, broker, "first")
    async with open_pipeline(settings) as pipeline:
        assert await pipeline.tick() == 1
        await pipeline.catch_up()
    return epoch


async def require_counted(settings: Settings, state: State, epoch: int, likes: int) -> None:
    assert (await state.ledger.counters(epoch))["likes"] == likes
    assert EventLog(log_folder(settings)).events(epoch).rows == likes


async def test_it_does_not_start(settings: Settings, elsewhere: Settings, state: State, broker: Broker) -> None:
    epoch = await learn_one_like(settings, state, broker)
    await like(state, broker, "second")
    with pytest.raises(StoreMisconfigured, match=r"another event log than .*elsewhere.*DATA_DIR.*KEY_PREFIX"):
        await service.run_once(elsewhere)
    assert await broker.depth() == 1
    assert await service.run_once(settings) == 1
    await require_counted(settings, state, epoch, 2)


async def test_it_takes_nothing_from_one_that_runs(
    settings: Settings, elsewhere: Settings, state: State, broker: Broker
) -> None:
    """Also before either has logged anything; as one whose Redis was away when it started."""
    epoch = await state.epochs.current()
    async with open_pipeline(settings) as pipeline:
        assert await pipeline.tick() == 0
        log, vectors = EventLog(log_folder(elsewhere)), VectorMirror(open_vectors(elsewhere))
        second = Pipeline(elsewhere, read_recipe(**elsewhere.recipe), state, broker, log, vectors)
        await like(state, broker, "u")
        refresh_model = partial(second.refresh_model, "bandit")
        for step in (second.tick, second.follow_users, refresh_model, second.keep_house, second.catch_up):
            with pytest.raises(StoreMisconfigured):
                await step()
        await vectors.close()
        assert await pipeline.tick() == 1
        await pipeline.catch_up()
    await require_counted(settings, state, epoch, 1)


async def test_a_log_that_lost_rows(settings: Settings, state: State, broker: Broker) -> None:
    epoch = await learn_one_like(settings, state, broker)
    shutil.rmtree(EventLog(log_folder(settings)).epoch_folder(epoch) / "events")
    with pytest.raises(StoreMisconfigured, match="another event log"):
        await service.run_once(settings)


async def test_a_cleanup_lets_it_begin(settings: Settings, elsewhere: Settings, state: State, broker: Broker) -> None:
    await learn_one_like(settings, state, broker)
    await state.epochs.begin_next()
    epoch = await like(state, broker, "second")
    assert await service.run_once(elsewhere) == 1
    await require_counted(elsewhere, state, epoch, 1)


async def test_a_log_that_moved_is_the_same(
    settings: Settings, elsewhere: Settings, state: State, broker: Broker
) -> None:
    epoch = await learn_one_like(settings, state, broker)
    settings.data_dir.rename(elsewhere.data_dir)
    await like(state, broker, "second")
    assert await service.run_once(elsewhere) == 1
    await require_counted(elsewhere, state, epoch, 2)


async def test_a_rebuilt_epoch_belongs_to_the_log_it_came_from(
    settings: Settings, elsewhere: Settings, state: State, broker: Broker
) -> None:
    epoch = await learn_one_like(settings, state, broker)
    await service.rebuild(settings, epoch)
    with pytest.raises(StoreMisconfigured, match="another event log"):
        await service.run_once(elsewhere)
