"""The reference ladder of one world and plan: every rung with its metrics."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Final, NamedTuple

import numpy as np

from grader.ladder.collaborative import CollaborativeOracle
from grader.ladder.recommenders import Ceiling, OnlinePopularity, Random, popularity_oracle, taste_oracle
from grader.ladder.simulate import Recommender, simulate
from grader.metrics.lists import judge
from grader.scoring import measure_lists
from grader.traffic import Plan
from grader.worlds.world import Ints, World

Build = Callable[[World, Plan, int, np.random.Generator], Recommender]


class Rung(NamedTuple):
    name: str
    knows: str
    build: Build


def _depth(plan: Plan, k: int) -> int:
    """As many items as the most frequent visitor is shown."""
    return k * int(np.bincount(plan.step_user[plan.lists]).max())


RUNGS: Final = (
    Rung("random", "nothing", lambda world, plan, k, rng: Random(world, rng)),
    Rung("online popularity", "who liked what in this run", lambda world, plan, k, rng: OnlinePopularity(world, rng)),
    Rung("popularity oracle", "how many like each item", lambda world, plan, k, rng: popularity_oracle(world, rng)),
    Rung(
        "collaborative oracle",
        "all opinions of all other users",
        lambda world, plan, k, rng: CollaborativeOracle(world, rng),
    ),
    Rung(
        "taste oracle",
        "the taste of each user, not what was drawn from it",
        lambda world, plan, k, rng: taste_oracle(world, min(_depth(plan, k), world.n_items)),
    ),
    Rung("ceiling", "every opinion", lambda world, plan, k, rng: Ceiling(world, rng)),
)


def rungs_of(world: World) -> list[Rung]:
    """Real users have no taste that anybody knows."""
    return [rung for rung in RUNGS if world.taste is not None or rung.name != "taste oracle"]


def play_rungs(
    world: World,
    plan: Plan,
    k: int,
    seed: int,
    names: Collection[str] = (),
    stepped: Callable[[str, int], None] = lambda name, steps: None,
) -> Iterator[tuple[Rung, Ints]]:
    """The lists (lists, k) of each rung, or of those named. ``stepped`` is told the rung and its progress."""
    for number, rung in enumerate(rungs_of(world)):
        if names and rung.name not in names:
            continue
        stepped(rung.name, 0)
        recommender = rung.build(world, plan, k, np.random.default_rng([seed, 5, number]))
        yield rung, simulate(world, plan, recommender, k, lambda steps, name=rung.name: stepped(name, steps))  # type: ignore[misc]


def climb(
    world: World, plan: Plan, k: int, seed: int, stepped: Callable[[str, int], None] = lambda name, steps: None
) -> Iterator[dict[str, object]]:
    """Plain values for each rung: name, knows, metrics by name. ``stepped`` is told the rung and its progress."""
    for rung, items in play_rungs(world, plan, k, seed, stepped=stepped):
        lists = judge(world, plan.step_user[plan.lists], items)
        measured = measure_lists(world.catalogue, lists, seed)
        yield {"name": rung.name, "knows": rung.knows, "metrics": {name: m.value for name, m in measured.items()}}
