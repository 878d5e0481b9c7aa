"""What the settings ask for, and what lists are like by each profile and without each component."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import numpy as np
import polars as pl
import pytest

from recsys.recommenders.bandit.config import COMPONENTS, BanditConfig
from recsys.recommenders.bandit.counts import Counts
from recsys.recommenders.bandit.learner import Bandit
from recsys.recommenders.bandit.refresh import Refreshed, compute
from recsys.recommenders.bandit.statistics import Statistics
from recsys.recommenders.bandit.taste import TasteModel
from recsys.recommenders.bandit.view import BanditModel
from recsys.recommenders.mix import EXPLORE, Mix, Slate, Source
from recsys.recommenders.popularity import Popular
from recsys.recommenders.port import AtOnce, ExplorationShare, Exploring, Live, Model, TrainingData
from recsys.recommenders.random import Random, RandomModel
from recsys.recommenders.recipe import BANDIT, EXPLORER, OF_LISTS, PROFILES, Recipe, read_recipe
from recsys.recommenders.registry import RecommenderError, Spec
from recsys.schemas import EVENT_SCHEMA
from recsys.settings import Settings
from recsys.user_state import DISLIKE, LIKE, SHOWN, UserState, encode
from tests.unit.by_hand import NOBODY, items_of, must_not_fail, query_of, rng, statistics_of

ITEMS: Final = 200
GENRES: Final = np.tile(np.eye(2, dtype=bool), (ITEMS // 2, 1))
CATALOGUE: Final = items_of(ITEMS, GENRES)
FACTORS: Final = np.where(np.arange(ITEMS)[:, None] % 4 < 2, 1, -1).astype(np.float32)  # not the genres
NEW: Final = np.arange(ITEMS) >= 180
NOTHING_NEW: Final = (40,) * ITEMS  # impressions
SOME_NEW: Final = tuple(0 if new else 40 for new in NEW.tolist())
ALL_NEW: Final = (0,) * ITEMS
BEST_ARE_EVEN: Final = np.where(np.arange(ITEMS) % 2 == 0, 0.2, 0.14) * np.linspace(1, 0.5, ITEMS)
OF_BANDIT: Final = tuple(name for name, profile in PROFILES.items() if profile.recommender == BANDIT)
EVERY_COMPONENT: Final = (*COMPONENTS, *OF_LISTS)
Shown = tuple[int, ...]


@cache
def log_of(impressions: Shown) -> pl.DataFrame:
    """So many impressions of each item, and likes at its rate: every row of a user of his own."""
    likes = np.rint(impressions * BEST_ARE_EVEN).astype(int)
    items = np.concatenate([np.repeat(np.arange(ITEMS), counts) for counts in (impressions, likes)])
    kinds = ["impression"] * sum(impressions) + ["like"] * int(likes.sum())
    names = [str(n) for n in range(len(items))]
    columns = {"event_id": names, "kind": kinds, "user_id": names, "item_index": items}
    rows = pl.DataFrame(columns).with_columns(
        item_id=pl.lit(""), position=pl.lit(0), source=pl.lit(""), received_at=pl.lit(1.7e9), timestamp=None
    )
    return rows.with_columns(undone_at=None).select(EVENT_SCHEMA.names()).cast(dict(EVENT_SCHEMA))


@cache
def refreshed_of(config: BanditConfig, impressions: Shown) -> Refreshed:
    """What the bandit makes of them, with item factors that are given, not learned."""
    counts = Counts(7.0)
    counts.add(log_of(impressions))
    taste = TasteModel(FACTORS * config.factors, 0.5)
    return compute(counts, GENRES, taste, config, rng())


@dataclass(frozen=True)
class Bench:
    """All parts of a recipe, put together as the services do."""

    recipe: Recipe
    models: dict[str, Model]
    queue: Callable[[np.random.Generator], list[int]]

    @classmethod
    def of(cls, impressions: Shown = SOME_NEW, **settings: Any) -> Bench:
        recipe = read_recipe(**settings)
        models: dict[str, Model] = {}
        queues: list[Callable[[np.random.Generator], list[int]]] = []
        for name, learner in recipe.learners().items():
            if isinstance(learner, Bandit):
                config = learner._config
                found = refreshed_of(config, impressions)
                models[name] = BanditModel(found.statistics, CATALOGUE, config.rank, config.explore.known_user)
                queues.append(lambda chance, found=found, config=config: found.queue(20, chance, config).tolist())
            else:
                assert isinstance(learner, Live)
                learner.add(log_of(impressions))
                models[name] = learner.fit(data_of(), None, rng())
        return cls(recipe, models, queues[0] if queues else lambda chance: [])

    @property
    def share(self) -> ExplorationShare:
        return self.recipe.exploration(self.models)

    def next_list(self, user: UserState, seed: int = 0) -> Slate:
        """Ten places."""
        sources = [Source(spec.name, self.models[spec.name], ITEMS) for spec in self.recipe.sources]
        mix = Mix(CATALOGUE, sources, self.share, self.recipe.diversity, must_not_fail)
        chance = rng(seed)
        return mix.fill(query_of(user), 10, self.queue(chance), chance)


def data_of() -> TrainingData:
    return TrainingData(1, CATALOGUE, 0, 1.7e9, pl.LazyFrame, AtOnce())


def next_list(user: UserState, seed: int = 0, impressions: Shown = SOME_NEW, **settings: Any) -> Slate:
    return Bench.of(impressions, **settings).next_list(user, seed)


def user_who(mark: int) -> UserState:
    """One who was shown the same as the others of this kind, and reacted to a few."""
    reactions = encode([161, 165, 169], mark) if mark != SHOWN else b""
    return UserState(encode(range(160, 170), SHOWN) + reactions)


def statistics(without: str, impressions: Shown = SOME_NEW) -> Statistics:
    model = Bench.of(impressions, without=without).models[BANDIT]
    assert isinstance(model, BanditModel)
    return model.statistics


def config_of(recipe: Recipe, name: str = BANDIT) -> BanditConfig:
    learner = recipe.learners()[name]
    assert isinstance(learner, Bandit)
    return learner._config


# profiles and components


@pytest.mark.parametrize("without", ["", *EVERY_COMPONENT])
@pytest.mark.parametrize("profile", OF_BANDIT)
def test_every_profile_makes_lists_without_any_component(profile: str, without: str) -> None:
    positions = next_list(user_who(LIKE), profile=profile, without=without).positions
    assert len(set(positions)) == 10


@pytest.mark.parametrize("without", ["", *OF_LISTS])
@pytest.mark.parametrize("profile", ["popular", "random"])
def test_baselines_make_lists_without_any_component_that_they_have(profile: str, without: str) -> None:
    positions = next_list(user_who(LIKE), profile=profile, without=without).positions
    assert len(set(positions)) == 10


@pytest.mark.parametrize("without", COMPONENTS)
@pytest.mark.parametrize("profile", ["popular", "random"])
def test_from_a_baseline_no_component_of_the_bandit_can_be_left_out(profile: str, without: str) -> None:
    with pytest.raises(RecommenderError) as refused:
        read_recipe(profile=profile, without=f"{without},diversity")
    assert str(refused.value) == (
        f"RANKING_WITHOUT='{without},diversity': RECOMMENDER has no bandit to leave {without} out of"
    )


@pytest.mark.parametrize("without", EVERY_COMPONENT)
def test_the_whole_recipe_has_every_component(without: str) -> None:
    assert read_recipe(without=without) != read_recipe() == read_recipe(profile="balanced")
    assert config_of(read_recipe()) == BanditConfig()


def test_profiles_differ() -> None:
    assert len({repr(read_recipe(profile=profile)) for profile in PROFILES}) == len(PROFILES) == 5


@pytest.mark.parametrize("name", ["", "Balanced", "best"])
def test_an_unknown_profile_is_refused_with_the_choices(name: str) -> None:
    with pytest.raises(RecommenderError) as refused:
        read_recipe(profile=name)
    assert str(refused.value).startswith(f"RANKING_PROFILE={name!r}: there is no profile {name!r}: choose from")
    assert all(profile in str(refused.value) for profile in PROFILES)


@pytest.mark.parametrize("without", ["nose", "noise,nose", "noise nose", "looks,diversity,nose"])
def test_an_unknown_component_is_refused_with_the_choices(without: str) -> None:
    with pytest.raises(RecommenderError, match="there is no component") as refused:
        read_recipe(without=without)
    assert str(refused.value).startswith(f"RANKING_WITHOUT={without!r}: ")
    assert "nose" in str(refused.value)
    assert all(component in str(refused.value) for component in COMPONENTS)


def test_several_components_are_left_out_together() -> None:
    recipe = read_recipe(without=" noise, taste ,,factors, diversity")
    whole = BanditConfig()
    assert config_of(recipe) == replace(whole, rank=replace(whole.rank, noise=0.0, taste=False), factors=False)
    assert (recipe.explore, recipe.diversity) == (None, 0.0)


@pytest.mark.parametrize("profile", PROFILES)
def test_leaving_out_nothing_is_the_profile(profile: str) -> None:
    recipe = read_recipe(profile=profile, without=" , ")
    assert recipe == read_recipe(profile=profile)
    assert recipe.text.startswith(PROFILES[profile].recommender)
    assert recipe.diversity == PROFILES[profile].diversity


@pytest.mark.parametrize("impressions", [SOME_NEW, NOTHING_NEW, ALL_NEW], ids=["some", "none", "all"])
def test_discovery_explores_most_and_relevance_least(impressions: Shown) -> None:
    names = ("popular", "relevance", "balanced", "discovery")
    shares = [Bench.of(impressions, profile=name).share.new_user for name in names]
    assert shares[0] == 0
    assert shares == sorted(set(shares))


@pytest.mark.parametrize("impressions", [SOME_NEW, NOTHING_NEW], ids=["some new", "none"])
def test_popular_lists_are_the_same_for_everybody(impressions: Shown) -> None:
    bench = Bench.of(impressions, profile="popular")
    best = [position for position in np.argsort(-BEST_ARE_EVEN, kind="stable") if impressions[position]]
    likes = np.rint(40 * BEST_ARE_EVEN)
    lists = [bench.next_list(NOBODY, seed).positions for seed in range(5)]
    assert lists == [lists[0]] * 5
    assert likes[lists[0]].tolist() == likes[best[:10]].tolist()


@pytest.mark.parametrize("mark", [LIKE, DISLIKE])
def test_popular_lists_do_not_follow_reactions(mark: int) -> None:
    popular, balanced = Bench.of(profile="popular"), Bench.of(without="noise,explore")
    assert popular.next_list(user_who(mark)) == popular.next_list(user_who(SHOWN))
    assert balanced.next_list(user_who(LIKE)) != balanced.next_list(user_who(SHOWN))


def test_random_lists_are_uniform_over_what_is_unseen() -> None:
    """400 lists of 10 of 190 items: each item is in 21 of them."""
    user, bench = user_who(LIKE), Bench.of(profile="random")
    lists = [bench.next_list(user, seed) for seed in range(400)]
    assert all(slate.sources == ["random"] * 10 for slate in lists)
    count = np.bincount([position for slate in lists for position in slate.positions], minlength=ITEMS)
    unseen = np.ones(ITEMS, dtype=bool)
    unseen[160:170] = False
    assert np.all(count[~unseen] == 0)
    assert count[unseen].min() > 0
    assert count[unseen].max() < 55
    for kind in (unseen & NEW, unseen & (np.arange(ITEMS) % 2 == 0), unseen & (np.arange(ITEMS) < 50)):
        assert count[kind].mean() == pytest.approx(4000 / 190, rel=0.15)


def test_with_all_components_lists_hold_candidates_of_the_queue() -> None:
    assert 2 <= next_list(NOBODY).sources.count(EXPLORE) <= 3


@pytest.mark.parametrize("impressions", [SOME_NEW, NOTHING_NEW, ALL_NEW], ids=["some", "none", "all"])
def test_without_explore_lists_hold_no_candidates(impressions: Shown) -> None:
    bench = Bench.of(impressions, profile="discovery", without="explore")
    for seed in range(5):
        assert EXPLORE not in bench.next_list(NOBODY, seed).sources


@pytest.mark.parametrize(
    "without",
    [
        *(f"{other},explore" for other in EVERY_COMPONENT),
        *(f"explore,{other}" for other in EVERY_COMPONENT),
    ],
)
def test_without_explore_there_are_no_places_whatever_else_is_left_out(without: str) -> None:
    assert Bench.of(without=without).share == (0, 0)
    assert Bench.of(without=without, explore="0.5").share == (0, 0)


def test_without_looks_only_new_items_are_candidates() -> None:
    def candidates(without: str) -> set[int]:
        config = config_of(read_recipe(without=without))
        queue = replace(refreshed_of(config, SOME_NEW), lists=10**6).queue(ITEMS, rng(), config)
        return set(queue.tolist())

    assert candidates("looks") == set(np.flatnonzero(NEW).tolist()) < candidates("")
    assert Bench.of(NOTHING_NEW, without="looks").share == (0, 0)


def test_without_adaptive_the_share_does_not_follow_what_is_new() -> None:
    for without, equal in (("adaptive", True), ("", False)):
        shares = [Bench.of(impressions, without=without).share for impressions in (SOME_NEW, ALL_NEW)]
        assert (shares[0].new_user == shares[1].new_user) == equal


def test_without_genres_new_items_are_all_alike() -> None:
    lifted, alike = statistics(""), statistics("genres")
    assert lifted.mean[180] > 1.02 * lifted.mean[181]
    assert alike.mean[180] == pytest.approx(alike.mean[181], rel=1e-4)
    assert alike.genre_rate == pytest.approx([alike.base_rate] * 2, rel=1e-4)


def test_without_noise_and_exploration_lists_do_not_depend_on_chance() -> None:
    calm, lively = (
        {tuple(next_list(NOBODY, seed, without=without).positions) for seed in range(5)}
        for without in ("explore,noise", "explore")
    )
    assert (len(calm), len(lively)) == (1, 5)


@pytest.mark.parametrize(("without", "personal"), [("", True), ("factors", True), ("taste", False)])
def test_lists_are_personal_unless_taste_is_left_out(without: str, personal: bool) -> None:
    bench = Bench.of(without=f"explore,noise,diversity,{without}")
    assert (bench.next_list(user_who(LIKE)) != bench.next_list(user_who(SHOWN))) == personal


def test_without_diversity_lists_are_in_order_of_like_rate() -> None:
    """The best twenty are of one genre; the next, hardly worse, of another."""
    items = items_of(ITEMS, np.repeat(np.eye(2, dtype=bool), [20, ITEMS - 20], axis=0))
    statistics = statistics_of(np.linspace(0.2, 0.19, ITEMS), genres=2)

    def positions(without: str) -> list[int]:
        recipe = read_recipe(without=f"noise,{without}")
        model = BanditModel(statistics, items, config_of(recipe).rank)
        mix = Mix(items, [Source(BANDIT, model, ITEMS)], diversity=recipe.diversity, failed=must_not_fail)
        return mix.fill(query_of(), 10, [], rng()).positions

    assert positions("diversity") == list(range(10))
    assert max(positions("")) >= 20


@pytest.mark.parametrize(
    ("name", "switch"), [("answers", lambda c: c.answers), ("factors", lambda c: c.factors)], ids=["answers", "factors"]
)
def test_switches_are_off_without_their_component(name: str, switch: Callable[[BanditConfig], bool]) -> None:
    assert switch(config_of(read_recipe()))
    assert not switch(config_of(read_recipe(without=name)))


# sources


@pytest.mark.parametrize("profile", PROFILES)
def test_sources_that_are_named_stand_for_those_of_the_profile(profile: str) -> None:
    recipe = read_recipe("popular:shrinkage=5,random", profile=profile)
    assert [spec.name for spec in recipe.sources] == ["popular", "random"]
    assert recipe.text == "popular:shrinkage=5,random"
    assert recipe.diversity == PROFILES[profile].diversity


def test_learners_are_new_ones_in_the_order_of_the_sources() -> None:
    recipe = read_recipe("random,bandit,popular")
    first, second = recipe.learners(), recipe.learners()
    assert list(first) == ["random", "bandit", "popular"]
    assert [type(learner) for learner in first.values()] == [Random, Bandit, Popular]
    assert not any(first[name] is second[name] for name in first)
    assert isinstance(recipe.learner("popular"), Popular)
    assert isinstance(recipe.live_learner("random"), Random)


def test_constants_of_the_profile_are_those_of_its_bandit_but_for_those_given() -> None:
    config = config_of(read_recipe("popular,bandit:explore.looks=0.9", profile="relevance"))
    assert (config.explore.least, config.explore.unknown, config.explore.looks) == (0.1, 0.4, 0.9)
    assert config.rank.noise == 0.5


def test_what_is_left_out_is_left_out_of_a_bandit_wherever_it_stands() -> None:
    config = config_of(read_recipe("popular,bandit:rank.noise=0.3", without="noise,looks"))
    assert (config.rank.noise, config.explore.looks) == (0.0, 0.0)


def test_defaults_are_those_of_every_learner_that_has_such_an_option() -> None:
    recipe = read_recipe("popular:half_life_days=3,bandit,random", half_life_days=2.0, taste_interval_s=60.0)
    popular, bandit, _ = recipe.learners().values()
    assert isinstance(popular, Popular)
    assert isinstance(bandit, Bandit)
    assert popular._half_life_days == 3.0
    assert (bandit._half_life_days, bandit._taste_interval_s) == (2.0, 60.0)


def test_another_learner_or_another_option_makes_another_model() -> None:
    recipes = [
        read_recipe("popular,random"),
        read_recipe("popular:shrinkage=5,random"),
        read_recipe("popular,random", half_life_days=2.0),
    ]
    made_by = [recipe.made_by(name) for recipe in recipes for name in ("popular", "random")]
    assert len(set(made_by)) == 5
    assert made_by[1] == made_by[3], "that of random is the same in the first two"
    assert read_recipe("random,popular").made_by("popular") == made_by[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"recommender": "clever"}, "RECOMMENDER='clever': there is no recommender 'clever'"),
        ({"recommender": "popular,popular"}, "RECOMMENDER='popular,popular': popular is named twice"),
        ({"recommender": "popular:luck=1"}, "RECOMMENDER='popular:luck=1': popular:luck=1: popular has no option"),
        ({"recommender": "popular:shrinkage=0"}, "popular:shrinkage=0: shrinkage must be above 0"),
        ({"recommender": "bandit:explore.luck=1"}, "there is no constant 'explore.luck'"),
        ({"recommender": " , "}, "RECOMMENDER=' , ': no recommender is named"),
        ({"recommender": "depth=3"}, "RECOMMENDER='depth=3': 'depth=3' is an option, but no recommender"),
        (
            {"recommender": "bandit", "without": "luck"},
            "RECOMMENDER='bandit', RANKING_WITHOUT='luck': bandit:without=luck: there is no component 'luck'",
        ),
        ({"recommender": "random", "without": "noise"}, "RANKING_WITHOUT='noise': RECOMMENDER has no bandit"),
    ],
    ids=lambda value: str(list(value.values())) if isinstance(value, dict) else "",
)
def test_what_cannot_be_is_told_with_the_setting_that_says_so(settings: dict[str, str], message: str) -> None:
    with pytest.raises(RecommenderError) as refused:
        read_recipe(**settings)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_settings_that_are_not_given_ask_for_the_default_profile() -> None:
    assert read_recipe(**Settings(_env_file=None).recipe) == read_recipe(half_life_days=7.0, taste_interval_s=10.0)


def test_settings_that_are_given_reach_the_recipe() -> None:
    given = {"recommender": "popular", "explore": "0.3", "diversity": "0.7", "half_life_days": "3"}
    recipe = read_recipe(**Settings(_env_file=None, ranking_profile="discovery", **given).recipe)
    assert (recipe.text, recipe.explore, recipe.diversity) == ("popular", 0.3, 0.7)
    assert dict(recipe.defaults)["half_life_days"] == 3.0
    assert config_of(recipe, EXPLORER).explore.looks == 0.3


# exploration


@pytest.mark.parametrize(
    ("explore", "profile", "expected"),
    [
        ("", "balanced", None),
        ("", "popular", 0.0),
        ("auto", "popular", None),
        ("off", "discovery", 0.0),
        ("0", "discovery", 0.0),
        ("0.25", "random", 0.25),
        ("1", "balanced", 1.0),
    ],
)
def test_how_much_is_explored_is_as_given_or_as_the_profile_has_it(
    explore: str, profile: str, expected: float | None
) -> None:
    assert read_recipe(explore=explore, profile=profile).explore == expected


def test_by_itself_the_learner_that_fills_the_queue_says_how_much() -> None:
    bench = Bench.of(explore="auto")
    model = bench.models[BANDIT]
    assert isinstance(model, BanditModel)
    assert bench.share == model.exploration
    assert bench.share.known_user == min(bench.share.new_user, BanditConfig().explore.known_user)


def test_a_share_is_the_same_for_everybody() -> None:
    assert Bench.of(explore="0.4").share == ExplorationShare(0.4, 0.4)


def test_before_anything_is_learned_nothing_is_explored_unless_a_share_says_so() -> None:
    assert read_recipe(explore="auto").exploration({}) == (0, 0)
    assert read_recipe("popular", explore="auto").exploration({"popular": RandomModel()}) == (0, 0)
    assert read_recipe(explore="0.4").exploration({}) == (0.4, 0.4)


@pytest.mark.parametrize("explore", ["auto", "0.25"])
@pytest.mark.parametrize("recommender", ["popular", "random,popular"])
def test_where_no_source_explores_a_bandit_behind_them_fills_the_queue(recommender: str, explore: str) -> None:
    """Of the items it knows all, of users' tastes nothing."""
    recipe = read_recipe(recommender, explore=explore, profile="discovery", half_life_days=2.0)
    learners = recipe.learners()
    assert list(learners) == [*recommender.split(","), EXPLORER]
    explorer = learners[EXPLORER]
    assert isinstance(explorer, Exploring)
    assert isinstance(explorer, Bandit)
    assert explorer._half_life_days == 2.0
    config = explorer._config
    assert (config.rank.taste, config.factors) == (False, False)
    assert (config.explore.least, config.explore.looks) == (0.4, 0.3), "as the profile has it"
    assert recipe.text == recommender, "it is no source"
    assert isinstance(recipe.live_learner(EXPLORER), Bandit)
    assert "taste+factors" in recipe.made_by(EXPLORER)


def test_lists_of_another_recommender_hold_its_candidates() -> None:
    bench = Bench.of(recommender="popular", explore="auto")
    slate = bench.next_list(NOBODY)
    assert 2 <= slate.sources.count(EXPLORE) <= 3
    assert slate.sources[:7] == ["popular"] * 7
    assert NEW[slate.positions[-slate.sources.count(EXPLORE) :]].any()


@pytest.mark.parametrize(
    ("recommender", "explore"), [("popular", "off"), ("popular", "0"), ("bandit", "auto"), ("random,bandit", "0.3")]
)
def test_where_nothing_is_explored_or_a_source_explores_there_is_none_behind_them(
    recommender: str, explore: str
) -> None:
    assert list(read_recipe(recommender, explore=explore).learners()) == recommender.split(",")


def test_the_explorer_is_a_bandit_with_the_name_of_none() -> None:
    recipe = Recipe((Spec("popular"),))
    assert list(recipe.learners()) == ["popular", EXPLORER]
    assert recipe.made_by(EXPLORER).startswith("bandit")
