"""What the pipeline's refresh does when there is something new, and when there is not, on a real Redis."""

from __future__ import annotations

from typing import Any

import pytest

from recsys.contract import ItemRecord
from recsys.settings import Settings
from recsys.stores.connect import open_state
from recsys.stores.redis_state import RedisState
from regular_pipeline import loop
from regular_pipeline.loop import Pipeline
from regular_pipeline.service import open_pipeline


async def add(state: RedisState, pipeline: Pipeline, item: str) -> None:
    await state.add(await state.current(), [ItemRecord(id=item)], [item])
    await pipeline.tick()


async def test_a_refresh_without_news_looks_at_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    state = open_state(settings)
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
    await state.close()
