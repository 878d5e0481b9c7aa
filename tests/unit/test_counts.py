"""Decayed counts against a sum over all rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.stores.ports import StoreUnavailable
from regular_pipeline import counts as module
from regular_pipeline.counts import DAY_S, KINDS, RESCALE_AT, Counts
from regular_pipeline.slates import Slates

FAST = settings(deadline=None, max_examples=50)
Row = tuple[str, int, float]  # kind, item index, received at
ITEMS = 4
START = 1.7e9
LOGGED = KINDS[:3]  # what a row can say; what is answered follows from several rows
ROW = st.tuples(st.sampled_from(LOGGED), st.integers(-1, ITEMS - 1), st.floats(1e9, 2e9))
ROWS = st.lists(ROW, max_size=30)
HALF_LIVES = st.sampled_from([1e-5, 0.001, 7.0, 365.0])
OFTEN = pytest.mark.parametrize("rescale_at", [3, RESCALE_AT])  # 3 half-lives: what is scaled back still counts


def frame(rows: list[Row]) -> pl.DataFrame:
    schema = {"kind": pl.String, "item_index": pl.Int32, "received_at": pl.Float64}
    return identified(pl.DataFrame(rows, schema=schema, orient="row"))


def identified(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of one user; what was received at the same moment is of one event."""
    return rows.with_columns(event_id=pl.col("received_at").cast(pl.String), user_id=pl.lit("u"))


def counts_of(*batches: list[Row], half_life_days: float = 7.0) -> Counts:
    counts = Counts(half_life_days)
    for batch in batches:
        counts.add(frame(batch))
    counts.resize(ITEMS)
    return counts


def result(counts: Counts) -> tuple[list[bytes], int, float | None, float]:
    """Everything that comes out, to the last bit."""
    return [array.tobytes() for array in counts.decayed()], counts.rows, counts.origin, counts.latest


def summed(rows: list[Row], half_life_days: float) -> tuple[list[float], ...]:
    """Likes, dislikes, impressions and answered ones of each item; which are answered is for test_slates to test."""
    known = [row for row in rows if row[1] >= 0]
    latest = max((at for *_, at in known), default=0.0)
    sums = {kind: [0.0] * ITEMS for kind in KINDS}
    answered = Slates().add(frame(rows))
    for kind, index, at in [*known, *(("answered", n, at) for n, at in zip(*vars(answered).values(), strict=True))]:
        sums[kind][index] += 0.5 ** ((latest - at) / (half_life_days * DAY_S))
    reactions = [a + b for a, b in zip(sums["like"], sums["dislike"], strict=True)]
    seen = ([max(pair) for pair in zip(sums[kind], reactions, strict=True)] for kind in KINDS[2:])
    return sums["like"], sums["dislike"], *seen


def cut(rows: list[Row], data: st.DataObject) -> list[list[Row]]:
    places = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=6)))
    return [rows[a:b] for a, b in zip([0, *places], [*places, len(rows)], strict=True)]


@OFTEN
@FAST
@given(ROWS, HALF_LIVES)
def test_counts_equal_a_sum_over_all_rows(rescale_at: int, rows: list[Row], half_life_days: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "RESCALE_AT", rescale_at)
        found = counts_of(*([row] for row in rows), half_life_days=half_life_days).decayed()
    for values, expected in zip(found, summed(rows, half_life_days), strict=True):
        assert values == pytest.approx(expected, rel=1e-5, abs=1e-30)


def test_a_row_of_an_unknown_item_may_answer_a_slate() -> None:
    """The early like counts as soon as the slate is whole: at the row that follows it, whatever that is."""
    rows: list[Row] = [("like", 0, START), ("impression", 0, START), ("impression", 1, START), ("like", -1, START)]
    *_, answered = counts_of(rows[:3], rows[3:]).decayed()
    assert answered.tolist() == [1, 1, 0, 0]


@OFTEN
@FAST
@given(ROWS, HALF_LIVES, st.data())
def test_batch_boundaries_do_not_change_a_bit(
    rescale_at: int, rows: list[Row], half_life_days: float, data: st.DataObject
) -> None:
    counts = Counts(half_life_days)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "RESCALE_AT", rescale_at)
        for batch in cut(rows, data):
            counts.add(frame(batch))
            counts.decayed()  # reading must not matter either
    counts.resize(ITEMS)
    assert result(counts) == result(counts_of(rows, half_life_days=half_life_days))


@FAST
@given(ROWS, HALF_LIVES)
def test_likes_are_never_more_than_exposures(rows: list[Row], half_life_days: float) -> None:
    likes, _, *seen = counts_of(rows, half_life_days=half_life_days).decayed()
    for exposures in seen:
        assert np.all((likes >= 0) & (likes <= exposures))
        assert likes.dtype == exposures.dtype == np.float32


