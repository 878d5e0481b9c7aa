"""Like rates against a formula written out item by item."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.ranking.posterior import (
    DEFAULT,
    Floats,
    Genres,
    Posterior,
    PosteriorConfig,
    like_rates,
    prior_rates,
    prior_strength,
)

FAST = settings(deadline=None, max_examples=50)
World = tuple[Floats, Floats, Floats, Genres]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Counts up to 2,000 in eighths, so that float32 holds them exactly."""
    n, g = draw(st.integers(0, 30)), draw(st.integers(0, 4))
    eighths = draw(st.lists(st.integers(0, 16_000), min_size=n, max_size=n))
    reacted = [draw(st.integers(0, most)) for most in eighths]
    liked = [draw(st.integers(0, most)) for most in reacted]
    rows = draw(st.lists(st.lists(st.booleans(), min_size=g, max_size=g), min_size=n, max_size=n))
    genres = np.array(rows, dtype=bool).reshape(n, g)
    likes, reactions, exposures = (np.array(counts, dtype=np.float32) / 8 for counts in (liked, reacted, eighths))
    return likes, reactions - likes, exposures, genres


def strength_of(hits: Any, trials: Any, prior: Any, c: PosteriorConfig) -> float:
    shown = [i for i, t in enumerate(trials) if t >= 2]
    if len(shown) < c.least_items:
        return c.strength
    chance = {i: trials[i] * prior[i] * (1 - prior[i]) for i in shown}
    excess = sum((hits[i] - trials[i] * prior[i]) ** 2 - chance[i] for i in shown)
    expected = sum(chance[i] * (trials[i] - 1) for i in shown)
    if excess <= 0 or expected <= 0:
        return c.most_strength
    return min(max(expected / excess - 1, c.least_strength), c.most_strength)


def share_of(hits: Any, trials: Any, genres: Any, base: tuple[float, float], weight: float, c: PosteriorConfig) -> Any:
    """Moments of each item's share, rates of the genres, base rate."""
    n, g = genres.shape
    base_rate = (sum(hits) + base[0]) / (sum(trials) + base[1])
    part = [[genres[i][j] / max(sum(genres[i]), 1) for j in range(g)] for i in range(n)]
    rates = [
        (sum(hits[i] * part[i][j] for i in range(n)) + weight * base_rate)
        / (sum(trials[i] * part[i][j] for i in range(n)) + weight)
        for j in range(g)
    ]
    own = [[rates[j] for j in range(g) if genres[i][j]] for i in range(n)]
    prior = [sum(of) / len(of) if of else base_rate for of in own]
    strength = strength_of(hits, trials, prior, c)
    alpha = [hits[i] + strength * prior[i] for i in range(n)]
    total = [trials[i] + strength for i in range(n)]
    first = [a / t for a, t in zip(alpha, total, strict=True)]
    second = [m * (a + 1) / (t + 1) for m, a, t in zip(first, alpha, total, strict=True)]
    return first, second, rates, base_rate


def one_by_one(likes: Any, dislikes: Any, exposures: Any, genres: Any, c: PosteriorConfig) -> Posterior:
    reactions = [a + b for a, b in zip(likes, dislikes, strict=True)]
    known = share_of(reactions, exposures, genres, (c.base_reactions, c.base_exposures), c.genre_exposures, c)
    liked = share_of(likes, reactions, genres, (c.base_likes, 2 * c.base_likes), c.genre_reactions, c)
    mean, square, rates = ([a * b for a, b in zip(known[n], liked[n], strict=True)] for n in range(3))
    sd = [sqrt(max(second - first**2, 0)) for first, second in zip(mean, square, strict=True)]
    return Posterior(np.array(mean), np.array(sd), np.array(rates), known[3] * liked[3])


@FAST
@given(worlds(), st.sampled_from([DEFAULT, PosteriorConfig(genre_exposures=1.0, strength=100.0, least_items=3)]))
def test_rates_equal_the_formula_of_each_item(world: World, config: PosteriorConfig) -> None:
    found = like_rates(*world, config)
    expected = one_by_one(*(values.tolist() for values in world[:3]), world[3], config)
    for name in ("mean", "sd", "genre_rate", "base_rate"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-4, abs=1e-6), name


@FAST
@given(worlds())
def test_rates_are_single_precision_between_zero_and_one(world: World) -> None:
    found = like_rates(*world)
    for rates in (found.mean, found.sd, found.genre_rate):
        assert rates.dtype == np.float32
        assert np.all((rates >= 0) & (rates <= 1))
    assert 0 < found.base_rate < 1


