"""From the published statistics and one user's state to that user's next list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recsys.ranking.diversity import mmr
from recsys.ranking.posterior import Floats
from recsys.user_state import DISLIKE, LIKE, Indices, UserState

# Where an item of a list came from, in the order in which the list is filled.
RANKED: Final = "ranked"  # high like rate, shifted towards the genres this user liked
EXPLORE: Final = "explore"  # a card of the shared exploration deck
UNSEEN: Final = "unseen"  # nothing better was left: any item this user was not shown
AGAIN: Final = "again"  # the whole catalogue was shown: the oldest shown come back
SOURCES: Final = (RANKED, EXPLORE, UNSEEN, AGAIN)


@dataclass(frozen=True)
class ChooseConfig:
    """Constants of the first ranking."""

    explore_share: float = 0.3  # of the k places, rounded
    pool: int = 300  # best items over all considered for a list
    genre_pool: int = 50  # best items of each genre the user liked considered besides
    shortlist: int = 40  # best candidates that go into the diverse order
    diversity: float = 0.3  # weight of genre similarity in the diverse order
    taste: float = 2.0  # how much a liked genre lifts a like rate
    taste_likes: float = 3.0  # likes after which taste has half its weight
    dislike_weight: float = 0.1  # a dislike says this much as often as a like: most items shown are disliked


DEFAULT: Final = ChooseConfig()


@dataclass(frozen=True)
class View:
    """What is known of the catalogue's n items, ready for ranking. Shared by all requests, never changed."""

    mean: Floats  # (n,) like rate
    sd: Floats  # (n,) its standard deviation
    order: Indices  # (n,) positions by mean, best first
    unit: Floats  # (n, g) genres as rows of length 1
    genre_tops: Sequence[Indices]  # g lists of positions, best first

    def __len__(self) -> int:
        return len(self.order)


@dataclass(frozen=True)
class Choice:
    """A list: ``positions[i]`` was chosen by ``sources[i]``, best first, no repeats."""

    positions: list[int]
    sources: list[str]


def choose(
    view: View, user: UserState, k: int, cards: Sequence[int], rng: np.random.Generator, config: ChooseConfig = DEFAULT
) -> Choice:
    """The user's next list: k positions, fewer only if fewer than k items are not disliked.

    No item is one this user was shown or disliked, until every other item has been shown. ``cards`` are positions
    dealt from the exploration deck: the first unseen ones fill the explore places, so offer a few more than those.
    Like rates are drawn from their posterior (Thompson sampling: Chapelle & Li 2011) with a normal approximation.
    """
    seen = np.zeros(len(view), dtype=bool)
    seen[user.indices] = True
    chosen: list[int] = []
    sources: list[str] = []

    def take(positions: Iterable[int], source: str) -> None:
        for position in positions:
            if len(chosen) >= k:
                return
            if not seen[position]:
                seen[position] = True
                chosen.append(position)
                sources.append(source)

    explore = _unseen(cards, seen, round(k * config.explore_share))
    seen[explore] = True
    take(_ranked(view, user, k - len(explore), seen, rng, config), RANKED)
    seen[explore] = False
    take(explore, EXPLORE)
    if len(chosen) < k:
        take(cards, EXPLORE)
    if len(chosen) < k:
        take(rng.permutation(np.flatnonzero(~seen)).tolist(), UNSEEN)
    if len(chosen) < k:
        take(_oldest_shown(user, seen), AGAIN)
    return Choice(chosen, sources)


def _unseen(cards: Sequence[int], seen: NDArray[np.bool_], places: int) -> list[int]:
    return [card for card in dict.fromkeys(cards) if not seen[card]][:places]


def _ranked(
    view: View, user: UserState, places: int, seen: NDArray[np.bool_], rng: np.random.Generator, config: ChooseConfig
) -> list[int]:
    """Up to ``places`` unseen positions in genre-diverse order."""
    taste = _taste(view, user, config)
    pools = [view.order[: config.pool + len(user.indices)]]
    if taste is not None:
        pools += [view.genre_tops[genre][: config.genre_pool] for genre in np.flatnonzero(taste > 0.1)]
    candidates = np.concatenate(pools) if len(pools) > 1 else pools[0]
    candidates = _first_unseen(candidates, seen)
    scores = view.mean[candidates] + view.sd[candidates] * rng.standard_normal(len(candidates), dtype=np.float32)
    if taste is not None:
        scores = np.maximum(scores, 0) * np.exp(view.unit[candidates] @ taste)
    size = max(config.shortlist, 2 * places)
    if len(scores) > size:
        best = np.argpartition(-scores, size)[:size]
        candidates, scores = candidates[best], scores[best]
    picked = mmr(scores, view.unit[candidates], places, config.diversity)
    return [int(position) for position in candidates[picked]]


def _taste(view: View, user: UserState, config: ChooseConfig) -> Floats | None:
    """Log-lift (g,) of each genre for this user; None before the first reaction."""
    likes, dislikes = user.marked(LIKE), user.marked(DISLIKE)
    if len(likes) + len(dislikes) == 0:
        return None
    leaning = view.unit[likes].sum(axis=0) - config.dislike_weight * view.unit[dislikes].sum(axis=0)
    weight = len(likes) + config.dislike_weight * len(dislikes) + config.taste_likes
    lift: Floats = (config.taste * leaning / weight).astype(np.float32)
    return lift


def _first_unseen(candidates: Indices, seen: NDArray[np.bool_]) -> Indices:
    """Candidates in their order, without those seen and without repeats."""
    candidates = candidates[~seen[candidates]]
    place = np.arange(len(candidates))
    last = np.empty(len(seen), dtype=np.intp)  # only the entries written on the next line are ever read
    last[candidates] = place
    return candidates[last[candidates] == place]


def _oldest_shown(user: UserState, seen: NDArray[np.bool_]) -> list[int]:
    """What may come back, longest unseen first: everything in the user's history but dislikes. Clears ``seen``."""
    last = np.full(len(seen), -1)
    last[user.indices] = np.arange(len(user.indices))
    last[user.marked(DISLIKE)] = -1
    back = np.argsort(last, kind="stable")[np.count_nonzero(last < 0) :]
    seen[back] = False
    return [int(position) for position in back]
