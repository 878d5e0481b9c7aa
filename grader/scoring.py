"""From lists and answers to metrics, and from metrics to points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np

from grader.errors import GraderError
from grader.metrics import variety
from grader.metrics.intervals import Measured, of_means, of_percentiles, of_wholes
from grader.metrics.lists import Lists
from grader.metrics.relevance import hit_rate, hits_per_list, ndcg, precision
from grader.worlds.world import Catalogue, Ints

Measurements = dict[str, Measured]
PERCENTILES: Final = (50.0, 90.0, 95.0, 99.0)


def values_of_lists(catalogue: Catalogue, lists: Lists) -> dict[str, np.ndarray]:
    """Every metric that a single list has, (lists,) each; NaN where it is not defined."""
    return {
        "precision": precision(lists.hits),
        "hits_per_list": hits_per_list(lists.hits),
        "hit_rate": hit_rate(lists.hits),
        "ndcg_remaining": ndcg(lists.hits, lists.remaining),
        "ndcg_all": ndcg(lists.hits, lists.relevant),
        "intra_list_diversity": variety.intra_list_diversity(lists.items, catalogue.genres),
        "share_of_genres": variety.share_of_genres(lists.items, catalogue.genres),
        "novelty_bits": variety.novelty(lists.items, catalogue.opinions, catalogue.n_users),
    }


def measure_lists(catalogue: Catalogue, lists: Lists, seed: int) -> Measurements:
    """Every metric of the lists, each with its repeats."""
    values = values_of_lists(catalogue, lists)
    means = of_means(lists.user, np.column_stack(list(values.values())), seed)
    wholes = dict(zip(WHOLES, of_wholes(*_wholes(lists, seed), seed), strict=True))
    return dict(zip(values, means, strict=True)) | wholes


WHOLES: Final = ("catalogue_coverage", "inter_user_diversity", "exposure_gini")


def _wholes(lists: Lists, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Values of WHOLES (3,), and what each user makes of them (users, 3)."""
    user, items, n_items = lists.user, lists.items, lists.n_items
    coverage = variety.catalogue_coverage(items, n_items)
    made = coverage - variety.coverage_without_each(user, items, n_items)
    made -= made.mean()
    if not made.any():
        # No item was shown to one user only, so nobody in particular stands for the chance that is left.
        made = np.random.default_rng([seed, 6]).standard_normal(len(made))
    made *= np.sqrt(variety.coverage_variance(user, items, n_items) / max((made**2).sum(), 1e-300))
    diversity = variety.inter_user_diversity(user, items)
    gini = variety.exposure_gini(items, n_items)
    others = [
        diversity - variety.inter_user_diversity_without_each(user, items),
        gini - variety.gini_without_each(user, items, n_items),
    ]
    return np.array([coverage, diversity, gini]), np.column_stack([made, *others])


def measure_latency(name: str, user: Ints, seconds: np.ndarray, seed: int) -> Measurements:
    """Mean and percentiles in milliseconds of one kind of request, at least one; ``user`` (rows,): whose each was."""
    milliseconds = seconds * 1000
    (mean,) = of_means(user, milliseconds[:, None], seed)
    percentiles = of_percentiles(user, milliseconds, PERCENTILES, seed)
    named = {f"{name}_p{percent:g}_ms": found for percent, found in zip(PERCENTILES, percentiles, strict=True)}
    return {f"{name}_mean_ms": mean, **named}


@dataclass(frozen=True)
class Profile:
    """Which reading of each metric counts for points: the external grader's definitions are not public."""

    precision: str = "precision"
    ndcg: str = "ndcg_remaining"
    diversity: str = "intra_list_diversity"
    latency: str = "recs_mean_ms"