def test_before_any_event_every_rate_is_that_of_the_config() -> None:
    nothing = np.zeros(3, dtype=np.float32)
    found = like_rates(nothing, nothing, nothing, np.eye(3, 2, dtype=bool))
    assert [found.base_rate, *found.genre_rate, *found.mean] == pytest.approx([0.025] * 6)


@pytest.mark.parametrize(("n", "g"), [(0, 0), (0, 3), (2, 0)])
def test_no_items_or_no_genres_are_fine(n: int, g: int) -> None:
    counts = np.ones(n, dtype=np.float32)
    found = like_rates(counts, 0 * counts, counts, np.zeros((n, g), dtype=bool))
    assert (len(found.mean), len(found.sd), len(found.genre_rate)) == (n, n, g)


def counts(*values: float) -> Floats:
    return np.array(values, dtype=np.float32)


def test_a_liked_genre_lifts_its_unseen_items() -> None:
    likes, exposures = counts(50, 0, 0), counts(100, 100, 0)
    liked, disliked = ([[True, False], [False, True], row] for row in ([True, False], [False, True]))
    lifted, lowered = (
        like_rates(likes, 0 * likes, exposures, np.array(genres)).mean[2] for genres in (liked, disliked)
    )
    assert lifted > 1.5 * lowered


def test_where_most_items_get_no_reaction_a_dislike_speaks_for_an_item() -> None:
    """Of 40 items shown 20 times, half have been reacted to now and then; the last three are shown once."""
    likes, dislikes = counts(*[2] * 20, *[0] * 20, 1, 0, 0), counts(*[2] * 20, *[0] * 20, 0, 1, 0)
    exposures = counts(*[20] * 40, 1, 1, 1)
    liked, disliked, ignored = like_rates(likes, dislikes, exposures, np.zeros((43, 0), dtype=bool)).mean[-3:]
    assert liked > disliked > 1.5 * ignored


def test_where_users_react_to_everything_a_dislike_speaks_against_an_item() -> None:
    likes, exposures = counts(*[15] * 20, *[1] * 20, 1, 0, 0), counts(*[20] * 40, 1, 1, 0)
    liked, disliked, unseen = like_rates(likes, exposures - likes, exposures, np.zeros((43, 0), dtype=bool)).mean[-3:]
    assert liked > unseen > disliked


def test_more_evidence_of_the_same_rate_is_more_certain() -> None:
    exposures = counts(10, 100, 1000)
    sd = like_rates(exposures / 10, exposures / 10, exposures, np.zeros((3, 0), dtype=bool)).sd
    assert sd[0] > sd[1] > sd[2]


def test_prior_rates_average_the_genres() -> None:
    genres = np.array([[True, False], [True, True], [False, False]])
    assert prior_rates(genres, np.array([0.2, 0.4]), 0.1) == pytest.approx([0.2, 0.3, 0.1])


@pytest.mark.parametrize("strength", [1.0, 5.0, 50.0])
def test_the_strength_is_that_of_the_items(strength: float) -> None:
    """Items drawn from a beta distribution of known strength, each shown 50 times."""
    rng = np.random.default_rng(0)
    prior, trials = np.full(20_000, 0.2), np.full(20_000, 50.0)
    hits = rng.binomial(50, rng.beta(0.2 * strength, 0.8 * strength, 20_000)).astype(float)
    assert prior_strength(hits, trials, prior) == pytest.approx(strength, rel=0.1)


def test_the_strength_stays_between_its_bounds() -> None:
    prior, trials = np.full(100, 0.5), np.full(100, 10.0)
    assert prior_strength(trials / 2, trials, prior) == DEFAULT.most_strength
    assert prior_strength(trials * (np.arange(100) % 2), trials, prior) == DEFAULT.least_strength
    assert prior_strength(trials[:5], trials[:5], prior[:5]) == DEFAULT.strength


@pytest.mark.parametrize("count", [1e4, 1e9])
def test_rates_stay_rates_when_everything_is_liked(count: float) -> None:
    liked = counts(count)
    found = like_rates(liked, 0 * liked, liked, np.ones((1, 1), dtype=bool))
    assert 0.99 < found.mean[0] <= 1
    assert 0 <= found.sd[0] < 0.01
