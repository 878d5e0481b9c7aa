"""The learner that knows more than a service can."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.ideal import KNOWS, NEEDS_TASTES, Ideal, gittins
from grader.errors import GraderError
from grader.ladder.recommenders import OnlinePopularity
from grader.ladder.simulate import Recommender, simulate
from grader.metrics.lists import judge
from grader.traffic import TrafficConfig, plan_traffic
from grader.worlds.spec import open_world
from grader.worlds.world import World
from tests.grader.worlds import world_of

UNIFORM = (np.arange(2_000) + 0.5) / 2_000
SPEC = "synthetic:items=800,users=500"


@pytest.mark.parametrize(
    ("looks", "hits", "index"), [(0, 0, 0.703), (1, 1, 0.800), (1, 0, 0.500), (2, 1, 0.635), (3, 0, 0.302)]
)
def test_indices_are_those_of_the_tables(looks: int, hits: int, index: float) -> None:
    """As published for a uniform prior and a discount of 0.9 (Gittins, Glazebrook & Weber 2011)."""
    table = gittins(UNIFORM, np.full(2_000, 1 / 2_000), 10, 120, 120)
    assert table[looks, hits] == pytest.approx(index, abs=0.005)


def test_an_item_is_worth_more_than_its_mean_the_less_it_was_looked_at() -> None:
    table = gittins(UNIFORM, np.full(2_000, 1 / 2_000), 100, 60, 40)
    gains = [table[2 * n, n] - 0.5 for n in range(25)]
    assert all(np.diff(gains) < 0)
    assert gains[-1] > 0


def precision(world: World, recommender: Recommender, seed: int) -> float:
    plan = plan_traffic(world.n_users, TrafficConfig(), seed)
    lists = simulate(world, plan, recommender, 10).lists
    return float(judge(world, plan.step_user[plan.lists], lists).hits.mean())


def test_who_knows_more_finds_more() -> None:
    found: dict[str, list[float]] = {name: [] for name in ("online popularity", "popularity", "features")}
    for seed in (1, 2, 3):
        world = open_world(SPEC, seed)
        rng = np.random.default_rng(seed)
        found["online popularity"].append(precision(world, OnlinePopularity(world, rng), seed))
        for knows in ("popularity", "features"):
            found[knows].append(precision(world, Ideal(world, knows, rng), seed))
    learner, popularity, features = (np.mean(values) for values in found.values())
    assert popularity > learner
    assert features > 1.15 * popularity


@pytest.mark.parametrize("knows", KNOWS)
def test_a_list_holds_what_was_not_shown(knows: str) -> None:
    world = open_world("tiny", 1)
    ideal = Ideal(world, knows, np.random.default_rng(1))
    first = ideal.recommend(0, [], 10)
    ideal.react(0, first, {})
    second = ideal.recommend(0, first, 10)
    assert len({*first, *second}) == 20
    assert len(ideal.recommend(0, range(world.n_items - 3), 10)) == 3


@pytest.mark.parametrize("knows", NEEDS_TASTES)
def test_real_users_have_no_known_tastes(knows: str) -> None:
    with pytest.raises(GraderError, match="only generated worlds"):
        Ideal(world_of([{0: True}], [{0}]), knows, np.random.default_rng(1))


def test_of_real_users_popularity_can_be_learned_all_the_same() -> None:
    generated = open_world(SPEC, 1)
    found = [
        precision(world, Ideal(world, "popularity", np.random.default_rng(1)), 1)
        for world in (generated, replace(generated, taste=None))
    ]
    assert found[0] == found[1] > 0.05
