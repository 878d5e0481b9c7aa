"""From counts and catalogue to artifacts. Pure: the same counts and catalogue give the same artifacts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recsys.artifacts import TOP_LIST_SIZE, Artifacts
from recsys.catalogue import Catalogue
from recsys.ranking.diversity import unit_genres
from recsys.ranking.exploration import deck, explore_share
from recsys.ranking.posterior import Floats, Posterior, like_rates, unanswered_weight
from recsys.ranking.profiles import Ranking
from recsys.ranking.taste import Lessons, TasteModel, learn
from recsys.ranking.toplists import Order, Positions, fair_top, genre_tops
from regular_pipeline.counts import Counts

# Names of the published lists; a genre may have any name, so those of genres have a prefix.
ALL_ITEMS: Final = "all"
GENRE_PREFIX: Final = "genre:"
MIN_DIMENSIONS: Final = 8
LEAST_CARDS: Final = 1_000  # in a new deck


@dataclass(frozen=True)
class Snapshot:
    """What one refresh works on while the pipeline goes on draining."""

    epoch: int
    records: int  # of the catalogue log
    genres: NDArray[np.bool_]
    counts: Counts
    slates: tuple[int, int, int, int]  # remembered: all, those answered, those with one and with two reactions
    taste: TasteModel
    ranking: Ranking

    @classmethod
    def take(
        cls,
        epoch: int,
        catalogue: Catalogue,
        counts: Counts,
        taste: TasteModel | None = None,
        ranking: Ranking = Ranking(),  # noqa: B008  # frozen
    ) -> Snapshot:
        counts.resize(len(catalogue))
        n = len(catalogue)
        taste = (taste or TasteModel.untrained(n, ranking.taste)).resized(n)
        totals = counts.slates.totals()
        return cls(epoch, len(catalogue.history), catalogue.genres(), counts.copy(), totals, taste, ranking)

    def version(self, seed: int) -> str:
        """Everything that the artifacts depend on; begins with the rows of the log that they reflect."""
        taste = self.taste
        learned = f"{taste.genre_variance} {self.ranking} {self.slates}"
        digest = hashlib.blake2b(taste.loadings.tobytes() + learned.encode(), digest_size=8).hexdigest()
        return f"{self.counts.rows}.{self.records}.{self.counts.half_life_s:g}.{seed}.{digest}"


@dataclass(frozen=True)
class Refreshed:
    """What was computed: what is published, and what the deck is made of."""

    artifacts: Artifacts
    posterior: Posterior
    impressions: Floats

    def deck(self, snapshot: Snapshot, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Positions of up to ``size`` cards, the most promising first."""
        return deck(self.posterior, self.impressions, snapshot.slates[0], size, rng, snapshot.ranking.explore)


def deck_size(played: int) -> int:
    """How many cards to deal if so many were played since the last time: the traffic may grow until the next."""
    return max(LEAST_CARDS, 3 * played)


def compute(snapshot: Snapshot, seed: int) -> Refreshed:
    """All artifacts. Items of equal like rate are in an order drawn from (seed, epoch), not the catalogue's."""
    genres, ranking, taste = snapshot.genres, snapshot.ranking, snapshot.taste
    likes, dislikes, impressions, answered = snapshot.counts.decayed()
    weight = np.float32(unanswered_weight(*snapshot.slates) if ranking.answers else 1.0)
    exposures = answered + weight * (impressions - answered)
    posterior = like_rates(likes, dislikes, exposures, genres, ranking.posterior)
    tie_break = np.random.default_rng([seed, snapshot.epoch]).permutation(len(genres))
    order = np.lexsort((tie_break, -posterior.mean)).astype(np.int32)
    lists = [fair_top(order, genres, TOP_LIST_SIZE), *genre_tops(order, genres, TOP_LIST_SIZE)]
    artifacts = Artifacts(
        version=snapshot.version(seed),
        rows=snapshot.counts.rows,
        mean=posterior.mean,
        sd=posterior.sd,
        order=order,
        genre_rate=posterior.genre_rate,
        genre_sd=posterior.genre_sd,
        base_rate=posterior.base_rate,
        base_sd=posterior.base_sd,
        explore_share=explore_share(impressions, ranking.explore),
        loadings=taste.loadings,
        genre_variance=taste.genre_variance,
        top=_padded(lists),
        vectors=content_vectors(genres),
    )
    return Refreshed(artifacts, posterior, impressions)


def learn_taste(snapshot: Snapshot, lessons: Lessons, rates: Floats, seed: int) -> TasteModel:
    """The snapshot's taste model, gone on with what was logged since. Items that are newer than ``rates`` wait."""
    rng = np.random.default_rng([seed, snapshot.epoch])
    lessons = lessons.where(lessons.item < len(rates))
    return learn(snapshot.taste, lessons, rates, unit_genres(snapshot.genres), rng, snapshot.ranking.taste)


def content_vectors(genres: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Genres (n, g) → vectors (n, d) of length 1 (0 without genres); d is the power of two that fits, at least 8."""
    unit = unit_genres(genres)
    dimensions = max(MIN_DIMENSIONS, 1 << max(unit.shape[1] - 1, 0).bit_length())
    return np.pad(unit, ((0, 0), (0, dimensions - unit.shape[1])))


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
