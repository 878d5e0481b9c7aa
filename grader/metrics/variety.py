"""How different lists are: within themselves, from each other, and in what of the catalogue they show.

``items`` is (lists, k) int32 with NOTHING (-1) where a place holds no item; ``genres`` (items, g) bool.
"""

from __future__ import annotations

import numpy as np

from grader.worlds.world import Bools, Ints

LISTS_AT_ONCE = 5_000  # bounds the memory of (lists, k, g) arrays to some tens of megabytes
Values = np.ndarray  # float64


def intra_list_diversity(items: Ints, genres: Bools) -> Values:
    """(lists,): mean distance of all pairs of the list's items, 0 to 1 (Ziegler et al. 2005).

    The distance is 1 - Jaccard of the two sets of genres; two items without any genre are told apart by nothing: 0.
    Lists with fewer than two items have 0.
    """
    chunks = [_intra_list(items[n : n + LISTS_AT_ONCE], genres) for n in range(0, len(items), LISTS_AT_ONCE)]
    return np.concatenate(chunks) if chunks else np.empty(0)


def _intra_list(items: Ints, genres: Bools) -> Values:
    placed = items >= 0
    held = genres[items].astype(np.float32)
    shared = held @ held.transpose(0, 2, 1)
    sizes = held.sum(axis=2)
    union = sizes[:, :, None] + sizes[:, None, :] - shared
    distance = np.where(union > 0, 1 - shared / np.maximum(union, 1), 0)
    pair = placed[:, :, None] & placed[:, None, :] & ~np.eye(items.shape[1], dtype=bool)
    return np.asarray((distance * pair).sum(axis=(1, 2), dtype=np.float64) / np.maximum(pair.sum(axis=(1, 2)), 1))


def share_of_genres(items: Ints, genres: Bools) -> Values:
    """(lists,): how much of all genres at least one item of the list has, 0 to 1; 0 in a catalogue without genres."""
    shares = np.zeros(len(items))
    if genres.shape[1]:
        for start in range(0, len(items), LISTS_AT_ONCE):
            part = items[start : start + LISTS_AT_ONCE]
            held = genres[part] & (part >= 0)[:, :, None]
            shares[start : start + LISTS_AT_ONCE] = held.any(axis=1).mean(axis=1)
    return shares


def novelty(items: Ints, opinions_per_item: Ints, n_users: int) -> Values:
    """(lists,): mean surprise of the list's items in bits, -log2 of the share of users who know the item.

    Known means an opinion in the hidden world; one is added to both counts, so that unknown items have a finite value
    (Vargas & Castells 2011, popularity-based item novelty). NaN for a list without items.
    """
    surprise = -np.log2((opinions_per_item + 1) / (n_users + 1))
    placed = items >= 0
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(placed, surprise[items], 0).sum(axis=1) / placed.sum(axis=1))


def exposures(items: Ints, n_items: int) -> Ints:
    """(n_items,): how often each item was shown."""
    return np.bincount(items[items >= 0], minlength=n_items).astype(np.int32)


def catalogue_coverage(items: Ints, n_items: int) -> float:
    """Share of the catalogue that was shown to somebody, 0 to 1; 0 for an empty catalogue."""
    return float((exposures(items, n_items) > 0).mean()) if n_items else 0.0


def coverage_without_each(user: Ints, items: Ints, n_items: int) -> Values:
    """(users,): ``catalogue_coverage`` without each user that has a list."""
    number, item = _seen_by(user, items, n_items)
    viewers = np.bincount(item, minlength=n_items)
    only_theirs = np.bincount(number[viewers[item] == 1], minlength=len(np.unique(user)))
    return catalogue_coverage(items, n_items) - only_theirs / max(n_items, 1)


def coverage_variance(user: Ints, items: Ints, n_items: int) -> float:
    """Variance of ``catalogue_coverage`` over repeats with other users of the same kind.

    From how many items were shown to one and to two users only (Colwell et al. 2012, equation 5 at the sample itself,
    with the bias-corrected Chao2 estimate of what is not seen). The jackknife would give up to several times as much.
    One more unseen item than estimated, for where nothing is left unseen by chance.
    """
    viewers = np.bincount(_seen_by(user, items, n_items)[1], minlength=n_items)
    once, twice, seen = (int(count) for count in ((viewers == 1).sum(), (viewers == 2).sum(), (viewers > 0).sum()))
    unseen = min(once * (once - 1) / (2 * (twice + 1)), n_items - seen) + 1
    return seen * unseen / (seen + unseen) / n_items**2 if seen else 0.0


