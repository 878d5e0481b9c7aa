"""A disk that fails for a while: the pipeline waits, as for every other store, and goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from recsys.contract import INTERACT_TOPIC, ItemRecord
from recsys.settings import Settings
from recsys.stores.connect import State, log_folder
from recsys.stores.event_log import EventLog, PartFolder
from recsys.stores.ports import Broker, StoreUnavailable
from regular_pipeline.epoch import Epoch
from regular_pipeline.loop import Pipeline
from regular_pipeline.service import open_pipeline


async def test_records_that_could_not_be_mirrored_are_mirrored_later_in_order(
    settings: Settings, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = EventLog(log_folder(settings))
    epoch = Epoch(await state.epochs.current(), log)
    await state.catalogue.add(epoch.number, [ItemRecord(id="a"), ItemRecord(id="b")], [])

    def full(*_: object) -> int:
        raise StoreUnavailable("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(PartFolder, "append", full)
        with pytest.raises(StoreUnavailable):
            await epoch.read_catalogue(state.catalogue)
    await state.catalogue.add(epoch.number, [ItemRecord(id="c")], [])
    await epoch.read_catalogue(state.catalogue)
    await epoch.read_catalogue(state.catalogue)
    assert log.catalogue(epoch.number).read()["item_id"].to_list() == ["a", "b", "c"]


def no_folder(log: Path, epoch: int) -> Path:
    """No folder can be made for a new epoch."""
    path = log / f"epoch-{epoch}"
    path.write_text("in the way")
    return path


def no_checkpoint(log: Path, epoch: int) -> Path:
    """Its temporary file leads to a device that is always full."""
    path = log / f"epoch-{epoch}" / "checkpoints" / "bandit.tmp"
    path.parent.mkdir(parents=True)
    path.symlink_to("/dev/full")
    return path


def no_folder_of_checkpoints(log: Path, epoch: int) -> Path:
    path = log / f"epoch-{epoch}" / "checkpoints"
    path.parent.mkdir()
    path.write_text("in the way")
    return path


def no_rejected(log: Path, epoch: int) -> Path:
    """The file for messages that are set aside is on a device that is always full."""
    path = log / "rejected.jsonl"
    path.symlink_to("/dev/full")
    return path


@pytest.mark.parametrize("fault", [no_folder, no_checkpoint, no_folder_of_checkpoints, no_rejected])
async def test_the_pipeline_waits_for_a_disk_that_is_full(
    fault: Callable[[Path, int], Path], settings: Settings, state: State, broker: Broker
) -> None:
    async def drain_and_refresh(pipeline: Pipeline) -> None:
        await pipeline.tick()
        await pipeline.catch_up()

    epoch, log = await state.epochs.current(), log_folder(settings)
    await broker.publish(INTERACT_TOPIC, [b"rejected"])
    log.mkdir(parents=True)
    broken = fault(log, epoch)
    async with open_pipeline(settings.model_copy(update={"checkpoint_interval_s": 1e-9})) as pipeline:
        with pytest.raises(StoreUnavailable, match="cannot write"):
            await drain_and_refresh(pipeline)
        broken.unlink(missing_ok=True)
        await drain_and_refresh(pipeline)
    assert "rejected" in (log / "rejected.jsonl").read_text()
    assert [path.name for path in (log / f"epoch-{epoch}" / "checkpoints").iterdir()] == ["bandit.npz"]
    assert await broker.depth() == 0


async def test_a_log_that_cannot_be_made_is_named(settings: Settings) -> None:
    settings.data_dir.write_text("in the way")
    with pytest.raises(StoreUnavailable, match=f"cannot write {log_folder(settings)}"):
        async with open_pipeline(settings):
            pass
