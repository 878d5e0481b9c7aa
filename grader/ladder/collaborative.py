"""The collaborative oracle: knows all opinions of the others, and of this user only what he says in the run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, svds

from grader.ladder.recommenders import best, without
from grader.worlds.world import Ints, World

FACTORS: Final = 32
CANDIDATES: Final = 4_000  # the most liked items of the crowd; no taste lifts one of the others into ten
FOLDS: Final = 4  # a user's own opinions are in the crowd of no fold that predicts him


@dataclass(frozen=True)
class Crowd:
    """Likes of others as probability (items,), factors (items, f) for tastes of variance 1, and noise (items,).

    Without factors (f = 0) nothing that a user says changes what is expected of him. ``candidates``: (n,) the items
    worth recommending, most liked first.
    """

    candidates: np.ndarray
    rate: np.ndarray
    factors: np.ndarray
    noise: np.ndarray


class CollaborativeOracle:
    """The posterior mean of a Gaussian factor model of likes, fold by fold (Tipping & Bishop 1999).

    A like is rate_i + factors_i z + noise_i, with z ~ N(0, 1) of this user; every item of a list to which the
    user could react is an observation of it, 1 if he liked it, else 0.
    """

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self._fold = rng.integers(0, FOLDS, world.n_users)
        self._crowds = [learn(likes_matrix(world, self._fold != fold), rng) for fold in range(FOLDS)]
        self._seen: defaultdict[int, list[int]] = defaultdict(list)
        self._liked: defaultdict[int, list[bool]] = defaultdict(list)

    def recommend(self, user: int, shown: Sequence[int], k: int, at: float = 0.0) -> list[int]:
        crowd = self._crowds[self._fold[user]]
        expected = expected_likes(crowd, self._seen[user], self._liked[user])
        # Enough for k that are new, best first.
        top = best(expected, [], min(k + len(shown), len(expected)))
        return without(crowd.candidates[top], shown)[:k]

    def react(self, user: int, items: Sequence[int], opinions: Mapping[int, bool], at: float = 0.0) -> None:
        self._seen[user].extend(items)
        self._liked[user].extend(opinions.get(item, False) for item in items)


def likes_matrix(world: World, users: np.ndarray) -> csr_matrix:
    """Likes of the users chosen by the mask (users,), as rows; others are left out."""
    chosen = world.liked & users[world.opinion_users]
    row = (np.cumsum(users) - 1)[world.opinion_users[chosen]]
    shape = (int(users.sum()), world.n_items)
    return csr_matrix((np.ones(int(chosen.sum()), np.float32), (row, world.opinion_items[chosen])), shape=shape)


def learn(likes: csr_matrix, rng: np.random.Generator) -> Crowd:
    """Principal components of the centred likes; what they leave of each item's variance is noise.

    No factors where there are none: of fewer than two users or items, or if all like the same.
    """
    users = max(likes.shape[0], 1)
    rate = np.asarray(likes.sum(axis=0)).ravel() / users
    variance = rate * (1 - rate)
    factors = _factors(likes, rate, rng) if variance.any() and len(rate) > 1 else np.zeros((len(rate), 0))
    # Half an observation keeps the noise of items that nobody liked above 0.
    noise = np.maximum(variance - (factors**2).sum(axis=1), 0.5 / users)
    candidates = np.argsort(-rate, kind="stable")[:CANDIDATES]
    return Crowd(candidates, rate.astype(np.float32), factors.astype(np.float32), noise)


def _factors(likes: csr_matrix, rate: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(items, f), at most FACTORS; 0 for those beyond the rank of the likes."""
    users, items = likes.shape
    transposed = likes.T.tocsr()
    centred = LinearOperator(
        likes.shape,
        matvec=lambda x: likes @ x.ravel() - rate @ x.ravel(),
        rmatvec=lambda y: transposed @ y.ravel() - rate * y.sum(),
        dtype=np.float64,
    )
    count = min(FACTORS, users - 1, items - 1)
    _, size, components = svds(
        centred, k=count, v0=rng.standard_normal(min(users, items)), return_singular_vectors="vh"
    )
    return np.asarray(components.T * (size / np.sqrt(users)))


def expected_likes(crowd: Crowd, seen: Ints | Sequence[int], liked: Sequence[bool]) -> np.ndarray:
    """(candidates,): how likely he likes each, given what he said of the items seen; the crowd's rate if nothing."""
    rate: np.ndarray = crowd.rate[crowd.candidates]
    if not len(seen):
        return rate
    factors = crowd.factors[seen]
    weighted = factors.T / crowd.noise[seen]
    precision = np.eye(factors.shape[1]) + weighted @ factors
    taste = np.linalg.solve(precision, weighted @ (np.asarray(liked) - crowd.rate[seen]))
    return np.asarray(rate + crowd.factors[crowd.candidates] @ taste.astype(np.float32))
