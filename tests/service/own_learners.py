"""Periodic recommenders as somebody else may write them: one that works, one that waits, and ones that fail on demand.

The tests copy this file to a folder of their own, from where services and workers import it by name. Files in that
folder say what happens.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

GO = Path(__file__).with_name("go")  # until it is there, fits of Waits wait
BEGAN = Path(__file__).with_name("began")  # a line for each of them: the process that fits
# While these files are there, learners fail.
FIT_BROKEN = Path(__file__).with_name("fit_broken")
DUMP_BROKEN = Path(__file__).with_name("dump_broken")
LOAD_BROKEN = Path(__file__).with_name("load_broken")
LOAD_HANGS = Path(__file__).with_name("load_hangs")
LOADING = Path(__file__).with_name("loading")  # a line for each load that hangs


def note(path: Path) -> None:
    with path.open("a") as file:
        file.write(f"{os.getpid()}\n")


class Liked:
    """Ranks what was liked, by how often. ``fits`` is how many trainings went on from one another."""

    def __init__(self, likes: dict[int, int], fits: int) -> None:
        self.likes, self.fits = likes, fits
        self._order = np.array(sorted(likes, key=lambda item: (-likes[item], item)), np.int64)

    def rank(self, query: Any, eligible: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
        return self._order[eligible[self._order]][:k]

    def dump(self) -> bytes:
        return json.dumps({"likes": self.likes, "fits": self.fits}).encode()


class Counts:
    """Works."""

    kind: type[Liked] = Liked

    def fit(self, data: Any, previous: Any, rng: np.random.Generator) -> Liked:
        liked = data.scan().filter(pl.col("kind") == "like", pl.col("item_index") >= 0)
        counted = liked.group_by("item_index").len().collect()
        likes = dict(zip(counted["item_index"].to_list(), counted["len"].to_list(), strict=True))
        return self.kind(likes, 1 if previous is None else previous.fits + 1)

    def load(self, blob: bytes, items: Any) -> Liked:
        found = json.loads(blob)
        return self.kind({int(item): likes for item, likes in found["likes"].items()}, found["fits"])


class Waits(Counts):
    def fit(self, data: Any, previous: Any, rng: np.random.Generator) -> Liked:
        data.progress(0.5, "half of it")
        note(BEGAN)
        while not GO.exists():
            time.sleep(0.02)
        return super().fit(data, previous, rng)


class FitRaises(Counts):
    def fit(self, data: Any, previous: Any, rng: np.random.Generator) -> Liked:
        if FIT_BROKEN.exists():
            raise RuntimeError("no fit today")
        return super().fit(data, previous, rng)


class Undumped(Liked):
    def dump(self) -> bytes:
        if DUMP_BROKEN.exists():
            raise RuntimeError("no dump today")
        return super().dump()


class DumpRaises(Counts):
    kind = Undumped


class LoadRefuses(Counts):
    """Does not take its own dump."""

    def load(self, blob: bytes, items: Any) -> Liked:
        if LOAD_BROKEN.exists():
            raise ValueError("no dump of mine")
        return super().load(blob, items)


class LoadRaises(Counts):
    """The same, by an error that it was not asked for."""

    def load(self, blob: bytes, items: Any) -> Liked:
        if LOAD_BROKEN.exists():
            raise KeyError("no load today")
        return super().load(blob, items)


class LoadHangs(Counts):
    def load(self, blob: bytes, items: Any) -> Liked:
        if LOAD_HANGS.exists():
            note(LOADING)
        while LOAD_HANGS.exists():
            time.sleep(0.02)
        return super().load(blob, items)
