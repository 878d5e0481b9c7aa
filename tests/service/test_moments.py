"""Moments between two awaits of a worker, each brought about on purpose, on a real Redis.

Under load they happen by themselves (test_cleanup_under_load.py), but not every time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import polars as pl
import pytest
import redis

from recommendations.impressions import ImpressionRecorder
from recommendations.lists import Answer, Lists
from recommendations.loading import REFUSED
from recsys.catalogue import Catalogue
from recsys.contract import AddItems
from recsys.recommenders.bandit.learner import Bandit
from recsys.recommenders.live import LiveFollower
from recsys.recommenders.mix import EXPLORE, RANDOM
from recsys.recommenders.port import AtOnce
from recsys.recommenders.recipe import read_recipe
from recsys.schemas import EVENT_SCHEMA
from recsys.settings import Settings
from recsys.stores.connect import State, open_state
from recsys.stores.ports import ModelStore, StoreUnavailable
from tests.service.rig import ids

Step = Callable[[], Awaitable[Any]]


class Interrupted:
    """A state in which something else happens right before or right after one call, named as in ``pages.open``."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.before: dict[str, Step] = {}
        self.after: dict[str, Step] = {}
        self.away = False

    def __getattr__(self, port: str) -> Port:
        return Port(self, port)


class Port:
    """One of its ports."""

    def __init__(self, store: Interrupted, name: str) -> None:
        self._store = store
        self._name = name

    def __getattr__(self, name: str) -> Any:
        store, place = self._store, f"{self._name}.{name}"
        method = getattr(getattr(store.state, self._name), name)

        async def call(*args: Any) -> Any:
            if store.away:
                raise StoreUnavailable("away")
            if place in store.before:
                await store.before.pop(place)()
            answer = await method(*args)
            if place in store.after:
                await store.after.pop(place)()
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


def worker_on(state: Any, impressions: ImpressionRecorder) -> Lists:
    def no_store() -> ModelStore:
        raise AssertionError("no job has trained anything")

    return Lists(state, no_store, impressions, read_recipe(), seed=0, rank_timeout_s=20)


@pytest.fixture
async def lists(store: Interrupted) -> AsyncIterator[Lists]:
    impressions = ImpressionRecorder(Nowhere(), flush_s=0.01)  # type: ignore[arg-type]
    yield worker_on(store, impressions)
    await impressions.close()


def items_of(answer: Answer) -> list[str]:
    return [item.decode().strip('"') for item in answer.ids_json]


async def listed(lists: Lists, user: str = "u", k: int = 10) -> list[str]:
    return items_of(await lists.recommend(user, k))


async def add_elsewhere(store: Interrupted, names: list[str]) -> None:
    """As another worker does it."""
    body = AddItems(item_ids=names)
    await store.state.catalogue.add(await store.state.epochs.current(), body.records(), names)


async def publish_elsewhere(store: Interrupted) -> str:
    """As the pipeline does it. Returns the version."""
    epoch = await store.state.epochs.current()
    catalogue = Catalogue()
    for chunk in await store.state.catalogue.since(epoch, 0):
        catalogue.extend(chunk)
    follower = LiveFollower(Bandit(), epoch=epoch, seed=0, background=AtOnce())
    fitted = follower.fit(catalogue.items(), 0.0, lambda: pl.LazyFrame(schema=EVENT_SCHEMA))
    await store.state.models.publish(epoch, "bandit", fitted.version, {}, fitted.blob)
    return fitted.version


async def add_with_a_model(lists: Lists, store: Interrupted, names: list[str]) -> None:
    """Items, and a model in force that knows them."""
    await lists.add_items(AddItems(item_ids=names))
    await publish_elsewhere(store)
    assert "bandit" in (await lists.knowledge()).models


OLD: Final = ids("old", 20)


async def test_a_cleanup_elsewhere_before_the_page_is_read(lists: Lists, store: Interrupted) -> None:
    await lists.add_items(AddItems(item_ids=OLD))
    assert len(await listed(lists)) == 10
    store.before["pages.open"] = store.state.epochs.begin_next
    assert await listed(lists) == []


