"""How well lists meet tastes: one value for each list.

``hits`` is (lists, k) bool, best place first. No list gives an empty answer.
"""

from __future__ import annotations

import numpy as np

from grader.worlds.world import Bools, Ints

Values = np.ndarray  # (lists,) float64


def precision(hits: Bools) -> Values:
    """Hits per place, 0 to 1; a place without an item counts as a miss."""
    return np.asarray(hits.mean(axis=1, dtype=np.float64))


def hits_per_list(hits: Bools) -> Values:
    """Hits in the list, 0 to k."""
    return np.asarray(hits.sum(axis=1, dtype=np.float64))


def hit_rate(hits: Bools) -> Values:
    """1 for a list with at least one hit, else 0; its mean is the share of such lists."""
    return np.asarray(hits.any(axis=1), dtype=np.float64)


def ndcg(hits: Bools, relevant: Ints) -> Values:
    """Normalised discounted cumulative gain with binary relevance, 0 to 1 (Järvelin & Kekäläinen 2002).

    A hit at place r, from 1, gains 1 / log2(r + 1). ``relevant`` (lists,) is how many relevant items there were; the
    best list has min(k, relevant) hits at the top. NaN where nothing was relevant: no list could have been better.
    """
    discounts = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    best = np.concatenate([[np.nan], np.cumsum(discounts)])[np.minimum(relevant, hits.shape[1])]
    return np.asarray((hits @ discounts) / best)
