"""A follower of the log: brings users' states and counters up to it, each row once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from recsys.stores.ports import Ledger
from regular_pipeline.drain import REACTIONS, codes_of, counters_of
from regular_pipeline.epoch import Epoch

# Rows whose effects are applied in one step; bounds the size of one command to Redis.
APPLY_ROWS: Final = 20_000
WAIT_S: Final = 0.2


class UserStates:
    """Its cursor is the ledger's own, so that a kill at any moment neither loses nor doubles a row."""

    def __init__(self, epoch: Epoch, ledger: Ledger) -> None:
        self._epoch = epoch
        self._ledger = ledger
        self.next_row: int | None = None  # what the ledger said last, if it is known

    async def follow(self) -> None:
        """Wait a moment for news, then apply what there is."""
        if self.next_row is None or await self._epoch.feed.beyond(self.next_row, WAIT_S):
            await self.settle()

    async def settle(self, kinds: Sequence[str] = REACTIONS) -> None:
        """Apply to the state every logged row that it does not reflect yet, and nothing twice."""
        try:
            while self.next_row is None or self.next_row < self._epoch.feed.rows:
                self.next_row = await self._ledger.applied(self._epoch.number)
                await self._apply(self.next_row, kinds)
        except BaseException:
            self.next_row = None  # what was under way may have been done
            raise

    async def _apply(self, row: int, kinds: Sequence[str]) -> None:
        async for _, frame in self._epoch.feed.read(row):
            for rows in frame.iter_slices(APPLY_ROWS):
                span = (row, row + rows.height)
                counters, codes = counters_of(rows), codes_of(rows, kinds)
                if not await self._ledger.apply(self._epoch.number, span, counters, codes):
                    self.next_row = None
                    return
                self.next_row = row = span[1]
