"""More of the genres that a user likes: a recommender in one file, explained in docs/own-recommender.md."""

from collections import Counter

import numpy as np

from recsys.recommenders.arrays import packed, unpacked
from recsys.recommenders.port import ranked_by
from recsys.user_state import LIKE


class GenreFanModel:
    def __init__(self, likes, genres, weight):
        self.likes, self.genres, self.weight = likes, genres, weight

    def rank(self, query, eligible, k, rng):
        items, marks = query.state.said()
        taste = np.where(marks == LIKE, 1, -1) @ self.genres[items] / np.sqrt(len(items) + 1)
        return ranked_by(np.log1p(self.likes) + self.weight * (self.genres @ taste), eligible, k)

    def dump(self):
        return packed(likes=self.likes)


class GenreFan:
    def __init__(self, weight: float = 0.3):
        self.weight, self.likes = weight, Counter()

    def add(self, rows):
        self.likes.update(rows.filter(kind="like")["item_index"].to_list())

    def fit(self, data, previous, rng):
        likes = np.array([self.likes[position] for position in range(len(data.items))])
        return GenreFanModel(likes, data.items.genres, self.weight)

    def load(self, blob, items):
        likes = unpacked(blob)["likes"]
        newer = len(items) - len(likes)  # the catalogue may have grown since the model was fitted
        return GenreFanModel(np.pad(likes, (0, newer)), items.genres, self.weight)
