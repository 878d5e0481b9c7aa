"""A restart from a checkpoint against a replay of the whole log."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.contract import EVENT_SCHEMA
from recsys.stores.event_log import EventLog
from regular_pipeline import slates
from regular_pipeline.counts import Counts
from regular_pipeline.epoch_work import EpochWork

EPOCH = 3
EVENTS = 60
START = 1.7e9


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


def save_checkpoint(log: EventLog, rows: int) -> None:
    counts = Counts(7.0)
    counts.add(log.events(EPOCH).read().head(rows))
    counts.save(log.epoch_folder(EPOCH) / "checkpoint.npz")


def everything(work: EpochWork) -> tuple[object, ...]:
    counts = work.counts
    sums = [array.tobytes() for array in counts.decayed()]
    lessons = [array.tobytes() for array in vars(counts.slates.lessons()).values()]
    return sums, lessons, counts.slates.totals(), counts.rows, counts.origin, counts.latest


@pytest.mark.parametrize("before_the_end", [0, 1, 2, 7, 49, 50, 51, 90, 10_000])
def test_a_restart_equals_a_replay_to_the_last_bit(before_the_end: int, logged: EventLog) -> None:
    save_checkpoint(logged, max(logged.events(EPOCH).rows - before_the_end, 0))
    replayed = EpochWork(EPOCH, logged, 7.0, use_checkpoint=False)
    assert replayed.counts.slates.totals()[1] > 0
    assert everything(EpochWork(EPOCH, logged, 7.0)) == everything(replayed)


def test_the_checkpoint_is_used(logged: EventLog) -> None:
    """Rows from before what slates remember are not read again."""
    save_checkpoint(logged, logged.events(EPOCH).rows)
    expected = everything(EpochWork(EPOCH, logged, 7.0, use_checkpoint=False))
    logged.events(EPOCH).parts()[0].path.write_bytes(b"unreadable")
    assert everything(EpochWork(EPOCH, logged, 7.0)) == expected


def test_a_checkpoint_of_an_older_version_is_no_harm(logged: EventLog) -> None:
    scalars = np.array([7.0 * 86_400, 20, START, START, 0])
    np.savez(logged.epoch_folder(EPOCH) / "checkpoint.npz", scalars=scalars, sums=np.ones((3, 6)))
    restarted = everything(EpochWork(EPOCH, logged, 7.0))
    assert restarted == everything(EpochWork(EPOCH, logged, 7.0, use_checkpoint=False))


def test_a_checkpoint_beyond_the_log_is_ignored(logged: EventLog) -> None:
    counts = Counts(7.0)
    rows = logged.events(EPOCH).read()
    counts.add(pl.concat([rows, rows]))
    counts.save(logged.epoch_folder(EPOCH) / "checkpoint.npz")
    assert everything(EpochWork(EPOCH, logged, 7.0)) == everything(EpochWork(EPOCH, logged, 7.0, use_checkpoint=False))


def test_an_empty_epoch_has_no_counts(tmp_path: Path) -> None:
    work = EpochWork(EPOCH, EventLog(tmp_path), 7.0)
    assert (work.counts.rows, work.counts.slates.totals()) == (0, (0, 0, 0, 0))
