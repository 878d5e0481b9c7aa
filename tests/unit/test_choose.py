"""A user's next list, from hand-made statistics."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recsys.ranking.choose import AGAIN, DEFAULT, EXPLORE, RANKED, SOURCES, Choice, ChooseConfig, choose
from recsys.user_state import DISLIKE, LIKE, SHOWN
from tests.unit.by_hand import NOBODY, falling, rng, shown, user_of, view_of

FAST = settings(deadline=None, max_examples=50)
TINY = replace(DEFAULT, pool=4, genre_pool=1, shortlist=2)  # so that a few items are more than the pool
UNIFORM = replace(DEFAULT, uniform=True)


@dataclass(frozen=True)
class Call:
    """One call of ``choose`` and what a reader would work out from its arguments."""

    mean: list[float]
    genres: list[list[bool]]
    history: list[tuple[int, int]]
    cards: list[int]
    k: int
    seed: int
    explore_share: float
    config: ChooseConfig

    @property
    def seen(self) -> set[int]:
        return {position for position, _ in self.history}

    @property
    def disliked(self) -> set[int]:
        return {position for position, mark in self.history if mark == DISLIKE}

    @property
    def unseen_cards(self) -> list[int]:
        return [card for card in dict.fromkeys(self.cards) if card not in self.seen]

    def run(self) -> Choice:
        genres = np.array(self.genres, dtype=bool).reshape(len(self.mean), -1 if self.mean else 0)
        loadings = rng(self.seed).normal(size=(len(self.mean), 2)).astype(np.float32)
        known = {"loadings": loadings, "genre_variance": 0.5, "explore_share": self.explore_share}
        view = view_of(self.mean, genres, 0.1, self.config, **known)
        return choose(view, user_of(*self.history), self.k, self.cards, rng(self.seed), self.config)


@st.composite
def calls(draw: st.DrawFn) -> Call:
    n, g = draw(st.integers(0, 12)), draw(st.integers(1, 3))
    position = st.integers(0, max(n - 1, 0))
    marks = st.sampled_from([SHOWN, SHOWN, LIKE, DISLIKE])
    return Call(
        mean=draw(st.lists(st.floats(0.01, 0.9), min_size=n, max_size=n)),
        genres=draw(st.lists(st.lists(st.booleans(), min_size=g, max_size=g), min_size=n, max_size=n)),
        history=draw(st.lists(st.tuples(position, marks), max_size=2 * n)),
        cards=draw(st.lists(position, max_size=8 if n else 0)),
        k=draw(st.integers(0, 14)),
        seed=draw(st.integers(0, 2**32)),
        explore_share=draw(st.sampled_from([0.0, 0.1, 0.25, 0.3, 1.0])),
        config=draw(st.sampled_from([DEFAULT, TINY, UNIFORM])),
    )


@FAST
@given(calls())
def test_it_holds_exactly_k_or_all_that_are_not_disliked(call: Call) -> None:
    assert len(call.run().positions) == min(call.k, len(call.mean) - len(call.disliked))


@FAST
@given(calls())
def test_nothing_repeats(call: Call) -> None:
    positions = call.run().positions
    assert len(set(positions)) == len(positions)


@FAST
@given(calls())
def test_disliked_items_never_come_back(call: Call) -> None:
    assert not call.disliked & set(call.run().positions)


@FAST
@given(calls())
def test_nothing_shown_comes_before_everything_unseen(call: Call) -> None:
    positions = call.run().positions
    fresh = set(range(len(call.mean))) - call.seen
    wanted = min(call.k, len(fresh))
    assert set(positions[:wanted]) <= fresh
    assert set(positions[wanted:]) <= call.seen


@FAST
@given(calls())
def test_what_comes_back_is_the_longest_unseen(call: Call) -> None:
    last = {position: place for place, (position, _) in enumerate(call.history)}
    expected = sorted(call.seen - call.disliked, key=last.__getitem__)
    choice = call.run()
    back = [p for p, source in zip(choice.positions, choice.sources, strict=True) if source == AGAIN]
    assert back == expected[: len(back)]


@FAST
@given(calls())
def test_each_position_has_a_source_in_the_order_of_filling(call: Call) -> None:
    choice = call.run()
    assert len(choice.sources) == len(choice.positions)
    places = [SOURCES.index(source) for source in choice.sources]
    assert places == sorted(places)
    for position, source in zip(choice.positions, choice.sources, strict=True):
        assert (source == AGAIN) == (position in call.seen)
        assert source != EXPLORE or position in call.cards


@FAST
@given(calls())
def test_unseen_cards_fill_the_explore_places(call: Call) -> None:
    choice = call.run()
    explored = [p for p, source in zip(choice.positions, choice.sources, strict=True) if source == EXPLORE]
    assert set(explored) <= set(call.unseen_cards)
    stranger = all(mark == SHOWN for _, mark in call.history)
    if stranger:
        assert explored == call.unseen_cards[: len(explored)]
    places = call.k * (call.explore_share if stranger else min(call.explore_share, call.config.explore_known))
    least = {min(whole, len(call.unseen_cards)) for whole in (int(places), ceil(places))}
    assert len(explored) in least


@FAST
@given(calls())
def test_the_same_seed_gives_the_same_list(call: Call) -> None:
    assert call.run() == call.run()


def test_the_best_then_the_cards() -> None:
    choice = choose(falling(50, 0.3), NOBODY, 10, [40, 30, 20, 45, 46], rng())
    assert choice.positions == [0, 1, 2, 3, 4, 5, 6, 40, 30, 20]
    assert choice.sources == [RANKED] * 7 + [EXPLORE] * 3


def test_a_card_among_the_best_stays_a_card() -> None:
    choice = choose(falling(50, 0.3), NOBODY, 10, [0], rng())
    assert choice.positions == [*range(1, 10), 0]
    assert choice.sources == [RANKED] * 9 + [EXPLORE]


def test_without_cards_all_places_are_ranked() -> None:
    assert choose(falling(50, 0.3), NOBODY, 10, [], rng()).sources == [RANKED] * 10


def test_a_list_longer_than_the_pool_goes_down_the_order() -> None:
    view = view_of(np.linspace(0.5, 0.1, 50), config=TINY)
    assert choose(view, NOBODY, 30, [], rng(), TINY) == Choice(list(range(30)), [RANKED] * 30)


@pytest.mark.parametrize("n", [0, 1, 3, 9])
def test_a_catalogue_smaller_than_k_is_given_whole(n: int) -> None:
    assert sorted(choose(falling(n), NOBODY, 10, [], rng()).positions) == list(range(n))


def test_one_who_has_seen_the_best_gets_the_next_best() -> None:
    choice = choose(falling(1000), shown(*range(600)), 10, [], rng())
    assert choice.positions == list(range(600, 610))
    assert choice.sources == [RANKED] * 10


def test_after_the_whole_catalogue_the_oldest_come_back() -> None:
    user = user_of((3, SHOWN), (1, SHOWN), (0, SHOWN), (2, SHOWN), (3, LIKE), (1, DISLIKE))
    choice = choose(falling(4, 0.3), user, 10, [0, 1, 2, 3], rng())
    assert choice == Choice([0, 2, 3], [AGAIN] * 3)


def test_an_item_disliked_once_and_liked_later_stays_away() -> None:
    assert choose(falling(1, 0.3), user_of((0, DISLIKE), (0, LIKE)), 10, [0], rng()) == Choice([], [])


def test_other_seeds_give_other_lists() -> None:
    view = view_of(np.full(200, 0.1), sd=0.05)
    assert choose(view, NOBODY, 10, [], rng(1)) != choose(view, NOBODY, 10, [], rng(2))


def test_uncertain_items_get_their_chance() -> None:
    view = view_of(np.linspace(0.5, 0.1, 100), sd=[0.0] * 99 + [5.0])
    lists = [choose(view, NOBODY, 10, [], rng(seed)).positions for seed in range(20)]
    assert 2 <= sum(99 in positions for positions in lists) <= 18


@pytest.mark.parametrize(
    ("reactions", "least", "most"),
    [([], 3, 7), ([(0, LIKE), (2, LIKE), (4, LIKE)], 9, 10), ([(p, DISLIKE) for p in range(0, 40, 2)], 0, 1)],
    ids=["no reaction", "likes", "dislikes"],
)
@pytest.mark.parametrize("seed", range(5))
def test_reactions_move_the_list_towards_liked_genres(
    reactions: list[tuple[int, int]], least: int, most: int, seed: int
) -> None:
    alternating = np.tile([[True, False], [False, True]], (200, 1))
    view = view_of(np.full(400, 0.1), alternating, sd=0.005, genre_variance=0.5)
    positions = choose(view, user_of(*reactions), 10, [], rng(seed)).positions
    assert least <= sum(position % 2 == 0 for position in positions) <= most


def test_a_liked_genre_is_found_beyond_the_pool() -> None:
    genres = np.zeros((1000, 2), dtype=bool)
    genres[:900, 0] = genres[900:, 1] = True
    mean = np.where(genres[:, 1], 0.2, 0.3)
    likes = [(999 - n, LIKE) for n in range(5)]
    config = replace(DEFAULT, diversity=0.0)
    view = view_of(mean, genres, genre_variance=0.5)
    assert min(choose(view, user_of(*likes), 10, [], rng(), config).positions) >= 900


def test_nothing_given_is_changed() -> None:
    known: dict[str, Any] = {"loadings": np.ones((300, 2), np.float32), "explore_share": 0.3}
    view, cards = view_of(np.full(300, 0.1), np.ones((300, 1)), sd=0.1, **known), [3, 4, 5]
    user = user_of((1, LIKE), (2, DISLIKE))
    arrays: list[NDArray[Any]] = [view.order, user.indices, user.marks]
    arrays += [part for of in (view.items, view.pool) for part in (of.positions, of.mean, of.sd, of.unit, of.features)]
    before = [array.copy() for array in arrays]
    choose(view, user, 10, cards, rng())
    assert all(np.array_equal(old, new) for old, new in zip(before, arrays, strict=True))
    assert cards == [3, 4, 5]


def test_the_pool_holds_the_best_overall_and_of_each_genre() -> None:
    genres = np.zeros((20, 3), dtype=bool)
    genres[:15, 0] = genres[15:, 1] = True
    loadings = rng().normal(size=(20, 2)).astype(np.float32)
    view = view_of(np.linspace(0.5, 0.1, 20), genres, sd=0.1, config=TINY, loadings=loadings, genre_variance=0.5)
    assert view.pool.positions.tolist() == [0, 1, 2, 3, 15]
    for name in ("mean", "sd", "unit", "features"):
        assert np.array_equal(getattr(view.pool, name), getattr(view.items, name)[view.pool.positions])


def test_features_are_genres_by_their_deviation_then_loadings() -> None:
    genres, loadings = [[True, False], [True, True], [False, False]], np.arange(3, dtype=np.float32)[:, None]
    found = view_of([0.1] * 3, genres, loadings=loadings, genre_variance=0.25).items.features
    assert found == pytest.approx(np.array([[0.5, 0, 0], [0.5**1.5, 0.5**1.5, 1], [0, 0, 2]]))


@pytest.mark.parametrize(
    ("lists", "share", "cards"),
    [
        ([10], 0.0, 0),
        ([10], 0.25, 63),
        ([10], 0.3, 63),
        ([3], 0.1, 61),
        ([0], 0.5, 0),
        ([], 0.5, 0),
        ([10, 3], 0.3, 64),
    ],
)
def test_sixty_cards_are_offered_beyond_the_explore_places(lists: list[int], share: float, cards: int) -> None:
    """And for several lists, one after the other, no more than these."""
    assert falling(50, share).cards(lists) == cards


def test_of_the_cards_those_that_suit_the_user_fill_the_places() -> None:
    """Even items are of one genre, odd ones of the other; the user liked an even one."""
    genres = np.eye(2, dtype=bool)[np.arange(60) % 2]
    view = view_of(np.linspace(0.9, 0.01, 60), genres, explore_share=0.3, genre_variance=0.5)
    fan = user_of((1, SHOWN), (2, SHOWN), (2, LIKE))
    cards = [41, 43, 40, 45, 44, 47, 46, 48]
    assert choose(view, fan, 10, cards, rng()).positions[-3:] == [40, 44, 46]
    assert choose(view, NOBODY, 10, cards, rng()).positions[-3:] == [41, 43, 40]


@pytest.mark.parametrize(("k", "share"), [(10, 0.25), (10, 0.05), (3, 0.1), (1, 0.3), (10, 0.3)])
def test_explore_places_are_rounded_by_chance(k: int, share: float) -> None:
    view, generator, cards = falling(50, share), rng(), list(range(30, 50))
    explored = [choose(view, NOBODY, k, cards, generator).sources.count(EXPLORE) for _ in range(600)]
    assert set(explored) == {int(k * share), ceil(k * share)}
    assert np.mean(explored) == pytest.approx(k * share, abs=0.1)


def test_cards_may_take_every_place() -> None:
    choice = choose(falling(50, 1.0), NOBODY, 5, [40, 30, 20, 45, 46, 47], rng())
    assert choice == Choice([40, 30, 20, 45, 46], [EXPLORE] * 5)


def test_uniform_lists_are_random_items() -> None:
    """Of 16 unseen items each list has 4; the rates do not matter."""
    view, generator = view_of(np.linspace(0.9, 0.01, 20), config=UNIFORM), rng()
    lists = [choose(view, shown(0, 1, 2, 3), 4, [], generator, UNIFORM) for _ in range(800)]
    assert all(choice.sources == [RANKED] * 4 for choice in lists)
    count = np.bincount([position for choice in lists for position in choice.positions], minlength=20)
    assert count[:4].tolist() == [0] * 4
    assert np.all(np.abs(count[4:] - 200) < 80)
