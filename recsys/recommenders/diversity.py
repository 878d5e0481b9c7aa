"""Order that balances relevance with difference between neighbours in the list."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def unit_genres(genres: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Membership (n, g) → rows of length 1, so that a dot product is the cosine; all zero for items without genres."""
    norm = np.sqrt(np.maximum(genres.sum(axis=1, keepdims=True), 1))
    unit: NDArray[np.float32] = (genres / norm).astype(np.float32)
    return unit


def mmr(scores: NDArray[np.floating], unit: NDArray[np.float32], k: int, diversity: float) -> list[int]:
    """Maximal marginal relevance: scores (n,), unit rows (n, g) ≥ 0 → indices (k,), best first; k > n gives n.

    Each step takes the item with the highest ``score / max(score) - diversity * (cosine to the nearest chosen one)``.
    Where no score is above 0 they are first raised and scaled to lie between 0 and 1.
    diversity 0 is plain order by score. Carbonell & Goldstein 1998.
    """
    n = len(scores)
    if n == 0:
        return []
    top = float(scores.max())
    relevance = scores / top if top > 0 else _from_zero(scores)
    # value[j] if item i is chosen: the objective is the least of these over all chosen i, and relevance before any.
    value_given = relevance - diversity * (unit @ unit.T)
    value = relevance.copy()
    chosen: list[int] = []
    for _ in range(min(k, n)):
        best = int(value.argmax())
        chosen.append(best)
        np.minimum(value, value_given[best], out=value)
        value[best] = -np.inf
    return chosen


def _from_zero(scores: NDArray[np.floating]) -> NDArray[np.floating]:
    low = scores.min()
    return np.asarray((scores - low) / max(float(scores.max() - low), 1e-12))
