"""From statistics of the items and one user's state to a ranking for that user."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recsys.catalogue import Items
from recsys.recommenders.bandit.posterior import of_new_items
from recsys.recommenders.bandit.statistics import Statistics
from recsys.recommenders.bandit.taste import ChoiceSet, dislike_worth, features, fold_in
from recsys.recommenders.diversity import unit_genres
from recsys.recommenders.interactions import by_position
from recsys.recommenders.port import Bools, ExplorationShare, Floats, Positions, Query, Ranked
from recsys.recommenders.similar import nearest
from recsys.recommenders.toplists import genre_tops
from recsys.user_state import DISLIKE, LIKE, SHOWN, UserState


@dataclass(frozen=True)
class RankConfig:
    """Constants of the ranking. What other values are worth: docs/tried.md."""

    pool: int = 200  # best items over all that every user's list is chosen from
    genre_pool: int = 20  # best items of each genre that join them
    noise: float = 0.8  # of the posterior's standard deviation: 1 is Thompson sampling, 0 the plain like rate
    taste: bool = True  # follow what the user reacted to
    most_lift: float = 3.0  # of the logarithm of a like rate, by the user's taste


DEFAULT: Final = RankConfig()
# A user's state does not say where one list ends. This many places before a reaction are taken as looked at.
ANSWERED_PLACES: Final = 10


@dataclass(frozen=True)
class Candidates:
    """Items with what ranking needs of them side by side, so that a request reads memory in one go."""

    positions: Positions  # (m,)
    mean: Floats  # (m,) like rate
    sd: Floats  # (m,) its standard deviation
    features: Floats  # (m, g + f) of the factor model

    def among(self, chosen: NDArray[np.intp]) -> Candidates:
        return Candidates(self.positions[chosen], self.mean[chosen], self.sd[chosen], self.features[chosen])


@dataclass(frozen=True)
class View:
    """What is known of the catalogue's n items, ready for ranking. Shared by all requests, never changed."""

    items: Candidates  # all n, by position
    order: Positions  # (n,) positions by mean, best first
    pool: Candidates  # those that lists are normally chosen from
    of_dislike: Floats  # (g + f,) what a dislike says about the taste for each feature, beside a like

    def __len__(self) -> int:
        return len(self.order)

    @classmethod
    def of(
        cls,
        mean: Floats,
        sd: Floats,
        order: Positions,
        genres: Bools,
        config: RankConfig,
        *,
        item_factors: Floats,
        genre_variance: float,
    ) -> View:
        """mean and sd (n,), order (n,) best first, genres (n, g); item_factors (n, f) of the factor model."""
        unit = unit_genres(genres)
        items = Candidates(np.arange(len(mean)), mean, sd, features(unit, genre_variance, item_factors))
        tops = genre_tops(order, genres, config.genre_pool)
        in_pool = np.zeros(len(order), dtype=bool)
        in_pool[np.concatenate([order[: config.pool], *tops])] = True
        # In this order equals do not come as in the catalogue.
        pool = order[in_pool[order]]
        return cls(items, order, items.among(pool), dislike_worth(unit.shape[1], item_factors.shape[1]))


def view_of(statistics: Statistics, genres: Bools, config: RankConfig) -> View:
    """The statistics, extended by what is expected of items (genres (n, g)) that are newer than they."""
    known = len(statistics.mean)
    # Genres that are newer than the statistics say nothing yet.
    new = genres[known:, : len(statistics.genre_rate)]
    mean = np.append(statistics.mean, of_new_items(new, statistics.genre_rate, statistics.base_rate))
    return View.of(
        mean,
        np.append(statistics.sd, of_new_items(new, statistics.genre_sd, statistics.base_sd)),
        _order(mean) if len(new) else statistics.order.astype(np.int64),
        genres,
        config,
        item_factors=np.pad(statistics.item_factors, ((0, len(new)), (0, 0))),
        genre_variance=statistics.genre_variance,
    )


def _order(mean: Floats) -> Positions:
    """Best first; equal rates in an order that has nothing to do with that of the catalogue."""
    return np.lexsort((np.random.default_rng(len(mean)).permutation(len(mean)), -mean))


