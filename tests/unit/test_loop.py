"""Steps that the pipeline repeats until it is stopped."""

from __future__ import annotations

import asyncio

import pytest

from recsys.stores.ports import EpochOver, StoreUnavailable
from regular_pipeline import loop
from regular_pipeline.loop import _forever


class Steps:
    """Counts; the second one is under way until it is cancelled, and takes no notice of it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.count = 0
        self.waiting = asyncio.Event()
        self._error = error

    async def __call__(self) -> float:
        self.count += 1
        if self.count == 2:
            try:
                self.waiting.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass
            if self._error is not None:
                raise self._error
        return 0.0


@pytest.mark.parametrize(
    "error", [None, EpochOver("over"), StoreUnavailable("away")], ids=["nothing", "epoch over", "store away"]
)
async def test_a_cancellation_that_a_step_swallows_is_not_lost(
    error: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As asyncio.wait_for does up to Python 3.11, in the midst of what is sent to Redis."""
    monkeypatch.setattr(loop, "RETRY_S", (0.0, 0.0))
    steps = Steps(error)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(_forever("steps", steps))
        await steps.waiting.wait()
        task.cancel()
    assert steps.count == 2


async def test_failures_do_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "RETRY_S", (0.0, 0.0))
    failures = iter([StoreUnavailable("away"), EpochOver("over"), StoreUnavailable("away")])
    again = asyncio.Event()

    async def step() -> None:
        if (error := next(failures, None)) is not None:
            raise error
        again.set()

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(_forever("steps", step))
        await again.wait()
        task.cancel()


async def test_what_else_is_raised_ends_it() -> None:
    async def step() -> None:
        raise KeyError("a mistake of ours")

    with pytest.raises(KeyError):
        await _forever("steps", step)
