"""Is the grader honest? Its own intervals and verdicts, put to the test on services whose truth is known.

Everything runs in process on generated users: many repeats with other users each time, so that what intervals and
verdicts promise can simply be counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from grader.compare import difference, holm, with_points
from grader.errors import GraderError
from grader.ladder.recommenders import OnlinePopularity, without
from grader.ladder.simulate import Recommender, simulate
from grader.metrics.lists import judge
from grader.scoring import PROFILES, Measurements, measure_lists
from grader.traffic import TrafficConfig, plan_traffic
from grader.worlds.world import World

K: Final = 10
HALF: Final = 0.5
Make = Callable[[World, np.random.Generator], Recommender]


class Mixed:
    """Each place holds the most popular item left with probability ``share``, else any item."""

    def __init__(self, crowd: World, share: float, rng: np.random.Generator) -> None:
        self._order = np.argsort(-crowd.likes_per_item, kind="stable")
        self._share = share
        self._rng = rng

    def recommend(self, user: int, shown: Sequence[int], k: int, at: float = 0.0) -> list[int]:
        count = self._rng.binomial(k, self._share)
        top = without(self._order[: k + len(shown)], shown)[:count]
        drawn = self._rng.choice(len(self._order), min(2 * k + len(shown), len(self._order)), replace=False)
        return (top + without(drawn, [*shown, *top]))[:k]

    def react(self, user: int, items: Sequence[int], opinions: Mapping[int, bool], at: float = 0.0) -> None:
        pass


def services(crowd: World) -> dict[str, Make]:
    """One that never learns, and one that learns by chance which items it comes to know."""
    return {
        "half popular, half random": lambda world, rng: Mixed(crowd, HALF, rng),
        "online popularity": lambda world, rng: OnlinePopularity(world, rng),
    }


def measured_repeats(crowd: World, make: Make, users: int, repeats: int, seed: int = 0) -> Iterator[list[Measurements]]:
    """Two runs of the same service with the same users, other users of ``crowd`` in every repeat.

    GraderError if the crowd has not so many.
    """
    if users > crowd.n_users:
        raise GraderError(
            f"The crowd has {crowd.n_users} users, too few to draw {users}: give fewer, or a larger crowd."
        )
    for repeat in range(repeats):
        drawn = np.random.default_rng([seed, repeat]).choice(crowd.n_users, users, replace=False)
        world = crowd.subset(np.sort(drawn).astype(np.int32))
        yield [measured_run(crowd, world, make, repeat, [seed, repeat, run]) for run in (1, 2)]


def measured_run(crowd: World, world: World, make: Make, seed: int, luck: Sequence[int]) -> Measurements:
    plan = plan_traffic(world.n_users, TrafficConfig(), seed)
    items = simulate(world, plan, make(world, np.random.default_rng(luck)), K).lists
    measured = measure_lists(crowd.catalogue, judge(world, plan.step_user[plan.lists], items), seed)
    return with_points(measured, PROFILES["standard"])


def covered(repeats: Sequence[list[Measurements]]) -> dict[str, float]:
    """For each metric the share of intervals that hold the truth: the mean of all repeats."""
    runs = [measured for pair in repeats for measured in pair]
    shares = {}
    for name in runs[0]:
        truth = np.mean([measured[name].value for measured in runs])
        bounds = [measured[name].interval for measured in runs]
        shares[name] = float(np.mean([low <= truth <= high for low, high in bounds]))
    return shares


@dataclass(frozen=True)
class Alarms:
    """``pairs`` comparisons of equal services, and how many of them had any verdict; by metric which ones."""

    pairs: int
    false: int
    by_metric: dict[str, int]


def alarms(repeats: Sequence[list[Measurements]], runs: int) -> Alarms:
    """Compare the two runs of every repeat, ``runs`` repeats at a time."""
    by_metric: defaultdict[str, int] = defaultdict(int)
    false = 0
    groups = [repeats[n : n + runs] for n in range(0, len(repeats) - runs + 1, runs)]
    for group in groups:
        told = told_apart([(pair[0], pair[1]) for pair in group])
        false += bool(told)
        for name in told:
            by_metric[name] += 1
    return Alarms(len(groups), false, dict(by_metric))


def told_apart(pairs: Sequence[tuple[Measurements, Measurements]]) -> dict[str, str]:
    """The verdict on every metric that has one."""
    found = holm([difference(name, [(a[name], b[name]) for a, b in pairs]) for name in pairs[0][0]])
    return {one.metric: one.verdict for one in found if one.verdict != "no difference"}


def found_better(world: World, gain: float, repeats: int, runs: int, seed: int = 0) -> tuple[float, int]:
    """The mean gain in precision of a service made about ``gain`` better, and in how many repeats it was found better.

    All users of ``world`` come to both services in every run.
    """
    better, gains = 0, []
    for repeat in range(repeats):
        pairs = [_unequal_pair(world, gain, [seed, repeat, run]) for run in range(runs)]
        gains += [b["precision"].value / a["precision"].value - 1 for a, b in pairs]
        better += told_apart(pairs).get("precision") == "better"
    return float(np.mean(gains)), better


def _unequal_pair(world: World, gain: float, luck: Sequence[int]) -> tuple[Measurements, Measurements]:
    """Random places hit almost nothing, so precision grows like the share of popular ones."""
    shares = (HALF, HALF * (1 + gain))
    makes: list[Make] = [lambda _, rng, share=share: Mixed(world, share, rng) for share in shares]  # type: ignore[misc]
    a, b = (measured_run(world, world, make, luck[1], [*luck, number]) for number, make in enumerate(makes))
    return a, b
