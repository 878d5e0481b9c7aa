"""Statistics of worlds whose answers are known by construction, and of the table that shows them."""

from __future__ import annotations

import re
from itertools import permutations

import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from grader import worlds_command
from grader.errors import GraderError
from grader.metrics.variety import gini
from grader.worlds.personal_gain import GainConfig, PersonalGain, personal_gain
from grader.worlds.spec import open_world
from grader.worlds.statistics import (
    Spread,
    genre_affinity,
    oracle_precision,
    popularity_curve,
    spread,
    world_statistics,
)
from grader.worlds.world import Ints, World


def world_of(liked: list[list[int]], genres: list[list[bool]], disliked: list[list[int]] | None = None) -> World:
    """Users by the items they like and dislike."""
    disliked = disliked or [[] for _ in liked]
    rows = [
        sorted([(i, True) for i in yes] + [(i, False) for i in no]) for yes, no in zip(liked, disliked, strict=True)
    ]
    flat = [pair for row in rows for pair in row]
    return World(
        name="made",
        genre_names=[f"genre {number}" for number in range(len(genres[0]))],
        genres=np.array(genres, dtype=np.bool_),
        indptr=np.cumsum([0, *map(len, rows)]),
        opinion_items=np.array([item for item, _ in flat], dtype=np.int32),
        liked=np.array([like for _, like in flat], dtype=np.bool_),
        parameters={},
    )


def ints(*values: int) -> Ints:
    return np.array(values, dtype=np.int32)


ONE_GENRE = [[True]] * 10
TWO_CAMPS = [[True, False]] * 10 + [[False, True]] * 10


def test_the_curve_of_known_likes() -> None:
    assert popularity_curve(ints(1, 6, 0, 3), [0.01, 0.25, 0.5, 0.51, 1.0]) == (0.6, 0.6, 0.9, 1.0, 1.0)
    assert popularity_curve(ints(2, 2, 2, 2), [0.25, 0.5]) == (0.25, 0.5)
    assert popularity_curve(ints(0, 0), [0.5]) == (0.0,)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=12))
def test_gini_is_half_the_mean_difference_over_the_mean(likes: list[int]) -> None:
    n = len(likes)
    differences = sum(abs(a - b) for a, b in permutations(likes, 2)) / n**2
    expected = differences / 2 / (sum(likes) / n) if sum(likes) else float("nan")
    assert gini(ints(*likes)) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_spread() -> None:
    assert spread(np.arange(101)) == Spread(5.0, 50.0, 50.0, 95.0)
    assert spread(ints()) == Spread(0.0, 0.0, 0.0, 0.0)


def test_genre_affinity_of_two_camps_is_twice_chance() -> None:
    """Each user likes one genre only, and half of everybody's likes are of it."""
    assert genre_affinity(world_of([[0, 1, 2], [11, 12, 13]], TWO_CAMPS)) == pytest.approx(2.0)


def test_genre_affinity_counts_pairs_of_different_items() -> None:
    """User 0: two likes that share one of the genres, cosine 1/2. Nobody else, so chance counts each with itself."""
    world = world_of([[0, 1]], [[True, True, False], [True, False, True]])
    assert genre_affinity(world) == pytest.approx(0.5 / 0.75)


def test_genre_affinity_is_1_where_there_is_nothing_to_see() -> None:
    assert genre_affinity(world_of([[0, 1], [2, 3, 4]], ONE_GENRE)) == pytest.approx(1.0)
    assert genre_affinity(world_of([[0, 1], [2, 3]], [[False]] * 4)) == 1.0
    assert genre_affinity(world_of([[0], [2]], ONE_GENRE)) == 1.0
    assert genre_affinity(world_of([[], []], [[]])) == 1.0


def test_genre_affinity_of_random_likes_is_chance_whatever_their_popularity() -> None:
    rng = np.random.default_rng(0)
    weights = 1 / np.arange(1, 201)
    liked = [rng.choice(200, size=12, replace=False, p=weights / weights.sum()).tolist() for _ in range(800)]
    genres = rng.random((200, 6)) < 0.3
    assert genre_affinity(world_of(liked, genres.tolist())) == pytest.approx(1.0, abs=0.08)


def test_the_oracle_shows_the_most_liked_once() -> None:
    """Item 3 has three likes, item 1 two: two lists of one show both."""
    world = world_of([[3], [1, 3], [1, 3]], ONE_GENRE, disliked=[[1], [], [0]])
    assert oracle_precision(world, lists=1, k=1) == pytest.approx(3 / 3)
    assert oracle_precision(world, lists=2, k=1) == pytest.approx(5 / 6)
    assert oracle_precision(world_of([[], []], ONE_GENRE)) == 0.0


