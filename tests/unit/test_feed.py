"""The log as its followers read it: every row once, from memory or from disk, while others are written."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.stores.event_log import PartFolder
from recsys.stores.ports import StoreUnavailable
from regular_pipeline import epoch
from regular_pipeline.epoch import KEPT_ROWS, Feed

FAST = settings(deadline=None, max_examples=50)
SCHEMA = pl.Schema({"n": pl.Int64})
EVER = 60.0  # seconds: nobody waits so long
Pieces = list[tuple[int, list[int]]]


class Log:
    """A feed over a log in a folder; row n holds n. What is there before is on disk only."""

    def __init__(self, folder: Path, *before: int) -> None:
        self.events = PartFolder(folder, SCHEMA)
        for size in before:
            self.events.append(self._next(size))
        self.feed = Feed(self.events)

    def _next(self, size: int) -> pl.DataFrame:
        return pl.DataFrame({"n": range(self.events.rows, self.events.rows + size)}, schema=SCHEMA)

    def write(self, size: int) -> Callable[[PartFolder], pl.DataFrame]:
        def written(events: PartFolder) -> pl.DataFrame:
            rows = self._next(size)
            events.append(rows)
            return rows

        return written

    async def append(self, *sizes: int) -> None:
        for size in sizes:
            await self.feed.append(self.write(size))


async def pieces(rows: AsyncIterator[tuple[int, pl.DataFrame]]) -> Pieces:
    return [(first, frame["n"].to_list()) async for first, frame in rows]


def joined(found: Pieces) -> list[int]:
    """The rows, if each piece begins with the row it says."""
    assert all(numbers[0] == first for first, numbers in found if numbers)
    return [number for _, numbers in found for number in numbers]


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads from disk fails."""

    def fail(*_: object) -> None:
        raise AssertionError("read from disk")

    monkeypatch.setattr(PartFolder, "frames", fail)


async def test_an_empty_log_has_no_rows(tmp_path: Path) -> None:
    log = Log(tmp_path)
    assert (log.feed.rows, await pieces(log.feed.read(0))) == (0, [])


@pytest.mark.parametrize("row", range(11))
async def test_rows_come_from_memory_and_from_disk(tmp_path: Path, row: int) -> None:
    log = Log(tmp_path, 2, 3)
    await log.append(1, 4)
    assert log.feed.rows == 10
    assert joined(await pieces(log.feed.read(row))) == list(range(row, 10))


@pytest.mark.usefixtures("unreadable")
@pytest.mark.parametrize("row", [5, 6, 9, 10])
async def test_the_newest_rows_need_no_disk(tmp_path: Path, row: int) -> None:
    log = Log(tmp_path, 2, 3)
    await log.append(1, 4)
    assert joined(await pieces(log.feed.read(row))) == list(range(row, 10))


@pytest.mark.usefixtures("unreadable")
async def test_who_has_all_rows_needs_no_disk(tmp_path: Path) -> None:
    assert await pieces(Log(tmp_path, 2, 3).feed.read(5)) == []


@pytest.mark.usefixtures("unreadable")
async def test_what_is_not_in_memory_is_read_from_disk(tmp_path: Path) -> None:
    log = Log(tmp_path, 2, 3)
    await log.append(1)
    with pytest.raises(AssertionError, match="read from disk"):
        await pieces(log.feed.read(4))


async def test_pieces_from_memory_are_those_that_were_logged(tmp_path: Path) -> None:
    log = Log(tmp_path)
    await log.append(3, 2, 1)
    assert await pieces(log.feed.read(1)) == [(1, [1, 2]), (3, [3, 4]), (5, [5])]


async def test_logging_nothing_is_no_news(tmp_path: Path) -> None:
    log = Log(tmp_path, 2)
    await log.append(0)
    assert joined(await pieces(log.feed.read(0))) == [0, 1]
    assert joined(await pieces(log.feed.read(2))) == []
    assert not await log.feed.beyond(2, 0)


async def test_rows_are_those_that_stand_in_the_log(tmp_path: Path) -> None:
    """Who writes may log other rows than he was given: an undo becomes one for each reaction."""
    log = Log(tmp_path)

    def written(events: PartFolder) -> pl.DataFrame:
        rows = pl.DataFrame({"n": [0, 1, 2]}, schema=SCHEMA)
        events.append(rows)
        return rows

    assert (await log.feed.append(written))["n"].to_list() == [0, 1, 2]
    assert joined(await pieces(log.feed.read(0))) == log.events.read()["n"].to_list() == [0, 1, 2]


async def test_what_was_not_logged_is_not_read(tmp_path: Path) -> None:
    log = Log(tmp_path, 2)
    await log.append(1)

    def fail(events: PartFolder) -> pl.DataFrame:
        raise StoreUnavailable("no space")

    with pytest.raises(StoreUnavailable):
        await log.feed.append(fail)
    assert not await log.feed.beyond(3, 0)
    await log.append(2)
    assert joined(await pieces(log.feed.read(0))) == list(range(5))


# memory


