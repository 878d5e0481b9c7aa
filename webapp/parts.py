"""What the views share: the parts of the site, and cards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, cast

from flask import current_app, request

from webapp.catalogue import Catalogue, Film
from webapp.gauges import Lags, Rate
from webapp.people import Person
from webapp.reaction_store import ReactionStore
from webapp.reasons import Reason
from webapp.services import Services

EXTENSION: Final = "site"


@dataclass(frozen=True)
class Site:
    catalogue: Catalogue
    services: Services
    reactions: ReactionStore
    lags: Lags = field(default_factory=Lags)
    rate: Rate = field(default_factory=Rate)

    def close(self) -> None:
        self.services.close()
        self.reactions.close()

    def my_reactions(self) -> dict[str, str]:
        """Of the person of this request: item id → "like", "dislike" or "hide", latest first."""
        return self.reactions.of(self.services.epoch(), Person.current().user_id)


@dataclass(frozen=True)
class Card:
    film: Film
    reaction: str = ""
    reason: Reason | None = None


def this_site() -> Site:
    return cast(Site, current_app.extensions[EXTENSION])


def cards_of(films: Iterable[Film], reactions: dict[str, str]) -> list[Card]:
    return [Card(film, reactions.get(film.id, "")) for film in films]


def wants_json() -> bool:
    return request.accept_mimetypes.best == "application/json"
