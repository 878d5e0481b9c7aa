"""What the factor model makes of a user's next list."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.ranking.choose import DEFAULT, choose
from recsys.ranking.taste import TasteModel
from recsys.user_state import DISLIKE, LIKE, SHOWN, UserState
from tests.unit.by_hand import rng, user_of, view_of

KINDS = np.tile(np.array([[1.0], [-1.0]], dtype=np.float32), (100, 1))  # loadings: even items against odd ones
FIRST = [(position, SHOWN) for position in range(10)]
LIKES_EVEN = user_of(*FIRST, (0, LIKE), (2, LIKE), (4, LIKE))
LIKES_ODD = user_of(*FIRST, (1, LIKE), (3, LIKE), (5, LIKE))


@pytest.mark.parametrize(("user", "kind"), [(LIKES_EVEN, 0), (LIKES_ODD, 1)])
def test_the_liked_kind_comes_first(user: UserState, kind: int) -> None:
    view = view_of(np.linspace(0.21, 0.2, 200), loadings=KINDS)
    positions = choose(view, user, 10, [], rng()).positions
    assert [position % 2 for position in positions] == [kind] * 10


def test_a_like_speaks_for_its_kind_only_beside_another_kind() -> None:
    """Both liked item 0 of ten; one was shown nine of the other kind beside it, one only its own kind."""
    mean = np.full(200, 0.2)
    mean[1::2] = 0.25
    view = view_of(mean, loadings=KINDS)
    others, own = ([(position, SHOWN) for position in (0, *range(begin, 20, 2))] for begin in (3, 2))
    lists = [choose(view, user_of(*seen, (0, LIKE)), 10, [], rng()).positions for seen in (others, own)]
    assert [sum(position % 2 == 0 for position in positions) for positions in lists] == [10, 0]


@pytest.mark.parametrize("reactions", [[(0, DISLIKE)], [(0, LIKE), (1, DISLIKE)]], ids=["alone", "beside a dislike"])
def test_to_the_model_a_dislike_speaks_for_its_kind_but_less_than_a_like(reactions: list[tuple[int, int]]) -> None:
    view = view_of(np.full(200, 0.2), loadings=KINDS)
    positions = choose(view, user_of(*FIRST, *reactions), 10, [], rng()).positions
    assert not any(position % 2 for position in positions)


def test_to_the_model_two_dislikes_are_a_like() -> None:
    """In favour of the other kind, so they cancel out: the list is as without any taste."""
    flat = np.full(200, 0.2)
    flat[10:] = np.linspace(0.21, 0.2, 190)
    view = view_of(flat, loadings=KINDS)
    user = user_of(*FIRST, (0, LIKE), (1, DISLIKE), (3, DISLIKE))
    assert choose(view, user, 10, [], rng()) == choose(view, user_of(*FIRST), 10, [], rng())


def test_a_model_changes_nothing_for_one_without_reactions() -> None:
    mean, user = np.linspace(0.21, 0.2, 200), user_of(*FIRST)
    with_it = view_of(mean, loadings=KINDS)
    assert choose(with_it, user, 10, [], rng()) == choose(view_of(mean), user, 10, [], rng())


def test_a_liked_genre_comes_first_before_anything_is_learned() -> None:
    mean, genres = np.full(200, 0.2), np.tile(np.eye(2, dtype=bool), (100, 1))
    config = replace(DEFAULT, diversity=0.0)
    view = view_of(mean, genres, 0.01, genre_variance=TasteModel.untrained(200).genre_variance)
    for user, kind in ((LIKES_ODD, 1), (LIKES_EVEN, 0)):
        assert [p % 2 for p in choose(view, user, 10, [], rng(), config).positions] == [kind] * 10


def test_genres_do_not_matter_where_tastes_for_them_do_not_vary() -> None:
    mean, genres = np.full(200, 0.2), np.tile(np.eye(2, dtype=bool), (100, 1))
    view = view_of(mean, genres, 0.01, genre_variance=0.0)
    assert choose(view, LIKES_ODD, 10, [], rng()) == choose(view, user_of(*FIRST), 10, [], rng())


@pytest.mark.parametrize("seen", [[], FIRST[2:]], ids=["never here", "shown other items"])
@pytest.mark.parametrize(("mark", "kind"), [(LIKE, 0), (DISLIKE, 1)])
def test_what_was_never_shown_was_chosen_from_all_candidates(seen: list[tuple[int, int]], mark: int, kind: int) -> None:
    """A user may come with likes and dislikes of his own."""
    genres = np.tile(np.eye(2, dtype=bool), (100, 1))
    view = view_of(np.full(200, 0.2), genres, genre_variance=0.5)
    user = user_of(*seen, (0, mark), (2, mark))
    assert [position % 2 for position in choose(view, user, 10, [], rng()).positions] == [kind] * 10


def test_own_likes_count_beside_those_of_lists() -> None:
    """One like of each kind, of equally many of both: undecided. An own like more decides."""
    view = view_of(np.full(200, 0.2), loadings=KINDS)
    undecided = user_of(*FIRST, (0, LIKE), (1, LIKE))
    even = user_of(*FIRST, (0, LIKE), (1, LIKE), (20, LIKE))
    kinds = [[p % 2 for p in choose(view, user, 10, [], rng()).positions] for user in (undecided, even)]
    assert 0 < sum(kinds[0]) < 10
    assert kinds[1] == [0] * 10


def test_without_taste_reactions_change_nothing() -> None:
    view, config = view_of(np.linspace(0.21, 0.2, 200), loadings=KINDS), replace(DEFAULT, taste=False)
    assert choose(view, LIKES_ODD, 10, [], rng(), config) == choose(view, user_of(*FIRST), 10, [], rng(), config)


def test_the_model_lifts_no_more_than_it_may() -> None:
    """Even items would have to be lifted by more than twice the most to get ahead of odd ones."""
    mean = np.tile([0.001, 0.8], 100)
    user = user_of(*FIRST, *((position, LIKE) for position in range(0, 10, 2)))
    view = view_of(mean, loadings=3 * KINDS)
    positions = choose(view, user, 10, [], rng(), replace(DEFAULT, most_lift=3.0)).positions
    assert all(position % 2 for position in positions)
    free = choose(view, user, 10, [], rng(), replace(DEFAULT, most_lift=50.0)).positions
    assert not any(position % 2 for position in free)
