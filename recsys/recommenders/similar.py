"""Which items are like an item: by what they are, and by who likes them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys.recommenders.port import Floats


def unit_rows(rows: Floats) -> Floats:
    """Rows (n, d) scaled to length 1, so that a dot product is the cosine; rows of zeros stay zeros."""
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = np.divide(rows, norm, out=np.zeros_like(rows), where=norm > 0)
    return unit


def similarity(features: Floats, position: int) -> Floats:
    """(n,) likeness of every item to the one at ``position``, between -1 and 1: the cosine of their features (n, d).

    0 where either item has only zeros.
    """
    unit = unit_rows(features)
    cosine: Floats = unit @ unit[position]
    return cosine


def nearest(features: Floats, mean: Floats, position: int, k: int) -> NDArray[np.int64]:
    """Up to k positions other than ``position``, the most similar first; equals by like rate ``mean`` (n,).

    Empty when there is no other item.
    """
    order = np.lexsort((-mean, -similarity(features, position)))
    others: NDArray[np.int64] = order[order != position][:k]
    return others
