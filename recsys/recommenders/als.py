"""Weighted matrix factorisation of likes by alternating least squares."""

from __future__ import annotations

from typing import Any

import numpy as np

from recsys.catalogue import Items
from recsys.recommenders.factor_models import THREADS, LeastSquaresModel
from recsys.recommenders.interactions import by_position, interactions
from recsys.recommenders.port import Floats, TrainingData


class Als:
    """Hu, Koren & Volinsky 2008; trained by the library implicit.

    ``like`` and ``dislike``: how much more what a user said counts than what he did not say; a dislike speaks for 0.
    ``iterations`` of a training from nothing, ``further`` of one that goes on from the model before.
    """

    def __init__(
        self,
        factors: int = 32,
        regularization: float = 30.0,
        like: float = 20.0,
        dislike: float = 2.0,
        iterations: int = 15,
        further: int = 3,
        threads: int = THREADS,
    ) -> None:
        if min(factors, iterations, further, threads) < 1 or regularization <= 0 or like <= 0 or dislike < 1:
            raise ValueError("factors, iterations, further and threads from 1, dislike from 1, the others above 0")
        self._factors, self._regularization = factors, regularization
        self._like, self._dislike = like, dislike
        self._iterations, self._further, self._threads = iterations, further, threads

    def fit(
        self, data: TrainingData, previous: LeastSquaresModel | None, rng: np.random.Generator
    ) -> LeastSquaresModel:
        from implicit.cpu.als import AlternatingLeastSquares

        said = interactions(data).matrix(self._like, -self._dislike)
        numbers = {"regularization": self._regularization, "like": self._like, "dislike": self._dislike}
        if not said.nnz:
            nothing = np.zeros((len(data.items), self._factors), np.float32)
            return LeastSquaresModel(nothing, nothing[:, 0], **numbers)
        rounds = self._iterations if previous is None else self._further
        trainer = AlternatingLeastSquares(
            self._factors,
            self._regularization,
            iterations=rounds,
            num_threads=self._threads,
            random_state=int(rng.integers(2**31)),
        )
        if previous is not None:
            trainer.item_factors = _begun(previous.item_factors, len(data.items), rng)
            trainer.user_factors = np.zeros((said.shape[0], self._factors), np.float32)
        told: Any = lambda done, *_: data.progress((done + 1) / rounds, f"iteration {done + 1} of {rounds}")  # noqa: E731
        trainer.fit(said, show_progress=False, callback=told)
        seen = np.asarray((said != 0).sum(axis=0)).ravel() > 0
        factors = np.where(seen[:, None], trainer.item_factors, np.float32(0))
        return LeastSquaresModel(factors, np.zeros(len(factors), np.float32), **numbers)

    def load(self, blob: bytes, items: Items) -> LeastSquaresModel:
        model: LeastSquaresModel = LeastSquaresModel.load(blob, items)
        return model


def _begun(factors: Floats, items: int, rng: np.random.Generator) -> Floats:
    """Factors to go on from: those there are; at random, as small as the library begins, where there are none."""
    begun = by_position(factors, items)
    new = ~begun.any(axis=1)
    begun[new] = rng.random((int(new.sum()), begun.shape[1]), np.float32) * 0.01
    return begun
