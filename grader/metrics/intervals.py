"""95 % confidence intervals by resampling users: all requests of one user belong together (Efron 1979)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from grader.worlds.world import Ints

REPEATS: Final = 1_000
PERCENT: Final = (2.5, 97.5)
WEIGHTS_AT_ONCE: Final = 5_000_000  # bounds the memory of resampling to some tens of megabytes
Values = np.ndarray  # float64


@dataclass(frozen=True)
class Measured:
    """A value and ``repeats`` (REPEATS,): what it would have been in each resample of the users.

    The r-th repeats of all metrics of one run come from the same resample, and two runs with the same users and seed
    have the same resamples; so repeats can be combined and subtracted. NaN where nothing was measured.
    """

    value: float
    repeats: Values

    @property
    def interval(self) -> tuple[float, float]:
        """Bounds of the 95 % percentile interval."""
        known = self.repeats[~np.isnan(self.repeats)]
        if np.isnan(self.value) or not len(known):
            return float("nan"), float("nan")
        low, high = np.percentile(known, PERCENT)
        return float(low), float(high)


def resamples(n_users: int, seed: int) -> Iterator[Values]:
    """Chunks (some, n_users), REPEATS rows in all: how often each resample drew each user."""
    rows = max(1, WEIGHTS_AT_ONCE // max(n_users, 1))
    for start in range(0, REPEATS, rows):
        yield _weights(n_users, seed)[start : start + rows].astype(np.float64)


@lru_cache(maxsize=2)  # all metrics of a run ask for the same; one byte each: 18 MB for 18,000 users
def _weights(n_users: int, seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng([seed, 2])
    weights = np.empty((REPEATS, n_users), np.uint8)
    for row in weights:
        row[:] = np.bincount(rng.integers(0, max(n_users, 1), n_users), minlength=n_users).clip(max=255)
    return weights


def of_means(user: Ints, values: Values, seed: int) -> list[Measured]:
    """The mean of each column of ``values`` (rows, m); ``user`` (rows,) says whose row each is, NaN is left out."""
    known = ~np.isnan(values)
    return of_ratios(user, np.where(known, values, 0), known, seed)


def of_ratios(user: Ints, numerators: Values, denominators: Values, seed: int) -> list[Measured]:
    """Sum of each column of ``numerators`` (rows, m) by that of ``denominators``; NaN where that is 0."""
    present, number = np.unique(user, return_inverse=True)
    above, below = np.zeros((2, len(present), numerators.shape[1]))
    np.add.at(above, number, numerators)
    np.add.at(below, number, denominators)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = above.sum(axis=0) / below.sum(axis=0)
        repeats = np.concatenate([(w @ above) / (w @ below) for w in resamples(len(present), seed)])
    return [Measured(float(ratio), column) for ratio, column in zip(ratios, repeats.T, strict=True)]


def of_wholes(value: Values, made: Values, seed: int) -> list[Measured]:
    """Metrics of all lists together: ``value`` (m,), and (users, m) the difference that each user makes to them.

    Resampling users as such would be wrong for them: it draws some users twice and others never, and so sees fewer
    different items than there were. Instead each draw of a user adds the difference that the user made, which has the
    variance of the jackknife (Tukey 1958) and the same resamples as ``of_means``. Repeats are cut to 0 to 1.
    """
    centred = made - made.mean(axis=0)
    repeats = np.concatenate([value + (w - 1) @ centred for w in resamples(len(made), seed)]).clip(0, 1)
    return [Measured(float(v), column) for v, column in zip(value, repeats.T, strict=True)]


def of_percentiles(user: Ints, values: Values, percents: tuple[float, ...], seed: int) -> list[Measured]:
    """Percentiles of ``values`` (rows,), at least one: the smallest value that so many percent do not exceed."""
    order = np.argsort(values)
    ordered = values[order]
    number = np.unique(user, return_inverse=True)[1][order]
    shares = np.array(percents) / 100

    def places(weight: Values) -> Values:
        upto = np.cumsum(weight[number])
        return np.asarray(np.searchsorted(upto, shares * upto[-1]))

    chunks = resamples(int(number.max()) + 1, seed)
    repeats = ordered[np.array([places(weight) for chunk in chunks for weight in chunk])]
    value = ordered[places(np.ones(int(number.max()) + 1))]
    return [Measured(float(v), column) for v, column in zip(value, repeats.T, strict=True)]
