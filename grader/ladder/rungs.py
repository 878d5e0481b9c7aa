"""The reference ladder of one world and plan: every rung with its metrics."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from importlib import import_module
from typing import Final, NamedTuple

import numpy as np

from grader.errors import GraderError
from grader.ladder.collaborative import CollaborativeOracle
from grader.ladder.recommenders import Ceiling, OnlinePopularity, Random, popularity_oracle, taste_oracle
from grader.ladder.simulate import Recommender, Replay, simulate
from grader.metrics.lists import judge
from grader.scoring import measure_lists
from grader.traffic import Plan
from grader.worlds.world import World

ALL_RUNGS: Final = "all"
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


def rungs_of(world: World, own: Sequence[str] = ()) -> list[Rung]:
    """Those of the ladder, and ``own`` ones as module:Class. Real users have no taste that anybody knows."""
    ladder = [rung for rung in RUNGS if world.taste is not None or rung.name != "taste oracle"]
    return [*ladder, *map(own_rung, own)]


def own_rung(name: str) -> Rung:
    """A class of somebody's own, made with (world, rng), that is a Recommender. GraderError if it cannot be had."""
    module, _, of = name.partition(":")
    try:
        kind = getattr(import_module(module), of)
    except Exception as error:  # whatever happens while somebody's own module is imported
        raise GraderError(f"the rung {name} cannot be imported: {type(error).__name__}: {error}") from error
    if missing := [method for method in ("recommend", "react") if not callable(getattr(kind, method, None))]:
        raise GraderError(f"the rung {name} lacks the method {' and '.join(missing)}: see grader/ladder/simulate.py")
    return Rung(name, (kind.__doc__ or "").strip().split("\n")[0], lambda world, plan, k, rng: kind(world, rng))


def play_rungs(
    world: World,
    plan: Plan,
    k: int,
    seed: int,
    names: Collection[str] = (),
    stepped: Callable[[str, int], None] = lambda name, steps: None,
) -> Iterator[tuple[Rung, Replay]]:
    """What each rung showed, or each of those named; module:Class is one of somebody's own.

    ``stepped`` is told the rung and its progress.
    """
    for number, rung in enumerate(rungs_of(world, [name for name in names if ":" in name])):
        if names and rung.name not in names and ALL_RUNGS not in names:
            continue
        stepped(rung.name, 0)
        recommender = rung.build(world, plan, k, np.random.default_rng([seed, 5, number]))
        tell = partial(stepped, rung.name)
        yield rung, simulate(world, plan, recommender, k, tell)


def climb(
    world: World,
    plan: Plan,
    k: int,
    seed: int,
    stepped: Callable[[str, int], None] = lambda name, steps: None,
    own: Sequence[str] = (),
) -> Iterator[dict[str, object]]:
    """Plain values for each rung: name, knows, metrics by name. ``stepped`` is told the rung and its progress."""
    for rung, replay in play_rungs(world, plan, k, seed, (ALL_RUNGS, *own), stepped):
        lists = judge(world, plan.step_user[plan.lists], replay.lists)
        measured = measure_lists(world.catalogue, lists, seed)
        yield {"name": rung.name, "knows": rung.knows, "metrics": {name: m.value for name, m in measured.items()}}
