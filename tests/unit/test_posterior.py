"""Like rates against the same rounds of expectation maximisation written out item by item."""

from __future__ import annotations

from math import exp, log, log1p, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.recommenders.bandit.posterior import (
    DEFAULT,
    LIKE_SHARES,
    REACTION_SHARES,
    Floats,
    Genres,
    Posterior,
    PosteriorConfig,
    like_rates,
    of_new_items,
    unanswered_weight,
)

FAST = settings(deadline=None, max_examples=50)
FEW = settings(deadline=None, max_examples=25)
OTHER = PosteriorConfig(rarity=0.0, base_items=1.0, genre_items=2.0, rounds=2, places=3)
World = tuple[Floats, Floats, Floats, Genres]
Rows = list[list[float]]


def counts(*values: float) -> Floats:
    return np.array(values, dtype=np.float32)


@st.composite
def worlds(draw: st.DrawFn, least: int = 0, most: int = 10) -> World:
    """Counts up to 2,000 in eighths, so that float32 holds them exactly."""
    n, g = draw(st.integers(least, most)), draw(st.integers(0, 3))
    eighths = draw(st.lists(st.integers(0, 80) | st.integers(0, 16_000), min_size=n, max_size=n))
    reacted = [draw(st.integers(0, shown)) for shown in eighths]
    liked = [draw(st.integers(0, reactions)) for reactions in reacted]
    rows = draw(st.lists(st.lists(st.booleans(), min_size=g, max_size=g), min_size=n, max_size=n))
    genres = np.array(rows, dtype=bool).reshape(n, g)
    likes, reactions, exposures = (counts(*of) / np.float32(8) for of in (liked, reacted, eighths))
    return likes, reactions - likes, exposures, genres


def scaled(row: list[float]) -> list[float]:
    total = sum(row)
    return [value / total for value in row]


def mixed(parts: list[float], rows: Rows) -> list[float]:
    return [sum(part * row[s] for part, row in zip(parts, rows, strict=True)) for s in range(len(rows[0]))]


def share_of(
    hits: list[float], trials: list[float], parts: Rows, grid: list[float], weights: list[float], c: PosteriorConfig
) -> tuple[Rows, Rows]:
    """Probabilities of the grid's shares: of every item, and of a new item of each genre (the last: of none)."""
    start = scaled(weights)
    prior = [start for _ in parts[0]]
    tried = [i for i, count in enumerate(trials) if count > 0]

    def posterior(i: int) -> list[float]:
        logs = [hits[i] * log(p / (1 - p)) + trials[i] * log1p(-p) for p in grid]
        own = mixed(parts[i], prior)
        return scaled([exp(value - max(logs)) * chance for value, chance in zip(logs, own, strict=True)])

    for _ in range(c.rounds):
        found = {i: posterior(i) for i in tried}
        base = [
            (sum(found[i][s] for i in tried) + c.base_items * start[s]) / (len(tried) + c.base_items)
            for s in range(len(grid))
        ]
        prior = [
            [
                (sum(parts[i][genre] * found[i][s] for i in tried) + c.genre_items * base[s])
                / (sum(parts[i][genre] for i in tried) + c.genre_items)
                for s in range(len(grid))
            ]
            for genre in range(len(prior))
        ]
    return [posterior(i) if i in tried else mixed(parts[i], prior) for i in range(len(hits))], prior


def expected(row: list[float], values: list[float]) -> float:
    return sum(chance * value for chance, value in zip(row, values, strict=True))


def one_by_one(likes: list[float], dislikes: list[float], exposures: list[float], genres: Any, c: Any) -> Posterior:
    memberships = [[*row, not any(row)] for row in genres.tolist()]
    parts = [[member / sum(row) for member in row] for row in memberships] or [[0.0] * (genres.shape[1] + 1)]
    reactions = [a + b for a, b in zip(likes, dislikes, strict=True)]
    shares, chances = REACTION_SHARES.tolist(), LIKE_SHARES.tolist()
    known, known_prior = share_of(reactions, exposures, parts, shares, [r**-c.rarity for r in shares], c)
    liked, liked_prior = share_of(likes, reactions, parts, chances, [1.0] * len(chances), c)

    def moments(of_known: Rows, of_liked: Rows) -> list[tuple[float, float]]:
        both = []
        for k, g in zip(of_known, of_liked, strict=True):
            mean = expected(k, shares) * expected(g, chances)
            square = expected(k, [s * s for s in shares]) * expected(g, [s * s for s in chances])
            both.append((mean, sqrt(max(square - mean**2, 0))))
        return both

    items, priors = moments(known, liked), moments(known_prior, liked_prior)
    means = [mean for mean, _ in items]
    level = sorted(means, reverse=True)[c.places - 1] if len(means) >= c.places else 0.0
    upside = [
        expected(k, [max(expected(g, chances) * s - level, 0) for s in shares])
        for k, g in zip(known, liked, strict=True)
    ]
    return Posterior(
        mean=np.array(means),
        sd=np.array([sd for _, sd in items]),
        upside=np.array(upside),
        level=level,
        genre_rate=np.array([mean for mean, _ in priors[:-1]]),
        genre_sd=np.array([sd for _, sd in priors[:-1]]),
        base_rate=priors[-1][0],
        base_sd=priors[-1][1],
    )