class BanditModel:
    """Like rates drawn from their posterior, times what the user's taste makes of them.

    With a normal approximation (Thompson sampling: Chapelle & Li 2011). Implements Model, Scoring, Similar, Ordered,
    Embedding and Explored.
    """

    def __init__(
        self, statistics: Statistics, items: Items, config: RankConfig = DEFAULT, known_user_share: float = 1.0
    ) -> None:
        """``known_user_share``: most of the explore share for a user who has reacted."""
        self.statistics = statistics
        share = statistics.explore_share
        self.exploration = ExplorationShare(share, min(share, known_user_share))
        self._items = items
        self._config = config

    @cached_property
    def view(self) -> View:
        return view_of(self.statistics, self._items.genres, self._config)

    @property
    def order(self) -> Positions:
        return self.view.order

    @cached_property
    def item_factors(self) -> Floats:
        return by_position(self.statistics.item_factors, len(self._items))

    def dump(self) -> bytes:
        return self.statistics.dump()

    def rank(self, query: Query, eligible: Bools, k: int, rng: np.random.Generator) -> Ranked:
        view, config = self.view, self._config
        candidates = view.pool
        unseen = eligible[candidates.positions]
        if np.count_nonzero(unseen) < k:
            # This user has seen most of the pool, or k is large: go further down the order.
            candidates = view.items.among(view.order[eligible[view.order]][:k])
            unseen = np.ones(len(candidates.positions), dtype=bool)
        drawn = rng.standard_normal(len(candidates.mean), dtype=np.float32)
        scores = candidates.mean + np.float32(config.noise) * candidates.sd * drawn
        np.maximum(scores, 0, out=scores)
        taste = self._taste(query)
        if taste is not None:
            scores *= np.exp(self._lift(candidates.features, taste))
        scores[~unseen] = -1
        best = np.argpartition(-scores, k)[:k] if len(scores) > k else np.arange(len(scores))
        best = best[np.argsort(-scores[best], kind="stable")]
        return Ranked(candidates.positions[best], scores[best])

    def scores(self, query: Query, positions: Positions) -> Floats | None:
        """Logarithm of what the user's taste makes of the like rates; None without reactions."""
        taste = self._taste(query)
        return None if taste is None else self._lift(self.view.items.features[positions], taste)

    def similar(self, position: int, k: int) -> Positions:
        """By genres, as much as tastes for them vary, and by who likes them; equals by like rate.

        Empty for an item that is newer than the statistics.
        """
        if position >= len(self.statistics.mean):
            return np.zeros(0, np.int64)
        items = self.view.items
        return nearest(items.features, items.mean, position, k)

    def _taste(self, query: Query) -> Floats | None:
        """Of the user; None if he has not reacted, or if tastes are left out."""
        if self not in query.memo:
            known = self._config.taste and query.state.reacted
            query.memo[self] = taste_of(self.view, query.state) if known else None
        found: Floats | None = query.memo[self]
        return found

    def _lift(self, x: Floats, taste: Floats) -> Floats:
        """Logarithm (m,) of what the taste makes of the like rates of items with features x (m, d)."""
        most = self._config.most_lift
        lift: Floats = np.minimum(np.maximum(x @ taste, -most), most)
        return lift


def taste_of(view: View, user: UserState) -> Floats:
    """(g + f,) from what the user reacted to and what stood beside it; 0 without reactions.

    What he reacted to without having been shown it he found by himself: there the candidates stood beside it.
    """
    said = np.zeros(len(view), np.uint8)
    said[user.marked(DISLIKE)] = DISLIKE
    said[user.marked(LIKE)] = LIKE
    shown = np.zeros(len(view), np.bool_)
    shown[user.marked(SHOWN)] = True
    answered = user.answered(ANSWERED_PLACES)
    was_shown = shown[answered]
    chosen_from = [answered[was_shown]]
    if len(chosen_from[0]) < len(answered):
        candidates = view.pool.positions
        chosen_from.append(np.append(answered[~was_shown], candidates[said[candidates] == 0]))
    known = view.items
    choices = [ChoiceSet(known.features[items], known.mean[items], said[items]) for items in chosen_from]
    return fold_in(view.of_dislike, *choices)
