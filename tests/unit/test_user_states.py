"""Users' states follow the log: each row takes effect once, whatever happens in between."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.schemas import EVENT_SCHEMA
from recsys.stores.event_log import EventLog, PartFolder
from recsys.stores.ports import Ledger, StoreUnavailable
from recsys.user_state import LIKE, SHOWN, encode
from regular_pipeline import user_states
from regular_pipeline.drain import EVERYTHING
from regular_pipeline.epoch import Epoch
from regular_pipeline.user_states import UserStates

FAST = settings(deadline=None, max_examples=50)
EPOCH = 3


class Effects:
    """Implements as much of Ledger as is asked.

    When it is told to, it loses a call or its answer, or a second pipeline that should not be there is faster.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.codes: dict[str, bytes] = {}
        self.counters: Counter[str] = Counter()
        self.spans: list[tuple[int, int]] = []
        self.faults: list[str] = []
        self.asked = 0

    async def applied(self, epoch: int) -> int:
        assert epoch == EPOCH
        self.asked += 1
        return self.rows

    async def apply(
        self, epoch: int, rows: tuple[int, int], counters: Mapping[str, int], codes: Mapping[str, bytes]
    ) -> bool:
        assert epoch == EPOCH
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "call lost":
            raise StoreUnavailable("away")
        if rows[0] != self.rows:
            return False
        self.rows = rows[1]
        self.spans.append(rows)
        self.counters.update(counters)
        for user, code in codes.items():
            self.codes[user] = self.codes.get(user, b"") + code
        if fault == "answer lost":
            raise StoreUnavailable("away")
        return fault != "overtaken"


class Bench:
    """Rows of one user, each a like or an impression of the item of its number, and who applies them."""

    def __init__(self, folder: Path) -> None:
        self.epoch = Epoch(EPOCH, EventLog(folder))
        self.effects = Effects()
        self.states = self.anew()

    def anew(self) -> UserStates:
        """As after a restart."""
        self.states = UserStates(self.epoch, cast(Ledger, self.effects))
        return self.states

    async def log(self, size: int) -> None:
        first = self.epoch.feed.rows
        told = pl.DataFrame({"item_index": range(first, first + size)}, schema={"item_index": pl.Int32})
        others: dict[str, Any] = {name: pl.lit(None) for name in EVENT_SCHEMA if name != "item_index"}
        others |= {"kind": pl.lit("like"), "user_id": pl.lit("u"), "source": pl.lit("")}
        others["kind"] = pl.when(pl.col("item_index") % 3 == 0).then(pl.lit("impression")).otherwise(pl.lit("like"))
        rows = told.with_columns(**others).select(EVENT_SCHEMA.names()).cast(dict(EVENT_SCHEMA))

        def write(events: PartFolder) -> pl.DataFrame:
            events.append(rows)
            return rows

        await self.epoch.feed.append(write)

    def assert_each_row_once(self) -> None:
        rows = self.epoch.feed.rows
        assert self.effects.rows == rows
        likes = [number for number in range(rows) if number % 3]
        assert self.effects.codes.get("u", b"") == encode(likes, LIKE)
        assert (self.effects.counters["likes"], self.effects.counters["impressions"]) == (
            len(likes),
            rows - len(likes),
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_an_empty_log_has_no_effects(bench: Bench) -> None:
    await bench.states.settle()
    assert (bench.effects.spans, bench.states.next_row) == ([], 0)


async def test_rows_take_effect_in_steps_of_bounded_size(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_states, "APPLY_ROWS", 4)
    await bench.log(9)
    await bench.log(2)
    await bench.states.settle()
    assert bench.effects.spans == [(0, 4), (4, 8), (8, 9), (9, 11)]
    bench.assert_each_row_once()


async def test_the_ledger_says_where_to_go_on(bench: Bench) -> None:
    """The state reflects what it says, whatever this process knows."""
    await bench.log(5)
    await bench.states.settle()
    await bench.log(3)
    await bench.anew().settle()
    assert bench.effects.spans == [(0, 5), (5, 8)]
    bench.assert_each_row_once()


async def test_without_news_nobody_is_asked(bench: Bench) -> None:
    await bench.log(5)
    for _ in range(3):
        await bench.states.settle()
    assert (bench.effects.asked, bench.states.next_row) == (1, 5)


@pytest.mark.parametrize("kinds", [("like",), EVERYTHING])
async def test_only_what_is_not_there_already_is_appended(bench: Bench, kinds: tuple[str, ...]) -> None:
    """While the system runs, what was shown is; after a loss nothing is."""
    await bench.log(3)
    await bench.states.settle(kinds)
    shown = encode([0], SHOWN) if kinds == EVERYTHING else b""
    assert bench.effects.codes == {"u": shown + encode([1, 2], LIKE)}


@pytest.mark.parametrize("fault", ["call lost", "answer lost"])
async def test_what_was_under_way_takes_effect_once(bench: Bench, fault: str) -> None:
    await bench.log(4)
    bench.effects.faults = [fault]
    with pytest.raises(StoreUnavailable):
        await bench.states.settle()
    assert bench.states.next_row is None
    await bench.states.settle()
    bench.assert_each_row_once()


async def test_who_was_overtaken_asks_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_states, "APPLY_ROWS", 2)
    await bench.log(6)
    bench.effects.faults = ["", "overtaken"]
    await bench.states.settle()
    assert (bench.effects.asked, bench.states.next_row) == (2, 6)
    bench.assert_each_row_once()


@FAST
@given(
    st.lists(
        st.one_of(st.integers(0, 6), st.sampled_from(["settle", "call lost", "answer lost", "overtaken", "restart"])),
        max_size=15,
    ),
    st.integers(1, 7),
)
async def test_each_row_takes_effect_once_whatever_happens(history: list[int | str], step: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(user_states, "APPLY_ROWS", step)
        bench = Bench(Path(folder))
        for event in history:
            if isinstance(event, int):
                await bench.log(event)
            elif event == "restart":
                bench.anew()
            else:
                bench.effects.faults = [] if event == "settle" else ["", event]
                try:
                    await bench.states.settle()
                except StoreUnavailable:
                    assert event in ("call lost", "answer lost")
        bench.effects.faults = []
        await bench.states.settle()
        bench.assert_each_row_once()


async def test_it_waits_for_news(bench: Bench) -> None:
    await bench.states.follow()
    following = asyncio.create_task(bench.states.follow())
    await asyncio.sleep(0)  # it begins to wait
    await bench.log(2)
    await following
    bench.assert_each_row_once()


async def test_without_news_it_waits_no_longer_than_a_moment(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may have begun a new epoch."""
    monkeypatch.setattr(user_states, "WAIT_S", 0.001)
    await bench.states.follow()
    await bench.states.follow()
    assert bench.effects.asked == 1
