"""Where the points went: the same hits counted by request, part of the run, place, genre, state of the user, source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from grader.metrics.intervals import Measured, of_ratios
from grader.metrics.lists import NOTHING, Lists
from grader.metrics.variety import catalogue_coverage, inter_user_diversity
from grader.record import OTHER_SOURCES
from grader.run import Run
from grader.scoring import Profile, quality_points, values_of_lists
from grader.worlds.world import Bools

LAST_NUMBER: Final = 6  # requests from this one on are counted together
FIFTHS: Final = 5
MOST_SOURCES: Final = 20  # more names than that are counted together


@dataclass(frozen=True)
class Part:
    """Some of all places of lists: how many, how many of them were hits, and their precision."""

    label: str
    lists: int
    places: int
    hits: int
    precision: Measured


@dataclass(frozen=True)
class Breakdown:
    title: str
    parts: list[Part]


@dataclass(frozen=True)
class Fault:
    """``lists`` had it, ``places`` were wasted by it, ``points`` were lost: those that the other lists earned more."""

    name: str
    lists: int
    places: int
    points: float


def breakdowns(run: Run, seed: int) -> list[Breakdown]:
    """Parts without a place are left out, breakdowns without a part too."""
    lists = run.lists
    every = np.ones(lists.items.shape, bool)
    warm = _warm(run)[:, None]
    fifth = (np.arange(len(lists)) * FIFTHS // max(len(lists), 1))[:, None]
    number = np.minimum(lists.number, LAST_NUMBER)[:, None]
    held = np.where((lists.items != NOTHING)[:, :, None], run.catalogue.genres[lists.items], False)
    groups: dict[str, dict[str, Bools]] = {
        "Request of the user": {_ordinal(n): every & (number == n) for n in range(1, LAST_NUMBER + 1)},
        "Fifth of the run": {f"{n + 1}": every & (fifth == n) for n in range(FIFTHS)},
        "Place in the list": {f"{n + 1}": every & (np.arange(lists.k) == n) for n in range(lists.k)},
        "User": {"cold: nothing accepted before": every & ~warm, "warm: reacted before": every & warm},
        "Genre of the item": {name: held[:, :, n] for n, name in enumerate(run.catalogue.genre_names)},
        "Source named by the service": _by_source(run),
    }
    found = [Breakdown(title, _parts(lists, masks, seed)) for title, masks in groups.items()]
    return [breakdown for breakdown in found if breakdown.parts]


def _parts(lists: Lists, masks: dict[str, Bools], seed: int) -> list[Part]:
    masks = {label: mask for label, mask in masks.items() if mask.any()}
    if not masks:
        return []
    places = np.column_stack([mask.sum(axis=1) for mask in masks.values()])
    hits = np.column_stack([(mask & lists.hits).sum(axis=1) for mask in masks.values()])
    precisions = of_ratios(lists.user, hits, places, seed)
    return [
        Part(label, int((places[:, n] > 0).sum()), int(places[:, n].sum()), int(hits[:, n].sum()), precisions[n])
        for n, label in enumerate(masks)
    ]


def _ordinal(number: int) -> str:
    return f"{number}" if number < LAST_NUMBER else f"{number} and later"


def _warm(run: Run) -> Bools:
    """(lists,): whether a reaction of the user had been accepted before he asked."""
    accepted = (pl.col("kind") == "interact") & (pl.col("status") == 200)
    frame = run.requests.select("kind", warm=accepted.cum_sum().over("user") > 0)
    return frame.filter(kind="recs")["warm"].to_numpy()


def _by_source(run: Run) -> dict[str, Bools]:
    k = run.lists.k
    rows: list[list[str]] = run.recs["sources"].to_list()
    times = Counter(name for row in rows for name in row if name != OTHER_SOURCES)
    number = {name: n for n, (name, _) in enumerate(times.most_common(MOST_SOURCES))}
    source = np.full((len(rows), k), -1)
    for n, row in enumerate(rows):
        source[n, : len(row)] = [number.get(name, MOST_SOURCES) for name in row]
    return {name: source == n for name, n in sorted(number.items())} | {OTHER_SOURCES: source == MOST_SOURCES}


def faults(run: Run, profile: Profile) -> list[Fault]:
    """What spoiled lists, with the points that were lost by it."""
    lists, recs = run.lists, run.recs
    missing = np.maximum(lists.k - recs["returned"].to_numpy(), 0)
    failed = recs["problem"].to_numpy() != ""
    wasted = {
        "no list: error or timeout": np.where(failed, lists.k, 0),
        "short": np.where(failed, 0, missing),
        "unknown ids": recs["unknown"].to_numpy(),
        "repeated within the list": recs["repeated"].to_numpy(),
        "already shown to the user": ((lists.items != NOTHING) & ~lists.fresh).sum(axis=1),
    }
    lost = _points_lost(run, profile)
    return [Fault(name, int((w > 0).sum()), int(w.sum()), lost(w > 0)) for name, w in wasted.items()]


def _points_lost(run: Run, profile: Profile) -> Callable[[Bools], float]:
    """By how much precision, nDCG and diversity of the other lists score higher; NaN if there are no others."""
    lists = run.lists
    values = values_of_lists(run.catalogue, lists)
    coverage = catalogue_coverage(lists.items, lists.n_items)

    def points(chosen: Bools) -> float:
        known = {name: value[chosen & ~np.isnan(value)] for name, value in values.items()}
        means = {name: float(value.mean()) if len(value) else float("nan") for name, value in known.items()}
        between = inter_user_diversity(lists.user[chosen], lists.items[chosen])
        return quality_points({**means, "catalogue_coverage": coverage, "inter_user_diversity": between}, profile)

    def lost(spoiled: Bools) -> float:
        if not spoiled.any():
            return 0.0
        return float("nan") if spoiled.all() else max(0.0, points(~spoiled) - points(np.ones(len(lists), bool)))

    return lost