def test_personal_taste_shows_where_users_are_of_two_camps() -> None:
    rng = np.random.default_rng(1)
    liked = [(rng.choice(50, size=24, replace=False) + 50 * (user % 2)).tolist() for user in range(120)]
    gain = personal_gain(world_of(liked, [[True]] * 100), 0, GainConfig(factors=2))
    assert gain.users == 120
    assert gain.popular == pytest.approx(12 / 76, abs=0.05)  # half its places are of the other camp
    assert gain.personal == pytest.approx(12 / 38, abs=0.05)
    assert gain.ratio == gain.personal / gain.popular > 1.6


def test_personal_taste_is_no_better_where_users_are_alike() -> None:
    rng = np.random.default_rng(2)
    weights = 1 / np.arange(1, 101)
    liked = [rng.choice(100, size=20, replace=False, p=weights / weights.sum()).tolist() for _ in range(300)]
    assert personal_gain(world_of(liked, [[True]] * 100), 0).ratio < 1.05


def test_hidden_likes_are_never_known() -> None:
    """Every item has one liker: nothing that is known can tell of the hidden half."""
    liked = [list(range(20 * user, 20 * user + 20)) for user in range(8)]
    gain = personal_gain(world_of(liked, [[True]] * 400), 0, GainConfig(factors=7))
    assert (gain.personal, gain.users) == (0.0, 8)


def test_gain_asks_only_users_with_enough_likes_and_not_too_many() -> None:
    liked = [list(range(10)) if user % 2 else list(range(9)) for user in range(40)]
    world = world_of(liked, [[True]] * 30)
    assert personal_gain(world, 0).users == 20
    assert personal_gain(world, 0, GainConfig(users=5)).users == 5
    assert personal_gain(world_of([[0], [1]], ONE_GENRE), 0) == PersonalGain(0, 0.0, 0.0)


def test_the_ratio_without_a_single_hit() -> None:
    assert PersonalGain(5, 0.0, 0.0).ratio == 1.0
    assert PersonalGain(5, 0.0, 0.1).ratio == float("inf")


def test_all_statistics_of_a_small_world() -> None:
    world = world_of([[0, 1], [0]], [[True, False], [True, True], [False, False]], disliked=[[2], []])
    s = world_statistics(world)
    assert (s.items, s.users, s.opinions, s.liked_share) == (3, 2, 4, 0.75)
    assert (s.opinions_per_user.mean, s.likes_per_user.mean) == (2.0, 1.5)
    assert s.never_liked_share == pytest.approx(1 / 3)
    assert s.genres_per_item == 1.0
    assert s.no_genre_share == pytest.approx(1 / 3)
    assert s.popularity_curve[-1] == 1.0
    assert s.gini == pytest.approx(gini(ints(2, 1, 0)))


def test_the_same_world_and_seed_give_the_same_statistics() -> None:
    world = open_world("tiny", seed=0)
    assert world_statistics(world, 1) == world_statistics(open_world("tiny", seed=0), 1)
    assert world_statistics(world, 1).personal != world_statistics(world, 2).personal


def run(*arguments: str) -> tuple[str, BaseException | None]:
    app = typer.Typer()
    app.command()(worlds_command.world)
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "120"})
    return result.stdout, result.exception


def test_the_command_shows_worlds_side_by_side() -> None:
    printed, error = run("tiny", "tiny:users=90", "--seed", "3")
    assert error is None
    rows = {line.split("│")[1].strip(): line.split("│")[2:4] for line in printed.splitlines() if "│" in line}
    assert [cell.strip() for cell in rows["users"]] == ["200", "90"]
    statistics = world_statistics(open_world("tiny", seed=3), 3)
    assert rows["genre affinity of a user's likes, 1 is chance"][0].strip() == f"{statistics.genre_affinity:.2f}"
    assert rows["the top 50% of items"][0].strip().startswith("█" * 7)
    assert f"{statistics.popularity_curve[-1]:.0%}" in rows["the top 50% of items"][0]


def test_the_command_takes_fewer_users_and_leaves_errors_to_the_command_line() -> None:
    printed, _ = run("tiny", "--users", "40")
    assert re.search(r"│ users +│ +40 │", printed)
    _, error = run("tiny", "nowhere")
    assert isinstance(error, GraderError)
