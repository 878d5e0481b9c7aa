"""How likely an item is to be liked when shown, and how sure we are of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Genres = NDArray[np.bool_]


@dataclass(frozen=True)
class PosteriorConfig:
    """Pseudo-counts of the hierarchical prior: catalogue → genre → item."""

    base_likes: float = 1.0
    base_exposures: float = 20.0  # with base_likes: before any event, one shown item in twenty is liked
    genre_exposures: float = 50.0
    item_exposures: float = 10.0


DEFAULT: Final = PosteriorConfig()


@dataclass(frozen=True)
class Posterior:
    """``mean`` and ``sd`` (n,) of every item's like rate, ``genre_rate`` (g,) and the catalogue-wide ``base_rate``."""

    mean: Floats
    sd: Floats
    genre_rate: Floats
    base_rate: float


def like_rates(
    likes: NDArray[np.floating], exposures: NDArray[np.floating], genres: Genres, config: PosteriorConfig = DEFAULT
) -> Posterior:
    """Beta-binomial posterior of each item's like rate.

    likes (n,) and exposures (n,) are decayed counts ≥ 0 with likes ≤ exposures; genres (n, g) is membership. An item
    of several genres gives each an equal part of its counts. Rates are in [0, 1]; n = 0 or g = 0 is fine. An item
    without exposures has the mean rate of its genres, or the base rate if it has none. Gelman et al., Bayesian Data
    Analysis, section 5.1 (pseudo-counts for a beta prior).
    """
    likes, exposures = likes.astype(np.float64), exposures.astype(np.float64)
    base = float((likes.sum() + config.base_likes) / (exposures.sum() + config.base_exposures))
    per_item = np.maximum(genres.sum(axis=1), 1)
    counts = np.stack([likes / per_item, exposures / per_item]) @ genres
    genre_rate = (counts[0] + config.genre_exposures * base) / (counts[1] + config.genre_exposures)
    total = exposures + config.item_exposures
    mean = (likes + config.item_exposures * prior_rates(genres, genre_rate, base)) / total
    sd = np.sqrt(np.maximum(mean * (1 - mean), 0) / (total + 1))
    return Posterior(mean.astype(np.float32), sd.astype(np.float32), genre_rate.astype(np.float32), base)


def prior_rates(genres: Genres, genre_rate: NDArray[np.floating], base_rate: float) -> NDArray[np.float64]:
    """Like rate (n,) expected of items from their genres (n, g) alone; the base rate for those without any."""
    per_item = genres.sum(axis=1)
    mean = (genres @ genre_rate.astype(np.float64)) / np.maximum(per_item, 1)
    return np.where(per_item > 0, mean, base_rate)