@FEW
@given(worlds(), st.sampled_from([DEFAULT, OTHER]))
def test_rates_equal_the_formula_of_each_item(world: World, config: PosteriorConfig) -> None:
    found = like_rates(*world, config)
    oracle = one_by_one(world[0].tolist(), world[1].tolist(), world[2].tolist(), world[3], config)
    for name in ("mean", "genre_rate", "base_rate", "level"):
        assert getattr(found, name) == pytest.approx(getattr(oracle, name), rel=2e-4, abs=1e-6), name
    # Differences of numbers near to each other, in single precision.
    for name in ("sd", "genre_sd", "base_sd"):
        assert getattr(found, name) ** 2 == pytest.approx(getattr(oracle, name) ** 2, rel=1e-3, abs=2e-6), name
    assert found.upside == pytest.approx(oracle.upside, rel=1e-3, abs=2e-6)


@FAST
@given(worlds(most=60))
def test_rates_are_single_precision_between_zero_and_one(world: World) -> None:
    found = like_rates(*world)
    for rates in (found.mean, found.sd, found.genre_rate, found.genre_sd):
        assert rates.dtype == np.float32
        assert np.all((rates >= 0) & (rates <= 1))
    assert 0 < found.base_rate < 1
    assert 0 < found.base_sd < 1


@FAST
@given(worlds(least=1, most=60), st.sampled_from([DEFAULT, OTHER]))
def test_the_level_is_the_rate_of_the_last_place(world: World, config: PosteriorConfig) -> None:
    found = like_rates(*world, config)
    best_first = np.sort(found.mean)[::-1]
    if len(best_first) < config.places:
        assert found.level == 0
    else:
        assert found.level == best_first[config.places - 1]


@FAST
@given(worlds(least=1, most=60), st.sampled_from([DEFAULT, OTHER]))
def test_the_upside_is_at_least_what_the_mean_is_above_the_level(world: World, config: PosteriorConfig) -> None:
    found = like_rates(*world, config)
    assert np.all(found.upside >= 0)
    assert np.all(found.upside >= found.mean - found.level - 1e-5)


@pytest.mark.parametrize(("n", "g"), [(0, 0), (0, 3), (2, 0)])
def test_no_items_or_no_genres_are_fine(n: int, g: int) -> None:
    ones = np.ones(n, dtype=np.float32)
    found = like_rates(ones, 0 * ones, ones, np.zeros((n, g), dtype=bool))
    assert [len(of) for of in (found.mean, found.sd, found.upside, found.genre_rate, found.genre_sd)] == [n] * 3 + [
        g
    ] * 2
    assert 0 < found.base_rate < 1


def no_genres(n: int) -> Genres:
    return np.zeros((n, 0), dtype=bool)


def test_before_any_event_every_rate_is_that_of_the_config() -> None:
    nothing = np.zeros(3, dtype=np.float32)
    found = like_rates(nothing, nothing, nothing, np.eye(3, 2, dtype=bool))
    weights = REACTION_SHARES**-DEFAULT.rarity
    rate = float(weights @ REACTION_SHARES / weights.sum() * LIKE_SHARES.mean())
    assert [found.base_rate, *found.genre_rate, *found.mean, *found.upside] == pytest.approx([rate] * 9)


@FAST
@given(worlds(least=1), st.data())
def test_of_two_items_alike_the_one_with_more_likes_is_better(world: World, data: st.DataObject) -> None:
    likes, dislikes, exposures, genres = (np.concatenate([of[:1], of]) for of in world)
    exposures[:2] += 8
    likes[0] += data.draw(st.integers(1, 8))
    better, worse = like_rates(likes, dislikes, exposures, genres).mean[:2]
    assert better >= worse * (1 - 1e-5)
    if exposures[0] < 100:
        assert better > worse


