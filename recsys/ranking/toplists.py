"""The genre-aware top lists: one over all items, one for each genre."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys.ranking.posterior import Genres

TINY = 1e-9  # thirds of an item do not add up exactly
Positions = NDArray[np.int32]
Order = NDArray[np.int32] | NDArray[np.int64]


def genre_tops(order: Order, genres: Genres, size: int) -> list[Order]:
    """For each of g genres its best ``size`` items. order (n,) holds all positions, best first; genres (n, g)."""
    ranked = genres[order]
    return [order[np.flatnonzero(ranked[:, column])[:size]] for column in range(genres.shape[1])]


def fair_top(order: Order, genres: Genres, size: int) -> Positions:
    """The best ``size`` items in which no genre takes more than its fair share.

    A genre's share is its part of the catalogue, an item of several genres counting in equal parts for each; the cap
    is that share of ``size``, rounded up. Items without a genre are not capped. Where the caps leave places empty
    (genres overlap too much) they are filled with the best of the rest. Best first; n < size gives n.
    """
    weight = genres / np.maximum(genres.sum(axis=1, keepdims=True), 1)
    mass = weight.sum(axis=0)
    cap = np.ceil(size * mass / max(mass.sum(), TINY) - TINY)
    taken = np.zeros_like(mass)
    chosen = np.zeros(len(order), dtype=bool)  # by rank
    for rank, position in enumerate(order.tolist()):
        if np.count_nonzero(chosen) == size:
            break
        if np.all(taken + weight[position] <= cap + TINY):
            taken += weight[position]
            chosen[rank] = True
    rest = np.flatnonzero(~chosen)[: max(size - np.count_nonzero(chosen), 0)]
    chosen[rest] = True
    return order[chosen].astype(np.int32)
