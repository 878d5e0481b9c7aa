"""From the published statistics and one user's state to that user's next list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recsys.ranking.diversity import mmr, unit_genres
from recsys.ranking.posterior import Floats
from recsys.ranking.taste import ChoiceSet, dislike_worth, features, fold_in
from recsys.ranking.toplists import genre_tops
from recsys.user_state import DISLIKE, LIKE, SHOWN, Indices, UserState

# Where an item of a list came from, in the order in which the list is filled.
RANKED: Final = "ranked"  # high like rate, shifted towards the genres this user liked
EXPLORE: Final = "explore"  # a card of the shared exploration deck
AGAIN: Final = "again"  # the whole catalogue was shown: the oldest shown come back
SOURCES: Final = (RANKED, EXPLORE, AGAIN)


@dataclass(frozen=True)
class ChooseConfig:
    """Constants of the ranking. Chosen by docs/quality.md."""

    pool: int = 200  # best items over all that every user's list is chosen from
    genre_pool: int = 20  # best items of each genre that join them
    shortlist: int = 32  # best candidates that go into the diverse order
    noise: float = 0.8  # of the posterior's standard deviation: 1 is Thompson sampling, 0 the plain like rate
    diversity: float = 0.15  # weight of genre similarity in the diverse order
    taste: bool = True  # follow what the user reacted to
    most_lift: float = 3.0  # of the logarithm of a like rate, by the user's taste
    explore_known: float = 0.3  # most of the explore share for a user who has reacted: it is his list
    uniform: bool = False  # lists of random items: a baseline


DEFAULT: Final = ChooseConfig()
# Cards beyond the explore places: to choose from, and instead of those that the user has seen.
CHOICE_OF_CARDS: Final = 60
# A user's state does not say where one list ends. This many places before a reaction are taken as looked at.
ANSWERED_PLACES: Final = 10


@dataclass(frozen=True)
class Candidates:
    """Items with what ranking needs of them side by side, so that a request reads memory in one go."""

    positions: Indices  # (m,)
    mean: Floats  # (m,) like rate
    sd: Floats  # (m,) its standard deviation
    unit: Floats  # (m, g) genres as rows of length 1
    features: Floats  # (m, g + f) of the factor model

    def among(self, chosen: NDArray[np.intp]) -> Candidates:
        return Candidates(
            self.positions[chosen], self.mean[chosen], self.sd[chosen], self.unit[chosen], self.features[chosen]
        )


@dataclass(frozen=True)
class View:
    """What is known of the catalogue's n items, ready for ranking. Shared by all requests, never changed."""

    items: Candidates  # all n, by position
    order: Indices  # (n,) positions by mean, best first
    pool: Candidates  # those that lists are normally chosen from
    of_dislike: Floats  # (g + f,) what a dislike says about the taste for each feature, beside a like
    explore_share: float  # of a list's places, as long as there are cards

    def __len__(self) -> int:
        return len(self.order)

    @classmethod
    def of(
        cls,
        mean: Floats,
        sd: Floats,
        order: Indices,
        genres: NDArray[np.bool_],
        config: ChooseConfig,
        *,
        loadings: Floats | None = None,
        genre_variance: float = 0.0,
        explore_share: float = 0.0,
    ) -> View:
        """mean and sd (n,), order (n,) best first, genres (n, g); loadings (n, f) of the factor model."""
        unit = unit_genres(genres)
        loadings = np.zeros((len(mean), 0), np.float32) if loadings is None else loadings
        items = Candidates(np.arange(len(mean)), mean, sd, unit, features(unit, genre_variance, loadings))
        tops = genre_tops(order, genres, config.genre_pool)
        in_pool = np.zeros(len(order), dtype=bool)
        in_pool[np.concatenate([order[: config.pool], *tops])] = True
        # In this order equals do not come as in the catalogue.
        pool = order[in_pool[order]]
        of_dislike = dislike_worth(unit.shape[1], loadings.shape[1])
        return cls(items, order, items.among(pool), of_dislike, explore_share)

    def cards(self, lists: Sequence[int]) -> int:
        """How many cards to have at hand for lists of these lengths, one after the other; those not played go on."""
        places = sum(int(np.ceil(k * self.explore_share)) for k in lists)
        return places + CHOICE_OF_CARDS if places else 0


