"""A time limit for code of somebody's own: with models that hang until they are let go, and a clock that is moved."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from typing import Any, Final

import numpy as np
import pytest

from recsys.recommenders.guard import FIRST_PAUSE_S, LONGEST_PAUSE_S, Guard, Late
from recsys.recommenders.mix import Mix, Source
from recsys.recommenders.port import NOTHING, Bools, Floats, Positions, Query, Ranked, Scoring
from tests.unit.by_hand import items_of, query_of, rng

EVER: Final = 60.0  # seconds: nobody needs so long
AT_ONCE: Final = 0.001


class Bench:
    """A guard, its clock, and a function that hangs until it is let go."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.guard = Guard(EVER, lambda: self.now)
        self.hanging, self.let_go = threading.Event(), threading.Event()
        self.hangs = 0

    def hang(self) -> str:
        self.hangs += 1
        self.hanging.set()
        self.let_go.wait()
        return "too late"

    def be_late(self) -> str:
        """What is told of it. The function goes on hanging."""
        self.hanging.clear()
        self.let_go.clear()
        self.guard._timeout_s = AT_ONCE
        with pytest.raises(Late) as late:
            self.guard.call(self.hang, "otherwise")
        self.guard._timeout_s = EVER
        self.hanging.wait()
        return str(late.value)

    def come_back(self) -> None:
        self.let_go.set()
        assert self.guard._running is not None
        wait([self.guard._running])

    def answers(self) -> bool:
        """Whether the source is asked again: what it is asked for takes no time."""
        return self.guard.call(lambda: True, False)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.let_go.set()


def test_what_comes_in_time_is_the_answer(bench: Bench) -> None:
    assert [bench.guard.call(lambda n=n: n, -1) for n in range(5)] == [0, 1, 2, 3, 4]
    assert bench.guard.call(lambda: None, "otherwise") is None


def test_all_is_done_in_one_thread_that_keeps_no_process_alive(bench: Bench) -> None:
    threads = {bench.guard.call(threading.current_thread, threading.main_thread()) for _ in range(3)}
    (thread,) = threads
    assert thread.daemon
    assert thread not in (threading.current_thread(), threading.main_thread())


def test_before_the_first_call_there_is_no_thread() -> None:
    def guarded() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "guarded"]

    before = guarded()
    guard = Guard(EVER)
    assert guarded() == before
    guard.call(lambda: None, None)
    assert len(guarded()) == len(before) + 1


def test_what_is_late_is_told_and_left_out_for_a_moment(bench: Bench) -> None:
    assert bench.be_late() == "no answer within 0.001 s; left out for 1 s"
    bench.come_back()
    assert not bench.answers()
    bench.now += 0.999
    assert not bench.answers()
    bench.now += 0.001
    assert bench.answers()


def test_one_that_hangs_is_left_out_until_it_has_come_back_however_long_that_takes(bench: Bench) -> None:
    """And costs nobody another wait: it is not even begun again."""
    bench.be_late()
    bench.now += 1e6
    assert [bench.answers() for _ in range(100)] == [False] * 100
    assert bench.hangs == 1
    bench.come_back()
    assert bench.answers()


def test_what_comes_too_late_is_nobodys_answer(bench: Bench) -> None:
    bench.be_late()
    bench.come_back()
    bench.now += FIRST_PAUSE_S
    assert bench.guard.call(lambda: "in time", "otherwise") == "in time"


def test_who_is_late_again_is_left_out_twice_as_long(bench: Bench) -> None:
    pauses = []
    for _ in range(9):
        told = bench.be_late()
        bench.come_back()
        pauses.append(float(told.removesuffix(" s").rpartition(" ")[2]))
        bench.now += pauses[-1] - 0.5
        assert not bench.answers()
        bench.now += 0.5
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert (pauses[0], pauses[-1]) == (FIRST_PAUSE_S, LONGEST_PAUSE_S)
    assert bench.answers()


def test_one_answer_in_time_makes_up_for_it(bench: Bench) -> None:
    for _ in range(3):
        bench.be_late()
        bench.come_back()
        bench.now += LONGEST_PAUSE_S
    assert bench.answers()
    assert bench.be_late().endswith("left out for 1 s")


