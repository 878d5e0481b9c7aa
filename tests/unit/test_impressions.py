"""Impressions on their way to a broker that only remembers, and is away when told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest

from recommendations import impressions
from recommendations.impressions import FLUSH_SLATES, LOST, MESSAGE_SLATES, ImpressionRecorder
from recsys.contract import IMPRESSION_TOPIC, Impressions
from recsys.stores.ports import StoreUnavailable


class Remembering:
    def __init__(self) -> None:
        self.calls: list[list[Impressions]] = []
        self.away = False
        self.tried = asyncio.Event()

    async def publish(self, topic: str, bodies: Sequence[bytes]) -> None:
        self.tried.set()
        if self.away:
            raise StoreUnavailable("away")
        assert topic == IMPRESSION_TOPIC
        self.calls.append([Impressions.model_validate(json.loads(body)) for body in bodies])

    @property
    def told(self) -> list[tuple[int, str]]:
        """(epoch, user) of each slate."""
        return [(message.epoch, slate.user_id) for call in self.calls for message in call for slate in message.slates]


@pytest.fixture
def broker() -> Remembering:
    return Remembering()


@pytest.fixture
def recorder(broker: Remembering) -> ImpressionRecorder:
    return ImpressionRecorder(broker, flush_s=1e-6)  # type: ignore[arg-type]


def record(recorder: ImpressionRecorder, *told: tuple[int, str]) -> None:
    for epoch, user in told:
        recorder.record(epoch, user, ["a", "b"], ["ranked", "explore"])


async def test_slates_travel_in_order_in_small_messages(recorder: ImpressionRecorder, broker: Remembering) -> None:
    told = [(7, f"u{n}") for n in range(2 * FLUSH_SLATES + MESSAGE_SLATES + 1)]
    record(recorder, *told)
    await recorder.close()
    assert broker.told == told
    assert [len(message.slates) for message in broker.calls[-1]] == [MESSAGE_SLATES, 1]
    assert {len(message.slates) for call in broker.calls[:-1] for message in call} == {MESSAGE_SLATES}


async def test_slates_of_several_epochs_are_not_mixed(recorder: ImpressionRecorder, broker: Remembering) -> None:
    told = [(7, "u"), (8, "v"), (7, "w"), (7, "x"), (8, "y")]
    record(recorder, *told)
    await recorder.close()
    assert broker.told == told


async def test_they_are_published_without_being_asked(recorder: ImpressionRecorder, broker: Remembering) -> None:
    for told in ([(7, "u")], [(7, "u"), (7, "v")]):
        broker.tried.clear()
        record(recorder, told[-1])
        await asyncio.wait_for(broker.tried.wait(), 30)
        assert broker.told == told


async def test_who_closes_does_not_wait_for_the_next_time(broker: Remembering) -> None:
    recorder = ImpressionRecorder(broker, flush_s=3_600)  # type: ignore[arg-type]
    record(recorder, (7, "u"))
    await asyncio.sleep(0)  # it begins to wait
    await recorder.close()
    await asyncio.sleep(0)
    assert broker.told == [(7, "u")]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_while_the_broker_is_away_the_newest_are_kept(
    recorder: ImpressionRecorder, broker: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(impressions, "KEPT_SLATES", 5)
    lost = LOST._value.get()
    broker.away = True
    record(recorder, *((7, f"u{n}") for n in range(8)))
    await broker.tried.wait()
    broker.away = False
    await recorder.close()
    assert broker.told == [(7, f"u{n}") for n in range(3, 8)]
    assert LOST._value.get() == lost + 3
