"""What happened at every step of a plan."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from grader.metrics.lists import NOTHING
from grader.traffic import Plan

NOT_SENT = -1
MOST_SOURCES = 1_000
OTHER_SOURCES = "all other sources"


@dataclass
class Record:
    """One row for each step of the plan, filled while the run goes on; times in seconds since the first arrival.

    status: NOT_SENT, 0 without an answer, else HTTP's. items: (steps, k) positions, NOTHING where a place is empty.
    returned: ids in the answer; unknown: how many of them were never added; repeated: stood a second time.
    source: (steps, k) index into ``source_names``, -1 for none. likes, dislikes: how many were sent.
    """

    due_s: np.ndarray
    sent_s: np.ndarray
    done_s: np.ndarray
    status: np.ndarray
    items: np.ndarray
    returned: np.ndarray
    unknown: np.ndarray
    repeated: np.ndarray
    source: np.ndarray
    likes: np.ndarray
    dislikes: np.ndarray
    _source_numbers: dict[str, int] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)  # step → what went wrong, few words

    @classmethod
    def of(cls, plan: Plan, k: int) -> Record:
        steps = len(plan.looks)
        return cls(
            due_s=np.full(steps, np.nan),
            sent_s=np.full(steps, np.nan),
            done_s=np.full(steps, np.nan),
            status=np.full(steps, NOT_SENT, np.int16),
            items=np.full((steps, k), NOTHING, np.int32),
            returned=np.zeros(steps, np.int16),
            unknown=np.zeros(steps, np.int16),
            repeated=np.zeros(steps, np.int16),
            source=np.full((steps, k), -1, np.int16),
            likes=np.zeros(steps, np.int16),
            dislikes=np.zeros(steps, np.int16),
        )

    def asked(self, plan: Plan) -> np.ndarray:
        """(lists,) the steps that asked for a list, in the order of the plan; all of them unless the run was ended."""
        return np.asarray(plan.lists[self.status[plan.lists] != NOT_SENT])

    def source_number(self, name: str) -> int:
        """A service may name as many sources as it likes; those after the first MOST_SOURCES become the last one."""
        if len(self._source_numbers) >= MOST_SOURCES and name not in self._source_numbers:
            name = OTHER_SOURCES
        return self._source_numbers.setdefault(name, len(self._source_numbers))

    @property
    def source_names(self) -> list[str]:
        return list(self._source_numbers)
