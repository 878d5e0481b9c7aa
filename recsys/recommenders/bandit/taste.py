"""What a person likes beyond what everybody likes: a factor model of logged impressions, folded in for each request.

How likely user u likes item i when shown is proportional to ``rate_i · exp(x_i·z_u)``, with the rate that the item has
for everybody, features x_i (its genres, and a few item factors that are learned) and the user's tastes z_u, independent
and normal. How much a user reacts at all says nothing about an order, so everything is judged given how many reactions
there were: which items were they (conditional logit: McFadden 1974).

Features are learned from pairs of items. By the model, two items get a reaction of the same user exp(x_i·x_j) times as
often as their rates make expect (moments of the Poisson-lognormal distribution: Aitchison & Ho 1989), so the pairs'
likelihood (composite likelihood: Varin, Reid & Firth 2011) needs no user's taste, and no item is compared with itself.
A user whom the model has never seen is one small linear system (fold-in of implicit feedback: Hu, Koren & Volinsky
2008).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import sposv
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from recsys.recommenders.bandit.posterior import Doubles, Floats
from recsys.user_state import DISLIKE, LIKE

Longs = NDArray[np.int64]


@dataclass(frozen=True)
class TasteConfig:
    """Constants of the factor model. What other values are worth: docs/tried.md."""

    factors: int = 6
    genre_variance: float = 0.5  # of tastes for genres, before anything is learned
    genre_evidence: float = 10.0  # what that is worth, as the precision of a normal prior
    factor_variance: float = 0.3
    start: float = 0.3  # standard deviation of the item factors before the first fit
    least_reactions: float = 3.0  # items with fewer have no factors
    most_items: int = 500  # that have factors: those with the most reactions
    earlier_slates: int = 4  # of the same user that each slate is paired with, beside itself
    steps: int = 200  # of the fit at most
    rows: int = 200_000  # newest impressions that a fit looks at
    least_users: int = 50


DEFAULT: Final = TasteConfig()
# A dislike is worth so much of a like as evidence of what a user has opinions of: that is what item factors tell. About
# his taste for genres it says next to nothing where people are real, and they expect it to count against them a little.
DISLIKE_WORTH: Final = 0.5
GENRE_DISLIKE_WORTH: Final = -0.1
RATES: Final = (1e-4, 0.9)  # like rates are cut to these where they divide
MOST_ATTRACTION: Final = 5.0  # x_i·x_j is cut to ± this
MOST_GENRE_VARIANCE: Final = 5.0
LEAST_TOTAL: Final = 1e-9  # divides where there is nothing to divide


@dataclass(frozen=True)
class TrainingExamples:
    """Impressions (r,) of answered slates, oldest first; empty arrays if there is none."""

    user: Longs  # numbered 0 … U - 1
    item: Longs  # position in the catalogue
    outcome: NDArray[np.uint8]  # LIKE or DISLIKE as in recsys.user_state; 0: passed over, or taken back
    slate: Longs  # ascending numbers, the same from call to call


@dataclass(frozen=True, eq=False)  # the same only as itself: nobody compares factors
class TasteModel:
    """``item_factors`` (n, f) of the items, 0 where nothing is known, and the variance of tastes learned with them."""

    item_factors: Floats
    genre_variance: float
    newest: int = -1  # number of the last slate it has learned from, if any

    @classmethod
    def untrained(cls, items: int, config: TasteConfig = DEFAULT) -> TasteModel:
        return cls(np.zeros((items, config.factors), np.float32), config.genre_variance)

    def resized(self, items: int) -> TasteModel:
        """For a catalogue that has grown to ``items``."""
        missing = items - len(self.item_factors)
        return replace(self, item_factors=np.pad(self.item_factors, ((0, missing), (0, 0)))) if missing > 0 else self


def features(unit_genres: Floats, genre_variance: float, item_factors: Floats) -> Floats:
    """(n, g + f): genres (n, g) as rows of length 1, and item factors (n, f). Scaled to tastes of variance 1."""
    return np.hstack([unit_genres * np.float32(np.sqrt(genre_variance)), item_factors])


def worth(marks: NDArray[np.integer[Any]]) -> Floats:
    """(m,) of marks as in recsys.user_state: what each says about what the user has opinions of."""
    return np.where(marks == LIKE, np.float32(1), np.where(marks == DISLIKE, np.float32(DISLIKE_WORTH), np.float32(0)))


def dislike_worth(genres: int, item_factors: int) -> Floats:
    """(g + f,): what a dislike says about the taste for each feature, beside a like."""
    return np.repeat(np.array([GENRE_DISLIKE_WORTH, DISLIKE_WORTH], np.float32), [genres, item_factors])


@dataclass(frozen=True)
class ChoiceSet:
    """Items (m,) that a user chose from, seen together, and what came of it (choice set: McFadden 1974)."""

    x: Floats  # (m, d) features
    rates: Floats  # (m,) like rates
    marks: NDArray[np.integer[Any]]  # (m,) LIKE or DISLIKE as in recsys.user_state; anything else is no reaction


def fold_in(of_dislike: Floats, *choices: ChoiceSet) -> Floats:
    """Taste (d,) of a user who made these choices; 0 for one without reactions.

    ``of_dislike`` (d,) is what a dislike says about the taste for each feature, beside a like. The first step of
    Newton's method from no taste at all.
    """
    d = len(of_dislike)
    precision, error = _identity(d).copy(), np.zeros(d, np.float32)
    for chosen in choices:
        share = np.minimum(np.maximum(chosen.rates, RATES[0]), RATES[1])  # np.clip takes three times as long
        share /= max(float(share.sum()), LEAST_TOTAL)
        beside = chosen.x - share @ chosen.x
        liked, disliked = chosen.marks == LIKE, chosen.marks == DISLIKE
        error += liked.astype(np.float32) @ beside + of_dislike * (disliked.astype(np.float32) @ beside)
        said = np.count_nonzero(liked) + DISLIKE_WORTH * np.count_nonzero(disliked)
        precision += (beside.T * (share * np.float32(said))) @ beside
    taste: Floats = sposv(precision, error)[1] if d else error
    return taste


@lru_cache(maxsize=8)
def _identity(d: int) -> Floats:
    return np.eye(d, dtype=np.float32)


def learn(
    model: TasteModel,
    examples: TrainingExamples,
    rates: Floats,
    unit_genres: Floats,
    rng: np.random.Generator,
    config: TasteConfig = DEFAULT,
) -> TasteModel:
    """The model fitted to all examples, from where it stands; itself if no slate is new to it.

    Not fitted while there are few users, or none with two reactions. rates (n,) are the items' like rates, unit_genres
    (n, g). Deterministic for the same arguments.
    """
    examples = _newest(examples, config.rows)
    if not len(examples.user) or len(np.unique(examples.user)) < config.least_users:
        return model
    if examples.slate[-1] <= model.newest:
        return model
    return _fitted(model, examples, np.clip(rates, *RATES), unit_genres, rng, config)


def _newest(examples: TrainingExamples, rows: int) -> TrainingExamples:
    kept = slice(max(len(examples.user) - rows, 0), None)
    _, user = np.unique(examples.user[kept], return_inverse=True)
    return TrainingExamples(user.astype(np.int64), examples.item[kept], examples.outcome[kept], examples.slate[kept])


@dataclass(frozen=True)
class _Evidence:
    """Impressions as sparse matrices (r, m) over the m ``items`` among them.

    A row is a user, or a slate: ``reactions`` are what its outcomes are worth, ``expected`` what they would be by the
    items' rates, with the same sum, ``total`` (r,).
    """

    items: Longs
    reactions: csr_matrix
    expected: csr_matrix
    total: Doubles

    @classmethod
    def of(cls, row: Longs, rows: int, item: Longs, outcome: NDArray[np.uint8], rates: Floats) -> _Evidence:
        items, column = np.unique(item, return_inverse=True)
        said, rate = worth(outcome).astype(np.float64), rates[item].astype(np.float64)
        total: Doubles = np.bincount(row, said, rows).astype(np.float64)
        expected = rate * (total / np.maximum(np.bincount(row, rate, rows), LEAST_TOTAL))[row]
        shape = (rows, len(items))
        return cls(items, csr_matrix((said, (row, column)), shape), csr_matrix((expected, (row, column)), shape), total)


def _fitted(
    model: TasteModel,
    examples: TrainingExamples,
    rates: Floats,
    unit: Floats,
    rng: np.random.Generator,
    config: TasteConfig,
) -> TasteModel:
    items, together, expected = _pairs(examples, rates, config)
    if not together.any():
        return model
    before = model.item_factors[items].astype(np.float64)
    # At 0 an item would stay where it is.
    start = np.where(before.any(axis=1, keepdims=True), before, config.start * rng.standard_normal(before.shape))
    genre_variance, item_factors = _attraction(together, expected, unit[items], model.genre_variance, start, config)
    everywhere = np.zeros_like(model.item_factors)
    everywhere[items] = item_factors
    return TasteModel(everywhere, genre_variance, int(examples.slate[-1]))


def _pairs(examples: TrainingExamples, rates: Floats, config: TasteConfig) -> tuple[Longs, Doubles, Doubles]:
    """Items (m,), and how often each two got a reaction of the same user: observed and expected (m, m), diagonal 0.

    Within a slate: expected is a draw without regard to taste of as many as there were. Between slates of a user, which
    the ranking chose by what he had said before: the later reactions, given the earlier ones. A slate with r reactions
    counts r times and not, with its pairs, r² times: who reacts to everything tells little.
    """
    _, first, slate = np.unique(examples.slate, return_index=True, return_inverse=True)
    user = examples.user[first]
    evidence = _Evidence.of(slate, len(first), examples.item, examples.outcome, rates)
    reacted = np.asarray(evidence.reactions.sum(axis=0)).ravel()
    most = np.argsort(-reacted, kind="stable")[: config.most_items]
    kept = np.sort(most[reacted[most] >= config.least_reactions])
    by_user = np.argsort(user, kind="stable")
    user, total = user[by_user], evidence.total[by_user]
    counted = _diagonal(np.maximum(total, 1) ** -0.5)
    said = counted @ evidence.reactions[by_user][:, kept]
    expected = counted @ evidence.expected[by_user][:, kept]
    squares = np.asarray(evidence.reactions.power(2).sum(axis=1)).ravel()[by_user]
    pairs_of_slate = _diagonal(1 - squares / np.maximum(total**2, LEAST_TOTAL))
    observed, chance = (said.T @ said).toarray(), (expected.T @ (pairs_of_slate @ expected)).toarray()
    for back in range(1, config.earlier_slates + 1):
        later = np.flatnonzero(user[back:] == user[:-back]) + back
        earlier = said[later - back].T
        for table, of_later in ((observed, said), (chance, expected)):
            between = (earlier @ of_later[later]).toarray()
            table += between + between.T
    for table in (observed, chance):
        np.fill_diagonal(table, 0)
    return evidence.items[kept], observed, chance


def _diagonal(values: Doubles) -> csr_matrix:
    return csr_matrix((values, (np.arange(len(values)), np.arange(len(values)))))


def _attraction(
    together: Doubles, expected: Doubles, unit: Floats, genre_variance: float, start: Doubles, config: TasteConfig
) -> tuple[float, Doubles]:
    """Variance of tastes for genres, and factors (m, f), under which ``together`` is most likely (L-BFGS)."""
    m, f = start.shape
    alike = (unit @ unit.T).astype(np.float64)
    np.fill_diagonal(alike, 0)
    all_pairs = together.sum()

    def loss(values: Doubles) -> tuple[float, Doubles]:
        """And its gradient, given how many pairs there are in all. Each is twice in the tables."""
        genre, factors = values[0], values[1:].reshape(m, f)
        attraction = np.clip(genre * alike + factors @ factors.T, -MOST_ATTRACTION, MOST_ATTRACTION)
        by_model = expected * np.exp(attraction)
        attracted = by_model.sum() / all_pairs
        surprise = by_model / attracted - together
        off = genre - config.genre_variance
        value = (all_pairs * np.log(attracted) - (together * attraction).sum()) / 2
        value += config.genre_evidence * off**2 / 2 + (factors**2).sum() / (2 * config.factor_variance)
        by_genre = (surprise * alike).sum() / 2 + config.genre_evidence * off
        return value, np.append(by_genre, surprise @ factors + factors / config.factor_variance)

    bounds = [(0, MOST_GENRE_VARIANCE)] + [(None, None)] * (m * f)
    first = np.append(genre_variance, start)
    found = minimize(loss, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": config.steps})
    return float(found.x[0]), found.x[1:].reshape(m, f)
