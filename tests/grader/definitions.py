"""The metrics as the literature defines them, in loops over lists and sets: slow, and hard to get wrong.

A list is a row of items, -1 where a place is empty.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence, Set
from itertools import combinations
from typing import NamedTuple

Row = Sequence[int]
NAN = math.nan


class Judged(NamedTuple):
    number: int
    items: list[int]
    fresh: list[bool]
    hits: list[bool]
    relevant: int
    remaining: int


def judged(likes: Sequence[Set[int]], users: Sequence[int], rows: Sequence[Row]) -> list[Judged]:
    """Lists in the order shown: an item counts once in a list, and is a hit only when it is new to the user."""
    seen: dict[int, set[int]] = {}
    numbers: dict[int, int] = {}
    found = []
    for user, row in zip(users, rows, strict=True):
        before = seen.setdefault(user, set())
        numbers[user] = numbers.get(user, 0) + 1
        items = [item if item not in row[:place] else -1 for place, item in enumerate(row)]
        fresh = [item != -1 and item not in before for item in items]
        hits = [new and item in likes[user] for new, item in zip(fresh, items, strict=True)]
        found.append(Judged(numbers[user], items, fresh, hits, len(likes[user]), len(likes[user] - before)))
        before.update(item for item in items if item != -1)
    return found


def mean(values: Collection[float]) -> float:
    """NaN is left out."""
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else NAN


def precision(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits)


def hits_per_list(hits: Sequence[bool]) -> float:
    return sum(hits)


def hit_rate(hits: Sequence[bool]) -> float:
    return float(True in hits)


def ndcg(hits: Sequence[bool], relevant: int) -> float:
    if not relevant:
        return NAN
    gained = math.fsum(1 / math.log2(place + 1) for place, hit in enumerate(hits, start=1) if hit)
    best = math.fsum(1 / math.log2(place + 1) for place in range(1, min(relevant, len(hits)) + 1))
    return gained / best


def intra_list_diversity(row: Row, genres: Sequence[Set[int]]) -> float:
    pairs = list(combinations([item for item in row if item != -1], 2))
    return math.fsum(jaccard_distance(genres[a], genres[b]) for a, b in pairs) / len(pairs) if pairs else 0.0


def jaccard_distance(a: Set[int], b: Set[int]) -> float:
    return 1 - len(a & b) / len(a | b) if a | b else 0.0


def share_of_genres(row: Row, genres: Sequence[Set[int]], n_genres: int) -> float:
    held: set[int] = set().union(*(genres[item] for item in row if item != -1))
    return len(held) / n_genres if n_genres else 0.0


def novelty(row: Row, opinions: Sequence[Mapping[int, bool]]) -> float:
    def surprise(item: int) -> float:
        known_to = sum(item in user for user in opinions)
        return -math.log2((known_to + 1) / (len(opinions) + 1))

    return mean([surprise(item) for item in row if item != -1])


def catalogue_coverage(rows: Sequence[Row], n_items: int) -> float:
    return len({item for row in rows for item in row} - {-1}) / n_items


def exposure_gini(rows: Sequence[Row], n_items: int) -> float:
    """Half the mean absolute difference of two items' exposures, relative to the mean exposure."""
    exposures = [sum(row.count(item) for row in map(list, rows)) for item in range(n_items)]
    if not sum(exposures):
        return math.nan
    differences = sum(abs(a - b) for a in exposures for b in exposures)
    return differences / n_items**2 / (2 * sum(exposures) / n_items)


def inter_user_diversity(users: Sequence[int], rows: Sequence[Row]) -> float:
    k = len(rows[0]) if rows else 1
    lists = [(user, set(row) - {-1}) for user, row in zip(users, rows, strict=True)]
    distances = [
        (min(len(a), len(b)) - len(a & b)) / k for (one, a), (other, b) in combinations(lists, 2) if one != other
    ]
    return math.fsum(distances) / len(distances) if distances else 0.0


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least so many percent of all values do not exceed."""
    return min(v for v in values if sum(other <= v for other in values) >= percent / 100 * len(values))
