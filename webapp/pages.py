"""The pages that people look at."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from flask import Blueprint, abort, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from webapp.parts import Card, cards_of, this_site
from webapp.people import Person, asked_for, switch_to
from webapp.reasons import Taste, reason_for
from webapp.services import ServiceDown, ServiceName
from webapp.texts import COOKIE, LANGUAGES, counted, genre_name, text, title_of

TOP_FILMS: Final = 20
SIMILAR_FILMS: Final = 10
SEARCH_RESULTS: Final = 30
SUGGESTIONS: Final = 8
LANGUAGE_KEPT: Final = timedelta(days=365)
MAX_QUERY_CHARS: Final = 100
SERVICES: Final[tuple[ServiceName, ...]] = ("collector", "recommendations")
KEPT_PARAMETERS: Final = ("q", "genre")

blueprint = Blueprint("pages", __name__)


@blueprint.before_request
def _follow_address() -> Response | None:
    """Open the person and switch to the language that the address asks for, and take both out of it."""
    person, wanted = asked_for(), request.args.get("lang")
    if person is None and wanted is None:
        Person.current()
        return None
    if person is not None:
        switch_to(person)
    answer = redirect(_same_page())
    if wanted in LANGUAGES:
        answer.set_cookie(COOKIE, wanted, LANGUAGE_KEPT, httponly=True, samesite="Lax")
    return answer


def _same_page(**more: str) -> str:
    kept = {name: value for name in KEPT_PARAMETERS if (value := request.args.get(name, "")[:MAX_QUERY_CHARS])}
    values: dict[str, Any] = {**(request.view_args or {}), **kept, **more}
    return url_for(request.endpoint or "pages.for_you", **values)


@blueprint.context_processor
def _of_page() -> dict[str, Any]:
    """What the last form post without JavaScript has to say, once; and this page in other languages."""
    return {"notice": session.pop("notice", ""), "undo": session.pop("undo", ""), "same_page": _same_page}


@blueprint.get("/")
def for_you() -> str:
    return render_template("for_you.html", **_recommended())


@blueprint.get("/cards")
def cards() -> str:
    return render_template("_recommended.html", **_recommended())


def _recommended() -> dict[str, object]:
    site, user_id = this_site(), Person.current().user_id
    answer = site.services.recs(user_id)
    site.lags.listed(user_id, time.monotonic())
    reactions = site.my_reactions()
    taste = Taste(site.catalogue, reactions)
    films = map(site.catalogue.film, answer.item_ids)
    chosen = [
        Card(film, reactions.get(film.id, ""), reason_for(source, film, taste))
        for film, source in zip(films, answer.sources, strict=True)
    ]
    return {"cards": chosen, "summary": _summary(reactions)}


def _summary(reactions: dict[str, str]) -> str:
    actions = list(reactions.values())
    likes, dislikes = actions.count("like"), actions.count("dislike")
    if not likes + dislikes:
        return text("for_you_new")
    return text("for_you_counts", likes=counted("likes", likes), dislikes=counted("dislikes", dislikes))


@blueprint.get("/top")
def top() -> str:
    site = this_site()
    genre = request.args.get("genre", "")
    genres = site.services.catalogue().genres
    if genre and genre not in genres:
        abort(404)
    films = map(site.catalogue.film, site.services.top(genre, TOP_FILMS))
    return render_template(
        "top.html", genre=genre, genres=sorted(genres, key=genre_name), cards=cards_of(films, site.my_reactions())
    )


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


@blueprint.get("/suggest")
def suggest() -> list[dict[str, str]]:
    """Films for what is typed so far."""
    found = this_site().catalogue.search(request.args.get("q", "")[:MAX_QUERY_CHARS], SUGGESTIONS)
    return [{"title": title_of(film), "year": film.year, "url": url_for(".item", item_id=film.id)} for film in found]


@blueprint.get("/reactions")
def reactions() -> str:
    site = this_site()
    mine = site.my_reactions()
    return render_template("reactions.html", cards=cards_of(map(site.catalogue.film, mine), mine))


@blueprint.get("/status")
def status() -> str:
    site = this_site()
    with ThreadPoolExecutor() as pool:  # a service that hangs costs its time once
        health = dict(zip(SERVICES, pool.map(site.services.health, SERVICES), strict=True))
    state, service = None, None
    with suppress(ServiceDown):
        state = site.services.catalogue()
        service = site.services.status()
    return render_template(
        "status.html",
        films=len(site.catalogue.films),
        health=health,
        state=state,
        service=service,
        rate=None if service is None else site.rate.of(service.rows),
        lag=site.lags.summary(),
    )
