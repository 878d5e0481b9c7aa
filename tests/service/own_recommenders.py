"""Recommenders as somebody else may write them: good ones, and ones with every fault that one can have.

The tests copy this file to a folder of their own, from where services import it by name.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys.recommenders.port import ExplorationShare, Ranked

# While these files are there, learners fail.
FIT_BROKEN = Path(__file__).with_name("fit_broken")
ADD_BROKEN = Path(__file__).with_name("add_broken")


class Liked:
    """Knows the items that were liked, and ranks them by how often; of others it knows nothing."""

    def __init__(self, likes: dict[int, int], first: int) -> None:
        self._likes = likes
        self._order = np.array(sorted(likes, key=lambda item: (item != first, -likes[item], item)), np.int64)

    def rank(self, query: Any, eligible: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
        return self._order[eligible[self._order]][:k]

    def dump(self) -> bytes:
        return json.dumps(self._likes, sort_keys=True).encode()


class Works:
    """Counts likes. The item at position ``first`` always comes first."""

    def __init__(self, first: int = 0) -> None:
        self._first = first
        self._likes: Counter[int] = Counter()

    def add(self, rows: pl.DataFrame) -> None:
        liked = rows.filter(pl.col("kind") == "like", pl.col("item_index") >= 0)
        self._likes.update(liked["item_index"].to_list())

    def fit(self, data: Any, previous: Any, rng: np.random.Generator) -> Liked:
        return Liked({self._first: 0, **self._likes}, self._first)

    def load(self, blob: bytes, items: Any) -> Liked:
        return Liked({int(item): likes for item, likes in json.loads(blob).items()}, self._first)


class Quiet(Liked):
    """Has no say in lists: what it knows can be read in its dump."""

    def rank(self, query: Any, eligible: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
        return np.zeros(0, np.int64)


class QuietlyWorks(Works):
    def fit(self, data: Any, previous: Any, rng: np.random.Generator) -> Liked:
        return Quiet(dict(self._likes), 0)

    def load(self, blob: bytes, items: Any) -> Liked:
        return Quiet({}, 0)


class FitRaises(QuietlyWorks):
    def fit(self, data: Any, previous: Any, rng: np.random.Generator) -> Liked:
        if FIT_BROKEN.exists():
            raise RuntimeError("no fit today")
        return super().fit(data, previous, rng)


class AddRaises(QuietlyWorks):
    def add(self, rows: pl.DataFrame) -> None:
        super().add(rows)
        if ADD_BROKEN.exists():
            raise RuntimeError("no rows today")


class Incomplete:
    """There is no way to fit it."""

    def load(self, blob: bytes, items: Any) -> None:
        """Nothing."""


class Faulty:
    """Learns nothing; its own model for each fault."""

    def add(self, rows: pl.DataFrame) -> None:
        """Nothing."""

    def fit(self, data: Any, previous: Any, rng: np.random.Generator) -> Faulty:
        return self

    def load(self, blob: bytes, items: Any) -> Faulty:
        return self

    def dump(self) -> bytes:
        return b"faulty"


class Abstains(Faulty):
    def rank(self, query: Any, eligible: np.ndarray, k: int, rng: np.random.Generator) -> Any:
        return np.zeros(0, np.int64)


class SaveRaises(Abstains):
    def save(self) -> bytes:
        raise RuntimeError("no checkpoint today")

    def resume(self, saved: bytes, row: int) -> int:
        return 0


class CandidatesRaise(Abstains):
    exploration = ExplorationShare(0.5, 0.5)

    def candidates(self, size: int, rng: np.random.Generator) -> np.ndarray:
        raise RuntimeError("no candidates today")


class OrderRaises(Abstains):
    @property
    def order(self) -> np.ndarray:
        raise RuntimeError("no order today")


class FactorsRaise(Abstains):
    @property
    def item_factors(self) -> np.ndarray:
        raise RuntimeError("no factors today")


class SimilarRaises(Abstains):
    def similar(self, position: int, k: int) -> np.ndarray:
        raise RuntimeError("none is similar today")


class Raises(Faulty):
    def rank(self, query: Any, eligible: np.ndarray, k: int, rng: np.random.Generator) -> Any:
        raise KeyError(query.user_id)


class Unknown(Faulty):
    def rank(self, query: Any, eligible: np.ndarray, k: int, rng: np.random.Generator) -> Any:
        return np.array([*np.flatnonzero(eligible)[:3], len(eligible)])


class Negative(Faulty):
    def rank(self, query: Any, eligible: np.ndarray, k: int, rng: np.random.Generator) -> Any:
        return np.array([*np.flatnonzero(eligible)[:3], -1])


class Repeated(Faulty):
    def rank(self, query: Any, eligible: np.ndarray, k: int, rng: np.random.Generator) -> Any:
        return np.flatnonzero(eligible)[:4].repeat(2)


class Seen(Faulty):
    """Abstains from lists of whom it has nothing to show again."""

    def rank(self, query: Any, eligible: np.ndarray, k: int, rng: np.random.Generator) -> Any:
        return np.unique(query.state.indices)[:k]


class Fractions(Faulty):
    def rank(self, query: Any, eligible: np.ndarray, k: int, rng: np.random.Generator) -> Any:
        return np.flatnonzero(eligible)[:k] + 0.5


class Unsure(Faulty):
    """Its scores are no numbers."""

    def rank(self, query: Any, eligible: np.ndarray, k: int, rng: np.random.Generator) -> Any:
        positions = np.flatnonzero(eligible)[:k]
        return Ranked(positions, np.full(len(positions), np.nan))


class Meddling(Faulty):
    """Changes what it was only to look at."""

    def rank(self, query: Any, eligible: np.ndarray, k: int, rng: np.random.Generator) -> Any:
        eligible[:] = True
        return np.arange(k)


class Silent(Faulty):
    def rank(self, query: Any, eligible: np.ndarray, k: int, rng: np.random.Generator) -> Any:
        return None


class Unfinished(Faulty):
    """Its model lacks the method that matters."""


class Sleeps(Faulty):
    def rank(self, query: Any, eligible: np.ndarray, k: int, rng: np.random.Generator) -> Any:
        time.sleep(3_600)
        return np.flatnonzero(eligible)[:k]
