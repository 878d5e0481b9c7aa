"""Runs of the same users with two services: which is better, metric by metric, and whether that is more than chance.

Two kinds of chance are told apart. Other users of the same kind would have given other figures: that is seen within a
run, by resampling its users. A service that learns may have learned something else: that is seen only between runs, so
it takes at least two of each service. One run of each can only speak of users.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import polars as pl
from scipy import stats

from grader.assessment import measure
from grader.errors import GraderError
from grader.metrics.intervals import Measured
from grader.run import Run
from grader.scoring import Measurements, Profile, score
from grader.words import less_is_better
from grader.worlds.spec import SYNTHETIC

POINTS: Final = "points"
# Chance of any false verdict about lists, or about latencies, when two services are equal. Less than the 5 in 100 that
# are promised, because intervals from resampling are a little too narrow.
ALPHA: Final = 0.02
# Equal for the same visits of the same users; ids, URLs and what was measured besides may differ.
SAME: Final = ("world", "seed", "users", "lists_per_user", "k")
# Decide how long requests take and how much time there is to learn between them.
LOAD: Final = ("speed", "requests_per_s", "concurrency", "timeout_s")


@dataclass(frozen=True)
class Difference:
    """Means over the runs of A and of B, their difference B - A with its 95 % interval, and what it says of B.

    ``p``: the chance of so large a difference between equal services. ``verdict``: better, worse or no difference.
    """

    metric: str
    a: float
    b: float
    change: float
    low: float
    high: float
    p: float
    verdict: str = "no difference"

    @property
    def in_words(self) -> str:
        """The verdict; where there is none, but 0 is outside of the interval of this metric alone: perhaps."""
        alone = self.low > 0 or self.high < 0
        return f"perhaps {_side(self)}" if alone and self.verdict == "no difference" else self.verdict


@dataclass(frozen=True)
class Comparison:
    """``points`` decide; ``metrics`` are those of lists; ``latencies`` stand beside them and are judged apart.

    ``unlike``: what of LOAD differs between A and B, in words; if anything does, there are no latencies.
    """

    points: Difference
    metrics: list[Difference]
    latencies: list[Difference]
    users: int
    runs: int
    unlike: list[str] = field(default_factory=list)


def compare(runs_a: Sequence[Run], runs_b: Sequence[Run], profile: Profile) -> Comparison:
    """The n-th run of A is compared with the n-th of B, at least one.

    GraderError unless each two sent the same users of the same world, and the runs of one side different ones. Lists
    that only one of two reached are left out; GraderError if none is left.
    """
    for runs in (runs_a, runs_b):
        require_own_seeds(runs)
    shared = [_common(a, b) for a, b in zip(runs_a, runs_b, strict=True)]
    pairs = [measured_pair(a, b, profile) for a, b in shared]
    names = [name for name in pairs[0][0] if all(name in measured for pair in pairs for measured in pair)]
    people = _same_users(runs_a)
    found = {name: difference(name, [(a[name], b[name]) for a, b in pairs], people) for name in names}
    came = [a.recs["user"].n_unique() for a, _ in shared]
    latencies = [name for name in names if name.endswith("_ms")]
    points, *metrics = holm([found[name] for name in names if name not in latencies])
    unlike = _unlike(runs_a, runs_b)
    return Comparison(
        points=points,
        metrics=metrics,
        latencies=[] if unlike else holm([found[name] for name in latencies]),
        users=max(came) if people else sum(came),
        runs=len(pairs),
        unlike=unlike,
    )


def require_own_seeds(runs: Sequence[Run]) -> None:
    """GraderError if two runs have the same seed: the same users again say no more of other users than once."""
    seeds = [run.facts["settings"]["seed"] for run in runs]
    if again := [seed for n, seed in enumerate(seeds) if seed in seeds[:n]]:
        raise GraderError(
            f"Two runs of one side have the seed {again[0]}, and so the same users: compare one of each side, or runs "
            "that were each made with a --seed of its own."
        )


def _same_users(runs: Sequence[Run]) -> bool:
    """Whether another seed only lets the same users come otherwise: those of a data set, if all of them came."""
    settings = [run.facts["settings"] for run in runs]
    return any(s["world"].partition(":")[0] not in SYNTHETIC and s["users"] is None for s in settings)


def _unlike(runs_a: Sequence[Run], runs_b: Sequence[Run]) -> list[str]:
    settings = [(a.facts["settings"], b.facts["settings"]) for a, b in zip(runs_a, runs_b, strict=True)]
    found = [f"{name} {a[name]:g} and {b[name]:g}" for name in LOAD for a, b in settings if a[name] != b[name]]
    return list(dict.fromkeys(found))


def measured_pair(a: Run, b: Run, profile: Profile) -> tuple[Measurements, Measurements]:
    """Metrics and points of both, with the same resamples of the users that both have."""
    seed = int(a.facts["settings"]["seed"])
    measured_a, measured_b = measure(a, seed), measure(b, seed)
    return with_points(measured_a, profile), with_points(measured_b, profile)


def with_points(measured: Measurements, profile: Profile) -> Measurements:
    return {POINTS: score(measured, profile).quality, **measured}


def _require_same(a: Run, b: Run) -> None:
    for name in SAME:
        one, other = a.facts["settings"][name], b.facts["settings"][name]
        if one != other:
            raise GraderError(f"The runs cannot be compared: {name} is {one!r} in one and {other!r} in the other.")
    if a.facts["world"]["opinions"] != b.facts["world"]["opinions"]:
        raise GraderError("The runs cannot be compared: their worlds differ, made by different versions or files.")


def _common(a: Run, b: Run) -> tuple[Run, Run]:
    """Only the lists (with the reactions after them) that were asked for in both runs; GraderError if they differ."""
    _require_same(a, b)
    keys = ["user", "number"]
    both = a.recs.select(keys).join(b.recs.select(keys), on=keys, how="semi")
    if both.is_empty():
        raise GraderError("The runs cannot be compared: no list was asked for in both; grade the services again.")

    def reduced(run: Run) -> Run:
        kept: pl.DataFrame = run.requests.join(both, on=keys, how="semi", maintain_order="left")
        return Run(run.facts, run.catalogue, kept)

    return reduced(a), reduced(b)


def difference(metric: str, pairs: Sequence[tuple[Measured, Measured]], same_users: bool = False) -> Difference:
    """From one pair: the paired bootstrap over its users. From more: random effects of runs and users.

    The mean over runs has the standard error of DerSimonian & Laird (1986) or that of Hartung & Knapp (2001), whichever
    is larger, and Student's t with one degree of freedom less than there are runs. With ``same_users`` in all of them
    the chance of users stays that of one run, and t has the degrees of freedom of Satterthwaite (1946).
    """
    changes = np.array([b.value - a.value for a, b in pairs])
    spreads = np.array([_spread(b.repeats - a.repeats) for a, b in pairs])
    change, runs = float(changes.mean()), len(pairs)
    within, between = float((spreads**2).mean()), float(changes.var(ddof=1)) if runs > 1 else 0.0
    if same_users or runs == 1:
        variance = within + between / runs
        freedom = (runs - 1) * (variance * runs / between) ** 2 if between else float("inf")
    else:
        # With runs of equal size both errors have this simple form.
        variance, freedom = max(between, within) / runs, runs - 1
    error = float(np.sqrt(variance))
    p = 1.0 if change == 0 or np.isnan(change) else 2 * float(stats.t.sf(abs(change) / max(error, 1e-300), freedom))
    half = float(stats.t.ppf(0.975, freedom)) * error
    mean_a, mean_b = (float(np.mean([pair[side].value for pair in pairs])) for side in (0, 1))
    return Difference(metric, mean_a, mean_b, change, change - half, change + half, p)


def _spread(repeats: np.ndarray) -> float:
    known = repeats[~np.isnan(repeats)]
    return float(known.std()) if len(known) else float("nan")


def holm(differences: list[Difference]) -> list[Difference]:
    """With verdicts such that any false one among them has at most the chance ALPHA (Holm 1979)."""
    by_p = sorted(range(len(differences)), key=lambda n: differences[n].p)
    told = set()
    for place, n in enumerate(by_p):
        if differences[n].p > ALPHA / (len(by_p) - place):
            break
        told.add(n)
    return [_with_verdict(found, n in told) for n, found in enumerate(differences)]


def _with_verdict(found: Difference, told: bool) -> Difference:
    if not told:
        return found
    return replace(found, verdict=_side(found))


def _side(found: Difference) -> str:
    return "better" if (found.change > 0) != less_is_better(found.metric) else "worse"
