"""A user's next list by the bandit, from hand-made statistics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recsys.recommenders import mix
from recsys.recommenders.bandit.exploration import DEFAULT as EXPLORING
from recsys.recommenders.bandit.view import DEFAULT, BanditModel, RankConfig, View, view_of
from recsys.recommenders.mix import AGAIN, EXPLORE, RANDOM, Slate
from recsys.recommenders.port import Embedding, ExplorationShare, Explored, Ordered, Scoring, Similar
from recsys.recommenders.recipe import BANDIT
from recsys.user_state import DISLIKE, LIKE, SHOWN
from tests.unit.by_hand import (
    NOBODY,
    Asked,
    falling,
    items_of,
    mix_of,
    model_of,
    next_list,
    query_of,
    rng,
    shown,
    statistics_of,
    user_of,
)

FAST = settings(deadline=None, max_examples=50)
TINY = replace(DEFAULT, pool=4, genre_pool=1)  # so that a few items are more than the pool
SOURCES = (BANDIT, RANDOM, EXPLORE, AGAIN)


@contextmanager
def shortlist(size: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mix, "SHORTLIST", size)
        yield


@dataclass(frozen=True)
class Call(Asked):
    """One list and what a reader would work out from what it is made of."""

    mean: list[float]
    genres: list[list[bool]]
    k: int
    seed: int
    explore_share: float
    config: RankConfig
    shortlist: int

    def run(self) -> Slate:
        genres = np.array(self.genres, dtype=bool).reshape(len(self.mean), -1 if self.mean else 0)
        item_factors = rng(self.seed).normal(size=(len(self.mean), 2)).astype(np.float32)
        of: dict[str, Any] = {
            "item_factors": item_factors,
            "genre_variance": 0.5,
            "explore_share": self.explore_share,
        }
        model = model_of(self.mean, genres, 0.1, self.config, **of)
        with shortlist(self.shortlist):
            return next_list(model, user_of(*self.history), self.k, self.offered, rng(self.seed))


@st.composite
def calls(draw: st.DrawFn) -> Call:
    n, g = draw(st.integers(0, 12)), draw(st.integers(1, 3))
    position = st.integers(0, max(n - 1, 0))
    marks = st.sampled_from([SHOWN, SHOWN, LIKE, DISLIKE])
    config, size = draw(st.sampled_from([(DEFAULT, mix.SHORTLIST), (TINY, 2)]))
    return Call(
        mean=draw(st.lists(st.floats(0.01, 0.9), min_size=n, max_size=n)),
        genres=draw(st.lists(st.lists(st.booleans(), min_size=g, max_size=g), min_size=n, max_size=n)),
        history=draw(st.lists(st.tuples(position, marks), max_size=2 * n)),
        offered=draw(st.lists(position, max_size=8 if n else 0)),
        k=draw(st.integers(0, 14)),
        seed=draw(st.integers(0, 2**32)),
        explore_share=draw(st.sampled_from([0.0, 0.1, 0.25, 0.3, 1.0])),
        config=config,
        shortlist=size,
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
def test_each_position_has_a_source_in_the_order_of_filling(call: Call) -> None:
    """And chance has none: the bandit knows every item."""
    slate = call.run()
    assert len(slate.sources) == len(slate.positions)
    places = [SOURCES.index(source) for source in slate.sources]
    assert places == sorted(places)
    for position, source in zip(slate.positions, slate.sources, strict=True):
        assert source != RANDOM
        assert (source == AGAIN) == (position in call.seen)
        assert source != EXPLORE or position in call.offered


@FAST
@given(calls())
def test_unseen_candidates_fill_the_explore_places(call: Call) -> None:
    slate = call.run()
    explored = [p for p, source in zip(slate.positions, slate.sources, strict=True) if source == EXPLORE]
    assert set(explored) <= set(call.unseen_candidates)
    stranger = all(mark == SHOWN for _, mark in call.history)
    if stranger:
        assert explored == call.unseen_candidates[: len(explored)]
    places = call.k * (call.explore_share if stranger else min(call.explore_share, EXPLORING.known_user))
    least = {min(whole, len(call.unseen_candidates)) for whole in (int(places), ceil(places))}
    assert len(explored) in least


@FAST
@given(calls())
def test_the_same_seed_gives_the_same_list(call: Call) -> None:
    assert call.run() == call.run()


def test_the_best_then_the_candidates() -> None:
    slate = next_list(falling(50, 0.3), NOBODY, 10, [40, 30, 20, 45, 46], rng())
    assert slate.positions == [0, 1, 2, 3, 4, 5, 6, 40, 30, 20]
    assert slate.sources == [BANDIT] * 7 + [EXPLORE] * 3


def test_a_list_longer_than_the_pool_goes_down_the_order() -> None:
    with shortlist(2):
        slate = next_list(model_of(np.linspace(0.5, 0.1, 50), config=TINY), NOBODY, 30, [], rng())
    assert slate == Slate(list(range(30)), [BANDIT] * 30)


@pytest.mark.parametrize("n", [0, 1, 3, 9])
def test_a_catalogue_smaller_than_k_is_given_whole(n: int) -> None:
    assert sorted(next_list(falling(n), NOBODY, 10, [], rng()).positions) == list(range(n))


def test_one_who_has_seen_the_best_gets_the_next_best() -> None:
    slate = next_list(falling(1000), shown(*range(600)), 10, [], rng())
    assert slate.positions == list(range(600, 610))
    assert slate.sources == [BANDIT] * 10


def test_other_seeds_give_other_lists() -> None:
    model = model_of(np.full(200, 0.1), sd=0.05)
    assert next_list(model, NOBODY, 10, [], rng(1)) != next_list(model, NOBODY, 10, [], rng(2))


def test_uncertain_items_get_their_chance() -> None:
    model = model_of(np.linspace(0.5, 0.1, 100), sd=[0.0] * 99 + [5.0])
    lists = [next_list(model, NOBODY, 10, [], rng(seed)).positions for seed in range(20)]
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
    model = model_of(np.full(400, 0.1), alternating, sd=0.005, genre_variance=0.5)
    positions = next_list(model, user_of(*reactions), 10, [], rng(seed)).positions
    assert least <= sum(position % 2 == 0 for position in positions) <= most


def test_a_liked_genre_is_found_beyond_the_pool() -> None:
    genres = np.zeros((1000, 2), dtype=bool)
    genres[:900, 0] = genres[900:, 1] = True
    mean = np.where(genres[:, 1], 0.2, 0.3)
    likes = [(999 - n, LIKE) for n in range(5)]
    model = model_of(mean, genres, genre_variance=0.5)
    assert min(next_list(model, user_of(*likes), 10, [], rng(), diversity=0.0).positions) >= 900


def test_nothing_given_is_changed() -> None:
    of: dict[str, Any] = {"item_factors": np.ones((300, 2), np.float32), "explore_share": 0.3}
    model, offered = model_of(np.full(300, 0.1), np.ones((300, 1)), sd=0.1, **of), [3, 4, 5]
    user, view = user_of((1, LIKE), (2, DISLIKE)), model.view
    arrays: list[NDArray[Any]] = [view.order, user.indices, user.marks]
    arrays += [part for of in (view.items, view.pool) for part in (of.positions, of.mean, of.sd, of.features)]
    arrays += [array for array in vars(model.statistics).values() if isinstance(array, np.ndarray)]
    before, dumped = [array.copy() for array in arrays], model.dump()
    next_list(model, user, 10, offered, rng())
    assert all(np.array_equal(old, new) for old, new in zip(before, arrays, strict=True))
    assert (offered, model.dump()) == ([3, 4, 5], dumped)


def test_of_the_candidates_those_that_suit_the_user_fill_the_places() -> None:
    """Even items are of one genre, odd ones of the other; the user liked an even one."""
    genres = np.eye(2, dtype=bool)[np.arange(60) % 2]
    model = model_of(np.linspace(0.9, 0.01, 60), genres, explore_share=0.3, genre_variance=0.5)
    fan = user_of((1, SHOWN), (2, SHOWN), (2, LIKE))
    offered = [41, 43, 40, 45, 44, 47, 46, 48]
    assert next_list(model, fan, 10, offered, rng()).positions[-3:] == [40, 44, 46]
    assert next_list(model, NOBODY, 10, offered, rng()).positions[-3:] == [41, 43, 40]


# the model by itself


def test_it_is_all_that_a_model_can_be() -> None:
    model = falling(3)
    for able in (Scoring, Similar, Ordered, Embedding, Explored):
        assert isinstance(model, able)


def test_it_scores_what_it_ranks() -> None:
    """Best first, the drawn rates of eligible items alone."""
    model = model_of(np.linspace(0.1, 0.5, 300), sd=0.05)
    eligible = np.arange(300) % 3 > 0
    positions, scores = model.rank(query_of(), eligible, 40, rng())
    assert len(positions) == len(scores) == 40
    assert eligible[positions].all()
    assert np.all(np.diff(scores) <= 0)
    assert np.all(scores >= 0)


@pytest.mark.parametrize("k", [1, 4, 5, 9, 20, 100])
def test_it_ranks_as_many_as_are_asked_for_or_all(k: int) -> None:
    eligible = np.arange(20) >= 9
    positions, _ = model_of(np.linspace(0.5, 0.1, 20), config=TINY).rank(query_of(), eligible, k, rng())
    assert positions.tolist() == list(range(9, 20))[:k]


def test_it_knows_what_suits_only_those_who_have_reacted() -> None:
    model = model_of(np.full(20, 0.2), item_factors=np.where(np.arange(20) % 2, -1, 1)[:, None].astype(np.float32))
    places = np.array([10, 13, 11, 12])
    assert model.scores(query_of(shown(0, 1)), places) is None
    fan = user_of((0, SHOWN), (1, SHOWN), (0, LIKE))
    assert np.sign(model.scores(query_of(fan), places)).tolist() == [1, -1, -1, 1]


def test_without_taste_it_knows_what_suits_nobody() -> None:
    model = model_of(np.full(20, 0.2), config=replace(DEFAULT, taste=False))
    assert model.scores(query_of(user_of((0, SHOWN), (0, LIKE))), np.array([10])) is None


def test_a_taste_is_folded_in_once_for_each_request() -> None:
    model, query = model_of(np.full(20, 0.2), np.ones((20, 1))), query_of(user_of((0, LIKE)))
    model.scores(query, np.array([1, 2]))
    (taste,) = query.memo.values()
    model.rank(query, np.ones(20, bool), 5, rng())
    assert list(query.memo.values()) == [taste]
    assert list(query_of().memo) == []


@pytest.mark.parametrize(
    ("share", "most", "expected"),
    [(0.2, 0.3, (0.2, 0.2)), (0.5, 0.3, (0.5, 0.3)), (0.0, 0.3, (0.0, 0.0)), (0.5, 1.0, (0.5, 0.5))],
)
def test_a_known_user_is_spared_most_of_the_exploration(
    share: float, most: float, expected: tuple[float, float]
) -> None:
    statistics = replace(statistics_of([0.1, 0.2]), explore_share=share)
    assert BanditModel(statistics, items_of(2), DEFAULT, most).exploration == ExplorationShare(*expected)


def test_similar_items_are_those_of_its_genres_and_factors() -> None:
    genres = np.eye(2, dtype=bool)[np.arange(6) % 2]
    model = model_of([0.1, 0.9, 0.3, 0.9, 0.2, 0.9], genres, genre_variance=0.5)
    assert model.similar(0, 2).tolist() == [2, 4], "equals by like rate"
    assert len(model.similar(0, 10)) == 5
    without_genres = model_of([0.1] * 4, item_factors=np.array([[1], [-1], [2], [-1]], np.float32))
    assert without_genres.similar(0, 1).tolist() == [2]


def test_nothing_is_similar_to_an_item_that_is_newer_than_the_statistics() -> None:
    items = items_of(4, np.ones((4, 1)))
    model = BanditModel(statistics_of([0.1, 0.2], genres=1, genre_variance=0.5), items)
    assert model.similar(3, 10).tolist() == []
    assert sorted(model.similar(0, 10).tolist()) == [1, 2, 3]


# what is known, ready for ranking


def test_the_pool_holds_the_best_overall_and_of_each_genre() -> None:
    genres = np.zeros((20, 3), dtype=bool)
    genres[:15, 0] = genres[15:, 1] = True
    item_factors = rng().normal(size=(20, 2)).astype(np.float32)
    rates = np.linspace(0.5, 0.1, 20)
    view = model_of(rates, genres, sd=0.1, config=TINY, item_factors=item_factors, genre_variance=0.5).view
    assert view.pool.positions.tolist() == [0, 1, 2, 3, 15]
    for name in ("mean", "sd", "features"):
        assert np.array_equal(getattr(view.pool, name), getattr(view.items, name)[view.pool.positions])


def test_features_are_genres_by_their_deviation_then_item_factors() -> None:
    genres, item_factors = [[True, False], [True, True], [False, False]], np.arange(3, dtype=np.float32)[:, None]
    found = model_of([0.1] * 3, genres, item_factors=item_factors, genre_variance=0.25).view.items.features
    assert found == pytest.approx(np.array([[0.5, 0, 0], [0.5**1.5, 0.5**1.5, 1], [0, 0, 2]]))


def test_the_order_is_that_of_the_statistics() -> None:
    """Equals are in an order that was drawn when they were made."""
    statistics = replace(statistics_of([0.1, 0.3, 0.3, 0.3]), order=np.array([2, 1, 3, 0], np.int32))
    view = view_of(statistics, np.zeros((4, 0), bool), DEFAULT)
    assert view.order.tolist() == BanditModel(statistics, items_of(4)).order.tolist() == [2, 1, 3, 0]
    assert len(view) == 4


def newer(statistics: Any, genres: Any) -> View:
    return view_of(statistics, np.asarray(genres, bool), DEFAULT)


def test_of_newer_items_it_is_expected_what_their_genres_tell() -> None:
    """The third is of both genres, the fourth of none, the fifth of a genre that is newer too."""
    statistics = replace(
        statistics_of([0.5, 0.05], 0.01, item_factors=np.ones((2, 3), np.float32), genre_variance=0.5),
        genre_rate=np.array([0.4, 0.2], np.float32),
        genre_sd=np.array([0.04, 0.02], np.float32),
        base_rate=0.1,
        base_sd=0.05,
    )
    view = newer(statistics, [[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1]])
    assert view.items.mean == pytest.approx([0.5, 0.05, 0.3, 0.1, 0.1])
    assert view.items.sd == pytest.approx([0.01, 0.01, 0.03, 0.05, 0.05])
    assert view.order[[0, 1, 4]].tolist() == [0, 2, 1]
    assert view.items.features.shape == (5, 3 + 3)
    assert not view.items.features[2:, 3:].any()


def test_newer_items_are_not_in_the_order_of_the_catalogue() -> None:
    view = newer(replace(statistics_of([]), base_rate=0.2), np.zeros((50, 0)))
    assert sorted(view.order.tolist()) == list(range(50)) != view.order.tolist()


def test_newer_items_are_ranked_beside_the_others() -> None:
    statistics = replace(statistics_of(np.linspace(0.5, 0.1, 40)), base_rate=0.45)
    model = BanditModel(statistics, items_of(50), replace(DEFAULT, noise=0.0))
    assert set(next_list(model, NOBODY, 15, [], rng()).positions) == {*range(5), *range(40, 50)}
    assert len(mix_of(model).items) == 50
