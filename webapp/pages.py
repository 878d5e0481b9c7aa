"""The pages that people look at."""

from __future__ import annotations

from typing import Any, Final

from flask import Blueprint, abort, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from webapp.parts import Card, cards_of, this_site
from webapp.people import Person, asked_for, switch_to
from webapp.reasons import liked_genres, reason_for
from webapp.services import ServiceDown, ServiceName
from webapp.texts import counted, text

TOP_FILMS: Final = 20
SIMILAR_FILMS: Final = 10
SEARCH_RESULTS: Final = 30
MAX_QUERY_CHARS: Final = 100
REACTIONS_SHOWN: Final = 100
SERVICES: Final[tuple[ServiceName, ...]] = ("collector", "recommendations")
KEPT_PARAMETERS: Final = ("q", "genre")

blueprint = Blueprint("pages", __name__)


@blueprint.before_request
def _open_person() -> Response | None:
    wanted = asked_for()
    if wanted is None or request.endpoint is None:
        Person.current()
        return None
    switch_to(wanted)
    kept = {name: value for name in KEPT_PARAMETERS if (value := request.args.get(name))}
    values: dict[str, Any] = {**(request.view_args or {}), **kept}
    return redirect(url_for(request.endpoint, **values))


@blueprint.context_processor
def _notice() -> dict[str, str]:
    """What the last form post without JavaScript has to say, once."""
    return {"notice": session.pop("notice", "")}


@blueprint.get("/")
def for_you() -> str:
    return render_template("for_you.html", **_recommended())


@blueprint.get("/cards")
def cards() -> str:
    return render_template("_recommended.html", **_recommended())


def _recommended() -> dict[str, object]:
    site = this_site()
    answer = site.services.recs(Person.current().user_id)
    reactions = site.my_reactions()
    liked = liked_genres(site.catalogue, reactions)
    films = map(site.catalogue.film, answer.item_ids)
    chosen = [
        Card(film, reactions.get(film.id, ""), reason_for(source, film, liked))
        for film, source in zip(films, answer.sources, strict=True)
    ]
    return {"cards": chosen, "summary": _summary(reactions)}


def _summary(reactions: dict[str, str]) -> str:
    if not reactions:
        return text("for_you_new")
    actions = list(reactions.values())
    numbers = {f"{kind}s": counted(kind, actions.count(kind)) for kind in ("like", "dislike")}
    return text("for_you_counts", **numbers)


@blueprint.get("/top")
def top() -> str:
    site = this_site()
    genre = request.args.get("genre", "")
    genres = site.services.catalogue().genres
    if genre and genre not in genres:
        abort(404)
    films = map(site.catalogue.film, site.services.top(genre, TOP_FILMS))
    return render_template("top.html", genre=genre, genres=sorted(genres), cards=cards_of(films, site.my_reactions()))


@blueprint.get("/item/<item_id>")
def item(item_id: str) -> str:
    site = this_site()
    film = site.catalogue.films.get(item_id)
    if film is None:
        abort(404)
    try:
        similar = site.services.similar(item_id, SIMILAR_FILMS)
        message = "" if similar else text("similar_empty")
    except ServiceDown:
        similar, message = [], text("similar_down")
    reactions = site.my_reactions()
    near = cards_of(map(site.catalogue.film, similar), reactions)
    return render_template("item.html", card=Card(film, reactions.get(film.id, "")), cards=near, message=message)


@blueprint.get("/search")
def search() -> str:
    site = this_site()
    query = " ".join(request.args.get("q", "")[:MAX_QUERY_CHARS].split())
    films = site.catalogue.search(query, SEARCH_RESULTS + 1)
    found = cards_of(films[:SEARCH_RESULTS], site.my_reactions())
    return render_template("search.html", query=query, cards=found, more=len(films) > SEARCH_RESULTS)


@blueprint.get("/reactions")
def reactions() -> str:
    site = this_site()
    mine = dict(list(site.my_reactions().items())[:REACTIONS_SHOWN])
    return render_template("reactions.html", cards=cards_of(map(site.catalogue.film, mine), mine))


@blueprint.get("/status")
def status() -> str:
    site = this_site()
    try:
        state = site.services.catalogue()
    except ServiceDown:
        state = None
    health = {name: site.services.health(name) for name in SERVICES}
    return render_template("status.html", films=len(site.catalogue.films), state=state, health=health)
