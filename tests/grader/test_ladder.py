"""The reference recommenders, whose results are known or bounded by what they know."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from grader.errors import GraderError
from grader.grade import GradeConfig
from grader.ladder.collaborative import CollaborativeOracle
from grader.ladder.recommenders import Ceiling, OnlinePopularity, Random, best, popularity_oracle, taste_oracle
from grader.ladder.rungs import RUNGS, climb, own_rung, play_rungs, rungs_of
from grader.ladder.simulate import Recommender, simulate
from grader.metrics.lists import Lists, judge
from grader.report.about import command
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
    return judge(world, plan.step_user[plan.lists], simulate(world, plan, recommender, K).lists)


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
    recommender.react(0, [liked, disliked], {liked: True, disliked: False})
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
        oracle.react(user, [3, 4, 5], {3: True, 4: False, 5: True})
    assert one.recommend(user, [], everything) == other.recommend(user, [], everything)
    others = [each for each in range(world.n_users) if each != user]
    assert any(one.recommend(each, [], everything) != other.recommend(each, [], everything) for each in others), (
        "but others are told of what he likes"
    )


def test_the_collaborative_oracle_listens_to_each_user_for_himself(world: World) -> None:
    oracle = CollaborativeOracle(world, rng())
    before = {user: oracle.recommend(user, [], 50) for user in (0, 1)}
    oracle.react(0, before[0][:10], dict.fromkeys(before[0][:2], True))
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
    oracle.react(0, [3, 7], {3: True, 7: False})
    assert oracle.recommend(0, [3, 7], 1) == [5]


def test_the_collaborative_oracle_tells_two_kinds_of_users_apart_by_one_like() -> None:
    kinds = [dict.fromkeys(range(start, start + 10), True) for start in (0, 10)]
    oracle = CollaborativeOracle(world_of(kinds * 20, [set()] * 20), rng())
    for user, liked in ((0, 4), (1, 14)):
        oracle.react(user, [liked], {liked: True})
        assert set(oracle.recommend(user, [liked], 9)) == set(kinds[user]) - {liked}


@pytest.mark.parametrize(
    ("shown", "k", "expected"),
    [([], 3, [4, 1, 3]), ([4, 3], 2, [1, 0]), ([0, 1, 2], 2, [4, 3]), ([0, 1, 2], 4, [4, 3]), ([0, 1, 2, 3, 4], 1, [])],
)
def test_the_best_are_those_of_the_items_not_shown(shown: list[int], k: int, expected: list[int]) -> None:
    assert best(np.array([0.2, 0.4, 0.1, 0.3, 0.5]), shown, k) == expected


def test_no_opinion_counts_like_a_dislike(world: World) -> None:
    """The oracle takes what a user could have reacted to and did not for something that he does not like."""
    silent, loud = (CollaborativeOracle(world, rng()) for _ in range(2))
    silent.react(0, [3, 4, 5], {3: True})
    loud.react(0, [3, 4, 5], {3: True, 4: False, 5: False})
    assert silent.recommend(0, [], 50) == loud.recommend(0, [], 50)


class Listening:
    """Shows lists of different lengths in turn, and checks what it is told of them and when."""

    def __init__(self, world: World, lengths: Sequence[int], again: int = 0) -> None:
        """The first ``again`` items come in every list of a user."""
        self._opinions = opinions_in(world)
        self._lengths = lengths
        self._again = again
        self._n_items = world.n_items
        self._said: dict[int, set[int]] = defaultdict(set)
        self.shown: dict[int, list[list[int]]] = defaultdict(list)
        self.reactions = 0
        self.told = 0
        self.told_before: list[int] = []  # each list
        self.repeated = 0  # items with an opinion that were shown again after it was said
        self.asked_at: list[float] = []
        self.told_at: list[float] = []

    def recommend(self, user: int, shown: Sequence[int], k: int, at: float = 0.0) -> list[int]:
        assert list(shown) == [item for row in self.shown[user] for item in row]
        length = self._lengths[len(self.shown[user]) % len(self._lengths)]
        fresh = range(max([*shown, self._again - 1]) + 1, self._n_items)[: max(length - self._again, 0)]
        items = [*range(min(self._again, length)), *fresh]
        self.repeated += len(self._said[user] & set(items))
        self.shown[user].append(items)
        self.told_before.append(self.told)
        self.asked_at.append(at)
        return items

    def react(self, user: int, items: Sequence[int], opinions: Mapping[int, bool], at: float = 0.0) -> None:
        self.reactions += 1
        assert list(items) == self.shown[user][-1]
        new = [item for item in items if item in self._opinions[user] and item not in self._said[user]]
        assert dict(opinions) == {item: self._opinions[user][item] for item in new}
        self._said[user].update(new)
        self.told += len(new)
        self.told_at.append(at)


LENGTHS = pytest.mark.parametrize("lengths", [[K], [K, 3], [4, 0]], ids=["full", "some short", "some empty"])


@LENGTHS
def test_a_recommender_is_told_the_opinions_of_the_last_list_only(world: World, plan: Plan, lengths: list[int]) -> None:
    listening = Listening(world, lengths)
    lists, _ = simulate(world, plan, listening, K)
    assert lists.shape == (len(plan.lists), K)
    assert 0 < listening.reactions <= (~plan.looks).sum()
    expected: dict[int, list[list[int]]] = defaultdict(list)
    for user, row in zip(plan.step_user[plan.lists].tolist(), lists.tolist(), strict=True):
        expected[user].append([item for item in row if item != -1])
    assert expected == {user: rows for user, rows in listening.shown.items() if rows}


def test_nobody_says_anything_of_an_item_twice(world: World, plan: Plan) -> None:
    listening = Listening(world, [K], again=3)
    simulate(world, plan, listening, K)
    assert listening.repeated > 0, "some see again what they have reacted to"
    assert listening.told > 0


@LENGTHS
def test_a_replay_counts_the_reactions_before_each_list(world: World, plan: Plan, lengths: list[int]) -> None:
    listening = Listening(world, lengths)
    replay = simulate(world, plan, listening, K)
    assert replay.reactions.tolist() == listening.told_before
    assert replay.reactions[0] == 0 < replay.reactions[-1] <= listening.told


def test_a_recommender_is_told_the_time_of_the_plan(world: World, plan: Plan) -> None:
    listening = Listening(world, [K])
    simulate(world, plan, listening, K)
    assert listening.asked_at == plan.due_s[plan.lists].tolist()
    reacting = plan.order[~plan.looks[plan.order]]
    assert listening.told_at == plan.due_s[reacting].tolist()


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


OWN = """
class First:
    \"\"\"Knows the order of the catalogue.\"\"\"

    def __init__(self, world, rng):
        self.n = world.n_items

    def recommend(self, user, shown, k, at=0.0):
        return [item for item in range(self.n) if item not in set(shown)][:k]

    def react(self, user, items, opinions, at=0.0):
        pass


