"""Why a film is in the list, in words: from the source the ranking names and what this visitor liked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from webapp.catalogue import Catalogue, Film
from webapp.texts import text


@dataclass(frozen=True)
class Reason:
    kind: str  # people, genre, explore or again
    text: str


def liked_genres(catalogue: Catalogue, reactions: dict[str, str]) -> dict[str, float]:
    """Weight per genre: how often it was liked, times how much that tells (everything is a drama)."""
    liked = (catalogue.film(item) for item, action in reactions.items() if action == "like")
    counts = Counter(genre for film in liked for genre in film.genres)
    return {genre: count * -math.log(catalogue.genre_shares[genre]) for genre, count in counts.items()}


def reason_for(source: str, film: Film, liked: dict[str, float]) -> Reason | None:
    """None for a source that we have no words for."""
    match source:
        case "ranked":
            genre = _shared(film.genres, liked)
            return (
                Reason("genre", text("reason_genre", genre=genre)) if genre else Reason("people", text("reason_people"))
            )
        case "explore" | "again":
            return Reason(source, text(f"reason_{source}"))
    return None


def _shared(genres: Iterable[str], liked: dict[str, float]) -> str:
    """The film's genre that weighs most; empty if none was liked."""
    return max((genre for genre in genres if genre in liked), key=liked.__getitem__, default="")
