"""Neighbourhoods of items by who likes both of them: live."""

from __future__ import annotations

from collections import defaultdict
from itertools import islice
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.catalogue import Items
from recsys.contract import of_history
from recsys.recommenders.arrays import packed, unpacked
from recsys.recommenders.neighbours import NeighbourModel
from recsys.recommenders.port import TrainingData

Longs = NDArray[np.int64]
MOST_PAIRS: Final = 3_000_000  # of items that are remembered: those with the fewest users are forgotten first


def _pair(item: int, other: int, by: int) -> tuple[int, int, int]:
    return min(item, other), max(item, other), by


class ItemKnn:
    """Cosine of the likes of two items (Sarwar et al. 2001), so that what everybody likes is not near everything.

    ``neighbours`` of each item that count; ``shrinkage``: so many users who like neither are added to each pair, which
    keeps chance meetings of rare items small (Bell & Koren 2007); ``history``: of each user the newest likes that are
    paired with the next one; ``dislike``: what a dislike counts against its neighbours, beside a like.
    """

    def __init__(self, neighbours: int = 50, shrinkage: float = 5.0, history: int = 50, dislike: float = 0.1) -> None:
        if neighbours < 1 or history < 1 or shrinkage < 0 or dislike < 0:
            raise ValueError("neighbours and history from 1, shrinkage and dislike from 0")
        self._neighbours, self._shrinkage, self._history, self._dislike = neighbours, shrinkage, history, dislike
        self._liked: defaultdict[str, dict[int, None]] = defaultdict(dict)  # by user, oldest first
        self._pairs = np.zeros(0, np.int64)  # both items of a pair in one number, ascending
        self._users = np.zeros(0, np.int64)  # who like both
        self._likes = np.zeros(0, np.int64)  # of each item

    def add(self, rows: pl.DataFrame) -> None:
        taken_back = pl.col("source").is_in(["like", of_history("like")])
        likes = rows.filter(pl.col("item_index") >= 0, (pl.col("kind") == "like") | taken_back)
        changed: list[tuple[int, int, int]] = []
        for user, item, kind in likes.select("user_id", "item_index", "kind").iter_rows():
            changed += self._liked_by(user, item) if kind == "like" else self._taken_back(user, item)
        if changed:
            first, second, by = np.array(changed, np.int64).T
            self._count(first, second, by)

    def _liked_by(self, user: str, item: int) -> list[tuple[int, int, int]]:
        liked = self._liked[user]
        if item in liked:
            return []
        pairs = [_pair(item, other, 1) for other in islice(reversed(liked), self._history)]
        liked[item] = None
        return [*pairs, (item, item, 1)]

    def _taken_back(self, user: str, item: int) -> list[tuple[int, int, int]]:
        liked = self._liked[user]
        if item not in liked:
            return []
        near, order = self._history, list(liked)
        place = order.index(item)
        before, after = order[max(place - near, 0) : place], order[place + 1 : place + 1 + near]
        # Two that it stood between come one like closer, which may be near enough.
        closer = zip(before, order[max(place - near, 0) + near + 1 :], strict=False)
        del liked[item]
        gone = [_pair(item, other, -1) for other in (*before, *after)]
        return [*gone, *(_pair(one, other, 1) for one, other in closer), (item, item, -1)]

    def _count(self, first: Longs, second: Longs, by: Longs) -> None:
        """An item with itself is its likes."""
        own = first == second
        self._likes = np.pad(self._likes, (0, max(int(second.max()) + 1 - len(self._likes), 0)))
        np.add.at(self._likes, first[own], by[own])
        keys = np.concatenate([self._pairs, first[~own] << 32 | second[~own]])
        self._pairs, place = np.unique(keys, return_inverse=True)
        self._users = np.bincount(place, np.concatenate([self._users, by[~own]])).astype(np.int64)
        known = self._users > 0  # below: of a pair that was forgotten
        self._pairs, self._users = self._pairs[known], self._users[known]
        if len(self._pairs) > MOST_PAIRS:
            kept = np.sort(np.argpartition(-self._users, MOST_PAIRS // 2)[: MOST_PAIRS // 2])
            self._pairs, self._users = self._pairs[kept], self._users[kept]

    def fit(self, data: TrainingData, previous: NeighbourModel | None, rng: np.random.Generator) -> NeighbourModel:
        n = len(data.items)
        likes = np.pad(self._likes, (0, n - len(self._likes))).astype(np.float64)
        first, second = self._pairs >> 32, self._pairs & 0xFFFFFFFF
        cosine = self._users / (np.sqrt(likes[first] * likes[second]) + self._shrinkage)
        weights = csr_matrix(
            (np.tile(cosine, 2), (np.concatenate([first, second]), np.concatenate([second, first]))), shape=(n, n)
        )
        return NeighbourModel.of(weights, self._neighbours, self._dislike)

    def load(self, blob: bytes, items: Items) -> NeighbourModel:
        return NeighbourModel.load(blob, items)

    def save(self) -> bytes:
        users = list(self._liked)
        return packed(
            users=np.array(users, dtype=np.str_),
            ends=np.cumsum([len(self._liked[user]) for user in users]),
            items=np.array([item for user in users for item in self._liked[user]], np.int64),
            pairs=self._pairs,
            together=self._users,
            likes=self._likes,
        )

    def resume(self, saved: bytes, row: int) -> int:
        values = unpacked(saved)
        items = np.split(values["items"], values["ends"][:-1]) if len(values["ends"]) else []
        for user, liked in zip(values["users"].tolist(), items, strict=True):
            self._liked[user] = dict.fromkeys(liked.tolist())
        self._pairs, self._users, self._likes = values["pairs"], values["together"], values["likes"]
        return row
