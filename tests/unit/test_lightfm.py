"""Items as sums of their genres and of what is their own."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.catalogue import Items
from recsys.recommenders.lightfm import LightFm, LightFmModel, shares
from recsys.user_state import LIKE
from tests.unit.by_hand import items_of, rng
from tests.unit.tastes import (
    GENRES,
    ITEMS,
    OF_TASTE,
    TASTES,
    asking,
    fitted,
    items_with_genres,
    learner_of,
    logged,
    ranked,
    refusal,
    two_tastes,
)

FACTORS: Final = 6


def fit(log: pl.DataFrame, previous: Any = None, items: Items | None = None, seed: int = 0, **options: Any) -> Any:
    pytest.importorskip("lightfm")
    learner = LightFm(threads=1, **{"factors": FACTORS, **options})
    return fitted(learner, items or items_with_genres(), log, previous, seed)


def model_of(genres: Any, seed: int = 0) -> LightFmModel:
    """Of any numbers."""
    draw, membership = rng(seed), np.asarray(genres, bool)
    own = draw.normal(size=(len(membership), FACTORS + 1)).astype(np.float32)
    of_genres = draw.normal(size=(membership.shape[1], FACTORS + 1)).astype(np.float32)
    return LightFmModel(own, of_genres, membership, 0.2)


# the model


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=6), st.integers(0, 100))
def test_an_item_is_its_own_and_the_mean_of_its_genres(genres: list[list[bool]], seed: int) -> None:
    model = model_of(genres, seed)
    for item, of in enumerate(genres):
        parts = [model.of_genres[genre] for genre in range(3) if of[genre]]
        whole = model.own[item] + (np.mean(parts, axis=0) if parts else 0)
        assert model.item_factors[item] == pytest.approx(whole[:-1], abs=1e-5)
        assert model.bias[item] == pytest.approx(whole[-1], abs=1e-5)


def test_genres_count_in_equal_parts() -> None:
    assert shares(np.array([[1, 1, 0], [0, 0, 0], [0, 0, 1]], bool)).toarray().tolist() == [
        [0.5, 0.5, 0],
        [0, 0, 0],
        [0, 0, 1],
    ]
    assert shares(np.zeros((3, 0), bool)).shape == (3, 0)


def test_what_is_dumped_is_loaded() -> None:
    model = model_of(GENRES)
    again = LightFmModel.load(model.dump(), items_with_genres())
    assert again.dump() == model.dump()
    assert ranked(again, asking((0, LIKE)), ITEMS) == ranked(model, asking((0, LIKE)), ITEMS)


def test_a_newer_item_is_what_its_genres_are() -> None:
    """Genres that are newer than the model say nothing yet."""
    genres = np.vstack([np.pad(GENRES, ((0, 0), (0, 1))), [[1, 1, 0], [0, 0, 1], [0, 0, 0]]]).astype(bool)
    model = model_of(GENRES)
    larger = LightFmModel.load(model.dump(), items_of(ITEMS + 3, genres))
    assert larger.item_factors[:ITEMS] == pytest.approx(model.item_factors, abs=1e-5)
    assert larger.item_factors[ITEMS] == pytest.approx(0.5 * model.of_genres[:2, :-1].sum(axis=0), abs=1e-5)
    found = ranked(larger, asking((0, LIKE)), ITEMS + 3)
    assert ITEMS in found
    assert not {ITEMS + 1, ITEMS + 2} & set(found), "of these it knows nothing"


def test_genres_of_today_count() -> None:
    """An item may have got others since the training."""
    model, today = model_of(GENRES), GENRES.copy()
    today[0] = [False, True]
    changed = LightFmModel.load(model.dump(), items_of(ITEMS, today))
    assert changed.item_factors[0] == pytest.approx(model.own[0, :-1] + model.of_genres[1, :-1], abs=1e-5)
    assert changed.item_factors[1:] == pytest.approx(model.item_factors[1:], abs=1e-5)


@pytest.mark.parametrize("smaller", [items_of(ITEMS - 1, GENRES[1:]), items_of(ITEMS, GENRES[:, :1]), items_of(ITEMS)])
def test_a_model_of_a_larger_catalogue_is_refused(smaller: Items) -> None:
    with pytest.raises(ValueError, match=f"^a model of {ITEMS} items for a catalogue of {len(smaller)}$"):
        LightFmModel.load(model_of(GENRES).dump(), smaller)


# the training


@pytest.mark.parametrize("taste", TASTES)
@pytest.mark.parametrize("items", [items_with_genres(), items_of(ITEMS)], ids=["with genres", "without"])
def test_a_user_whom_it_never_saw_gets_his_taste(items: Items, taste: range) -> None:
    model = fit(two_tastes(), items=items, iterations=40)
    assert set(ranked(model, asking((taste[0], LIKE), (taste[1], LIKE)), ITEMS)[:OF_TASTE]) == set(taste)


def test_an_item_that_nobody_has_liked_yet_goes_with_its_genre() -> None:
    """One more of each genre, of which the log says nothing."""
    items = items_of(ITEMS + 2, np.vstack([GENRES, np.eye(2, dtype=bool)]))
    model = LightFmModel.load(fit(two_tastes(), iterations=40).dump(), items)
    first, second = (model.scores(asking((taste[0], LIKE), (taste[1], LIKE)), np.array([16, 17])) for taste in TASTES)
    assert first[0] > first[1]
    assert second[1] > second[0]


def test_dislikes_do_not_teach_it() -> None:
    log = two_tastes()
    assert fit(log).dump() == fit(log.filter(kind="like")).dump()


@pytest.mark.parametrize("log", [logged(), logged(("a", "dislike", 0)), logged(("a", "like", -1))])
def test_of_a_log_without_likes_comes_a_model_that_abstains(log: pl.DataFrame) -> None:
    model = fit(log)
    assert model.item_factors.shape == (ITEMS, FACTORS)
    assert ranked(model, asking((0, LIKE)), ITEMS) == []
    further = fit(two_tastes(), previous=model, further=40)
    assert set(ranked(further, asking((0, LIKE), (1, LIKE)), ITEMS)[:OF_TASTE]) == set(TASTES[0])


def test_it_goes_on_from_the_model_before() -> None:
    log = two_tastes()
    before = fit(log, iterations=40)
    kept = before.dump()
    further = fit(log, previous=before, further=1)
    assert before.dump() == kept != further.dump()
    assert np.abs(further.own - before.own).max() < np.abs(fit(log, iterations=1).own - before.own).max()
    for taste in TASTES:
        assert set(ranked(further, asking((taste[0], LIKE), (taste[1], LIKE)), ITEMS)[:OF_TASTE]) == set(taste)


def test_new_users_items_and_genres_are_learned_further() -> None:
    first = two_tastes().filter(pl.col("item_index") < 12)
    before = fit(first, items=items_of(12, GENRES[:12, :]))
    genres = np.hstack([GENRES, GENRES[:, :1]])
    log = pl.concat([first, two_tastes(users=60, seed=1)])
    further = fit(log, previous=before, items=items_of(ITEMS, genres), further=40)
    assert further.of_genres.shape == (3, FACTORS + 1)
    assert set(ranked(further, asking((14, LIKE), (15, LIKE)), ITEMS)[:OF_TASTE]) == set(TASTES[1])


def test_the_same_seed_gives_the_same_model() -> None:
    log = two_tastes()
    assert fit(log).dump() == fit(log).dump() != fit(log, seed=1).dump()
    before = fit(log, iterations=2)
    assert fit(log, previous=before).dump() == fit(log, previous=before).dump()


@pytest.mark.parametrize(
    "option",
    [
        *("factors=0", "iterations=0", "further=0", "threads=0", "regularization=-1", "learning_rate=0", "fold_in=0"),
        *("factors=many", "fold_in=-1"),
    ],
)
def test_options_that_cannot_be(option: str) -> None:
    assert option in refusal(f"lightfm:{option}")


def test_options_are_those_of_the_model() -> None:
    model = fitted(learner_of("lightfm:factors=5,fold_in=0.5"), items_with_genres(), two_tastes())
    assert model.item_factors.shape == (ITEMS, 5)
    assert model.numbers == {"fold_in": 0.5}
