"""What a refresh computes and every recommendations worker holds in memory."""

from __future__ import annotations

import io
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.ranking.posterior import Floats

TOP_LIST_SIZE = 100
FLOATS = ("base_rate", "base_sd", "explore_share", "genre_variance")


@dataclass(frozen=True)
class Artifacts:
    """Statistics of the first n items and g genres of one epoch's catalogue, as of one row of its event log."""

    version: str  # equal versions hold equal contents, within an epoch
    rows: int  # rows of the event log they reflect
    mean: Floats  # (n,) posterior like rate
    sd: Floats  # (n,) its standard deviation
    order: NDArray[np.int32]  # (n,) positions by mean, best first
    genre_rate: Floats  # (g,) like rate of an item of this genre that was never shown
    genre_sd: Floats  # (g,) its standard deviation
    base_rate: float  # the same of one without genres
    base_sd: float
    explore_share: float  # of a list's places, for the cards of the deck
    loadings: Floats  # (n, f) of the factor model
    genre_variance: float  # of its tastes for genres
    top: NDArray[np.int32]  # (1 + g, TOP_LIST_SIZE) positions, padded with -1: over all items, then of each genre
    vectors: Floats  # (n, d) item vectors, rows of length 1 or 0

    def top_list(self, row: int) -> NDArray[np.int64]:
        """Row of ``top`` without its padding."""
        positions: NDArray[np.int64] = self.top[row][self.top[row] >= 0].astype(np.int64)
        return positions


def pack(artifacts: Artifacts) -> tuple[bytes, bytes]:
    """Everything but the vectors, and the vectors: those are large and change only with the catalogue.

    Of the loadings only the rows that are not all 0: few items have any.
    """
    arrays: dict[str, Any] = {f.name: np.asarray(getattr(artifacts, f.name)) for f in fields(artifacts)}
    vectors = arrays.pop("vectors")
    loaded = np.flatnonzero(artifacts.loadings.any(axis=1))
    return _saved(**arrays | {"loadings": artifacts.loadings[loaded], "loaded": loaded}), _saved(vectors=vectors)


def unpack(blob: bytes, vectors: bytes) -> Artifacts:
    """What ``pack`` was given. ValueError: packed by another version of this code."""
    values = _loaded(blob) | _loaded(vectors)
    loaded = values.pop("loaded", None)
    if loaded is None or values.keys() != {f.name for f in fields(Artifacts)}:
        raise ValueError(f"artifacts with the fields {sorted(values)}")
    rows = values["loadings"]
    values["loadings"] = np.zeros((len(values["mean"]), rows.shape[1]), rows.dtype)
    values["loadings"][loaded] = rows
    scalars = {"version": str, "rows": int, **dict.fromkeys(FLOATS, float)}
    return Artifacts(**values | {name: kind(values[name]) for name, kind in scalars.items()})


def _saved(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _loaded(blob: bytes) -> dict[str, Any]:
    with np.load(io.BytesIO(blob), allow_pickle=False) as arrays:
        return dict(arrays)
