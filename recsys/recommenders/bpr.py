"""Matrix factorisation that learns which of two items a user prefers."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from recsys.catalogue import Items
from recsys.recommenders.factor_models import THREADS, PairwiseModel
from recsys.recommenders.interactions import by_position, interactions
from recsys.recommenders.port import Floats, TrainingData


class Bpr:
    """Bayesian personalised ranking (Rendle et al. 2009); trained by the library implicit.

    It learns from likes alone: what is disliked is not told from what was never shown, until a user is folded in.
    ``iterations`` over all likes of a training from nothing, ``further`` of one that goes on from the model before.
    """

    def __init__(
        self,
        factors: int = 32,
        learning_rate: float = 0.05,
        regularization: float = 0.01,
        iterations: int = 100,
        further: int = 20,
        fold_in: float = 0.2,
        threads: int = THREADS,
    ) -> None:
        if min(factors, iterations, further, threads) < 1 or min(learning_rate, regularization, fold_in) <= 0:
            raise ValueError("factors, iterations, further and threads from 1, the others above 0")
        self._factors, self._learning_rate, self._regularization = factors, learning_rate, regularization
        self._iterations, self._further, self._fold_in, self._threads = iterations, further, fold_in, threads

    def fit(self, data: TrainingData, previous: PairwiseModel | None, rng: np.random.Generator) -> PairwiseModel:
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        likes = interactions(data).matrix(1.0)
        if not likes.nnz:
            return self._model(
                np.zeros((len(data.items), self._factors), np.float32), np.zeros(len(data.items), np.float32)
            )
        rounds = self._iterations if previous is None else self._further
        trainer = BayesianPersonalizedRanking(
            self._factors,
            self._learning_rate,
            self._regularization,
            iterations=rounds,
            num_threads=self._threads,
            random_state=int(rng.integers(2**31)),
        )
        if previous is not None:
            before = np.hstack([previous.item_factors, previous.bias[:, None]])
            trainer.item_factors = _begun(before, len(data.items), rng)
            trainer.user_factors = _mean_of_liked(likes, trainer.item_factors)
        told: Any = lambda done, *_: data.progress((done + 1) / rounds, f"iteration {done + 1} of {rounds}")  # noqa: E731
        trainer.fit(likes, show_progress=False, callback=told)
        liked = (np.asarray(likes.sum(axis=0)).ravel() > 0)[:, None]
        factors = np.where(liked, trainer.item_factors, np.float32(0))
        return self._model(factors[:, :-1], factors[:, -1])

    def _model(self, factors: Floats, bias: Floats) -> PairwiseModel:
        return PairwiseModel(factors, bias, fold_in=self._fold_in)

    def load(self, blob: bytes, items: Items) -> PairwiseModel:
        model: PairwiseModel = PairwiseModel.load(blob, items)
        return model


def _begun(factors: Floats, items: int, rng: np.random.Generator) -> Floats:
    """Factors with their bias to go on from: those there are; where there are none as the library begins, at random."""
    begun = by_position(factors, items)
    new = ~begun.any(axis=1)
    width = begun.shape[1]
    begun[new] = (rng.random((int(new.sum()), width), np.float32) - 0.5) / width
    return begun


def _mean_of_liked(likes: csr_matrix, factors: Floats) -> Floats:
    """(users, f + 1): where users begin, whose factors are not kept; the last one is that of the bias."""
    count = np.maximum(np.asarray(likes.sum(axis=1)), 1)
    users = np.asarray(likes @ factors / count, np.float32)
    users[:, -1] = 1
    return users
