"""Matrix factorisation in which an item is the sum of its genres and of what is its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack, identity

from recsys.catalogue import Items
from recsys.recommenders.arrays import packed, unpacked
from recsys.recommenders.factor_models import THREADS, PairwiseModel
from recsys.recommenders.interactions import by_position, interactions
from recsys.recommenders.port import Bools, Floats, TrainingData


class LightFmModel(PairwiseModel):
    """Vectors and biases are those of the items' features: an item that nobody has liked yet has those of its genres.

    ``own`` (n, f + 1) and ``of_genres`` (g, f + 1); the last column is the bias.
    """

    def __init__(self, own: Floats, of_genres: Floats, genres: Bools, fold_in: float) -> None:
        whole = own + shares(genres[:, : len(of_genres)]) @ of_genres
        super().__init__(whole[:, :-1], whole[:, -1], fold_in=fold_in)
        self.own, self.of_genres = own, of_genres

    def dump(self) -> bytes:
        return packed(own=self.own, of_genres=self.of_genres, **self.numbers)

    @classmethod
    def load(cls, blob: bytes, items: Items) -> LightFmModel:
        saved = unpacked(blob)
        own, of_genres = saved["own"], saved["of_genres"]
        if len(own) > len(items) or len(of_genres) > len(items.genre_names):
            raise ValueError(f"a model of {len(own)} items for a catalogue of {len(items)}")
        return cls(by_position(own, len(items)), of_genres, items.genres, float(saved["fold_in"]))


def shares(genres: Bools) -> csr_matrix:
    """(n, g): an item counts in equal parts for its genres."""
    weights = genres / np.maximum(genres.sum(axis=1, keepdims=True), 1)
    return csr_matrix(weights.astype(np.float32))


class LightFm:
    """Learning to rank with WARP (Weston et al. 2011) and the genres of the items (Kula 2015), by the library LightFM.

    ``iterations`` over all likes of a training from nothing, ``further`` of one that goes on from the model before.
    It learns from likes alone; dislikes count once a user is folded in.
    """

    def __init__(
        self,
        factors: int = 32,
        learning_rate: float = 0.05,
        regularization: float = 1e-6,
        iterations: int = 20,
        further: int = 4,
        fold_in: float = 0.2,
        threads: int = THREADS,
    ) -> None:
        if min(factors, iterations, further, threads) < 1 or min(learning_rate, fold_in) <= 0 or regularization < 0:
            raise ValueError("factors, iterations, further and threads from 1, the others above 0")
        self._factors, self._learning_rate, self._regularization = factors, learning_rate, regularization
        self._iterations, self._further, self._fold_in, self._threads = iterations, further, fold_in, threads

    def fit(self, data: TrainingData, previous: LightFmModel | None, rng: np.random.Generator) -> LightFmModel:
        from lightfm import LightFM

        likes = interactions(data).matrix(1.0)
        n, g = data.items.genres.shape
        if not likes.nnz:
            width = self._factors + 1
            return LightFmModel(
                np.zeros((n, width), "f4"), np.zeros((g, width), "f4"), data.items.genres, self._fold_in
            )
        features = hstack([identity(n, dtype=np.float32), shares(data.items.genres)]).tocsr()
        trainer = LightFM(
            self._factors,
            loss="warp",
            learning_rate=self._learning_rate,
            item_alpha=self._regularization,
            user_alpha=self._regularization,
            random_state=int(rng.integers(2**31)),
        )
        trainer._initialize(self._factors, n + g, likes.shape[0])
        if previous is not None:
            _go_on(trainer, previous, likes, features)
        rounds = self._iterations if previous is None else self._further
        for done in range(rounds):
            trainer.fit_partial(likes, item_features=features, num_threads=self._threads)
            data.progress((done + 1) / rounds, f"iteration {done + 1} of {rounds}")
        learned = np.hstack([trainer.item_embeddings, trainer.item_biases[:, None]])
        return LightFmModel(learned[:n], learned[n:], data.items.genres, self._fold_in)

    def load(self, blob: bytes, items: Items) -> LightFmModel:
        return LightFmModel.load(blob, items)


def _go_on(trainer: Any, previous: LightFmModel, likes: csr_matrix, features: csr_matrix) -> None:
    """From the features as they were; users, whose vectors are not kept, begin at the mean of what they like."""
    n = likes.shape[1]
    known = np.flatnonzero(previous.own.any(axis=1))
    trainer.item_embeddings[known] = previous.own[known, :-1]
    trainer.item_biases[known] = previous.own[known, -1]
    genres = slice(n, n + len(previous.of_genres))
    trainer.item_embeddings[genres], trainer.item_biases[genres] = previous.of_genres[:, :-1], previous.of_genres[:, -1]
    count = np.maximum(np.asarray(likes.sum(axis=1)), 1)
    trainer.user_embeddings[:] = likes @ (features @ trainer.item_embeddings) / count
