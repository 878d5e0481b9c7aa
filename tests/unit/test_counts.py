"""Decayed counts against a sum over all rows."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.contract import HISTORY, of_history
from recsys.recommenders import decay
from recsys.recommenders.bandit.counts import KINDS, Counts
from recsys.recommenders.bandit.slates import Slates
from recsys.recommenders.decay import DAY_S, RESCALE_AT, DecayedSums

FAST = settings(deadline=None, max_examples=50)
Row = tuple[str, int, float]  # kind, item index, received at
ITEMS = 4
START = 1.7e9
LOGGED = ("like", "dislike", "impression")  # what a row can say; what is answered follows from several rows
BEFORE = (of_history("like"), of_history("dislike"))  # or what was said before this system
ROW = st.tuples(st.sampled_from(LOGGED + BEFORE), st.integers(-1, ITEMS - 1), st.floats(1e9, 2e9))
ROWS = st.lists(ROW, max_size=30)
HALF_LIVES = st.sampled_from([1e-5, 0.001, 7.0, 365.0])
OFTEN = pytest.mark.parametrize("rescale_at", [3, RESCALE_AT])  # 3 half-lives: what is scaled back still counts


def frame(rows: list[Row]) -> pl.DataFrame:
    schema = {"kind": pl.String, "item_index": pl.Int32, "received_at": pl.Float64}
    before = pl.col("kind").is_in(list(BEFORE))
    told = pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        source=pl.when(before).then(pl.lit(HISTORY)).otherwise(pl.lit("")),
        kind=pl.when(before).then(pl.col("kind").str.split(" ").list.last()).otherwise("kind"),
    )
    return identified(told)


def identified(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of one user, or of three from before; what was received at the same moment is of one event."""
    return rows.with_columns(
        event_id=pl.col("received_at").cast(pl.String),
        user_id=pl.when(source=HISTORY).then(pl.format("b{}", pl.col("received_at") // 1 % 3)).otherwise(pl.lit("u")),
    )


def counts_of(*batches: list[Row], half_life_days: float = 7.0) -> Counts:
    counts = Counts(half_life_days)
    for batch in batches:
        counts.add(frame(batch))
    counts.resize(ITEMS)
    return counts


def result(counts: Counts) -> list[bytes]:
    """Everything that comes out, to the last bit."""
    return [array.tobytes() for array in counts.decayed()]


def summed(rows: list[Row], half_life_days: float) -> list[list[float]]:
    """What ``Decayed`` names, of each item; which impressions are answered is for test_slates to test."""
    known = [row for row in rows if row[1] >= 0]
    latest = max((at for *_, at in known), default=0.0)

    def weight(at: float) -> float:
        return float(0.5 ** ((latest - at) / (half_life_days * DAY_S)))

    sums = {kind: [0.0] * ITEMS for kind in (*LOGGED, *BEFORE, "answered")}
    answered = Slates().add(frame(rows))
    for kind, index, at in [*known, *(("answered", n, at) for n, at in zip(*vars(answered).values(), strict=True))]:
        sums[kind][index] += weight(at)
    users: dict[float, float] = {}  # each by what he said first
    for at in (at for kind, _, at in known if kind in BEFORE):
        users.setdefault(at // 1 % 3, weight(at))
    columns = []
    for of in range(ITEMS):
        likes, dislikes, impressions, liked, disliked, answers = (column[of] for column in sums.values())
        seen = [max(seen, likes + dislikes) for seen in (impressions, answers)]
        columns.append([likes + liked, dislikes + disliked, *seen, max(sum(users.values()), liked + disliked)])
    return [list(of_items) for of_items in zip(*columns, strict=True)]


def cut(rows: list[Row], data: st.DataObject) -> list[list[Row]]:
    places = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=6)))
    return [rows[a:b] for a, b in zip([0, *places], [*places, len(rows)], strict=True)]


@OFTEN
@FAST
@given(ROWS, HALF_LIVES)
def test_counts_equal_a_sum_over_all_rows(rescale_at: int, rows: list[Row], half_life_days: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decay, "RESCALE_AT", rescale_at)
        found = counts_of(*([row] for row in rows), half_life_days=half_life_days).decayed()
    for values, expected in zip(found, summed(rows, half_life_days), strict=True):
        assert values == pytest.approx(expected, rel=1e-5, abs=1e-30)


