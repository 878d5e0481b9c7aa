"""What the broker delivers again, to the same pipeline or to the next one, on a real Redis: once in the log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from recsys.contract import IMPRESSION_TOPIC, INTERACT_TOPIC, ItemRecord
from recsys.settings import Settings
from recsys.stores.connect import State, log_folder
from recsys.stores.event_log import EventLog
from recsys.stores.ports import Broker, Delivery, StoreMisconfigured, StoreUnavailable
from recsys.user_state import LIKE, encode
from regular_pipeline import drain, loop, service
from regular_pipeline.loop import Pipeline
from regular_pipeline.service import open_pipeline
from tests.service.rig import dumped


class Killed(BaseException):
    """The process ends here."""


async def tick_with(error: BaseException, pipeline: Pipeline) -> None:
    """A tick whose acknowledgement does not get through."""

    async def fail(deliveries: Sequence[Delivery]) -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(pipeline._broker, "ack", fail)
        await pipeline.tick()


async def drain_and_be_killed(settings: Settings) -> None:
    """Everything is logged and applied, but not acknowledged."""
    async with open_pipeline(settings) as pipeline:
        await tick_with(Killed(), pipeline)
        await pipeline.catch_up()


async def drain_batch(settings: Settings) -> int:
    async with open_pipeline(settings) as pipeline:
        done = await pipeline.tick()
        await pipeline.catch_up()
        return done


def reaction(user: str, *items: str, **stamps: Any) -> bytes:
    return dumped({"user_id": user, "item_ids": items, "actions": ["like"] * len(items), **stamps})


def stamped(user: str, *items: str, epoch: int) -> bytes:
    return reaction(user, *items, event_id=f"event of {user}", epoch=epoch, received_at=1.7e9)


async def add(state: State, *items: str) -> int:
    epoch = await state.epochs.current()
    await state.catalogue.add(epoch, [ItemRecord(id=item) for item in items], [])
    return epoch


def logged(settings: Settings, epoch: int) -> list[tuple[str, str]]:
    rows = EventLog(log_folder(settings)).events(epoch).read()
    return rows.select("user_id", "item_id").rows()


async def test_the_log_of_a_rebuilt_older_epoch_is_remembered(settings: Settings, state: State, broker: Broker) -> None:
    epochs = []
    for n in range(3):
        epochs.append(await add(state, "a"))
        await broker.publish(INTERACT_TOPIC, [stamped(f"user-{n}", "a", epoch=epochs[-1])])
        assert await drain_batch(settings) == 1
        await state.epochs.begin_next()
    with pytest.raises(StoreMisconfigured, match=rf"choose by --epoch from {epochs[0]} \(1 rows\)"):
        await service.rebuild(settings, None)
    await service.rebuild(settings, epochs[0])
    await broker.publish(INTERACT_TOPIC, [stamped("u", "a", epoch=epochs[0])])
    await drain_and_be_killed(settings)
    assert await drain_batch(settings) == 1
    assert logged(settings, epochs[0]) == [("user-0", "a"), ("u", "a")]
    assert (await state.ledger.counters(epochs[0]))["likes"] == 2


async def test_a_cleanup_before_the_redelivery_changes_nothing(
    settings: Settings, state: State, broker: Broker
) -> None:
    """Also to a message without stamps, which would count as one of the new epoch."""
    ended = await add(state, "a")
    await broker.publish(INTERACT_TOPIC, [reaction("foreign", "a"), stamped("u", "a", epoch=ended)])
    await drain_and_be_killed(settings)
    await state.epochs.begin_next()
    epoch = await add(state, "a")
    await drain_and_be_killed(settings)
    assert EventLog(log_folder(settings)).epochs() == [ended, epoch]
    assert await drain_batch(settings) == 2
    assert logged(settings, ended) == [("foreign", "a"), ("u", "a")]
    assert logged(settings, epoch) == []
    assert "likes" not in await state.ledger.counters(epoch)


@pytest.mark.parametrize("archived", [False, True], ids=["in force", "archived"])
async def test_what_could_not_be_acknowledged_is_logged_once(
    archived: bool, settings: Settings, state: State, broker: Broker
) -> None:
    epoch = await add(state, "a")
    await broker.publish(INTERACT_TOPIC, [stamped("u", "a", epoch=epoch)])
    if archived:
        await state.epochs.begin_next()
    async with open_pipeline(settings) as pipeline:
        await tick_with(StoreUnavailable("away"), pipeline)
        assert await pipeline.tick() == 1
        assert await pipeline.tick() == 0
    assert logged(settings, epoch) == [("u", "a")]


@pytest.mark.parametrize("done", [False, True], ids=["not applied", "applied, but nobody heard of it"])
async def test_effects_count_once_whatever_became_of_the_answer(
    done: bool, settings: Settings, state: State, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = await add(state, "a")
    await broker.publish(INTERACT_TOPIC, [stamped("u", "a", epoch=epoch)])
    async with open_pipeline(settings) as pipeline:
        assert await pipeline.tick() == 1
        assert (await broker.depth(), await state.ledger.applied(epoch)) == (0, 0), "the effects follow the log"
        ledger = pipeline.state.ledger
        apply = ledger.apply

        async def unheard(*args: Any) -> bool:
            if done:
                await apply(*args)
            raise StoreUnavailable("away")

        with monkeypatch.context() as patch, pytest.raises(StoreUnavailable):
            patch.setattr(ledger, "apply", unheard)
            await pipeline.follow_users()
        await pipeline.follow_users()
    assert await state.ledger.counters(epoch) == {
        "applied": 1,
        "likes": 1,
        "dislikes": 0,
        "impressions": 0,
        "unknown_items": 0,
    }
    assert (await state.pages.open(epoch, ["u"], 0)).codes == [encode([0], LIKE)]


async def test_a_fetch_of_many_rows_is_done_in_batches(
    settings: Settings, state: State, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "BATCH_ROWS", 5)
    epoch = await add(state, "a", "b", "c")
    told = [(f"u{n}", item) for n in range(5) for item in "abc"]
    await broker.publish(INTERACT_TOPIC, [stamped(f"u{n}", *"abc", epoch=epoch) for n in range(5)])
    async with open_pipeline(settings) as pipeline:
        assert await pipeline.tick() == 2
        assert (await broker.depth(), logged(settings, epoch)) == (3, told[:6])
        await tick_with(Killed(), pipeline)
    async with open_pipeline(settings) as pipeline:
        assert [await pipeline.tick() for _ in range(3)] == [2, 1, 0]
        await pipeline.catch_up()
    assert await broker.depth() == 0
    assert logged(settings, epoch) == told
    assert (await state.ledger.counters(epoch))["likes"] == 15


async def test_a_bad_message_is_set_aside_once_however_often_the_rest_is_tried(
    settings: Settings, state: State, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = await add(state, "a")
    await broker.publish(INTERACT_TOPIC, [b"no interaction", stamped("u", "a", epoch=epoch)])

    def full(*_: object) -> None:
        raise StoreUnavailable("the disk is full")

    async with open_pipeline(settings) as pipeline:
        with monkeypatch.context() as patch:
            patch.setattr(loop, "append", full)
            for _ in range(3):
                with pytest.raises(StoreUnavailable):
                    await pipeline.tick()
        assert await pipeline.tick() == 2
    assert len((log_folder(settings) / "rejected.jsonl").read_text().splitlines()) == 1
    assert logged(settings, epoch) == [("u", "a")]


async def test_a_bad_message_blocks_nothing(settings: Settings, state: State, broker: Broker) -> None:
    epoch = await add(state, "a")
    await broker.publish(IMPRESSION_TOPIC, [b"no slates"])
    await broker.publish(INTERACT_TOPIC, [b"no interaction", stamped("u", "a", epoch=epoch)])
    assert await drain_batch(settings) == 3
    assert await broker.depth() == 0
    assert logged(settings, epoch) == [("u", "a")]
    rejected = (log_folder(settings) / "rejected.jsonl").read_text().splitlines()
    assert [json.loads(line)["body"] for line in rejected] == ["no slates", "no interaction"]
