"""Concurrent calls served together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from recsys.batching import Batcher


class Doubling:
    """A ``run`` that records its batches, waits until told to go on, and fails on negative numbers."""

    def __init__(self, *, held: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.started = asyncio.Event()
        self.go_on = asyncio.Event()
        if not held:
            self.go_on.set()

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.started.set()
        await self.go_on.wait()
        if min(items) < 0:
            raise LookupError(f"no double of {min(items)}")
        return [2 * item for item in items]


async def settle() -> None:
    """Let every task run as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


def submit_all(batcher: Batcher[int, int], items: Sequence[int]) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(batcher.submit(item)) for item in items]


async def give_up(tasks: Sequence[asyncio.Task[int]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_each_caller_gets_its_own_result() -> None:
    batcher = Batcher(Doubling())
    assert await asyncio.gather(*(batcher.submit(n) for n in range(50))) == [2 * n for n in range(50)]


async def test_calls_made_together_share_one_batch() -> None:
    run = Doubling()
    await asyncio.gather(*submit_all(Batcher(run), range(5)))
    assert run.batches == [[0, 1, 2, 3, 4]]


async def test_who_gave_up_while_waiting_is_not_served() -> None:
    run = Doubling(held=True)
    batcher = Batcher(run)
    first = submit_all(batcher, [1])
    await run.started.wait()
    waiting = submit_all(batcher, [2, 3, 4])
    await settle()
    await give_up([waiting[0], waiting[2]])
    run.go_on.set()
    assert await asyncio.gather(*first, waiting[1]) == [2, 6]
    assert run.batches == [[1], [3]]


async def test_when_all_gave_up_nothing_is_run() -> None:
    run = Doubling(held=True)
    batcher = Batcher(run)
    first = submit_all(batcher, [1])
    await run.started.wait()
    waiting = submit_all(batcher, [2])
    await settle()
    await give_up(waiting)
    run.go_on.set()
    await asyncio.gather(*first)
    assert await batcher.submit(5) == 10
    assert run.batches == [[1], [5]]


@pytest.mark.parametrize(("limit", "sizes"), [(1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (8, [7])])
async def test_a_batch_holds_at_most_the_limit_in_order(limit: int, sizes: list[int]) -> None:
    run = Doubling()
    await asyncio.gather(*submit_all(Batcher(run, limit), range(7)))
    assert [len(batch) for batch in run.batches] == sizes
    assert [item for batch in run.batches for item in batch] == list(range(7))


async def test_a_batch_holds_nothing_submitted_after_it_began() -> None:
    run = Doubling(held=True)
    batcher = Batcher(run)
    tasks = submit_all(batcher, [1])
    await run.started.wait()
    tasks += submit_all(batcher, [2, 3])
    await settle()
    assert run.batches == [[1]]
    run.go_on.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6]
    assert run.batches == [[1], [2, 3]]


async def test_it_serves_again_after_being_idle() -> None:
    run = Doubling()
    batcher = Batcher(run)
    assert [await batcher.submit(1), await batcher.submit(1)] == [2, 2]
    assert run.batches == [[1], [1]]


async def test_an_error_reaches_every_caller_of_its_batch_and_no_other() -> None:
    run = Doubling()
    outcomes = await asyncio.gather(*submit_all(Batcher(run, limit=2), [1, 2, -3, 4, 5, 6]), return_exceptions=True)
    assert [str(o) if isinstance(o, LookupError) else o for o in outcomes] == [
        *(2, 4),
        *("no double of -3", "no double of -3"),
        *(10, 12),
    ]


async def test_it_serves_again_after_an_error() -> None:
    batcher = Batcher(Doubling())
    with pytest.raises(LookupError):
        await batcher.submit(-1)
    assert await batcher.submit(1) == 2


@pytest.mark.parametrize("bystander", [7, -7], ids=["batch succeeds", "batch fails"])
@pytest.mark.parametrize("running", [True, False], ids=["while served", "while waiting"])
async def test_a_cancelled_caller_does_not_disturb_the_others(running: bool, bystander: int) -> None:
    run = Doubling(held=True)
    batcher = Batcher(run)
    first = submit_all(batcher, [] if running else [1])
    if not running:
        await run.started.wait()
    leaver, stayer = submit_all(batcher, [5, bystander])
    await settle()
    leaver.cancel()
    await settle()
    run.go_on.set()
    gone, outcome = await asyncio.gather(leaver, stayer, return_exceptions=True)
    assert isinstance(gone, asyncio.CancelledError)
    assert isinstance(outcome, LookupError) if bystander < 0 else outcome == 14
    assert [await task for task in first] == ([] if running else [2])
    assert await batcher.submit(8) == 16


async def test_a_cancelled_run_cancels_its_callers() -> None:
    async def run(items: Sequence[int]) -> list[int]:
        raise asyncio.CancelledError

    tasks = submit_all(Batcher(run), [1, 2])
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 2


async def test_callers_behind_a_cancelled_run_are_served() -> None:
    class CancelledOnce(Doubling):
        async def __call__(self, items: Sequence[int]) -> list[int]:
            doubled = await super().__call__(items)
            if len(self.batches) == 1:
                raise asyncio.CancelledError
            return doubled

    first, behind = submit_all(Batcher(CancelledOnce(), limit=1), [1, 2])
    await settle()
    try:
        assert first.cancelled()
        assert behind.done()
    finally:
        await give_up([behind])


async def test_too_few_results_are_an_error_for_the_callers_left_over() -> None:
    async def run(items: Sequence[int]) -> list[int]:
        return [2 * item for item in items[:-1]]

    tasks = submit_all(Batcher(run), [1, 2])
    await settle()
    try:
        assert all(task.done() for task in tasks)
    finally:
        await give_up(tasks)