def test_a_row_of_an_unknown_item_may_answer_a_slate() -> None:
    """The early like counts as soon as the slate is whole: at the row that follows it, whatever that is."""
    rows: list[Row] = [("like", 0, START), ("impression", 0, START), ("impression", 1, START), ("like", -1, START)]
    answered = counts_of(rows[:3], rows[3:]).decayed().answered
    assert answered.tolist() == [1, 1, 0, 0]


@OFTEN
@FAST
@given(ROWS, HALF_LIVES, st.data())
def test_batch_boundaries_do_not_change_a_bit(
    rescale_at: int, rows: list[Row], half_life_days: float, data: st.DataObject
) -> None:
    counts = Counts(half_life_days)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decay, "RESCALE_AT", rescale_at)
        for batch in cut(rows, data):
            counts.add(frame(batch))
            counts.decayed()  # reading must not matter either
    counts.resize(ITEMS)
    assert result(counts) == result(counts_of(rows, half_life_days=half_life_days))


@FAST
@given(ROWS, HALF_LIVES)
def test_likes_are_never_more_than_exposures(rows: list[Row], half_life_days: float) -> None:
    likes, dislikes, *seen, before = counts_of(rows, half_life_days=half_life_days).decayed()
    for exposures in seen:
        assert np.all((likes >= 0) & (dislikes >= 0) & (likes + dislikes <= (exposures + before) * (1 + 1e-6)))
        assert likes.dtype == dislikes.dtype == exposures.dtype == before.dtype == np.float32


@pytest.mark.parametrize("apart", [True, False], ids=["batch by batch", "at once"])
def test_a_tiny_half_life_over_years_stays_finite(apart: bool) -> None:
    rows = [("like", n % 2, START + n * 3e7) for n in range(20)]
    batches = [[row] for row in rows] if apart else [rows]
    counts = counts_of(*batches, half_life_days=1 / DAY_S)
    likes, _, exposures, *_ = counts.decayed()
    assert likes.tolist() == exposures.tolist() == [0.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("likes", "dislikes", "impressions", "exposures"), [(1, 2, 10, 10), (1, 2, 0, 3), (3, 4, 5, 7), (0, 0, 0, 0)]
)
def test_exposures_are_impressions_or_more_reactions(
    likes: int, dislikes: int, impressions: int, exposures: int
) -> None:
    numbers = zip(LOGGED, (likes, dislikes, impressions), strict=True)
    rows = [(kind, 0, START) for kind, number in numbers for _ in range(number)]
    found = counts_of(rows).decayed()
    assert [values[0] for values in found] == [likes, dislikes, exposures, likes + dislikes, 0]


def test_an_answered_impression_weighs_as_old_as_it_is_itself() -> None:
    week = 7 * DAY_S
    shown = [("impression", 0, START), ("impression", 1, START)]
    counts = counts_of(shown, [("impression", 2, START + 1), ("dislike", 1, START + week)])
    assert counts.decayed().answered.tolist() == [0, 1, 0, 0]
    counts = counts_of(shown, [("dislike", 1, START + week), ("like", 3, START + week)])
    assert counts.decayed().answered.tolist() == [0.5, 1, 0, 1]


def test_an_undo_leaves_the_slate_answered() -> None:
    counts = Counts(7.0)
    counts.add(with_undos([("impression", n, START, "", None) for n in range(2)]))
    counts.add(with_undos([("like", 0, START + 1, "", None), ("undo", 0, START + 1, "like", START + 1)]))
    for found, wanted in zip(counts.decayed(), ([0, 0], [0, 0], [1, 1], [1, 1], [0, 0]), strict=True):
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
    assert [array.tolist() for array in counts.decayed()] == [[0.0]] * 5


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


def test_rows_of_unknown_items_make_nothing_older() -> None:
    known = [("like", 0, START)]
    assert result(counts_of(known, [("like", -1, START + 1e9)])) == result(counts_of(known))


def test_no_rows_are_no_counts() -> None:
    counts = counts_of([])
    assert [array.tolist() for array in counts.decayed()] == [[0.0] * ITEMS] * 5


