"""Posters, and the health check: what needs no person."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response, abort, request

from recsys.limits import is_id
from webapp.parts import this_site
from webapp.posters import draw

MONTH_S: Final = 30 * 24 * 3600

blueprint = Blueprint("pictures", __name__)


@blueprint.get("/poster/<item_id>.svg")
def poster(item_id: str) -> Response:
    if not is_id(item_id):
        abort(404)
    film = this_site().catalogue.film(item_id)
    answer = Response(draw(film), mimetype="image/svg+xml")
    # The address holds the version of what is drawn, so a browser need not ask again.
    current = request.args.get("v") == film.version
    answer.headers["Cache-Control"] = f"public, max-age={MONTH_S if current else 60}"
    answer.set_etag(film.version)
    answer.make_conditional(request)
    return answer


@blueprint.get("/healthcheck")
def healthcheck() -> dict[str, str]:
    return {"status": "ok"}
