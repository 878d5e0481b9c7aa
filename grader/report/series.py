"""What the plots show, as arrays: pure, and small enough to be drawn whatever the length of the run."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import polars as pl

from grader.metrics.intervals import of_ratios
from grader.metrics.lists import NOTHING, Lists

BINS: Final = 30  # at most, of a run
ROWS_PER_BIN: Final = 50  # at least, unless there are fewer in all
LEAST_FOR_P95: Final = 20  # answers; of fewer the 95th percentile is only the slowest
POINTS: Final = 200  # of a curve
LEAST_MS: Final = 0.01  # the log scale of times begins here
Values = np.ndarray  # float64


class Curve(NamedTuple):
    """Points (n,); y may hold NaN where nothing was measured."""

    x: Values
    y: Values


class Band(NamedTuple):
    """A curve with the bounds of its 95 % intervals."""

    x: Values
    y: Values
    low: Values
    high: Values


def bins_of(rows: int) -> int:
    return int(np.clip(rows // ROWS_PER_BIN, 1, BINS))


def precision_over_run(lists: Lists, seed: int) -> Band:
    """Precision of equally many lists each, in the order in which they were asked for; at least one list."""
    count, bins = len(lists), bins_of(len(lists))
    of_bin = (np.arange(count) * bins // count)[:, None] == np.arange(bins)
    hits = of_bin * lists.hits.sum(axis=1)[:, None]
    found = of_ratios(lists.user, hits, of_bin * lists.k, seed)
    low, high = np.array([measured.interval for measured in found]).T
    middles = (np.arange(bins) + 0.5) * count / bins
    return Band(middles, np.array([measured.value for measured in found]), low, high)


def coverage_over_run(lists: Lists) -> Curve:
    """Share of the catalogue that somebody was shown, after so many lists; from (0, 0)."""
    shown, first = np.unique(lists.items, return_index=True)
    new = np.bincount(first[shown != NOTHING] // max(lists.k, 1), minlength=len(lists))
    share = np.concatenate([[0], np.cumsum(new)]) / max(lists.n_items, 1)
    at = np.unique(np.linspace(0, len(lists), POINTS).astype(int))
    return Curve(at.astype(float), share[at])


def milliseconds(requests: pl.DataFrame) -> Values:
    """From each request sent to its answer, or to giving up."""
    taken: Values = ((requests["done_s"] - requests["sent_s"]) * 1000).to_numpy().clip(LEAST_MS)
    return taken


def not_slower(times_ms: Values) -> Curve:
    """The share (y) of answers that took no longer than so many milliseconds (x). Empty for none."""
    if not len(times_ms):
        return Curve(np.empty(0), np.empty(0))
    shares = np.concatenate([np.linspace(0, 0.99, POINTS), [0.995, 0.999, 1.0]])
    return Curve(np.quantile(times_ms, shares, method="inverted_cdf"), shares)


def p95_over_time(requests: pl.DataFrame) -> Curve:
    """95th percentile in milliseconds by the seconds since the first arrival; NaN where there were few answers."""
    if not requests.height:
        return Curve(np.empty(0), np.empty(0))
    sent_s, times_ms = requests["sent_s"].to_numpy(), milliseconds(requests)
    edges = np.linspace(sent_s.min(), sent_s.max(), bins_of(requests.height) + 1)
    of_bin = np.searchsorted(edges[1:-1], sent_s, side="right")
    return Curve((edges[1:] + edges[:-1]) / 2, _p95_of_each(of_bin, times_ms, len(edges) - 1))


def _p95_of_each(of_bin: np.ndarray, times_ms: Values, bins: int) -> Values:
    frame = pl.DataFrame({"bin": of_bin, "ms": times_ms}).group_by("bin").agg(pl.len(), pl.col("ms").quantile(0.95))
    enough = frame.filter((pl.col("len") >= LEAST_FOR_P95) | (bins == 1))
    found = np.full(bins, np.nan)
    found[enough["bin"].to_numpy()] = enough["ms"].to_numpy()
    return found
