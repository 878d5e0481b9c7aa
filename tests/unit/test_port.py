"""What every recommender may use: the best of many scores, and work that is done at once."""

from __future__ import annotations

from concurrent.futures import Future

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.recommenders import port
from recsys.recommenders.port import NOTHING, AtOnce, Live, Scoring, ranked_by

FAST = settings(deadline=None, max_examples=200)
SCORE = st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0]) | st.floats(-100, 100, width=32)


@pytest.mark.parametrize("block", [1, 3, 16])
@FAST
@given(st.lists(st.tuples(SCORE, st.booleans()), max_size=80), st.integers(0, 20))
def test_the_best_are_the_eligible_ones_with_the_highest_scores(
    block: int, items: list[tuple[float, bool]], k: int
) -> None:
    scores, eligible = np.array([score for score, _ in items], np.float32), np.array([may for _, may in items], bool)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(port, "BLOCK", block)
        found, values = ranked_by(scores, eligible, k)
    best = sorted(np.flatnonzero(eligible).tolist(), key=lambda position: (-scores[position], position))[:k]
    assert values is not None
    assert values.tolist() == scores[found].tolist() == scores[best].tolist()
    assert len(set(found.tolist())) == len(found)
    assert eligible[found].all()
    # Equals are in the order of the catalogue; of those that equal the last one any may be there.
    above = [position for position in best if scores[position] > scores[best[-1]]] if best else []
    assert found[: len(above)].tolist() == above
    assert found[len(above) :].tolist() == sorted(found[len(above) :].tolist())


def test_many_scores_are_ranked_like_few() -> None:
    scores = np.random.default_rng(0).random(50_000, dtype=np.float32)
    eligible = np.arange(50_000) % 7 > 0
    found, _ = ranked_by(scores, eligible, 40)
    order = np.argsort(-scores, kind="stable")
    assert found.tolist() == order[eligible[order]][:40].tolist()


def test_nothing_given_is_changed() -> None:
    scores, eligible = np.array([3, 1, 2], np.float32), np.array([True, False, True])
    eligible.flags.writeable = False
    ranked_by(scores, eligible, 2)
    assert (scores.tolist(), eligible.tolist()) == ([3, 1, 2], [True, False, True])


def test_what_is_done_at_once_is_done() -> None:
    future = AtOnce().submit(lambda a, b: a - b, 7, b=4)
    assert isinstance(future, Future)
    assert (future.done(), future.result()) == (True, 3)


def test_what_fails_at_once_fails_when_it_is_collected() -> None:
    future = AtOnce().submit(int, "seven")
    assert future.done()
    with pytest.raises(ValueError, match="seven"):
        future.result()


def test_nothing_is_an_empty_ranking() -> None:
    assert (len(NOTHING.positions), NOTHING.positions.dtype, NOTHING.scores) == (0, np.int64, None)


def test_what_one_is_is_seen_by_its_methods() -> None:
    class Half:
        def add(self, rows: object) -> None: ...

    assert not isinstance(Half(), Live)
    assert not isinstance(Half(), Scoring)
