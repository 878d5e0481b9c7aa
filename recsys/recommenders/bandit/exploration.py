"""What to show in order to learn: which items deserve a place of their own, and how many places there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recsys.recommenders.bandit.posterior import Posterior

Positions = NDArray[np.int64]
NEVER: Final = 0.5  # time-decayed impressions: what was shown once is unknown again after one half-life


@dataclass(frozen=True)
class ExploreConfig:
    """Shares of the places of each list. What other values are worth: docs/tried.md."""

    least: float = 0.2  # as long as there is an item that was never shown
    unknown: float = 0.6  # beyond that, times the share of the catalogue that was never shown
    looks: float = 0.15  # once everything was shown: for second looks at what may have been misjudged
    interleave: float = 0.3  # share of the queue, below 1, that are second looks while there are items never shown
    horizon: float = 0.05  # a find will be of use in this many lists, of those served so far
    known_user: float = 0.3  # most of the places of a user who has reacted: it is his list


DEFAULT: Final = ExploreConfig()


def never_shown(impressions: NDArray[np.floating]) -> NDArray[np.bool_]:
    return np.asarray(impressions < NEVER)


def explore_share(impressions: NDArray[np.floating], config: ExploreConfig = DEFAULT) -> float:
    """Share of a list's places for the exploration queue, from time-decayed impressions (n,); 0 for n = 0."""
    new = never_shown(impressions)
    if not len(new):
        return 0.0
    return float(min(1.0, config.least + config.unknown * new.mean())) if new.any() else config.looks


def exploration_queue(
    posterior: Posterior,
    impressions: NDArray[np.floating],
    lists: int,
    size: int,
    rng: np.random.Generator,
    config: ExploreConfig = DEFAULT,
) -> Positions:
    """Up to ``size`` positions, the most promising first: what was never shown, mixed with what deserves another look.

    impressions (n,) are time-decayed; ``lists`` is how many were served so far. Another look pays if what is gained by
    a find, over as many more lists as one may hope for, outweighs the place that it takes from the best known items.
    Promising is a high upside; equals are in random order.
    """
    new = never_shown(impressions)
    upside = posterior.upside
    gain = upside * np.float32(config.horizon * lists) if config.looks else np.zeros_like(upside)
    looks = ~new & (posterior.mean < posterior.level) & (gain > posterior.level - posterior.mean)
    order = np.lexsort((rng.random(len(upside)), -upside))
    first, second = order[new[order]], order[looks[order]]
    if not len(first) or not len(second) or not config.interleave:
        return np.concatenate([first, second])[:size]
    turn = np.concatenate([
        np.arange(len(first)) / (1 - config.interleave),
        np.arange(len(second)) / config.interleave,
    ])  # fmt: skip
    return np.concatenate([first, second])[np.argsort(turn, kind="stable")][:size]
