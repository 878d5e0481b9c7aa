"""Like rates against a formula written out item by item."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.ranking.posterior import DEFAULT, Floats, Genres, Posterior, PosteriorConfig, like_rates, prior_rates

FAST = settings(deadline=None, max_examples=50)
World = tuple[Floats, Floats, Genres]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Counts up to 2,000 in eighths, so that float32 holds them exactly."""
    n, g = draw(st.integers(0, 8)), draw(st.integers(0, 4))
    eighths = draw(st.lists(st.integers(0, 16_000), min_size=n, max_size=n))
    liked = [draw(st.integers(0, most)) for most in eighths]
    rows = draw(st.lists(st.lists(st.booleans(), min_size=g, max_size=g), min_size=n, max_size=n))
    genres = np.array(rows, dtype=bool).reshape(n, g)
    return np.array(liked, dtype=np.float32) / 8, np.array(eighths, dtype=np.float32) / 8, genres


def one_by_one(likes: Any, exposures: Any, genres: Any, c: PosteriorConfig) -> Posterior:
    n, g = genres.shape
    base = (sum(likes) + c.base_likes) / (sum(exposures) + c.base_exposures)
    share = [[genres[i][j] / max(sum(genres[i]), 1) for j in range(g)] for i in range(n)]
    genre_rate = [
        (sum(likes[i] * share[i][j] for i in range(n)) + c.genre_exposures * base)
        / (sum(exposures[i] * share[i][j] for i in range(n)) + c.genre_exposures)
        for j in range(g)
    ]
    mean, sd = [], []
    for i in range(n):
        own = [genre_rate[j] for j in range(g) if genres[i][j]]
        prior = sum(own) / len(own) if own else base
        alpha = likes[i] + c.item_exposures * prior
        beta = exposures[i] + c.item_exposures - alpha
        mean.append(alpha / (alpha + beta))
        sd.append(sqrt(alpha * beta / ((alpha + beta) ** 2 * (alpha + beta + 1))))
    return Posterior(np.array(mean), np.array(sd), np.array(genre_rate), base)


@FAST
@given(worlds(), st.sampled_from([DEFAULT, PosteriorConfig(2.0, 5.0, 1.0, 100.0)]))
def test_rates_equal_the_formula_of_each_item(world: World, config: PosteriorConfig) -> None:
    found = like_rates(*world, config)
    expected = one_by_one(*(values.tolist() for values in world[:2]), world[2], config)
    for name in ("mean", "sd", "genre_rate", "base_rate"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-5, abs=1e-7), name


@FAST
@given(worlds())
def test_rates_are_single_precision_between_zero_and_one(world: World) -> None:
    found = like_rates(*world)
    for rates in (found.mean, found.sd, found.genre_rate):
        assert rates.dtype == np.float32
        assert np.all((rates > 0) & (rates < 1))
    assert 0 < found.base_rate < 1


@FAST
@given(worlds())
def test_an_item_never_shown_has_the_rate_of_its_genres(world: World) -> None:
    _, exposures, genres = world
    found = like_rates(*world)
    prior = prior_rates(genres, found.genre_rate, found.base_rate)
    never = exposures == 0
    assert found.mean[never] == pytest.approx(prior[never], rel=1e-5)


def test_before_any_event_every_rate_is_that_of_the_config() -> None:
    nothing = np.zeros(3, dtype=np.float32)
    found = like_rates(nothing, nothing, np.eye(3, 2, dtype=bool))
    assert [found.base_rate, *found.genre_rate, *found.mean] == pytest.approx([0.05] * 6)


@pytest.mark.parametrize(("n", "g"), [(0, 0), (0, 3), (2, 0)])
def test_no_items_or_no_genres_are_fine(n: int, g: int) -> None:
    counts = np.ones(n, dtype=np.float32)
    found = like_rates(counts, counts, np.zeros((n, g), dtype=bool))
    assert (len(found.mean), len(found.sd), len(found.genre_rate)) == (n, n, g)


def test_an_item_of_two_genres_gives_each_half() -> None:
    counts = np.array([100, 0], dtype=np.float32), np.array([100, 0], dtype=np.float32)
    found = like_rates(*counts, np.array([[True, True, False], [False, False, True]]))
    base = 101 / 120
    assert found.genre_rate == pytest.approx([(50 + 50 * base) / 100] * 2 + [base])


def test_a_liked_genre_lifts_its_unseen_items() -> None:
    likes, exposures = np.array([50, 0, 0], dtype=np.float32), np.array([100, 100, 0], dtype=np.float32)
    liked, disliked = ([[True, False], [False, True], row] for row in ([True, False], [False, True]))
    lifted, lowered = (like_rates(likes, exposures, np.array(genres)).mean[2] for genres in (liked, disliked))
    assert lifted > 1.5 * lowered


def test_more_evidence_of_the_same_rate_is_more_certain() -> None:
    exposures = np.array([10, 100, 1000], dtype=np.float32)
    sd = like_rates(exposures / 10, exposures, np.zeros((3, 0), dtype=bool)).sd
    assert sd[0] > sd[1] > sd[2]


def test_prior_rates_average_the_genres() -> None:
    genres = np.array([[True, False], [True, True], [False, False]])
    assert prior_rates(genres, np.array([0.2, 0.4]), 0.1) == pytest.approx([0.2, 0.3, 0.1])


@pytest.mark.parametrize("count", [1e4, 1e9])
def test_rates_stay_rates_when_everything_is_liked(count: float) -> None:
    counts = np.array([count], dtype=np.float32)
    found = like_rates(counts, counts, np.ones((1, 1), dtype=bool))
    assert 0.99 < found.mean[0] <= 1
    assert 0 <= found.sd[0] < 0.01