def test_the_catalogue_only_grows() -> None:
    counts = counts_of([("like", 2, START)])
    for items, expected in ((2, ITEMS), (9, 9)):
        counts.resize(items)
        likes = counts.decayed().likes
        assert {len(column) for column in counts.decayed()} == {expected}
        assert np.flatnonzero(likes).tolist() == [2]


@pytest.mark.parametrize("later", [START + 1, START + 1e9], ids=["next", "rescaled"])
def test_what_was_handed_out_does_not_change_while_counting_goes_on(later: float) -> None:
    counts = counts_of([("like", 0, START)], half_life_days=0.001)
    handed_out, before = counts.decayed(), result(counts)
    counts.add(frame([("like", 1, later)]))
    assert [array.tobytes() for array in handed_out] == before
    assert result(counts) == result(counts_of([("like", 0, START), ("like", 1, later)], half_life_days=0.001))


# what was said before this system


def test_what_was_said_before_counts_beside_what_was_seen() -> None:
    """Two of three who said something before liked item 0, which nobody was shown; item 1 was shown once."""
    told: list[Row] = [(BEFORE[0], 0, START), (BEFORE[0], 0, START + 1), (BEFORE[1], 1, START + 2)]
    found = counts_of([*told, ("impression", 1, START + 2)], half_life_days=1e9).decayed()
    assert found.likes == pytest.approx([2, 0, 0, 0])
    assert found.dislikes == pytest.approx([0, 1, 0, 0])
    assert found.impressions == pytest.approx([0, 1, 0, 0])
    assert found.before == pytest.approx([3] * ITEMS)


def test_each_user_from_before_counts_once() -> None:
    told: list[Row] = [(BEFORE[n % 2], n % 3, START + 3 * n) for n in range(9)]
    assert counts_of(told, half_life_days=1e9).decayed().before == pytest.approx([3, 3, 3, 1])
    one_by_one = counts_of(*([row] for row in told), half_life_days=1e9)
    assert one_by_one.decayed().before == pytest.approx([3, 3, 3, 1])


def test_who_said_something_before_is_known_after_a_restart() -> None:
    told: list[Row] = [(BEFORE[0], n % 4, START + n) for n in range(3)]
    loaded = Counts.load(counts_of(told).save(), 7.0)
    loaded.add(frame([(BEFORE[0], 3, START + n) for n in range(6)]))
    assert loaded.decayed().before == pytest.approx([3, 3, 3, 6], rel=1e-3)


# what was saved


@pytest.mark.parametrize("half_life_days", [1e-5, 0.3, 7.0])
@pytest.mark.parametrize("saved", [0, 1, 5, 20])
def test_what_was_saved_goes_on_to_the_last_bit(saved: int, half_life_days: float) -> None:
    rng = np.random.default_rng(saved)
    times = np.sort(rng.uniform(1e9, 2e9, 20)).tolist()
    rows: list[Row] = [((LOGGED + BEFORE)[n % 5], int(rng.integers(0, ITEMS)), at) for n, at in enumerate(times)]
    loaded = Counts.load(counts_of(rows[:saved], half_life_days=half_life_days).save(), half_life_days)
    assert result(loaded) == result(counts_of(rows[:saved], half_life_days=half_life_days))
    loaded.slates.add(frame(rows[:saved]))
    loaded.add(frame(rows[saved:]))
    assert result(loaded) == result(counts_of(rows, half_life_days=half_life_days))


def test_slates_are_not_saved() -> None:
    rows: list[Row] = [("impression", 0, START), ("impression", 1, START), ("like", 0, START + 1)]
    counts = counts_of(rows)
    assert counts.slates.totals() == (1, 1, 1, 0)
    assert Counts.load(counts.save(), 7.0).slates.totals() == (0, 0, 0, 0)


def test_counts_with_another_half_life_are_refused() -> None:
    with pytest.raises(ValueError, match="another half-life"):
        Counts.load(counts_of([("like", 0, START)]).save(), 8.0)


def test_counts_of_other_kinds_are_refused() -> None:
    for saved in (DecayedSums(len(KINDS) - 1, 7.0).save(), DecayedSums(len(KINDS), 7.0).save()):
        with pytest.raises(ValueError, match="another version"):
            Counts.load(saved, 7.0)
