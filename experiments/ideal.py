"""A learner that knows of a world what no service can know: how much of its points can be learned at all.

From the same reactions as a service it learns which items are popular and what each user likes. But before the run it
knows how popularity is distributed over the items, during it which lists were looked at, and, by choice, the items'
features that tastes are about: none, or of a generated world the genres, or all of them with the hidden dimensions. It
learns at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from grader.errors import GraderError
from grader.ladder.recommenders import best
from grader.worlds.latent_taste import LatentTaste
from grader.worlds.world import Ints, World
from recsys.recommenders.bandit.posterior import Doubles, Floats
from recsys.recommenders.bandit.taste import ChoiceSet, dislike_worth, fold_in
from recsys.user_state import DISLIKE, LIKE

NEEDS_TASTES: Final = ("genres", "features")
KNOWS: Final = ("popularity", *NEEDS_TASTES)
SHARES: Final[Doubles] = np.geomspace(2e-5, 0.9, 90)  # of the users have an opinion of an item
HORIZON: Final = 0.1  # of all users; from 0.03 to 0.3 the precision differs no more than from seed to seed
MOST_LOOKS, MOST_HITS = 1_500, 400  # of the table of indices; of items with more, the same share of as many
LEVELS: Final = 80  # that indices are found between
PRIOR_LOOKS: Final = 20.0  # that the usual rate is worth where tastes are judged
OPINIONS: Final = 10.0  # that the prior of an item's like share is worth
MOST_LIFT: Final = 3.0  # of the logarithm of an index, by taste


def gittins(shares: Doubles, prior: Doubles, horizon: float, looks: int, hits: int) -> Doubles:
    """(looks + 1, hits + 1): index of an item after so many looks with so many hits, 0 where hits exceed looks.

    The sure reward per look that makes one indifferent between it and the item, with rewards discounted by
    1 - 1 / horizon per look (Gittins 1979), by dynamic programming from ``looks`` back, where the index is the mean.
    ``prior`` (s,) is the probability of each of the ``shares`` (s,), ascending in (0, 1), that an item may have.
    """
    discount = 1 - 1 / horizon
    sure = np.geomspace(shares[0] / 2, shares[-1], LEVELS)
    retired = (sure / (1 - discount))[:, None]
    table = np.zeros((looks + 1, hits + 1))
    last = _means(shares, prior, looks, hits)
    table[looks, : len(last)] = last
    value = np.maximum(last / (1 - discount), retired)
    for n in range(looks - 1, -1, -1):
        mean = _means(shares, prior, n, hits)
        width = len(mean)
        after_hit = value[:, np.minimum(np.arange(1, width + 1), value.shape[1] - 1)]
        goes_on = mean * (1 + discount * after_hit) + (1 - mean) * discount * value[:, :width]
        table[n, :width] = _crossing(sure, goes_on - retired)
        value = np.maximum(goes_on, retired)
    return table


def _means(shares: Doubles, prior: Doubles, looks: int, hits: int) -> Doubles:
    """(min(looks, hits) + 1,): mean of an item's share after so many looks and each number of hits."""
    shares, prior = shares[prior > 0], prior[prior > 0]  # one that no item has may be all that is likely
    hit = np.arange(min(looks, hits) + 1)[:, None]
    logs = hit * np.log(shares) + (looks - hit) * np.log1p(-shares)
    likely = np.exp(logs - logs.max(axis=1, keepdims=True)) * prior
    return np.asarray(likely @ shares / likely.sum(axis=1))


def _crossing(sure: Doubles, gain: Doubles) -> Doubles:
    """(w,): where each column of ``gain`` (levels, w), which falls with ``sure`` (levels,), crosses 0."""
    below = np.clip((gain > 0).sum(axis=0) - 1, 0, len(sure) - 2)
    column = np.arange(gain.shape[1])
    low, high = gain[below, column], gain[below + 1, column]
    share = np.clip(low / np.maximum(low - high, 1e-12), 0, 1)
    return np.asarray(sure[below] + share * (sure[below + 1] - sure[below]))


