"""A learner that follows the log: which rows it is given, when it is asked for a model, and its checkpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.catalogue import Items
from recsys.recommenders.arrays import packed, unpacked
from recsys.recommenders.live import LEAST_CANDIDATES, LiveFollower
from recsys.recommenders.port import AtOnce, Live, Positions, TrainingData
from recsys.schemas import EVENT_SCHEMA
from tests.unit.by_hand import AT, catalogue_of, rng

FAST = settings(deadline=None, max_examples=30)
EPOCH = 3
CATALOGUE = catalogue_of("a", "ab", "b", "", "ac", "c")


class Noting:
    """Implements Live, and keeps what it is told."""

    def __init__(self, blob: bytes = b"") -> None:
        self.numbers: list[int] = []  # of the rows
        self.batches: list[int] = []
        self.fits: list[tuple[TrainingData, Any, float]] = []
        self.error: Exception | None = None
        self.in_background: Callable[[], object] | None = None
        self.blob = blob

    def add(self, rows: pl.DataFrame) -> None:
        self.numbers += rows["n"].to_list()
        self.batches.append(rows.height)

    def fit(self, data: TrainingData, previous: Any, rng: np.random.Generator) -> Any:
        self.fits.append((data, previous, rng.random()))
        if self.error is not None:
            raise self.error
        if self.in_background is not None:
            data.background.submit(self.in_background)
        return Dumped(self.blob)

    def load(self, blob: bytes, items: Items) -> Any:
        return Dumped(blob)


class Dumped:
    def __init__(self, blob: bytes) -> None:
        self._blob = blob

    def rank(self, *_: Any) -> Positions:
        return np.zeros(0, np.int64)

    def dump(self) -> bytes:
        return self._blob


class Saving(Noting):
    """Implements Resumable: it wants to see the last rows before a restart again."""

    def __init__(self, again: int = 0) -> None:
        super().__init__()
        self._again = again
        self.resumed: list[tuple[bytes, int]] = []

    def save(self) -> bytes:
        return repr(self.numbers).encode()

    def resume(self, saved: bytes, row: int) -> int:
        self.resumed.append((saved, row))
        return max(row - self._again, 0)


class Waiting(Executor):
    """Does nothing until it is told to."""

    def __init__(self) -> None:
        self.tasks: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.tasks.append((future, lambda: fn(*args, **kwargs)))
        return future

    def work(self) -> None:
        for future, task in self.tasks:
            future.set_result(task())
        self.tasks.clear()


def follower_of(learner: Live, background: Executor | None = None, **of: Any) -> LiveFollower:
    return LiveFollower(learner, epoch=EPOCH, seed=5, background=background or AtOnce(), **of)


def numbered(first: int, end: int) -> pl.DataFrame:
    return pl.DataFrame({"n": range(first, end)}, schema={"n": pl.Int64})


def fit(follower: LiveFollower, items: Items | None = None) -> Any:
    return follower.fit(items or CATALOGUE.items(), AT, no_log)


def no_log() -> pl.LazyFrame:
    return pl.LazyFrame(schema=EVENT_SCHEMA)


# rows


@FAST
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6)), max_size=12))
def test_each_row_comes_once_and_in_order_whatever_is_offered(offers: list[tuple[int, int]]) -> None:
    learner = Noting()
    follower = follower_of(learner)
    for back, size in offers:
        first = max(follower.next_row - back, 0)
        follower.add(first, numbered(first, first + size))
        assert learner.numbers == list(range(follower.next_row))


def test_nothing_new_is_not_even_offered() -> None:
    learner = Noting()
    follower = follower_of(learner)
    follower.add(0, numbered(0, 4))
    follower.add(0, numbered(0, 0))
    follower.add(4, numbered(4, 4))
    follower.add(1, numbered(1, 4))
    follower.add(2, numbered(2, 5))
    assert (learner.batches, follower.next_row) == ([4, 1], 5)


# fits


def test_before_the_first_fit_there_is_something_new_and_no_model() -> None:
    follower = follower_of(Noting())
    assert follower.changed(CATALOGUE.items())
    assert (follower.fitted, follower.model) == (None, None)


def test_there_is_something_new_if_rows_or_records_came() -> None:
    catalogue = catalogue_of("a", "b")
    follower = follower_of(Noting())
    fit(follower, catalogue.items())
    assert not follower.changed(catalogue.items())
    follower.add(0, numbered(0, 1))
    assert follower.changed(catalogue.items())
    fit(follower, catalogue.items())
    assert not follower.changed(catalogue.items())
    catalogue.extend([catalogue.history[0].model_copy(update={"genres": ("c",)})])
    assert follower.changed(catalogue.items())
    fit(follower, catalogue.items())
    assert not follower.changed(catalogue.items())


def test_what_was_done_in_the_background_is_something_new() -> None:
    learner, background = Noting(), Waiting()
    learner.in_background = lambda: "done"
    follower = follower_of(learner, background)
    fit(follower)
    assert not follower.changed(CATALOGUE.items())
    background.work()
    assert follower.changed(CATALOGUE.items())
    learner.in_background = None
    fit(follower)
    assert not follower.changed(CATALOGUE.items())


def test_what_was_done_while_it_was_fitted_is_for_the_next_fit() -> None:
    learner = Noting()
    learner.in_background = lambda: "at once"
    follower = follower_of(learner, AtOnce())
    fit(follower)
    assert follower.changed(CATALOGUE.items())


def test_what_failed_in_the_background_was_done_too() -> None:
    def fail() -> None:
        raise ValueError("no luck")

    learner = Noting()
    learner.in_background = fail
    follower = follower_of(learner, AtOnce())
    fit(follower)
    assert follower.changed(CATALOGUE.items())


def test_a_learner_is_told_all_that_it_may_look_at() -> None:
    learner = Noting()
    follower = follower_of(learner)
    follower.add(0, numbered(0, 7))
    log = pl.LazyFrame(schema=EVENT_SCHEMA)
    model = follower.fit(CATALOGUE.items(), AT, lambda: log).model
    follower.fit(CATALOGUE.items(), AT + 1, lambda: log)
    (data, before, drawn), (later, previous, drawn_later) = learner.fits
    assert (data.epoch, data.rows, data.at, data.items) == (EPOCH, 7, AT, CATALOGUE.items())
    assert data.scan() is log
    assert data.background.submit(lambda: 7).result() == 7
    assert (before, previous, later.at) == (None, model, AT + 1)
    assert drawn == drawn_later == np.random.default_rng([5, EPOCH]).random(), "luck is that of seed and epoch alone"


def test_a_fit_is_known_by_what_it_gave() -> None:
    times = iter([10.0, 12.5])
    follower = follower_of(Noting(b"blob"), clock=lambda: next(times))
    follower.add(0, numbered(0, 7))
    fitted = fit(follower)
    assert follower.fitted is fitted
    assert follower.model is fitted.model
    assert (fitted.blob, fitted.rows, fitted.items, fitted.seconds) == (b"blob", 7, CATALOGUE.items(), 2.5)
    assert fitted.version == hashlib.blake2b(b"blob", digest_size=8).hexdigest()


def test_equal_contents_are_equal_versions_and_only_these() -> None:
    versions = [fit(follower_of(Noting(blob))).version for blob in (b"", b"one", b"one", b"other")]
    assert versions[1] == versions[2]
    assert len(set(versions)) == 3


def test_a_fit_that_fails_leaves_the_model_in_force_and_is_tried_again() -> None:
    learner = Noting(b"one")
    follower = follower_of(learner)
    before = fit(follower)
    follower.add(0, numbered(0, 1))
    learner.error = ValueError("no luck")
    with pytest.raises(ValueError, match="no luck"):
        fit(follower)
    assert follower.fitted is before
    assert follower.changed(CATALOGUE.items())
    learner.error = None
    assert fit(follower).rows == 1


# exploration


def test_one_that_explores_nothing_has_no_candidates() -> None:
    assert follower_of(Noting()).candidates(10, rng()) == []


@pytest.mark.parametrize(("shown", "asked"), [(0, 1_000), (200, 1_200), (334, 1_336), (1_000, 4_000)])
def test_a_new_queue_lasts_even_if_the_traffic_grows(shown: int, asked: int) -> None:
    class Exploring(Noting):
        def candidates(self, size: int, rng: np.random.Generator) -> Positions:
            return rng.permutation(size)

    found = follower_of(Exploring()).candidates(shown, rng(2))
    assert found == rng(2).permutation(asked).tolist()
    assert all(type(position) is int for position in found[:3])
    assert asked - shown >= LEAST_CANDIDATES, "what was shown meanwhile is left out"


# checkpoints


def test_one_that_cannot_save_has_no_checkpoint() -> None:
    follower = follower_of(Noting())
    assert follower.save() is None
    with pytest.raises(ValueError, match="makes no checkpoints"):
        follower.resume(packed(made_by="", row=0, learner=np.zeros(0, np.uint8)), 9)


@pytest.mark.parametrize(("again", "next_row"), [(0, 7), (3, 4), (100, 0)])
def test_a_learner_says_from_where_on_it_wants_rows_after_a_restart(again: int, next_row: int) -> None:
    first = follower_of(Saving())
    first.add(0, numbered(0, 7))
    saved = first.save()
    assert saved is not None
    learner = Saving(again)
    second = follower_of(learner)
    second.resume(saved, 7)
    assert learner.resumed == [(b"[0, 1, 2, 3, 4, 5, 6]", 7)]
    assert second.next_row == next_row
    second.add(next_row, numbered(next_row, 9))
    assert learner.numbers == list(range(next_row, 9))
    assert second.changed(CATALOGUE.items())


@pytest.mark.parametrize("saved", [b"", b"\x00", b"any bytes"])
def test_what_a_learner_saved_comes_back_byte_by_byte(saved: bytes) -> None:
    learner = Saving()
    learner.save = lambda: saved  # type: ignore[method-assign]
    blob = follower_of(learner).save()
    assert blob is not None
    follower_of(learner).resume(blob, 0)
    assert learner.resumed == [(saved, 0)]


def checkpoint(rows: int = 7, **of: Any) -> bytes:
    follower = follower_of(Saving(), **of)
    follower.add(0, numbered(0, rows))
    saved = follower.save()
    assert saved is not None
    return saved


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (checkpoint(made_by="popular {}"), "of another learner, or of other options"),
        (checkpoint(8), "it is of 8 rows, but the log has 7"),
        (packed(made_by="", row=-1, learner=np.zeros(0, np.uint8)), "it is of -1 rows"),
        (packed(**{**unpacked(checkpoint()), "more": 1}), "of another learner"),
        (packed(row=7, learner=np.zeros(0, np.uint8)), "of another learner"),
        (packed(sums=np.ones((3, 6)), scalars=np.ones(5)), "of another learner"),
        (checkpoint()[:-1], "no packed arrays"),
        (b"", "no packed arrays"),
        (b"no checkpoint", None),
    ],
    ids=["other learner", "beyond the log", "impossible", "more", "less", "older version", "cut off", "empty", "other"],
)
def test_a_checkpoint_that_is_of_no_use_is_refused(saved: bytes, message: str | None) -> None:
    learner = Saving()
    follower = follower_of(learner)
    with pytest.raises(ValueError, match=message):
        follower.resume(saved, 7)
    assert (learner.resumed, follower.next_row) == ([], 0), "it is as new"


def test_a_checkpoint_of_the_whole_log_is_of_use() -> None:
    follower = follower_of(Saving())
    follower.resume(checkpoint(7), 7)
    assert follower.next_row == 7
