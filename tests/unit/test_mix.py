"""How a list is filled: by the rules a reader would apply to it, and by example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.recommenders.mix import (
    AGAIN,
    EXPLORE,
    NO_EXPLORATION,
    RANDOM,
    SHORTLIST,
    Hand,
    Mix,
    Slate,
    Source,
)
from recsys.recommenders.port import NOTHING, Bools, ExplorationShare, Floats, Positions, Query, Ranked
from recsys.user_state import DISLIKE, LIKE, SHOWN, UserState
from tests.unit.by_hand import NOBODY, Asked, items_of, must_not_fail, query_of, rng, shown, user_of

FAST = settings(deadline=None, max_examples=100)


@dataclass(eq=False)
class Planned:
    """Implements Model: what it would show, best first, and how good that is; notes what it was asked."""

    order: Sequence[int]
    scores_of: Sequence[float] | None = None
    asked: list[tuple[Query, list[bool], int]] = field(default_factory=list)

    def rank(self, query: Query, eligible: Bools, k: int, rng: np.random.Generator) -> Ranked:
        self.asked.append((query, eligible.tolist(), k))
        places = [place for place, position in enumerate(self.order) if eligible[position]][:k]
        positions = np.array([self.order[place] for place in places], np.int64)
        if self.scores_of is None:
            return Ranked(positions)
        return Ranked(positions, np.array([self.scores_of[place] for place in places], np.float32))

    def dump(self) -> bytes:
        return b""


class Suiting(Planned):
    """Implements Scoring: how well each of the items that it knows suits a user whom it knows."""

    def __init__(self, suits: Sequence[float], order: Sequence[int] = (), *, knows: bool = True) -> None:
        super().__init__(order)
        self._suits, self._knows = np.array(suits, np.float32), knows
        self.of: list[list[int]] = []

    def scores(self, query: Query, positions: Positions) -> Floats | None:
        self.of.append(positions.tolist())
        return self._suits[positions] if self._knows else None


def mix_of(n: int, *models: Any, exploration: ExplorationShare = NO_EXPLORATION, **of: Any) -> Mix:
    """Sources a, b, …, each of the whole catalogue of n items without genres."""
    sources = [Source("abc"[number], model, n) for number, model in enumerate(models)]
    return Mix(items_of(n), sources, exploration, failed=must_not_fail, **of)


def fill(mix: Mix, user: UserState = NOBODY, k: int = 10, offered: Sequence[int] = (), seed: int = 0) -> Slate:
    return mix.fill(query_of(user), k, offered, rng(seed))


def exploring(share: float, known_user: float = 1.0) -> ExplorationShare:
    return ExplorationShare(share, min(share, known_user))


# whatever is asked


@dataclass(frozen=True)
class Call(Asked):
    """A list of any length for any user from any sources, and what a reader would work out from it."""

    n: int
    orders: list[list[int]]  # of each source; the others it does not know
    known: list[int]  # of how many items each source has heard
    scored: list[bool]
    k: int
    seed: int
    share: float
    diversity: float

    @property
    def stranger(self) -> bool:
        return all(mark == SHOWN for _, mark in self.history)

    def models(self) -> list[Planned]:
        return [
            Planned(order, [float(len(order) - place) for place in range(len(order))] if scored else None)
            for order, scored in zip(self.orders, self.scored, strict=True)
        ]

    def run(self, models: Sequence[Planned] | None = None) -> Slate:
        told = zip("abc", models or self.models(), self.known, strict=False)
        sources = [Source(name, model, known) for name, model, known in told]
        mix = Mix(items_of(self.n), sources, exploring(self.share, 0.25), self.diversity, must_not_fail)
        return fill(mix, user_of(*self.history), self.k, self.offered, self.seed)

    def by_source(self) -> dict[str, list[int]]:
        slate = self.run()
        found: dict[str, list[int]] = {name: [] for name in (*"abc", RANDOM, EXPLORE, AGAIN)}
        for position, source in zip(slate.positions, slate.sources, strict=True):
            found[source].append(position)
        return found


@st.composite
def calls(draw: st.DrawFn) -> Call:
    n = draw(st.integers(0, 12))
    known = draw(st.lists(st.integers(0, n), max_size=3))
    position = st.integers(0, max(n - 1, 0))
    marks = st.sampled_from([SHOWN, SHOWN, LIKE, DISLIKE])
    return Call(
        n=n,
        orders=[draw(st.permutations(range(of)))[: draw(st.integers(0, of))] for of in known],
        known=known,
        scored=draw(st.lists(st.booleans(), min_size=len(known), max_size=len(known))),
        history=draw(st.lists(st.tuples(position, marks), max_size=2 * n if n else 0)),
        offered=draw(st.lists(position, max_size=8 if n else 0)),
        k=draw(st.integers(0, 14)),
        seed=draw(st.integers(0, 2**32)),
        share=draw(st.sampled_from([0.0, 0.1, 0.25, 0.3, 1.0])),
        diversity=draw(st.sampled_from([0.0, 0.15])),  # without genres all items are equally different
    )


@FAST
@given(calls())
def test_it_holds_exactly_k_or_all_that_are_not_disliked(call: Call) -> None:
    assert len(call.run().positions) == min(call.k, call.n - len(call.disliked))


@FAST
@given(calls())
def test_nothing_repeats(call: Call) -> None:
    positions = call.run().positions
    assert len(set(positions)) == len(positions)
    assert all(type(position) is int for position in positions)


@FAST
@given(calls())
def test_disliked_items_never_come_back(call: Call) -> None:
    assert not call.disliked & set(call.run().positions)


@FAST
@given(calls())
def test_nothing_shown_comes_before_everything_unseen(call: Call) -> None:
    positions = call.run().positions
    fresh = set(range(call.n)) - call.seen
    wanted = min(call.k, len(fresh))
    assert set(positions[:wanted]) <= fresh
    assert set(positions[wanted:]) <= call.seen


@FAST
@given(calls())
def test_what_comes_back_is_the_longest_unseen(call: Call) -> None:
    last = {position: place for place, (position, _) in enumerate(call.history)}
    expected = sorted(call.seen - call.disliked, key=last.__getitem__)
    back = call.by_source()[AGAIN]
    assert back == expected[: len(back)]


@FAST
@given(calls())
def test_each_position_has_a_source_in_the_order_of_filling(call: Call) -> None:
    slate = call.run()
    assert len(slate.sources) == len(slate.positions)
    places = [[*"abc", RANDOM, EXPLORE, AGAIN].index(source) for source in slate.sources]
    assert places == sorted(places)
    for position, source in zip(slate.positions, slate.sources, strict=True):
        assert (source == AGAIN) == (position in call.seen)
        assert source != EXPLORE or position in call.offered


@FAST
@given(calls())
def test_unseen_candidates_fill_the_explore_places_in_their_order(call: Call) -> None:
    explored = call.by_source()[EXPLORE]
    assert explored == call.unseen_candidates[: len(explored)]
    places = call.k * (call.share if call.stranger else min(call.share, 0.25))
    least = {min(whole, len(call.unseen_candidates)) for whole in (int(places), ceil(places))}
    assert len(explored) in least


@FAST
@given(calls())
def test_each_source_fills_what_those_before_it_left_empty(call: Call) -> None:
    """And nobody but chance fills what none of them knows."""
    found = call.by_source()
    taken = call.seen | set(found[EXPLORE])
    left = min(call.k - len(found[EXPLORE]), call.n - len(taken))
    for name, order in zip("abc", call.orders, strict=False):
        expected = [position for position in order if position not in taken][:left]
        assert found[name] == expected
        taken |= set(expected)
        left -= len(expected)
    assert len(found[RANDOM]) == left


@FAST
@given(calls())
def test_a_source_hears_of_nothing_that_it_may_not_show_or_does_not_know(call: Call) -> None:
    models = call.models()
    slate = call.run(models)
    taken = call.seen | {p for p, source in zip(slate.positions, slate.sources, strict=True) if source == EXPLORE}
    for name, model, known in zip("abc", models, call.known, strict=False):
        for query, eligible, k in model.asked:
            assert eligible == [position not in taken for position in range(known)]
            assert k >= SHORTLIST
            told = list(zip(query.state.indices.tolist(), query.state.marks.tolist(), strict=True))
            assert told == [(position, mark) for position, mark in call.history if position < known]
        taken |= {p for p, source in zip(slate.positions, slate.sources, strict=True) if source == name}


@FAST
@given(calls())
def test_the_same_seed_gives_the_same_list(call: Call) -> None:
    assert call.run() == call.run()


@FAST
@given(calls())
def test_nothing_given_is_changed(call: Call) -> None:
    user, offered = user_of(*call.history), list(call.offered)
    before = [user.indices.copy(), user.marks.copy()]
    items = items_of(call.n)
    mix = Mix(items, [Source("a", Planned(range(call.n)), call.n)], exploring(call.share), call.diversity)
    mix.fill(query_of(user), call.k, offered, rng())
    assert all(np.array_equal(old, new) for old, new in zip(before, (user.indices, user.marks), strict=True))
    assert (offered, len(items)) == (call.offered, call.n)


# sources


def test_the_next_source_fills_what_one_leaves_empty() -> None:
    slate = fill(mix_of(20, Planned([7, 3]), Planned([3, 11, 7, 12]), Planned([0])), k=6)
    assert slate.positions[:5] == [7, 3, 11, 12, 0]
    assert slate.sources == ["a", "a", "b", "b", "c", RANDOM]


@pytest.mark.parametrize("answer", [NOTHING, np.zeros(0, np.int64), [], ()], ids=["nothing", "array", "list", "tuple"])
def test_a_source_may_abstain(answer: Any) -> None:
    class Silent(Planned):
        def rank(self, query: Query, eligible: Bools, k: int, rng: np.random.Generator) -> Any:
            return answer

    assert fill(mix_of(20, Silent([]), Planned(range(20)))) == Slate(list(range(10)), ["b"] * 10)


def test_a_source_is_not_asked_for_what_those_before_it_have_filled() -> None:
    last = Planned(range(20))
    fill(mix_of(20, Planned(range(20)), last))
    assert last.asked == []


@pytest.mark.parametrize(("k", "asked"), [(1, SHORTLIST), (10, SHORTLIST), (16, 32), (17, 34), (100, 200)])
def test_a_source_is_asked_for_enough_to_choose_from(k: int, asked: int) -> None:
    model = Planned(range(300))
    fill(mix_of(300, model), k=k)
    assert [of for *_, of in model.asked] == [asked]


def test_it_is_asked_for_no_more_than_what_those_before_it_and_exploration_left() -> None:
    first, second = Planned(range(10)), Planned(range(300))
    fill(mix_of(300, first, second, exploration=exploring(0.25)), k=80, offered=range(200, 300))
    assert [of for *_, of in first.asked + second.asked] == [2 * 60, 2 * 50]


@pytest.mark.parametrize("answer", [[4, 2], (4, 2), np.array([4, 2], np.uint8), np.array([4, 2]), Ranked([4, 2])])
def test_positions_may_be_any_whole_numbers(answer: Any) -> None:
    class Plain(Planned):
        def rank(self, query: Query, eligible: Bools, k: int, rng: np.random.Generator) -> Any:
            return answer

    assert fill(mix_of(5, Plain([])), k=2) == Slate([4, 2], ["a", "a"])


def test_more_than_was_asked_for_is_cut_off() -> None:
    class Eager(Planned):
        def rank(self, query: Query, eligible: Bools, k: int, rng: np.random.Generator) -> Ranked:
            return Ranked(np.flatnonzero(eligible)[::-1])

    assert fill(mix_of(300, Eager([]))) == Slate(list(range(299, 289, -1)), ["a"] * 10)


def test_without_sources_lists_are_random_items() -> None:
    """Of 16 unseen items each list has 4."""
    mix, generator = mix_of(20), rng()
    lists = [mix.fill(query_of(shown(0, 1, 2, 3)), 4, [], generator) for _ in range(800)]
    assert all(slate.sources == [RANDOM] * 4 for slate in lists)
    count = np.bincount([position for slate in lists for position in slate.positions], minlength=20)
    assert count[:4].tolist() == [0] * 4
    assert np.all(np.abs(count[4:] - 200) < 80)


@pytest.mark.parametrize("n", [0, 1, 3, 9])
def test_a_catalogue_smaller_than_k_is_given_whole(n: int) -> None:
    assert sorted(fill(mix_of(n, Planned(range(0, n, 2)))).positions) == list(range(n))


def test_a_model_draws_from_the_generator_of_the_request() -> None:
    class Drawing(Planned):
        def rank(self, query: Query, eligible: Bools, k: int, rng: np.random.Generator) -> Positions:
            return rng.permutation(np.flatnonzero(eligible))[:k]

    mix = mix_of(100, Drawing([]))
    assert fill(mix, seed=1) == fill(mix, seed=1) != fill(mix, seed=2)


# models of an earlier catalogue


def test_items_that_no_model_knows_yet_are_shown_by_chance() -> None:
    slate = fill(Mix(items_of(12), [Source("a", Planned(range(8)), 8)]), k=12)
    assert slate.positions[:8] == list(range(8))
    assert sorted(slate.positions[8:]) == [8, 9, 10, 11]
    assert slate.sources == ["a"] * 8 + [RANDOM] * 4


def test_a_model_hears_only_of_the_items_that_it_knows() -> None:
    model, user = Planned([]), user_of((9, SHOWN), (3, SHOWN), (9, LIKE), (7, DISLIKE))
    query = query_of(user)
    Mix(items_of(12), [Source("a", model, 8)]).fill(query, 2, [], rng())
    ((asked, eligible, _),) = model.asked
    assert (asked.user_id, asked.at) == (query.user_id, query.at)
    assert (asked.state.indices.tolist(), asked.state.marks.tolist()) == ([3, 7], [SHOWN, DISLIKE])
    assert eligible == [True, True, True, False, True, True, True, False]


def test_models_of_the_whole_catalogue_share_what_they_note_about_a_request() -> None:
    class Noting(Suiting):
        def scores(self, query: Query, positions: Positions) -> Floats | None:
            query.memo[self] = "noted"
            return super().scores(query, positions)

        def rank(self, query: Query, eligible: Bools, k: int, rng: np.random.Generator) -> Ranked:
            assert query.memo == {self: "noted"}
            return super().rank(query, eligible, k, rng)

    mix = mix_of(20, Noting([0.0] * 20, range(20)), exploration=exploring(0.3))
    assert fill(mix, offered=range(10, 20)).sources == ["a"] * 7 + [EXPLORE] * 3


# exploration


def falling(n: int, share: float) -> Mix:
    """Each item is a little worse than the one before."""
    return mix_of(n, Planned(range(n), np.linspace(0.5, 0.1, n).tolist()), exploration=exploring(share))


def test_the_best_then_the_candidates() -> None:
    slate = fill(falling(50, 0.3), offered=[40, 30, 20, 45, 46])
    assert slate == Slate([0, 1, 2, 3, 4, 5, 6, 40, 30, 20], ["a"] * 7 + [EXPLORE] * 3)


def test_a_candidate_among_the_best_stays_a_candidate() -> None:
    assert fill(falling(50, 0.3), offered=[0]) == Slate([*range(1, 10), 0], ["a"] * 9 + [EXPLORE])


def test_without_candidates_the_sources_have_all_places() -> None:
    assert fill(falling(50, 0.3)).sources == ["a"] * 10


def test_candidates_may_take_every_place() -> None:
    slate = fill(falling(50, 1.0), k=5, offered=[40, 30, 20, 45, 46, 47])
    assert slate == Slate([40, 30, 20, 45, 46], [EXPLORE] * 5)


@pytest.mark.parametrize(
    ("lists", "share", "candidates"),
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
def test_sixty_candidates_are_at_hand_beyond_the_explore_places(
    lists: list[int], share: float, candidates: int
) -> None:
    """And for several lists, one after the other, no more than these."""
    assert falling(50, share).candidates(lists) == candidates


@pytest.mark.parametrize(("k", "share"), [(10, 0.25), (10, 0.05), (3, 0.1), (1, 0.3), (10, 0.3)])
@pytest.mark.parametrize("user", [NOBODY, user_of((0, SHOWN), (0, LIKE))], ids=["nobody", "known user"])
def test_explore_places_are_rounded_by_chance(k: int, share: float, user: UserState) -> None:
    exploration = ExplorationShare(share, share) if len(user.indices) else ExplorationShare(share, 0.0)
    mix, generator, offered = mix_of(50, Planned(range(50)), exploration=exploration), rng(), list(range(30, 50))
    explored = [mix.fill(query_of(user), k, offered, generator).sources.count(EXPLORE) for _ in range(600)]
    assert set(explored) == {int(k * share), ceil(k * share)}
    assert np.mean(explored) == pytest.approx(k * share, abs=0.1)


@pytest.mark.parametrize(
    ("history", "explored"),
    [([], 4), ([(0, SHOWN)], 4), ([(0, LIKE)], 1), ([(0, DISLIKE)], 1), ([(0, SHOWN), (0, LIKE), (0, 3)], 4)],
    ids=["nobody", "only looked", "liked", "disliked", "took it back"],
)
def test_one_who_has_reacted_gets_a_list_of_his_own(history: list[tuple[int, int]], explored: int) -> None:
    mix = mix_of(50, Planned(range(50)), exploration=ExplorationShare(0.4, 0.1))
    assert fill(mix, user_of(*history), offered=range(30, 50)).sources.count(EXPLORE) == explored


def test_of_the_candidates_those_that_suit_the_user_fill_the_places() -> None:
    """Best first; equals in the order of the queue."""
    suits = [position % 3 for position in range(20)]
    mix = mix_of(20, Suiting(suits, range(20)), exploration=exploring(0.4))
    assert fill(mix, offered=[12, 10, 17, 13, 14, 16, 18]).positions[-4:] == [17, 14, 10, 13]


def test_whom_the_first_source_does_not_know_the_next_may() -> None:
    silent, knowing, last = Suiting([0] * 20, knows=False), Suiting(range(20)), Suiting([0] * 20)
    mix = mix_of(20, Planned(range(20)), silent, knowing, exploration=exploring(0.2))
    assert fill(mix, offered=[12, 10, 17, 13]).positions[-2:] == [17, 13]
    assert (silent.of, knowing.of, last.of) == ([[12, 10, 17, 13]], [[12, 10, 17, 13]], [])


def test_whom_no_source_knows_gets_the_first_candidates() -> None:
    mix = mix_of(20, Planned(range(20)), Suiting([0] * 20, knows=False), exploration=exploring(0.2))
    assert fill(mix, offered=[12, 10, 17]).positions[-2:] == [12, 10]


@pytest.mark.parametrize("offered", [[], [12], [12, 10], [0, 12, 10, 0]])
def test_where_there_is_no_choice_nobody_is_asked(offered: list[int]) -> None:
    model = Suiting(range(20), range(20))
    slate = fill(mix_of(20, model, exploration=exploring(0.2)), shown(0), offered=offered)
    assert slate.positions[10 - len(set(offered) - {0}) :] == [p for p in offered if p]
    assert model.of == []


def test_candidates_that_the_model_does_not_know_come_last_in_their_order() -> None:
    model = Suiting([-5.0, -9.0, -7.0, -8.0, -6.0, 0.0, 0.0, 0.0], [])
    mix = Mix(items_of(12), [Source("a", model, 8)], exploring(0.6), failed=must_not_fail)
    slate = fill(mix, offered=[11, 1, 9, 0, 3, 10, 2])
    assert [p for p, source in zip(slate.positions, slate.sources, strict=True) if source == EXPLORE] == [
        *(0, 2, 3, 1),
        *(11, 9),
    ]
    assert model.of == [[1, 0, 3, 2]]


# what was shown comes back


def test_after_the_whole_catalogue_the_oldest_come_back() -> None:
    user = user_of((3, SHOWN), (1, SHOWN), (0, SHOWN), (2, SHOWN), (3, LIKE), (1, DISLIKE))
    assert fill(falling(4, 0.3), user, offered=[0, 1, 2, 3]) == Slate([0, 2, 3], [AGAIN] * 3)


def test_an_item_disliked_once_and_liked_later_stays_away() -> None:
    assert fill(falling(1, 0.3), user_of((0, DISLIKE), (0, LIKE)), offered=[0]) == Slate([], [])


def test_a_dislike_that_was_taken_back_keeps_nothing_away() -> None:
    undone = user_of((0, DISLIKE), (0, 3))
    assert fill(falling(1, 0.3), undone) == Slate([0], [AGAIN])


# diversity


def two_genres(scores: Sequence[float] | None, diversity: float) -> Mix:
    """Items 0 to 3 are of one genre, 4 to 7 of another and a little worse."""
    items = items_of(8, np.repeat(np.eye(2, dtype=bool), 4, axis=0))
    return Mix(items, [Source("a", Planned(range(8), scores), 8)], diversity=diversity, failed=must_not_fail)


FALLING = [1.0, 0.99, 0.98, 0.97, 0.96, 0.95, 0.94, 0.93]


def test_neighbours_in_a_list_are_different() -> None:
    assert fill(two_genres(FALLING, 0.3), k=4).positions[:2] == [0, 4]


def test_without_diversity_the_scores_decide() -> None:
    assert fill(two_genres(FALLING, 0.0), k=8).positions == list(range(8))
    assert fill(two_genres(FALLING[::-1], 0.0), k=8).positions == list(range(8))[::-1]


def test_without_scores_the_order_alone_counts() -> None:
    assert fill(two_genres(None, 1.0), k=8).positions == list(range(8))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_scores_may_be_on_any_scale(scale: float) -> None:
    scores = [scale * score for score in FALLING]
    assert fill(two_genres(scores, 0.3), k=8) == fill(two_genres(FALLING, 0.3), k=8)


def test_scores_below_zero_count_from_the_lowest() -> None:
    """The logarithms of rates, say: the best is worth most, the worst nothing."""
    logs = [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0, -7.0, -8.0]
    lifted = [log + 8 for log in logs]
    for diversity in (0.0, 0.3, 1.0):
        assert fill(two_genres(logs, diversity), k=8) == fill(two_genres(lifted, diversity), k=8)


def test_scores_may_all_be_alike() -> None:
    for value in (-3.0, 0.0, 2.0):
        assert sorted(fill(two_genres([value] * 8, 0.15), k=8).positions) == list(range(8))


def test_a_mix_of_the_same_items_goes_on_with_what_the_last_one_made_of_them() -> None:
    items = items_of(8, np.repeat(np.eye(2, dtype=bool), 4, axis=0))
    first = Mix(items)
    assert Mix(items, before=first)._unit is first._unit
    other = Mix(items_of(9), before=first)
    assert len(other._unit) == 9


# hands


def test_candidates_that_are_not_shown_come_first_again() -> None:
    hand = Hand(range(6))
    offered = hand.offer(4)
    assert offered == [0, 1, 2, 3]
    hand.take_back([1, 3])
    assert list(hand) == hand.offer(10) == [1, 3, 4, 5]


def test_a_hand_may_be_empty() -> None:
    hand: Hand[str] = Hand()
    assert (list(hand), hand.offer(3)) == ([], [])
