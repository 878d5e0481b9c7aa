"""Which items are like an item: by what they are, and by who likes them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys.ranking.posterior import Floats


def unit_rows(loadings: Floats) -> Floats:
    """Rows (n, f) scaled to length 1, so that a dot product is the cosine; rows of zeros stay zeros."""
    norm = np.linalg.norm(loadings, axis=1, keepdims=True)
    unit: Floats = np.divide(loadings, norm, out=np.zeros_like(loadings), where=norm > 0)
    return unit


def similarity(vectors: Floats, loadings: Floats, position: int, blend: float) -> Floats:
    """(n,) likeness of every item to the one at ``position``, between -1 and 1.

    ``(1 - blend) · content cosine + blend · collaborative cosine``, of vectors (n, d) with rows of length 1 or 0 and
    loadings (n, f) of any length. Where either item has only zeros, that cosine is 0.
    """
    content: Floats = vectors @ vectors[position]
    unit = unit_rows(loadings)
    mixed: Floats = (1 - blend) * content + blend * (unit @ unit[position])
    return mixed


def nearest(vectors: Floats, loadings: Floats, mean: Floats, position: int, k: int, blend: float) -> NDArray[np.int64]:
    """Up to k positions other than ``position``, the most similar first; equals by like rate ``mean`` (n,).

    Empty when there is no other item.
    """
    order = np.lexsort((-mean, -similarity(vectors, loadings, position, blend)))
    others: NDArray[np.int64] = order[order != position][:k]
    return others