class Mute:
    def recommend(self, user, shown, k, at=0.0):
        return []
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a module with rungs of somebody's own."""
    name = f"own_rungs_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_a_rung_of_ones_own_stands_on_the_ladder(world: World, plan: Plan, own: str) -> None:
    *ladder, last = climb(world, plan, K, seed=0, own=[f"{own}:First"])
    assert [rung["name"] for rung in ladder] == [rung.name for rung in rungs_of(world)]
    assert (last["name"], last["knows"]) == (f"{own}:First", "Knows the order of the catalogue.")
    ((rung, replay),) = play_rungs(world, plan, K, 0, [f"{own}:First"])
    assert rung.name == f"{own}:First"
    assert replay.lists[0].tolist() == list(range(K))


@pytest.mark.parametrize(
    ("name", "problem"),
    [("Nobody", "has no attribute 'Nobody'"), ("Mute", "lacks the method react"), ("", "AttributeError")],
)
def test_a_rung_that_cannot_be_had(own: str, name: str, problem: str) -> None:
    with pytest.raises(GraderError, match=problem):
        own_rung(f"{own}:{name}")
    with pytest.raises(GraderError, match="No module named 'nowhere'"):
        own_rung("nowhere:Class")


def test_the_command_of_a_run_names_its_own_rungs() -> None:
    facts = {"address": {}, "settings": asdict(GradeConfig(rungs=("mine:One", "mine:Two")))}
    assert command(facts, "standard").split()[-5:] == ["--rung", "mine:One", "\\", "--rung", "mine:Two"]
