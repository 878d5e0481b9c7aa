"""The ready-made rankings, and what lists are like without each of their components."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import pytest

from recsys.ranking.choose import EXPLORE, Choice, View, choose
from recsys.ranking.exploration import deck, explore_share
from recsys.ranking.posterior import Floats, Posterior, like_rates
from recsys.ranking.profiles import COMPONENTS, PROFILES, Ranking, ranking
from recsys.user_state import DISLIKE, LIKE, SHOWN, UserState, encode

ITEMS: Final = 200
GENRES: Final = np.tile(np.eye(2, dtype=bool), (ITEMS // 2, 1))
LOADINGS: Final = np.where(np.arange(ITEMS)[:, None] % 4 < 2, 1, -1).astype(np.float32)  # not the genres
NEW: Final = np.arange(ITEMS) >= 180
NOTHING_NEW: Final = np.full(ITEMS, 40, np.float32)
SOME_NEW: Final = np.where(NEW, 0, NOTHING_NEW).astype(np.float32)
BEST_ARE_EVEN: Final = np.where(np.arange(ITEMS) % 2 == 0, 0.2, 0.14)
NOBODY: Final = UserState(b"")


def posterior_of(chosen: Ranking, impressions: Floats) -> Posterior:
    likes = (impressions * BEST_ARE_EVEN * np.linspace(1, 0.5, ITEMS)).astype(np.float32)
    return like_rates(likes, 0 * likes, impressions, GENRES, chosen.posterior)


def next_list(chosen: Ranking, user: UserState, seed: int = 0, impressions: Floats = SOME_NEW) -> Choice:
    """Ten places by all parts of the ranking, put together as the services do."""
    rng = np.random.default_rng(seed)
    posterior = posterior_of(chosen, impressions)
    view = View.of(
        posterior.mean,
        posterior.sd,
        np.argsort(-posterior.mean, kind="stable"),
        GENRES,
        chosen.choose,
        loadings=LOADINGS * chosen.factors,
        genre_variance=0.5,
        explore_share=explore_share(impressions, chosen.explore),
    )
    cards = deck(posterior, impressions, 1_000, 20, rng, chosen.explore).tolist()
    return choose(view, user, 10, cards, rng, chosen.choose)


def user_who(mark: int) -> UserState:
    """One who was shown the same as the others of this kind, and reacted to a few."""
    reactions = encode([161, 165, 169], mark) if mark != SHOWN else b""
    return UserState(encode(range(160, 170), SHOWN) + reactions)


@pytest.mark.parametrize("without", ["", *COMPONENTS])
@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_makes_lists_without_any_component(profile: str, without: str) -> None:
    positions = next_list(ranking(profile, without), user_who(LIKE)).positions
    assert len(set(positions)) == 10


@pytest.mark.parametrize("without", COMPONENTS)
def test_the_whole_ranking_has_every_component(without: str) -> None:
    assert ranking("balanced", without) != ranking("balanced") == Ranking()


def test_profiles_differ() -> None:
    assert len({repr(ranking(profile)) for profile in PROFILES}) == len(PROFILES) == 5


@pytest.mark.parametrize("name", ["", "Balanced", "best"])
def test_an_unknown_profile_is_refused_with_the_choices(name: str) -> None:
    with pytest.raises(ValueError, match="there is no profile") as refused:
        ranking(name)
    assert repr(name) in str(refused.value)
    assert all(profile in str(refused.value) for profile in PROFILES)


@pytest.mark.parametrize("without", ["nose", "noise,nose", "noise nose"])
def test_an_unknown_component_is_refused_with_the_choices(without: str) -> None:
    with pytest.raises(ValueError, match="there is no component") as refused:
        ranking("balanced", without)
    assert "nose" in str(refused.value)
    assert all(component in str(refused.value) for component in COMPONENTS)


def test_several_components_are_left_out_together() -> None:
    chosen = ranking("balanced", " noise, taste ,,factors,")
    config = replace(Ranking().choose, noise=0.0, taste=False)
    assert chosen == Ranking(choose=config, factors=False)


@pytest.mark.parametrize("profile", PROFILES)
def test_leaving_out_nothing_is_the_profile(profile: str) -> None:
    assert ranking(profile, " , ") == ranking(profile) == PROFILES[profile]


@pytest.mark.parametrize("impressions", [SOME_NEW, NOTHING_NEW, 0 * SOME_NEW], ids=["some", "none", "all"])
def test_discovery_explores_most_and_relevance_least(impressions: Floats) -> None:
    names = ("popular", "relevance", "balanced", "discovery")
    shares = [explore_share(impressions, ranking(name).explore) for name in names]
    assert shares[0] == 0
    assert shares == sorted(set(shares))


@pytest.mark.parametrize("impressions", [SOME_NEW, NOTHING_NEW], ids=["some new", "none"])
def test_popular_lists_are_the_same_for_everybody(impressions: Floats) -> None:
    popular = ranking("popular")
    order = np.argsort(-posterior_of(popular, impressions).mean, kind="stable")
    lists = [next_list(popular, NOBODY, seed, impressions).positions for seed in range(5)]
    assert lists == [order[:10].tolist()] * 5


@pytest.mark.parametrize("mark", [LIKE, DISLIKE])
def test_popular_lists_do_not_follow_reactions(mark: int) -> None:
    popular, balanced = ranking("popular"), ranking("balanced", "noise,explore")
    assert next_list(popular, user_who(mark)) == next_list(popular, user_who(SHOWN))
    assert next_list(balanced, user_who(LIKE)) != next_list(balanced, user_who(SHOWN))


def test_random_lists_are_uniform_over_what_is_unseen() -> None:
    """400 lists of 10 of 190 items: each item is in 21 of them."""
    user = user_who(LIKE)
    lists = [next_list(ranking("random"), user, seed).positions for seed in range(400)]
    count = np.bincount([position for positions in lists for position in positions], minlength=ITEMS)
    unseen = np.ones(ITEMS, dtype=bool)
    unseen[160:170] = False
    assert np.all(count[~unseen] == 0)
    assert count[unseen].min() > 0
    assert count[unseen].max() < 55
    for kind in (unseen & NEW, unseen & (np.arange(ITEMS) % 2 == 0), unseen & (np.arange(ITEMS) < 50)):
        assert count[kind].mean() == pytest.approx(4000 / 190, rel=0.15)


def test_with_all_components_lists_hold_cards_of_the_deck() -> None:
    choice = next_list(ranking("balanced"), NOBODY)
    assert 2 <= choice.sources.count(EXPLORE) <= 3


@pytest.mark.parametrize("impressions", [SOME_NEW, NOTHING_NEW, 0 * SOME_NEW], ids=["some", "none", "all"])
def test_without_explore_lists_hold_no_cards(impressions: Floats) -> None:
    for seed in range(5):
        assert EXPLORE not in next_list(ranking("discovery", "explore"), NOBODY, seed, impressions).sources


@pytest.mark.parametrize(
    "without",
    [
        *(f"{other},explore" for other in COMPONENTS),
        *(f"explore,{other}" for other in COMPONENTS),
    ],
)
def test_without_explore_there_are_no_places_whatever_else_is_left_out(without: str) -> None:
    assert explore_share(SOME_NEW, ranking("balanced", without).explore) == 0


@pytest.mark.parametrize("profile", ["popular", "random"])
def test_leaving_out_a_component_does_not_make_a_baseline_explore(profile: str) -> None:
    assert explore_share(SOME_NEW, ranking(profile, "adaptive").explore) == 0


def test_without_looks_only_new_items_are_cards() -> None:
    def cards(chosen: Ranking) -> set[int]:
        posterior = posterior_of(chosen, SOME_NEW)
        return set(deck(posterior, SOME_NEW, 10**6, ITEMS, np.random.default_rng(0), chosen.explore).tolist())

    assert cards(ranking("balanced", "looks")) == set(np.flatnonzero(NEW).tolist()) < cards(ranking("balanced"))
    assert explore_share(NOTHING_NEW, ranking("balanced", "looks").explore) == 0


def test_without_adaptive_the_share_does_not_follow_what_is_new() -> None:
    for chosen, equal in ((ranking("balanced", "adaptive"), True), (ranking("balanced"), False)):
        shares = [explore_share(impressions, chosen.explore) for impressions in (SOME_NEW, 0 * SOME_NEW)]
        assert (shares[0] == shares[1]) == equal


def test_without_genres_new_items_are_all_alike() -> None:
    lifted, alike = (posterior_of(ranking("balanced", without), SOME_NEW) for without in ("", "genres"))
    assert lifted.mean[180] > 1.02 * lifted.mean[181]
    assert alike.mean[180] == pytest.approx(alike.mean[181], rel=1e-4)
    assert alike.genre_rate == pytest.approx([alike.base_rate] * 2, rel=1e-4)


def test_without_noise_and_cards_lists_do_not_depend_on_chance() -> None:
    calm, lively = (
        {tuple(next_list(ranking("balanced", without), NOBODY, seed).positions) for seed in range(5)}
        for without in ("explore,noise", "explore")
    )
    assert (len(calm), len(lively)) == (1, 5)


@pytest.mark.parametrize(("without", "personal"), [("", True), ("factors", True), ("taste", False)])
def test_lists_are_personal_unless_taste_is_left_out(without: str, personal: bool) -> None:
    chosen = ranking("balanced", f"explore,noise,diversity,{without}")
    assert (next_list(chosen, user_who(LIKE)) != next_list(chosen, user_who(SHOWN))) == personal


def test_without_diversity_lists_are_in_order_of_like_rate() -> None:
    """The best twenty are of one genre; the next, hardly worse, of another."""
    mean = np.linspace(0.2, 0.19, ITEMS, dtype=np.float32)
    genres = np.repeat(np.eye(2, dtype=bool), [20, ITEMS - 20], axis=0)

    def positions(without: str) -> list[int]:
        config = ranking("balanced", f"noise,{without}").choose
        view = View.of(mean, 0 * mean, np.arange(ITEMS), genres, config)
        return choose(view, NOBODY, 10, [], np.random.default_rng(0), config).positions

    assert positions("diversity") == list(range(10))
    assert max(positions("")) >= 20


@pytest.mark.parametrize(
    ("name", "switch"), [("answers", lambda r: r.answers), ("factors", lambda r: r.factors)], ids=["answers", "factors"]
)
def test_switches_are_off_without_their_component(name: str, switch: Callable[[Ranking], bool]) -> None:
    assert switch(ranking("balanced"))
    assert not switch(ranking("balanced", name))
