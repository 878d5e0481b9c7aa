"""What the factor model makes of a user's next list."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.recommenders.bandit.taste import TasteModel
from recsys.recommenders.bandit.view import DEFAULT
from recsys.user_state import DISLIKE, LIKE, SHOWN, UserState
from tests.unit.by_hand import model_of, next_list, rng, user_of

KINDS = np.tile(np.array([[1.0], [-1.0]], dtype=np.float32), (100, 1))  # item factors: even items against odd ones
FIRST = [(position, SHOWN) for position in range(10)]
LIKES_EVEN = user_of(*FIRST, (0, LIKE), (2, LIKE), (4, LIKE))
LIKES_ODD = user_of(*FIRST, (1, LIKE), (3, LIKE), (5, LIKE))


@pytest.mark.parametrize(("user", "kind"), [(LIKES_EVEN, 0), (LIKES_ODD, 1)])
def test_the_liked_kind_comes_first(user: UserState, kind: int) -> None:
    model = model_of(np.linspace(0.21, 0.2, 200), item_factors=KINDS)
    positions = next_list(model, user, 10, [], rng()).positions
    assert [position % 2 for position in positions] == [kind] * 10


def test_a_like_speaks_for_its_kind_only_beside_another_kind() -> None:
    """Both liked item 0 of ten; one was shown nine of the other kind beside it, one only its own kind."""
    mean = np.full(200, 0.2)
    mean[1::2] = 0.25
    model = model_of(mean, item_factors=KINDS)
    others, own = ([(position, SHOWN) for position in (0, *range(begin, 20, 2))] for begin in (3, 2))
    lists = [next_list(model, user_of(*seen, (0, LIKE)), 10, [], rng()).positions for seen in (others, own)]
    assert [sum(position % 2 == 0 for position in positions) for positions in lists] == [10, 0]


@pytest.mark.parametrize("reactions", [[(0, DISLIKE)], [(0, LIKE), (1, DISLIKE)]], ids=["alone", "beside a dislike"])
def test_to_the_model_a_dislike_speaks_for_its_kind_but_less_than_a_like(reactions: list[tuple[int, int]]) -> None:
    model = model_of(np.full(200, 0.2), item_factors=KINDS)
    positions = next_list(model, user_of(*FIRST, *reactions), 10, [], rng()).positions
    assert not any(position % 2 for position in positions)


def test_to_the_model_two_dislikes_are_a_like() -> None:
    """In favour of the other kind, so they cancel out: the list is as without any taste."""
    flat = np.full(200, 0.2)
    flat[10:] = np.linspace(0.21, 0.2, 190)
    model = model_of(flat, item_factors=KINDS)
    user = user_of(*FIRST, (0, LIKE), (1, DISLIKE), (3, DISLIKE))
    assert next_list(model, user, 10, [], rng()) == next_list(model, user_of(*FIRST), 10, [], rng())


def test_a_model_changes_nothing_for_one_without_reactions() -> None:
    mean, user = np.linspace(0.21, 0.2, 200), user_of(*FIRST)
    with_it = model_of(mean, item_factors=KINDS)
    assert next_list(with_it, user, 10, [], rng()) == next_list(model_of(mean), user, 10, [], rng())


def test_a_liked_genre_comes_first_before_anything_is_learned() -> None:
    mean, genres = np.full(200, 0.2), np.tile(np.eye(2, dtype=bool), (100, 1))
    model = model_of(mean, genres, 0.01, genre_variance=TasteModel.untrained(200).genre_variance)
    for user, kind in ((LIKES_ODD, 1), (LIKES_EVEN, 0)):
        assert [p % 2 for p in next_list(model, user, 10, [], rng(), diversity=0.0).positions] == [kind] * 10


def test_genres_do_not_matter_where_tastes_for_them_do_not_vary() -> None:
    mean, genres = np.full(200, 0.2), np.tile(np.eye(2, dtype=bool), (100, 1))
    model = model_of(mean, genres, 0.01, genre_variance=0.0)
    assert next_list(model, LIKES_ODD, 10, [], rng()) == next_list(model, user_of(*FIRST), 10, [], rng())


@pytest.mark.parametrize("seen", [[], FIRST[2:]], ids=["never here", "shown other items"])
@pytest.mark.parametrize(("mark", "kind"), [(LIKE, 0), (DISLIKE, 1)])
def test_what_was_never_shown_was_chosen_from_all_candidates(seen: list[tuple[int, int]], mark: int, kind: int) -> None:
    """A user may come with likes and dislikes of his own."""
    genres = np.tile(np.eye(2, dtype=bool), (100, 1))
    model = model_of(np.full(200, 0.2), genres, genre_variance=0.5)
    user = user_of(*seen, (0, mark), (2, mark))
    assert [position % 2 for position in next_list(model, user, 10, [], rng()).positions] == [kind] * 10


def test_own_likes_count_beside_those_of_lists() -> None:
    """One like of each kind, of equally many of both: undecided. An own like more decides."""
    model = model_of(np.full(200, 0.2), item_factors=KINDS)
    undecided = user_of(*FIRST, (0, LIKE), (1, LIKE))
    even = user_of(*FIRST, (0, LIKE), (1, LIKE), (20, LIKE))
    kinds = [[p % 2 for p in next_list(model, user, 10, [], rng()).positions] for user in (undecided, even)]
    assert 0 < sum(kinds[0]) < 10
    assert kinds[1] == [0] * 10


def test_without_taste_reactions_change_nothing() -> None:
    model = model_of(np.linspace(0.21, 0.2, 200), config=replace(DEFAULT, taste=False), item_factors=KINDS)
    assert next_list(model, LIKES_ODD, 10, [], rng()) == next_list(model, user_of(*FIRST), 10, [], rng())


def test_the_model_lifts_no_more_than_it_may() -> None:
    """Even items would have to be lifted by more than twice the most to get ahead of odd ones."""
    mean = np.tile([0.001, 0.8], 100)
    user = user_of(*FIRST, *((position, LIKE) for position in range(0, 10, 2)))
    bound, free = (
        model_of(mean, config=replace(DEFAULT, most_lift=most), item_factors=3 * KINDS) for most in (3.0, 50.0)
    )
    assert all(position % 2 for position in next_list(bound, user, 10, [], rng()).positions)
    assert not any(position % 2 for position in next_list(free, user, 10, [], rng()).positions)
