"""What a check is and what it can come to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grader.doctor.probe import Call
    from grader.doctor.service import Service


class Verdict(StrEnum):
    OK = "ok"
    FAILED = "failed"
    WARNING = "warning"
    SKIPPED = "skipped"


class CheckFailed(Exception):
    """The service broke the contract.

    ``seen`` is one sentence. ``user``: only calls of this user, and calls that set up the state, reproduce it.
    ``calls``: exactly these do; without both, all calls of the check.
    """

    verdict = Verdict.FAILED

    def __init__(self, seen: str, *, user: str | None = None, calls: Sequence[Call] = ()) -> None:
        super().__init__(seen)
        self.seen, self.user, self.calls = seen, user, calls


class CheckWarned(CheckFailed):
    """Nothing the contract forbids, but something to look at."""

    verdict = Verdict.WARNING


@dataclass(frozen=True)
class Check:
    """``run`` starts from any state of the service and returns what it saw; CheckFailed says what is wrong."""

    name: str
    wants: str
    run: Callable[[Service], Awaitable[str]]


@dataclass(frozen=True)
class Outcome:
    """One check's result. ``curl``: shell lines that reproduce a failure, in order; comments hold the answers."""

    name: str
    wants: str
    verdict: Verdict
    seen: str
    curl: tuple[str, ...] = ()
    seconds: float = 0.0
