"""How many places are for learning, and which items get them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.recommenders.bandit.exploration import (
    DEFAULT,
    NEVER,
    ExploreConfig,
    exploration_queue,
    explore_share,
    never_shown,
)
from recsys.recommenders.bandit.posterior import Floats, Posterior

FAST = settings(deadline=None, max_examples=50)
OFTEN = 10_000  # lists served: enough for every item with an upside to be worth another look
NOTHING = np.zeros(0, dtype=np.float32)


def floats(values: Any) -> Floats:
    return np.asarray(values, dtype=np.float32)


def posterior_of(upside: Any, mean: Any = 0.25, level: float = 0.5) -> Posterior:
    gains = floats(upside)
    means = np.broadcast_to(floats(mean), gains.shape).copy()
    return Posterior(means, means, gains, level, NOTHING, NOTHING, 0.0, 0.0)


def impressions_of(new: int, known: int) -> Floats:
    return np.repeat(floats([0, 5]), [new, known])


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("new", "known", "share"), [(0, 0, 0.0), (0, 7, 0.1), (8, 0, 0.8), (4, 4, 0.5), (1, 599, 0.201)]
)
def test_the_share_of_places_follows_the_share_of_new_items(new: int, known: int, share: float) -> None:
    config = ExploreConfig(least=0.2, unknown=0.6, looks=0.1)
    assert explore_share(impressions_of(new, known), config) == pytest.approx(share)


@FAST
@given(st.builds(ExploreConfig, least=st.floats(0, 1), unknown=st.floats(0, 1), looks=st.just(0.0)), st.integers(1, 30))
def test_more_new_items_never_get_fewer_places(config: ExploreConfig, n: int) -> None:
    shares = [explore_share(impressions_of(new, n - new), config) for new in range(n + 1)]
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1


def test_what_was_shown_once_is_new_again_after_a_half_life() -> None:
    assert never_shown(floats([0, NEVER - 0.01, NEVER, 1])).tolist() == [True, True, False, False]


@dataclass(frozen=True)
class Call:
    """One call of ``exploration_queue`` and what a reader would work out from its arguments."""

    upside: list[float]
    mean: list[float]
    impressions: list[float]
    level: float
    lists: int
    size: int
    seed: int
    config: ExploreConfig

    @property
    def new(self) -> set[int]:
        return {i for i, count in enumerate(self.impressions) if count < NEVER}

    @property
    def looks(self) -> set[int]:
        """A find is of use in so many lists; the place costs what the item is below the level."""
        future = self.config.horizon * self.lists if self.config.looks else 0.0
        return {
            i
            for i in set(range(len(self.mean))) - self.new
            if self.mean[i] < self.level and self.upside[i] * future > self.level - self.mean[i]
        }

    def run(self) -> list[int]:
        posterior = posterior_of(self.upside, self.mean, self.level)
        positions: list[int] = exploration_queue(
            posterior, floats(self.impressions), self.lists, self.size, rng(self.seed), self.config
        ).tolist()
        return positions


@st.composite
def calls(draw: st.DrawFn) -> Call:
    n = draw(st.integers(0, 25))

    def numbers(*values: float) -> list[float]:
        return draw(st.lists(st.sampled_from(values), min_size=n, max_size=n))

    return Call(
        upside=numbers(0, 1 / 64, 1 / 32, 1 / 8),
        mean=numbers(0, 1 / 8, 3 / 8, 1 / 2, 3 / 4),
        impressions=numbers(0, 0.25, 1, 50),
        level=0.5,
        lists=draw(st.sampled_from([0, 150, 1_100, OFTEN])),
        size=draw(st.integers(0, 30)),
        seed=draw(st.integers(0, 2**32)),
        config=draw(
            st.sampled_from([
                DEFAULT, ExploreConfig(interleave=0.5), ExploreConfig(interleave=0.0), ExploreConfig(looks=0.0)
            ])
        ),
    )  # fmt: skip


@FAST
@given(calls())
def test_candidates_are_new_or_worth_another_look_and_none_is_left_out(call: Call) -> None:
    candidates = call.run()
    wanted = call.new | call.looks
    assert len(set(candidates)) == len(candidates) == min(call.size, len(wanted))
    assert set(candidates) <= wanted


@FAST
@given(calls())
def test_the_promising_come_first(call: Call) -> None:
    candidates = call.run()
    for kind in (call.new, call.looks):
        upsides = [call.upside[candidate] for candidate in candidates if candidate in kind]
        assert upsides == sorted(upsides, reverse=True)
        left_out = [call.upside[i] for i in kind.difference(candidates)]
        if upsides and left_out:
            assert upsides[-1] >= max(left_out)


@FAST
@given(calls())
def test_second_looks_have_their_share_as_long_as_there_are_both(call: Call) -> None:
    candidates = call.run()
    second = 0
    for count, candidate in enumerate(candidates, 1):
        second += candidate in call.looks
        if second in (0, len(call.looks)) or count - second == len(call.new):
            continue
        assert abs(second - count * call.config.interleave) <= 1


@pytest.mark.parametrize(("interleave", "second"), [(0.3, 30), (0.5, 50), (0.1, 10)])
def test_the_mixture_is_that_of_the_config(interleave: float, second: int) -> None:
    posterior = posterior_of(np.linspace(0.1, 0.2, 200))
    candidates = exploration_queue(
        posterior, impressions_of(100, 100), OFTEN, 100, rng(), replace(DEFAULT, interleave=interleave)
    )
    assert np.count_nonzero(candidates >= 100) == pytest.approx(second, abs=1)


def test_without_interleaving_second_looks_wait_for_what_is_new() -> None:
    config = replace(DEFAULT, interleave=0.0)
    candidates = exploration_queue(posterior_of([0.1, 0.2, 0.3, 0.4]), impressions_of(2, 2), OFTEN, 4, rng(), config)
    assert candidates.tolist() == [1, 0, 3, 2]


@pytest.mark.parametrize("size", [0, 1, 5, 30])
def test_without_looks_there_are_only_new_candidates(size: int) -> None:
    posterior = posterior_of(np.full(20, 0.3))
    candidates = exploration_queue(posterior, impressions_of(10, 10), OFTEN, size, rng(), replace(DEFAULT, looks=0.0))
    assert len(candidates) == min(size, 10)
    assert np.all(candidates < 10)


@pytest.mark.parametrize(("lists", "candidates"), [(0, []), (100, []), (300, [0]), (OFTEN, [0, 1])])
def test_a_second_look_pays_if_a_find_is_of_use_in_enough_lists(lists: int, candidates: list[int]) -> None:
    """The first two are 0.1 below the level, and may be 0.01 and 0.002 above; the third is above it already."""
    posterior = posterior_of([0.01, 0.002, 0.2], [0.2, 0.2, 0.4], level=0.3)
    config = ExploreConfig(horizon=0.05)
    assert exploration_queue(posterior, impressions_of(0, 3), lists, 10, rng(), config).tolist() == candidates


def test_what_can_not_be_better_gets_no_second_look() -> None:
    assert exploration_queue(posterior_of(np.zeros(5)), impressions_of(0, 5), 10**9, 10, rng()).tolist() == []


def test_equals_are_in_random_order() -> None:
    posterior, impressions, generator = posterior_of(np.full(10, 0.1)), impressions_of(10, 0), rng()
    first = [exploration_queue(posterior, impressions, 0, 10, generator)[0] for _ in range(1_000)]
    assert np.all(np.abs(np.bincount(first, minlength=10) - 100) < 60)


def test_the_same_seed_gives_the_same_queue() -> None:
    posterior, impressions = posterior_of(np.full(50, 0.1)), impressions_of(50, 0)
    candidates = [exploration_queue(posterior, impressions, 0, 50, rng(seed)).tolist() for seed in (1, 1, 2)]
    assert candidates[0] == candidates[1] != candidates[2]


@FAST
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_catalogue_does_not_matter(random: Any) -> None:
    upside, impressions = np.linspace(0.1, 0.3, 20), impressions_of(12, 8)
    turned = list(range(20))
    random.shuffle(turned)
    candidates = exploration_queue(posterior_of(upside), impressions, OFTEN, 15, rng())
    other = exploration_queue(posterior_of(upside[turned]), impressions[turned], OFTEN, 15, rng())
    assert [turned[candidate] for candidate in other] == candidates.tolist()


def test_nothing_given_is_changed() -> None:
    posterior, impressions = posterior_of(np.linspace(0.1, 0.3, 20)), impressions_of(12, 8)
    before = [array.copy() for array in (posterior.mean, posterior.upside, impressions)]
    exploration_queue(posterior, impressions, OFTEN, 10, rng())
    after = [posterior.mean, posterior.upside, impressions]
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))
