"""Who comes when: the plan against what it promises."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.traffic import LISTS_PER_VISIT, PATTERNS, Plan, TrafficConfig, first_visits, plan_traffic

FAST = settings(deadline=None, max_examples=40)
CONFIGS = st.builds(
    TrafficConfig,
    requests_per_s=st.floats(1, 1000),
    concurrency=st.integers(1, 20),
    long_pause_share=st.floats(0, 1),
    lists_per_user=st.floats(1, 12),
)
PLANS = st.builds(plan_traffic, st.integers(1, 60), CONFIGS, st.integers(0, 5))


def steps_of(plan: Plan) -> list[range]:
    """The steps of each visit."""
    return [range(start, end) for start, end in pairwise(plan.first.tolist())]


def stays_of(plan: Plan) -> list[tuple[float, float]]:
    """From when to when each visit is there if every answer takes no time."""
    lengths = [float(plan.pause_s[steps].sum()) for steps in steps_of(plan)]
    return [(start, start + length) for start, length in zip(plan.arrival_s.tolist(), lengths, strict=True)]


def large(**changes: float) -> Plan:
    return plan_traffic(6_000, TrafficConfig(**changes), seed=1)  # type: ignore[arg-type]


def test_a_plan_comes_from_its_seed() -> None:
    one, again, other = (plan_traffic(50, TrafficConfig(), seed) for seed in (1, 1, 2))
    for name in ("user", "arrival_s", "first", "looks", "pause_s"):
        assert getattr(one, name).tobytes() == getattr(again, name).tobytes()
        assert getattr(one, name).tobytes() != getattr(other, name).tobytes()


@pytest.mark.parametrize(
    ("visits_per_user", "expected"),
    [(0.5, {1: 40}), (1.0, {1: 40}), (1.5, {1: 20, 2: 20}), (2.0, {2: 40}), (3.25, {3: 30, 4: 10})],
)
def test_every_user_comes_as_often_as_wanted(visits_per_user: float, expected: dict[int, int]) -> None:
    plan = plan_traffic(40, TrafficConfig(lists_per_user=visits_per_user * LISTS_PER_VISIT), seed=3)
    visits = Counter(plan.user.tolist())
    assert set(visits) == set(range(40))
    assert Counter(visits.values()) == expected


@FAST
@given(st.integers(1, 60), CONFIGS, st.integers(0, 5))
def test_the_order_of_first_visits_is_known_without_the_plan(n_users: int, config: TrafficConfig, seed: int) -> None:
    came = plan_traffic(n_users, config, seed).user.tolist()
    assert first_visits(n_users, seed).tolist() == list(dict.fromkeys(came))


@FAST
@given(PLANS)
def test_visits_come_in_order_and_are_made_of_patterns(plan: Plan) -> None:
    assert plan.arrival_s[0] == 0
    assert (np.diff(plan.arrival_s) >= 0).all()
    assert {"".join("IR"[int(plan.looks[n])] for n in steps) for steps in steps_of(plan)} <= set(PATTERNS)
    assert plan.step_user.tolist() == [
        user for user, steps in zip(plan.user.tolist(), steps_of(plan), strict=True) for _ in steps
    ]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_visit_begins_with_a_list_and_reacts_once_to_each(pattern: str) -> None:
    assert pattern.startswith("R")
    assert "II" not in pattern


@FAST
@given(PLANS)
def test_steps_are_ordered_by_when_they_are_due(plan: Plan) -> None:
    due_s = {}
    for (start, _), steps in zip(stays_of(plan), steps_of(plan), strict=True):
        for step in steps:
            due_s[step] = start + float(plan.pause_s[steps.start : step + 1].sum())
    order = plan.order.tolist()
    assert sorted(order) == list(range(len(plan.looks)))
    assert all(due_s[one] <= due_s[next_one] + 1e-6 for one, next_one in pairwise(order))
    place = {step: n for n, step in enumerate(order)}
    assert all(place[step] < place[step + 1] for steps in steps_of(plan) for step in steps[:-1])
    assert plan.lists.tolist() == [step for step in order if plan.looks[step]]


@FAST
@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 5))
def test_no_more_users_than_places_are_there_at_once(n_users: int, places: int, seed: int) -> None:
    stays = stays_of(plan_traffic(n_users, TrafficConfig(requests_per_s=1_000, concurrency=places), seed))
    assert all(sum(start <= at < end - 1e-9 for start, end in stays) <= places for at, _ in stays)


@FAST
@given(PLANS)
def test_a_user_comes_again_only_after_he_has_left(plan: Plan) -> None:
    """Else his lists would be judged in another order than he was shown them."""
    stays = defaultdict(list)
    for user, stay in zip(plan.user.tolist(), stays_of(plan), strict=True):
        stays[user].append(stay)
    assert all(end <= again + 1e-9 for visits in stays.values() for (_, end), (again, _) in pairwise(visits))


def test_the_pauses_are_those_configured() -> None:
    config = TrafficConfig()
    plan = plan_traffic(6_000, config, seed=1)
    assert (plan.pause_s[plan.first[:-1]] == 0).all()
    pauses = np.delete(plan.pause_s, plan.first[:-1])
    short = (pauses >= config.short_pause_s[0]) & (pauses < config.short_pause_s[1])
    long = (pauses >= config.long_pause_s[0]) & (pauses < config.long_pause_s[1])
    assert (short | long).all()
    assert long.mean() == pytest.approx(config.long_pause_share, rel=0.2)


def test_a_large_plan_is_as_busy_as_the_external_grader_was_seen_to_be() -> None:
    plan = large()
    took_s = max(end for _, end in stays_of(plan))
    lists = int(plan.looks.sum())
    assert lists / 6_000 == pytest.approx(3.1, rel=0.02)
    assert (len(plan.looks) - lists) / 6_000 == pytest.approx(2.2, rel=0.02)
    assert lists / took_s == pytest.approx(52, rel=0.08)
    assert (len(plan.looks) - lists) / took_s == pytest.approx(36, rel=0.08)


@pytest.mark.parametrize("requests_per_s", [20.0, 60.0])
def test_the_rate_is_that_configured(requests_per_s: float) -> None:
    plan = large(requests_per_s=requests_per_s)
    assert len(plan.looks) / plan.arrival_s[-1] == pytest.approx(requests_per_s, rel=0.08)


def test_patterns_come_as_often_as_their_shares_say() -> None:
    plan = large()
    found = Counter("".join("IR"[int(plan.looks[n])] for n in steps) for steps in steps_of(plan))
    assert {pattern: found[pattern] / 6_000 for pattern in PATTERNS} == pytest.approx(PATTERNS, abs=0.03)


def test_lists_per_user_is_the_mean_of_a_large_plan() -> None:
    plan = large(lists_per_user=5.0)
    assert len(plan.lists) / 6_000 == pytest.approx(5.0, rel=0.02)