@pytest.mark.parametrize("half_life_days", [0.001, 1.0, 7.0, 400.0])
@pytest.mark.parametrize(("age", "weight"), [(0, 1.0), (1, 0.5), (2, 0.25), (10, 2.0**-10)])
def test_a_row_weighs_half_after_each_half_life(half_life_days: float, age: int, weight: float) -> None:
    rows = [("like", 0, START), ("like", 1, START + age * half_life_days * DAY_S)]
    likes, *_ = counts_of(rows, half_life_days=half_life_days).decayed()
    assert likes[:2] == pytest.approx([weight, 1.0], rel=1e-4)


@pytest.mark.parametrize("apart", [True, False], ids=["batch by batch", "at once"])
def test_a_tiny_half_life_over_years_stays_finite(apart: bool) -> None:
    rows = [("like", n % 2, START + n * 3e7) for n in range(20)]
    batches = [[row] for row in rows] if apart else [rows]
    counts = counts_of(*batches, half_life_days=1 / DAY_S)
    likes, _, exposures, _ = counts.decayed()
    assert likes.tolist() == exposures.tolist() == [0.0, 1.0, 0.0, 0.0]


def test_a_late_row_weighs_as_old_as_it_is() -> None:
    week = 7 * DAY_S
    likes, *_ = counts_of([("like", 0, START)], [("like", 1, START - week)], [("like", 2, START - 2 * week)]).decayed()
    assert likes.tolist() == [1.0, 0.5, 0.25, 0.0]


@pytest.mark.parametrize(
    ("likes", "dislikes", "impressions", "exposures"), [(1, 2, 10, 10), (1, 2, 0, 3), (3, 4, 5, 7), (0, 0, 0, 0)]
)
def test_exposures_are_impressions_or_more_reactions(
    likes: int, dislikes: int, impressions: int, exposures: int
) -> None:
    numbers = zip(LOGGED, (likes, dislikes, impressions), strict=True)
    rows = [(kind, 0, START) for kind, number in numbers for _ in range(number)]
    found = counts_of(rows).decayed()
    assert [values[0] for values in found] == [likes, dislikes, exposures, likes + dislikes]


def test_an_answered_impression_weighs_as_old_as_it_is_itself() -> None:
    week = 7 * DAY_S
    shown = [("impression", 0, START), ("impression", 1, START)]
    counts = counts_of(shown, [("impression", 2, START + 1), ("dislike", 1, START + week)])
    assert counts.decayed()[3].tolist() == [0, 1, 0, 0]
    counts = counts_of(shown, [("dislike", 1, START + week), ("like", 3, START + week)])
    assert counts.decayed()[3].tolist() == [0.5, 1, 0, 1]


def test_an_undo_leaves_the_slate_answered() -> None:
    counts = Counts(7.0)
    counts.add(with_undos([("impression", n, START, "", None) for n in range(2)]))
    counts.add(with_undos([("like", 0, START + 1, "", None), ("undo", 0, START + 1, "like", START + 1)]))
    for found, wanted in zip(counts.decayed(), ([0, 0], [0, 0], [1, 1], [1, 1]), strict=True):
        assert found == pytest.approx(wanted, rel=1e-5)


UNDO = {
    "kind": pl.String,
    "item_index": pl.Int32,
    "received_at": pl.Float64,
    "source": pl.String,
    "undone_at": pl.Float64,
}


def with_undos(rows: list[tuple[str, int, float, str, float | None]]) -> pl.DataFrame:
    return identified(pl.DataFrame(rows, schema=UNDO, orient="row"))


@pytest.mark.parametrize("kind", ["like", "dislike", "hide"])
def test_an_undo_takes_away_what_its_reaction_added(kind: str) -> None:
    week = 7 * DAY_S
    kept = ("like", 1, START + week, "", None)
    counts, expected = Counts(7.0), Counts(7.0)
    counts.add(with_undos([(kind, 0, START, "", None), kept, ("undo", 0, START + 2 * week, kind, START)]))
    expected.add(with_undos([kept, ("hide", 0, START + 2 * week, "", None)]))
    for found, wanted in zip(counts.decayed(), expected.decayed(), strict=True):
        assert found == pytest.approx(wanted, abs=1e-12)
        assert (found >= 0).all()


def test_hiding_is_neither_a_like_nor_a_dislike() -> None:
    counts = Counts(7.0)
    counts.add(with_undos([("hide", 0, START, "", None), ("undo", 0, START, "", None)]))
    assert [array.tolist() for array in counts.decayed()] == [[0.0]] * 4


@pytest.mark.parametrize("size", range(1, 8))
def test_undos_give_the_same_bits_however_batches_are_cut(size: int) -> None:
    rows: list[tuple[str, int, float, str, float | None]] = []
    for n in range(20):
        at = START + n * 1e5
        rows += [("like", n % 3, at, "", None), ("undo", n % 3, at + 7, "like" if n % 2 else "", at if n % 2 else None)]
    whole, cut_up = Counts(0.5), Counts(0.5)
    whole.add(with_undos(rows))
    for first in range(0, len(rows), size):
        cut_up.add(with_undos(rows[first : first + size]))
    assert result(cut_up) == result(whole)