def test_an_unseen_item_may_be_among_the_best_and_a_disliked_one_can_not() -> None:
    """55 items that six of ten like; one that everybody dislikes, and one that was never shown."""
    likes, dislikes, exposures = counts(*[60] * 55, 0, 0), counts(*[0] * 55, 100, 0), counts(*[100] * 55, 100, 0)
    found = like_rates(likes, dislikes, exposures, no_genres(57))
    assert found.mean[55] < found.level < 0.9
    assert found.upside[55] == 0
    assert found.upside[56] > 0


def test_of_two_items_with_the_same_rate_the_less_known_has_more_upside() -> None:
    likes = counts(*[60] * 55, 10, 1)
    exposures = counts(*[100] * 55, 500, 50)
    found = like_rates(likes, 0 * likes, exposures, no_genres(57))
    assert found.upside[56] > 2 * found.upside[55]


def test_a_genre_whose_items_are_liked_lifts_an_unseen_item_of_it() -> None:
    genres = np.repeat(np.eye(2, dtype=bool), 300, axis=0)
    exposures = np.tile(counts(*[50] * 299, 0), 2)
    likes = exposures * np.repeat(counts(0.3, 0.02), 300)
    found = like_rates(likes, 0 * likes, exposures, genres)
    assert found.mean[299] > 2 * found.mean[599]
    assert found.genre_rate[0] > 2 * found.genre_rate[1]
    assert found.mean[[299, 599]] == pytest.approx(found.genre_rate, rel=1e-5)


def test_of_few_items_a_genre_learns_little() -> None:
    genres = np.repeat(np.eye(2, dtype=bool), 3, axis=0)
    exposures = counts(50, 50, 0, 50, 50, 0)
    found = like_rates(exposures * counts(0.3, 0.3, 0, 0, 0, 0), 0 * exposures, exposures, genres)
    assert found.genre_rate[1] < found.genre_rate[0] < 1.1 * found.genre_rate[1]


@pytest.mark.parametrize("often", [1_000, 100_000])
def test_items_shown_a_thousand_times_do_not_lift_the_prior_of_unseen_ones(often: int) -> None:
    """Five items that half like have nearly all exposures; 295 shown five times have two likes in a hundred."""
    likes = counts(*[often / 2] * 5, *[1] * 30, *[0] * 265, 0)
    exposures = counts(*[often] * 5, *[5] * 295, 0)
    found = like_rates(likes, 0 * likes, exposures, no_genres(301))
    pooled = float(likes.sum() / exposures.sum())
    typical = 30 / (5 * 295)
    assert pooled > 0.35
    assert found.mean[-1] == pytest.approx(found.base_rate)
    assert 0.5 * typical < found.base_rate < 2.5 * typical


def test_how_often_the_best_are_shown_does_not_matter_to_the_prior() -> None:
    def base_rate(often: float) -> float:
        likes, exposures = counts(*[often / 2] * 5, *[0] * 295), counts(*[often] * 5, *[5] * 295)
        return like_rates(likes, 0 * likes, exposures, no_genres(300)).base_rate

    assert base_rate(100_000) == pytest.approx(base_rate(1_000), rel=0.1)


def test_where_most_items_get_no_reaction_a_dislike_speaks_for_an_item() -> None:
    """Of 40 items shown 20 times, half have been reacted to now and then; the last three are shown once."""
    likes, dislikes = counts(*[2] * 20, *[0] * 20, 1, 0, 0), counts(*[2] * 20, *[0] * 20, 0, 1, 0)
    exposures = counts(*[20] * 40, 1, 1, 1)
    liked, disliked, ignored = like_rates(likes, dislikes, exposures, no_genres(43)).mean[-3:]
    assert liked > disliked > 1.5 * ignored


def test_where_users_react_to_everything_a_dislike_speaks_against_an_item() -> None:
    likes, exposures = counts(*[15] * 20, *[1] * 20, 1, 0, 0), counts(*[20] * 40, 1, 1, 0)
    liked, disliked, unseen = like_rates(likes, exposures - likes, exposures, no_genres(43)).mean[-3:]
    assert liked > unseen > disliked


def test_more_evidence_of_the_same_rate_is_more_certain() -> None:
    exposures = counts(10, 100, 1000)
    sd = like_rates(exposures / 10, exposures / 10, exposures, no_genres(3)).sd
    assert sd[0] > sd[1] > sd[2]


@pytest.mark.parametrize(("likes", "dislikes"), [(0.1, 0.1), (0.3, 0.0), (0.6, 0.2), (0.02, 0.05)])
def test_much_evidence_gives_the_share_of_likes(likes: float, dislikes: float) -> None:
    """As near as the grid's steps allow."""
    exposures = counts(*[1e5] * 50)
    found = like_rates(likes * exposures, dislikes * exposures, exposures, no_genres(50))
    assert found.mean == pytest.approx([likes] * 50, rel=0.2)


