"""What every recommender has to beat."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from recsys.recommenders.port import AtOnce, Live, Resumable, TrainingData
from recsys.recommenders.random import Random, RandomModel
from recsys.schemas import EVENT_SCHEMA
from tests.unit.by_hand import AT, items_of, query_of, rng

DATA = TrainingData(1, items_of(20), 0, AT, lambda: pl.LazyFrame(schema=EVENT_SCHEMA), AtOnce())


def test_every_eligible_item_is_as_likely_as_the_others() -> None:
    """Of 16 eligible items each list has 4."""
    eligible, generator = np.arange(20) >= 4, rng()
    lists = [RandomModel().rank(query_of(), eligible, 4, generator).tolist() for _ in range(800)]
    assert all(len(set(positions)) == 4 for positions in lists)
    count = np.bincount(np.concatenate(lists), minlength=20)
    assert count[:4].tolist() == [0] * 4
    assert np.all(np.abs(count[4:] - 200) < 80)


@pytest.mark.parametrize(("eligible", "k"), [(0, 3), (2, 3), (3, 3), (5, 0)])
def test_it_ranks_as_many_as_there_are(eligible: int, k: int) -> None:
    found = RandomModel().rank(query_of(), np.arange(9) < eligible, k, rng())
    assert len(found) == min(eligible, k)
    assert set(found.tolist()) <= set(range(eligible))


def test_it_is_drawn_from_the_generator_of_the_request() -> None:
    lists = [RandomModel().rank(query_of(), np.ones(50, bool), 9, rng(seed)).tolist() for seed in (1, 1, 2)]
    assert lists[0] == lists[1] != lists[2]


def test_it_learns_nothing() -> None:
    learner = Random()
    assert isinstance(learner, Live)
    assert isinstance(learner, Resumable)
    learner.add(pl.DataFrame(schema=EVENT_SCHEMA))
    model = learner.fit(DATA, None, rng())
    assert (model.dump(), learner.save()) == (b"", b"")
    assert learner.resume(b"", 7) == 7
    assert isinstance(learner.load(b"", items_of(3)), RandomModel)
