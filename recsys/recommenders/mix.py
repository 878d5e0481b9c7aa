"""One list from several recommenders: ordered sources that may abstain, places for exploration, a diverse order.

A list is filled in this order, and every item of it names where it comes from:

    the sources, best first   each ranks what this user has not seen; what it leaves empty the next one fills
    random                    what no source filled
    explore                   candidates of the shared exploration queue, in places kept for them
    again                     everything was shown: the oldest shown come back, disliked ones never
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import numpy as np

from recsys.catalogue import Items
from recsys.recommenders.diversity import mmr, unit_genres
from recsys.recommenders.port import (
    NOTHING,
    Bools,
    ExplorationShare,
    Floats,
    Model,
    Positions,
    Query,
    Ranked,
    Scoring,
)
from recsys.user_state import DISLIKE, UserState

RANDOM: Final = "random"
EXPLORE: Final = "explore"
AGAIN: Final = "again"
MOST_SCORE: Final = 1e30
SHORTLIST: Final = 32  # best items of a source that the diverse order is made of, at least
# Candidates beyond the explore places: to choose from, and instead of those that the user has seen.
SPARE_CANDIDATES: Final = 60
NO_EXPLORATION: Final = ExplorationShare(0.0, 0.0)
Candidate = TypeVar("Candidate")
Failed = Callable[[str, Exception], None]


class Hand(Generic[Candidate]):
    """Candidates taken from the exploration queue and not shown yet, the most promising first."""

    def __init__(self, candidates: Iterable[Candidate] = ()) -> None:
        self._candidates = deque(candidates)

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self._candidates)

    def offer(self, count: int) -> list[Candidate]:
        """The first ``count``, or all there are."""
        return [self._candidates.popleft() for _ in range(min(count, len(self._candidates)))]

    def take_back(self, candidates: list[Candidate]) -> None:
        """What was offered last and not shown, in the order of the offer."""
        self._candidates.extendleft(reversed(candidates))


@dataclass(frozen=True)
class Source:
    """A model under the name that its items carry; it knows the first ``items`` of the catalogue."""

    name: str
    model: Model
    items: int


@dataclass(frozen=True)
class Slate:
    """A list: ``positions[i]`` comes from ``sources[i]``; best first, no repeats."""

    positions: list[int]
    sources: list[str]


class Rubbish(Exception):
    """What a model answered is no ranking of eligible items."""


class Mix:
    """Fills lists. Shared by all requests, never changed: another catalogue or model makes another mix."""

    def __init__(
        self,
        items: Items,
        sources: Sequence[Source] = (),
        exploration: ExplorationShare = NO_EXPLORATION,
        diversity: float = 0.0,
        failed: Failed = lambda source, error: None,
        before: Mix | None = None,
    ) -> None:
        """``diversity`` from 0 to 1 weighs the genre similarity of neighbours in a list.

        ``failed`` is told of a source that raised or answered rubbish: that costs its places, never the list.
        ``before``: a mix that may be of the same items, which saves work.
        """
        self.items = items
        self.exploration = exploration
        self._sources = sources
        self._scoring = [(source, source.model) for source in sources if isinstance(source.model, Scoring)]
        self._unit: Floats = before._unit if before and before.items is items else unit_genres(items.genres)
        self._diversity = diversity
        self._failed = failed

    def candidates(self, lists: Sequence[int]) -> int:
        """How many to have at hand for lists of these lengths, one after the other; those not shown go on."""
        places = sum(int(np.ceil(k * self.exploration.new_user)) for k in lists)
        return places + SPARE_CANDIDATES if places else 0

    def fill(self, query: Query, k: int, offered: Sequence[int], rng: np.random.Generator) -> Slate:
        """The user's next list: k positions, fewer only if fewer than k items are not disliked.

        No item is one this user was shown or disliked, until every other item has been shown. ``offered`` are positions
        from the exploration queue: of those unseen the ones that suit the user best fill the explore places.
        """
        state = query.state
        eligible = np.ones(len(self.items), np.bool_)
        eligible[state.indices] = False
        share = self.exploration.known_user if state.reacted else self.exploration.new_user
        # Rounded by chance, so that small shares of short lists are not lost.
        places = int(k * share + rng.random())
        explored = self._explored(query, [c for c in dict.fromkeys(offered) if eligible[c]], places)
        eligible[explored] = False
        chosen: list[int] = []
        sources: list[str] = []

        def take(positions: list[int], source: str) -> None:
            chosen.extend(positions)
            sources.extend([source] * len(positions))

        wanted = k - len(explored)
        for source in self._sources:
            ranked = self._ranked(source, query, eligible, max(SHORTLIST, 2 * (wanted - len(chosen))), rng)
            picked = self._diverse(ranked, wanted - len(chosen))
            take(picked, source.name)
            if len(chosen) >= wanted:
                break
            eligible[picked] = False
        if len(chosen) < wanted:
            take(_drawn(eligible, wanted - len(chosen), rng), RANDOM)
        take(explored, EXPLORE)
        if len(chosen) < k:
            take(_oldest_shown(state, len(eligible))[: k - len(chosen)], AGAIN)
        return Slate(chosen, sources)

    def _explored(self, query: Query, unseen: list[int], places: int) -> list[int]:
        """The candidates for the explore places: those that suit this user best, as far as anything is known of him."""
        if not places or len(unseen) <= places:
            return unseen[:places]
        scores = self._scores(query, np.array(unseen))
        if scores is None:
            return unseen[:places]
        return [unseen[place] for place in np.argsort(-scores, kind="stable")[:places]]

    def _scores(self, query: Query, positions: Positions) -> Any:
        """By the first source that knows this user; None if none does."""
        for source, model in self._scoring:
            try:
                if source.items >= len(self.items):
                    known, asked = None, positions
                else:
                    known = positions < source.items
                    asked = positions[known]
                found = model.scores(_narrowed(query, source.items, len(self.items)), asked)
                if found is None:
                    continue
                scores = _finite(found, len(asked))
                if known is None:
                    return scores
                everywhere = np.full(len(positions), -np.inf, np.float32)
                everywhere[known] = scores
                return everywhere
            except Exception as error:  # it is somebody's own code
                self._failed(source.name, error)
        return None

    def _ranked(self, source: Source, query: Query, eligible: Bools, k: int, rng: np.random.Generator) -> Ranked:
        offered = eligible[: source.items]
        offered.flags.writeable = False
        try:
            return checked(source.model.rank(_narrowed(query, source.items, len(self.items)), offered, k, rng), offered)
        except Exception as error:  # it is somebody's own code
            self._failed(source.name, error)
            return NOTHING

    def _diverse(self, ranked: Ranked, places: int) -> list[int]:
        positions: list[int] = ranked.positions.tolist()
        if ranked.scores is None or not positions:
            return positions[:places]
        picked = mmr(ranked.scores, self._unit[ranked.positions], places, self._diversity)
        return [positions[place] for place in picked]


def checked(answer: Any, eligible: Bools) -> Ranked:
    """What a model answered, if it is a ranking of eligible positions (n,). Rubbish otherwise."""
    ranked = answer if isinstance(answer, Ranked) else Ranked(answer)
    positions = np.asarray(ranked.positions)
    if not len(positions):
        return NOTHING
    if positions.ndim != 1 or positions.dtype.kind not in "iu":
        raise Rubbish(f"positions must be whole numbers (m,), not {positions.dtype} of shape {positions.shape}")
    listed = positions.tolist()
    if min(listed) < 0 or max(listed) >= len(eligible):
        raise Rubbish(f"positions from {min(listed)} to {max(listed)}, but there are {len(eligible)} items")
    if len(set(listed)) < len(listed):
        raise Rubbish("a position comes twice")
    if not eligible[positions].all():
        raise Rubbish("a position that is not eligible: this user has seen it")
    if ranked.scores is None:
        return Ranked(positions)
    return Ranked(positions, _finite(ranked.scores, len(listed)))


def _finite(scores: Any, count: int) -> Floats:
    """So many scores, none beyond what can be reckoned with. Rubbish otherwise."""
    found = np.asarray(scores)
    if found.dtype != np.float32:
        with np.errstate(over="ignore"):
            found = found.astype(np.float32) if found.dtype.kind in "iuf" else np.full(1, np.nan, np.float32)
    # Comparisons with NaN are false.
    if found.shape != (count,) or not (count == 0 or -MOST_SCORE < found.min() <= found.max() < MOST_SCORE):
        raise Rubbish(f"scores must be numbers below {MOST_SCORE:g}, one for each of {count} positions")
    return found


def _narrowed(query: Query, known: int, items: int) -> Query:
    """The query without what a model with ``known`` of the ``items`` has never heard of."""
    if known >= items:
        return query
    return Query(query.user_id, query.state.below(known), query.at)


def _drawn(eligible: Bools, count: int, rng: np.random.Generator) -> list[int]:
    unseen = np.flatnonzero(eligible)
    drawn: list[int] = rng.choice(unseen, min(count, len(unseen)), replace=False).tolist()
    return drawn


def _oldest_shown(state: UserState, items: int) -> list[int]:
    """What may come back, longest unseen first: everything in the user's history but dislikes."""
    last = np.full(items, -1)
    last[state.indices] = np.arange(len(state.indices))
    last[state.marked(DISLIKE)] = -1
    back: list[int] = np.argsort(last, kind="stable")[np.count_nonzero(last < 0) :].tolist()
    return back
