"""How likely an item is to be liked when shown, and how sure we are of that.

A like takes two things: the user has an opinion of the item at all, and it is a good one. Both are learned apart. What
was disliked is known, and what is known to one is known to many: where most shown items get no reaction, a dislike says
more for an item than silence does. Where users react to everything, dislikes count fully against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Genres = NDArray[np.bool_]


@dataclass(frozen=True)
class PosteriorConfig:
    """Pseudo-counts of the hierarchical prior: catalogue → genre → item.

    How alike items of a genre are, the strength of the item's prior, is estimated from the data between the bounds.
    """

    base_reactions: float = 1.0
    base_exposures: float = 20.0  # with base_reactions: before any event, one shown item in twenty gets a reaction
    base_likes: float = 2.0  # and half of reactions are likes, as if this many likes and dislikes had been seen
    genre_exposures: float = 50.0
    genre_reactions: float = 20.0
    strength: float = 10.0  # until enough items were shown twice
    least_strength: float = 0.5
    most_strength: float = 200.0
    least_items: int = 20  # shown at least twice, to estimate a strength


DEFAULT: Final = PosteriorConfig()


@dataclass(frozen=True)
class Posterior:
    """``mean`` and ``sd`` (n,) of every item's like rate, ``genre_rate`` (g,) and the catalogue-wide ``base_rate``."""

    mean: Floats
    sd: Floats
    genre_rate: Floats
    base_rate: float


@dataclass(frozen=True)
class _Share:
    """Beta posterior of one share: first and second moment (n,), and the rates (g,) and () that its prior came from."""

    mean: Doubles
    square: Doubles
    genre_rate: Doubles
    base_rate: float


def like_rates(
    likes: NDArray[np.floating],
    dislikes: NDArray[np.floating],
    exposures: NDArray[np.floating],
    genres: Genres,
    config: PosteriorConfig = DEFAULT,
) -> Posterior:
    """Posterior of each item's like rate: share of exposures with a reaction times share of likes in these.

    likes, dislikes and exposures (n,) are decayed counts ≥ 0 with likes + dislikes ≤ exposures; genres (n, g) is
    membership. An item of several genres gives each an equal part of its counts. Rates are in [0, 1]; n = 0 or g = 0
    is fine. Each share is beta-binomial (Gelman et al., Bayesian Data Analysis, section 5.1) with the mean of the
    item's genres as prior mean; the two are taken as independent.
    """
    liked_times: Doubles = likes.astype(np.float64)
    reactions: Doubles = liked_times + dislikes
    c = config
    known = _share(
        reactions, exposures.astype(np.float64), genres, c.base_reactions, c.base_exposures, c.genre_exposures, c
    )
    liked = _share(liked_times, reactions, genres, c.base_likes, 2 * c.base_likes, c.genre_reactions, c)
    mean = known.mean * liked.mean
    sd = np.sqrt(np.maximum(known.square * liked.square - mean**2, 0))
    return Posterior(
        mean.astype(np.float32),
        sd.astype(np.float32),
        (known.genre_rate * liked.genre_rate).astype(np.float32),
        known.base_rate * liked.base_rate,
    )


def _share(
    hits: Doubles,
    trials: Doubles,
    genres: Genres,
    base_hits: float,
    base_trials: float,
    genre_trials: float,
    config: PosteriorConfig,
) -> _Share:
    base = float((hits.sum() + base_hits) / (trials.sum() + base_trials))
    counts = np.stack([hits, trials]) / np.maximum(genres.sum(axis=1), 1) @ genres
    genre_rate = (counts[0] + genre_trials * base) / (counts[1] + genre_trials)
    prior = prior_rates(genres, genre_rate, base)
    strength = prior_strength(hits, trials, prior, config)
    alpha, total = hits + strength * prior, trials + strength
    mean = alpha / total
    return _Share(mean, mean * (alpha + 1) / (total + 1), genre_rate, base)


def prior_rates(genres: Genres, genre_rate: NDArray[np.floating], base_rate: float) -> Doubles:
    """Rate (n,) expected of items from their genres (n, g) alone; the base rate for those without any."""
    per_item = genres.sum(axis=1)
    mean = (genres @ genre_rate.astype(np.float64)) / np.maximum(per_item, 1)
    return np.where(per_item > 0, mean, base_rate)


def prior_strength(hits: Doubles, trials: Doubles, prior: Doubles, config: PosteriorConfig = DEFAULT) -> float:
    """Pseudo-trials of the prior: few where items differ from ``prior`` (n,) by more than chance, else many.

    Moments of the beta-binomial (Kleinman 1973), over items with at least two trials: the expected value of
    (hits - trials·prior)² is trials·prior·(1 - prior)·(1 + (trials - 1) / (1 + strength)).
    """
    shown = trials >= 2
    if np.count_nonzero(shown) < config.least_items:
        return config.strength
    hits, trials, prior = hits[shown], trials[shown], prior[shown]
    chance = trials * prior * (1 - prior)
    excess = ((hits - trials * prior) ** 2 - chance).sum()
    expected = (chance * (trials - 1)).sum()
    if excess <= 0 or expected <= 0:
        return config.most_strength
    return float(np.clip(expected / excess - 1, config.least_strength, config.most_strength))
