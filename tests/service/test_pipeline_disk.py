"""A disk that fails for a while under the pipeline's parts."""

from __future__ import annotations

import pytest

from recsys.contract import ItemRecord
from recsys.settings import Settings
from recsys.stores.connect import log_folder, open_state
from recsys.stores.event_log import EventLog, PartFolder
from recsys.stores.ports import StoreUnavailable
from regular_pipeline.epoch_work import EpochWork


async def test_records_that_could_not_be_mirrored_are_mirrored_later_in_order(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = open_state(settings)
    epoch = await state.current()
    work = EpochWork(epoch, EventLog(log_folder(settings)), 7.0)
    await state.add(epoch, [ItemRecord(id="a"), ItemRecord(id="b")], [])

    def full(*_: object) -> int:
        raise StoreUnavailable("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(PartFolder, "append", full)
        with pytest.raises(StoreUnavailable):
            await work.read_catalogue(state)
    await state.add(epoch, [ItemRecord(id="c")], [])
    await work.read_catalogue(state)
    await work.read_catalogue(state)
    assert work.items.read()["item_id"].to_list() == ["a", "b", "c"]
    await state.close()
