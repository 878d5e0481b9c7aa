"""How long the collector waits, and for what. The real servers are in tests/service/test_outages.py."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest

from event_collector.app import Collector
from recsys.contract import Interact
from recsys.stores.ports import StoreUnavailable

LIKE = Interact(user_id="ann", item_ids=["1"], actions=["like"])
HANG_S = 30  # what hangs is noticed after so long


class Epochs:
    """Answers 1, then does not answer any more."""

    def __init__(self) -> None:
        self.answers = 1

    async def current(self) -> int:
        if not self.answers:
            await asyncio.Event().wait()
        self.answers -= 1
        return 1


class Broker:
    """``failures`` times it is away; then it takes what it is given, or hangs."""

    def __init__(self, failures: int = 0, hangs: bool = False) -> None:
        self.failures, self.hangs = failures, hangs
        self.taken: list[dict[str, object]] = []

    async def publish(self, topic: str, bodies: Sequence[bytes]) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("down for repairs")
        if self.hangs:
            await asyncio.Event().wait()
        self.taken += map(json.loads, bodies)


async def accept(epochs: Epochs, broker: Broker, patience_s: float) -> None:
    collector = Collector(epochs, broker, patience_s)  # type: ignore[arg-type]
    async with asyncio.timeout(HANG_S):
        await collector.accept(LIKE)


async def test_a_broker_that_comes_back_within_the_patience_is_waited_for() -> None:
    broker = Broker(failures=2)
    await accept(Epochs(), broker, patience_s=HANG_S)
    assert [event["item_ids"] for event in broker.taken] == [["1"]]


async def test_the_reason_of_the_last_attempt_is_told() -> None:
    with pytest.raises(StoreUnavailable, match="down for repairs"):
        await accept(Epochs(), Broker(failures=1_000), patience_s=0.05)


async def test_a_broker_that_does_not_answer_is_given_up() -> None:
    with pytest.raises(StoreUnavailable, match=r"within 0\.05 s"):
        await accept(Epochs(), Broker(hangs=True), patience_s=0.05)


async def test_the_epoch_is_taken_from_memory_while_there_is_patience_left_for_the_broker() -> None:
    epochs, broker = Epochs(), Broker()
    collector = Collector(epochs, broker, patience_s=0.5)  # type: ignore[arg-type]
    async with asyncio.timeout(HANG_S):
        await collector.accept(LIKE)
        await collector.accept(LIKE)
    assert [event["epoch"] for event in broker.taken] == [1, 1]


async def test_without_a_known_epoch_nothing_is_accepted() -> None:
    epochs, broker = Epochs(), Broker()
    epochs.answers = 0
    with pytest.raises(StoreUnavailable):
        await accept(epochs, broker, patience_s=0.05)
    assert not broker.taken
