"""What a person likes beyond what everybody likes: a factor model of logged impressions, folded in for each request.

How likely user u likes item i when shown is ``rate_i · exp(x_i·z_u)``, with the rate that the item has for everybody,
features x_i (its genres, a few loadings that are learned, and one that all items share) and tastes z_u of the user,
normally distributed. The taste for what all items share is the user's activity: who reacts to much is not drawn to
whatever he was shown, so it is estimated with the others and then left out. Around
z = 0 the relative error of the rate, (outcome - rate) / rate, is linear in z with noise of variance 1/weight, so a
user's taste has a closed form (probabilistic principal components: Tipping & Bishop 1999; fold-in of implicit feedback:
Hu, Koren & Volinsky 2008). A user whom the model has never seen is one small linear system.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.ranking.posterior import Doubles, Floats
from recsys.user_state import DISLIKE, LIKE

Longs = NDArray[np.int64]


@dataclass(frozen=True)
class TasteConfig:
    """Constants of the factor model. Chosen by docs/quality.md."""

    factors: int = 4
    genre_variance: float = 0.5  # of tastes for genres, before anything is learned
    loading_variance: float = 0.3
    start: float = 0.1  # standard deviation of the loadings before the first round
    doubt: float = 20.0  # evidence that the model must outweigh before its word counts half
    memory: float = 0.98  # of that evidence, kept from fit to fit
    rounds: int = 2  # of expectation maximisation for a fit that goes on from the last one
    first_rounds: int = 8
    rows: int = 200_000  # newest impressions that a fit looks at
    least_users: int = 50


DEFAULT: Final = TasteConfig()
DISLIKE_WORTH: Final = 0.5  # of a like: who has an opinion at all is drawn to that kind, as experiments say
ACTIVITY_VARIANCE: Final = 1.0  # over users, of the logarithm of how much they react to
RATES: Final = (1e-4, 0.9)  # like rates are cut to these where they divide


@dataclass(frozen=True)
class Lessons:
    """Impressions (r,) of answered slates, oldest first; empty arrays if there is none."""

    user: Longs  # numbered 0 … U - 1
    item: Longs  # position in the catalogue
    outcome: NDArray[np.uint8]  # LIKE or DISLIKE as in recsys.user_state; 0: passed over, or taken back
    slate: Longs  # ascending numbers, the same from call to call


@dataclass(frozen=True)
class TasteModel:
    """``loadings`` (n, f) of the items, 0 where nothing is known, and the variances learned with them."""

    loadings: Floats
    genre_variance: float
    loading_variance: float
    trained: bool = False
    agreement: float = 0.0  # how far liked items were predicted above their slate; a sum over slates new to the model
    power: float = 0.0  # what that sum would be if predictions held to the letter
    judged: int = -1  # number of the last slate in these sums

    @classmethod
    def untrained(cls, items: int, config: TasteConfig = DEFAULT) -> TasteModel:
        return cls(np.zeros((items, config.factors), np.float32), config.genre_variance, config.loading_variance)

    def blend(self, config: TasteConfig = DEFAULT) -> float:
        """How far to follow the model, 0 to 1: the scale at which its predictions hold best, shrunk by doubt."""
        return float(np.clip(self.agreement / (self.power + config.doubt), 0, 1))

    def resized(self, items: int) -> TasteModel:
        """For a catalogue that has grown to ``items``."""
        missing = items - len(self.loadings)
        return replace(self, loadings=np.pad(self.loadings, ((0, missing), (0, 0)))) if missing > 0 else self


def features(unit_genres: Floats, genre_variance: float, loadings: Floats) -> Floats:
    """(n, 1 + g + f): activity, genres (n, g) as rows of length 1, loadings (n, f). Scaled to tastes of variance 1."""
    activity = np.full((len(unit_genres), 1), np.sqrt(ACTIVITY_VARIANCE), np.float32)
    return np.hstack([activity, unit_genres * np.float32(np.sqrt(genre_variance)), loadings])


def worth(marks: NDArray[np.integer[Any]]) -> Floats:
    """(m,) of marks as in recsys.user_state: what each says as a like, 0 to 1."""
    return np.where(marks == LIKE, np.float32(1), np.where(marks == DISLIKE, np.float32(DISLIKE_WORTH), np.float32(0)))


def fold_in(x: Floats, rates: Floats, outcome: Floats) -> Floats:
    """Taste (d,) of a user who was shown items with features x (m, d) and like rates (m,), with these outcomes (m,).

    0 for activity: it lifts all items alike.
    """
    rates = np.clip(rates, *RATES)
    weight = rates / (1 - rates)
    precision = (x.T * weight) @ x
    precision[np.diag_indices_from(precision)] += 1
    taste: Floats = np.linalg.solve(precision, x.T @ (weight * (outcome - rates) / rates))
    taste[0] = 0
    return taste


def learn(
    model: TasteModel,
    lessons: Lessons,
    rates: Floats,
    unit_genres: Floats,
    rng: np.random.Generator,
    config: TasteConfig = DEFAULT,
) -> TasteModel:
    """The model judged by the slates that are new to it, then fitted to all lessons. Unchanged if there are few users.

    rates (n,) are the items' like rates, unit_genres (n, g). Deterministic for the same arguments.
    """
    lessons = _newest(lessons, config.rows)
    if not len(lessons.user) or len(np.unique(lessons.user)) < config.least_users:
        return model
    rates = np.clip(rates, *RATES)
    if model.trained:
        model = _judged(model, lessons, rates, unit_genres, config)
    return _fitted(model, lessons, rates, unit_genres, rng, config)


def _newest(lessons: Lessons, rows: int) -> Lessons:
    kept = slice(max(len(lessons.user) - rows, 0), None)
    _, user = np.unique(lessons.user[kept], return_inverse=True)
    return Lessons(user.astype(np.int64), lessons.item[kept], lessons.outcome[kept], lessons.slate[kept])


def _judged(model: TasteModel, lessons: Lessons, rates: Floats, unit: Floats, config: TasteConfig) -> TasteModel:
    """With the newest slate of every user, where new, predicted from the user's earlier ones (Dawid 1984)."""
    newest = np.zeros(int(lessons.user.max()) + 1, np.int64)
    np.maximum.at(newest, lessons.user, lessons.slate)
    last = lessons.slate == newest[lessons.user]
    new = last & (lessons.slate > model.judged)
    x = features(unit, model.genre_variance, model.loadings)
    earlier = _Evidence.of(lessons, ~last, rates)
    tastes, _ = earlier.tastes(x[earlier.items])
    user, item = lessons.user[new], lessons.item[new]
    predicted = np.einsum("rd,rd->r", x[item], tastes[user])
    rate, liked = rates[item], lessons.outcome[new] == LIKE
    _, slate = np.unique(lessons.slate[new], return_inverse=True)
    expected = np.bincount(slate, rate)
    # Only what differs within a slate makes an order, so activity falls out. This is Newton's step of the conditional
    # likelihood: given how many items of a slate were liked, which ones (McFadden 1974).
    beside = predicted - (np.bincount(slate, rate * predicted) / expected)[slate]
    chance = rate * (np.bincount(slate, liked) / expected)[slate]
    return replace(
        model,
        agreement=config.memory * model.agreement + float(beside[liked].sum()),
        power=config.memory * model.power + float((chance * beside**2).sum()),
        judged=int(lessons.slate.max()),
    )


