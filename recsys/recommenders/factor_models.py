"""Models with a vector for each item. A user's vector is folded in from his own reactions, for each request."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, Final

import numpy as np
from scipy.linalg.lapack import sposv

from recsys.catalogue import Items
from recsys.recommenders.arrays import packed, unpacked
from recsys.recommenders.interactions import by_position, opinions
from recsys.recommenders.port import NOTHING, Bools, Floats, Positions, Query, Ranked, ranked_by
from recsys.recommenders.similar import unit_rows

FOLD_IN_STEPS: Final = 8
# Of a training, all but one: the services go on serving meanwhile.
THREADS: Final = max((os.cpu_count() or 1) - 1, 1)


class FactorModel(ABC):
    """Scores are ``bias_i + y_i·x``. Abstains for users of whom it knows no like; new items have vectors of zeros.

    Subclasses say what x is. ``item_factors`` (n, f), ``bias`` (n,), and numbers that training was done with.
    """

    def __init__(self, item_factors: Floats, bias: Floats, **numbers: float) -> None:
        self.item_factors = np.ascontiguousarray(item_factors, np.float32)
        self.bias = bias.astype(np.float32)
        self.numbers = numbers

    @abstractmethod
    def user_factors(self, liked: Positions, disliked: Positions) -> Floats:
        """(f,) of a user who said this; at least one like."""

    def rank(self, query: Query, eligible: Bools, k: int, rng: np.random.Generator) -> Ranked:
        user = self._user(query)
        return NOTHING if user is None else ranked_by(self.item_factors @ user + self.bias, eligible & self._known, k)

    def scores(self, query: Query, positions: Positions) -> Floats | None:
        user = self._user(query)
        return None if user is None else self.item_factors[positions] @ user + self.bias[positions]

    def similar(self, position: int, k: int) -> Positions:
        """By the angle between the vectors."""
        if not self._known[position]:
            return NOTHING.positions
        others = self._known.copy()
        others[position] = False
        return ranked_by(self._unit @ self._unit[position], others, k).positions

    def dump(self) -> bytes:
        return packed(item_factors=self.item_factors, bias=self.bias, **self.numbers)

    @classmethod
    def load(cls, blob: bytes, items: Items) -> Any:
        values = unpacked(blob)
        factors, bias = values.pop("item_factors"), values.pop("bias")
        if len(factors) > len(items):
            raise ValueError(f"factors of {len(factors)} items for a catalogue of {len(items)}")
        numbers = {name: float(value) for name, value in values.items()}
        return cls(by_position(factors, len(items)), by_position(bias, len(items)), **numbers)

    def _user(self, query: Query) -> Floats | None:
        if self not in query.memo:
            liked, disliked = opinions(query.state, len(self.item_factors))
            liked, disliked = liked[self._known[liked]], disliked[self._known[disliked]]
            query.memo[self] = self.user_factors(liked, disliked) if len(liked) else None
        found: Floats | None = query.memo[self]
        return found

    @cached_property
    def _known(self) -> Bools:
        return np.asarray(self.item_factors.any(axis=1))

    @cached_property
    def _unit(self) -> Floats:
        return unit_rows(self.item_factors)


class LeastSquaresModel(FactorModel):
    """For a user x minimises ``sum_i c_i (p_i - y_i·x)^2 + regularization |x|^2`` over all items (Hu et al. 2008).

    p is 1 for a like and 0 for all else; the confidence c is ``like`` or ``dislike`` for what he said, 1 for all else.
    """

    def user_factors(self, liked: Positions, disliked: Positions) -> Floats:
        y, z = self.item_factors[liked], self.item_factors[disliked]
        precision = self._precision + np.float32(self.numbers["like"] - 1) * (y.T @ y)
        if len(z):
            precision += np.float32(self.numbers["dislike"] - 1) * (z.T @ z)
        user: Floats = sposv(precision, np.float32(self.numbers["like"]) * y.sum(axis=0))[1]
        return user

    @cached_property
    def _precision(self) -> Floats:
        factors = self.item_factors
        prior = np.float32(self.numbers["regularization"]) * np.eye(factors.shape[1], dtype=np.float32)
        return np.asarray(factors.T @ factors + prior)


class PairwiseModel(FactorModel):
    """For a user x makes what he likes score higher than what he does not, by the logistic loss (Rendle et al. 2009).

    What he does not like is what he dislikes and a fixed sample of all items. A few steps of gradient ascent, of a
    length that cannot overshoot: the loss of a pair bends by at most a quarter of the squared distance of its items.
    """

    SAMPLE: Final = 200

    def user_factors(self, liked: Positions, disliked: Positions) -> Floats:
        others = np.concatenate([disliked, self._sample])
        y, z = self.item_factors[liked], self.item_factors[others]
        ahead = self.bias[liked][:, None] - self.bias[others]
        prior = np.float32(self.numbers["fold_in"])
        spread = (y**2).sum(axis=1).mean() + (z**2).sum(axis=1).mean() - 2 * y.mean(axis=0) @ z.mean(axis=0)
        step = 1 / (prior + 0.25 * len(liked) * spread)
        user = np.zeros(y.shape[1], np.float32)
        for _ in range(FOLD_IN_STEPS):
            wrong = 1 / (1 + np.exp(ahead + (y @ user)[:, None] - z @ user)) / len(others)
            user += step * (wrong.sum(axis=1) @ y - wrong.sum(axis=0) @ z - prior * user)
        return user

    @cached_property
    def _sample(self) -> Positions:
        known = np.flatnonzero(self._known)
        return np.random.default_rng(0).choice(known, min(self.SAMPLE, len(known)), replace=False)
