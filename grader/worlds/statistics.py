"""What a world is like: how opinions, likes and genres are spread, and what personal taste adds to popularity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from grader.metrics.variety import gini
from grader.worlds.personal_gain import PersonalGain, personal_gain
from grader.worlds.world import Ints, World

Doubles = NDArray[np.float64]

CURVE_SHARES: Final = (0.01, 0.05, 0.10, 0.20, 0.50)  # of the items, most liked first


@dataclass(frozen=True)
class Spread:
    """Of one number per user: 5th percentile, median, mean, 95th percentile."""

    p5: float
    median: float
    mean: float
    p95: float


@dataclass(frozen=True)
class WorldStatistics:
    """Shares are from 0 to 1; see the function of the same name for each."""

    items: int
    users: int
    opinions: int
    liked_share: float
    opinions_per_user: Spread
    likes_per_user: Spread
    never_liked_share: float
    popularity_curve: tuple[float, ...]
    gini: float
    genres_per_item: float
    no_genre_share: float
    genre_affinity: float
    oracle_precision: float
    personal: PersonalGain


def world_statistics(world: World, seed: int = 0) -> WorldStatistics:
    """All of them, in some seconds for the default world. The same world and seed give the same numbers."""
    likes = world.likes_per_item
    return WorldStatistics(
        items=world.n_items,
        users=world.n_users,
        opinions=len(world.liked),
        liked_share=_mean(world.liked),
        opinions_per_user=spread(np.diff(world.indptr)),
        likes_per_user=spread(world.likes_per_user),
        never_liked_share=1 - _mean(np.sign(likes)),
        popularity_curve=popularity_curve(likes),
        gini=gini(likes) if likes.any() else 0.0,
        genres_per_item=_mean(world.genres.sum(axis=1)),
        no_genre_share=_mean(world.genres.sum(axis=1) == 0),
        genre_affinity=genre_affinity(world),
        oracle_precision=oracle_precision(world),
        personal=personal_gain(world, seed),
    )


def spread(values: NDArray[np.integer]) -> Spread:
    """values: (users,). All 0 if there are no users."""
    if not len(values):
        return Spread(0.0, 0.0, 0.0, 0.0)
    p5, median, p95 = np.percentile(values, [5, 50, 95])
    return Spread(float(p5), float(median), float(values.mean()), float(p95))


def popularity_curve(likes: Ints, shares: Sequence[float] = CURVE_SHARES) -> tuple[float, ...]:
    """The share of all likes that the most liked ``share`` of the items have, for each of ``shares``.

    likes: (items,), how many users like each. A share of the items is rounded up to whole items. Equal to ``shares``
    (up to rounding) where all items are liked equally; all 0 if nothing is liked.
    """
    total = likes.sum()
    if not total:
        return tuple(0.0 for _ in shares)
    running = np.cumsum(np.sort(likes)[::-1])
    return tuple(float(running[int(np.ceil(len(likes) * share)) - 1] / total) for share in shares)


def genre_affinity(world: World) -> float:
    """How much more alike in genre two likes of one user are than a like of his and a like of anybody.

    With the genres of an item as a row of length 1, likeness is the cosine. The mean over users of (mean cosine of
    all pairs of different likes), divided by the mean over users of (mean cosine of his likes and all likes of all
    users). Both count an item by how liked it is, so popularity alone gives 1; more is taste for genres. Users with
    fewer than two likes do not count; 1 if nobody has two, or no item has genres.
    """
    norms = np.sqrt(world.genres.sum(axis=1, keepdims=True))
    rows = (world.genres / np.maximum(norms, 1.0))[world.opinion_items[world.liked]]
    likers = world.opinion_users[world.liked]
    sums = _sum_by(likers, rows, world.n_users)
    selves = np.bincount(likers, weights=(rows**2).sum(axis=1), minlength=world.n_users)
    counts = world.likes_per_user.astype(np.float64)
    some = counts >= 2
    sums, selves, counts = sums[some], selves[some], counts[some]
    within = ((sums**2).sum(axis=1) - selves) / (counts * (counts - 1))
    anybody = sums @ rows.mean(axis=0) / counts if len(rows) else counts
    return float(within.mean() / anybody.mean()) if anybody.any() else 1.0


def oracle_precision(world: World, lists: int = 3, k: int = 10) -> float:
    """Likes per place of lists that show every user the same most liked items, 10 new ones each time.

    What a service could reach that knew every item's popularity from the start, and nothing about users. 0 without
    users. Ties go to the lower item number.
    """
    shown = np.zeros(world.n_items, dtype=np.bool_)
    shown[np.argsort(-world.likes_per_item, kind="stable")[: lists * k]] = True
    hits = (shown[world.opinion_items] & world.liked).sum()
    return float(hits / max(world.n_users * lists * k, 1))


def _sum_by(groups: Ints, rows: Doubles, n: int) -> Doubles:
    """(n, columns): the sum of the rows (m, columns) of each group."""
    columns = [np.bincount(groups, weights=column, minlength=n) for column in rows.T]
    return np.stack(columns, axis=1) if columns else np.zeros((n, 0))


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else 0.0
