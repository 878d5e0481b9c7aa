"""Which slates are answered, by example and against a plain loop over all rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.contract import HISTORY
from recsys.recommenders.bandit import slates as module
from recsys.recommenders.bandit.slates import Answered, Slates
from recsys.recommenders.bandit.taste import TrainingExamples
from recsys.user_state import DISLIKE, LIKE, MARKS

FAST = settings(deadline=None, max_examples=100)
Row = tuple[str, str, str, int, float]  # event id, kind, user, item index, received at
START = 1.7e9
EVENT = st.one_of(
    st.tuples(st.just("impression"), st.sampled_from("uvw"), st.lists(st.integers(-1, 4), min_size=1, max_size=4)),
    st.tuples(
        st.sampled_from(["like", "dislike", "hide", "undo"]),
        st.sampled_from("uvw"),
        st.lists(st.integers(-1, 4), min_size=1, max_size=2),
    ),
)
EVENTS = st.lists(EVENT, max_size=40)
DELAYS = st.lists(st.integers(0, 6), min_size=1, max_size=7)
LIMITS = st.tuples(st.sampled_from([1, 2, 5, 12, 1_000]), st.sampled_from([1, 3, 10, 50_000]))


def shown(user: str, *items: int) -> tuple[str, str, list[int]]:
    return ("impression", user, list(items))


def said(kind: str, user: str, *items: int) -> tuple[str, str, list[int]]:
    return (kind, user, list(items))


def rows_of(events: list[tuple[str, str, list[int]]], delays: Sequence[float] = (0,)) -> list[Row]:
    """Each event has an id of its own; each row is received a second after the one before.

    Event n reached the log ``delays[n]`` seconds late; the delays are repeated as often as needed.
    """
    rows: list[Row] = []
    for (number, (kind, user, items)), delay in zip(enumerate(events), cycle(delays), strict=False):
        at = START + len(rows) - delay
        rows += [(f"e{number}", kind, user, item, at + place) for place, item in enumerate(items)]
    return rows


def frame(rows: list[Row]) -> pl.DataFrame:
    schema = {
        "event_id": pl.String,
        "kind": pl.String,
        "user_id": pl.String,
        "item_index": pl.Int32,
        "received_at": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(source=pl.lit(""))


def fed(*events: tuple[str, str, list[int]]) -> Slates:
    slates = Slates()
    slates.add(frame(rows_of(list(events))))
    return slates


def pairs(answered: Answered) -> list[tuple[int, float]]:
    return list(zip(answered.index.tolist(), answered.received_at.tolist(), strict=True))


def table(examples: TrainingExamples) -> list[tuple[int, int, int, int]]:
    """(user, item, outcome, slate) of each row."""
    columns = (examples.user, examples.item, examples.outcome, examples.slate)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def outcomes(slates: Slates) -> list[tuple[int, int]]:
    return [(item, outcome) for _, item, outcome, _ in table(slates.examples())]


@contextmanager
def limits(remembered: int, step: int = 50_000) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "REMEMBERED_ROWS", remembered)
        patch.setattr(module, "STEP_ROWS", step)
        yield


@dataclass
class Shown:
    """A slate of the oracle."""

    first: int
    user: str
    items: list[int] = field(default_factory=list)
    received: list[float] = field(default_factory=list)
    outcomes: list[int] = field(default_factory=list)
    answered: bool = False
    early: list[Row] = field(default_factory=list)  # reactions that were logged before it

    def known(self) -> list[tuple[int, int, float]]:
        told = zip(self.items, self.outcomes, self.received, strict=True)
        return [row for row in told if row[0] >= 0]


class Oracle:
    """All slates ever, row by row."""

    def __init__(self, rows: list[Row], remembered: int) -> None:
        self.slates: list[Shown] = []
        self.answered: list[tuple[int, int, float]] = []  # number of the answering row, item, received at
        self.newest: dict[str, Shown] = {}
        self.reactions: list[tuple[int, Row]] = []
        self.early = remembered // 4
        for number, row in enumerate(rows):
            oldest = number + 1 - remembered + self.early
            new = number == 0 or rows[number - 1][:2] != row[:2]
            if new and number and rows[number - 1][1] == "impression":
                for reaction in self.slates[-1].early:
                    self.react(number, reaction, self.slates[-1], oldest)
            if row[1] == "impression":
                self.show(number, row, new=new)
            elif row[3] >= 0:
                self.react(number, row, self.newest.get(row[2]), oldest)
                self.reactions.append((number, row))
        self.remembered = [slate for slate in self.slates if slate.first > len(rows) - remembered + self.early]

    def show(self, number: int, row: Row, *, new: bool) -> None:
        if new:
            early = [r for at, r in self.reactions if r[2] == row[2] and at >= number - self.early and r[4] >= row[4]]
            self.newest[row[2]] = Shown(number, row[2], early=early)
            self.slates.append(self.newest[row[2]])
        slate = self.slates[-1]
        slate.items.append(row[3])
        slate.received.append(row[4])
        slate.outcomes.append(0)

    def react(self, number: int, row: Row, slate: Shown | None, forgotten: int) -> None:
        if slate is None or slate.first <= forgotten or row[3] not in slate.items:
            return
        slate.outcomes[slate.items.index(row[3])] = 0 if row[1] == "undo" else MARKS[row[1]]
        if row[1] != "undo" and not slate.answered:
            slate.answered = True
            self.answered += [(number, item, at) for item, _, at in slate.known()]

    def examples(self) -> list[tuple[int, int, int, int]]:
        taught = [slate for slate in self.remembered if slate.answered]
        users = list(dict.fromkeys(slate.user for slate in taught))
        return [
            (users.index(slate.user), item, outcome, slate.first)
            for slate in taught
            for item, outcome, _ in slate.known()
        ]

    def totals(self) -> tuple[int, int, int, int]:
        answered = sum(slate.answered for slate in self.remembered)
        standing = Counter(slate for *_, outcome, slate in self.examples() if outcome > 0)
        once, twice = (list(standing.values()).count(count) for count in (1, 2))
        return len(self.remembered), answered, once, twice


def everything(slates: Slates) -> tuple[object, ...]:
    examples = slates.examples()
    columns = (examples.user, examples.item, examples.outcome, examples.slate)
    return tuple((column.dtype, column.tobytes()) for column in columns), slates.totals()


# by example


def test_a_reaction_answers_the_whole_slate() -> None:
    slates = fed(shown("u", 7, 3, 5), said("like", "u", 3))
    assert outcomes(slates) == [(7, 0), (3, LIKE), (5, 0)]
    assert slates.totals() == (1, 1, 1, 0)


def test_a_slate_without_a_reaction_teaches_nothing() -> None:
    slates = fed(shown("u", 1, 2), shown("u", 3, 4), shown("v", 5), said("dislike", "u", 4))
    assert outcomes(slates) == [(3, 0), (4, DISLIKE)]
    assert slates.totals() == (3, 1, 1, 0)


@pytest.mark.parametrize(
    "reaction",
    [said("like", "u", 1), said("like", "v", 3), said("like", "u", 9), said("like", "u", -1), said("undo", "u", 3)],
    ids=["older slate", "another user", "not shown", "unknown item", "undo"],
)
def test_what_answers_nothing(reaction: tuple[str, str, list[int]]) -> None:
    slates = fed(shown("u", 1, 2), shown("u", 3, -1), reaction)
    assert slates.totals() == (2, 0, 0, 0)
    assert outcomes(slates) == []


@pytest.mark.parametrize(
    ("kinds", "outcome"),
    [
        (["like"], LIKE),
        (["dislike"], DISLIKE),
        (["hide"], DISLIKE),
        (["dislike", "like"], LIKE),
        (["like", "hide"], DISLIKE),
        (["like", "undo"], 0),
        (["like", "undo", "undo", "dislike"], DISLIKE),
    ],
)
def test_the_latest_reaction_is_the_outcome(kinds: list[str], outcome: int) -> None:
    slates = fed(shown("u", 1, 2), *(said(kind, "u", 2) for kind in kinds))
    assert outcomes(slates) == [(1, 0), (2, outcome)]
    assert slates.totals() == (1, 1, int(outcome > 0), 0)


def test_an_answered_slate_keeps_its_outcomes_when_the_next_one_is_shown() -> None:
    slates = fed(shown("u", 1, 2), said("like", "u", 1), shown("u", 3), said("undo", "u", 1), said("hide", "u", 2))
    assert outcomes(slates) == [(1, LIKE), (2, 0)]


def test_slates_are_counted_by_the_reactions_that_stand() -> None:
    slates = fed(
        shown("u", 1, 2, 3), said("like", "u", 1), said("hide", "u", 3), said("like", "u", 3),
        shown("v", 1, 2, 3), said("like", "v", 1), said("like", "v", 2), said("undo", "v", 1),
        shown("w", 1, 2, 3), said("like", "w", 1), said("like", "w", 2), said("dislike", "w", 3),
        shown("x", 1),
    )  # fmt: skip
    assert slates.totals() == (4, 3, 1, 1)


def test_users_and_slates_are_numbered_as_they_appear() -> None:
    slates = fed(
        shown("x", 9),
        shown("w", 1),
        shown("u", 2, 3),
        said("like", "u", 2),
        shown("w", 4),
        said("like", "w", 4),
        shown("u", 5),
        said("hide", "u", 5),
    )
    assert table(slates.examples()) == [(0, 2, 1, 2), (0, 3, 0, 2), (1, 4, 1, 5), (0, 5, 2, 7)]


def test_what_became_answered_comes_once_and_in_the_order_of_the_answers() -> None:
    slates = Slates()
    first = [shown("u", 1, -1, 2), shown("v", 3), said("like", "v", 3), said("like", "u", 2), said("hide", "u", 1)]
    assert pairs(slates.add(frame(rows_of(first)))) == [(3, START + 3), (1, START), (2, START + 2)]
    assert pairs(slates.add(frame(rows_of([said("dislike", "u", 1), said("like", "v", 3)])))) == []


def test_unknown_items_are_kept_out() -> None:
    slates = fed(shown("u", -1, 4), said("like", "u", -1), shown("v", -1), said("like", "v", -1), said("like", "u", 4))
    assert outcomes(slates) == [(4, LIKE)]
    assert slates.totals() == (2, 1, 1, 0)


def test_what_was_said_before_this_system_was_said_of_no_list() -> None:
    """Though it names an item of one, and its row stands beside it."""
    rows = frame(rows_of([shown("u", 1, 2), said("like", "u", 1), said("dislike", "u", 2)]))
    here = pl.col("item_index") == 2
    rows = rows.with_columns(
        source=pl.when(here | (pl.col("kind") == "impression")).then("source").otherwise(pl.lit(HISTORY))
    )
    slates = Slates()
    slates.add(rows)
    assert outcomes(slates) == [(1, 0), (2, DISLIKE)]


def test_lists_one_after_the_other_are_told_apart_by_their_events() -> None:
    assert fed(shown("u", 1, 2), shown("u", 3), shown("v", 4)).totals() == (3, 0, 0, 0)


@pytest.mark.parametrize("batches", [[], [[]], [[], []]], ids=["no batch", "an empty one", "empty ones"])
def test_no_rows_are_no_slates(batches: list[list[Row]]) -> None:
    slates = Slates()
    assert [pairs(slates.add(frame(batch))) for batch in batches] == [[]] * len(batches)
    assert (table(slates.examples()), slates.totals()) == ([], (0, 0, 0, 0))


@pytest.mark.parametrize(("others", "remembered"), [(5, True), (6, False)])
def test_a_slate_is_forgotten_after_so_many_rows(others: int, remembered: bool) -> None:
    with limits(12):
        slates = fed(shown("u", 1, 2), said("like", "u", 1), *[said("like", "v", 1)] * others)
    assert slates.totals() == ((1, 1, 1, 0) if remembered else (0, 0, 0, 0))


@pytest.mark.parametrize(("others", "answered"), [(5, 2), (6, 0)])
def test_a_forgotten_slate_can_no_longer_be_answered(others: int, answered: int) -> None:
    rows = rows_of([shown("u", 1, 2), *[said("like", "v", 1)] * others, said("like", "u", 1)])
    with limits(12):
        assert len(Slates().add(frame(rows)).index) == answered


# a list that reaches the log after the reactions to it

LIST_AFTER_LIKE = [said("like", "u", 2), shown("u", 1, 2, 3), shown("v", 9)]


def fed_late(events: list[tuple[str, str, list[int]]], delays: Sequence[float]) -> Slates:
    slates = Slates()
    slates.add(frame(rows_of(events, delays)))
    return slates


def test_a_reaction_logged_before_its_list_answers_it() -> None:
    slates = fed_late(LIST_AFTER_LIKE, (0, 2))
    assert outcomes(slates) == [(1, 0), (2, LIKE), (3, 0)]


def test_the_list_counts_once_it_is_whole() -> None:
    slates, rows = Slates(), rows_of(LIST_AFTER_LIKE, (0, 2))
    assert [pairs(slates.add(frame([row]))) for row in rows[:-1]] == [[]] * 4
    assert pairs(slates.add(frame(rows[-1:]))) == [(1, START - 1), (2, START), (3, START + 1)]


def test_what_was_said_before_the_list_was_shown_is_not_to_it() -> None:
    assert fed_late(LIST_AFTER_LIKE, (0, 0.5)).totals() == (2, 0, 0, 0)


def test_an_early_reaction_taken_back() -> None:
    events = [said("like", "u", 2), said("like", "u", 1), said("undo", "u", 2), *LIST_AFTER_LIKE[1:]]
    assert outcomes(fed_late(events, (0, 0, 0, 5, 5))) == [(1, LIKE), (2, 0), (3, 0)]


def test_a_list_that_comes_much_too_late_is_not_answered() -> None:
    with limits(40):
        near = [*LIST_AFTER_LIKE[:1], *[said("like", "v", 5)] * 9, *LIST_AFTER_LIKE[1:]]
        far = [*LIST_AFTER_LIKE[:1], *[said("like", "v", 5)] * 10, *LIST_AFTER_LIKE[1:]]
        assert [fed_late(events, [0] * 10 + [99, 99]).totals()[1] for events in (near, far)] == [1, 0]


def test_quick_reactions_do_not_pile_up() -> None:
    with limits(20):
        slates = fed(*(said("like", f"u{n}", 1) for n in range(1_000)), *[said("like", "v", 1)] * 1_000)
    assert sum(map(len, slates._recent.values())) <= module.EARLY_KEPT + 20
    assert slates._waiting == []


# however the log is cut


@FAST
@given(EVENTS, DELAYS, LIMITS)
def test_slates_equal_a_loop_over_all_rows(
    events: list[tuple[str, str, list[int]]], delays: list[float], limit: tuple[int, int]
) -> None:
    rows = rows_of(events, delays)
    oracle = Oracle(rows, limit[0])
    with limits(*limit):
        slates = Slates()
        answered = slates.add(frame(rows))
    assert pairs(answered) == [(item, at) for _, item, at in oracle.answered]
    assert table(slates.examples()) == oracle.examples()
    assert slates.totals() == oracle.totals()


@FAST
@given(EVENTS, DELAYS, LIMITS, st.data())
def test_batch_boundaries_do_not_change_a_bit(
    events: list[tuple[str, str, list[int]]], delays: list[float], limit: tuple[int, int], data: st.DataObject
) -> None:
    rows = rows_of(events, delays)
    places = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=8)))
    with limits(*limit):
        whole, cut = Slates(), Slates()
        at_once = pairs(whole.add(frame(rows)))
        in_parts = []
        for a, b in zip([0, *places], [*places, len(rows)], strict=True):
            in_parts += pairs(cut.add(frame(rows[a:b])))
            cut.examples(), cut.totals()  # reading must not matter either
    assert in_parts == at_once
    assert everything(cut) == everything(whole)


@FAST
@given(EVENTS, DELAYS, LIMITS, st.data())
def test_a_warm_start_goes_on_as_if_it_had_seen_all(
    events: list[tuple[str, str, list[int]]], delays: list[float], limit: tuple[int, int], data: st.DataObject
) -> None:
    rows = rows_of(events, delays)
    now = data.draw(st.integers(0, len(rows)))
    begin = data.draw(st.integers(0, max(now - limit[0], 0)))
    with limits(*limit):
        old, new = Slates(), Slates(begin)
        old.add(frame(rows[:now]))
        new.add(frame(rows[begin:now]))
        assert everything(new) == everything(old)
        assert pairs(new.add(frame(rows[now:]))) == pairs(old.add(frame(rows[now:])))
    assert everything(new) == everything(old)


def test_users_are_forgotten_with_their_slates() -> None:
    with limits(20):
        slates = fed(*(shown(f"u{n}", 1, 2) for n in range(1_000)))
    assert len(slates._newest) <= 20
    assert slates._newest.keys() == slates._numbers.keys()
