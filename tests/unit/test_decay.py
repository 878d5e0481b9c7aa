"""Sums in which what is old counts less, against a sum over all events."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.recommenders import decay
from recsys.recommenders.arrays import packed
from recsys.recommenders.decay import DAY_S, RESCALE_AT, DecayedSums, voted

FAST = settings(deadline=None, max_examples=50)
Event = tuple[int, int, float]  # kind, item, received at
KINDS, ITEMS = 2, 4
START = 1.7e9
EVENTS = st.lists(
    st.tuples(st.integers(0, KINDS - 1), st.integers(0, ITEMS - 1), st.floats(1e9, 2e9)), min_size=1, max_size=30
)
HALF_LIVES = st.sampled_from([1e-5, 0.001, 7.0, 365.0])
OFTEN = pytest.mark.parametrize("rescale_at", [3, RESCALE_AT])  # 3 half-lives: what is scaled back still counts


def add(sums: DecayedSums, events: list[Event]) -> None:
    """One batch."""
    if not events:
        return
    kinds, items, received = (np.array(column) for column in zip(*events, strict=True))
    sums.resize(int(items.max()) + 1)
    sums.begin(received)
    weights = sums.weights(received)
    for kind in range(KINDS):
        sums.add(kind, items[kinds == kind], weights[kinds == kind])


def sums_of(*batches: list[Event], half_life_days: float = 7.0) -> DecayedSums:
    sums = DecayedSums(KINDS, half_life_days)
    for batch in batches:
        add(sums, batch)
    sums.resize(ITEMS)
    return sums


def result(sums: DecayedSums) -> tuple[bytes, float | None, float]:
    """Everything that comes out, to the last bit of what models keep of it: below that, sums are as good as nothing."""
    return sums.now().astype(np.float32).tobytes(), sums.origin, sums.latest


def summed(events: list[Event], half_life_days: float) -> list[list[float]]:
    latest = max(at for *_, at in events)
    found = [[0.0] * ITEMS for _ in range(KINDS)]
    for kind, item, at in events:
        found[kind][item] += 0.5 ** ((latest - at) / (half_life_days * DAY_S))
    return found


@OFTEN
@FAST
@given(EVENTS, HALF_LIVES)
def test_sums_equal_a_sum_over_all_events(rescale_at: int, events: list[Event], half_life_days: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decay, "RESCALE_AT", rescale_at)
        found = sums_of(*([event] for event in events), half_life_days=half_life_days).now()
    assert found == pytest.approx(np.array(summed(events, half_life_days)), rel=1e-5, abs=1e-30)


@OFTEN
@FAST
@given(EVENTS, HALF_LIVES, st.data())
def test_batch_boundaries_do_not_change_a_bit(
    rescale_at: int, events: list[Event], half_life_days: float, data: st.DataObject
) -> None:
    places = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=6)))
    sums = DecayedSums(KINDS, half_life_days)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decay, "RESCALE_AT", rescale_at)
        for first, end in zip([0, *places], [*places, len(events)], strict=True):
            add(sums, events[first:end])
            sums.now()  # reading must not matter either
    sums.resize(ITEMS)
    assert result(sums) == result(sums_of(events, half_life_days=half_life_days))


@pytest.mark.parametrize("half_life_days", [0.001, 1.0, 7.0, 400.0])
@pytest.mark.parametrize(("age", "weight"), [(0, 1.0), (1, 0.5), (2, 0.25), (10, 2.0**-10)])
def test_an_event_weighs_half_after_each_half_life(half_life_days: float, age: int, weight: float) -> None:
    events = [(0, 0, START), (0, 1, START + age * half_life_days * DAY_S)]
    assert sums_of(events, half_life_days=half_life_days).now()[0, :2] == pytest.approx([weight, 1.0], rel=1e-4)


@pytest.mark.parametrize("apart", [True, False], ids=["batch by batch", "at once"])
def test_a_tiny_half_life_over_years_stays_finite(apart: bool) -> None:
    events = [(0, n % 2, START + n * 3e7) for n in range(20)]
    batches = [[event] for event in events] if apart else [events]
    assert sums_of(*batches, half_life_days=1 / DAY_S).now().tolist() == [[0, 1, 0, 0], [0] * ITEMS]


@pytest.mark.parametrize(("half_life_days", "at"), [(1e-7, START + 3e8), (7.0, 1e18), (7.0, 1e300)])
def test_a_jump_of_very_many_half_lives_stays_finite(half_life_days: float, at: float) -> None:
    sums = sums_of([(0, 0, START)], [(0, 1, at)], half_life_days=half_life_days)
    assert sums.now()[0].tolist() == [0.0, 1.0, 0.0, 0.0]


def test_a_late_event_weighs_as_old_as_it_is() -> None:
    week = 7 * DAY_S
    sums = sums_of([(0, 0, START)], [(0, 1, START - week)], [(0, 2, START - 2 * week)])
    assert sums.now()[0].tolist() == [1.0, 0.5, 0.25, 0.0]
    assert (sums.origin, sums.latest) == (START, START)


def test_an_event_adds_to_the_same_item_as_often_as_it_comes() -> None:
    assert sums_of([(0, 1, START), (0, 1, START), (1, 1, START), (0, 2, START)]).now().tolist() == [
        [0, 2, 1, 0],
        [0, 1, 0, 0],
    ]


def test_what_was_taken_away_again_is_never_less_than_nothing() -> None:
    sums = DecayedSums(1, 0.3)
    sums.resize(2)
    received = START + np.array([0.0, 1e4, 2e4])
    sums.begin(received)
    weights = sums.weights(received)
    for sign in (1, -1):
        for weight in weights[::sign]:
            sums.add(0, np.array([0]), sign * np.array([weight]))
    sums.add(0, np.array([1]), -weights[:1])
    assert sums.now()[0] == pytest.approx([0, 0], abs=1e-12)
    assert (sums.now() >= 0).all()


def test_nothing_added_is_nothing_at_no_time() -> None:
    sums = DecayedSums(KINDS, 7.0)
    assert (sums.now().shape, sums.origin) == ((KINDS, 0), None)
    sums.resize(ITEMS)
    assert sums.now().tolist() == [[0.0] * ITEMS] * KINDS


def test_the_catalogue_only_grows() -> None:
    sums = sums_of([(0, 2, START)])
    for items, expected in ((2, ITEMS), (9, 9)):
        sums.resize(items)
        assert sums.now().shape == (KINDS, expected)
        assert np.flatnonzero(sums.now()[0]).tolist() == [2]


def test_what_is_handed_out_does_not_change() -> None:
    sums = sums_of([(0, 0, START)])
    before = sums.now()
    kept = before.copy()
    add(sums, [(0, 0, START + 1e9)])
    sums.now()
    assert np.array_equal(before, kept)


# what was saved


@OFTEN
@FAST
@given(EVENTS, HALF_LIVES, st.data())
def test_what_was_saved_goes_on_to_the_last_bit(
    rescale_at: int, events: list[Event], half_life_days: float, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(events)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decay, "RESCALE_AT", rescale_at)
        before, whole = (sums_of(part, half_life_days=half_life_days) for part in (events[:place], events))
        loaded = DecayedSums.load(before.save(), KINDS, half_life_days)
        assert result(loaded) == result(before)
        add(loaded, events[place:])
        assert result(loaded) == result(whole)


def test_an_origin_of_zero_and_none_at_all_are_told_apart() -> None:
    assert DecayedSums.load(sums_of([(0, 0, 0.0)]).save(), KINDS, 7.0).origin == 0.0
    assert DecayedSums.load(sums_of([]).save(), KINDS, 7.0).origin is None


def test_sums_with_another_half_life_are_refused() -> None:
    with pytest.raises(ValueError, match="another half-life"):
        DecayedSums.load(sums_of([(0, 0, START)]).save(), KINDS, 8.0)


@pytest.mark.parametrize("kinds", [KINDS - 1, KINDS + 1])
def test_sums_of_other_kinds_are_refused(kinds: int) -> None:
    with pytest.raises(ValueError, match="another version"):
        DecayedSums.load(sums_of([(0, 0, START)]).save(), kinds, 7.0)


@pytest.mark.parametrize(
    "saved",
    [
        packed(sums=np.ones((KINDS, 6))),
        packed(sums=np.ones((KINDS, 6)), scalars=np.ones(4), more=1),
        packed(sums=np.ones((KINDS, 6)), scalars=np.array([7 * DAY_S, 20, START, START, 0])),
    ],
    ids=["less", "more", "other scalars"],
)
def test_sums_of_another_version_are_refused(saved: bytes) -> None:
    with pytest.raises(ValueError, match="another version"):
        DecayedSums.load(saved, KINDS, 7.0)


def test_other_bytes_are_refused() -> None:
    with pytest.raises(ValueError):
        DecayedSums.load(b"PK but no zip", KINDS, 7.0)


# what a row is about

SCHEMA = {"kind": pl.String, "received_at": pl.Float64, "source": pl.String, "undone_at": pl.Float64}


def rows_of(*rows: tuple[Any, ...]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def test_an_undo_takes_away_what_its_row_says() -> None:
    rows, sign, received = voted(
        rows_of(
            ("like", START, "", None),
            ("undo", START + 9, "dislike", START + 3),
            ("impression", START + 10, "ranked", None),
            ("undo", START + 11, "", None),
        )
    )
    assert rows["kind"].to_list() == ["like", "dislike", "impression", ""]
    assert sign.tolist() == [1, -1, 1, -1]
    assert received.tolist() == [START, START + 3, START + 10, START + 11]


def test_rows_without_an_undo_need_not_say_what_it_takes_away() -> None:
    told = rows_of(("like", START, "", None), ("hide", START + 1, "", None)).drop("undone_at")
    rows, sign, received = voted(told)
    assert rows is told
    assert (sign.tolist(), received.tolist()) == ([1, 1], [START, START + 1])
