"""Time that passes only where somebody waits for it, so that tests of pauses are exact and take none."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any, TypeVar
from unittest.mock import patch

TICK_S = 1e-5  # of every round of the event loop, so that nobody who looks at the clock again and again waits for ever
T = TypeVar("T")


class _Jumping(selectors.SelectSelector):
    """Nothing is waited for: what would have been waited is told to ``passed``."""

    def __init__(self, passed: Callable[[float], None]) -> None:
        super().__init__()
        self._passed = passed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._passed(timeout or 0.0)
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """Its clock jumps to the next timer; timers fire ``early_s`` before they are due, as those of uvloop do."""

    def __init__(self, early_s: float = 0.0) -> None:
        self._now_s, self._early_s = 1_000.0, early_s
        super().__init__(_Jumping(self._pass))

    def _pass(self, seconds: float) -> None:
        self._now_s += seconds + TICK_S

    def time(self) -> float:
        return self._now_s

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return super().call_at(when - self._early_s, callback, *args, context=context)


@contextmanager
def jumping(early_s: float = 0.0) -> Iterator[Callable[[Awaitable[T]], T]]:
    """Runs a coroutine; ``time.perf_counter`` tells the same time as its event loop."""
    loop = JumpingLoop(early_s)
    try:
        with patch.object(time, "perf_counter", loop.time):
            yield loop.run_until_complete
    finally:
        loop.close()