READINGS: Final[Mapping[str, Mapping[str, str]]] = {
    "precision": {"hits/10": "precision", "hits": "hits_per_list", "share": "hit_rate"},
    "ndcg": {"remaining": "ndcg_remaining", "all": "ndcg_all"},
    "diversity": {"genres": "intra_list_diversity", "users": "inter_user_diversity", "share": "share_of_genres"},
    "latency": {"recs": "recs_mean_ms", "interact": "interact_mean_ms", "due": "recs_due_mean_ms"},
}
PROFILES: Final = {
    "standard": Profile(),
    "published": Profile(precision="hits_per_list", ndcg="ndcg_all"),
    "hit-rate": Profile(precision="hit_rate"),
    "users": Profile(diversity="inter_user_diversity"),
}


def profile_of(spec: str) -> Profile:
    """A profile by name, or readings as ``precision=hits,ndcg=all`` on top of the standard one."""
    if spec in PROFILES:
        return PROFILES[spec]
    profile = PROFILES["standard"]
    for part in spec.split(","):
        name, _, reading = part.partition("=")
        if reading not in READINGS.get(name, {}):
            choices = "; ".join(f"{n}={'|'.join(readings)}" for n, readings in READINGS.items())
            raise GraderError(f"--profile {spec!r} is none of {', '.join(PROFILES)}, nor made of {choices}.")
        profile = replace(profile, **{name: READINGS[name][reading]})
    return profile


@dataclass(frozen=True)
class CardRow:
    """Points rise linearly from ``none`` to ``full``; published for the external grader at k = 10."""

    name: str
    none: float
    full: float
    points: float = 10.0

    def of(self, value: np.ndarray) -> np.ndarray:
        """Nothing measured gives nothing."""
        return np.nan_to_num(self.points * ((value - self.none) / (self.full - self.none)).clip(0, 1))


CARD: Final = (
    CardRow("precision", 0.02, 0.15),
    CardRow("ndcg", 0.02, 0.07),
    CardRow("diversity", 0.1, 0.4),
    CardRow("coverage", 0.1, 0.8),
)
LATENCY_ROW: Final = CardRow("latency", 800.0, 80.0)
LATENCY_COUNTS_FROM: Final = 30.0  # points of the rows above


@dataclass(frozen=True)
class Scored:
    """A row of the card with what was measured, and its points."""

    row: CardRow
    metric: str
    measured: Measured
    points: Measured


@dataclass(frozen=True)
class ScoreCard:
    """``quality`` is of the four rows up to 40, ``total`` with the latency row up to 50 where it counts."""

    rows: list[Scored]
    quality: Measured
    total: Measured

    @property
    def latency_counts(self) -> bool:
        return self.quality.value >= LATENCY_COUNTS_FROM


def quality_points(values: Mapping[str, float], profile: Profile) -> float:
    """Points of the four rows up to 40, from metrics without repeats."""
    return float(sum(row.of(np.array(values[_reading(profile, row)])) for row in CARD))


def score(measurements: Measurements, profile: Profile) -> ScoreCard:
    """Without a measured latency, as in process, the latency row is left out."""
    rows = [_scored(row, _reading(profile, row), measurements) for row in CARD]
    quality = total = _sum([scored.points for scored in rows])
    if profile.latency in measurements:
        latency = _scored(LATENCY_ROW, profile.latency, measurements)
        rows.append(latency)
        total = Measured(
            quality.value + latency.points.value * (quality.value >= LATENCY_COUNTS_FROM),
            quality.repeats + latency.points.repeats * (quality.repeats >= LATENCY_COUNTS_FROM),
        )
    return ScoreCard(rows, quality, total)


def _reading(profile: Profile, row: CardRow) -> str:
    chosen = {field.name: getattr(profile, field.name) for field in fields(profile)}
    return str(chosen.get(row.name, "catalogue_coverage"))


def _scored(row: CardRow, metric: str, measurements: Measurements) -> Scored:
    measured = measurements[metric]
    points = Measured(float(row.of(np.array(measured.value))), row.of(measured.repeats))
    return Scored(row, metric, measured, points)


def _sum(parts: list[Measured]) -> Measured:
    return Measured(sum(part.value for part in parts), np.sum([part.repeats for part in parts], axis=0))