async def test_a_cleanup_elsewhere_before_the_list_is_remembered(lists: Lists, store: Interrupted) -> None:
    await lists.add_items(AddItems(item_ids=OLD))
    store.before["pages.mark_shown"] = store.state.epochs.begin_next
    assert await listed(lists) == []


async def test_a_cleanup_here_between_the_page_and_its_answer(lists: Lists, store: Interrupted) -> None:
    await lists.add_items(AddItems(item_ids=OLD))
    assert len(await listed(lists)) == 10

    async def end_the_epoch() -> None:
        await store.state.epochs.begin_next()

    async def learn_of_it() -> None:
        await lists.begin(await store.state.epochs.current())

    store.before["pages.open"] = end_the_epoch
    store.after["pages.open"] = learn_of_it
    assert await listed(lists) == []


async def test_a_cleanup_here_after_the_page_was_read(lists: Lists, store: Interrupted) -> None:
    await lists.add_items(AddItems(item_ids=OLD))
    assert len(await listed(lists)) == 10
    store.after["pages.open"] = lists.cleanup
    assert await listed(lists) == []


async def test_a_cleanup_between_the_page_and_the_catalogue(lists: Lists, store: Interrupted) -> None:
    await lists.add_items(AddItems(item_ids=["old-0"]))
    assert await listed(lists) == ["old-0"]
    await add_elsewhere(store, ids("more", 5))
    store.before["catalogue.since"] = store.state.epochs.begin_next
    assert await listed(lists) == []


async def test_new_items_between_the_page_and_the_catalogue(lists: Lists, store: Interrupted) -> None:
    await lists.add_items(AddItems(item_ids=["old-0"]))
    await add_elsewhere(store, ids("more", 2))

    async def add_another() -> None:
        await add_elsewhere(store, ["another"])

    store.before["catalogue.since"] = add_another
    assert sorted(await listed(lists)) == ["another", "more-0", "more-1", "old-0"]


async def test_a_catalogue_log_that_was_restored_in_fewer_pieces(
    lists: Lists, store: Interrupted, settings: Settings
) -> None:
    """As ``rebuild`` does it after a loss of Redis, between two requests to this worker."""
    for item in OLD[:4]:
        await lists.add_items(AddItems(item_ids=[item]))
    epoch = await store.state.epochs.current()
    with redis.Redis.from_url(settings.redis_url) as raw:
        raw.delete(*raw.scan_iter(match=f"{settings.key_prefix}:*"))
    await store.state.epochs.restore(epoch)
    await store.state.catalogue.add(epoch, AddItems(item_ids=OLD[:4]).records(), [])
    assert await lists.add_items(AddItems(item_ids=["new"])) == (1, 0)
    assert await lists.add_items(AddItems(item_ids=["new"])) == (0, 0)
    assert sorted(await listed(lists)) == sorted(["new", *OLD[:4]])


async def a_model_of_a_newer_catalogue(lists: Lists, store: Interrupted) -> None:
    """A model is fetched after the page, so it may know items that this worker's catalogue does not."""
    await lists.add_items(AddItems(item_ids=ids("first", 2)))
    await publish_elsewhere(store)

    async def add_and_publish() -> None:
        await add_elsewhere(store, ids("second", 2))
        await publish_elsewhere(store)

    store.before["models.fetch"] = add_and_publish


async def test_the_model_fits_the_catalogue(lists: Lists, store: Interrupted) -> None:
    await a_model_of_a_newer_catalogue(lists, store)
    known = await lists.knowledge()
    held = known.models["bandit"]
    assert held.items == len(known.catalogue) == 4
    assert sorted(known.top(None, 10)) == sorted([*ids("first", 2), *ids("second", 2)])


async def test_lists_from_memory_with_a_model_of_a_newer_catalogue(lists: Lists, store: Interrupted) -> None:
    await a_model_of_a_newer_catalogue(lists, store)
    await lists.knowledge()
    store.away = True
    assert set(await listed(lists)) >= set(ids("first", 2))


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_model_of_an_ended_epoch_is_not_taken_for_one_of_the_next(
    lists: Lists, store: Interrupted, moment: str
) -> None:
    await lists.add_items(AddItems(item_ids=OLD))
    await publish_elsewhere(store)
    getattr(store, moment)["models.fetch"] = lists.cleanup
    await listed(lists)
    known = await lists.knowledge()
    assert (known.models, len(known.catalogue)) == ({}, 0)


