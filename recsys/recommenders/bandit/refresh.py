"""From counts and catalogue to statistics of the items. Pure: the same counts and catalogue give the same ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.recommenders.bandit.config import BanditConfig
from recsys.recommenders.bandit.counts import Counts
from recsys.recommenders.bandit.exploration import exploration_queue, explore_share
from recsys.recommenders.bandit.posterior import Posterior, like_rates, unanswered_weight
from recsys.recommenders.bandit.statistics import Statistics
from recsys.recommenders.bandit.taste import TasteModel
from recsys.recommenders.port import Bools, Floats, Positions


@dataclass(frozen=True)
class Refreshed:
    """What was computed: the statistics, and what the exploration queue is made of."""

    statistics: Statistics
    posterior: Posterior
    impressions: Floats  # (n,) time-decayed
    lists: int  # served so far

    def queue(self, size: int, rng: np.random.Generator, config: BanditConfig) -> Positions:
        """Up to ``size`` positions, the most promising first."""
        return exploration_queue(self.posterior, self.impressions, self.lists, size, rng, config.explore)


def compute(
    counts: Counts, genres: Bools, taste: TasteModel, config: BanditConfig, rng: np.random.Generator
) -> Refreshed:
    """Statistics of the n items with genres (n, g), in an order in which equal like rates are as ``rng`` draws them."""
    counts.resize(len(genres))
    taste = taste.resized(len(genres))
    likes, dislikes, impressions, answered, before = counts.decayed()
    slates = counts.slates.totals()
    weight = np.float32(unanswered_weight(*slates) if config.answers else 1.0)
    exposures = answered + weight * (impressions - answered) + before
    posterior = like_rates(likes, dislikes, exposures, genres, config.posterior)
    order = np.lexsort((rng.permutation(len(genres)), -posterior.mean)).astype(np.int32)
    statistics = Statistics(
        mean=posterior.mean,
        sd=posterior.sd,
        order=order,
        genre_rate=posterior.genre_rate,
        genre_sd=posterior.genre_sd,
        base_rate=posterior.base_rate,
        base_sd=posterior.base_sd,
        explore_share=explore_share(impressions, config.explore),
        item_factors=taste.item_factors,
        genre_variance=taste.genre_variance,
    )
    return Refreshed(statistics, posterior, impressions, slates[0])
