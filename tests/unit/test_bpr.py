"""Learning from pairs: what is liked comes before what is not."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl
import pytest

from recsys.recommenders.bpr import Bpr
from recsys.recommenders.interactions import interactions
from recsys.user_state import DISLIKE, LIKE
from tests.unit.by_hand import data_of, items_of
from tests.unit.tastes import ITEMS, OF_TASTE, TASTES, asking, fitted, learner_of, logged, ranked, refusal, two_tastes

pytest.importorskip("implicit")
FACTORS: Final = 6


def fit(log: pl.DataFrame, previous: Any = None, items: int = ITEMS, seed: int = 0, **options: Any) -> Any:
    return fitted(Bpr(threads=1, **{"factors": FACTORS, **options}), items_of(items), log, previous, seed)


def in_order(model: Any, log: pl.DataFrame, items: int = ITEMS) -> float:
    """Share of the pairs in which what a user likes scores above what he does not (AUC), over all users."""
    found, shares = interactions(data_of(items, log)), []
    for user in range(found.users):
        liked = np.sort(found.item[(found.user == user) & found.liked])
        scores = model.scores(asking(*((int(item), LIKE) for item in liked)), np.arange(items))
        others = np.setdiff1d(np.arange(items), liked)
        shares.append((scores[liked][:, None] > scores[others]).mean())
    return float(np.mean(shares))


def test_it_puts_what_users_like_first() -> None:
    log = two_tastes()
    assert in_order(fit(log), log) > 0.9
    assert in_order(fit(log), log) > in_order(fit(log, iterations=1), log)


@pytest.mark.parametrize("taste", TASTES)
def test_a_user_whom_it_never_saw_gets_his_taste(taste: range) -> None:
    model = fit(two_tastes())
    liked = [(taste[0], LIKE), (taste[1], LIKE)]
    assert set(ranked(model, asking(*liked), ITEMS)[:OF_TASTE]) == set(taste)
    other = TASTES[1 - TASTES.index(taste)]
    assert set(ranked(model, asking(*liked, (other[0], DISLIKE)), ITEMS)[:OF_TASTE]) == set(taste)


def test_the_bias_is_what_most_like() -> None:
    """Everybody likes item 0 beside one of the others."""
    rows = [(f"u{n}", "like", item) for n in range(60) for item in (0, 1 + n % (ITEMS - 1))]
    assert int(np.argmax(fit(logged(*rows), iterations=200).bias)) == 0


def test_dislikes_do_not_teach_it() -> None:
    log = two_tastes()
    likes = log.filter(kind="like")
    assert fit(log).dump() == fit(likes).dump()


def test_of_an_item_that_nobody_likes_it_knows_nothing() -> None:
    model = fit(pl.concat([two_tastes(), logged(("a", "dislike", ITEMS))]), items=ITEMS + 2)
    assert not model.item_factors[ITEMS:].any()
    assert not model.bias[ITEMS:].any()
    assert set(ranked(model, asking((0, LIKE)), ITEMS + 2)) == set(range(ITEMS))


@pytest.mark.parametrize(
    "log", [logged(), logged(("a", "dislike", 0)), logged(("a", "like", -1)), logged(("a", "impression", 0))]
)
def test_of_a_log_without_likes_comes_a_model_that_abstains(log: pl.DataFrame) -> None:
    model = fit(log)
    assert model.item_factors.shape == (ITEMS, FACTORS)
    assert ranked(model, asking((0, LIKE)), ITEMS) == []
    assert in_order(fit(two_tastes(), previous=model, further=100), two_tastes()) > 0.9, "and it can go on from there"


def test_it_goes_on_from_the_model_before() -> None:
    log = two_tastes()
    before = fit(log)
    kept = before.dump()
    further = fit(log, previous=before, further=1)
    assert before.dump() == kept != further.dump()
    assert in_order(further, log) > 0.9 > in_order(fit(log, iterations=1), log)


def test_new_users_and_items_are_learned_further() -> None:
    first = two_tastes().filter(pl.col("item_index") % 2 == 0)
    log = pl.concat([first, two_tastes(users=60, seed=1)])
    before = fit(first, items=ITEMS - 1)
    assert not before.item_factors[1].any()
    further = fit(log, previous=before, further=40)
    assert in_order(further, log) > in_order(fit(log), log) - 0.03
    assert set(ranked(further, asking((1, LIKE), (3, LIKE)), ITEMS, 6)) <= set(TASTES[0])


def test_the_same_seed_gives_the_same_model() -> None:
    log = two_tastes()
    assert fit(log).dump() == fit(log).dump() != fit(log, seed=1).dump()
    before = fit(log, iterations=2)
    assert fit(log, previous=before).dump() == fit(log, previous=before).dump()


@pytest.mark.parametrize(
    "option",
    [
        *("factors=0", "iterations=0", "further=0", "threads=0", "regularization=0", "learning_rate=0", "fold_in=0"),
        *("factors=many", "fold_in=-1"),
    ],
)
def test_options_that_cannot_be(option: str) -> None:
    assert option in refusal(f"bpr:{option}")


def test_options_are_those_of_the_model() -> None:
    model = fitted(learner_of("bpr:factors=5,fold_in=0.5"), items_of(ITEMS), two_tastes())
    assert model.item_factors.shape == (ITEMS, 5)
    assert model.numbers == {"fold_in": 0.5}
