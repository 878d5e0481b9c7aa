"""How likely an item is to be liked when shown, how sure we are of that, and what another look at it is worth.

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

# The shares that an item can have. A few items are known to half of the users, most to one in a thousand.
REACTION_SHARES: Final[Doubles] = np.geomspace(0.001, 0.9, 28)
LIKE_SHARES: Final[Doubles] = np.linspace(0.05, 0.95, 10)


ANSWERED_LEAST: Final = 10


@dataclass(frozen=True)
class PosteriorConfig:
    """Constants of the hierarchical prior: catalogue → genre → item. What other values are worth: docs/tried.md."""

    rarity: float = 0.5  # before any event, a reaction share r is as likely as r ** -rarity, on a logarithmic scale
    base_items: float = 12.0  # items that the prior of the whole catalogue is worth
    genre_items: float = 300.0  # items that the catalogue is worth in the prior of each genre
    rounds: int = 6  # of expectation maximisation; the tenth changes no list
    places: int = 50  # an item is worth another look if it may turn out to be among the best so many


DEFAULT: Final = PosteriorConfig()


@dataclass(frozen=True)
class Posterior:
    """``mean`` and ``sd`` (n,) of every item's like rate, and what is expected of items that are not known yet.

    ``upside`` (n,): how much an item is expected to be above the ``level``, the like rate of the ``places``-th best,
    where being below counts 0: expected improvement (Mockus 1978). ``genre_rate`` and ``genre_sd`` (g,), ``base_rate``
    and ``base_sd``: like rate of an item, of this genre or without any, that was never shown.
    """

    mean: Floats
    sd: Floats
    upside: Floats
    level: float
    genre_rate: Floats
    genre_sd: Floats
    base_rate: float
    base_sd: float


@dataclass(frozen=True)
class _Share:
    """Probabilities of each of the ``grid``'s k shares: of every item (n, k), and of a new one by genre (g + 1, k).

    The last row of ``prior`` is that of items without genres.
    """

    grid: Doubles
    items: Floats
    prior: Floats


def like_rates(
    likes: NDArray[np.floating],
    dislikes: NDArray[np.floating],
    exposures: NDArray[np.floating],
    genres: Genres,
    config: PosteriorConfig = DEFAULT,
) -> Posterior:
    """Posterior of each item's like rate: share of exposures with a reaction times share of likes in these.

    likes, dislikes and exposures (n,) are decayed counts ≥ 0 with likes + dislikes ≤ exposures; genres (n, g) is
    membership. Rates are in [0, 1]; n = 0 or g = 0 is fine. The two shares are taken as independent; the distribution
    of each over the items is learned from the counts, on a grid (nonparametric empirical Bayes: Laird 1978, Koenker &
    Mizera 2014), for the catalogue and, shrunk towards it, for each genre. Learning it by likelihood keeps it right
    although the best items are shown a thousand times as often as others: pooled rates would be those of the best.
    """
    reactions = likes.astype(np.float64) + dislikes
    rare = REACTION_SHARES**-config.rarity
    even = np.ones_like(LIKE_SHARES)
    known = _share(reactions, exposures.astype(np.float64), genres, REACTION_SHARES, rare, config)
    liked = _share(likes.astype(np.float64), reactions, genres, LIKE_SHARES, even, config)
    mean, sd = _moments(known, liked, known.items, liked.items)
    prior_mean, prior_sd = _moments(known, liked, known.prior, liked.prior)
    level = _level(mean, config.places)
    like_share = liked.items @ liked.grid.astype(np.float32)
    above = np.maximum(like_share[:, None] * known.grid.astype(np.float32) - np.float32(level), 0)
    return Posterior(
        mean=mean,
        sd=sd,
        upside=np.einsum("nk,nk->n", known.items, above),
        level=level,
        genre_rate=prior_mean[:-1],
        genre_sd=prior_sd[:-1],
        base_rate=float(prior_mean[-1]),
        base_sd=float(prior_sd[-1]),
    )


def of_new_items(genres: Genres, by_genre: Floats, without: float) -> Floats:
    """(n,): what is expected of items from their genres (n, g) alone, the mean of ``by_genre`` (g,)."""
    per_item = genres.sum(axis=1)
    mean = (genres @ by_genre) / np.maximum(per_item, 1)
    return np.where(per_item > 0, mean, without).astype(np.float32)


def unanswered_weight(slates: int, answered: int, once: int, twice: int) -> float:
    """How much a slate without any reaction says, beside one with some: the chance in [0, 1] that it was looked at.

    ``once`` and ``twice`` are how many slates have one and two reactions. They tell how many were looked at and have
    none (Chao 1984, bias-corrected): in long lists all of them if all users react alike, and only a part if some react
    to everything and others to little. 1 until ANSWERED_LEAST slates were answered: then nothing is known.
    """
    if answered < ANSWERED_LEAST or slates <= answered:
        return 1.0
    silent = once * (once - 1) / (2 * (twice + 1))
    return min(1.0, silent / (slates - answered))


def _share(
    hits: Doubles, trials: Doubles, genres: Genres, grid: Doubles, weights: Doubles, config: PosteriorConfig
) -> _Share:
    """Expectation maximisation of the prior from the items that were tried, then every item's posterior."""
    base = start = (weights / weights.sum()).astype(np.float32)
    membership = _membership(genres)
    prior = np.tile(base, (membership.shape[1], 1))
    tried = np.flatnonzero(trials > 0)
    likelihood = _likelihood(hits[tried], trials[tried], grid)
    of_tried = membership[tried]
    for _ in range(config.rounds):
        posterior = _normalised(likelihood * (of_tried @ prior))
        base = (posterior.sum(axis=0) + config.base_items * start) / np.float32(len(tried) + config.base_items)
        counted = of_tried.T @ posterior
        prior = (counted + config.genre_items * base) / (counted.sum(axis=1, keepdims=True) + config.genre_items)
    items = membership @ prior
    items[tried] = _normalised(likelihood * items[tried])
    return _Share(grid, items, prior)


def _membership(genres: Genres) -> Floats:
    """(n, g + 1): an item counts in equal parts for its genres; without any it is all in the last column."""
    without = ~genres.any(axis=1, keepdims=True)
    whole = np.hstack([genres, without]).astype(np.float32)
    return np.asarray(whole / whole.sum(axis=1, keepdims=True), np.float32)


def _likelihood(hits: Doubles, trials: Doubles, grid: Doubles) -> Floats:
    """(m, k), each row up to a factor."""
    log_odds, log_miss = np.log(grid / (1 - grid)), np.log1p(-grid)
    logs = np.outer(hits, log_odds) + np.outer(trials, log_miss)
    logs -= logs.max(axis=1, keepdims=True, initial=-np.inf)
    return np.asarray(np.exp(logs), np.float32)


def _normalised(rows: Floats) -> Floats:
    return np.asarray(rows / rows.sum(axis=1, keepdims=True), np.float32)


def _moments(known: _Share, liked: _Share, of_known: Floats, of_liked: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation (n,) of the product of the two shares, of probabilities (n, k) each."""
    grids = [share.grid.astype(np.float32) for share in (known, liked)]
    mean = (of_known @ grids[0]) * (of_liked @ grids[1])
    square = (of_known @ grids[0] ** 2) * (of_liked @ grids[1] ** 2)
    return mean, np.sqrt(np.maximum(square - mean**2, 0))


def _level(mean: Floats, places: int) -> float:
    """The ``places``-th best; 0 if there are not so many."""
    return float(np.partition(mean, -places)[-places]) if len(mean) >= places else 0.0
