"""A user's taste against a system solved item by item, and what is learned from examples with a known structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from recsys.recommenders.bandit.posterior import Doubles, Floats
from recsys.recommenders.bandit.taste import (
    DEFAULT,
    RATES,
    ChoiceSet,
    TasteModel,
    TrainingExamples,
    dislike_worth,
    features,
    fold_in,
    learn,
)
from recsys.user_state import DISLIKE, LIKE, SHOWN

FAST = settings(deadline=None, max_examples=50)
ITEMS, USERS, PLACES = 40, 120, 10
KINDS = np.arange(ITEMS) % 2  # even users like even items
NO_GENRES = np.zeros((ITEMS, 1), np.float32)  # there is a genre, but no item is of it
NO_FACTORS = np.zeros((20, 0), np.float32)
GENRES = np.eye(2, dtype=np.float32)[KINDS]
LIKED, OTHER = 0.45, 0.03
AVERAGE = np.full(ITEMS, (LIKED + OTHER) / 2, np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def examples_of(slates: int, *, liked: float = LIKED, other: float = OTHER, users: int = USERS) -> TrainingExamples:
    """Every user is shown a random slate, then every user another one, and so on.

    Fewer slates are the beginning of more.
    """
    chance = rng()
    user = np.repeat(np.tile(np.arange(users), slates), PLACES)
    item = np.concatenate([chance.permutation(ITEMS)[:PLACES] for _ in range(users * slates)])
    outcome = rng(1).random(len(item)) < np.where(KINDS[item] == user % 2, liked, other)
    return TrainingExamples(user, item, outcome.astype(np.uint8), np.repeat(np.arange(users * slates), PLACES))


def pure_noise(slates: int) -> TrainingExamples:
    return examples_of(slates, liked=(LIKED + OTHER) / 2, other=(LIKED + OTHER) / 2)


def rows(examples: TrainingExamples, chosen: slice) -> TrainingExamples:
    return TrainingExamples(
        examples.user[chosen], examples.item[chosen], examples.outcome[chosen], examples.slate[chosen]
    )


def first_fit(examples: TrainingExamples, unit: Floats = NO_GENRES) -> TasteModel:
    return learn(TasteModel.untrained(ITEMS), examples, AVERAGE, unit, rng())


def folded(x: Floats, rates: Floats, liked: ArrayLike) -> Floats:
    """The taste of one who made a single choice, without a dislike."""
    return fold_in(np.zeros(x.shape[1], np.float32), ChoiceSet(x, rates, np.where(liked, LIKE, SHOWN)))


def naive_taste(of_dislike: Floats, choices: Sequence[ChoiceSet]) -> Doubles:
    """The normal equations, added up item by item: as many reactions as there were, spread by the rates alone."""
    d = len(of_dislike)
    precision, error = np.eye(d), np.zeros(d)
    says = {LIKE: np.ones(d), DISLIKE: of_dislike, SHOWN: np.zeros(d)}
    for x, rates, marks in ((c.x.astype(np.float64), c.rates.tolist(), c.marks.tolist()) for c in choices):
        cut = [min(max(rate, RATES[0]), RATES[1]) for rate in rates]
        shares = [rate / sum(cut) for rate in cut]
        mean = sum((share * row for share, row in zip(shares, x, strict=True)), np.zeros(d))
        reactions = marks.count(LIKE) + marks.count(DISLIKE) / 2
        for row, share, mark in zip(x, shares, marks, strict=True):
            error += says[mark] * (row - mean)
            precision += share * reactions * np.outer(row - mean, row - mean)
    taste: Doubles = np.linalg.solve(precision, error)
    return taste


def choice_of(m: int, d: int, chance: np.random.Generator) -> ChoiceSet:
    return ChoiceSet(
        chance.normal(size=(m, d)).astype(np.float32),
        chance.choice([0.0, 0.001, 0.02, 0.3, 0.9, 1.0], m).astype(np.float32),
        chance.choice([SHOWN, DISLIKE, LIKE], m),
    )


@FAST
@given(st.lists(st.integers(0, 12), max_size=3), st.integers(1, 5), st.integers(0, 2**32))
def test_a_taste_solves_the_normal_equations(sizes: list[int], d: int, seed: int) -> None:
    chance = rng(seed)
    choices = [choice_of(m, d, chance) for m in sizes]
    of_dislike = chance.normal(size=d).astype(np.float32)
    expected = naive_taste(of_dislike, choices)
    scale = 1 + float(np.abs(expected).max())
    assert np.abs(fold_in(of_dislike, *choices) - expected).max() < 1e-3 * scale


@pytest.mark.parametrize("d", [0, 1, 2, 6])
def test_one_who_was_shown_nothing_has_no_taste(d: int) -> None:
    nothing = np.zeros(0, np.float32)
    assert fold_in(np.ones(d, np.float32)).tolist() == [0.0] * d
    assert folded(np.zeros((0, d), np.float32), nothing, nothing).tolist() == [0.0] * d


def test_one_who_does_as_everybody_has_no_taste() -> None:
    """Of each two alike items one is liked, or of each four of the kind that is liked half as much."""
    x, liked = rng().normal(size=(2, 4)).astype(np.float32)[np.arange(600) // 300], np.arange(600) % 2 == 0
    liked[300:] &= np.arange(300) % 4 == 0
    rates = np.where(np.arange(600) < 300, 0.2, 0.1).astype(np.float32)
    assert folded(x, rates, liked) == pytest.approx(np.zeros(4), abs=1e-3)


def test_much_evidence_gives_the_relative_difference_of_the_rates() -> None:
    """Half of 10,000 items of a kind are liked, a fifth of as many others, and all alike by everybody else."""
    x, rates = np.tile(np.array([[1, 2], [1, 0]], np.float32), (10_000, 1)), np.full(20_000, 0.2, np.float32)
    outcome = np.where(x[:, 1] > 0, np.arange(20_000) % 4 == 0, np.arange(20_000) % 10 == 1)
    assert 2 * folded(x, rates, outcome)[1] == pytest.approx((0.5 - 0.2) / 0.35, rel=0.01)


def test_little_evidence_is_shrunk() -> None:
    """One like of two items of equal rate: the error times the distance from the mean, over 1 plus the variance."""
    x = np.array([[1], [0]], np.float32)
    assert folded(x, np.full(2, 0.2, np.float32), [1, 0]) == pytest.approx([0.5 / (1 + 0.25)])


def test_a_like_says_nothing_where_there_was_no_choice() -> None:
    assert folded(np.ones((1, 2), np.float32), np.array([0.2], np.float32), [1]).tolist() == [0, 0]


def test_each_choice_is_seen_beside_its_own_items_only() -> None:
    """The only item of one list, liked, says nothing; what another list holds does not change that."""
    x, rate, liked = np.eye(2, dtype=np.float32), np.full(2, 0.2, np.float32), np.full(2, LIKE)
    apart = [ChoiceSet(x[item : item + 1], rate[:1], liked[:1]) for item in range(2)]
    assert fold_in(np.ones(2, np.float32), *apart).tolist() == [0, 0]


def test_liking_all_kinds_alike_says_nothing_beside_liking_one() -> None:
    x, rates = features(np.tile(np.eye(2, dtype=np.float32), (10, 1)), 1.0, NO_FACTORS), np.full(20, 0.1, np.float32)
    all_alike, one_kind = folded(x, rates, np.ones(20)), folded(x, rates, x[:, 1])
    assert all_alike == pytest.approx([0, 0], abs=1e-5)
    assert one_kind[1] - one_kind[0] > 1


def test_how_rare_all_the_shown_items_are_does_not_matter() -> None:
    x, rates = rng().normal(size=(20, 4)).astype(np.float32), np.linspace(0.1, 0.8, 20, dtype=np.float32)
    liked = np.arange(20) % 3 == 0
    assert folded(x, rates / 10, liked) == pytest.approx(folded(x, rates, liked), rel=1e-4)


@pytest.mark.parametrize("of_dislike", [-1.0, -0.1, 0.0, 0.5])
def test_what_a_dislike_says_is_so_much_of_a_like(of_dislike: float) -> None:
    """One dislike of two items of equal rate: half a reaction, and each is half away from their mean."""
    x, rates = np.eye(2, dtype=np.float32), np.full(2, 0.2, np.float32)
    taste = fold_in(np.full(2, of_dislike, np.float32), ChoiceSet(x, rates, np.array([DISLIKE, SHOWN])))
    assert taste == pytest.approx(np.array([1, -1]) * of_dislike / 2 / (1 + 2 * 0.25 * 0.5))


def test_a_dislike_speaks_against_its_genres_and_for_its_factors_less_than_a_like() -> None:
    assert dislike_worth(2, 3) == pytest.approx([-0.1, -0.1, 0.5, 0.5, 0.5])
    assert dislike_worth(0, 0).shape == (0,)


def test_features_are_genres_by_their_deviation_then_item_factors() -> None:
    unit, item_factors = np.eye(3, 2, dtype=np.float32), np.arange(3, dtype=np.float32)[:, None]
    found = features(unit, 0.25, item_factors)
    assert found.tolist() == [[0.5, 0, 0], [0, 0.5, 1], [0, 0, 2]]
    assert found.dtype == np.float32


def test_the_same_examples_give_the_same_model() -> None:
    examples = examples_of(4)
    first, second = first_fit(examples), first_fit(examples)
    assert np.array_equal(first.item_factors, second.item_factors)
    assert vars(replace(first, item_factors=second.item_factors)) == vars(second)


def test_names_of_users_do_not_matter() -> None:
    examples = examples_of(4)
    renamed = replace(examples, user=3 * examples.user + 7)
    assert np.array_equal(first_fit(examples).item_factors, first_fit(renamed).item_factors)


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("users", [0, 1, DEFAULT.least_users - 1])
def test_few_users_teach_nothing(users: int, trained: bool) -> None:
    model = first_fit(examples_of(3)) if trained else TasteModel.untrained(ITEMS)
    everybody = examples_of(6)
    few = TrainingExamples(*(of[everybody.user < users] for of in vars(everybody).values()))
    assert learn(model, few, AVERAGE, NO_GENRES, rng()) is model


def test_just_enough_users_teach() -> None:
    model = first_fit(examples_of(3, users=DEFAULT.least_users))
    assert model.newest == 3 * DEFAULT.least_users - 1
    assert np.any(model.item_factors != 0)


def kind_lift(model: TasteModel, unit: Floats, liked: int) -> tuple[float, float]:
    """Mean lift of the other items of the kind and of items of another kind, for a user who liked this one of all."""
    x = features(unit, model.genre_variance, model.item_factors)
    lift = x @ folded(x, AVERAGE, (np.arange(ITEMS) == liked).astype(np.float32))
    same = (KINDS[liked] == KINDS) & (np.arange(ITEMS) != liked)
    return float(lift[same].mean()), float(lift[KINDS[liked] != KINDS].mean())


@pytest.mark.parametrize("liked", [0, 1, 20, 33])
def test_one_like_lifts_the_kind_that_was_learned(liked: int) -> None:
    same, other = kind_lift(first_fit(examples_of(6)), NO_GENRES, liked)
    assert same > 0.2
    assert other < -0.2


def test_noise_teaches_no_kinds() -> None:
    same, other = kind_lift(first_fit(pure_noise(6)), NO_GENRES, 0)
    assert abs(same - other) < 0.2


def test_that_some_react_more_than_others_is_no_taste() -> None:
    """Half of the users like two in five of whatever they are shown, half hardly anything."""
    examples = pure_noise(7)
    liked = rng(2).random(len(examples.item)) < np.where(examples.user % 2, 0.4, 0.02)
    examples = replace(examples, outcome=liked.astype(np.uint8))
    same, other = kind_lift(first_fit(examples), NO_GENRES, 0)
    assert abs(same) + abs(other) < 0.3


@pytest.mark.parametrize("slates", [2, 3])
def test_what_it_knows_already_teaches_nothing(slates: int) -> None:
    model = first_fit(examples_of(3))
    assert learn(model, examples_of(slates), AVERAGE, NO_GENRES, rng()) is model
    assert learn(model, examples_of(4), AVERAGE, NO_GENRES, rng()) is not model


def test_a_fit_goes_on_from_the_last_one() -> None:
    """The generator is for the start only, and another round changes less than the start did."""
    examples = examples_of(5)
    model = first_fit(examples_of(4))
    one, other = (learn(model, examples, AVERAGE, NO_GENRES, rng(seed)) for seed in (1, 2))
    assert np.array_equal(one.item_factors, other.item_factors)
    assert np.linalg.norm(one.item_factors - model.item_factors) < 0.5 * np.linalg.norm(model.item_factors)


def test_items_without_examples_have_no_factors() -> None:
    unit, rates = np.zeros((ITEMS + 5, 1), np.float32), np.full(ITEMS + 5, 0.24, np.float32)
    model = learn(TasteModel.untrained(ITEMS + 5), examples_of(4), rates, unit, rng())
    assert np.all(model.item_factors[ITEMS:] == 0)
    assert np.all(np.any(model.item_factors[:ITEMS] != 0, axis=1))


def test_only_the_newest_rows_count() -> None:
    examples, config = examples_of(6), replace(DEFAULT, rows=2_345)
    start = TasteModel.untrained(ITEMS)
    whole = learn(start, examples, AVERAGE, NO_GENRES, rng(), config)
    newest = learn(start, rows(examples, slice(-2_345, None)), AVERAGE, NO_GENRES, rng(), config)
    assert np.array_equal(whole.item_factors, newest.item_factors)
    assert not np.array_equal(whole.item_factors, learn(start, examples, AVERAGE, NO_GENRES, rng()).item_factors)


def test_a_grown_catalogue_keeps_what_was_learned() -> None:
    model = first_fit(examples_of(3))
    grown = model.resized(ITEMS + 3)
    assert grown.item_factors.dtype == np.float32
    assert np.array_equal(grown.item_factors[:ITEMS], model.item_factors)
    assert np.array_equal(grown.item_factors[ITEMS:], np.zeros((3, DEFAULT.factors)))
    assert vars(replace(grown, item_factors=model.item_factors)) == vars(model)
    assert model.resized(ITEMS) is model


def test_an_untrained_model_says_nothing() -> None:
    model = TasteModel.untrained(7, replace(DEFAULT, factors=3, genre_variance=0.4))
    assert np.array_equal(model.item_factors, np.zeros((7, 3)))
    assert (model.genre_variance, model.newest) == (0.4, -1)


def test_genres_vary_as_much_as_tastes_for_them_do() -> None:
    planted, noise = first_fit(examples_of(6), GENRES), first_fit(pure_noise(6), GENRES)
    assert noise.genre_variance < DEFAULT.genre_variance
    assert planted.genre_variance > 3 * noise.genre_variance
    without = first_fit(examples_of(6), NO_GENRES)
    assert without.genre_variance == pytest.approx(DEFAULT.genre_variance)


def test_what_genres_explain_is_not_learned_twice() -> None:
    by_genres, without = first_fit(examples_of(6), GENRES), first_fit(examples_of(6), NO_GENRES)
    assert np.linalg.norm(by_genres.item_factors) < 0.9 * np.linalg.norm(without.item_factors)


def test_a_catalogue_without_genres_has_factors() -> None:
    unit = np.zeros((ITEMS, 0), np.float32)
    same, other = kind_lift(first_fit(examples_of(6), unit), unit, 0)
    assert same > other + 0.4


def test_users_with_one_reaction_each_teach_nothing() -> None:
    examples = examples_of(1)
    one_each = replace(examples, outcome=(np.arange(len(examples.item)) % PLACES == 0).astype(np.uint8))
    model = TasteModel.untrained(ITEMS)
    assert learn(model, one_each, AVERAGE, NO_GENRES, rng()) is model


def test_what_the_ranking_chose_by_earlier_reactions_is_no_attraction() -> None:
    """Who liked item 0 is shown an item of its kind next; nobody likes that one more for it."""
    chance = rng()
    examples = pure_noise(6)
    liked_0 = np.zeros(USERS, bool)
    item = examples.item.copy()
    for row in range(0, len(item), PLACES):
        slate, user = slice(row, row + PLACES), examples.user[row]
        if liked_0[user]:
            item[slate] = chance.permutation(np.flatnonzero(KINDS == 0)[1:])[:PLACES]
        liked_0[user] |= bool(np.any(examples.outcome[slate][item[slate] == 0]))
    same, other = kind_lift(first_fit(replace(examples, item=item)), NO_GENRES, 0)
    assert abs(same - other) < 0.2


def test_rates_at_their_bounds_are_fine() -> None:
    rates = np.where(KINDS == 0, 0, 1).astype(np.float32)
    model = TasteModel.untrained(ITEMS)
    for slates in (2, 3):
        model = learn(model, examples_of(slates), rates, GENRES, rng())
    assert np.all(np.isfinite(model.item_factors))


def test_nothing_given_is_changed() -> None:
    examples, model = examples_of(3), first_fit(examples_of(2))
    arrays = [*vars(examples).values(), model.item_factors, AVERAGE, GENRES]
    before = [array.copy() for array in arrays]
    learn(model, examples, AVERAGE, GENRES, rng())
    assert all(np.array_equal(old, new) for old, new in zip(before, arrays, strict=True))
