"""A model of what goes with what: for each item a few others, with weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.catalogue import Items
from recsys.recommenders.arrays import packed, unpacked
from recsys.recommenders.interactions import opinions
from recsys.recommenders.port import NOTHING, Bools, Floats, Positions, Query, Ranked, ranked_by


class NeighbourModel:
    """The score of an item is the sum of its weights beside what the user likes, less ``dislike`` times those beside
    what he dislikes. Abstains where that is not above 0: what has nothing to do with his likes is left to others.
    """

    def __init__(self, weights: csr_matrix, dislike: float) -> None:
        """weights (n, n), row i: what goes with item i. ``dislike`` from 0."""
        self._weights = weights
        self._dislike = np.float32(dislike)

    @classmethod
    def of(cls, weights: csr_matrix, neighbours: int, dislike: float) -> NeighbourModel:
        """Of each row of the weights only the largest; what is not above 0 is left out."""
        return cls(largest_of_rows(weights, neighbours), dislike)

    def rank(self, query: Query, eligible: Bools, k: int, rng: np.random.Generator) -> Ranked:
        scores = self._scores(query)
        return NOTHING if scores is None else ranked_by(scores, eligible & (scores > 0), k)

    def scores(self, query: Query, positions: Positions) -> Floats | None:
        scores = self._scores(query)
        return None if scores is None else scores[positions]

    def similar(self, position: int, k: int) -> Positions:
        """By weight."""
        row = self._weights[position]
        found: Positions = row.indices[np.argsort(-row.data, kind="stable")][:k].astype(np.int64)
        return found

    def dump(self) -> bytes:
        w = self._weights
        return packed(weights=w.data, items=w.indices, ends=w.indptr, dislike=self._dislike)

    @classmethod
    def load(cls, blob: bytes, items: Items) -> NeighbourModel:
        saved = unpacked(blob)
        n, ends = len(items), saved["ends"]
        if len(ends) - 1 > n:
            raise ValueError(f"neighbours of {len(ends) - 1} items for a catalogue of {n}")
        ends = np.pad(ends, (0, n + 1 - len(ends)), mode="edge")
        return cls(csr_matrix((saved["weights"], saved["items"], ends), shape=(n, n)), float(saved["dislike"]))

    def _scores(self, query: Query) -> Floats | None:
        if self not in query.memo:
            query.memo[self] = self._sums(*opinions(query.state, self._weights.shape[0]))
        found: Floats | None = query.memo[self]
        return found

    def _sums(self, liked: Positions, disliked: Positions) -> Floats | None:
        if not len(liked):
            return None
        sums = self._of_rows(liked)
        if self._dislike and len(disliked):
            sums -= self._dislike * self._of_rows(disliked)
        return sums

    def _of_rows(self, rows: Positions) -> Floats:
        """(n,) the sum of these rows, without making a matrix of them."""
        starts, ends = self._weights.indptr[rows], self._weights.indptr[rows + 1]
        places = np.concatenate([np.arange(a, b) for a, b in zip(starts.tolist(), ends.tolist(), strict=True)])
        indices, weights = self._weights.indices[places], self._weights.data[places]
        return np.bincount(indices, weights, self._weights.shape[0]).astype(np.float32)


def largest_of_rows(matrix: csr_matrix, count: int) -> csr_matrix:
    """(n, n) with the ``count`` largest entries of each row that are above 0."""
    matrix = csr_matrix(matrix)
    row: NDArray[np.int64] = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((-matrix.data, row))
    rank = np.arange(len(order)) - matrix.indptr[row[order]]
    kept = order[(rank < count) & (matrix.data[order] > 0)]
    return csr_matrix((matrix.data[kept].astype(np.float32), (row[kept], matrix.indices[kept])), shape=matrix.shape)
