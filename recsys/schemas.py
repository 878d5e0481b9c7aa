"""Columns of what is kept in Parquet files: events, and items. Apart from the contract, which loads no polars."""

from __future__ import annotations

from typing import Final

import polars as pl

EVENT_SCHEMA: Final = pl.Schema(
    {
        "event_id": pl.String,  # of the interact call or of the slate; all its rows share it
        "kind": pl.String,  # impression, or what a reaction says: see Action
        "user_id": pl.String,
        "item_id": pl.String,
        "item_index": pl.Int32,  # position in the catalogue, -1 if the catalogue did not know the item when drained
        "position": pl.Int16,  # rank within the call or slate, from 0
        "source": pl.String,  # of an impression: who chose it; of an undo: the kind taken back; or HISTORY
        "received_at": pl.Float64,  # Unix seconds on our clock
        "timestamp": pl.Float64,  # Unix seconds as the client said, or null
        "undone_at": pl.Float64,  # of an undo: receipt of the reaction it takes back; else null, as in older logs
    }
)
CATALOGUE_SCHEMA: Final = pl.Schema([("item_id", pl.String()), ("genres", pl.List(pl.String()))])
