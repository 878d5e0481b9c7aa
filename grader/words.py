"""What metrics are called, what they mean, and how their values are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from grader.metrics.intervals import Measured
from grader.scoring import PERCENTILES


class Metric(NamedTuple):
    name: str
    meaning: str
    digits: int = 4
    less_is_better: bool = False


_LATENCIES: Final = {
    "recs": ("list", "answering a list, from the request sent"),
    "interact": ("reaction", "accepting reactions, from the request sent"),
    "recs_due": ("list, from when due", "the same, from the moment the user wanted the list"),
}


def _latencies() -> dict[str, Metric]:
    found = {}
    for key, (name, meaning) in _LATENCIES.items():
        found[f"{key}_mean_ms"] = Metric(f"ms per {name}", f"mean time of {meaning}", 1, True)
        for percent in PERCENTILES:
            found[f"{key}_p{percent:g}_ms"] = Metric(
                f"ms per {name}, p{percent:g}", f"{percent:g} % took no longer", 1, True
            )
    return found


METRICS: Final[Mapping[str, Metric]] = {
    "precision": Metric("precision@10", "hits by places"),
    "hits_per_list": Metric("hits per list", "hits in a list of 10", 3),
    "hit_rate": Metric("hit rate", "share of lists with a hit"),
    "ndcg_remaining": Metric("nDCG, remaining", "against the best list of what was not shown yet"),
    "ndcg_all": Metric("nDCG, all", "against the best list of all that the user likes"),
    "intra_list_diversity": Metric("intra-list diversity", "mean distance of genres of two items of a list"),
    "share_of_genres": Metric("share of genres", "of all genres, in one list"),
    "novelty_bits": Metric("novelty, bits", "surprise of an item, by how few users know it", 2),
    "catalogue_coverage": Metric("catalogue coverage", "share of all items shown to somebody"),
    "inter_user_diversity": Metric("inter-user diversity", "share of a list that another user's does not hold"),
    "exposure_gini": Metric("exposure Gini", "0: all items shown alike; 1: one item only", less_is_better=True),
    **_latencies(),
}


def less_is_better(metric: str) -> bool:
    """False for points too."""
    return metric in METRICS and METRICS[metric].less_is_better


def amount(metric: str, value: float) -> str:
    return "-" if value != value else f"{value:,.{METRICS[metric].digits}f}"


def interval(metric: str, measured: Measured) -> str:
    low, high = measured.interval
    return "-" if low != low else f"{amount(metric, low)} to {amount(metric, high)}"


def lag_sentence(lag: Mapping[str, Any] | None) -> str:
    """Of ``facts["lag"]``."""
    if lag is None:
        return "Feedback lag: not measured."
    if lag["reason"]:
        return f"Feedback lag: not measured, {lag['reason']}."
    longest = f"within {max(delay for delay, _ in lag['shares']):g} s"
    half, most = lag["p50_s"], lag["p95_s"]
    if half is None:
        return f"Fewer than half of reactions are in the next list {longest}."
    rest = f"fewer than 95 % {longest}" if most is None else f"95 % within {most * 1000:.0f} ms"
    return f"Half of reactions are in the next list within {half * 1000:.0f} ms, {rest}."
