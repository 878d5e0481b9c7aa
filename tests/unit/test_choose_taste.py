"""What the factor model makes of a user's next list."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.ranking.choose import DEFAULT, choose
from recsys.user_state import DISLIKE, LIKE, SHOWN, UserState
from tests.unit.by_hand import NOBODY, rng, user_of, view_of

KINDS = np.tile(np.array([[1.0], [-1.0]], dtype=np.float32), (100, 1))  # loadings: even items against odd ones
FIRST = [(position, SHOWN) for position in range(10)]
LIKES_EVEN = user_of(*FIRST, (0, LIKE), (2, LIKE), (4, LIKE))
LIKES_ODD = user_of(*FIRST, (1, LIKE), (3, LIKE), (5, LIKE))


@pytest.mark.parametrize(("user", "kind"), [(LIKES_EVEN, 0), (LIKES_ODD, 1)])
def test_where_the_model_holds_the_liked_kind_comes_first(user: UserState, kind: int) -> None:
    view = view_of(np.linspace(0.21, 0.2, 200), loadings=KINDS, blend=1.0)
    positions = choose(view, user, 10, [], rng()).positions
    assert [position % 2 for position in positions] == [kind] * 10


def test_a_like_speaks_for_its_kind_only_beside_another_kind() -> None:
    """Both liked item 0 of ten; one was shown nine of the other kind beside it, one only its own kind."""
    mean = np.full(200, 0.2)
    mean[1::2] = 0.25
    view = view_of(mean, loadings=KINDS, blend=1.0)
    others, own = ([(position, SHOWN) for position in (0, *range(begin, 20, 2))] for begin in (3, 2))
    lists = [choose(view, user_of(*seen, (0, LIKE)), 10, [], rng()).positions for seen in (others, own)]
    assert [sum(position % 2 == 0 for position in positions) for positions in lists] == [10, 0]


@pytest.mark.parametrize("reactions", [[(0, DISLIKE)], [(0, LIKE), (1, DISLIKE)]], ids=["alone", "beside a dislike"])
def test_to_the_model_a_dislike_speaks_for_its_kind_but_less_than_a_like(reactions: list[tuple[int, int]]) -> None:
    view = view_of(np.full(200, 0.2), loadings=KINDS, blend=1.0)
    positions = choose(view, user_of(*FIRST, *reactions), 10, [], rng()).positions
    assert not any(position % 2 for position in positions)


def test_to_the_model_two_dislikes_are_a_like() -> None:
    """In favour of the other kind, so they cancel out: the list is as without any taste."""
    flat = np.full(200, 0.2)
    flat[10:] = np.linspace(0.21, 0.2, 190)
    view = view_of(flat, loadings=KINDS, blend=1.0)
    user = user_of(*FIRST, (0, LIKE), (1, DISLIKE), (3, DISLIKE))
    assert choose(view, user, 10, [], rng()) == choose(view, user_of(*FIRST), 10, [], rng())


@pytest.mark.parametrize("user", [NOBODY, LIKES_EVEN, LIKES_ODD])
def test_a_model_that_does_not_predict_changes_nothing(user: UserState) -> None:
    mean, genres = np.linspace(0.21, 0.2, 200), rng().random((200, 3)) < 0.4
    with_it = view_of(mean, genres, 0.1, loadings=KINDS, genre_variance=0.5, blend=0.0)
    assert choose(with_it, user, 10, [], rng()) == choose(view_of(mean, genres, 0.1), user, 10, [], rng())


def test_a_model_changes_nothing_for_one_without_reactions() -> None:
    mean, user = np.linspace(0.21, 0.2, 200), user_of(*FIRST)
    with_it = view_of(mean, loadings=KINDS, blend=1.0)
    assert choose(with_it, user, 10, [], rng()) == choose(view_of(mean), user, 10, [], rng())


def test_a_model_that_holds_takes_the_place_of_liked_genres() -> None:
    """By genre alone the list is of what was liked; the model knows no loadings, and genres do not vary in it."""
    mean, genres = np.full(200, 0.2), np.tile(np.eye(2, dtype=bool), (100, 1))
    config = replace(DEFAULT, diversity=0.0)
    by_genre = choose(view_of(mean, genres, 0.01), LIKES_ODD, 10, [], rng(), config).positions
    assert [position % 2 for position in by_genre] == [1] * 10
    held = view_of(mean, genres, 0.01, genre_variance=0.0, blend=1.0)
    neutral = choose(held, user_of(*FIRST), 10, [], rng(), config)
    assert choose(held, LIKES_ODD, 10, [], rng(), config) == neutral
    varying = view_of(mean, genres, 0.01, genre_variance=2.0, blend=1.0)
    assert [p % 2 for p in choose(varying, LIKES_ODD, 10, [], rng(), config).positions] == [1] * 10


@pytest.mark.parametrize(("blend", "even"), [(1.0, 10), (0.0, 0)])
def test_the_blend_decides_between_the_model_and_genres(blend: float, even: int) -> None:
    """Liked: even items by loadings, the first genre by membership; what is unseen is of only one of them."""
    genres = np.zeros((200, 2), dtype=bool)
    genres[:10, 0] = genres[11::2, 0] = genres[10::2, 1] = True
    view = view_of(np.full(200, 0.2), genres, loadings=KINDS, blend=blend)
    positions = choose(view, LIKES_EVEN, 10, [], rng(), replace(DEFAULT, diversity=0.0)).positions
    assert sum(position % 2 == 0 for position in positions) == even


def test_the_model_lifts_no_more_than_it_may() -> None:
    """Even items would have to be lifted by more than twice the most to get ahead of odd ones."""
    mean = np.tile([0.001, 0.8], 100)
    user = user_of(*FIRST, *((position, LIKE) for position in range(0, 10, 2)))
    view = view_of(mean, loadings=3 * KINDS, blend=1.0)
    positions = choose(view, user, 10, [], rng(), replace(DEFAULT, most_lift=3.0)).positions
    assert all(position % 2 for position in positions)
    free = choose(view, user, 10, [], rng(), replace(DEFAULT, most_lift=50.0)).positions
    assert not any(position % 2 for position in free)
