"""Why a film is in the list, in words: from the source the ranking names and what this visitor liked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from webapp.catalogue import Catalogue, Film
from webapp.texts import genre_name, text, title_of

NOT_RANKED: Final = ("explore", "again", "random")
POPULAR: Final = "popular"
BY_LIKE_RATE: Final = (POPULAR, "bandit")
ALIKE: Final = 0.6  # cosine of two films' genres from which on one may be there because of the other


@dataclass(frozen=True)
class Reason:
    kind: str  # because, genre, popular, explore, again, random or other
    text: str


class Taste:
    """What a visitor liked, by the genres of the catalogue: a genre counts as much as it tells."""

    def __init__(self, catalogue: Catalogue, reactions: Mapping[str, str]) -> None:
        self._telling = {genre: -math.log(share) for genre, share in catalogue.genre_shares.items()}
        self._liked = [catalogue.film(item) for item, action in reactions.items() if action == "like"]
        counts = Counter(genre for film in self._liked for genre in film.genres)
        self.genres = {genre: count * self._telling.get(genre, 0.0) for genre, count in counts.items()}

    def nearest(self, film: Film) -> Film | None:
        """The liked film whose genres are most like this one's, the latest of equals; None if none is alike."""
        best = max(self._liked, key=lambda liked: self._cosine(liked, film), default=None)
        return best if best is not None and best.known and self._cosine(best, film) >= ALIKE else None

    def favourite(self, film: Film) -> str:
        """The film's genre that was liked most; empty if none was."""
        return max((genre for genre in film.genres if genre in self.genres), key=self.genres.__getitem__, default="")

    def most_telling(self, film: Film) -> str:
        return max(film.genres, key=lambda genre: self._telling.get(genre, 0.0), default="")

    def _cosine(self, one: Film, other: Film) -> float:
        shared = self._length(set(one.genres) & set(other.genres))
        return shared**2 / ((self._length(set(one.genres)) * self._length(set(other.genres))) or 1.0)

    def _length(self, genres: set[str]) -> float:
        return math.hypot(*(self._telling.get(genre, 0.0) for genre in genres))


def reason_for(source: str, film: Film, taste: Taste) -> Reason:
    """``source`` is a recommender by its name, or what fills the places that none of them has."""
    if source in NOT_RANKED:
        return Reason(source, text(f"reason_{source}"))
    if source != POPULAR:  # which is the same for everybody
        if (liked := taste.nearest(film)) is not None:
            return Reason("because", text("reason_because", title=title_of(liked)))
        if genre := taste.favourite(film):
            return Reason("genre", text("reason_genre", genre=genre_name(genre)))
    if source not in BY_LIKE_RATE:
        return Reason("other", text("reason_picked"))
    if genre := taste.most_telling(film):
        return Reason("popular", text("reason_popular_in", genre=genre_name(genre)))
    return Reason("popular", text("reason_popular"))
