"""Which items are like an item: against the same arithmetic written out pair by pair, and planted neighbours."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recsys.recommenders.similar import nearest, similarity, unit_rows

Rows = NDArray[np.float32]
N = 40


def cosine(a: Rows, b: Rows) -> float:
    lengths = math.sqrt(sum(float(x) ** 2 for x in a)) * math.sqrt(sum(float(x) ** 2 for x in b))
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0


def world(seed: int, n: int = N) -> tuple[Rows, Rows]:
    """Features of any length, some items without any; like rates."""
    rng = np.random.default_rng(seed)
    features = (rng.normal(size=(n, 6)) * rng.exponential(size=(n, 1))).astype(np.float32)
    features[rng.random(n) < 0.2] = 0
    return features, rng.random(n).astype(np.float32)


@settings(deadline=None)
@given(st.integers(0, 1_000), st.integers(0, N - 1))
def test_equals_the_formula_pair_by_pair(seed: int, position: int) -> None:
    features, mean = world(seed)
    expected = [cosine(features[i], features[position]) for i in range(N)]
    assert similarity(features, position) == pytest.approx(expected, abs=1e-5)
    chosen = nearest(features, mean, position, 7)
    assert position not in chosen
    assert len(set(chosen.tolist())) == 7
    best = sorted((expected[i] for i in range(N) if i != position), reverse=True)[:7]
    assert [expected[i] for i in chosen] == pytest.approx(best, abs=1e-5)


def test_planted_neighbours_are_found() -> None:
    """Four items point one way with features of any length, the others another; an opposite one comes last."""
    features = np.tile(np.array([0, 1, 0, 0], np.float32), (12, 1))
    group = [2, 5, 7, 11]
    for length, item in enumerate(group, start=1):
        features[item] = [0.1 * length, 0, 0, 0]
    features[9] = [-1, 0, 0, 0]
    mean = np.linspace(0, 1, 12, dtype=np.float32)
    order = nearest(features, mean, 2, 12).tolist()
    assert order[:3] == [11, 7, 5], "equals by like rate"
    assert order[-1] == 9
    assert len(order) == 11


def test_one_item_has_no_neighbours() -> None:
    assert nearest(*world(0, n=1), 0, 10).tolist() == []


def test_unit_rows() -> None:
    rows = np.array([[3, 4], [0, 0], [0, -1e-6]], np.float32)
    assert unit_rows(rows).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0], [0, -1]]
    assert unit_rows(np.zeros((0, 4), np.float32)).shape == (0, 4)
    assert unit_rows(np.zeros((3, 0), np.float32)).shape == (3, 0)
