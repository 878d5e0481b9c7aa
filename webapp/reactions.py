"""What visitors do: react, take it back, and start over as somebody new."""

from __future__ import annotations

import re
import time
from typing import Final

from flask import Blueprint, abort, redirect, request, session, url_for
from werkzeug.wrappers import Response

from recsys.limits import is_id
from webapp.parts import this_site, wants_json
from webapp.people import Person, new_user_id, require_token, switch_to
from webapp.services import ServiceDown
from webapp.texts import text, title_of

UNDO: Final = "undo"
ACTIONS: Final = ("like", "dislike", "hide", UNDO)
# A path of this site: two slashes, also with a control character between, would be another one's.
OWN_PATH: Final = re.compile(r"/(?![/\\])[!-\[\]-~]{0,1000}")
DRAIN_S: Final = 0.3  # the pipeline takes a reaction in within this time; site.js waits as long

blueprint = Blueprint("reactions", __name__)
blueprint.before_request(require_token)


@blueprint.post("/react")
def react() -> Response | dict[str, str]:
    item_id, action = request.form.get("item_id", ""), request.form.get("action", "")
    if not is_id(item_id) or action not in ACTIONS:
        abort(400)
    try:
        _tell(item_id, action)
    except ServiceDown:
        if wants_json():
            raise
        session["notice"] = text("collector_down")
        return redirect(_way_back(), 303)
    message = text(f"noted_{action}", title=title_of(this_site().catalogue.film(item_id)))
    if wants_json():
        return {"message": message}
    session["notice"] = message[:200]
    session["undo"] = "" if action == UNDO else item_id
    time.sleep(DRAIN_S)
    return redirect(_way_back(), 303)


def _tell(item_id: str, action: str) -> None:
    """Tell the collector, then remember. A reaction takes the place of an earlier one to the same film."""
    person, site = Person.current(), this_site()
    began = time.monotonic()
    earlier = site.my_reactions().get(item_id, UNDO)
    if action != earlier:
        actions = [action] if UNDO in (action, earlier) else [UNDO, action]
        site.services.react(person.user_id, item_id, actions)
        site.reactions.remember(site.services.epoch(), person.user_id, item_id, "" if action == UNDO else action)
        site.lags.reacted(person.user_id, began)


@blueprint.post("/new-person")
def new_person() -> Response:
    switch_to(new_user_id())
    return redirect(url_for("pages.for_you"), 303)


def _way_back() -> str:
    wanted = request.form.get("next", "")
    return wanted if OWN_PATH.fullmatch(wanted) else url_for("pages.for_you")
