"""What the pipeline's refresh does when there is something new, and when there is not, on a real Redis."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from recsys.contract import ItemRecord
from recsys.settings import Settings
from recsys.stores.connect import open_state
from recsys.stores.ports import UsedCards
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


async def test_a_card_that_was_just_played_is_not_dealt_again(settings: Settings) -> None:
    """Its impression is not in the log yet, so to a refresh it is as new as before."""
    state = open_state(settings)
    async with open_pipeline(settings) as pipeline:
        explore = replace(pipeline._ranking.explore, awaited_s=1_000.0)
        pipeline._ranking = replace(pipeline._ranking, explore=explore)
        epoch, decks = await state.current(), []
        for item in "abc":
            await add(state, pipeline, item)
            await pipeline.refresh()
            decks.append(set(await state.deck(epoch)))
            page = await state.open_page(epoch, [], 10)
            played = [card for card in page.cards if card == "a"]
            await state.mark_shown(epoch, {}, UsedCards(page.deal, played, [c for c in page.cards if c != "a"]))
    assert decks == [{"a"}, {"b"}, {"b", "c"}]
    await state.close()
