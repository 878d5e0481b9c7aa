"""A browser without JavaScript, and what a person reads off a page."""

from __future__ import annotations

import html
import re
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

JSON = {"Accept": "application/json"}


class Visitor:
    def __init__(self, app: Flask) -> None:
        self.app = app
        self._client = app.test_client()

    def get(self, path: str, **options: Any) -> TestResponse:
        return self._client.get(path, buffered=True, **options)

    def post(self, path: str, form: dict[str, str], **options: Any) -> TestResponse:
        return self._client.post(path, data=form, buffered=True, **options)

    @property
    def token(self) -> str:
        with self._client.session_transaction() as session:
            return str(session["csrf"])

    @property
    def user_id(self) -> str:
        with self._client.session_transaction() as session:
            return str(session["user"])

    def react(self, item_id: str, action: str, **options: Any) -> TestResponse:
        form = {"csrf_token": self.token, "item_id": item_id, "action": action, "next": "/reactions"}
        return self.post("/react", form, **options)


def items_in(page: str) -> list[str]:
    """Ids of the cards on a page, in order."""
    return [html.unescape(item) for item in re.findall(r'name="item_id" value="([^"]*)"', page.split("</main>")[0])]


def reasons_in(page: str) -> list[str]:
    return [html.unescape(reason) for reason in re.findall(r'<p class="reason [^>]*>([^<]*)<', page)]
