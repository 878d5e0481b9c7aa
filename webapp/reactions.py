"""What visitors do: react, and start over as somebody new."""

from __future__ import annotations

import re
import time
from typing import Final

from flask import Blueprint, abort, redirect, request, session, url_for
from werkzeug.wrappers import Response

from webapp.catalogue import is_id
from webapp.parts import this_site, wants_json
from webapp.people import Person, new_user_id, require_token, switch_to
from webapp.services import ServiceDown

ACTIONS: Final = ("like", "dislike")
# A path of this site: two slashes, also with a control character between, would be another one's.
OWN_PATH: Final = re.compile(r"/(?![/\\])[!-\[\]-~]{0,1000}")
DRAIN_S: Final = 0.3  # the pipeline takes a reaction in within this time; app.js waits as long

blueprint = Blueprint("reactions", __name__)
blueprint.before_request(require_token)


@blueprint.post("/react")
def react() -> Response | dict[str, str]:
    person, site = Person.current(), this_site()
    item_id, action = request.form.get("item_id", ""), request.form.get("action", "")
    if not is_id(item_id) or action not in ACTIONS:
        abort(400)
    try:
        site.services.react(person.user_id, item_id, action)
    except ServiceDown:
        if wants_json():
            raise
        session["notice"] = "collector_down"
        return redirect(_way_back(), 303)
    site.reactions.remember(site.services.epoch(), person.user_id, item_id, action)
    if wants_json():
        return {"status": "ok"}
    session["notice"] = "noted"
    time.sleep(DRAIN_S)
    return redirect(_way_back(), 303)


@blueprint.post("/new-person")
def new_person() -> Response:
    switch_to(new_user_id())
    return redirect(url_for("pages.for_you"), 303)


def _way_back() -> str:
    wanted = request.form.get("next", "")
    return wanted if OWN_PATH.fullmatch(wanted) else url_for("pages.for_you")
