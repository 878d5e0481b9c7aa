"""A restart of each learner from its checkpoint against a replay of the whole log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.recommenders.arrays import packed
from recsys.recommenders.bandit import slates
from recsys.recommenders.bandit.learner import Bandit
from recsys.recommenders.live import Fitted, LiveFollower
from recsys.recommenders.popularity import Popular
from recsys.recommenders.port import AtOnce, Live, Ordered
from recsys.recommenders.random import Random
from recsys.schemas import EVENT_SCHEMA
from recsys.stores.event_log import EventLog
from tests.unit.by_hand import AT, catalogue_of, query_of, rng

FAST = settings(deadline=None, max_examples=15)
EPOCH = 3
EVENTS = 60
ITEMS = 6
START = 1.7e9
CATALOGUE = catalogue_of("a", "ab", "b", "", "ac", "c")


def fit(follower: LiveFollower) -> Fitted:
    return follower.fit(CATALOGUE.items(), AT, lambda: pl.LazyFrame(schema=EVENT_SCHEMA))


def event(number: int, rng: np.random.Generator) -> pl.DataFrame:
    """A slate of four items or two reactions, of one of three users."""
    kind = str(rng.choice(["impression", "impression", "like", "dislike", "undo"]))
    items = rng.choice(6, 4 if kind == "impression" else 2, replace=False)
    rows = pl.DataFrame({"item_index": items - 1}).with_columns(
        event_id=pl.lit(f"e{number}"),
        kind=pl.lit(kind),
        user_id=pl.lit(str(rng.choice(list("uvw")))),
        item_id=pl.col("item_index").cast(pl.String),
        position=pl.int_range(pl.len()),
        source=pl.lit(""),
        # Some lists are logged after the reactions to them.
        received_at=pl.lit(START + 1e4 * (number - (kind == "impression") * rng.integers(3))),
        timestamp=None,
        undone_at=None,
    )
    return rows.select(EVENT_SCHEMA.names()).cast(dict(EVENT_SCHEMA))


@pytest.fixture
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EventLog:
    """A log in parts of one to four events, several times what slates remember."""
    monkeypatch.setattr(slates, "REMEMBERED_ROWS", 50)
    rng = np.random.default_rng(7)
    log = EventLog(tmp_path)
    events = [event(number, rng) for number in range(EVENTS)]
    cuts = np.cumsum(rng.integers(1, 5, EVENTS))
    for part in np.split(np.arange(EVENTS), cuts[cuts < EVENTS]):
        log.events(EPOCH).append(pl.concat([events[n] for n in part]))
    return log


LEARNERS: dict[str, Callable[[], Live]] = {"bandit": Bandit, "popular": Popular, "random": Random}
EACH_LEARNER = pytest.mark.parametrize("name", LEARNERS)


def new_of(name: str) -> LiveFollower:
    return LiveFollower(LEARNERS[name](), epoch=EPOCH, seed=5, background=AtOnce(), made_by=name)


def read(follower: LiveFollower, frames: Iterator[pl.DataFrame], first: int) -> LiveFollower:
    for frame in frames:
        follower.add(first, frame)
        first += frame.height
    return follower


def replayed(name: str, log: EventLog, rows: int | None = None) -> LiveFollower:
    """One that has read the log from its begin, or so many rows of it."""
    if rows is None:
        return read(new_of(name), log.events(EPOCH).frames(), 0)
    return read(new_of(name), iter([log.events(EPOCH).read().head(rows)]), 0)


def saved_of(name: str, log: EventLog, rows: int | None = None) -> bytes:
    saved = replayed(name, log, rows).save()
    assert saved is not None
    return saved


def restarted(name: str, saved: bytes, log: EventLog) -> LiveFollower:
    follower = new_of(name)
    follower.resume(saved, log.events(EPOCH).rows)
    return read(follower, log.events(EPOCH).frames(follower.next_row), follower.next_row)


def everything(follower: LiveFollower) -> tuple[object, ...]:
    """All that has been learned, and all that is made of it."""
    learned: list[object] = []
    if isinstance(follower.learner, Bandit):
        counts = follower.learner._counts
        learned += [array.tobytes() for array in counts.decayed()]
        learned += [array.tobytes() for array in vars(counts.slates.examples()).values()]
        learned.append(counts.slates.totals())
    fitted = fit(follower)
    candidates = follower.candidates(0, rng())
    return learned, fitted.blob, fitted.version, fitted.rows, candidates, follower.save()


@EACH_LEARNER
@pytest.mark.parametrize("before_the_end", [0, 1, 2, 7, 49, 50, 51, 90, 10_000])
def test_a_restart_equals_a_replay_to_the_last_bit(name: str, before_the_end: int, logged: EventLog) -> None:
    rows = max(logged.events(EPOCH).rows - before_the_end, 0)
    expected = replayed(name, logged)
    if isinstance(expected.learner, Bandit):
        assert expected.learner._counts.slates.totals()[1] > 0
    assert everything(restarted(name, saved_of(name, logged, rows), logged)) == everything(expected)


def test_a_restart_at_any_row_equals_a_replay_to_the_last_bit(logged: EventLog) -> None:
    expected = everything(replayed("bandit", logged))
    frame, follower = logged.events(EPOCH).read(), new_of("bandit")
    for row in range(frame.height + 1):
        follower.add(0, frame.head(row))
        saved = follower.save()
        assert saved is not None
        again = new_of("bandit")
        again.resume(saved, frame.height)
        again.add(again.next_row, frame.slice(again.next_row))
        assert everything(again) == expected, row


def test_restart_upon_restart_equals_a_replay_to_the_last_bit(logged: EventLog) -> None:
    frame, follower = logged.events(EPOCH).read(), new_of("bandit")
    for row in range(0, frame.height, 11):
        follower.add(follower.next_row, frame.slice(follower.next_row).head(max(row - follower.next_row, 0)))
        saved = follower.save()
        assert saved is not None
        follower = new_of("bandit")
        follower.resume(saved, frame.height)
    follower.add(follower.next_row, frame.slice(follower.next_row))
    assert everything(follower) == everything(replayed("bandit", logged))


@pytest.mark.parametrize("row", [0, 30, 60, 140])
@FAST
@given(data=st.data())
def test_after_a_restart_rows_may_come_in_any_pieces(row: int, data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slates, "REMEMBERED_ROWS", 50)
        chance = np.random.default_rng(7)
        frame = pl.concat([event(number, chance) for number in range(EVENTS)])
        whole, first, second = (new_of("bandit") for _ in range(3))
        whole.add(0, frame)
        first.add(0, frame.head(row))
        saved = first.save()
        assert saved is not None
        second.resume(saved, frame.height)
        inside = st.lists(st.integers(second.next_row, frame.height), max_size=6)
        places = sorted(data.draw(inside))
        for begin, end in zip([second.next_row, *places], [*places, frame.height], strict=True):
            second.add(begin, frame.slice(begin, end - begin))
        assert everything(second) == everything(whole)


@EACH_LEARNER
def test_the_checkpoint_is_used(name: str, logged: EventLog) -> None:
    """Rows from before what slates remember are not read again."""
    expected = everything(replayed(name, logged))
    saved = saved_of(name, logged)
    logged.events(EPOCH).parts()[0].path.write_bytes(b"unreadable")
    assert everything(restarted(name, saved, logged)) == expected


def test_only_what_slates_remember_is_read_again(logged: EventLog) -> None:
    rows = logged.events(EPOCH).rows
    for name, next_row in (("bandit", rows - 50), ("popular", rows), ("random", rows)):
        follower = new_of(name)
        follower.resume(saved_of(name, logged), rows)
        assert follower.next_row == next_row


OTHERS: Sequence[tuple[str, Callable[[], bytes]]] = (
    ("bandit", lambda: Popular().save()),
    ("popular", lambda: Bandit().save()),
    ("bandit", lambda: Bandit(half_life_days=3.0).save()),
    ("popular", lambda: Popular(half_life_days=3.0).save()),
    ("bandit", lambda: packed(scalars=np.array([7.0 * 86_400, START, START, 0]), sums=np.ones((3, 6)))),
    ("popular", lambda: packed(scalars=np.array([7.0 * 86_400, 20, START, START, 0]), sums=np.ones((3, 6)))),
    ("bandit", lambda: b"no checkpoint"),
    ("popular", lambda: b""),
)


@pytest.mark.parametrize(
    ("name", "make"),
    OTHERS,
    ids=["other", "other", "half-life", "half-life", "other kinds", "older version", "other bytes", "no bytes"],
)
def test_what_another_version_saved_is_refused_and_no_harm(
    name: str, make: Callable[[], bytes], logged: EventLog
) -> None:
    follower = new_of(name)
    saved = packed(made_by=name, row=20, learner=np.frombuffer(make(), np.uint8))
    with pytest.raises(ValueError):
        follower.resume(saved, logged.events(EPOCH).rows)
    assert follower.next_row == 0
    read(follower, logged.events(EPOCH).frames(), 0)
    assert everything(follower) == everything(replayed(name, logged))


@EACH_LEARNER
def test_a_checkpoint_beyond_the_log_is_refused_and_no_harm(name: str, logged: EventLog) -> None:
    rows = logged.events(EPOCH).read()
    twice = read(new_of(name), iter([rows, rows]), 0).save()
    assert twice is not None
    follower = new_of(name)
    with pytest.raises(ValueError, match=f"it is of {2 * rows.height} rows, but the log has {rows.height}"):
        follower.resume(twice, rows.height)
    read(follower, logged.events(EPOCH).frames(), 0)
    assert everything(follower) == everything(replayed(name, logged))


@EACH_LEARNER
def test_an_empty_log_gives_a_model_of_the_catalogue(name: str) -> None:
    follower = new_of(name)
    fitted = fit(follower)
    assert (fitted.rows, len(fitted.items)) == (0, ITEMS)
    if isinstance(fitted.model, Ordered):
        assert sorted(fitted.model.order.tolist()) == list(range(ITEMS))
    if isinstance(follower.learner, Bandit):
        assert follower.learner._counts.slates.totals() == (0, 0, 0, 0)


@EACH_LEARNER
def test_a_model_does_not_change_while_its_learner_goes_on(name: str, logged: EventLog) -> None:
    follower = replayed(name, logged, 40)
    fitted = fit(follower)
    read(follower, logged.events(EPOCH).frames(40), 40)
    newer = fit(follower)
    assert fitted.model.dump() == fitted.blob
    assert (newer.version != fitted.version) == (name != "random")


@EACH_LEARNER
def test_what_was_dumped_ranks_like_the_model_itself(name: str, logged: EventLog) -> None:
    follower = replayed(name, logged)
    fitted = fit(follower)
    loaded = follower.learner.load(fitted.blob, fitted.items)
    assert loaded.dump() == fitted.blob
    eligible = np.arange(ITEMS) != 2
    for k in (1, 3, 10):
        found, expected = (model.rank(query_of(), eligible, k, rng()) for model in (loaded, fitted.model))
        positions = [np.asarray(getattr(answer, "positions", answer)).tolist() for answer in (found, expected)]
        assert positions[0] == positions[1]
        assert len(positions[0]) == min(k, ITEMS - 1)
