"""Which items are like an item: against the same arithmetic written out pair by pair, and planted neighbours."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recsys.ranking.similar import nearest, similarity, unit_rows

Rows = NDArray[np.float32]
N = 40


def cosine(a: Rows, b: Rows) -> float:
    lengths = math.sqrt(sum(float(x) ** 2 for x in a)) * math.sqrt(sum(float(x) ** 2 for x in b))
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0


def world(seed: int, n: int = N) -> tuple[Rows, Rows, Rows]:
    """Unit content vectors and loadings, some of each without any; like rates."""
    rng = np.random.default_rng(seed)
    vectors = unit_rows(rng.normal(size=(n, 6)).astype(np.float32))
    loadings = (rng.normal(size=(n, 4)) * rng.exponential(size=(n, 1))).astype(np.float32)
    vectors[rng.random(n) < 0.2] = 0
    loadings[rng.random(n) < 0.4] = 0
    return vectors, loadings, rng.random(n).astype(np.float32)


@settings(deadline=None)
@given(st.integers(0, 1_000), st.integers(0, N - 1), st.sampled_from([0.0, 0.3, 1.0]))
def test_equals_the_formula_pair_by_pair(seed: int, position: int, blend: float) -> None:
    vectors, loadings, mean = world(seed)
    expected = [
        (1 - blend) * cosine(vectors[i], vectors[position]) + blend * cosine(loadings[i], loadings[position])
        for i in range(N)
    ]
    assert similarity(vectors, loadings, position, blend) == pytest.approx(expected, abs=1e-5)
    chosen = nearest(vectors, loadings, mean, position, 7, blend)
    assert position not in chosen
    assert len(set(chosen.tolist())) == 7
    best = sorted((expected[i] for i in range(N) if i != position), reverse=True)[:7]
    assert [expected[i] for i in chosen] == pytest.approx(best, abs=1e-5)


def test_blend_0_is_plain_content() -> None:
    vectors, loadings, _ = world(1)
    assert similarity(vectors, loadings, 3, 0.0).tolist() == (vectors @ vectors[3]).tolist()


def test_blend_1_finds_planted_neighbours_whatever_they_are() -> None:
    """Four items point one way with loadings of any length, the others another; an opposite one comes last."""
    loadings = np.tile(np.array([0, 1, 0, 0], np.float32), (12, 1))
    group = [2, 5, 7, 11]
    for length, item in enumerate(group, start=1):
        loadings[item] = [0.1 * length, 0, 0, 0]
    loadings[9] = [-1, 0, 0, 0]
    vectors = np.eye(12, dtype=np.float32)
    mean = np.linspace(0, 1, 12, dtype=np.float32)
    order = nearest(vectors, loadings, mean, 2, 12, 1.0).tolist()
    assert order[:3] == [11, 7, 5], "equals by like rate"
    assert order[-1] == 9
    assert len(order) == 11


def test_an_item_without_loadings_is_compared_by_content_alone() -> None:
    vectors, loadings, mean = world(2)
    loadings[4] = 0
    assert nearest(vectors, loadings, mean, 4, N, 0.5).tolist() == nearest(vectors, loadings, mean, 4, N, 0.0).tolist()


def test_one_item_has_no_neighbours() -> None:
    assert nearest(*world(0, n=1), 0, 10, 0.5).tolist() == []


def test_unit_rows() -> None:
    rows = np.array([[3, 4], [0, 0], [0, -1e-6]], np.float32)
    assert unit_rows(rows).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0], [0, -1]]
    assert unit_rows(np.zeros((0, 4), np.float32)).shape == (0, 4)
    assert unit_rows(np.zeros((3, 0), np.float32)).shape == (3, 0)
