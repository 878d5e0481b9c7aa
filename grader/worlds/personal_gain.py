"""How much better a world's users are served by a simple personal model than by what everybody likes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

from grader.worlds.world import Bools, Longs, World

CHUNK: Final = 100  # users whose scores are in memory together: 20 MB a matrix at 24,500 items


@dataclass(frozen=True)
class GainConfig:
    """Of the measurement."""

    users: int = 1000  # that lists are made for: the standard error of a precision is then below 0.01
    likes: int = 10  # a user with fewer is not asked: half of them must say something about taste
    factors: int = 16  # of the model: best of 4, 8, 16, 32 and 64 on MovieLens latest-small
    k: int = 10  # length of a list


@dataclass(frozen=True)
class PersonalGain:
    """Precision at k of both lists on the hidden half of the likes; 0 users where nobody has enough likes."""

    users: int
    popular: float
    personal: float

    @property
    def ratio(self) -> float:
        """personal / popular; 1 if neither finds anything, infinite if only the personal one does."""
        if self.popular:
            return self.personal / self.popular
        return float("inf") if self.personal else 1.0


def personal_gain(world: World, seed: int, config: GainConfig | None = None) -> PersonalGain:
    """Hides half the likes of some users and recommends k items to each, popular ones and personal ones.

    popular: most liked in what is not hidden. personal: highest in the truncated SVD of the matrix of likes that are
    not hidden (PureSVD: Cremonesi, Koren, Turrin 2010). Neither recommends an item of the known half. A world with
    fewer than 2 users or items has nothing to measure.
    """
    config = config or GainConfig()
    rng = np.random.default_rng([seed, 0])
    enough = np.flatnonzero(world.likes_per_user >= config.likes)
    asked = np.sort(rng.permutation(enough)[: config.users])
    if not len(asked) or min(world.n_users, world.n_items) < 2:
        return PersonalGain(0, 0.0, 0.0)
    hidden = _half(world, asked, rng)
    known, truth = _matrix(world, world.liked & ~hidden), _matrix(world, hidden)
    likes = np.asarray(known.sum(axis=0)).ravel()
    popularity = np.empty((1, world.n_items))  # by place, so that no two are equal
    popularity[0, np.argsort(-likes, kind="stable")] = -np.arange(world.n_items)
    vectors = _item_vectors(known, config.factors)
    hits = np.zeros(2)
    for users in np.array_split(asked, -(-len(asked) // CHUNK)):
        seen, good = known[users].toarray() > 0, truth[users].toarray() > 0
        personal = (known[users] @ vectors.T) @ vectors
        hits += [_hits(popularity, seen, good, config.k), _hits(personal, seen, good, config.k)]
    popular, personal = hits / (len(asked) * config.k)
    return PersonalGain(len(asked), float(popular), float(personal))


def _half(world: World, users: Longs, rng: np.random.Generator) -> Bools:
    """(opinions,): half of the likes of ``users``, rounded down."""
    order = np.lexsort((rng.random(len(world.liked)), ~world.liked, world.opinion_users))
    place = np.empty(len(order), dtype=np.int64)  # among the user's opinions, likes first, in random order
    place[order] = np.arange(len(order)) - world.indptr[:-1][world.opinion_users]
    asked = np.zeros(world.n_users, dtype=np.bool_)
    asked[users] = True
    half = np.where(asked, world.likes_per_user // 2, 0)
    return place < half[world.opinion_users]


def _matrix(world: World, which: Bools) -> csr_matrix:
    """(users, items) of the opinions ``which``: 1 where there is one."""
    users, items = world.opinion_users[which], world.opinion_items[which]
    return csr_matrix((np.ones(len(users)), (users, items)), shape=(world.n_users, world.n_items))


def _item_vectors(matrix: csr_matrix, factors: int) -> NDArray[np.float64]:
    """(factors, items): leading right singular vectors, all of them if there are fewer."""
    factors = min(factors, min(matrix.shape) - 1)
    start = np.ones(min(matrix.shape))  # the solver would draw one from the process's random state
    _, _, vectors = svds(matrix, k=factors, v0=start)
    return np.asarray(vectors)


def _hits(scores: NDArray[np.float64], seen: Bools, good: Bools, k: int) -> int:
    """How many of the k highest scores (users, items) not ``seen`` are ``good``; of all if there are fewer."""
    best = np.argpartition(np.where(seen, -np.inf, scores), -min(k, len(seen[0])), axis=1)[:, -k:]
    return int(np.take_along_axis(good, best, axis=1).sum())