async def test_so_many_rows_are_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest piece always, and those before it as long as there is room for all of it."""
    monkeypatch.setattr(epoch, "KEPT_ROWS", 5)
    log = Log(tmp_path)
    kept = []
    for size in (3, 2, 1, 1, 9, 1):
        await log.append(size)
        kept.append([first for first, _ in log.feed._newest])
    assert kept == [[0], [0, 3], [3, 5], [3, 5, 6], [7], [16]]
    assert joined(await pieces(log.feed.read(0))) == list(range(17))
    assert KEPT_ROWS >= 250_000, "a whole batch of the drain"


@pytest.mark.parametrize("kept", [1, 4, 1_000])
@FAST
@given(
    st.lists(st.integers(0, 4), max_size=3),
    st.lists(st.one_of(st.integers(0, 4), st.sampled_from(["read", "merge", "reopen"])), max_size=12),
    st.data(),
)
async def test_a_follower_gets_each_row_once_whatever_happens_meanwhile(
    kept: int, before: list[int], history: list[int | str], data: st.DataObject
) -> None:
    """It reads when it likes, and is at another row than the others."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(epoch, "KEPT_ROWS", kept)
        patch.setattr("recsys.stores.event_log.MERGE_AT_PARTS", 2)
        log = Log(Path(folder), *before)
        got: list[list[int]] = [[], []]
        for step in history:
            match step:
                case int():
                    await log.append(step)
                case "read":
                    mine = got[data.draw(st.integers(0, 1))]
                    mine += joined(await pieces(log.feed.read(len(mine))))
                    assert mine == list(range(log.feed.rows))
                case "merge":
                    log.events.merge_small()
                case "reopen":
                    log = Log(Path(folder))
        for numbers in got:
            numbers += joined(await pieces(log.feed.read(len(numbers))))
            assert numbers == list(range(log.feed.rows))


@pytest.mark.parametrize("before", [(), (2, 2)], ids=["in memory", "on disk"])
@pytest.mark.parametrize("kept", [1, 1_000])
async def test_what_is_logged_while_somebody_reads_is_read_then_or_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: tuple[int, ...], kept: int
) -> None:
    monkeypatch.setattr(epoch, "KEPT_ROWS", kept)
    log = Log(tmp_path, *before)
    await log.append(2, 2)
    got: list[int] = []
    async for first, frame in log.feed.read(0):
        assert first == len(got)
        got += frame["n"].to_list()
        if log.feed.rows < 20:
            await log.append(3)
    got += joined(await pieces(log.feed.read(len(got))))
    assert got == list(range(log.feed.rows))


@pytest.mark.parametrize("in_memory", [False, True])
async def test_somebody_may_read_while_a_row_is_being_written(tmp_path: Path, in_memory: bool) -> None:
    """Between the moment that it is on disk and the moment that it is in memory too."""
    log = Log(tmp_path, 2)
    if in_memory:
        await log.append(1)
    before, on_disk, go_on = log.feed.rows, threading.Event(), threading.Event()

    def written(events: PartFolder) -> pl.DataFrame:
        rows = log.write(3)(events)
        on_disk.set()
        go_on.wait()
        return rows

    writing = asyncio.create_task(log.feed.append(written))
    await asyncio.to_thread(on_disk.wait)
    got = joined(await pieces(log.feed.read(0)))
    assert got[:before] == list(range(before))
    assert await log.feed.beyond(before, EVER)
    go_on.set()
    await writing
    got += joined(await pieces(log.feed.read(len(got))))
    assert got == list(range(before + 3))


async def test_a_read_may_be_left_in_the_middle(tmp_path: Path) -> None:
    log = Log(tmp_path, 2, 2)
    rows = log.feed.read(0)
    assert (await anext(rows))[1]["n"].to_list() == [0, 1]
    await rows.aclose()  # type: ignore[attr-defined]
    assert joined(await pieces(log.feed.read(2))) == [2, 3]


# news


async def test_rows_that_are_there_need_no_waiting(tmp_path: Path) -> None:
    log = Log(tmp_path, 3)
    assert [await log.feed.beyond(row, EVER) for row in range(3)] == [True] * 3
    await log.append(1)
    assert await log.feed.beyond(3, EVER)


async def test_after_a_while_nobody_waits_any_more(tmp_path: Path) -> None:
    assert not await Log(tmp_path, 3).feed.beyond(3, 0.001)


async def test_who_waits_is_told_at_once(tmp_path: Path) -> None:
    log = Log(tmp_path, 3)
    waiting = [asyncio.create_task(log.feed.beyond(3, EVER)) for _ in range(3)]
    await asyncio.sleep(0)  # they begin to wait
    await log.append(1)
    assert await asyncio.gather(*waiting) == [True] * 3


async def test_news_of_the_past_wake_nobody(tmp_path: Path) -> None:
    log = Log(tmp_path, 3)
    await log.append(1)
    assert not await log.feed.beyond(4, 0.001)


async def test_who_stops_waiting_leaves_the_others_alone(tmp_path: Path) -> None:
    log = Log(tmp_path, 3)
    impatient, patient = (asyncio.create_task(log.feed.beyond(3, EVER)) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    await log.append(1)
    assert await patient
