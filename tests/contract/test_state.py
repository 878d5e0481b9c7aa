"""What the state store promises, on each Redis that the project supports."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator

import numpy as np
import pytest
from redis.asyncio import Redis

from recsys.artifacts import Artifacts
from recsys.contract import ItemRecord
from recsys.settings import Settings
from recsys.stores.connect import open_state
from recsys.stores.ports import EpochOver, StoreUnavailable, UsedCards
from recsys.stores.redis_state import RedisState
from tests.servers import RedisServer


@pytest.fixture
async def state(settings: Settings, each_redis: RedisServer) -> AsyncIterator[RedisState]:
    opened = open_state(settings.model_copy(update={"redis_url": each_redis.url}))
    yield opened
    await opened.close()


@pytest.fixture
async def epoch(state: RedisState) -> int:
    return await state.current()


def record(name: str, *genres: str) -> ItemRecord:
    return ItemRecord(id=name, genres=genres)


def artifacts(version: str, n: int = 2) -> Artifacts:
    zeros = np.zeros(n, np.float32)
    return Artifacts(
        version=version,
        rows=n,
        mean=zeros,
        sd=zeros,
        order=np.arange(n, dtype=np.int32),
        genre_rate=np.ones(1, np.float32),
        genre_sd=np.ones(1, np.float32),
        base_rate=0.25,
        base_sd=0.5,
        explore_share=0.2,
        loadings=np.ones((n, 4), np.float32),
        genre_variance=0.5,
        top=np.full((2, 3), -1, np.int32),
        vectors=np.ones((n, 8), np.float32),
    )


async def test_an_epoch_lasts_until_the_next_begins(state: RedisState, epoch: int) -> None:
    assert epoch > 0
    assert await state.current() == epoch
    following = await state.begin_next()
    assert following > epoch
    assert await state.current() == following


async def test_concurrent_cleanups_give_different_epochs(state: RedisState) -> None:
    epochs = await asyncio.gather(*(state.begin_next() for _ in range(10)))
    assert len(set(epochs)) == 10
    assert await state.current() == max(epochs)


async def test_a_new_epoch_knows_nothing_of_the_old_one(state: RedisState, epoch: int) -> None:
    await state.add(epoch, [record("a", "Drama")], ["a"])
    await state.mark_shown(epoch, {"u": (0, b"1234")})
    await state.apply(epoch, (0, 5), {"likes": 5}, {"u": b"5678"})
    await state.publish(epoch, artifacts("1"), {"*": ["a"]})
    following = await state.begin_next()
    for number in (epoch, following):
        assert await state.since(number, 0) == []
        assert await state.deck(number) == []
        assert await state.counters(number) == {}
        assert await state.fetch(number) is None
    assert (await state.open_page(following, ["u"], 5)).codes == [b""]


async def test_late_work_of_an_ended_epoch_changes_nothing(
    state: RedisState, epoch: int, each_redis: RedisServer
) -> None:
    await state.begin_next()
    late = [
        state.add(epoch, [record("a")], ["a"]),
        state.deal(epoch, ["a"]),
        state.mark_shown(epoch, {"u": (0, b"1234")}),
        state.compact(epoch, "u", b"", b"1234"),
        state.apply(epoch, (0, 1), {"likes": 1}, {}),
        state.publish(epoch, artifacts("1"), {}),
    ]
    for work in late:
        with pytest.raises(EpochOver):
            await work
    async with Redis.from_url(each_redis.url) as client:
        assert [key async for key in client.scan_iter(f"*:{epoch}:*") if state._prefix.encode() in key] == []


async def test_a_restored_epoch_is_in_force_and_empty(state: RedisState, epoch: int) -> None:
    await state.add(epoch, [record("a")], ["a"])
    await state.restore(epoch - 1_000)
    assert await state.current() == epoch - 1_000
    assert await state.since(epoch, 0) == []


async def test_a_page_of_another_epoch_deals_no_cards(state: RedisState, epoch: int) -> None:
    await state.deal(epoch, ["a", "b"])
    page = await state.open_page(epoch - 1, ["u"], 2)
    assert (page.epoch, page.cards, page.codes) == (epoch, [], [])
    assert await state.deck(epoch) == ["a", "b"]


async def test_a_page_holds_users_in_order_catalogue_version_and_cards(state: RedisState, epoch: int) -> None:
    await state.add(epoch, [record("a"), record("b")], ["b", "a"])
    await state.mark_shown(epoch, {"u": (0, b"1111"), "v": (0, b"2222")})
    await state.mark_shown(epoch, {"u": (4, b"3333")})
    await state.publish(epoch, artifacts("7.2"), {})
    page = await state.open_page(epoch, ["v", "nobody", "u"], 1)
    assert page.codes == [b"2222", b"", b"11113333"]
    assert (page.catalogue_chunks, page.artifacts_version, page.cards) == (1, "7.2", ["b"])


async def test_a_new_deck_replaces_the_old(state: RedisState, epoch: int) -> None:
    await state.add(epoch, [record("a"), record("b")], ["a", "b"])
    await state.deal(epoch, ["c", "b"])
    assert await state.deck(epoch) == ["c", "b"]
    await state.deal(epoch, [])
    assert await state.deck(epoch) == []


async def test_every_card_is_dealt_once(state: RedisState, epoch: int) -> None:
    await state.deal(epoch, [str(n) for n in range(100)])
    pages = await asyncio.gather(*(state.open_page(epoch, [], 7) for _ in range(20)))
    dealt = [card for page in pages for card in page.cards]
    assert sorted(dealt, key=int) == [str(n) for n in range(100)]


async def test_cards_that_were_not_played_go_back_on_top_in_order(state: RedisState, epoch: int) -> None:
    cards = [str(n) for n in range(2_500)]
    await state.deal(epoch, cards)
    page = await state.open_page(epoch, [], 2_400)
    rest = [card for card in cards if card != "1"]
    used = UsedCards(page.deal, ["1"], [card for card in page.cards if card != "1"])
    assert await state.mark_shown(epoch, {"u": (0, b"1111")}, used) == set()
    assert (await state.deck(epoch), await state.played(epoch)) == (rest, 1)
    page = await state.open_page(epoch, ["u"], 1)
    assert page.codes == [b"1111"]
    assert await state.mark_shown(epoch, {}, UsedCards(page.deal, [], page.cards)) == set()
    assert await state.deck(epoch) == rest


async def test_a_new_deck_leaves_out_what_was_played_since_the_last(state: RedisState, epoch: int) -> None:
    await state.deal(epoch, ["a", "b", "c", "d"])
    page = await state.open_page(epoch, [], 3)
    await state.mark_shown(epoch, {}, UsedCards(page.deal, ["b"], ["a", "c"]))
    await state.deal(epoch, ["a", "b", "c", "e"])
    assert (await state.deck(epoch), await state.played(epoch)) == (["a", "c", "e"], 0)
    await state.deal(epoch, ["a", "b"])
    assert await state.deck(epoch) == ["a", "b"]


async def test_cards_of_an_earlier_deck_do_not_come_back(state: RedisState, epoch: int) -> None:
    """The new one holds them already, unless they are no longer worth it."""
    await state.deal(epoch, ["a", "b", "c"])
    page = await state.open_page(epoch, [], 3)
    await state.deal(epoch, ["c", "a"])
    await state.mark_shown(epoch, {}, UsedCards(page.deal, ["c"], ["a", "b"]))
    assert (await state.deck(epoch), await state.played(epoch)) == (["c", "a"], 1)


async def test_a_compaction_loses_no_code_that_was_appended_meanwhile(state: RedisState, epoch: int) -> None:
    await state.mark_shown(epoch, {"u": (0, b"11112222")})
    await state.compact(epoch, "u", b"11112222", b"2222")
    await state.compact(epoch, "u", b"11112222", b"9999")
    assert (await state.open_page(epoch, ["u"], 0)).codes == [b"2222"]


async def test_catalogue_chunks_come_back_in_order(state: RedisState, epoch: int) -> None:
    chunks = [[record("a", "Drama"), record("ü")], [record("a", "Comedy", "Крайм")], [record("c")]]
    for chunk in chunks:
        await state.add(epoch, chunk, [])
    assert await state.since(epoch, 0) == chunks
    assert await state.since(epoch, 2) == chunks[2:]
    assert await state.since(epoch, 3) == []


async def test_rows_count_once_and_in_order(state: RedisState, epoch: int) -> None:
    assert await state.applied(epoch) == 0
    assert await state.apply(epoch, (0, 10), {"likes": 3, "dislikes": 7}, {"u": b"aaaa"})
    assert not await state.apply(epoch, (0, 10), {"likes": 3}, {"u": b"bbbb"})
    assert not await state.apply(epoch, (11, 12), {"likes": 1}, {})
    assert await state.apply(epoch, (10, 12), {"likes": 2}, {"u": b"cccc", "v": b"dddd"})
    assert await state.counters(epoch) == {"applied": 12, "likes": 5, "dislikes": 7}
    assert (await state.open_page(epoch, ["u", "v"], 0)).codes == [b"aaaacccc", b"dddd"]


async def test_artifacts_switch_as_a_whole(state: RedisState, epoch: int, each_redis: RedisServer) -> None:
    assert await state.fetch(epoch) is None
    await state.publish(epoch, artifacts("1", 2), {"*": ["a", "b"], "Drama": ["b"]})
    await state.publish(epoch, artifacts("2", 3), {"*": ["c"]})
    fetched = await state.fetch(epoch)
    assert fetched is not None
    assert (fetched.version, len(fetched.mean), fetched.base_rate) == ("2", 3, 0.25)
    async with Redis.from_url(each_redis.url) as client:
        lists = await client.hgetall(f"{state._prefix}:{epoch}:top")
    assert {name.decode(): json.loads(ids) for name, ids in lists.items()} == {"*": ["c"]}


async def test_many_users_in_one_page(state: RedisState, epoch: int) -> None:
    users = [uuid.uuid4().hex for _ in range(256)]
    await state.mark_shown(epoch, {user: (0, user.encode()[:4]) for user in users})
    assert (await state.open_page(epoch, users, 0)).codes == [user.encode()[:4] for user in users]


async def test_a_server_that_is_away_is_named(settings: Settings) -> None:
    state = open_state(settings.model_copy(update={"redis_url": "redis://:secret@127.0.0.1:1/0"}))
    for call in (state.current(), state.ping(), state.open_page(1, [], 0), state.since(1, 0), state.applied(1)):
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1") as error:
            await call
        assert "secret" not in str(error.value)
    await state.close()


async def test_of_two_writers_who_read_the_same_the_second_is_told(state: RedisState, epoch: int) -> None:
    assert await state.mark_shown(epoch, {"u": (0, b"1111"), "v": (0, b"2222")}) == set()
    assert await state.mark_shown(epoch, {"u": (0, b"3333"), "w": (0, b"4444")}) == {"u"}
    assert (await state.open_page(epoch, ["u", "v", "w"], 0)).codes == [b"1111", b"2222", b"4444"]


async def test_a_server_that_takes_no_writes_does_not_pass_for_well(
    settings: Settings, each_redis: RedisServer
) -> None:
    async with Redis.from_url(each_redis.url) as client:
        await client.config_set("maxmemory", "1")
        state = open_state(settings.model_copy(update={"redis_url": each_redis.url}))
        try:
            with pytest.raises(StoreUnavailable, match="maxmemory"):
                await state.ping()
        finally:
            await client.config_set("maxmemory", "0")
            await state.close()


async def test_an_epoch_belongs_to_the_log_that_claimed_it_first(state: RedisState, epoch: int) -> None:
    assert await state.claim(epoch, "a log")
    assert not await state.claim(epoch, "another")
    assert await state.claim(epoch, "a log")
    following = await state.begin_next()
    with pytest.raises(EpochOver):
        await state.claim(epoch, "a log")
    assert await state.claim(following, "another")