def _taste_of(view: View, user: UserState) -> Floats:
    """(g + f,) from what the user reacted to and what stood beside it; 0 without reactions.

    What he reacted to without having been shown it he found by himself: there the candidates stood beside it.
    """
    said = np.zeros(len(view), np.uint8)
    for mark in (DISLIKE, LIKE):
        said[user.marked(mark)] = mark
    shown = np.zeros(len(view), np.bool_)
    shown[user.marked(SHOWN)] = True
    answered = user.answered(ANSWERED_PLACES)
    chosen_from = [answered[shown[answered]]]
    if len(chosen_from[0]) < len(answered):
        candidates = view.pool.positions
        chosen_from.append(np.append(answered[~shown[answered]], candidates[said[candidates] == 0]))
    known = view.items
    choices = [ChoiceSet(known.features[items], known.mean[items], said[items]) for items in chosen_from]
    return fold_in(view.of_dislike, *choices)


def _lift(x: Floats, taste: Floats, config: ChooseConfig) -> Floats:
    """Logarithm (m,) of what the taste makes of the like rates of items with features x (m, d)."""
    lift: Floats = np.minimum(np.maximum(x @ taste, -config.most_lift), config.most_lift)
    return lift


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
    dealt from the exploration deck: of those unseen the ones that suit the user best fill the explore places.
    Like rates are drawn from their posterior, with a normal approximation (Thompson sampling: Chapelle & Li 2011).
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

    reacted = bool((user.marks != SHOWN).any())
    taste = _taste_of(view, user) if reacted and config.taste else None
    share = min(view.explore_share, config.explore_known) if reacted else view.explore_share
    # Rounded by chance, so that small shares of short lists are not lost.
    places = int(k * share + rng.random())
    unseen_cards = [card for card in dict.fromkeys(cards) if not seen[card]]
    explore = _explored(view, taste, unseen_cards, places, config)
    seen[explore] = True
    ranked = _ranked(view, taste, k - len(explore), seen, rng, config)
    seen[explore] = False
    take(ranked, RANKED)
    take(explore, EXPLORE)
    if len(chosen) < k:
        take(_oldest_shown(user, seen), AGAIN)
    return Choice(chosen, sources)


def _explored(view: View, taste: Floats | None, cards: list[int], places: int, config: ChooseConfig) -> list[int]:
    """The cards for the explore places: those that suit this user best, as far as anything is known of him."""
    if not places or len(cards) <= places or taste is None:
        return cards[:places]
    lift = _lift(view.items.features[cards], taste, config)
    return [cards[place] for place in np.argsort(-lift, kind="stable")[:places]]


def _ranked(
    view: View,
    taste: Floats | None,
    places: int,
    seen: NDArray[np.bool_],
    rng: np.random.Generator,
    config: ChooseConfig,
) -> list[int]:
    """Up to ``places`` unseen positions in genre-diverse order."""
    if config.uniform:
        unseen_items = np.flatnonzero(~seen)
        uniform: list[int] = rng.choice(unseen_items, min(places, len(unseen_items)), replace=False).tolist()
        return uniform
    size = max(config.shortlist, 2 * places)
    candidates = view.pool
    unseen = ~seen[candidates.positions]
    if np.count_nonzero(unseen) < size:
        # This user has seen most of the pool, or k is large: go further down the order.
        candidates = view.items.among(view.order[~seen[view.order]][:size])
        unseen = np.ones(len(candidates.positions), dtype=bool)
    drawn = rng.standard_normal(len(candidates.mean), dtype=np.float32)
    scores = candidates.mean + np.float32(config.noise) * candidates.sd * drawn
    np.maximum(scores, 0, out=scores)
    if taste is not None:
        scores *= np.exp(_lift(candidates.features, taste, config))
    scores[~unseen] = -1
    best = np.argpartition(-scores, size)[:size] if len(scores) > size else np.arange(len(scores))
    picked = mmr(scores[best], candidates.unit[best], places, config.diversity)
    positions: list[int] = candidates.positions[best[picked]].tolist()
    return positions


def _oldest_shown(user: UserState, seen: NDArray[np.bool_]) -> list[int]:
    """What may come back, longest unseen first: everything in the user's history but dislikes. Clears ``seen``."""
    last = np.full(len(seen), -1)
    last[user.indices] = np.arange(len(user.indices))
    last[user.marked(DISLIKE)] = -1
    back = np.argsort(last, kind="stable")[np.count_nonzero(last < 0) :]
    seen[back] = False
    return [int(position) for position in back]
