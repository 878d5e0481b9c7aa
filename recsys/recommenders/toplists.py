"""The genre-aware top lists: one over all items, one for each genre."""

from __future__ import annotations

from typing import Final

import numpy as np

from recsys.catalogue import Items
from recsys.recommenders.port import Bools, Positions

TINY: Final = 1e-9  # thirds of an item do not add up exactly
TOP_LIST_SIZE: Final = 100
# Names of the published lists; a genre may have any name, so those of genres have a prefix.
ALL_ITEMS: Final = "all"
GENRE_PREFIX: Final = "genre:"


def top_lists(order: Positions, items: Items) -> dict[str, list[str]]:
    """The published lists by name, as item ids. order (n,) holds the first n of the items, best first."""
    lists = {ALL_ITEMS: top_list(order, items)}
    return lists | {GENRE_PREFIX + genre: top_list(order, items, genre) for genre in items.genre_names}


def top_list(order: Positions, items: Items, genre: str | None = None) -> list[str]:
    """Ids of the best items of a genre of the catalogue; over all of them none takes more than its fair share."""
    genres = items.genres[: len(order)]
    if genre is None:
        best = fair_top(order, genres, TOP_LIST_SIZE)
    else:
        column = list(items.genre_names).index(genre)
        (best,) = genre_tops(order, genres[:, column : column + 1], TOP_LIST_SIZE)
    return [items.ids[position] for position in best.tolist()]


def genre_tops(order: Positions, genres: Bools, size: int) -> list[Positions]:
    """For each of g genres its best ``size`` items. order (n,) holds all positions, best first; genres (n, g)."""
    ranked = genres[order]
    return [order[np.flatnonzero(ranked[:, column])[:size]] for column in range(genres.shape[1])]


def fair_top(order: Positions, genres: Bools, size: int) -> Positions:
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
    return order[chosen]
