"""What the ports of the state promise, on each Redis that the project supports."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from recsys.contract import ItemRecord
from recsys.settings import Settings
from recsys.stores.connect import State, open_state
from recsys.stores.ports import EpochOver, StoreUnavailable, UsedCandidates
from recsys.stores.redis_scripts import EARLIER, NAMES, TOP
from tests.servers import RedisServer


@pytest.fixture
async def state(settings: Settings, each_redis: RedisServer) -> AsyncIterator[State]:
    opened = open_state(settings.model_copy(update={"redis_url": each_redis.url}))
    yield opened
    await opened.close()


@pytest.fixture
async def raw(each_redis: RedisServer) -> AsyncIterator[Redis]:
    """The server behind the ports."""
    async with Redis.from_url(each_redis.url) as client:
        yield client


@pytest.fixture
async def epoch(state: State) -> int:
    return await state.epochs.current()


def record(name: str, *genres: str) -> ItemRecord:
    return ItemRecord(id=name, genres=genres)


async def codes_of(state: State, epoch: int, *users: str) -> list[bytes]:
    return (await state.pages.open(epoch, users, 0)).codes


async def keys_of(raw: Redis, settings: Settings, epoch: int) -> set[str]:
    """Names of what is kept of an epoch."""
    begin = f"{settings.key_prefix}:{epoch}:"
    return {key.decode().removeprefix(begin) async for key in raw.scan_iter(f"{begin}*")}


# Epochs


async def test_an_epoch_lasts_until_the_next_begins(state: State, epoch: int) -> None:
    assert epoch > 0
    assert await state.epochs.current() == epoch
    following = await state.epochs.begin_next()
    assert following > epoch
    assert await state.epochs.current() == following


async def test_concurrent_cleanups_give_different_epochs(state: State) -> None:
    epochs = await asyncio.gather(*(state.epochs.begin_next() for _ in range(10)))
    assert len(set(epochs)) == 10
    assert await state.epochs.current() == max(epochs)


async def fill_everything(state: State, epoch: int) -> None:
    """Something under every name."""
    await state.catalogue.add(epoch, [record("a", "Drama"), record("b")], ["a", "b"])
    await state.exploration.fill(epoch, ["a", "b"])
    page = await state.pages.open(epoch, ["u"], 1)
    await state.pages.mark_shown(epoch, {"u": (0, b"1234")}, UsedCandidates(page.fills, ["a"], []))
    assert await state.ledger.claim(epoch, "a log")
    assert await state.ledger.apply(epoch, (0, 5), {"likes": 5}, {"u": b"5678"})
    await state.models.publish(epoch, "bandit", "1", {"rows": 5}, b"blob")
    await state.models.publish_top(epoch, {"all": ["a"]})


async def test_everything_has_a_name_that_a_cleanup_knows(
    state: State, epoch: int, raw: Redis, settings: Settings
) -> None:
    await fill_everything(state, epoch)
    assert await keys_of(raw, settings, epoch) == set(NAMES) - set(EARLIER)


@pytest.mark.parametrize("ending", ["begin_next", "restore"])
async def test_an_ended_epoch_leaves_nothing(
    state: State, epoch: int, raw: Redis, settings: Settings, ending: str
) -> None:
    """Nor of what earlier versions of this code kept."""
    await fill_everything(state, epoch)
    for name in EARLIER:
        await raw.set(f"{settings.key_prefix}:{epoch}:{name}", "of another year")
    await (state.epochs.begin_next() if ending == "begin_next" else state.epochs.restore(epoch - 1_000))
    assert await keys_of(raw, settings, epoch) == set()


async def test_a_new_epoch_knows_nothing_of_the_old_one(state: State, epoch: int) -> None:
    await fill_everything(state, epoch)
    following = await state.epochs.begin_next()
    for number in (epoch, following):
        assert await state.catalogue.since(number, 0) == []
        assert await state.exploration.waiting(number) == []
        assert await state.exploration.shown(number) == 0
        assert await state.ledger.applied(number) == 0
        assert await state.ledger.counters(number) == {}
        assert await state.models.fetch(number, "bandit") == ("", None)
        assert await state.models.facts(number) == {}
    page = await state.pages.open(following, ["u"], 5, ["bandit"])
    assert (page.catalogue_chunks, page.versions, page.codes, page.candidates, page.fills) == (
        0,
        {"bandit": ""},
        [b""],
        [],
        0,
    )


async def test_late_work_of_an_ended_epoch_changes_nothing(
    state: State, epoch: int, raw: Redis, settings: Settings
) -> None:
    await state.epochs.begin_next()
    late = [
        state.catalogue.add(epoch, [record("a")], ["a"]),
        state.exploration.fill(epoch, ["a"]),
        state.pages.mark_shown(epoch, {"u": (0, b"1234")}),
        state.pages.mark_shown(epoch, {}, UsedCandidates(0, ["a"], ["b"])),
        state.pages.compact(epoch, "u", b"", b"1234"),
        state.ledger.claim(epoch, "a log"),
        state.ledger.apply(epoch, (0, 1), {"likes": 1}, {}),
        state.models.publish(epoch, "bandit", "1", {}, b"blob"),
        state.models.publish(epoch, "bandit", "1", {}),
        state.models.note(epoch, "bandit", {"error": "late"}),
        state.models.train(epoch, "als", "token", {}, 60),
        state.models.publish_top(epoch, {"all": ["a"]}),
    ]
    for work in late:
        with pytest.raises(EpochOver):
            await work
    assert await keys_of(raw, settings, epoch) == set()


async def test_a_restored_epoch_is_in_force_and_empty(state: State, epoch: int, raw: Redis, settings: Settings) -> None:
    restored = epoch - 1_000
    await raw.set(f"{settings.key_prefix}:{restored}:{TOP}", "left behind")
    await state.catalogue.add(epoch, [record("a")], ["a"])
    await state.epochs.restore(restored)
    assert await state.epochs.current() == restored
    assert await state.catalogue.since(epoch, 0) == []
    assert await keys_of(raw, settings, restored) == set()


# Pages


async def test_a_page_of_another_epoch_takes_no_candidates(state: State, epoch: int) -> None:
    await state.exploration.fill(epoch, ["a", "b"])
    page = await state.pages.open(epoch - 1, ["u"], 2, ["bandit"])
    assert (page.epoch, page.candidates, page.codes, page.versions) == (epoch, [], [], {})
    assert await state.exploration.waiting(epoch) == ["a", "b"]


async def test_a_page_holds_users_in_order_catalogue_versions_and_candidates(state: State, epoch: int) -> None:
    await state.catalogue.add(epoch, [record("a"), record("b")], ["b", "a"])
    await state.pages.mark_shown(epoch, {"u": (0, b"1111"), "v": (0, b"2222")})
    await state.pages.mark_shown(epoch, {"u": (4, b"3333")})
    await state.models.publish(epoch, "bandit", "7.2", {}, b"blob")
    page = await state.pages.open(epoch, ["v", "nobody", "u"], 1, ["bandit"])
    assert page.codes == [b"2222", b"", b"11113333"]
    assert (page.catalogue_chunks, page.versions, page.candidates) == (1, {"bandit": "7.2"}, ["b"])


async def test_a_page_holds_the_versions_of_the_models_asked_for_and_of_no_other(state: State, epoch: int) -> None:
    for name, version in (("bandit", "1"), ("module:Class", "two"), ("unasked", "3")):
        await state.models.publish(epoch, name, version, {})
    asked = ["module:Class", "never heard of", "bandit"]
    for users in ([], ["u", "v"]):
        page = await state.pages.open(epoch, users, 0, asked)
        assert page.versions == {"module:Class": "two", "never heard of": "", "bandit": "1"}
        assert page.codes == [b""] * len(users)
    assert (await state.pages.open(epoch, ["u"], 0)).versions == {}


async def test_many_users_in_one_page(state: State, epoch: int) -> None:
    users = [uuid.uuid4().hex for _ in range(256)]
    await state.pages.mark_shown(epoch, {user: (0, user.encode()[:4]) for user in users})
    assert await codes_of(state, epoch, *users) == [user.encode()[:4] for user in users]


async def test_of_two_writers_who_read_the_same_the_second_is_told(state: State, epoch: int) -> None:
    assert await state.pages.mark_shown(epoch, {"u": (0, b"1111"), "v": (0, b"2222")}) == set()
    assert await state.pages.mark_shown(epoch, {"u": (0, b"3333"), "w": (0, b"4444")}) == {"u"}
    assert await codes_of(state, epoch, "u", "v", "w") == [b"1111", b"2222", b"4444"]


async def test_a_compaction_loses_no_code_that_was_appended_meanwhile(state: State, epoch: int) -> None:
    await state.pages.mark_shown(epoch, {"u": (0, b"11112222")})
    await state.pages.compact(epoch, "u", b"11112222", b"2222")
    await state.pages.compact(epoch, "u", b"11112222", b"9999")
    assert await codes_of(state, epoch, "u") == [b"2222"]


# The exploration queue


async def test_a_queue_that_is_filled_anew_replaces_the_old(state: State, epoch: int) -> None:
    await state.catalogue.add(epoch, [record("a"), record("b")], ["a", "b"])
    assert await state.exploration.waiting(epoch) == ["a", "b"]
    await state.exploration.fill(epoch, ["c", "b"])
    assert await state.exploration.waiting(epoch) == ["c", "b"]
    await state.exploration.fill(epoch, [])
    assert await state.exploration.waiting(epoch) == []


async def test_new_items_queue_up_at_the_end(state: State, epoch: int) -> None:
    await state.exploration.fill(epoch, ["a", "b"])
    await state.catalogue.add(epoch, [record("c"), record("d")], ["d", "c"])
    assert await state.exploration.waiting(epoch) == ["a", "b", "d", "c"]


async def test_every_candidate_is_taken_once(state: State, epoch: int) -> None:
    await state.exploration.fill(epoch, [str(n) for n in range(100)])
    pages = await asyncio.gather(*(state.pages.open(epoch, [], 7) for _ in range(20)))
    taken = [candidate for page in pages for candidate in page.candidates]
    assert sorted(taken, key=int) == [str(n) for n in range(100)]


async def test_candidates_that_were_not_shown_go_back_to_the_front_in_order(state: State, epoch: int) -> None:
    candidates = [str(n) for n in range(2_500)]
    await state.exploration.fill(epoch, candidates)
    page = await state.pages.open(epoch, [], 2_400)
    rest = [candidate for candidate in candidates if candidate != "1"]
    used = UsedCandidates(page.fills, ["1"], [candidate for candidate in page.candidates if candidate != "1"])
    assert await state.pages.mark_shown(epoch, {"u": (0, b"1111")}, used) == set()
    assert (await state.exploration.waiting(epoch), await state.exploration.shown(epoch)) == (rest, 1)
    page = await state.pages.open(epoch, ["u"], 1)
    assert page.codes == [b"1111"]
    assert await state.pages.mark_shown(epoch, {}, UsedCandidates(page.fills, [], page.candidates)) == set()
    assert await state.exploration.waiting(epoch) == rest


async def test_a_new_queue_leaves_out_what_was_shown_since_the_last(state: State, epoch: int) -> None:
    await state.exploration.fill(epoch, ["a", "b", "c", "d"])
    page = await state.pages.open(epoch, [], 3)
    await state.pages.mark_shown(epoch, {}, UsedCandidates(page.fills, ["b"], ["a", "c"]))
    await state.exploration.fill(epoch, ["a", "b", "c", "e"])
    assert (await state.exploration.waiting(epoch), await state.exploration.shown(epoch)) == (["a", "c", "e"], 0)
    await state.exploration.fill(epoch, ["a", "b"])
    assert await state.exploration.waiting(epoch) == ["a", "b"]


async def test_candidates_of_an_earlier_queue_do_not_come_back(state: State, epoch: int) -> None:
    """The new one holds them already, unless they are no longer worth it."""
    await state.exploration.fill(epoch, ["a", "b", "c"])
    page = await state.pages.open(epoch, [], 3)
    await state.exploration.fill(epoch, ["c", "a"])
    assert (await state.pages.open(epoch, [], 0)).fills == page.fills + 1
    await state.pages.mark_shown(epoch, {}, UsedCandidates(page.fills, ["c"], ["a", "b"]))
    assert (await state.exploration.waiting(epoch), await state.exploration.shown(epoch)) == (["c", "a"], 1)


# The catalogue


async def test_catalogue_chunks_come_back_in_order(state: State, epoch: int) -> None:
    chunks = [[record("a", "Drama"), record("ü")], [record("a", "Comedy", "Крайм")], [record("c")]]
    for chunk in chunks:
        await state.catalogue.add(epoch, chunk, [])
    assert await state.catalogue.since(epoch, 0) == chunks
    assert await state.catalogue.since(epoch, 2) == chunks[2:]
    assert await state.catalogue.since(epoch, 3) == []


# The ledger


async def test_rows_count_once_and_in_order(state: State, epoch: int) -> None:
    ledger = state.ledger
    assert await ledger.applied(epoch) == 0
    assert await ledger.apply(epoch, (0, 10), {"likes": 3, "dislikes": 7}, {"u": b"aaaa"})
    assert not await ledger.apply(epoch, (0, 10), {"likes": 3}, {"u": b"bbbb"})
    assert not await ledger.apply(epoch, (11, 12), {"likes": 1}, {})
    assert await ledger.apply(epoch, (10, 12), {"likes": 2}, {"u": b"cccc", "v": b"dddd"})
    assert await ledger.applied(epoch) == 12
    assert await ledger.counters(epoch) == {"applied": 12, "likes": 5, "dislikes": 7}
    assert await codes_of(state, epoch, "u", "v") == [b"aaaacccc", b"dddd"]


async def test_an_epoch_belongs_to_the_log_that_claimed_it_first(state: State, epoch: int) -> None:
    assert await state.ledger.claim(epoch, "a log")
    assert not await state.ledger.claim(epoch, "another")
    assert await state.ledger.claim(epoch, "a log")
    following = await state.epochs.begin_next()
    with pytest.raises(EpochOver):
        await state.ledger.claim(epoch, "a log")
    assert await state.ledger.claim(following, "another")


# Models

BLOB = bytes(range(256)) * 100


async def test_models_switch_as_a_whole(state: State, epoch: int) -> None:
    assert await state.models.fetch(epoch, "bandit") == ("", None)
    await state.models.publish(epoch, "bandit", "1", {"rows": 2, "error": None}, BLOB)
    await state.models.publish(epoch, "bandit", "2", {"rows": 3}, BLOB[::-1])
    assert await state.models.fetch(epoch, "bandit") == ("2", BLOB[::-1])
    assert await state.models.facts(epoch) == {"bandit": {"rows": 3}}


async def test_an_equal_version_keeps_the_model_and_gets_new_facts(state: State, epoch: int) -> None:
    await state.models.publish(epoch, "bandit", "1", {"rows": 2}, BLOB)
    await state.models.publish(epoch, "bandit", "1", {"rows": 9})
    assert await state.models.fetch(epoch, "bandit") == ("1", BLOB)
    assert await state.models.facts(epoch) == {"bandit": {"rows": 9}}


async def test_a_model_may_be_empty_or_kept_elsewhere(state: State, epoch: int) -> None:
    await state.models.publish(epoch, "random", "1", {}, b"")
    await state.models.publish(epoch, "als", "2", {})
    assert await state.models.fetch(epoch, "random") == ("1", b"")
    assert await state.models.fetch(epoch, "als") == ("2", None)


async def test_models_do_not_touch_each_other(state: State, epoch: int) -> None:
    await state.models.publish(epoch, "bandit", "1", {"rows": 1}, b"one")
    await state.models.publish(epoch, "module:Class", "2", {"rows": 2}, b"two")
    await state.models.note(epoch, "module:Class", {"error": "it ü raised"})
    assert await state.models.fetch(epoch, "bandit") == ("1", b"one")
    assert await state.models.fetch(epoch, "module:Class") == ("2", b"two"), "a note is no new version"
    assert await state.models.fetch(epoch, "never heard of") == ("", None)
    assert await state.models.facts(epoch) == {"bandit": {"rows": 1}, "module:Class": {"error": "it ü raised"}}


async def test_there_are_notes_of_a_model_before_its_first_version(state: State, epoch: int) -> None:
    await state.models.note(epoch, "bandit", {"error": "no fit yet"})
    assert await state.models.facts(epoch) == {"bandit": {"error": "no fit yet"}}
    assert await state.models.fetch(epoch, "bandit") == ("", None)
    assert (await state.pages.open(epoch, [], 0, ["bandit"])).versions == {"bandit": ""}


async def test_facts_are_any_json(state: State, epoch: int) -> None:
    facts: dict[str, Any] = {"rows": 2, "seconds": 0.25, "published_at": None, "names": ["a", "ü"], "more": {"x": True}}
    await state.models.publish(epoch, "bandit", "1", facts, b"")
    assert await state.models.facts(epoch) == {"bandit": facts}


async def test_top_lists_are_replaced_whole(state: State, epoch: int, raw: Redis, settings: Settings) -> None:
    async def published() -> dict[str, list[str]]:
        lists = await raw.hgetall(f"{settings.key_prefix}:{epoch}:{TOP}")
        return {name.decode(): json.loads(ids) for name, ids in lists.items()}

    await state.models.publish_top(epoch, {"all": ["a", "ü"], "genre:Drama": ["ü"]})
    assert await published() == {"all": ["a", "ü"], "genre:Drama": ["ü"]}
    await state.models.publish_top(epoch, {"all": ["c"]})
    assert await published() == {"all": ["c"]}
    await state.models.publish_top(epoch, {})
    assert await published() == {}


# Trainings: of two who want to train a model, one may


async def test_a_training_belongs_to_the_first_who_asks_until_he_is_done(state: State, epoch: int) -> None:
    models = state.models
    assert await models.train(epoch, "als", "mine", {"share": 0}, 60)
    assert not await models.train(epoch, "als", "another", {"share": 0}, 60)
    assert await models.train(epoch, "als", "mine", {"share": 0.5, "doing": "fitting ü"}, 60)
    assert await models.train(epoch, "bpr", "another", {"share": 0.1}, 60), "another model"
    assert await models.trainings(epoch, ["bpr", "als", "never trained"]) == {
        "bpr": {"share": 0.1},
        "als": {"share": 0.5, "doing": "fitting ü"},
    }
    await models.trained(epoch, "als", "another")
    assert not await models.train(epoch, "als", "another", {}, 60), "it is not his to end"
    await models.trained(epoch, "als", "mine")
    assert await models.trainings(epoch, ["als"]) == {}
    assert await models.trainings(epoch, []) == {}
    assert await models.train(epoch, "als", "another", {}, 60)


async def test_a_training_of_somebody_who_is_gone_ends_by_itself(state: State, epoch: int) -> None:
    assert await state.models.train(epoch, "als", "killed", {}, 0.001)
    deadline = asyncio.get_running_loop().time() + 20
    while not await state.models.train(epoch, "als", "another", {"share": 0}, 60):
        assert asyncio.get_running_loop().time() < deadline
    assert await state.models.trainings(epoch, ["als"]) == {"als": {"share": 0}}


async def test_a_new_epoch_has_no_trainings(state: State, epoch: int) -> None:
    assert await state.models.train(epoch, "als", "mine", {}, 60)
    following = await state.epochs.begin_next()
    assert await state.models.trainings(following, ["als"]) == {}
    assert await state.models.train(following, "als", "another", {}, 60)
    await state.models.trained(epoch, "als", "mine")
    assert await state.models.trainings(following, ["als"]) == {"als": {}}


# A server that cannot


async def test_a_server_that_is_away_is_named(settings: Settings) -> None:
    state = open_state(settings.model_copy(update={"redis_url": "redis://:secret@127.0.0.1:1/0"}))
    calls = (
        state.epochs.current(),
        state.epochs.begin_next(),
        state.epochs.ping(),
        state.pages.open(1, [], 0),
        state.catalogue.since(1, 0),
        state.exploration.waiting(1),
        state.exploration.shown(1),
        state.ledger.applied(1),
        state.ledger.counters(1),
        state.models.fetch(1, "bandit"),
        state.models.facts(1),
        state.models.trainings(1, ["als"]),
        state.models.publish(1, "bandit", "1", {}, b""),
    )
    for call in calls:
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1") as error:
            await call
        assert "secret" not in str(error.value)
    await state.close()


async def test_a_server_that_takes_no_writes_does_not_pass_for_well(
    settings: Settings, each_redis: RedisServer, raw: Redis
) -> None:
    await raw.config_set("maxmemory", "1")
    state = open_state(settings.model_copy(update={"redis_url": each_redis.url}))
    try:
        with pytest.raises(StoreUnavailable, match="maxmemory"):
            await state.epochs.ping()
    finally:
        await raw.config_set("maxmemory", "0")
        await state.close()