@pytest.mark.parametrize("error", [ValueError("no luck"), KeyError("i7"), TimeoutError("a store of its own"), Late()])
def test_what_it_raises_itself_is_raised_and_keeps_nobody_waiting(bench: Bench, error: Exception) -> None:
    def fail() -> str:
        raise error

    with pytest.raises(type(error)) as raised:
        bench.guard.call(fail, "otherwise")
    assert raised.value is error
    assert bench.answers()


def test_what_raises_too_late_raises_for_nobody(bench: Bench) -> None:
    def fail() -> None:
        bench.let_go.wait()
        raise ValueError("no luck")

    bench.guard._timeout_s = AT_ONCE
    with pytest.raises(Late):
        bench.guard.call(fail, None)
    bench.guard._timeout_s = EVER
    bench.come_back()
    bench.now += FIRST_PAUSE_S
    assert bench.answers()


def test_one_that_hangs_hinders_no_other(bench: Bench) -> None:
    bench.be_late()
    assert Guard(EVER).call(lambda: "its own thread", "otherwise") == "its own thread"


# models


class Ranking:
    """Implements Model: draws, then ranks what is eligible from the end."""

    def __init__(self, draws: int = 0, before: Callable[[], Any] = lambda: None) -> None:
        self._draws, self._before = draws, before
        self.drawn: list[float] = []

    def rank(self, query: Query, eligible: Bools, k: int, rng: np.random.Generator) -> Ranked:
        self._before()
        self.drawn = rng.random(self._draws).tolist()
        return Ranked(np.flatnonzero(eligible)[::-1][:k])

    def dump(self) -> bytes:
        return b"dumped"


class Scored(Ranking):
    """Implements Scoring too."""

    def scores(self, query: Query, positions: Positions) -> Floats | None:
        self._before()
        return positions.astype(np.float32)


def test_a_guarded_model_ranks_as_it_would_alone(bench: Bench) -> None:
    model = bench.guard.around(Ranking())
    answer = model.rank(query_of(), np.array([True, False, True, True]), 2, rng())
    assert isinstance(answer, Ranked)
    assert answer.positions.tolist() == [3, 2]
    assert model.dump() == b"dumped"


def test_it_scores_only_if_it_can_alone(bench: Bench) -> None:
    assert not isinstance(bench.guard.around(Ranking()), Scoring)
    model = bench.guard.around(Scored())
    assert isinstance(model, Scoring)
    assert model.scores(query_of(), np.array([3, 1])) == pytest.approx([3, 1])


@pytest.mark.parametrize("draws", [0, 1, 1_000])
def test_what_it_draws_changes_nothing_for_those_after_it(bench: Bench, draws: int) -> None:
    """One that is late goes on drawing, at any moment."""
    expected = rng(7)
    expected.integers(2**63)
    generator = rng(7)
    bench.guard.around(Ranking(draws)).rank(query_of(), np.ones(3, bool), 2, generator)
    assert generator.random() == expected.random()


def test_what_it_draws_is_of_the_request(bench: Bench) -> None:
    drawn = []
    for seed in (1, 1, 2):
        model = Ranking(5)
        bench.guard.around(model).rank(query_of(), np.ones(3, bool), 2, rng(seed))
        drawn.append(model.drawn)
    assert drawn[0] == drawn[1] != drawn[2]


def test_while_it_is_left_out_it_knows_nothing(bench: Bench) -> None:
    bench.be_late()
    model = bench.guard.around(Scored())
    assert isinstance(model, Scoring)
    assert model.rank(query_of(), np.ones(3, bool), 2, rng()) is NOTHING
    assert model.scores(query_of(), np.array([1])) is None


def test_a_list_goes_on_without_a_source_that_hangs(bench: Bench) -> None:
    """The first list waits for it as long as it may; the others do not wait, and nobody is told again."""
    told: list[tuple[str, Exception]] = []
    bench.guard._timeout_s = AT_ONCE
    hanging = bench.guard.around(Ranking(before=bench.hang))
    sources = [Source("mine", hanging, 20), Source("next", Ranking(), 20)]
    mix = Mix(items_of(20), sources, failed=lambda *what: told.append(what))
    for _ in range(50):
        assert mix.fill(query_of(), 5, [], rng()).sources == ["next"] * 5
    assert [(source, type(error)) for source, error in told] == [("mine", Late)]
    bench.come_back()
    bench.now += FIRST_PAUSE_S
    bench.guard._timeout_s = EVER
    assert mix.fill(query_of(), 5, [], rng()).sources == ["mine"] * 5