@dataclass(frozen=True)
class _Evidence:
    """Impressions as sparse matrices (U, m) over the m ``items`` among them: weights, and weights times errors."""

    items: Longs
    weight: csr_matrix
    error: csr_matrix

    @classmethod
    def of(cls, lessons: Lessons, chosen: NDArray[np.bool_], rates: Floats) -> _Evidence:
        items, column = np.unique(lessons.item[chosen], return_inverse=True)
        rate = rates[lessons.item[chosen]]
        weight = rate / (1 - rate)
        where = (lessons.user[chosen], column)
        shape = (int(lessons.user.max()) + 1, len(items))
        error = weight * (worth(lessons.outcome[chosen]) - rate) / rate
        return cls(items, csr_matrix((weight, where), shape), csr_matrix((error, where), shape))

    def tastes(self, x: Floats) -> tuple[Doubles, Doubles]:
        """Posterior mean (U, d) and covariance (U, d, d) of every user's taste, given features x (m, d)."""
        d = x.shape[1]
        precision = (self.weight @ _outer(x)).reshape(self.weight.shape[0], d, d) + np.eye(d)
        covariance = np.linalg.inv(precision)
        return np.einsum("uij,uj->ui", covariance, self.error @ x), covariance


def _outer(rows: Floats | Doubles) -> Floats | Doubles:
    """Each row's (m, d) products with itself, (m, d²)."""
    return (rows[:, :, None] * rows[:, None, :]).reshape(len(rows), rows.shape[1] ** 2)


