"""Generated worlds: well formed, the same for the same seed, and with the structure that their numbers ask for."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from grader.worlds.latent_taste import LatentTaste, shift_to_mean
from grader.worlds.statistics import genre_affinity, popularity_curve
from grader.worlds.synthetic import synthetic_world
from grader.worlds.synthetic_config import TINY, SyntheticConfig
from grader.worlds.world import World

SMALL = SyntheticConfig(items=2_000, users=600)
PLAIN = replace(SMALL, genre_taste=0, factor_taste=0, like_taste=0, like_popularity=0, like_item=0, like_user=0)


@pytest.fixture(scope="module")
def small() -> World:
    return synthetic_world(SMALL, seed=0)


def arrays(world: World) -> list[NDArray[np.generic]]:
    return [world.genres, world.indptr, world.opinion_items, world.liked]


def everybody(world: World) -> NDArray[np.int32]:
    return np.arange(world.n_users, dtype=np.int32)


@settings(deadline=None, max_examples=25)
@given(
    st.builds(
        SyntheticConfig,
        items=st.integers(2, 200),
        users=st.integers(1, 150),  # up to three chunks
        opinions=st.sampled_from([0.01, 0.3, 50.0]),
        popularity=st.sampled_from([0.0, 1.5, 5.0]),
        genres=st.sampled_from([0, 1, 18]),
        factors=st.integers(0, 3),
        factor_taste=st.sampled_from([0.0, 1.0, 5.0]),
        change=st.sampled_from([0.0, 0.3, 1.0]),
    ),
    st.integers(0, 2**32),
)
def test_well_formed_and_the_same_for_the_same_seed(config: SyntheticConfig, seed: int) -> None:
    world = synthetic_world(config, seed)
    assert world.genres.shape == (config.items, config.genres)
    dtypes = [array.dtype.name for array in (world.indptr, world.opinion_items, world.liked)]
    assert dtypes == ["int64", "int32", "bool"]
    assert (world.indptr[0], world.indptr[-1]) == (0, len(world.opinion_items))
    assert world.n_users == config.users
    for start, end in zip(world.indptr[:-1], world.indptr[1:], strict=True):
        items = world.opinion_items[start:end]
        assert 1 <= len(items) <= config.items // 2
        assert 0 <= items[0] <= items[-1] < config.items
        assert (np.diff(items) > 0).all()
    again = synthetic_world(config, seed)
    assert all(np.array_equal(a, b) for a, b in zip(arrays(world), arrays(again), strict=True))
    assert world.taste is not None
    chances = world.taste.like_probability(everybody(world))
    assert chances.shape == (config.users, config.items)
    assert chances.dtype == np.float32
    assert ((chances >= 0) & (chances <= 1)).all()


def test_another_seed_gives_another_world(small: World) -> None:
    other = synthetic_world(SMALL, seed=1)
    assert not np.array_equal(small.genres, other.genres)
    assert not np.array_equal(small.likes_per_item, other.likes_per_item)


def test_opinions_per_user_have_the_median_and_mean_asked_for() -> None:
    world = synthetic_world(replace(SMALL, users=4_000, items=8_000), seed=0)
    numbers = np.diff(world.indptr)
    assert numbers.min() >= SMALL.opinions_min
    assert np.median(numbers) == pytest.approx(SMALL.opinions_median, rel=0.06)
    assert numbers.mean() == pytest.approx(SMALL.opinions_mean, rel=0.1)
    assert numbers.max() > 10 * np.median(numbers)
    quarter = synthetic_world(replace(SMALL, users=4_000, items=8_000, opinions=0.25), seed=0)
    assert np.diff(quarter.indptr).mean() == pytest.approx(numbers.mean() / 4, rel=0.06)  # fewer reach half the items


def test_opinions_follow_zipfs_law() -> None:
    """Few opinions each, so that no item is chosen by nearly everybody and chances are near the weights."""
    config = replace(PLAIN, items=5_000, users=5_000, opinions=0.2, popularity=1.0, popularity_head=20.0)
    counts = np.sort(synthetic_world(config, seed=0).opinions_per_item)[::-1]
    ranks = np.arange(20, 1_000)
    slope = np.polyfit(np.log(ranks + config.popularity_head), np.log(counts[ranks]), 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.1)


def test_without_popularity_all_items_draw_equally() -> None:
    counts = synthetic_world(replace(PLAIN, popularity=0), seed=0).opinions_per_item
    assert counts.var() < 1.2 * counts.mean()  # not more than chance
    zipf = synthetic_world(PLAIN, seed=0).opinions_per_item
    assert zipf.var() > 20 * zipf.mean()


def test_popularity_says_nothing_of_an_items_number(small: World) -> None:
    first, second = np.array_split(small.likes_per_item, 2)
    assert first.sum() == pytest.approx(second.sum(), rel=0.4)


def test_popular_items_are_better_liked(small: World) -> None:
    popular = np.argsort(-small.opinions_per_item)
    shares = [
        small.likes_per_item[part].sum() / small.opinions_per_item[part].sum()
        for part in (popular[:100], popular[800:])
    ]
    assert shares[0] > shares[1] + 0.1


@pytest.mark.parametrize("share", [0.2, 0.55, 0.9])
def test_the_share_of_likes_is_the_one_asked_for(share: float) -> None:
    world = synthetic_world(replace(SMALL, like_share=share), seed=2)
    assert world.liked.mean() == pytest.approx(share, abs=0.01)


def test_genres_are_unequally_frequent_and_one_to_five_per_item(small: World) -> None:
    counts = small.genres.sum(axis=0)
    assert len(small.genre_names) == 18
    assert counts[0] > 20 * counts[-1] > 0
    per_item = small.genres.sum(axis=1)
    assert set(per_item.tolist()) == {0, 1, 2, 3, 4, 5}
    assert (per_item == 0).mean() == pytest.approx(SMALL.no_genre, abs=0.01)


def test_genres_can_be_left_out() -> None:
    world = synthetic_world(replace(TINY, genres=0), seed=0)
    assert world.genre_names == []
    assert world.genre_lists() == [[]] * TINY.items
    assert synthetic_world(replace(TINY, no_genre=1.0), seed=0).genres.sum() == 0


def test_users_with_taste_for_a_genre_choose_and_like_it_more() -> None:
    world = synthetic_world(replace(SMALL, like_taste=1.5), seed=0)
    assert isinstance(world.taste, LatentTaste)
    drama = world.genres[:, 0]
    foes, *_, fans = (
        world.subset(part) for part in np.array_split(np.argsort(world.taste.tastes[:, 0]).astype(np.int32), 4)
    )
    assert drama[fans.opinion_items].mean() > drama[foes.opinion_items].mean() + 0.2
    more = [w.liked[drama[w.opinion_items]].mean() - w.liked[~drama[w.opinion_items]].mean() for w in (fans, foes)]
    assert more[0] > more[1] + 0.1


def test_taste_for_genres_is_as_strong_as_its_number() -> None:
    affinities = [
        genre_affinity(synthetic_world(replace(SMALL, genre_taste=taste), seed=0)) for taste in (0.0, 0.5, 1.5)
    ]
    assert affinities[0] == pytest.approx(1.0, abs=0.05)
    assert affinities[0] + 0.03 < affinities[1] < affinities[2] - 0.1


def test_like_probability_is_that_of_the_opinions_drawn(small: World) -> None:
    """In bins of the probability, the share of likes among all pairs of a user and an item is in the bin."""
    check_like_probability(small)


def check_like_probability(world: World) -> None:
    assert world.taste is not None
    chances = world.taste.like_probability(everybody(world))
    liked = np.zeros(chances.shape, dtype=np.bool_)
    liked[world.opinion_users[world.liked], world.opinion_items[world.liked]] = True
    edges = [0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0]
    for low, high in pairwise(edges):
        bin_ = (chances >= low) & (chances < high)
        assert bin_.sum() > 200
        error = 5 * np.sqrt(chances[bin_].sum()) / bin_.sum()
        assert liked[bin_].mean() == pytest.approx(chances[bin_].mean(), abs=error)


def test_like_probability_ranks_likes_far_better_than_popularity(small: World) -> None:
    assert small.taste is not None
    some = np.arange(100, 300, dtype=np.int32)
    chances = small.taste.like_probability(some)
    world = small.subset(some)
    liked = np.zeros(chances.shape, dtype=np.bool_)
    liked[world.opinion_users[world.liked], world.opinion_items[world.liked]] = True
    popularity = np.broadcast_to(small.likes_per_item, chances.shape)
    found = [np.take_along_axis(liked, np.argsort(-s, axis=1)[:, :10], axis=1).mean() for s in (chances, popularity)]
    assert found[0] > 1.5 * found[1]
    assert world.taste is not None
    alone = world.taste.like_probability(np.array([5], dtype=np.int32))[0]
    assert np.allclose(alone, chances[5], rtol=2e-3)


def test_like_probability_adds_up_to_the_likes(small: World) -> None:
    assert small.taste is not None
    total = small.taste.like_probability(everybody(small)).sum(dtype=np.float64)
    assert total == pytest.approx(small.liked.sum(), rel=0.01)


def test_small_worlds_for_tests_have_the_same_structure() -> None:
    world = synthetic_world(TINY, seed=0)
    assert (world.n_items, world.n_users) == (300, 200)
    assert popularity_curve(world.likes_per_item, [0.1])[0] > 0.2
    assert genre_affinity(world) > 1.02


@settings(max_examples=30)
@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=20), st.floats(0.05, 0.95))
def test_the_shift_gives_the_mean(logits: list[float], mean: float) -> None:
    logit = np.array(logits, dtype=np.float32)
    shifted = logit.astype(np.float64) + shift_to_mean(logit, mean)
    assert (1 / (1 + np.exp(-shifted))).mean() == pytest.approx(mean, abs=1e-4)