def test_rows_of_unknown_items_only_advance_the_rows() -> None:
    known = [("like", 0, START)]
    counts = counts_of(known, [("like", -1, START + 1e9)])
    assert (counts.rows, counts.latest) == (2, START)
    assert result(counts)[0] == result(counts_of(known))[0]


def test_no_rows_are_no_counts() -> None:
    counts = counts_of([])
    assert (counts.rows, counts.origin) == (0, None)
    assert [array.tolist() for array in counts.decayed()] == [[0.0] * ITEMS] * 4


def test_the_catalogue_only_grows() -> None:
    counts = counts_of([("like", 2, START)])
    for items, expected in ((2, ITEMS), (9, 9)):
        counts.resize(items)
        likes, *_, exposures = counts.decayed()
        assert len(likes) == len(exposures) == expected
        assert np.flatnonzero(likes).tolist() == [2]


@pytest.mark.parametrize("later", [START + 1, START + 1e9], ids=["next", "rescaled"])
def test_a_copy_and_its_original_go_separate_ways(later: float) -> None:
    counts = counts_of([("like", 0, START)], half_life_days=0.001)
    copy, before = counts.copy(), result(counts)
    counts.add(frame([("like", 1, later)]))
    assert result(copy) == before
    assert result(counts) == result(counts_of([("like", 0, START), ("like", 1, later)], half_life_days=0.001))


def test_nothing_can_be_added_to_a_copy() -> None:
    copy = counts_of([("like", 0, START)]).copy()
    with pytest.raises(AttributeError, match="slates"):
        copy.add(frame([("like", 1, START)]))


# checkpoints


@pytest.mark.parametrize("half_life_days", [1e-5, 0.3, 7.0])
@pytest.mark.parametrize("saved", [0, 1, 5, 20])
def test_a_checkpoint_continues_to_the_last_bit(saved: int, half_life_days: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(saved)
    times = np.sort(rng.uniform(1e9, 2e9, 20)).tolist()
    rows: list[Row] = [(LOGGED[n % 3], int(rng.integers(0, ITEMS)), at) for n, at in enumerate(times)]
    counts_of(rows[:saved], half_life_days=half_life_days).save(tmp_path / "checkpoint.npz")
    loaded = Counts.load(tmp_path / "checkpoint.npz", half_life_days)
    assert result(loaded) == result(counts_of(rows[:saved], half_life_days=half_life_days))
    loaded.slates.add(frame(rows[:saved]))
    loaded.add(frame(rows[saved:]))
    assert result(loaded) == result(counts_of(rows, half_life_days=half_life_days))


def test_without_a_checkpoint_counting_starts_anew(tmp_path: Path) -> None:
    assert result(Counts.load(tmp_path / "checkpoint.npz", 7.0)) == result(Counts(7.0))


def test_a_checkpoint_of_another_half_life_is_ignored(tmp_path: Path) -> None:
    counts_of([("like", 0, START)]).save(tmp_path / "checkpoint.npz")
    loaded = Counts.load(tmp_path / "checkpoint.npz", 8.0)
    assert (loaded.rows, loaded.half_life_s, result(loaded)) == (0, 8 * DAY_S, result(Counts(8.0)))


def test_a_checkpoint_of_other_kinds_is_ignored(tmp_path: Path) -> None:
    older = counts_of([("like", 0, START)])
    older._sums = older._sums[:3]
    older.save(tmp_path / "checkpoint.npz")
    assert result(Counts.load(tmp_path / "checkpoint.npz", 7.0)) == result(Counts(7.0))


def test_a_failed_save_leaves_the_previous_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half_written(file: Any, **arrays: Any) -> None:
        file.write(b"half")
        raise OSError("no space")

    path, before = tmp_path / "checkpoint.npz", counts_of([("like", 0, START)])
    before.save(path)
    monkeypatch.setattr("regular_pipeline.counts.np.savez", half_written)
    with pytest.raises(StoreUnavailable, match=r"checkpoint\.npz: no space"):
        counts_of([("like", 1, START)]).save(path)
    assert list(tmp_path.iterdir()) == [path]
    assert result(Counts.load(path, 7.0)) == result(before)


def test_a_checkpoint_keeps_an_origin_of_zero(tmp_path: Path) -> None:
    counts_of([("like", 0, 0.0)]).save(tmp_path / "checkpoint.npz")
    assert Counts.load(tmp_path / "checkpoint.npz", 7.0).origin == 0.0


@pytest.mark.parametrize(("half_life_days", "at"), [(1e-7, START + 3e8), (7.0, 1e18), (7.0, 1e300)])
def test_a_jump_of_very_many_half_lives_stays_finite(half_life_days: float, at: float) -> None:
    counts = counts_of([("like", 0, START)], [("like", 1, at)], half_life_days=half_life_days)
    assert counts.decayed()[0].tolist() == [0.0, 1.0, 0.0, 0.0]
