"""Moments between two awaits of the recommender, each brought about on purpose, on a real Redis.

Under load they happen by themselves (test_cleanup_under_load.py), but not every time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import pytest

from recommendations.impressions import ImpressionRecorder
from recommendations.recommender import Recommender
from recsys.catalogue import Catalogue
from recsys.contract import AddItems
from recsys.ranking.choose import EXPLORE
from recsys.ranking.profiles import Ranking
from recsys.settings import Settings
from recsys.stores.connect import open_state
from recsys.stores.ports import StoreUnavailable
from recsys.stores.redis_state import RedisState
from regular_pipeline.counts import Counts
from regular_pipeline.refresh import Snapshot, compute
from tests.service.rig import ids

Step = Callable[[], Awaitable[Any]]


class Interrupted:
    """A state store in which something else happens right before or right after one call of a method."""

    def __init__(self, state: RedisState) -> None:
        self.state = state
        self.before: dict[str, Step] = {}
        self.after: dict[str, Step] = {}
        self.away = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.state, name)

        async def call(*args: Any) -> Any:
            if self.away:
                raise StoreUnavailable("away")
            if name in self.before:
                await self.before.pop(name)()
            answer = await method(*args)
            if name in self.after:
                await self.after.pop(name)()
            return answer

        return call


class Nowhere:
    """A broker for impressions that nobody looks at."""

    async def publish(self, topic: str, bodies: list[bytes]) -> None:
        """Gone."""


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Interrupted]:
    state = open_state(settings)
    yield Interrupted(state)
    await state.close()


@pytest.fixture
async def recommender(store: Interrupted) -> AsyncIterator[Recommender]:
    impressions = ImpressionRecorder(Nowhere(), flush_s=0.01)  # type: ignore[arg-type]
    yield Recommender(store, impressions, Ranking(), seed=0)  # type: ignore[arg-type]
    await impressions.close()


async def listed(recommender: Recommender, user: str = "u", k: int = 10) -> list[str]:
    answer = await recommender.recommend(user, k)
    return [item.decode().strip('"') for item in answer.ids_json]


async def add_elsewhere(store: Interrupted, names: list[str]) -> None:
    """As another worker does it."""
    body = AddItems(item_ids=names)
    await store.state.add(await store.state.current(), body.records(), names)


async def publish_elsewhere(store: Interrupted) -> None:
    """As the pipeline does it."""
    epoch = await store.state.current()
    catalogue = Catalogue()
    for chunk in await store.state.since(epoch, 0):
        catalogue.extend(chunk)
    artifacts = compute(Snapshot.take(epoch, catalogue, Counts(7)), seed=0).artifacts
    await store.state.publish(epoch, artifacts, {})


OLD: Final = ids("old", 20)


async def test_a_cleanup_elsewhere_before_the_page_is_read(recommender: Recommender, store: Interrupted) -> None:
    await recommender.add_items(AddItems(item_ids=OLD))
    assert len(await listed(recommender)) == 10
    store.before["open_page"] = store.state.begin_next
    assert await listed(recommender) == []


async def test_a_cleanup_elsewhere_before_the_list_is_remembered(recommender: Recommender, store: Interrupted) -> None:
    await recommender.add_items(AddItems(item_ids=OLD))
    store.before["mark_shown"] = store.state.begin_next
    assert await listed(recommender) == []


async def test_a_cleanup_here_between_the_page_and_its_answer(recommender: Recommender, store: Interrupted) -> None:
    await recommender.add_items(AddItems(item_ids=OLD))
    assert len(await listed(recommender)) == 10

    async def end_the_epoch() -> None:
        await store.state.begin_next()

    async def learn_of_it() -> None:
        await recommender.begin(await store.state.current())

    store.before["open_page"] = end_the_epoch
    store.after["open_page"] = learn_of_it
    assert await listed(recommender) == []


async def test_a_cleanup_here_after_the_page_was_read(recommender: Recommender, store: Interrupted) -> None:
    await recommender.add_items(AddItems(item_ids=OLD))
    assert len(await listed(recommender)) == 10
    store.after["open_page"] = recommender.cleanup
    assert await listed(recommender) == []


async def test_a_cleanup_between_the_page_and_the_catalogue(recommender: Recommender, store: Interrupted) -> None:
    await recommender.add_items(AddItems(item_ids=["old-0"]))
    assert await listed(recommender) == ["old-0"]
    await add_elsewhere(store, ids("more", 5))
    store.before["since"] = store.state.begin_next
    assert await listed(recommender) == []


async def test_new_items_between_the_page_and_the_catalogue(recommender: Recommender, store: Interrupted) -> None:
    await recommender.add_items(AddItems(item_ids=["old-0"]))
    await add_elsewhere(store, ids("more", 2))

    async def add_another() -> None:
        await add_elsewhere(store, ["another"])

    store.before["since"] = add_another
    assert sorted(await listed(recommender)) == ["another", "more-0", "more-1", "old-0"]


async def test_a_catalogue_log_that_was_restored_in_fewer_pieces(recommender: Recommender, store: Interrupted) -> None:
    """As ``rebuild`` does it after a loss of Redis, between two requests to this worker."""
    for item in OLD[:4]:
        await recommender.add_items(AddItems(item_ids=[item]))
    epoch = await store.state.current()
    raw: Any = store.state._client
    await raw.delete(*[key async for key in raw.scan_iter(match=f"{store.state._prefix}:*")])
    await store.state.restore(epoch)
    await store.state.add(epoch, AddItems(item_ids=OLD[:4]).records(), [])
    assert await recommender.add_items(AddItems(item_ids=["new"])) == (1, 0)
    assert await recommender.add_items(AddItems(item_ids=["new"])) == (0, 0)
    assert sorted(await listed(recommender)) == sorted(["new", *OLD[:4]])


NEWER: Final = "artifacts are fetched after the page, so they may know items that this worker's catalogue does not"


async def artifacts_of_a_newer_catalogue(recommender: Recommender, store: Interrupted) -> None:
    await recommender.add_items(AddItems(item_ids=ids("first", 2)))
    await publish_elsewhere(store)

    async def add_and_publish() -> None:
        await add_elsewhere(store, ids("second", 2))
        await publish_elsewhere(store)

    store.before["fetch"] = add_and_publish


async def test_the_artifacts_fit_the_catalogue(recommender: Recommender, store: Interrupted) -> None:
    await artifacts_of_a_newer_catalogue(recommender, store)
    known = await recommender.knowledge()
    assert known.artifacts is not None
    assert known.artifacts.top_list(0).max() < len(known.catalogue)


async def test_lists_from_memory_with_artifacts_of_a_newer_catalogue(
    recommender: Recommender, store: Interrupted
) -> None:
    await artifacts_of_a_newer_catalogue(recommender, store)
    await recommender.knowledge()
    store.away = True
    assert set(await listed(recommender)) >= set(ids("first", 2))


async def test_artifacts_of_an_ended_epoch_are_not_taken_for_those_of_the_next(
    recommender: Recommender, store: Interrupted
) -> None:
    await recommender.add_items(AddItems(item_ids=OLD))
    await publish_elsewhere(store)
    store.before["fetch"] = recommender.cleanup
    await listed(recommender)
    known = await recommender.knowledge()
    assert (known.artifacts, len(known.catalogue)) == (None, 0)


async def test_one_user_asks_two_workers_at_the_same_time(recommender: Recommender, store: Interrupted) -> None:
    await recommender.add_items(AddItems(item_ids=ids("item", 40)))
    other = Recommender(store.state, recommender._impressions, Ranking(), seed=0)
    lists: list[str] = []

    async def ask_the_other() -> None:
        lists.extend(await listed(other))

    store.before["mark_shown"] = ask_the_other
    lists += await listed(recommender)
    assert len(lists) == 20
    assert len(set(lists)) == 20


async def test_the_deck_runs_out(recommender: Recommender, store: Interrupted) -> None:
    """Without a pipeline nobody refills it."""
    await recommender.add_items(AddItems(item_ids=ids("item", 100)))
    for n in range(60):
        assert len(set(await listed(recommender, f"user-{n}"))) == 10


async def test_lists_take_from_the_deck_only_what_they_show(recommender: Recommender, store: Interrupted) -> None:
    await recommender.add_items(AddItems(item_ids=ids("item", 100)))
    epoch = await store.state.current()
    before = await store.state.deck(epoch)
    answers = await asyncio.gather(*(recommender.recommend(f"user-{n}", 5) for n in range(3)))
    told = [pair for answer in answers for pair in zip(answer.ids_json, answer.sources, strict=True)]
    shown = {item.decode().strip('"'): source for item, source in told}
    after = await store.state.deck(epoch)
    gone = set(before).difference(after)
    assert 5 < len(gone) < 20
    assert {item for item, source in shown.items() if source == EXPLORE} <= gone <= shown.keys()
    assert after == [card for card in before if card not in gone]
