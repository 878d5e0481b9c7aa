"""Everything the pipeline holds for the epoch in force: its catalogue, its log and its counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import polars as pl

from recsys.catalogue import Catalogue
from recsys.contract import CATALOGUE_SCHEMA, ItemRecord
from recsys.ranking.posterior import Floats
from recsys.ranking.taste import TasteModel
from recsys.stores.event_log import EventLog
from recsys.stores.ports import CatalogueStore, Ledger
from regular_pipeline.counts import Counts
from regular_pipeline.drain import REACTIONS, codes_of, counters_of
from regular_pipeline.slates import Slates

# Rows whose effects are applied in one step; bounds the size of one command to Redis.
APPLY_ROWS = 20_000


class Sources(NamedTuple):
    rows: int  # of the event log
    records: int  # of the catalogue log
    taste: TasteModel | None


class EpochWork:
    """Opened from disk: the checkpoint, then whatever the log holds beyond it."""

    def __init__(self, epoch: int, log: EventLog, half_life_days: float, *, use_checkpoint: bool = True) -> None:
        self.epoch = epoch
        self.catalogue = Catalogue()
        self.events = log.events(epoch)
        self.items = log.catalogue(epoch)
        self.events.discard_leftovers()
        self.items.discard_leftovers()
        self.checkpoint = log.epoch_folder(epoch) / "checkpoint.npz"
        self.counts = Counts.load(self.checkpoint, half_life_days)
        if self.counts.rows > self.events.rows or not use_checkpoint:
            self.counts = Counts(half_life_days)
        self._catch_up()
        self.settled = False  # whether the state is known to reflect every logged row
        self.published = ""  # version of the artifacts in force
        self.considered: Sources | None = None  # by the last refresh that came to its end
        self.vectors_done = 0  # records of the catalogue history whose vectors are stored
        self.vector_dimensions = 0
        self.rates: Floats | None = None  # like rates of the last refresh
        self.taste: TasteModel | None = None  # what was learned so far; after a restart it is learned anew

    def sources(self) -> Sources:
        """What artifacts are made of: as long as this is the same, so are they."""
        return Sources(self.counts.rows, len(self.catalogue.history), self.taste)

    def _catch_up(self) -> None:
        """Add the rows beyond the checkpoint, after the slates have seen what they remember of those before it."""
        counted = self.counts.rows
        row = max(counted - self.counts.slates.remembered, 0)
        self.counts.slates = Slates(row)
        for rows in self.events.frames(row):
            before = max(counted - row, 0)
            self.counts.slates.add(rows.head(before))
            self.counts.add(rows.slice(before))
            row += rows.height

    async def read_catalogue(self, store: CatalogueStore) -> None:
        """Replay what is new in the shared catalogue log and mirror it on disk."""
        for chunk in await store.since(self.epoch, self.catalogue.chunks):
            self.catalogue.extend(chunk)
        if len(self.catalogue.history) > self.items.rows:
            self.items.append(_frame(self.catalogue.history[self.items.rows :]))

    async def restore_catalogue(self, store: CatalogueStore) -> None:
        """Give the shared log back the records that it lost and the mirror still holds."""
        await self.read_catalogue(store)
        for rows in self.items.frames(len(self.catalogue.history)):
            records = [ItemRecord(id=row["item_id"], genres=tuple(row["genres"])) for row in rows.to_dicts()]
            await store.add(self.epoch, records, [])
        await self.read_catalogue(store)

    async def settle(self, ledger: Ledger, kinds: Sequence[str] = REACTIONS) -> None:
        """Apply to the state every logged row that it does not reflect yet, and nothing twice."""
        while (applied := await ledger.applied(self.epoch)) < self.events.rows:
            for rows in _pieces(self.events.frames(applied)):
                span = (applied, applied + rows.height)
                if not await ledger.apply(self.epoch, span, counters_of(rows), codes_of(rows, kinds)):
                    break
                applied = span[1]
        self.settled = True


def _pieces(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    for frame in frames:
        yield from frame.iter_slices(APPLY_ROWS)


def _frame(records: Sequence[ItemRecord]) -> pl.DataFrame:
    columns = {"item_id": [r.id for r in records], "genres": [list(r.genres) for r in records]}
    return pl.DataFrame(columns, schema=CATALOGUE_SCHEMA)
