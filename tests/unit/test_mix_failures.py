"""Sources that fail: that costs their places in the list, and never the list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.recommenders.mix import EXPLORE, RANDOM, Mix, Rubbish, Slate, Source, checked
from recsys.recommenders.port import Bools, ExplorationShare, Floats, Positions, Query, Ranked
from recsys.user_state import UserState
from tests.unit.by_hand import NOBODY, items_of, query_of, rng, shown, user_of

FAST = settings(deadline=None, max_examples=200)
N = 40
SEEN = (0, 3, 17)
Answer = Callable[[Bools, int], Any]


class Faulty:
    """Implements Model and Scoring: answers what it is told to, or raises it."""

    def __init__(self, answer: Answer, scores: Callable[[Positions], Any] = lambda positions: None) -> None:
        self._answer, self._scores = answer, scores

    def rank(self, query: Query, eligible: Bools, k: int, rng: np.random.Generator) -> Any:
        return self._answer(eligible, k)

    def scores(self, query: Query, positions: Positions) -> Any:
        return self._scores(positions)

    def dump(self) -> bytes:
        return b""


def in_order(eligible: Bools, k: int) -> Positions:
    return np.flatnonzero(eligible)[:k]


def raising(error: Exception) -> Answer:
    def answer(*_: Any) -> Any:
        raise error

    return answer


class Bench:
    """A faulty source before a good one, and what is told of them."""

    def __init__(
        self, faulty: Faulty, knows: int = N, share: float = 0.0, good: Faulty | None = None, diversity: float = 0.15
    ) -> None:
        self.told: list[tuple[str, Exception]] = []
        sources = [Source("faulty", faulty, knows), Source("good", good or Faulty(in_order), N)]
        exploration = ExplorationShare(share, share)
        items = items_of(N, np.eye(2, dtype=bool)[np.arange(N) % 2])
        self._mix = Mix(items, sources, exploration, diversity, lambda *told: self.told.append(told))

    def fill(self, user: UserState = NOBODY, offered: tuple[int, ...] = ()) -> Slate:
        return self._mix.fill(query_of(user), 10, offered, rng())


def a_list(slate: Slate, seen: tuple[int, ...] = SEEN) -> bool:
    """Whether it is one of ten different items that the user has not seen."""
    return len(set(slate.positions)) == len(slate.positions) == 10 and not {*seen, -1, N} & set(slate.positions)


FAULTS: dict[str, Answer] = {
    "raises": raising(RuntimeError("no luck")),
    "stops": raising(StopIteration()),
    "runs out of memory": raising(MemoryError()),
    "None": lambda eligible, k: None,
    "a number": lambda eligible, k: 7,
    "text": lambda eligible, k: "items",
    "a set": lambda eligible, k: {1, 2},
    "unknown": lambda eligible, k: [1, N],
    "far beyond": lambda eligible, k: [2**62],
    "too large for any integer": lambda eligible, k: [2**70],
    "negative": lambda eligible, k: [5, -1],
    "repeated": lambda eligible, k: [1, 2, 1],
    "shown before": lambda eligible, k: [1, 3],
    "ids": lambda eligible, k: ["i1", "i2"],
    "floats": lambda eligible, k: np.array([1.0, 2.0]),
    "a mask": lambda eligible, k: eligible,
    "objects": lambda eligible, k: np.array([1, None]),
    "a table": lambda eligible, k: np.array([[1, 2], [4, 5]]),
    "of different lengths": lambda eligible, k: [[1, 2], [4]],
    "positions and scores that are not Ranked": lambda eligible, k: (np.array([1, 2]), np.array([0.5, 0.4])),
    "a NaN score": lambda eligible, k: Ranked(np.array([1, 2]), np.array([np.nan, 1], np.float32)),
    "an infinite score": lambda eligible, k: Ranked(np.array([1, 2]), np.array([np.inf, 1], np.float32)),
    "too few scores": lambda eligible, k: Ranked(np.array([1, 2]), np.array([1], np.float32)),
    "too many scores": lambda eligible, k: Ranked(np.array([1, 2]), np.ones(3, np.float32)),
    "scores as a table": lambda eligible, k: Ranked(np.array([1, 2]), np.ones((2, 1), np.float32)),
    "one score": lambda eligible, k: Ranked(np.array([1, 2]), np.float32(1)),
    "scores as text": lambda eligible, k: Ranked(np.array([1, 2]), np.array(["a", "b"])),
    "complex scores": lambda eligible, k: Ranked(np.array([1, 2]), np.array([1j, 2])),
    "scores without positions": lambda eligible, k: Ranked(None, np.ones(2)),
    "writes into what it is given": lambda eligible, k: eligible.fill(True),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_source_that_fails_loses_its_places_to_the_next(fault: str) -> None:
    bench = Bench(Faulty(FAULTS[fault]))
    slate = bench.fill(shown(*SEEN))
    assert a_list(slate)
    assert slate.sources == ["good"] * 10
    ((name, error),) = bench.told
    assert name == "faulty"
    assert isinstance(error, Exception)


@pytest.mark.parametrize("fault", FAULTS)
def test_where_all_sources_fail_lists_are_random(fault: str) -> None:
    bench = Bench(Faulty(FAULTS[fault]), good=Faulty(FAULTS[fault]))
    slate = bench.fill(shown(*SEEN))
    assert a_list(slate)
    assert slate.sources == [RANDOM] * 10
    assert [name for name, _ in bench.told] == ["faulty", "good"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_source_that_fails_behind_a_good_one_harms_nothing(fault: str) -> None:
    told: list[str] = []
    few = Faulty(lambda eligible, k: in_order(eligible, 4))
    sources = [Source("good", few, N), Source("faulty", Faulty(FAULTS[fault]), N)]
    slate = Mix(items_of(N), sources, failed=lambda name, error: told.append(name)).fill(
        query_of(shown(*SEEN)), 10, [], rng()
    )
    assert a_list(slate)
    assert slate.sources == ["good"] * 4 + [RANDOM] * 6
    assert told == ["faulty"]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("unknown", "positions from 1 to 40, but there are 40 items"),
        ("negative", "positions from -1 to 5, but there are 40 items"),
        ("repeated", "a position comes twice"),
        ("shown before", "a position that is not eligible: this user has seen it"),
        ("floats", "positions must be whole numbers (m,), not float64 of shape (2,)"),
        ("a table", "positions must be whole numbers (m,), not int64 of shape (2, 2)"),
        ("a NaN score", "scores must be numbers below 1e+30, one for each of 2 positions"),
        ("too few scores", "scores must be numbers below 1e+30, one for each of 2 positions"),
    ],
)
def test_rubbish_is_told_in_a_sentence(fault: str, sentence: str) -> None:
    bench = Bench(Faulty(FAULTS[fault]))
    bench.fill(shown(*SEEN))
    ((_, error),) = bench.told
    assert isinstance(error, Rubbish)
    assert str(error) == sentence


def test_what_a_source_raised_is_told_as_it_is() -> None:
    error = RuntimeError("no luck")
    bench = Bench(Faulty(raising(error)))
    bench.fill()
    assert bench.told == [("faulty", error)]


def test_of_a_failed_source_nothing_is_shown_not_even_what_is_right() -> None:
    bench = Bench(Faulty(lambda eligible, k: [39, 38, 37, 38]))
    assert not {37, 38, 39} & set(bench.fill().positions)


def test_what_a_model_may_not_know_of_is_unknown_to_it() -> None:
    """Position 30 is in the catalogue, but not among the 20 items that it was loaded for."""
    bench = Bench(Faulty(lambda eligible, k: [30]), knows=20)
    assert bench.fill().sources == ["good"] * 10
    assert [str(error) for _, error in bench.told] == ["positions from 30 to 30, but there are 20 items"]


def test_what_is_on_its_way_to_an_explore_place_is_not_eligible() -> None:
    bench = Bench(Faulty(lambda eligible, k: [30, 31]), share=0.3)
    slate = bench.fill(offered=(30,))
    assert slate.positions.count(30) == 1
    assert slate.sources == ["good"] * 9 + [EXPLORE]


def test_a_later_source_may_not_repeat_an_earlier_one() -> None:
    bench = Bench(Faulty(lambda eligible, k: [30, 31]), good=Faulty(lambda eligible, k: [31, 32]))
    slate = bench.fill()
    assert a_list(slate, ())
    assert slate.sources == ["faulty"] * 2 + [RANDOM] * 8
    assert [name for name, _ in bench.told] == ["good"]


def test_a_source_that_writes_into_what_it_is_given_spoils_nothing_for_the_others() -> None:
    def spoil(eligible: Bools, k: int) -> Positions:
        eligible[:] = False
        return in_order(eligible, k)

    bench = Bench(Faulty(spoil))
    assert bench.fill().sources == ["good"] * 10
    assert [type(error) for _, error in bench.told] == [ValueError]


@FAST
@given(
    st.lists(st.integers(-2, N + 1), max_size=60),
    st.none() | st.lists(st.floats(-1e6, 1e6, width=32) | st.just(np.nan) | st.just(np.inf), max_size=60),
    st.integers(0, N),
    st.sets(st.integers(0, N - 1)),
)
def test_whatever_a_source_answers_every_list_is_one(
    positions: list[int], scores: list[float] | None, knows: int, seen: set[int]
) -> None:
    found = None if scores is None else np.array(scores, np.float32)
    bench = Bench(Faulty(lambda eligible, k: Ranked(np.array(positions, np.int64), found)), knows=knows)
    slate = bench.fill(shown(*seen))
    unseen = N - len(seen)
    assert len(slate.positions) == len(set(slate.positions)) == 10
    assert not seen & set(slate.positions[: min(10, unseen)])
    right = (
        len(set(positions)) == len(positions)
        and all(0 <= p < knows and p not in seen for p in positions)
        and (found is None or (len(found) == len(positions) and bool(np.isfinite(found).all())))
    )
    assert len(bench.told) == (not right and bool(positions))
    if right:
        of_source = [p for p, source in zip(slate.positions, slate.sources, strict=True) if source == "faulty"]
        assert len(of_source) == min(len(positions), 10)
        assert set(of_source) <= set(positions)


@pytest.mark.parametrize("scores", [[3, 1, 2], [True, False, True], [3.0, 1.0, 2.0]], ids=["int", "bool", "float"])
def test_scores_may_be_any_real_numbers_but_truths(scores: list[Any]) -> None:
    ranked = Ranked(np.array([5, 6, 7]), np.array(scores))
    if isinstance(scores[0], bool):
        with pytest.raises(Rubbish):
            checked(ranked, np.ones(N, bool))
    else:
        assert checked(ranked, np.ones(N, bool)) is not ranked
        assert checked(ranked, np.ones(N, bool)).positions.tolist() == [5, 6, 7]


# who has to say which candidates suit a user

SCORE_FAULTS: dict[str, Callable[[Positions], Any]] = {
    "raises": raising(RuntimeError("no luck")),
    "too few": lambda positions: np.ones(len(positions) - 1, np.float32),
    "too many": lambda positions: np.ones(len(positions) + 1, np.float32),
    "a table": lambda positions: np.ones((2, len(positions)), np.float32),
    "text": lambda positions: ["good"] * len(positions),
}


@pytest.mark.parametrize("fault", SCORE_FAULTS)
def test_where_scores_fail_the_next_source_says_what_suits(fault: str) -> None:
    knowing = Faulty(in_order, lambda positions: -positions.astype(np.float32))
    bench = Bench(Faulty(in_order, SCORE_FAULTS[fault]), share=0.2, good=knowing)
    slate = bench.fill(offered=(30, 20, 35, 25))
    assert slate.positions[-2:] == [20, 25]
    assert slate.sources == ["faulty"] * 8 + [EXPLORE] * 2, "it may rank all the same"
    assert [name for name, _ in bench.told] == ["faulty"]


@pytest.mark.parametrize("fault", SCORE_FAULTS)
def test_where_all_scores_fail_the_first_candidates_are_shown(fault: str) -> None:
    broken = Faulty(in_order, SCORE_FAULTS[fault])
    bench = Bench(broken, share=0.2, good=broken)
    assert bench.fill(offered=(30, 20, 35, 25)).positions[-2:] == [30, 20]
    assert [name for name, _ in bench.told] == ["faulty", "good"]


@pytest.mark.parametrize("scores", [[np.nan] * 4, [np.inf, -np.inf, np.nan, 0.0]])
def test_scores_that_are_no_numbers_fill_the_explore_places_all_the_same(scores: list[float]) -> None:
    def found(positions: Positions) -> Floats:
        return np.array(scores, np.float32)

    slate = Bench(Faulty(in_order, found), share=0.2).fill(user_of(), offered=(30, 20, 35, 25))
    assert a_list(slate, ())
    assert set(slate.positions[-2:]) <= {30, 20, 35, 25}
    assert slate.sources[-2:] == [EXPLORE] * 2