def _fitted(
    model: TasteModel,
    lessons: Lessons,
    rates: Floats,
    unit: Floats,
    rng: np.random.Generator,
    config: TasteConfig,
) -> TasteModel:
    evidence = _Evidence.of(lessons, np.ones(len(lessons.user), bool), rates)
    used = evidence.items
    loadings = model.loadings[used]
    if not model.trained:
        loadings = config.start * rng.standard_normal(loadings.shape, dtype=np.float32)
    variances = (model.genre_variance, model.loading_variance)
    for _ in range(config.rounds if model.trained else config.first_rounds):
        loadings, variances = _round(evidence, unit[used], loadings, variances)
    everywhere = np.zeros_like(model.loadings)
    everywhere[used] = loadings
    return replace(model, loadings=everywhere, genre_variance=variances[0], loading_variance=variances[1], trained=True)


def _round(
    evidence: _Evidence, unit: Floats, loadings: Floats, variances: tuple[float, float]
) -> tuple[Floats, tuple[float, float]]:
    """One round of expectation maximisation: tastes of all users, then loadings of all items and both variances."""
    g, f = unit.shape[1], loadings.shape[1]
    x = features(unit, variances[0], loadings)
    tastes, covariance = evidence.tastes(x)
    second = tastes[:, :, None] * tastes[:, None, :] + covariance  # (U, d, d)
    given = 1 + g  # features that are not learned
    genre_variance = variances[0]
    if g:
        genre_variance *= float(np.trace(second[:, 1:given, 1:given].mean(axis=0))) / g
    by_item = evidence.weight.T.tocsr()
    m, users = len(loadings), len(second)
    precision = (by_item @ second[:, given:, given:].reshape(users, f * f)).reshape(m, f, f) + np.eye(f) / variances[1]
    by_given = (by_item @ second[:, given:, :given].reshape(users, f * given)).reshape(m, f, given)
    target = evidence.error.T @ tastes[:, given:] - np.einsum("nfg,ng->nf", by_given, x[:, :given])
    learned = np.linalg.solve(precision, target[:, :, None])[:, :, 0]
    # Tastes have variance 1 by definition: what they have more or less belongs to the loadings.
    learned = learned @ np.linalg.cholesky(second[:, given:, given:].mean(axis=0) + 1e-6 * np.eye(f))
    shown_often = np.diff(by_item.indptr) >= 5
    loading_variance = variances[1]
    if np.count_nonzero(shown_often) > 20:
        spread = np.linalg.inv(precision[shown_often]).diagonal(axis1=1, axis2=2)
        loading_variance = float((learned[shown_often] ** 2 + spread).mean())
    return learned.astype(np.float32), (_bounded(genre_variance, 5.0), _bounded(loading_variance, 3.0))


def _bounded(variance: float, most: float) -> float:
    return float(np.clip(variance, 1e-3, most))
