"""Generated worlds, with tastes that are known exactly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from grader.traffic import first_visits
from grader.worlds.genres import GENRE_SHARES
from grader.worlds.latent_taste import CHUNK, LatentTaste, shift_to_mean, sigmoid
from grader.worlds.synthetic_config import SyntheticConfig
from grader.worlds.world import Bools, Ints, Longs, World

Rng = np.random.Generator
Doubles = NDArray[np.float64]

# How many genres an item has that has any, from one on: shares of the movies of MovieLens latest-small.
GENRES_PER_ITEM: Final = (0.29, 0.34, 0.24, 0.10, 0.03)
# What each random stream is for, so that a change of one leaves the others as they are.
ITEMS, USERS, OPINIONS, LIKES = range(4)
CHANGE: Final = 7  # those between are of other modules


def synthetic_world(config: SyntheticConfig, seed: int) -> World:
    """A world of ``config``, the same for the same seed. Its ``taste`` is a LatentTaste.

    Default size: see docs/worlds.md for time and memory. A user has opinions on at most half the items. The users after
    the change are those who come later in the plans of the same seed.
    """
    rng = np.random.default_rng([seed, ITEMS])
    genres = _genres(config, rng)
    taste = _changed(_taste(config, genres, rng, np.random.default_rng([seed, USERS])), config, seed)
    chunks = list(_chunks(config.users))
    rngs = [np.random.default_rng([seed, OPINIONS, number]) for number in range(len(chunks))]
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:  # numpy works outside the lock
        chosen = list(pool.map(taste.choose, chunks, rngs))
    logit = np.concatenate([logit for _, logit in chosen])
    shift = np.float32(shift_to_mean(logit, config.like_share))
    return World(
        name="synthetic",
        genre_names=_names(config),
        genres=genres,
        indptr=np.concatenate([[0], np.cumsum(taste.n_opinions, dtype=np.int64)]),
        opinion_items=np.concatenate([items for items, _ in chosen]),
        liked=np.random.default_rng([seed, LIKES]).random(len(logit), dtype=np.float32) < sigmoid(logit + shift),
        parameters=asdict(config) | {"seed": seed},
        taste=replace(taste, item_logit=taste.item_logit + shift),
    )


def _genres(config: SyntheticConfig, rng: Rng) -> Bools:
    """(items, genres): how many by GENRES_PER_ITEM, which ones without replacement by GENRE_SHARES."""
    shares = np.array([GENRE_SHARES[name] for name in _names(config)])
    how_many = 1 + rng.choice(len(GENRES_PER_ITEM), size=config.items, p=GENRES_PER_ITEM)
    how_many[rng.random(config.items) < config.no_genre] = 0
    arrival = rng.standard_exponential((config.items, config.genres)) / shares
    places: Longs = arrival.argsort(axis=1).argsort(axis=1)
    return places < how_many[:, None]


def _names(config: SyntheticConfig) -> list[str]:
    """The most frequent genres first."""
    return sorted(GENRE_SHARES, key=lambda name: -GENRE_SHARES[name])[: config.genres]


def _taste(config: SyntheticConfig, genres: Bools, item_rng: Rng, user_rng: Rng) -> LatentTaste:
    log_weight = _log_weight(config, item_rng)
    factors = _unit(item_rng.standard_normal((config.items, config.factors)))
    spreads = [config.genre_taste] * config.genres + [config.factor_taste] * config.factors
    return LatentTaste(
        log_weight=log_weight.astype(np.float32)[None],
        features=np.hstack([_unit(genres), factors]).astype(np.float32),
        tastes=(user_rng.standard_normal((config.users, len(spreads))) * spreads).astype(np.float32),
        item_logit=_item_logit(config, log_weight, item_rng).astype(np.float32)[None],
        user_logit=(config.like_user * user_rng.standard_normal(config.users)).astype(np.float32),
        era=np.zeros(config.users, dtype=np.int32),
        like_taste=config.like_taste,
        n_opinions=_n_opinions(config, user_rng),
    )


def _changed(taste: LatentTaste, config: SyntheticConfig, seed: int) -> LatentTaste:
    """The same with a second era, in which some items have swapped popularity and quality.

    It is that of the half of the users who come later; of an odd number the smaller half.
    """
    rng = np.random.default_rng([seed, CHANGE])
    some = rng.permutation(config.items)[: round(config.change * config.items)]
    whose = np.tile(np.arange(config.items), (2, 1))  # of which item each has the popularity, era by era
    whose[1, some] = rng.permutation(some)
    era = np.zeros(config.users, dtype=np.int32)
    era[first_visits(config.users, seed)[(config.users + 1) // 2 :]] = 1
    return replace(taste, log_weight=taste.log_weight[0, whose], item_logit=taste.item_logit[0, whose], era=era)


def _log_weight(config: SyntheticConfig, rng: Rng) -> Doubles:
    """(items,), the best ranked at 0: Zipf's law with Mandelbrot's shift. Ranks are shuffled over the items."""
    ranks = rng.permutation(config.items)
    return np.asarray(-config.popularity * np.log1p(ranks / config.popularity_head))


def _item_logit(config: SyntheticConfig, log_weight: Doubles, rng: Rng) -> Doubles:
    """(items,), up to a constant."""
    quality = config.like_item * rng.standard_normal(config.items)
    return np.asarray(quality + config.like_popularity * log_weight)


def _n_opinions(config: SyntheticConfig, rng: Rng) -> Ints:
    """(users,): at least 1 and at most half the items."""
    median, mean = config.opinions_median - config.opinions_min, config.opinions_mean - config.opinions_min
    sigma = np.sqrt(2 * np.log(mean / median))  # the mean of a lognormal is median · exp(sigma² / 2)
    excess = median * np.exp(sigma * rng.standard_normal(config.users))
    numbers: Doubles = np.rint(config.opinions * (config.opinions_min + excess))
    return numbers.clip(1, config.items // 2).astype(np.int32)


def _unit(rows: Doubles | Bools) -> Doubles:
    """Rows of length 1; those of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1.0))


def _chunks(n: int) -> Iterator[Ints]:
    for start in range(0, n, CHUNK):
        yield np.arange(start, min(start + CHUNK, n), dtype=np.int32)
