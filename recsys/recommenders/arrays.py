"""Named arrays as bytes and back, for the models of all recommenders. Without pickle: whoever loads runs no code."""

from __future__ import annotations

import io
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray


def packed(**arrays: Any) -> bytes:
    """Arrays, numbers and text by name. The same values give the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def unpacked(blob: bytes) -> dict[str, NDArray[Any]]:
    """What ``packed`` was given, as arrays. ValueError for other bytes."""
    try:
        with np.load(io.BytesIO(blob), allow_pickle=False) as arrays:
            return dict(arrays)
    except (BadZipFile, EOFError, OSError, KeyError) as error:
        raise ValueError(f"no packed arrays: {error}") from error
