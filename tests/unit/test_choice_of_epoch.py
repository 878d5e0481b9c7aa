"""A log that holds many epochs, as after every doctor run: what rebuild and export say of it."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from recsys.schemas import EVENT_SCHEMA
from recsys.settings import Settings
from recsys.stores.connect import log_folder
from recsys.stores.event_log import EventLog
from recsys.stores.ports import StoreMisconfigured
from regular_pipeline import service

ROW = pl.DataFrame({name: [None] for name in EVENT_SCHEMA}, schema=EVENT_SCHEMA)


@pytest.fixture
def many_epochs(settings: Settings) -> Settings:
    for epoch in range(100, 107):
        EventLog(log_folder(settings)).events(epoch).append(ROW)
    return settings


async def test_rebuild_names_the_newest(many_epochs: Settings) -> None:
    with pytest.raises(StoreMisconfigured) as error:
        await service.rebuild(many_epochs, None)
    newest = ", ".join(f"{epoch} (1 rows)" for epoch in range(102, 107))
    assert str(error.value).endswith(f"choose by --epoch from {newest} and 2 earlier ones, which stats lists")


def test_export_names_the_newest(many_epochs: Settings, tmp_path: Path) -> None:
    with pytest.raises(StoreMisconfigured) as error:
        service.export(many_epochs, tmp_path / "events.csv", 5)
    assert str(error.value).endswith("it holds 102, 103, 104, 105, 106 and 2 earlier ones, which stats lists")
