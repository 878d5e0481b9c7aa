"""What the site measures itself: how fast events come, and how soon a reaction is followed by a new list."""

from __future__ import annotations

import statistics
import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 60.0
LAGS_KEPT: Final = 200
WAITING_KEPT: Final = 1_000
# A list that comes later was asked for by somebody who had gone away meanwhile.
LONGEST_LAG_S: Final = 10.0


class Rate:
    """Growth per second of a counter that is looked at now and then."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._lock = threading.Lock()

    def of(self, count: int, now: float | None = None) -> float | None:
        """Since the oldest look of the last minute; None at the first one, or after the counter began anew."""
        now = time.monotonic() if now is None else now
        with self._lock:
            while self._seen and (now - self._seen[0][0] > WINDOW_S or self._seen[0][1] > count):
                self._seen.popleft()
            self._seen.append((now, count))
            (then, before) = self._seen[0]
        return (count - before) / (now - then) if now > then else None


@dataclass(frozen=True)
class Lag:
    median_s: float
    p95_s: float


class Lags:
    """From a reaction to the first list after it, by person."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, float] = OrderedDict()
        self._lags: deque[float] = deque(maxlen=LAGS_KEPT)
        self._lock = threading.Lock()

    def reacted(self, user_id: str, now: float) -> None:
        with self._lock:
            self._waiting.setdefault(user_id, now)
            while len(self._waiting) > WAITING_KEPT:
                self._waiting.popitem(last=False)

    def listed(self, user_id: str, now: float) -> None:
        with self._lock:
            lag = now - self._waiting.pop(user_id, -LONGEST_LAG_S)
            if lag < LONGEST_LAG_S:
                self._lags.append(lag)

    def summary(self) -> Lag | None:
        """None before the first reaction."""
        with self._lock:
            lags = sorted(self._lags)
        if not lags:
            return None
        return Lag(statistics.median(lags), lags[min(len(lags) - 1, round(0.95 * len(lags)))])
