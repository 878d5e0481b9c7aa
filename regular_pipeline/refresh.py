"""From counts and catalogue to artifacts. Pure: the same counts and catalogue give the same artifacts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recsys.artifacts import TOP_LIST_SIZE, Artifacts
from recsys.catalogue import Catalogue
from recsys.ranking.diversity import unit_genres
from recsys.ranking.posterior import like_rates
from recsys.ranking.toplists import Order, Positions, fair_top, genre_tops
from regular_pipeline.counts import Counts

# Names of the published lists; a genre may have any name, so those of genres have a prefix.
ALL_ITEMS: Final = "all"
GENRE_PREFIX: Final = "genre:"
MIN_DIMENSIONS: Final = 8
LEAST_EXPOSURES: Final = 0.5  # time-decayed: what was shown once comes back to the deck after one half-life


@dataclass(frozen=True)
class Snapshot:
    """What one refresh works on while the pipeline goes on draining."""

    epoch: int
    records: int  # of the catalogue log
    genres: NDArray[np.bool_]
    counts: Counts

    @classmethod
    def take(cls, epoch: int, catalogue: Catalogue, counts: Counts) -> Snapshot:
        counts.resize(len(catalogue))
        return cls(epoch, len(catalogue.history), catalogue.genres(), counts.copy())

    def version(self, seed: int) -> str:
        """Everything that the artifacts depend on; begins with the rows of the log that they reflect."""
        return f"{self.counts.rows}.{self.records}.{self.counts.half_life_s:g}.{seed}"


def compute(snapshot: Snapshot, seed: int) -> Artifacts:
    """All artifacts. Items of equal like rate are in an order drawn from (seed, epoch), not the catalogue's."""
    genres = snapshot.genres
    likes, dislikes, exposures = snapshot.counts.decayed()
    posterior = like_rates(likes, dislikes, exposures, genres)
    tie_break = np.random.default_rng([seed, snapshot.epoch]).permutation(len(genres))
    order = np.lexsort((tie_break, -posterior.mean)).astype(np.int32)
    lists = [fair_top(order, genres, TOP_LIST_SIZE), *genre_tops(order, genres, TOP_LIST_SIZE)]
    return Artifacts(
        version=snapshot.version(seed),
        rows=snapshot.counts.rows,
        likes=likes,
        dislikes=dislikes,
        exposures=exposures,
        mean=posterior.mean,
        sd=posterior.sd,
        order=order,
        genre_rate=posterior.genre_rate,
        base_rate=posterior.base_rate,
        top=_padded(lists),
        vectors=content_vectors(genres),
    )


def content_vectors(genres: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Genres (n, g) → vectors (n, d) of length 1 (0 without genres); d is the power of two that fits, at least 8."""
    unit = unit_genres(genres)
    dimensions = max(MIN_DIMENSIONS, 1 << max(unit.shape[1] - 1, 0).bit_length())
    return np.pad(unit, ((0, 0), (0, dimensions - unit.shape[1])))


def unknown_items(exposures: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.int64]:
    """Positions of what hardly anybody was shown lately, the least exposed first, equals in random order.

    These are the cards of the exploration deck. Items that were shown once need no more places of their own: what is
    uncertain about them is part of their rank.
    """
    order: NDArray[np.int64] = np.lexsort((rng.random(len(exposures)), exposures))
    return order[: np.count_nonzero(exposures < LEAST_EXPOSURES)]


def top_lists(artifacts: Artifacts, catalogue: Catalogue) -> dict[str, list[str]]:
    """The published lists by name, as item ids."""
    names = [ALL_ITEMS, *(GENRE_PREFIX + name for name in catalogue.genre_names)]
    ids = catalogue.ids
    return {name: [ids[p] for p in artifacts.top_list(row)] for row, name in enumerate(names[: len(artifacts.top)])}


def _padded(lists: list[Order]) -> Positions:
    table = np.full((len(lists), TOP_LIST_SIZE), -1, dtype=np.int32)
    for row, positions in zip(table, lists, strict=True):
        row[: len(positions)] = positions
    return table
