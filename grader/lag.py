"""Feedback lag: from the moment a reaction is accepted until lists reflect it.

Any service of the contract can be asked: a new user dislikes what new users were mostly shown, waits, and asks for his
first list; if it still holds any of that, the reaction is not reflected yet. Every probe is a user of its own and asks
once, so nothing is used up by asking. The probes come after the session, so that they do not change its score.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from grader.metrics.lists import NOTHING, Lists
from grader.service import K, Service, read_list
from grader.session import Names, sleep_until

DELAYS_S: Final = (0.0, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
PROBES: Final = 20  # of each delay
AT_ONCE: Final = 10
FAVOURITES: Final = 200
LAST_LISTS: Final = 2_000  # first lists of users, to see what is shown to new ones now
LEAST_EXPECTED: Final = 3.0  # favourites in a list by which a missed reaction is told from chance


@dataclass(frozen=True)
class Probe:
    """``delay_s`` from the accepted reaction until the list was asked for; ``reflected``: it held nothing disliked."""

    delay_s: float
    reflected: bool


@dataclass(frozen=True)
class Lag:
    """Seconds after which at least half and 95 % of lists reflect a reaction; None if later than was tried, or unknown.

    ``shares``: (delay, share of lists that reflect). ``reason`` why there is no answer.
    """

    p50_s: float | None
    p95_s: float | None
    shares: Sequence[tuple[float, float]]
    reason: str = ""


def favourites(lists: Lists) -> tuple[list[int], float]:
    """What users are shown first at the end of the run, and how many of these are in such a list on average."""
    firsts = lists.items[lists.number == 1][-LAST_LISTS:]
    shown = np.bincount(firsts[firsts != NOTHING], minlength=lists.n_items)
    top = np.argsort(-shown, kind="stable")[:FAVOURITES]
    top = top[shown[top] > 0]
    return top.tolist(), float(shown[top].sum() / max(len(firsts), 1))


def lag_of(probes: Sequence[Probe], delays_s: Sequence[float] = DELAYS_S) -> Lag:
    """Probes are counted at the longest of ``delays_s`` that is not above theirs."""
    reflected = np.array([probe.reflected for probe in probes], float)
    at = np.searchsorted(delays_s, [probe.delay_s for probe in probes], side="right") - 1
    tried = np.unique(at)
    shares = [(delays_s[n], float(reflected[at == n].mean())) for n in tried]
    return Lag(_reached(shares, 0.5), _reached(shares, 0.95), shares)


def _reached(shares: Sequence[tuple[float, float]], share: float) -> float | None:
    """The first delay from which on never fewer than ``share`` of lists reflect."""
    below = [n for n, (_, found) in enumerate(shares) if found < share]
    first = below[-1] + 1 if below else 0
    return shares[first][0] if first < len(shares) else None


async def measure_lag(service: Service, names: Names, lists: Lists, seed: int) -> Lag:
    """Takes some seconds and leaves ``len(DELAYS_S) * PROBES`` more users in the service."""
    liked_by_all, expected = favourites(lists)
    if expected < LEAST_EXPECTED:
        return Lag(None, None, (), "new users are shown too different items to see what a dislike changes")
    disliked = [names.item_ids[n] for n in liked_by_all]
    places = asyncio.Semaphore(AT_ONCE)
    users = np.random.default_rng([seed, 4]).permutation(len(DELAYS_S) * PROBES).tolist()

    async def probe(number: int) -> Probe | None:
        user = f"{names.user_ids[0]}-{number}"
        async with places:
            answer = await service.interact(user, disliked, ["dislike"] * len(disliked))
        await sleep_until(answer.done_s + DELAYS_S[number % len(DELAYS_S)])
        listed = await service.recs(user, K)
        shown = read_list(listed.body) if listed.status == 200 else ""
        if answer.problem or isinstance(shown, str):
            return None
        return Probe(listed.sent_s - answer.done_s, not set(disliked).intersection(shown.item_ids))

    probes = [found for found in await asyncio.gather(*map(probe, users)) if found]
    return lag_of(probes) if probes else Lag(None, None, (), "the probes were not answered")
