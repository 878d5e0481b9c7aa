"""Users with known tastes, and the opinions they form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from grader.worlds.world import Floats, Ints

CHUNK: Final = 64  # users whose weights are in memory together, several times: 6 MB a matrix at 24,500 items
MAX_STEPS: Final = 50  # of Newton's method; 3 to 6 are usual
SAMPLE_STEP: Final = 8  # every eighth arrival tells where the bound is
MAX_SHIFT: Final = 32.0  # logit: float32 has no chances beyond
TOLERANCE: Final = 1e-3  # of the expected number of opinions


@dataclass(frozen=True)
class LatentTaste:
    """Every user's weight for choosing an item, and log odds of liking a chosen one.

    log_weight (eras, items): how much an item draws everybody. features (items, d) and tastes (users, d): their product
    is what an item draws a user more or less than others. item_logit (eras, items), user_logit (users,) and like_taste
    times that product: the log odds of a like. era (users,): which rows of the former two hold for the user.
    n_opinions (users,): how many items a user chooses.
    """

    log_weight: Floats
    features: Floats
    tastes: Floats
    item_logit: Floats
    user_logit: Floats
    era: Ints
    like_taste: float
    n_opinions: Ints

    def like_probability(self, users: Ints) -> Floats:
        """(n, items): the chance that a user of ``users`` (n,) has an opinion on the item and it is a like.

        Liking is exact. Having an opinion is the chance of being among the user's ``n_opinions`` draws without
        replacement, 1 - exp(-t * weight) with t such that the chances add up to that number, to a thousandth (Rosén
        1972); so a row adds up to the likes to expect of the user.
        """
        out = np.empty((len(users), len(self.features)), dtype=np.float32)
        for start in range(0, len(users), CHUNK):
            self._like_probability(users[start : start + CHUNK], out[start : start + CHUNK])
        return out

    def _like_probability(self, users: Ints, out: Floats) -> None:
        own = self._own(users)
        era = self.era[users]
        weight = np.exp(self.log_weight[era] + own)
        _arrived(weight, _race_length(weight, self.n_opinions[users]), out)
        own *= self.like_taste
        own += self.item_logit[era]
        own += self.user_logit[users, None]
        out *= sigmoid(own)

    def choose(self, users: Ints, rng: np.random.Generator) -> tuple[Ints, Floats]:
        """The items of the opinions of ``users`` (n,), user by user and ascending, and the log odds of liking each.

        Items race: arrival is exponential with the weight as rate, and the first ones are chosen, which is drawing
        without replacement with chances proportional to the weights (Efraimidis, Spirakis 2006).
        """
        own = self._own(users)
        era = self.era[users]
        arrival = rng.standard_exponential(own.shape, dtype=np.float32)
        arrival *= np.exp(-self.log_weight[era] - own)
        lengths = self.n_opinions[users]
        items = np.concatenate([_first(row, n) for row, n in zip(arrival, lengths, strict=True)])
        rows = np.repeat(np.arange(len(users)), lengths)
        logit = self.item_logit[era[rows], items] + self.user_logit[users[rows]] + self.like_taste * own[rows, items]
        return items, logit

    def _own(self, users: Ints) -> Floats:
        own: Floats = self.tastes[users] @ self.features.T
        return own


def sigmoid(logit: Floats) -> Floats:
    chance = np.exp(-logit)
    chance += 1
    return np.divide(1, chance, out=chance)


def shift_to_mean(logit: Floats, mean: float) -> float:
    """What to add to ``logit`` (n > 0,) so that the chances have this ``mean``, to a millionth of the log odds."""
    low, high = -MAX_SHIFT, MAX_SHIFT
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if sigmoid(logit + np.float32(middle)).mean() < mean else (low, middle)
    return (low + high) / 2


def _race_length(weight: Floats, n: Ints) -> Floats:
    """(users,): how long the races of ``weight`` (users, items) last until ``n`` (users,) arrivals are to be expected.

    Newton's method from below: arrivals are a concave function of the length, so no step goes too far.
    """
    target = n.astype(np.float32)
    length: Floats = target / weight.sum(axis=1)  # too short: as if an item could arrive more than once
    arrived = np.empty_like(weight)
    for _ in range(MAX_STEPS):
        expected = _arrived(weight, length, arrived).sum(axis=1)
        if np.allclose(expected, target, rtol=TOLERANCE):
            break
        np.subtract(1, arrived, out=arrived)
        length += (target - expected) / np.einsum("ui,ui->u", weight, arrived)
    return length


def _arrived(weight: Floats, length: Floats, out: Floats) -> Floats:
    """(users, items) in ``out``: the chance to have arrived by ``length`` (users,)."""
    np.multiply(weight, -length[:, None], out=out)
    np.expm1(out, out=out)
    return np.negative(out, out=out)


def _first(arrival: Floats, n: int) -> Ints:
    """The ``n`` <= len(arrival) items that arrive first, ascending.

    Seven times as fast as by argpartition alone: sorts only those before a bound that, by a sample, about 1.5 n keep.
    """
    sample = arrival[::SAMPLE_STEP]
    place = min(int(1.5 * n / SAMPLE_STEP) + 10, len(sample) - 1)
    early = np.flatnonzero(arrival <= np.partition(sample, place)[place])
    if len(early) < n:
        early = np.arange(len(arrival))
    return early[np.sort(np.argpartition(arrival[early], n - 1)[:n])].astype(np.int32)
