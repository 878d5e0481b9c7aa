"""A user's taste against a system solved item by item, and what is learned from lessons with a known structure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.ranking.posterior import Doubles, Floats
from recsys.ranking.taste import DEFAULT, RATES, Lessons, TasteModel, features, fold_in, learn

FAST = settings(deadline=None, max_examples=50)
ITEMS, USERS, PLACES = 40, 120, 10
KINDS = np.arange(ITEMS) % 2  # even users like even items
NO_GENRES = np.zeros((ITEMS, 1), np.float32)  # there is a genre, but no item is of it
NO_LOADINGS = np.zeros((20, 0), np.float32)
GENRES = np.eye(2, dtype=np.float32)[KINDS]
LIKED, OTHER = 0.45, 0.03
AVERAGE = np.full(ITEMS, (LIKED + OTHER) / 2, np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def lessons_of(slates: int, *, liked: float = LIKED, other: float = OTHER, users: int = USERS) -> Lessons:
    """Every user is shown a random slate, then every user another one, and so on.

    Fewer slates are the beginning of more.
    """
    chance = rng()
    user = np.repeat(np.tile(np.arange(users), slates), PLACES)
    item = np.concatenate([chance.permutation(ITEMS)[:PLACES] for _ in range(users * slates)])
    outcome = rng(1).random(len(item)) < np.where(KINDS[item] == user % 2, liked, other)
    return Lessons(user, item, outcome.astype(np.uint8), np.repeat(np.arange(users * slates), PLACES))


def pure_noise(slates: int) -> Lessons:
    return lessons_of(slates, liked=(LIKED + OTHER) / 2, other=(LIKED + OTHER) / 2)


def rows(lessons: Lessons, chosen: slice) -> Lessons:
    return Lessons(lessons.user[chosen], lessons.item[chosen], lessons.outcome[chosen], lessons.slate[chosen])


def first_fit(lessons: Lessons, unit: Floats = NO_GENRES) -> TasteModel:
    return learn(TasteModel.untrained(ITEMS), lessons, AVERAGE, unit, rng())


def naive_taste(x: Doubles, rates: list[float], outcome: list[float]) -> Doubles:
    """The normal equations, added up item by item: as many reactions as there were, spread by the rates alone."""
    d = x.shape[1]
    cut = [min(max(rate, RATES[0]), RATES[1]) for rate in rates]
    expected = [sum(outcome) * rate / sum(cut) for rate in cut]
    mean = sum((share * row for share, row in zip(expected, x, strict=True)), np.zeros(d)) / max(sum(outcome), 1e-9)
    precision, error = np.eye(d), np.zeros(d)
    for row, share, came in zip(x, expected, outcome, strict=True):
        error += (came - share) * row
        precision += share * np.outer(row - mean, row - mean)
    taste: Doubles = np.linalg.solve(precision, error)
    return taste


@FAST
@given(st.integers(0, 12), st.integers(1, 5), st.integers(0, 2**32))
def test_a_taste_solves_the_normal_equations(m: int, d: int, seed: int) -> None:
    chance = rng(seed)
    x = chance.normal(size=(m, d)).astype(np.float32)
    rates = chance.choice([0.0, 0.001, 0.02, 0.3, 0.9, 1.0], m).astype(np.float32)
    outcome = chance.choice([0.0, 0.5, 1.0], m).astype(np.float32)
    expected = naive_taste(x.astype(np.float64), rates.tolist(), outcome.tolist())
    scale = 1 + float(np.abs(expected).max())
    assert np.abs(fold_in(x, rates, outcome) - expected).max() < 1e-3 * scale


@pytest.mark.parametrize("d", [1, 2, 6])
def test_one_who_was_shown_nothing_has_no_taste(d: int) -> None:
    nothing = np.zeros(0, np.float32)
    assert fold_in(np.zeros((0, d), np.float32), nothing, nothing).tolist() == [0.0] * d


def test_one_who_does_as_everybody_has_no_taste() -> None:
    x, rates = rng().normal(size=(20, 4)).astype(np.float32), np.linspace(0.1, 0.8, 20, dtype=np.float32)
    assert fold_in(x, rates, rates) == pytest.approx(np.zeros(4), abs=1e-6)


def test_much_evidence_gives_the_relative_difference_of_the_rates() -> None:
    """Half of 10,000 items of a kind are liked, a fifth of as many others, and all alike by everybody else."""
    x, rates = np.tile(np.array([[1, 2], [1, 0]], np.float32), (10_000, 1)), np.full(20_000, 0.2, np.float32)
    outcome = np.where(x[:, 1] > 0, np.arange(20_000) % 4 == 0, np.arange(20_000) % 10 == 1).astype(np.float32)
    assert 2 * fold_in(x, rates, outcome)[1] == pytest.approx((0.5 - 0.2) / 0.35, rel=0.01)


def test_little_evidence_is_shrunk() -> None:
    """One like of two items of equal rate: the error times the distance from the mean, over 1 plus the variance."""
    x, liked = np.array([[1], [0]], np.float32), np.array([1, 0], np.float32)
    assert fold_in(x, np.full(2, 0.2, np.float32), liked) == pytest.approx([0.5 / (1 + 0.25)])


def test_a_like_says_nothing_where_there_was_no_choice() -> None:
    one, rate, liked = np.ones((1, 2), np.float32), np.array([0.2], np.float32), np.ones(1, np.float32)
    assert fold_in(one, rate, liked).tolist() == [0, 0]


def test_liking_all_kinds_alike_says_nothing_beside_liking_one() -> None:
    x, rates = features(np.tile(np.eye(2, dtype=np.float32), (10, 1)), 1.0, NO_LOADINGS), np.full(20, 0.1, np.float32)
    all_alike, one_kind = fold_in(x, rates, np.ones(20, np.float32)), fold_in(x, rates, x[:, 1])
    assert all_alike == pytest.approx([0, 0], abs=1e-6)
    assert one_kind[1] - one_kind[0] > 1


def test_how_rare_all_the_shown_items_are_does_not_matter() -> None:
    x, rates = rng().normal(size=(20, 4)).astype(np.float32), np.linspace(0.1, 0.8, 20, dtype=np.float32)
    outcome = (np.arange(20) % 3 == 0).astype(np.float32)
    assert fold_in(x, rates / 10, outcome) == pytest.approx(fold_in(x, rates, outcome), rel=1e-4)


def test_features_are_genres_by_their_deviation_then_loadings() -> None:
    unit, loadings = np.eye(3, 2, dtype=np.float32), np.arange(3, dtype=np.float32)[:, None]
    found = features(unit, 0.25, loadings)
    assert found.tolist() == [[0.5, 0, 0], [0, 0.5, 1], [0, 0, 2]]
    assert found.dtype == np.float32


def test_the_same_lessons_give_the_same_model() -> None:
    lessons = lessons_of(4)
    first, second = first_fit(lessons), first_fit(lessons)
    assert np.array_equal(first.loadings, second.loadings)
    assert vars(replace(first, loadings=second.loadings)) == vars(second)


def test_names_of_users_do_not_matter() -> None:
    lessons = lessons_of(4)
    renamed = replace(lessons, user=3 * lessons.user + 7)
    assert np.array_equal(first_fit(lessons).loadings, first_fit(renamed).loadings)


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("users", [0, 1, DEFAULT.least_users - 1])
def test_few_users_teach_nothing(users: int, trained: bool) -> None:
    model = first_fit(lessons_of(3)) if trained else TasteModel.untrained(ITEMS)
    everybody = lessons_of(6)
    few = Lessons(*(of[everybody.user < users] for of in vars(everybody).values()))
    assert learn(model, few, AVERAGE, NO_GENRES, rng()) is model


def test_just_enough_users_teach() -> None:
    model = first_fit(lessons_of(3, users=DEFAULT.least_users))
    assert model.trained
    assert np.any(model.loadings != 0)


def kind_lift(model: TasteModel, unit: Floats, liked: int) -> tuple[float, float]:
    """Mean lift of the other items of the kind and of items of another kind, for a user who liked this one of all."""
    x = features(unit, model.genre_variance, model.loadings)
    lift = x @ fold_in(x, AVERAGE, (np.arange(ITEMS) == liked).astype(np.float32))
    same = (KINDS[liked] == KINDS) & (np.arange(ITEMS) != liked)
    return float(lift[same].mean()), float(lift[KINDS[liked] != KINDS].mean())


@pytest.mark.parametrize("liked", [0, 1, 20, 33])
def test_one_like_lifts_the_kind_that_was_learned(liked: int) -> None:
    same, other = kind_lift(first_fit(lessons_of(6)), NO_GENRES, liked)
    assert same > 0.2
    assert other < -0.2


def test_noise_teaches_no_kinds() -> None:
    same, other = kind_lift(first_fit(pure_noise(6)), NO_GENRES, 0)
    assert abs(same - other) < 0.2


def blends(lessons: Lessons, fits: int) -> list[float]:
    """After each fit, to one more slate of every user."""
    model, found = TasteModel.untrained(ITEMS), []
    for fit in range(1, fits + 1):
        model = learn(model, rows(lessons, slice(fit * USERS * PLACES)), AVERAGE, NO_GENRES, rng(fit))
        found.append(model.blend())
    return found


def test_where_predictions_hold_the_model_is_followed_more_and_more() -> None:
    found = blends(lessons_of(7), 7)
    assert found[0] == 0
    assert found[-1] > 0.75
    assert found[-1] >= found[1]


def test_on_noise_the_model_is_not_followed() -> None:
    assert max(blends(pure_noise(7), 7)) < 0.25


def test_that_some_react_more_than_others_is_no_taste() -> None:
    """Half of the users like two in five of whatever they are shown, half hardly anything."""
    lessons = pure_noise(7)
    liked = rng(2).random(len(lessons.item)) < np.where(lessons.user % 2, 0.4, 0.02)
    lessons = replace(lessons, outcome=liked.astype(np.uint8))
    assert max(blends(lessons, 7)) < 0.25
    same, other = kind_lift(first_fit(lessons), NO_GENRES, 0)
    assert abs(same) + abs(other) < 0.3


@pytest.mark.parametrize(
    ("agreement", "power", "blend"), [(0, 0, 0.0), (20, 20, 0.5), (980, 980, 0.98), (-5, 10, 0.0), (500, 100, 1.0)]
)
def test_the_blend_is_the_slope_shrunk_by_doubt(agreement: float, power: float, blend: float) -> None:
    model = replace(TasteModel.untrained(3), agreement=agreement, power=power)
    assert model.blend(replace(DEFAULT, doubt=20.0)) == pytest.approx(blend)


def naive_judgement(model: TasteModel, lessons: Lessons, unit: Floats) -> tuple[float, float]:
    """Agreement and power of the newest slate of every user, where the model has not judged it yet."""
    x = features(unit, model.genre_variance, model.loadings)
    agreement = power = 0.0
    for user in range(USERS):
        own = lessons.user == user
        newest = own & (lessons.slate == lessons.slate[own].max())
        earlier = own & ~newest
        if lessons.slate[newest][0] <= model.judged:
            continue
        items = lessons.item[earlier]
        taste = fold_in(x[items], AVERAGE[items], lessons.outcome[earlier])
        shown, liked = lessons.item[newest], lessons.outcome[newest] == 1
        predicted, chances = x[shown] @ taste, AVERAGE[shown] / AVERAGE[shown].sum()
        for lift, like, chance in zip(predicted, liked, chances, strict=True):
            beside = float(lift - chances @ predicted)
            agreement += beside * like
            power += beside**2 * float(chance) * liked.sum()
    return agreement, power


@pytest.mark.parametrize("unit", [NO_GENRES, GENRES], ids=["loadings", "genres"])
def test_new_slates_are_predicted_from_earlier_ones_of_the_user(unit: Floats) -> None:
    """The third lesson has a new slate of only half of the users."""
    lessons = lessons_of(4)
    model = first_fit(rows(lessons, slice(2 * USERS * PLACES)), unit)
    for before, new in ((2 * USERS, USERS), (3 * USERS, USERS // 2)):
        part = rows(lessons, slice((before + new) * PLACES))
        agreement, power = naive_judgement(model, part, unit)
        learned = learn(model, part, AVERAGE, unit, rng())
        kept = DEFAULT.memory ** (new / 100)
        assert power > 0
        assert learned.agreement == pytest.approx(kept * model.agreement + agreement, rel=1e-3, abs=1e-3)
        assert learned.power == pytest.approx(kept * model.power + power, rel=1e-3)
        assert learned.judged == part.slate[-1]
        model = learned


def test_a_slate_is_judged_once() -> None:
    lessons = lessons_of(3)
    model = learn(first_fit(rows(lessons, slice(2 * USERS * PLACES))), lessons, AVERAGE, NO_GENRES, rng())
    assert model.power > 0
    assert learn(model, lessons, AVERAGE, NO_GENRES, rng()) is model


def test_how_often_it_learns_does_not_matter_for_how_far_it_is_followed() -> None:
    """Where visitors are few, most fits see one new slate; that is no reason to forget what the others told."""
    lessons, round_rows = lessons_of(4), USERS * PLACES
    model = first_fit(rows(lessons, slice(2 * round_rows)))
    at_once = often = learn(model, rows(lessons, slice(3 * round_rows)), AVERAGE, NO_GENRES, rng())
    at_once = learn(at_once, lessons, AVERAGE, NO_GENRES, rng())
    for end in range(3 * round_rows, 4 * round_rows + 1, 4 * PLACES):
        often = learn(often, rows(lessons, slice(end)), AVERAGE, NO_GENRES, rng())
    assert often.power == pytest.approx(at_once.power, rel=0.1)
    assert often.blend() == pytest.approx(at_once.blend(), abs=0.05)


def test_a_fit_goes_on_from_the_last_one() -> None:
    """The generator is for the start only, and another round changes less than the start did."""
    lessons = lessons_of(5)
    model = first_fit(lessons)
    one, other = (learn(model, lessons, AVERAGE, NO_GENRES, rng(seed)) for seed in (1, 2))
    assert np.array_equal(one.loadings, other.loadings)
    assert np.linalg.norm(one.loadings - model.loadings) < 0.5 * np.linalg.norm(model.loadings)


def test_items_without_lessons_have_no_loadings() -> None:
    unit, rates = np.zeros((ITEMS + 5, 1), np.float32), np.full(ITEMS + 5, 0.24, np.float32)
    model = learn(TasteModel.untrained(ITEMS + 5), lessons_of(4), rates, unit, rng())
    assert np.all(model.loadings[ITEMS:] == 0)
    assert np.all(np.any(model.loadings[:ITEMS] != 0, axis=1))


def test_only_the_newest_rows_count() -> None:
    lessons, config = lessons_of(6), replace(DEFAULT, rows=2_345)
    start = TasteModel.untrained(ITEMS)
    whole = learn(start, lessons, AVERAGE, NO_GENRES, rng(), config)
    newest = learn(start, rows(lessons, slice(-2_345, None)), AVERAGE, NO_GENRES, rng(), config)
    assert np.array_equal(whole.loadings, newest.loadings)
    assert not np.array_equal(whole.loadings, learn(start, lessons, AVERAGE, NO_GENRES, rng()).loadings)


def test_a_grown_catalogue_keeps_what_was_learned() -> None:
    model = first_fit(lessons_of(3))
    grown = model.resized(ITEMS + 3)
    assert grown.loadings.dtype == np.float32
    assert np.array_equal(grown.loadings[:ITEMS], model.loadings)
    assert np.array_equal(grown.loadings[ITEMS:], np.zeros((3, DEFAULT.factors)))
    assert vars(replace(grown, loadings=model.loadings)) == vars(model)
    assert model.resized(ITEMS) is model


def test_an_untrained_model_says_nothing() -> None:
    model = TasteModel.untrained(7, replace(DEFAULT, factors=3, genre_variance=0.4))
    assert np.array_equal(model.loadings, np.zeros((7, 3)))
    assert (model.genre_variance, model.trained, model.blend()) == (0.4, False, 0)


def test_genres_vary_as_much_as_tastes_for_them_do() -> None:
    planted, noise = first_fit(lessons_of(6), GENRES), first_fit(pure_noise(6), GENRES)
    assert noise.genre_variance < DEFAULT.genre_variance
    assert planted.genre_variance > 3 * noise.genre_variance
    without = first_fit(lessons_of(6), NO_GENRES)
    assert without.genre_variance == pytest.approx(DEFAULT.genre_variance)


def test_what_genres_explain_is_not_learned_twice() -> None:
    by_genres, without = first_fit(lessons_of(6), GENRES), first_fit(lessons_of(6), NO_GENRES)
    assert np.linalg.norm(by_genres.loadings) < 0.9 * np.linalg.norm(without.loadings)


def test_a_catalogue_without_genres_has_loadings() -> None:
    unit = np.zeros((ITEMS, 0), np.float32)
    same, other = kind_lift(first_fit(lessons_of(6), unit), unit, 0)
    assert same > other + 0.4


def test_users_with_one_slate_each_say_nothing_of_the_model() -> None:
    lessons = lessons_of(1)
    model = learn(first_fit(lessons), replace(lessons, slate=lessons.slate + USERS), AVERAGE, NO_GENRES, rng())
    assert (model.agreement, model.power) == (0, 0)


def test_users_with_one_reaction_each_teach_nothing() -> None:
    lessons = lessons_of(1)
    one_each = replace(lessons, outcome=(np.arange(len(lessons.item)) % PLACES == 0).astype(np.uint8))
    model = TasteModel.untrained(ITEMS)
    assert learn(model, one_each, AVERAGE, NO_GENRES, rng()) is model


def test_what_the_ranking_chose_by_earlier_reactions_is_no_attraction() -> None:
    """Who liked item 0 is shown an item of its kind next; nobody likes that one more for it."""
    chance = rng()
    lessons = pure_noise(6)
    liked_0 = np.zeros(USERS, bool)
    item = lessons.item.copy()
    for row in range(0, len(item), PLACES):
        slate, user = slice(row, row + PLACES), lessons.user[row]
        if liked_0[user]:
            item[slate] = chance.permutation(np.flatnonzero(KINDS == 0)[1:])[:PLACES]
        liked_0[user] |= bool(np.any(lessons.outcome[slate][item[slate] == 0]))
    same, other = kind_lift(first_fit(replace(lessons, item=item)), NO_GENRES, 0)
    assert abs(same - other) < 0.2


def test_rates_at_their_bounds_are_fine() -> None:
    rates = np.where(KINDS == 0, 0, 1).astype(np.float32)
    model = TasteModel.untrained(ITEMS)
    for slates in (2, 3):
        model = learn(model, lessons_of(slates), rates, GENRES, rng())
    assert np.all(np.isfinite(model.loadings))
    assert 0 <= model.blend() <= 1


def test_nothing_given_is_changed() -> None:
    lessons, model = lessons_of(3), first_fit(lessons_of(2))
    arrays = [*vars(lessons).values(), model.loadings, AVERAGE, GENRES]
    before = [array.copy() for array in arrays]
    learn(model, lessons, AVERAGE, GENRES, rng())
    assert all(np.array_equal(old, new) for old, new in zip(before, arrays, strict=True))