@pytest.mark.parametrize("count", [1e4, 1e9])
def test_rates_stay_rates_when_everything_is_liked(count: float) -> None:
    liked = counts(count)
    found = like_rates(liked, 0 * liked, liked, np.ones((1, 1), dtype=bool))
    assert found.mean[0] == pytest.approx(REACTION_SHARES[-1] * LIKE_SHARES[-1], rel=1e-3)
    assert 0 <= found.sd[0] < 0.01


def test_items_in_another_order_have_the_same_rates() -> None:
    rng = np.random.default_rng(0)
    exposures = rng.integers(0, 30, 40).astype(np.float32)
    likes, genres = np.floor(exposures * rng.random(40, dtype=np.float32)), rng.random((40, 3)) < 0.4
    turned = rng.permutation(40)
    found = like_rates(likes, 0 * likes, exposures, genres)
    other = like_rates(likes[turned], 0 * likes, exposures[turned], genres[turned])
    for name in ("mean", "sd", "upside"):
        assert getattr(other, name) == pytest.approx(getattr(found, name)[turned], rel=1e-3, abs=1e-5)


def test_new_items_are_the_average_of_their_genres() -> None:
    genres = np.array([[True, False], [True, True], [False, False]])
    assert of_new_items(genres, counts(0.2, 0.4), 0.1) == pytest.approx([0.2, 0.3, 0.1])


@pytest.mark.parametrize(("n", "g"), [(0, 0), (0, 2), (2, 0)])
def test_new_items_without_genres_are_as_told(n: int, g: int) -> None:
    found = of_new_items(np.zeros((n, g), dtype=bool), np.ones(g, dtype=np.float32), 0.25)
    assert found.dtype == np.float32
    assert found.tolist() == [0.25] * n


Totals = tuple[int, int, int, int]


def slates_of(rates: Floats, looked_at: float) -> tuple[Totals, float]:
    """Slates with these rates of reactions: their totals, and the share looked at of those without a reaction."""
    random = np.random.default_rng(0)
    reactions = random.poisson(rates[random.random(len(rates)) < looked_at])
    answered = int(np.count_nonzero(reactions))
    once, twice = (int(np.count_nonzero(reactions == count)) for count in (1, 2))
    return (len(rates), answered, once, twice), (len(reactions) - answered) / (len(rates) - answered)


@pytest.mark.parametrize("rate", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("looked_at", [0.1, 0.5, 0.9, 1.0])
def test_the_share_of_slates_that_were_looked_at_is_found(rate: float, looked_at: float) -> None:
    totals, share = slates_of(np.full(1_000_000, rate, np.float32), looked_at)
    assert unanswered_weight(*totals) == pytest.approx(share, rel=0.1)


@pytest.mark.parametrize("looked_at", [0.3, 0.7])
def test_the_share_is_at_least_half_found_where_some_users_react_to_much_more_than_others(looked_at: float) -> None:
    rates = np.random.default_rng(1).gamma(1.0, 1.5, 1_000_000).astype(np.float32)
    totals, share = slates_of(rates, looked_at)
    assert 0.45 * share < unanswered_weight(*totals) < 1.02 * share


@pytest.mark.parametrize("looked_at", [0.3, 1.0])
def test_the_share_is_found_where_reactions_are_rare(looked_at: float) -> None:
    """One slate in thirty is answered, nearly always once: the expected counts of 10,000,000 slates."""
    slates, rate = 10_000_000, 0.03
    looked = slates * looked_at
    answered, once = round(looked * -np.expm1(-rate)), round(looked * rate * np.exp(-rate))
    share = (looked - answered) / (slates - answered)
    found = unanswered_weight(slates, answered, once, round(looked * rate**2 / 2 * np.exp(-rate)))
    assert found == pytest.approx(share, rel=0.05)


@pytest.mark.parametrize(
    "totals", [(0, 0, 0, 0), (10, 0, 0, 0), (10, 10, 3, 3), (10, 12, 3, 3), (50, 20, 20, 0), (1_000, 9, 1, 1)]
)
def test_a_slate_says_everything_as_long_as_nothing_speaks_against_it(totals: Totals) -> None:
    assert unanswered_weight(*totals) == 1


def test_where_looked_at_means_many_reactions_silence_means_nothing() -> None:
    assert unanswered_weight(1_000, 10, 0, 0) == 0


@FAST
@given(*[st.integers(0, 1_000)] * 4)
def test_the_weight_is_a_share(slates: int, answered: int, once: int, twice: int) -> None:
    assert 0 <= unanswered_weight(slates, answered, once, twice) <= 1