class Ideal:
    """Every list holds what has the highest index for the user: of its popularity, times what his taste makes of it."""

    def __init__(self, world: World, knows: str, rng: np.random.Generator) -> None:
        """``knows`` is one of KNOWS. GraderError for one of NEEDS_TASTES in a world whose tastes nobody knows."""
        self._world = world
        self._features = _features(world, knows)
        n = world.n_items
        self._looks, self._opinions, self._likes = np.zeros(n), np.zeros(n), np.zeros(n)
        self._prior_likes = OPINIONS * world.liked.mean()
        shares = np.bincount(world.opinion_items, minlength=n) / world.n_users
        edges = np.sqrt(SHARES[1:] * SHARES[:-1])
        prior = np.bincount(np.searchsorted(edges, shares), minlength=len(SHARES)) / n
        self._table = gittins(SHARES, prior, max(HORIZON * world.n_users, 2.0), MOST_LOOKS, MOST_HITS)
        self._ties = rng.random(n) * 1e-9
        self._index = self._table[0, 0] * self._prior_likes / OPINIONS + self._ties
        self._usual = float(prior @ SHARES)
        self._rates = np.full(n, self._usual, np.float32)
        # Tastes for genres decide here what there are opinions of, like all others.
        self._of_dislike = dislike_worth(0, self._features.shape[1])
        self._said: defaultdict[int, list[tuple[list[int], Ints]]] = defaultdict(list)
        self._lifts: dict[int, Floats] = {}  # of the list last shown to each user

    def recommend(self, user: int, shown: Sequence[int], k: int, at: float = 0.0) -> list[int]:
        if user not in self._said or not self._features.shape[1]:
            found = best(self._index, shown, k)
            self._lifts[user] = np.ones(len(found), np.float32)
            return found
        items = np.concatenate([items for items, _ in self._said[user]])
        marks = np.concatenate([marks for _, marks in self._said[user]])
        taste = fold_in(self._of_dislike, ChoiceSet(self._features[items], self._rates[items], marks))
        lift = np.exp(np.clip(self._features @ taste, -MOST_LIFT, MOST_LIFT))
        found = best(self._index * lift, shown, k)
        self._lifts[user] = lift[found]
        return found

    def react(self, user: int, items: Sequence[int], opinions: Mapping[int, bool], at: float = 0.0) -> None:
        shown = list(items)
        marks = np.array([(LIKE if opinions[item] else DISLIKE) if item in opinions else 0 for item in shown])
        self._said[user].append((shown, marks))
        # Shown to those whom it suits, an item has to be liked more often.
        self._looks[shown] += self._lifts[user]
        self._opinions[shown] += marks > 0
        self._likes[shown] += marks == LIKE
        looks, opinions_of_item = self._looks[shown], self._opinions[shown]
        scale = np.minimum(1, MOST_LOOKS / np.maximum(looks, 1))
        seen = np.rint(looks * scale).astype(int)
        hits = np.minimum(np.rint(opinions_of_item * scale).astype(int), np.minimum(seen, MOST_HITS))
        like_share = (self._prior_likes + self._likes[shown]) / (OPINIONS + opinions_of_item)
        self._index[shown] = self._table[seen, hits] * like_share + self._ties[shown]
        self._rates[shown] = (opinions_of_item + PRIOR_LOOKS * self._usual) / (looks + PRIOR_LOOKS)


def _features(world: World, knows: str) -> Floats:
    """(n, d), scaled to tastes of variance 1; d = 0 for who knows of popularity only."""
    if knows not in NEEDS_TASTES:
        return np.zeros((world.n_items, 0), np.float32)
    if not isinstance(world.taste, LatentTaste):
        raise GraderError(f"{world.name}: only generated worlds know what tastes are about")
    spreads = world.taste.tastes.std(axis=0)
    known = len(world.genre_names) if knows == "genres" else len(spreads)
    return np.asarray((world.taste.features * spreads)[:, :known], np.float32)
