"""Who comes when and does what: the visits of a run, planned before the first request and independent of any answer."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from grader.worlds.world import Bools, Ints

LOOK: Final = "R"
REACT: Final = "I"
# Shares that give what was observed of the external grader: 3.1 lists and 2.2 reactions per user, 52 and 36 a second.
PATTERNS: Final = {"RIRR": 0.14, "RRRI": 0.14, "RIRIR": 0.36, "RIRIRI": 0.24, "RIRIRIRI": 0.12}
LISTS_PER_VISIT: Final = sum(share * pattern.count(LOOK) for pattern, share in PATTERNS.items())
STEPS_PER_VISIT: Final = sum(share * len(pattern) for pattern, share in PATTERNS.items())


@dataclass(frozen=True)
class TrafficConfig:
    """Observed of the external grader. With these pauses about 40 of the 50 places are taken on average."""

    requests_per_s: float = 88.0
    concurrency: int = 50  # users at once
    short_pause_s: tuple[float, float] = (0.2, 0.4)
    long_pause_s: tuple[float, float] = (5.0, 20.0)
    long_pause_share: float = 0.02
    lists_per_user: float = LISTS_PER_VISIT  # more make some users come back, fewer are not possible


@dataclass(frozen=True)
class Plan:
    """Visits in order of arrival, and their steps one after the other.

    user: (visits,) who comes. arrival_s: (visits,) when, ascending from 0, if every answer took no time.
    first: (visits + 1,) where the steps of each visit begin. looks: (steps,) True for a list, False for reactions.
    pause_s: (steps,) from the answer before until this step; 0 for the first of a visit.
    """

    user: Ints
    arrival_s: np.ndarray
    first: Ints
    looks: Bools
    pause_s: np.ndarray

    @cached_property
    def step_user(self) -> Ints:
        return np.repeat(self.user, np.diff(self.first))

    @cached_property
    def due_s(self) -> np.ndarray:
        """(steps,): when each step is taken of a service that answers at once."""
        since_arrival = np.cumsum(self.pause_s)
        since_arrival -= np.repeat(since_arrival[self.first[:-1]], np.diff(self.first))
        due_s: np.ndarray = np.repeat(self.arrival_s, np.diff(self.first)) + since_arrival
        return due_s

    @cached_property
    def order(self) -> Ints:
        """(steps,): all steps as they are due."""
        return np.argsort(self.due_s, kind="stable").astype(np.int32)

    @cached_property
    def lists(self) -> Ints:
        """(lists,): the steps that ask for a list, in that order."""
        return self.order[self.looks[self.order]]


def plan_traffic(n_users: int, config: TrafficConfig, seed: int) -> Plan:
    """Every user comes once, a part of them again so that ``lists_per_user`` is reached on average."""
    rng = _rng(seed)
    user = _visitors(n_users, config.lists_per_user / LISTS_PER_VISIT, rng)
    patterns = np.array(list(PATTERNS))[rng.choice(len(PATTERNS), len(user), p=list(PATTERNS.values()))]
    pauses = [_pauses(len(pattern), config, rng) for pattern in patterns]
    visits_per_s = config.requests_per_s / STEPS_PER_VISIT
    wished_s = np.cumsum(rng.exponential(1 / visits_per_s, len(user)))
    arrival_s = _admitted(user, wished_s - wished_s[0], [float(p.sum()) for p in pauses], config)
    order = np.argsort(arrival_s, kind="stable")
    return Plan(
        user=user[order],
        arrival_s=arrival_s[order],
        first=np.concatenate([[0], np.cumsum(np.char.str_len(patterns[order]))]).astype(np.int32),
        looks=np.frombuffer("".join(patterns[order]).encode(), dtype="S1") == LOOK.encode(),
        pause_s=np.concatenate([pauses[visit] for visit in order]),
    )


def first_visits(n_users: int, seed: int) -> Ints:
    """(users,): everybody in the order of their first visits, in the plans of any config with this seed."""
    return _rng(seed).permutation(n_users).astype(np.int32)  # the first that a plan draws


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 1])


def _visitors(n_users: int, visits_per_user: float, rng: np.random.Generator) -> Ints:
    """A shuffled round of all users, then further rounds, the last one of a random part of them."""
    rounds = [rng.permutation(n_users) for _ in range(max(1, int(visits_per_user)))]
    if visits_per_user > len(rounds):
        rounds.append(rng.permutation(n_users)[: round(n_users * (visits_per_user - len(rounds)))])
    return np.concatenate(rounds).astype(np.int32)


def _pauses(steps: int, config: TrafficConfig, rng: np.random.Generator) -> np.ndarray:
    long = rng.random(steps) < config.long_pause_share
    pauses_s = np.where(long, rng.uniform(*config.long_pause_s, steps), rng.uniform(*config.short_pause_s, steps))
    pauses_s[0] = 0.0
    return pauses_s


def _admitted(user: Ints, wished_s: np.ndarray, stay_s: list[float], config: TrafficConfig) -> np.ndarray:
    """When each is let in: as wished, but into a free place, and not before he was gone for a while."""
    leaving: list[float] = []
    back_s: dict[int, float] = {}
    admitted_s = np.empty(len(user))
    for visit, (who, wished, stay) in enumerate(zip(user.tolist(), wished_s.tolist(), stay_s, strict=True)):
        free = heapq.heappop(leaving) if len(leaving) >= config.concurrency else 0.0
        admitted_s[visit] = entry = max(wished, free, back_s.get(who, 0.0))
        heapq.heappush(leaving, entry + stay)
        back_s[who] = entry + stay + config.long_pause_s[0]
    return admitted_s
