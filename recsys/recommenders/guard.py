"""A time limit for code of somebody's own on the request path: a model that is late loses its places."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Final, TypeVar

import numpy as np

from recsys.recommenders.port import NOTHING, Bools, Floats, Model, Positions, Query, Ranked, Scoring

R = TypeVar("R")
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0


class Late(Exception):
    """The model did not answer in time."""


class Guard:
    """Runs one source in a thread of its own, since nothing else can be left alone in the middle of its work.

    A source that was late is left out for a moment, twice as long each time that it is late again, and in any case
    until it has come back: so one that hangs costs the service a few waits, not one for each list.
    """

    def __init__(self, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._pause_s = FIRST_PAUSE_S
        self._left_out_until = -np.inf
        self._running: Future[Any] | None = None
        self._tasks: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] | None = None

    def around(self, model: Model) -> Model:
        """The model, answering in time."""
        return GuardedScoring(self, model) if isinstance(model, Scoring) else Guarded(self, model)

    def call(self, function: Callable[[], R], otherwise: R) -> R:
        """What the function returns, or ``otherwise`` while it is left out. Late: it did not return in time."""
        if self._clock() < self._left_out_until or (self._running is not None and not self._running.done()):
            return otherwise
        if self._tasks is None:
            self._tasks = SimpleQueue()
            # A daemon: whoever hangs must not keep the process from ending.
            threading.Thread(target=_work, args=(self._tasks,), name="guarded", daemon=True).start()
        task: Future[R] = Future()
        self._running = task
        self._tasks.put((task, function))
        try:
            found: R = task.result(self._timeout_s)
        except TimeoutError:
            if not task.done():
                pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)
                self._left_out_until = self._clock() + pause_s
                raise Late(f"no answer within {self._timeout_s:g} s; left out for {pause_s:g} s") from None
            found = task.result()  # it came at the last moment, or the error is its own
        self._pause_s = FIRST_PAUSE_S
        return found


def _work(tasks: SimpleQueue[tuple[Future[Any], Callable[[], Any]]]) -> None:
    while True:
        task, function = tasks.get()
        try:
            task.set_result(function())
        except BaseException as error:  # it is the caller's
            task.set_exception(error)


class Guarded:
    """Ranks within a time limit."""

    def __init__(self, guard: Guard, model: Any) -> None:
        self._guard = guard
        self._model = model

    def rank(self, query: Query, eligible: Bools, k: int, rng: np.random.Generator) -> Ranked | Positions:
        # A generator of its own: one that is late goes on drawing.
        own = np.random.default_rng(rng.integers(2**63))
        return self._guard.call(lambda: self._model.rank(query, eligible, k, own), NOTHING)

    def dump(self) -> bytes:
        blob: bytes = self._model.dump()
        return blob


class GuardedScoring(Guarded):
    """Scores within a time limit too."""

    def scores(self, query: Query, positions: Positions) -> Floats | None:
        found: Floats | None = self._guard.call(lambda: self._model.scores(query, positions), None)
        return found
