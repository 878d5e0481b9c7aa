"""What the pipeline holds of the epoch in force: its catalogue, and its event log as those who follow it read it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

import polars as pl

from recsys.catalogue import Catalogue
from recsys.contract import ItemRecord
from recsys.schemas import CATALOGUE_SCHEMA
from recsys.stores.event_log import EventLog, PartFolder
from recsys.stores.ports import CatalogueStore

KEPT_ROWS: Final = 500_000  # newest rows that are kept in memory for those who follow the log


class Feed:
    """The event log of an epoch: the newest rows from memory, the others from disk.

    Each follower has a cursor of its own, the number of the next row that it wants, so none waits for another.
    """

    def __init__(self, events: PartFolder) -> None:
        self._events = events
        self._newest: deque[tuple[int, pl.DataFrame]] = deque()
        self._news = asyncio.Event()

    @property
    def rows(self) -> int:
        return self._events.rows

    async def append(self, write: Callable[[PartFolder], pl.DataFrame]) -> pl.DataFrame:
        """Log rows in a thread. ``write`` returns them as they stand in the log. StoreUnavailable: none was logged."""
        first = self._events.rows
        rows = await asyncio.to_thread(write, self._events)
        self._newest.append((first, rows))
        while len(self._newest) > 1 and self._events.rows - self._newest[0][0] > KEPT_ROWS:
            self._newest.popleft()
        self._news.set()
        self._news = asyncio.Event()
        return rows

    async def read(self, row: int) -> AsyncIterator[tuple[int, pl.DataFrame]]:
        """All rows there are from ``row`` on, piece by piece, each with the number of its first row."""
        if row < self.rows and (not self._newest or row < self._newest[0][0]):
            frames = self._events.frames(row)
            while (frame := await asyncio.to_thread(next, frames, None)) is not None:
                yield row, frame
                row += frame.height
        for first, rows in list(self._newest):
            if first + rows.height > row:
                piece = rows.slice(max(row - first, 0))
                yield row, piece
                row += piece.height

    async def beyond(self, row: int, wait_s: float) -> bool:
        """Whether there is a row with this number; waits for it."""
        if self.rows <= row:
            news = self._news
            try:
                async with asyncio.timeout(wait_s):
                    await news.wait()
            except TimeoutError:
                return False
        return self.rows > row


class Epoch:
    """Opened from disk; the catalogue is replayed from the shared log, and mirrored on disk."""

    def __init__(self, number: int, log: EventLog) -> None:
        self.number = number
        self.folder = log.epoch_folder(number)
        self.catalogue = Catalogue()
        self.events = log.events(number)
        self.feed = Feed(self.events)
        self._mirror = log.catalogue(number)
        self.events.discard_leftovers()
        self._mirror.discard_leftovers()

    async def read_catalogue(self, store: CatalogueStore) -> None:
        """Replay what is new in the shared catalogue log and mirror it on disk."""
        for chunk in await store.since(self.number, self.catalogue.chunks):
            self.catalogue.extend(chunk)
        if len(self.catalogue.history) > self._mirror.rows:
            self._mirror.append(_frame(self.catalogue.history[self._mirror.rows :]))

    async def restore_catalogue(self, store: CatalogueStore) -> None:
        """Give the shared log back the records that it lost and the mirror still holds."""
        await self.read_catalogue(store)
        for rows in self._mirror.frames(len(self.catalogue.history)):
            records = [ItemRecord(id=row["item_id"], genres=tuple(row["genres"])) for row in rows.to_dicts()]
            await store.add(self.number, records, [])
        await self.read_catalogue(store)


def _frame(records: Sequence[ItemRecord]) -> pl.DataFrame:
    columns = {"item_id": [r.id for r in records], "genres": [list(r.genres) for r in records]}
    return pl.DataFrame(columns, schema=CATALOGUE_SCHEMA)
