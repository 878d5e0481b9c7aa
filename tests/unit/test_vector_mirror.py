"""When the pipeline writes which vectors: against a store that only remembers, and a clock that the test moves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.contract import ItemRecord
from recsys.stores.event_log import EventLog
from recsys.stores.ports import COLLABORATIVE, CONTENT, StoreUnavailable
from regular_pipeline.epoch import Epoch
from regular_pipeline.vectors import (
    CHUNK,
    FACTORS_INTERVAL_S,
    LEAST_MOVE,
    VectorMirror,
    content_vectors,
    moved,
)

Rows = NDArray[np.float32]
FACTORS = 6
NOTHING = [0.0] * (FACTORS - 2)


class RecordingStore:
    """Implements VectorStore."""

    def __init__(self) -> None:
        self.points: dict[int, dict[int, dict[str, Rows]]] = {}  # by epoch, then position
        self.dimensions: dict[str, int] = {}
        self.upserts: list[tuple[int, list[int]]] = []  # epoch and positions
        self.failing_from = 1_000_000  # number of the first upsert that fails
        self.entered, self.released = threading.Event(), threading.Event()
        self.released.set()

    def upsert(
        self, epoch: int, vectors: Mapping[str, Rows], positions: Sequence[int], payloads: Sequence[dict[str, Any]]
    ) -> None:
        self.entered.set()
        self.released.wait()
        if len(self.upserts) >= self.failing_from:
            raise StoreUnavailable("away")
        assert len(positions) == len(payloads) <= CHUNK
        dimensions = {name: rows.shape[1] for name, rows in vectors.items()}
        if dimensions != self.dimensions:
            self.points[epoch] = {}
            self.dimensions = dimensions
        self.upserts.append((epoch, list(positions)))
        for i, position in enumerate(positions):
            self.points.setdefault(epoch, {})[position] = {name: rows[i].copy() for name, rows in vectors.items()}

    def drop_all_but(self, epoch: int) -> None:
        self.points = {number: points for number, points in self.points.items() if number == epoch}

    def close(self) -> None: ...

    def collaborative(self, epoch: int = 1) -> Rows:
        points = self.points[epoch]
        return np.array([points[position][COLLABORATIVE] for position in range(len(points))])


class Bench:
    """A mirror, its store, its clock, epoch 1, and the factors of its items; none at first."""

    def __init__(self, folder: Path, items: int = 5) -> None:
        self.store = RecordingStore()
        self.now = 0.0
        self.mirror = VectorMirror(self.store, lambda: self.now)
        self.log = EventLog(folder)
        self.epoch = self.begin(1, items)
        self.item_factors: Rows | None = np.zeros((items, FACTORS), np.float32)

    def begin(self, epoch: int, items: int) -> Epoch:
        begun = Epoch(epoch, self.log)
        begun.catalogue.extend(ItemRecord(id=f"i{n}", genres=("Drama",)) for n in range(items))
        return begun

    def learn(self, item_factors: Rows | None) -> None:
        self.item_factors = item_factors

    async def run(self) -> list[list[int]]:
        """Positions of each upsert of one run."""
        before = len(self.store.upserts)
        await self.mirror.catch_up(self.epoch, self.item_factors)
        return [positions for _, positions in self.store.upserts[before:]]

    async def run_a_minute_later(self) -> list[list[int]]:
        self.now += FACTORS_INTERVAL_S
        return await self.run()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def turned(angle: float) -> list[float]:
    return [float(np.cos(angle)), float(np.sin(angle)), *NOTHING]


def planted(n: int = 5, length: float = 1.0) -> Rows:
    return np.tile(np.array(turned(0), np.float32) * np.float32(length), (n, 1))


async def test_before_anything_is_learned_items_have_content_only(bench: Bench) -> None:
    assert await bench.run() == [[0, 1, 2, 3, 4]]
    assert not bench.store.collaborative().any()
    assert bench.store.points[1][0][CONTENT].any()
    assert await bench.run_a_minute_later() == []


async def test_factors_are_stored_with_length_1_and_only_where_there_are_any(bench: Bench) -> None:
    await bench.run()
    item_factors = planted(length=0.03)
    item_factors[3] = 0
    bench.learn(item_factors)
    assert await bench.run() == [[0, 1, 2, 4]]
    assert bench.store.collaborative().tolist() == [turned(0)] * 3 + [[0] * FACTORS, turned(0)]


async def test_once_a_minute(bench: Bench) -> None:
    bench.learn(planted())
    await bench.run()
    bench.learn(-planted())
    assert await bench.run() == [[0, 1, 2, 3, 4]]
    bench.learn(planted())
    bench.now += FACTORS_INTERVAL_S - 1
    assert await bench.run() == []
    bench.now += 1
    assert await bench.run() == [[0, 1, 2, 3, 4]]


async def test_small_moves_wait_until_they_add_up(bench: Bench) -> None:
    """Distance counts from what is stored, not from the last fit."""
    step = 0.7 * float(np.arccos(1 - LEAST_MOVE))
    item_factors = planted()
    bench.learn(item_factors)
    await bench.run()
    item_factors = item_factors.copy()
    item_factors[2] = turned(step)
    bench.learn(item_factors)
    assert await bench.run_a_minute_later() == []
    item_factors = item_factors.copy()
    item_factors[2] = turned(2 * step)
    bench.learn(item_factors)
    assert await bench.run_a_minute_later() == [[2]]
    assert await bench.run_a_minute_later() == []


async def test_a_longer_factor_is_no_move_and_a_lost_one_is(bench: Bench) -> None:
    bench.learn(planted())
    await bench.run()
    item_factors = planted(length=7.0)
    item_factors[1] = 0
    bench.learn(item_factors)
    assert await bench.run_a_minute_later() == [[1]]
    assert not bench.store.collaborative()[1].any()


async def test_chunks_and_a_failure_between_them(tmp_path: Path) -> None:
    """What was stored stays so; the rest is done at the next run, without waiting for the minute to pass."""
    items = 2 * CHUNK + 10
    bench = Bench(tmp_path, items)
    await bench.run()
    bench.learn(planted(items))
    bench.store.failing_from = len(bench.store.upserts) + 1
    assert await bench.run() == [list(range(CHUNK))]
    bench.store.failing_from = 1_000_000
    assert await bench.run() == [list(range(CHUNK, 2 * CHUNK)), list(range(2 * CHUNK, items))]
    assert bench.store.collaborative().all(axis=0).tolist() == [True] + [False] * (FACTORS - 1)


async def test_a_changed_item_keeps_its_collaborative_vector(bench: Bench) -> None:
    bench.learn(planted())
    await bench.run()
    bench.epoch.catalogue.extend([ItemRecord(id="i3", genres=("Comedy",)), ItemRecord(id="new", genres=())])
    assert await bench.run() == [[3, 5]]
    assert bench.store.collaborative().tolist() == [turned(0)] * 5 + [[0] * FACTORS]


async def test_more_genres_than_dimensions_store_everything_again(bench: Bench) -> None:
    """Also what nobody has told anything about."""
    item_factors = planted()
    item_factors[4] = 0
    bench.learn(item_factors)
    await bench.run()
    bench.epoch.catalogue.extend([ItemRecord(id="i0", genres=tuple(f"genre {n}" for n in range(30)))])
    await bench.run()
    assert bench.store.dimensions == {CONTENT: 32, COLLABORATIVE: FACTORS}
    assert bench.store.collaborative().tolist() == [turned(0)] * 4 + [[0] * FACTORS]


async def test_another_number_of_factors_stores_everything_again(bench: Bench) -> None:
    await bench.run()
    bench.learn(np.ones((5, 2), np.float32))
    await bench.run()
    assert bench.store.dimensions == {CONTENT: 8, COLLABORATIVE: 2}
    assert bench.store.collaborative() == pytest.approx(np.full((5, 2), np.sqrt(0.5)))


async def test_a_new_epoch_ends_the_run_after_the_chunk_under_way(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 3 * CHUNK)
    await bench.run()
    bench.learn(planted(3 * CHUNK))
    before = len(bench.store.upserts)
    bench.store.entered.clear()
    bench.store.released.clear()
    bench.mirror.follow(bench.epoch, bench.item_factors)
    await asyncio.to_thread(bench.store.entered.wait)
    fresh = bench.begin(2, 4)
    bench.mirror.follow(fresh, np.zeros((4, FACTORS), np.float32))
    bench.store.released.set()
    assert bench.mirror._task is not None
    await bench.mirror._task
    assert bench.store.upserts[before:] == [(1, list(range(CHUNK)))]
    bench.mirror.follow(fresh, np.zeros((4, FACTORS), np.float32))
    await bench.mirror._task
    assert list(bench.store.points) == [2]
    assert bench.store.collaborative(2).tolist() == [[0] * FACTORS] * 4
    await bench.mirror.close()


async def test_without_a_model_that_has_factors_items_have_content_only(bench: Bench) -> None:
    bench.learn(None)
    assert await bench.run() == [[0, 1, 2, 3, 4]]
    assert bench.store.points[1][0][CONTENT].any()
    assert not bench.store.collaborative().any()
    assert await bench.run_a_minute_later() == []
    bench.epoch.catalogue.extend([ItemRecord(id="new", genres=("Drama",))])
    assert await bench.run() == [[5]]


async def test_factors_that_come_late_are_stored_with_everything(bench: Bench) -> None:
    """The number of them is not known before."""
    bench.learn(None)
    await bench.run()
    bench.learn(planted())
    await bench.run()
    assert bench.store.collaborative().tolist() == [turned(0)] * 5
    assert bench.store.dimensions == {CONTENT: 8, COLLABORATIVE: FACTORS}


async def test_factors_of_fewer_items_than_there_are_say_nothing_of_the_others(bench: Bench) -> None:
    bench.learn(planted(3))
    await bench.run()
    assert bench.store.collaborative().tolist() == [turned(0)] * 3 + [[0] * FACTORS] * 2


async def test_an_epoch_that_is_opened_again_is_stored_again(bench: Bench) -> None:
    """Nobody knows what became of its vectors meanwhile."""
    await bench.run()
    before = len(bench.store.upserts)
    bench.epoch = bench.begin(1, 5)
    assert await bench.run() == [[0, 1, 2, 3, 4]]
    assert len(bench.store.upserts) == before + 1


def test_moved() -> None:
    unit = np.array([[1, 0], [1, 0], [0, 0], [0, 0], [0, 1], [0, 0]], np.float32)
    stored = np.array([[1, 0], [0, 1], [0, 0], [0, 1]], np.float32)
    assert moved(unit, stored).tolist() == [1, 3, 4]
    assert moved(np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)).tolist() == []


@pytest.mark.parametrize(("genres", "dimensions"), [(0, 8), (1, 8), (8, 8), (9, 16), (16, 16), (17, 32), (256, 256)])
def test_vectors_have_a_power_of_two_dimensions(genres: int, dimensions: int) -> None:
    membership = np.random.default_rng(genres).random((20, genres)) < 0.5
    vectors = content_vectors(membership)
    assert vectors.shape == (20, dimensions)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(membership.any(axis=1).astype(float))
    assert np.array_equal(vectors[:, :genres] > 0, membership)
