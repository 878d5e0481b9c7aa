"""From the published statistics and one user's state to that user's next list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recsys.ranking.diversity import mmr, unit_genres
from recsys.ranking.posterior import Floats
from recsys.ranking.taste import features, fold_in, worth
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
    taste: float = 2.0  # how much a liked genre lifts a like rate
    taste_likes: float = 3.0  # likes after which taste has half its weight
    dislike_weight: float = 0.1  # a dislike says this much as often as a like: most items shown are disliked
    most_lift: float = 3.0  # of the logarithm of a like rate, by the factor model
    explore_known: float = 0.3  # most of the explore share for a user who has reacted: it is his list
    uniform: bool = False  # lists of random items: a baseline


DEFAULT: Final = ChooseConfig()
CHOICE_OF_CARDS: Final = 3
SPARE_CARDS: Final = 4
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
    blend: float  # how far to follow the factor model, 0 to 1
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
        blend: float = 0.0,
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
        return cls(items, order, items.among(pool), blend, explore_share)

    def cards(self, k: int) -> int:
        """How many cards to offer for a list of k: enough to choose from, and some for those the user has seen."""
        places = int(np.ceil(k * self.explore_share))
        return CHOICE_OF_CARDS * places + SPARE_CARDS if places else 0


@dataclass(frozen=True)
class _Taste:
    """What a user likes, by his reactions: the factor model's word as far as it has proved right, else the genres'."""

    genres: Floats  # (g,) log-lift of each genre
    learned: Floats  # (g + f,) fold-in of the factor model
    blend: float
    most_lift: float

    @classmethod
    def of(cls, view: View, user: UserState, config: ChooseConfig) -> _Taste | None:
        """None for a user without reactions."""
        reacted = user.marks != SHOWN
        if not reacted.any():
            return None
        liked = user.marks[reacted] == LIKE
        weight = np.where(liked, np.float32(1), np.float32(-config.dislike_weight))
        leaning = weight @ view.items.unit[user.indices[reacted]]
        genres = leaning * np.float32(config.taste / (float(np.abs(weight).sum()) + config.taste_likes))
        learned = _folded_in(view, user) if view.blend else np.zeros(view.items.features.shape[1], np.float32)
        return cls(genres, learned, view.blend, config.most_lift)

    def lift(self, candidates: Candidates) -> Floats:
        """Logarithm (m,) of what the taste makes of the candidates' like rates."""
        by_genre = candidates.unit @ self.genres
        if not self.blend:
            return by_genre
        learned = np.clip(candidates.features @ self.learned, -self.most_lift, self.most_lift)
        return np.asarray((1 - self.blend) * by_genre + self.blend * learned, np.float32)


def _folded_in(view: View, user: UserState) -> Floats:
    """Taste (g + f,) from what the user reacted to and what stood beside it."""
    items = user.answered(ANSWERED_PLACES)
    marks = np.zeros(len(items), np.uint8)
    for mark in (DISLIKE, LIKE):
        marks[np.searchsorted(items, user.marked(mark))] = mark
    return fold_in(view.items.features[items], view.items.mean[items], worth(marks))


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

    taste = _Taste.of(view, user, config)
    share = min(view.explore_share, config.explore_known) if taste else view.explore_share
    # Rounded by chance, so that small shares of short lists are not lost.
    places = int(k * share + rng.random())
    unseen_cards = [card for card in dict.fromkeys(cards) if not seen[card]]
    explore = _explored(view, taste, unseen_cards, places)
    seen[explore] = True
    ranked = _ranked(view, taste, k - len(explore), seen, rng, config)
    seen[explore] = False
    take(ranked, RANKED)
    take(explore, EXPLORE)
    if len(chosen) < k:
        take(_oldest_shown(user, seen), AGAIN)
    return Choice(chosen, sources)


def _explored(view: View, taste: _Taste | None, cards: list[int], places: int) -> list[int]:
    """The cards for the explore places: those that suit this user best, as far as anything is known of him."""
    if not places or len(cards) <= places or taste is None:
        return cards[:places]
    lift = taste.lift(view.items.among(np.array(cards)))
    return [cards[place] for place in np.argsort(-lift, kind="stable")[:places]]


def _ranked(
    view: View,
    taste: _Taste | None,
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
    if taste:
        scores *= np.exp(taste.lift(candidates))
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