async def test_new_items_while_a_model_is_loaded(lists: Lists, store: Interrupted) -> None:
    """They have a place in lists at once, and the model is loaded anew for the catalogue that holds them."""
    await lists.add_items(AddItems(item_ids=ids("first", 2)))
    version = await publish_elsewhere(store)
    await lists.knowledge()

    async def add_more() -> None:
        await add_elsewhere(store, ids("second", 2))

    store.after["pages.open"] = add_more
    assert sorted(await listed(lists, "u")) == ids("first", 2), "they came after the page"
    assert sorted(await listed(lists, "v")) == sorted([*ids("first", 2), *ids("second", 2)])
    held = (await lists.knowledge()).models["bandit"]
    assert (held.version, held.items) == (version, 4)


async def test_a_model_that_cannot_be_loaded_is_refused_and_the_one_before_it_serves(
    lists: Lists, store: Interrupted
) -> None:
    """Of another version of this code, for example. It is tried once, and the next one takes its place."""
    await add_with_a_model(lists, store, OLD)
    epoch = await store.state.epochs.current()
    held = (await lists.knowledge()).models["bandit"]
    refused = REFUSED.labels("bandit")._value.get()
    await store.state.models.publish(epoch, "bandit", "unreadable", {}, b"no statistics")
    for n in range(3):
        assert len(set(await listed(lists, f"user-{n}"))) == 10
        assert (await lists.knowledge()).models["bandit"] is held
    assert REFUSED.labels("bandit")._value.get() == refused + 1
    await add_elsewhere(store, ["new"])
    version = await publish_elsewhere(store)
    assert (await lists.knowledge()).models["bandit"].version == version


async def test_one_user_asks_two_workers_at_the_same_time(lists: Lists, store: Interrupted) -> None:
    await add_with_a_model(lists, store, ids("item", 40))
    other = worker_on(store.state, lists._impressions)
    shown: list[str] = []

    async def ask_the_other() -> None:
        shown.extend(await listed(other))

    store.before["pages.mark_shown"] = ask_the_other
    shown += await listed(lists)
    assert len(shown) == 20
    assert len(set(shown)) == 20


async def test_the_exploration_queue_runs_out(lists: Lists, store: Interrupted) -> None:
    """Without a pipeline nobody fills it."""
    await add_with_a_model(lists, store, ids("item", 100))
    sources = set()
    for n in range(60):
        answer = await lists.recommend(f"user-{n}", 10)
        assert len(set(answer.ids_json)) == 10
        sources |= set(answer.sources)
    assert sources == {"bandit", EXPLORE}
    assert await store.state.exploration.waiting(await store.state.epochs.current()) == []
    assert (await lists.recommend("one-more", 10)).sources == ["bandit"] * 10


async def test_lists_take_from_the_queue_only_what_they_show(lists: Lists, store: Interrupted) -> None:
    await add_with_a_model(lists, store, ids("item", 100))
    epoch = await store.state.epochs.current()
    before = await store.state.exploration.waiting(epoch)
    answers = await asyncio.gather(*(lists.recommend(f"user-{n}", 5) for n in range(3)))
    told = [pair for answer in answers for pair in zip(items_of(answer), answer.sources, strict=True)]
    shown = dict(told)
    after = await store.state.exploration.waiting(epoch)
    gone = set(before).difference(after)
    assert 5 < len(gone) < 20
    assert {item for item, source in shown.items() if source == EXPLORE} <= gone <= shown.keys()
    assert after == [candidate for candidate in before if candidate not in gone]
    assert await store.state.exploration.shown(epoch) == len(gone)


async def test_lists_before_the_first_model_take_nothing_from_the_queue(lists: Lists, store: Interrupted) -> None:
    await lists.add_items(AddItems(item_ids=ids("item", 100)))
    epoch = await store.state.epochs.current()
    before = await store.state.exploration.waiting(epoch)
    answer = await lists.recommend("u", 10)
    assert answer.sources == [RANDOM] * 10
    assert await store.state.exploration.waiting(epoch) == before