def _seen_by(user: Ints, items: Ints, n_items: int) -> tuple[Ints, Ints]:
    """All pairs of a user (numbered from 0 in ascending order) and an item that was shown to him, once each."""
    _, number = np.unique(user, return_inverse=True)
    keys = np.unique((number[:, None] * np.int64(n_items) + items)[items >= 0])
    whose, item = np.divmod(keys, max(n_items, 1))
    return whose.astype(np.int32), item.astype(np.int32)


def exposure_gini(items: Ints, n_items: int) -> float:
    """Gini index of how often items were shown; NaN if nothing was."""
    return gini(exposures(items, n_items))


def gini(counts: Ints) -> float:
    """Inequality of ``counts`` (n,): 0 where all are equal, towards 1 where one has them all; NaN for nothing.

    Half the mean absolute difference of two of them, divided by the mean (Gini 1912).
    """
    n, total = len(counts), float(counts.sum())
    return float((2 * np.arange(1, n + 1) - n - 1) @ np.sort(counts) / (n * total)) if total else float("nan")


def gini_without_each(user: Ints, items: Ints, n_items: int) -> Values:
    """(users,): ``exposure_gini`` without each user that has a list, to first order in his exposures."""
    present, number = np.unique(user, return_inverse=True)
    shown = exposures(items, n_items)
    total = int(shown.sum())
    value = exposure_gini(items, n_items)
    if not total:
        return np.full(len(present), value)
    ordered = np.sort(shown)
    mid_ranks = (np.searchsorted(ordered, shown, "left") + np.searchsorted(ordered, shown, "right") + 1) / 2
    slope = (2 * mid_ranks - n_items - 1) / (n_items * total) - value / total
    return value - np.bincount(number, np.where(items >= 0, slope[items], 0).sum(axis=1), minlength=len(present))


def inter_user_diversity(user: Ints, items: Ints) -> float:
    """How many items of a list another user's list does not hold, by k: mean of all pairs of lists of different users.

    0 to 1 (1 - overlap, Zhou et al. 2010). The shorter list of a pair counts, so lists without items differ in nothing.
    0 if there is no such pair. A list shows no item twice.
    """
    differing, pairs = _pairs(user, items)
    return float(differing.sum()) / (items.shape[1] * float(pairs.sum())) if pairs.sum() else 0.0


def inter_user_diversity_without_each(user: Ints, items: Ints) -> Values:
    """(users,): ``inter_user_diversity`` without each user that has a list."""
    differing, pairs = _pairs(user, items)
    # Each pair of lists was counted at both of its users.
    left_pairs = pairs.sum() / 2 - pairs
    left = differing.sum() / 2 - differing
    return np.where(left_pairs > 0, left / (items.shape[1] * np.maximum(left_pairs, 1)), 0.0)


def _pairs(user: Ints, items: Ints) -> tuple[Values, Values]:
    """For each user with a list: items that differ in pairs with lists of others, and how many pairs there are."""
    _, number, lists = np.unique(user, return_inverse=True, return_counts=True)
    placed = items >= 0
    # The shorter of two lists has at least s items if both have: summed over s, min(|A|, |B|) of all pairs.
    sizes = placed.sum(axis=1)
    shorter = np.zeros(len(lists))
    for size in range(1, items.shape[1] + 1):
        own = np.bincount(number, sizes >= size, minlength=len(lists))
        shorter += own * (own.sum() - own)
    n_items = int(items.max(initial=0)) + 1
    keys, times = np.unique((number[:, None] * np.int64(n_items) + items)[placed], return_counts=True)
    whose, item = np.divmod(keys, n_items)
    total = np.bincount(items[placed], minlength=n_items)
    shared = np.bincount(whose, times * (total[item] - times), minlength=len(lists))
    return shorter - shared, (lists * (len(user) - lists)).astype(np.float64)
