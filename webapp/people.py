"""Who is looking at the page: a user id in a signed cookie, and the token that protects forms."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from hmac import compare_digest
from pathlib import Path
from typing import Final

from flask import abort, request, session

from recsys.limits import is_id

SECRET_BYTES: Final = 32
USER, TOKEN = "user", "csrf"


@dataclass(frozen=True)
class Person:
    user_id: str
    token: str

    @staticmethod
    def current() -> Person:
        """The person of this request; somebody new without a cookie."""
        if USER not in session or TOKEN not in session:
            switch_to(session.get(USER) or new_user_id())
        return Person(session[USER], session[TOKEN])


def new_user_id() -> str:
    return f"visitor-{secrets.token_hex(6)}"


def switch_to(user_id: str) -> None:
    session.clear()
    session[USER] = user_id
    session[TOKEN] = secrets.token_urlsafe(24)
    session.permanent = True


def require_token() -> None:
    """403 unless the form carries the token of this session."""
    sent = request.form.get("csrf_token", "").encode()
    if not compare_digest(sent, str(session.get(TOKEN, "")).encode()) or not sent:
        abort(403)


def asked_for() -> str | None:
    """The person that ``?user_id=`` asks for; 400 if that cannot be an id."""
    wanted = request.args.get("user_id")
    if wanted is None:
        return None
    wanted = wanted.strip(" ")
    if not is_id(wanted):
        abort(400)
    return wanted


def load_secret(path: Path) -> bytes:
    """The key that signs cookies, made on first start. OSError if the folder cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _create(path)
    secret = path.read_bytes()
    if len(secret) < SECRET_BYTES:
        raise OSError(f"{path} is too short for a key: remove it, and a new one is made")
    return secret


def _create(path: Path) -> None:
    """Complete or not at all; whoever comes second uses the key of the first."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(SECRET_BYTES))
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
