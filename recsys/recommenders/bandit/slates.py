"""Which of the lists that users were shown were answered, and how: what is evidence about an item and what is not.

A user reacts to the list he was shown last, if at all. That an item was passed over says something only if the user
reacted to something else of the same list; in a list without any reaction it was most likely never looked at.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.contract import HISTORY
from recsys.recommenders.bandit.taste import TrainingExamples
from recsys.user_state import SHOWN, UNDO, marks_of

Ints = NDArray[np.int64]
REMEMBERED_ROWS: Final = 600_000  # of the event log; a slate that began before them is forgotten
STEP_ROWS: Final = 50_000  # bounds what one step of ``add`` holds in memory
EARLY_SHARE: Final = 1 / 4  # of the remembered rows: a list that is logged later than this after a reaction misses it
EARLY_KEPT: Final = 64  # newest reactions of a user that may be to a list which is not logged yet


@dataclass(frozen=True)
class Answered:
    """The impressions (r,) of slates that became answered, in the order of the reactions that answered them."""

    index: Ints  # item positions
    received_at: NDArray[np.float64]  # of the impressions, Unix seconds


@dataclass(frozen=True)
class _Reactions:
    """Reactions (m,) in the order of the rows at which they count, each with the slate that it may be to."""

    row: Ints
    item: Ints
    mark: NDArray[np.uint8]
    slate: Ints

    def where(self, mask: NDArray[np.bool_]) -> _Reactions:
        return _Reactions(self.row[mask], self.item[mask], self.mark[mask], self.slate[mask])


class Slates:
    """The slates that began within the last ``remembered`` rows of the log, but for the oldest ``early`` of these rows.

    A slate is a run of impression rows that share their event id; it is named by the number of its first row. All that
    comes out is a function of the last ``remembered`` rows, and does not depend on how they were cut into batches, not
    even through a slate.

    A reaction to an item of its user's newest slate answers this slate and is the item's outcome; a later reaction
    replaces it, and an undo makes it 0, but the slate stays answered. Nothing reaches an older slate any more. Items
    that the catalogue does not know are left out; a slate of only such items exists and is never answered.

    Lists are logged a moment after they were shown, so quick reactions come first. A reaction is therefore also one to
    the slates of its user that are logged up to ``early`` rows after it and were shown before it. It counts as soon as
    the slate is whole: at the row that follows the slate.
    """

    def __init__(self, start: int = 0) -> None:
        """``start``: the number of the first row that will be added."""
        self.remembered = REMEMBERED_ROWS
        self.early = int(REMEMBERED_ROWS * EARLY_SHARE)
        self._rows = start  # of the log, up to the last one added
        self._forgotten_at = start  # value of ``_rows`` when users were last forgotten
        self._open: tuple[str, int] | None = None  # event id and slate of the last row, if it is an impression
        self._newest: dict[str, int] = {}  # user → slate
        self._numbers: dict[str, int] = {}  # user → first slate since he was forgotten, if ever
        self._recent: defaultdict[str, deque[int]] = defaultdict(_last_few)  # user → rows of his reactions
        self._waiting: list[tuple[int, int]] = []  # row of a reaction, and a slate not known to be whole that it is to
        # Rings: row r of the log is at place r % size. The rows of one step fit in beside the remembered ones.
        self._size = self.remembered + STEP_ROWS
        self._slate = np.full(self._size, -1)  # of an impression; else -1
        self._item = np.zeros(self._size, np.int32)  # -1 if not known
        self._received = np.zeros(self._size)
        self._mark = np.zeros(self._size, np.uint8)  # of a reaction its own; of an impression its outcome
        # Of slates, at the place of their first row:
        self._user = np.zeros(self._size, np.int64)
        self._length = np.zeros(self._size, np.int32)
        self._answered = np.zeros(self._size, np.bool_)

    def add(self, rows: pl.DataFrame) -> Answered:
        """Rows of EVENT_SCHEMA that follow those already added. Returns what became answered by them."""
        steps = [self._step(step) for step in rows.iter_slices(STEP_ROWS)]
        index = np.concatenate([np.zeros(0, np.int64), *(step.index for step in steps)])
        return Answered(index, np.concatenate([np.zeros(0), *(step.received_at for step in steps)]))

    def examples(self) -> TrainingExamples:
        """What the answered slates teach; a function of the last ``remembered`` rows.

        Users are numbered in order of first appearance, a slate by its first row in the log.
        """
        places, slate = self._impressions()
        kept = self._answered[slate % self._size] & (self._item[places] >= 0)
        places, slate = places[kept], slate[kept]
        begins = np.diff(slate, prepend=-1) != 0
        number = np.cumsum(begins) - 1
        users = _in_order_of_appearance(self._user[slate[begins] % self._size])
        return TrainingExamples(users[number], self._item[places].astype(np.int64), self._mark[places], slate)

    def totals(self) -> tuple[int, int, int, int]:
        """Remembered slates; the answered ones of them; those with one and those with two reactions that stand."""
        places, slate = self._impressions()
        begun = places == slate % self._size
        reactions = np.bincount(np.cumsum(begun) - 1, weights=self._mark[places] > 0)
        once, twice = (int(np.count_nonzero(reactions == count)) for count in (1, 2))
        return int(begun.sum()), int(self._answered[places[begun]].sum()), once, twice

    def _is_remembered(self, slate: Ints, rows: int | Ints) -> NDArray[np.bool_]:
        """Which of the slates (m,), -1 for none, are remembered when so many rows have been added."""
        return (slate >= 0) & (slate > rows - self.remembered + self.early)

    def _impressions(self) -> tuple[Ints, Ints]:
        """Places (r,) and slates (r,) of all impressions in remembered slates, oldest first."""
        places = np.arange(max(self._rows - self.remembered, 0), self._rows) % self._size
        slate = self._slate[places]
        kept = self._is_remembered(slate, self._rows)
        return places[kept], slate[kept]

    def _step(self, rows: pl.DataFrame) -> Answered:
        """Add at least one and up to STEP_ROWS rows."""
        marks = marks_of(rows["kind"])
        begins = self._write(rows, marks)
        reactions = self._addressed(rows, marks, begins)
        self._rows += rows.height
        self._forget_users()
        places = self._answer(reactions)
        return Answered(self._item[places].astype(np.int64), self._received[places])

    def _write(self, rows: pl.DataFrame, marks: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Put the rows into the rings, without users. Returns which of them begin a slate."""
        shown = marks == SHOWN
        number = np.arange(self._rows, self._rows + rows.height)
        begins = self._begins(rows["event_id"], shown)
        slate = np.maximum.accumulate(np.where(begins, number, self._open[1] if self._open else -1))
        places = number % self._size
        self._slate[places] = np.where(shown, slate, -1)
        self._item[places] = rows["item_index"].to_numpy()
        self._received[places] = rows["received_at"].to_numpy()
        self._mark[places] = marks
        self._length[places] = 0
        self._answered[places] = False
        np.add.at(self._length, slate[shown] % self._size, 1)
        self._open = (rows["event_id"][-1], int(slate[-1])) if shown[-1] else None
        return begins

    def _begins(self, event_id: pl.Series, shown: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Where an impression does not go on with the slate of the row before it."""
        begins = shown.copy()
        begins[0] &= self._open is None or self._open[0] != event_id[0]
        begins[1:] &= (event_id[1:] != event_id[:-1]).to_numpy() | ~shown[:-1]
        return begins

    def _addressed(self, rows: pl.DataFrame, marks: NDArray[np.uint8], begins: NDArray[np.bool_]) -> _Reactions:
        """The reactions that count in this step. Notes the users of the slates."""
        # What was said before this system was said of no list.
        here = (rows["item_index"] >= 0) & (rows["source"] != HISTORY)
        reacted = (marks != SHOWN) & here.to_numpy()
        offsets = np.flatnonzero(begins | reacted)
        users = rows["user_id"][offsets].to_list()
        newest = self._follow(zip(users, (self._rows + offsets).tolist(), begins[offsets].tolist(), strict=True))
        rows_reacted = self._rows + np.flatnonzero(reacted)
        early, whole = self._of_whole_slates()
        counts_at = np.concatenate([whole + self._length[whole % self._size], rows_reacted])
        order = np.argsort(counts_at, kind="stable")
        said = np.concatenate([early, rows_reacted])[order] % self._size
        slate = np.concatenate([whole, newest])[order]
        return _Reactions(counts_at[order], self._item[said].astype(np.int64), self._mark[said], slate)

    def _follow(self, told: Iterable[tuple[str, int, bool]]) -> Ints:
        """(user, row, begins a slate or is a reaction) in log order → newest slate of each reaction, -1 if none."""
        slates, numbers, found = [], [], []
        for user, row, begins in told:
            if begins:
                self._newest[user] = row
                slates.append(row)
                numbers.append(self._numbers.setdefault(user, row))
                if user in self._recent:
                    self._wait(row, self._recent[user])
            else:
                found.append(self._newest.get(user, -1))
                self._recent[user].append(row)
        self._user[np.array(slates, np.int64) % self._size] = numbers
        return np.array(found, np.int64)

    def _wait(self, slate: int, recent: Iterable[int]) -> None:
        shown_at = self._received[slate % self._size]
        for row in recent:
            if row >= slate - self.early and self._received[row % self._size] >= shown_at:
                self._waiting.append((row, slate))

    def _of_whole_slates(self) -> tuple[Ints, Ints]:
        """The reactions (w,) that waited and wait no longer, and their slates."""
        still_open = self._open[1] if self._open else -1
        waited = np.array(self._waiting, np.int64).reshape(-1, 2)
        self._waiting = [waiting for waiting in self._waiting if waiting[1] == still_open]
        whole = waited[waited[:, 1] != still_open]
        return whole[:, 0], whole[:, 1]

    def _answer(self, reactions: _Reactions) -> Ints:
        """Note outcomes. Returns the places of the impressions that became answered."""
        reactions = reactions.where(self._is_remembered(reactions.slate, reactions.row + 1))
        place = self._find(reactions.slate, reactions.item)
        hit = place >= 0
        reactions, place = reactions.where(hit), place[hit]
        undo = reactions.mark == UNDO
        self._mark[place] = np.where(undo, 0, reactions.mark)  # of several to one item the last one stays
        slate = reactions.slate[~undo]
        slate = slate[~self._answered[slate % self._size]]
        slate = slate[np.sort(np.unique(slate, return_index=True)[1])]
        self._answered[slate % self._size] = True
        _, places = self._spread(slate)
        return places[self._item[places] >= 0]

    def _find(self, slate: Ints, item: Ints) -> Ints:
        """Places (m,) of these items in these slates; -1 where a slate does not hold the item."""
        slates, which = np.unique(slate, return_inverse=True)
        owner, places = self._spread(slates)
        if not len(places):
            return np.full(len(slate), -1)
        keys = owner << 32 | self._item[places].astype(np.int64)
        order = np.argsort(keys, kind="stable")
        wanted = which << 32 | item
        nearest = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
        return np.where(keys[nearest] == wanted, places[nearest], -1)

    def _spread(self, slates: Ints) -> tuple[Ints, Ints]:
        """Slates (s,) → for each of their impressions (r,): which of the s slates it is of, and its place."""
        length = self._length[slates % self._size].astype(np.int64)
        owner = np.repeat(np.arange(len(slates)), length)
        rank = np.arange(len(owner)) - (np.cumsum(length) - length)[owner]
        return owner, (slates[owner] + rank) % self._size

    def _forget_users(self) -> None:
        """Drop users without a remembered slate, so seldom that it costs next to nothing per row."""
        if self._rows - self._forgotten_at >= self.remembered:
            self._forgotten_at = self._rows
            oldest = self._rows - self.remembered
            self._newest = {user: slate for user, slate in self._newest.items() if slate > oldest}
            self._numbers = {user: self._numbers[user] for user in self._newest}
            kept = ((user, rows) for user, rows in self._recent.items() if rows[-1] > oldest)
            self._recent = defaultdict(_last_few, kept)


def _last_few() -> deque[int]:
    return deque(maxlen=EARLY_KEPT)


def _in_order_of_appearance(values: Ints) -> Ints:
    """The values (r,) numbered 0..d-1 in the order in which each first appears."""
    _, first, which = np.unique(values, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[which]
