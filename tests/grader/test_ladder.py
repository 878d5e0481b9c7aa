"""The reference recommenders, whose results are known or bounded by what they know."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from grader.ladder.collaborative import CollaborativeOracle
from grader.ladder.recommenders import Ceiling, OnlinePopularity, Random, best, popularity_oracle, taste_oracle
from grader.ladder.rungs import RUNGS, climb, rungs_of
from grader.ladder.simulate import Recommender, simulate
from grader.metrics.lists import Lists, judge
from grader.traffic import LISTS_PER_VISIT, Plan, TrafficConfig, plan_traffic
from grader.worlds.spec import open_world
from grader.worlds.world import World
from tests.grader.stages import staged
from tests.grader.worlds import likes_in, opinions_in, world_of

K = 10


@pytest.fixture(scope="module")
def world() -> World:
    return open_world("tiny", 0)


@pytest.fixture(scope="module")
def plan(world: World) -> Plan:
    return plan_traffic(world.n_users, TrafficConfig(lists_per_user=LISTS_PER_VISIT), seed=0)


def lists_by(recommender: Recommender, world: World, plan: Plan) -> Lists:
    return judge(world, plan.step_user[plan.lists], simulate(world, plan, recommender, K))


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def by_user(lists: Lists) -> dict[int, list[list[int]]]:
    found: dict[int, list[list[int]]] = defaultdict(list)
    for user, row in zip(lists.user.tolist(), lists.items.tolist(), strict=True):
        found[user].append(row)
    return found


def test_who_knows_nothing_hits_as_often_as_chance_has_it(world: World, plan: Plan) -> None:
    lists = lists_by(Random(world, rng()), world, plan)
    rates = world.likes_per_user[lists.user] / world.n_items
    deviation = math.sqrt((rates * (1 - rates)).sum() / K) / len(lists)
    assert lists.hits.mean() == pytest.approx(rates.mean(), abs=5 * deviation)
    assert lists.fresh.all()


def test_the_popularity_oracle_shows_what_most_like(world: World, plan: Plan) -> None:
    likes = [sum(item in liked for liked in likes_in(world)) for item in range(world.n_items)]
    ranking = sorted(likes, reverse=True)
    lists = lists_by(popularity_oracle(world, rng()), world, plan)
    for rows in by_user(lists).values():
        shown = [item for row in rows for item in row]
        assert len(set(shown)) == len(shown)
        assert [likes[item] for item in shown] == ranking[: len(shown)]


def test_the_ceiling_shows_every_like_there_is(world: World, plan: Plan) -> None:
    lists = lists_by(Ceiling(world, rng()), world, plan)
    assert lists.hits.sum(axis=1).tolist() == np.minimum(K, lists.remaining).tolist()
    assert (np.diff(lists.hits.astype(int), axis=1) <= 0).all(), "hits come first"
    assert lists.fresh.all()


def test_no_rung_hits_more_than_the_ceiling(world: World, plan: Plan) -> None:
    rungs = {str(rung["name"]): rung["metrics"] for rung in climb(world, plan, K, seed=0)}
    precision = {name: metrics["precision"] for name, metrics in rungs.items()}  # type: ignore[index]
    assert max(precision, key=precision.__getitem__) == "ceiling"
    assert precision["taste oracle"] > precision["popularity oracle"] > precision["random"]
    assert precision["online popularity"] > precision["random"]
    assert precision["collaborative oracle"] > precision["online popularity"]


def test_the_taste_oracle_shows_what_each_user_likes_most_probably(world: World, plan: Plan) -> None:
    assert world.taste is not None
    lists = by_user(lists_by(taste_oracle(world, depth=50), world, plan))
    likely = world.taste.like_probability(np.arange(world.n_users, dtype=np.int32))
    for user, rows in lists.items():
        shown = [item for row in rows for item in row]
        assert likely[user, shown].tolist() == np.sort(likely[user])[::-1][: len(shown)].tolist()


def test_the_taste_oracle_needs_a_world_whose_tastes_are_known(world: World) -> None:
    real = replace(world, taste=None)
    assert "taste oracle" not in [rung.name for rung in rungs_of(real)]
    assert len(rungs_of(world)) == len(RUNGS) == len(rungs_of(real)) + 1
    with pytest.raises(ValueError, match="only generated worlds"):
        taste_oracle(real, 10)


def test_online_popularity_learns_from_reactions_only(world: World) -> None:
    recommender = OnlinePopularity(world, rng())
    first = recommender.recommend(0, [], K)
    assert recommender.recommend(1, [], K) == first, "the same for all"
    liked, disliked = first[7], first[0]
    recommender.react(0, [liked, disliked], [True, False])
    again = recommender.recommend(1, [], K)
    assert again[0] == liked
    assert disliked not in again
    assert liked not in recommender.recommend(1, [liked], K)


def with_opinions(world: World, user: int, opinions: dict[int, bool]) -> World:
    """The same world, but for the opinions of one user."""
    held = opinions_in(world)
    held[user] = opinions
    return replace(
        world,
        indptr=np.cumsum([0, *map(len, held)]).astype(np.int64),
        opinion_items=np.array([item for one in held for item in sorted(one)], np.int32),
        liked=np.array([one[item] for one in held for item in sorted(one)], bool),
    )


@pytest.mark.parametrize("user", [0, 57, 199])
def test_the_collaborative_oracle_knows_of_a_user_only_what_he_says(world: World, user: int) -> None:
    changed = with_opinions(world, user, dict.fromkeys(range(0, world.n_items, 2), True))
    one, other = (CollaborativeOracle(each, rng()) for each in (world, changed))
    everything = world.n_items
    assert one.recommend(user, [], everything) == other.recommend(user, [], everything)
    for oracle in (one, other):
        oracle.react(user, [3, 4, 5], [True, False, True])
    assert one.recommend(user, [], everything) == other.recommend(user, [], everything)
    others = [each for each in range(world.n_users) if each != user]
    assert any(one.recommend(each, [], everything) != other.recommend(each, [], everything) for each in others), (
        "but others are told of what he likes"
    )


def test_the_collaborative_oracle_listens_to_each_user_for_himself(world: World) -> None:
    oracle = CollaborativeOracle(world, rng())
    before = {user: oracle.recommend(user, [], 50) for user in (0, 1)}
    oracle.react(0, before[0][:10], [n < 2 for n in range(10)])
    assert oracle.recommend(0, before[0][:10], 40) != before[0][10:]
    assert oracle.recommend(1, [], 50) == before[1]


@pytest.mark.parametrize("spec", ["tiny", "tiny:like_share=0.001"])
@pytest.mark.parametrize("users", [1, 2, 3, 4, 6])
def test_a_handful_of_users_has_a_ladder(spec: str, users: int) -> None:
    for seed in range(3):
        few = open_world(spec, seed, users)
        rungs = [*climb(few, plan_traffic(users, TrafficConfig(), seed), K, seed)]
        assert [rung["name"] for rung in rungs] == [rung.name for rung in RUNGS]


def test_where_all_like_the_same_the_collaborative_oracle_shows_it_first() -> None:
    alike = world_of([{3: True, 5: True, 7: False}] * 49, [set()] * 12)
    oracle = CollaborativeOracle(alike, rng())
    assert set(oracle.recommend(0, [], K)[:2]) == {3, 5}
    oracle.react(0, [3, 7], [True, False])
    assert oracle.recommend(0, [3, 7], 1) == [5]


def test_the_collaborative_oracle_tells_two_kinds_of_users_apart_by_one_like() -> None:
    kinds = [dict.fromkeys(range(start, start + 10), True) for start in (0, 10)]
    oracle = CollaborativeOracle(world_of(kinds * 20, [set()] * 20), rng())
    for user, liked in ((0, 4), (1, 14)):
        oracle.react(user, [liked], [True])
        assert set(oracle.recommend(user, [liked], 9)) == set(kinds[user]) - {liked}


@pytest.mark.parametrize(
    ("shown", "k", "expected"),
    [([], 3, [4, 1, 3]), ([4, 3], 2, [1, 0]), ([0, 1, 2], 2, [4, 3]), ([0, 1, 2], 4, [4, 3]), ([0, 1, 2, 3, 4], 1, [])],
)
def test_the_best_are_those_of_the_items_not_shown(shown: list[int], k: int, expected: list[int]) -> None:
    assert best(np.array([0.2, 0.4, 0.1, 0.3, 0.5]), shown, k) == expected


class Listening:
    """Shows lists of different lengths in turn, and checks what it is told of them."""

    def __init__(self, world: World, lengths: Sequence[int]) -> None:
        self._opinions = opinions_in(world)
        self._lengths = lengths
        self._n_items = world.n_items
        self.shown: dict[int, list[list[int]]] = defaultdict(list)
        self.reactions = 0

    def recommend(self, user: int, shown: Sequence[int], k: int) -> list[int]:
        assert list(shown) == [item for row in self.shown[user] for item in row]
        length = self._lengths[len(self.shown[user]) % len(self._lengths)]
        items = list(range(len(shown), min(len(shown) + length, self._n_items)))
        self.shown[user].append(items)
        return items

    def react(self, user: int, items: Sequence[int], liked: Sequence[bool]) -> None:
        self.reactions += 1
        assert list(items) == self.shown[user][-1]
        assert list(liked) == [self._opinions[user].get(item, False) for item in items]


@pytest.mark.parametrize("lengths", [[K], [K, 3], [4, 0]], ids=["full", "some short", "some empty"])
def test_a_recommender_is_told_the_opinions_of_the_last_list_only(world: World, plan: Plan, lengths: list[int]) -> None:
    listening = Listening(world, lengths)
    items = simulate(world, plan, listening, K)
    assert items.shape == (len(plan.lists), K)
    assert 0 < listening.reactions <= (~plan.looks).sum()
    expected: dict[int, list[list[int]]] = defaultdict(list)
    for user, row in zip(plan.step_user[plan.lists].tolist(), items.tolist(), strict=True):
        expected[user].append([item for item in row if item != -1])
    assert expected == {user: rows for user, rows in listening.shown.items() if rows}


def test_progress_is_told_up_to_all_steps(world: World, plan: Plan) -> None:
    told: list[int] = []
    simulate(world, plan, Random(world, rng()), K, told.append)
    assert len(plan.looks) - 500 < sum(told) <= len(plan.looks)


def test_the_ladder_is_made_of_plain_values_and_comes_from_the_seed(world: World, plan: Plan) -> None:
    one, again, other = ([*climb(world, plan, K, seed)] for seed in (0, 0, 1))
    assert json.loads(json.dumps(one)) == one == again
    assert one != other
    assert [rung["name"] for rung in one] == [rung.name for rung in RUNGS]


def test_the_ladder_of_a_run_has_the_seed_of_the_run() -> None:
    stage = staged(ladder=True, seed=3)
    assert stage.ladder == [*climb(stage.world, stage.plan, K, 3)]
