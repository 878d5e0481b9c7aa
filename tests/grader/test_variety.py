"""How different lists are, against the definitions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings

from grader.metrics import variety
from grader.worlds.world import World
from tests.grader import definitions
from tests.grader.worlds import Shown, opinions_in, shown_lists

FAST = settings(deadline=None, max_examples=60)
DIFFERENT = shown_lists(repeats=False)  # as judged lists are


def genres_of(world: World) -> list[set[int]]:
    return [set(np.flatnonzero(row).tolist()) for row in world.genres]


def rows_without(shown: Shown, user: int) -> list[list[int]]:
    return [row for who, row in zip(shown.users, shown.rows, strict=True) if who != user]


@pytest.mark.parametrize("at_once", [2, variety.LISTS_AT_ONCE])
@FAST
@given(DIFFERENT)
def test_diversity_within_a_list_is_as_defined(at_once: int, shown: Shown) -> None:
    genres, matrix = genres_of(shown.world), shown.world.genres
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variety, "LISTS_AT_ONCE", at_once)
        distances = variety.intra_list_diversity(shown.items, matrix)
        shares = variety.share_of_genres(shown.items, matrix)
    assert distances.tolist() == pytest.approx(
        [definitions.intra_list_diversity(row, genres) for row in shown.rows], rel=1e-6
    )
    assert shares.tolist() == pytest.approx(
        [definitions.share_of_genres(row, genres, matrix.shape[1]) for row in shown.rows]
    )


@FAST
@given(DIFFERENT)
def test_novelty_is_as_defined(shown: Shown) -> None:
    found = variety.novelty(shown.items, shown.world.opinions_per_item, shown.world.n_users)
    opinions = opinions_in(shown.world)
    assert found.tolist() == pytest.approx([definitions.novelty(row, opinions) for row in shown.rows], nan_ok=True)


@FAST
@given(DIFFERENT)
def test_coverage_and_gini_are_as_defined(shown: Shown) -> None:
    n_items = shown.world.n_items
    assert variety.catalogue_coverage(shown.items, n_items) == definitions.catalogue_coverage(shown.rows, n_items)
    assert variety.exposure_gini(shown.items, n_items) == pytest.approx(
        definitions.exposure_gini(shown.rows, n_items), nan_ok=True
    )


@FAST
@given(DIFFERENT)
def test_diversity_between_users_is_as_defined(shown: Shown) -> None:
    found = variety.inter_user_diversity(shown.user, shown.items)
    assert found == pytest.approx(definitions.inter_user_diversity(shown.users, shown.rows))


@FAST
@given(DIFFERENT)
def test_without_each_user_is_as_if_he_had_not_come(shown: Shown) -> None:
    n_items, present = shown.world.n_items, sorted(set(shown.users))
    coverage = [definitions.catalogue_coverage(rows_without(shown, user), n_items) for user in present]
    diversity = [
        definitions.inter_user_diversity([who for who in shown.users if who != user], rows_without(shown, user))
        for user in present
    ]
    assert variety.coverage_without_each(shown.user, shown.items, n_items).tolist() == pytest.approx(coverage)
    assert variety.inter_user_diversity_without_each(shown.user, shown.items).tolist() == pytest.approx(diversity)


def random_lists(n_users: int, n_items: int = 30, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Two lists of each user, the first items more often than the last."""
    rng = np.random.default_rng(n_users)
    shares = np.arange(n_items, 0, -1) / np.arange(n_items, 0, -1).sum()
    items = [rng.choice(n_items, k, replace=False, p=shares) for _ in range(2 * n_users)]
    return np.repeat(np.arange(n_users), 2), np.array(items, np.int32)


def error_of_gini_without_each(n_users: int) -> float:
    user, items = random_lists(n_users)
    found = variety.gini_without_each(user, items, 30)
    exact = [definitions.exposure_gini(items[user != who].tolist(), 30) for who in range(n_users)]
    return float(np.abs(found - exact).max())


def test_gini_without_each_user_is_true_to_first_order() -> None:
    few, many = error_of_gini_without_each(20), error_of_gini_without_each(200)
    user, items = random_lists(200)
    made = np.abs(variety.gini_without_each(user, items, 30) - variety.exposure_gini(items, 30)).max()
    assert many < made / 5, "the error is small beside the difference that a user makes"
    assert many < few / 30, "and falls with the square of the users: 100 times"


Whole = Callable[[np.ndarray, np.ndarray], float]


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (lambda user, items: variety.catalogue_coverage(items, 7), 0.0),
        (lambda user, items: variety.exposure_gini(items, 7), math.nan),
        (variety.inter_user_diversity, 0.0),
    ],
    ids=["coverage", "gini", "between users"],
)
@pytest.mark.parametrize("lists", [0, 3])
def test_nothing_shown_has_a_value(metric: Whole, expected: float, lists: int) -> None:
    found = metric(np.arange(lists), np.full((lists, 4), -1, np.int32))
    assert found == pytest.approx(expected, abs=0, nan_ok=True)


def test_gini_knows_equality_and_a_single_item() -> None:
    equal, single = np.arange(10)[:, None], np.zeros((10, 1), np.int32)
    assert variety.exposure_gini(equal, 10) == 0.0
    assert variety.exposure_gini(single, 10) == pytest.approx(0.9)  # 1 - 1 / n


def test_users_who_see_the_same_or_nothing_in_common() -> None:
    user = np.array([0, 1, 2])
    same, different = np.tile(np.arange(4), (3, 1)), np.arange(12).reshape(3, 4)
    assert variety.inter_user_diversity(user, same) == 0.0
    assert variety.inter_user_diversity(user, different) == 1.0
    assert variety.inter_user_diversity(np.zeros(3, int), same) == 0.0, "a single user has nobody to differ from"
