"""A linear model of items from items, in closed form."""

from __future__ import annotations

from typing import Final

import numpy as np
import psutil
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix

from recsys.catalogue import Items
from recsys.recommenders.interactions import interactions
from recsys.recommenders.neighbours import NeighbourModel
from recsys.recommenders.port import Floats, TrainingData

GB: Final = 1e9
COPIES: Final = 4  # of the square matrix that are held at once
BYTES: Final = 4


class Ease:
    """Embarrassingly shallow autoencoders (Steck 2019): what a user likes is predicted from all else that he likes.

    ``regularization``: larger where there are few likes. ``least_likes``: items with fewer are left out, which also
    keeps the square matrix small. ``neighbours``: so many of each item's weights are kept. ``memory_gb``: at most so
    much, by default two thirds of what is free; more items than that allows are refused.
    """

    def __init__(
        self,
        regularization: float = 100.0,
        least_likes: int = 2,
        neighbours: int = 100,
        dislike: float = 0.1,
        memory_gb: float = 0.0,
    ) -> None:
        if regularization <= 0 or least_likes < 1 or neighbours < 1 or min(dislike, memory_gb) < 0:
            raise ValueError("regularization above 0, least_likes and neighbours from 1, the others from 0")
        self._regularization, self._least_likes = regularization, least_likes
        self._neighbours, self._dislike, self._memory_gb = neighbours, dislike, memory_gb

    def fit(self, data: TrainingData, previous: NeighbourModel | None, rng: np.random.Generator) -> NeighbourModel:
        likes = interactions(data).matrix(1.0)
        kept = np.flatnonzero(np.asarray(likes.sum(axis=0)).ravel() >= self._least_likes)
        self._require_memory(len(kept))
        data.progress(0.2, f"inverting a matrix of {len(kept):,} items")
        weights = self._weights(likes[:, kept])
        data.progress(0.9, "keeping the largest weights")
        n = len(data.items)
        row, column = np.divmod(np.flatnonzero(weights), max(len(kept), 1))
        of_all = csr_matrix((weights[row, column], (kept[row], kept[column])), shape=(n, n))
        return NeighbourModel(of_all, self._dislike)

    def _weights(self, likes: csr_matrix) -> Floats:
        """(m, m) float32, of each row the largest alone."""
        gram: Floats = (likes.T @ likes).toarray().astype(np.float32)
        gram[np.diag_indices_from(gram)] += np.float32(self._regularization)
        if not len(gram):
            return gram
        inverse = cho_solve(cho_factor(gram, overwrite_a=True), np.eye(len(gram), dtype=np.float32), overwrite_b=True)
        weights: Floats = inverse / -np.diag(inverse)
        np.fill_diagonal(weights, 0)
        count = min(self._neighbours, len(weights))
        least = np.partition(weights, -count, axis=1)[:, -count, None]
        weights[(weights < least) | (weights <= 0)] = 0
        return weights

    def _require_memory(self, items: int) -> None:
        needed = COPIES * BYTES * items**2 / GB
        allowed = self._memory_gb or psutil.virtual_memory().available / GB * 2 / 3
        if needed > allowed:
            raise ValueError(
                f"ease needs {needed:.1f} GB for {items:,} items, more than the {allowed:.1f} GB it may use: give more "
                "(memory_gb=), or leave out items that few like (least_likes=)"
            )

    def load(self, blob: bytes, items: Items) -> NeighbourModel:
        return NeighbourModel.load(blob, items)
