"""The Flask application. ``cd webapp && python app.py`` starts it too."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import hashlib
from datetime import timedelta
from typing import Final

import structlog
from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.wrappers import Response as AnyResponse

from recsys.settings import Settings
from webapp import pages, pictures, reactions
from webapp.catalogue import read_catalogue
from webapp.parts import EXTENSION, Site, wants_json
from webapp.people import Person, load_secret
from webapp.reaction_store import ReactionStore
from webapp.services import ServiceDown, Services
from webapp.texts import NAMES, counted, description_of, genre_name, language, moment, number, rounded, text, title_of

log = structlog.get_logger()

MAX_FORM_BYTES: Final = 16 * 1024
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
KNOWN_ERRORS: Final = frozenset({400, 403, 404, 405, 413, 500, 503})


def create_app(settings: Settings) -> Flask:
    """Raises CatalogueError for a file that is no catalogue, OSError if the data folder cannot be used."""
    catalogue = read_catalogue(settings.catalogue)
    app = Flask(__name__, root_path=str(Path(__file__).resolve().parent))
    app.config.update(
        SECRET_KEY=load_secret(settings.data_dir / "webapp-secret"),
        SESSION_COOKIE_NAME="recsys_demo",
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=timedelta(days=180),
        MAX_CONTENT_LENGTH=MAX_FORM_BYTES,
        SEND_FILE_MAX_AGE_DEFAULT=timedelta(days=30),
    )
    services = Services(settings)
    app.extensions[EXTENSION] = Site(catalogue, services, ReactionStore(settings.data_dir / "webapp.sqlite"))
    for blueprint in (pages.blueprint, pictures.blueprint, reactions.blueprint):
        app.register_blueprint(blueprint)
    _add_template_names(app)
    app.after_request(_secure)
    app.register_error_handler(HTTPException, _show_error)
    app.register_error_handler(ServiceDown, _show_service_down)
    log.info("catalogue read", films=len(catalogue.films), path=str(settings.catalogue))
    return app


def _add_template_names(app: Flask) -> None:
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(
        t=text,
        counted=counted,
        number=number,
        rounded=rounded,
        moment=moment,
        genre_name=genre_name,
        title_of=title_of,
        description_of=description_of,
        languages=NAMES,
        static_version=_static_version(Path(app.root_path) / "static"),
    )
    # Error pages need them too, so they do not come from the views.
    app.context_processor(lambda: {"person": Person.current(), "language": language()})


def _static_version(folder: Path) -> str:
    """Part of the URLs of static files: browsers may keep them for long."""
    content = b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())
    return hashlib.blake2b(content, digest_size=5).hexdigest()


def _secure(response: Response) -> Response:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "private, no-cache"
    return response


def _show_error(error: HTTPException) -> AnyResponse | tuple[str | dict[str, str], int]:
    code = error.code or 500
    if code < 400:
        return error.get_response()
    kind = code if code in KNOWN_ERRORS else 500 if code > 500 else 400
    if isinstance(error, InternalServerError):
        log.error("page failed", path=request.path, exc_info=error.original_exception)
    if wants_json():
        return {"message": text(f"error_{kind}_message")}, code
    return render_template("error.html", kind=kind), code


def _show_service_down(error: ServiceDown) -> tuple[str | dict[str, str], int, dict[str, str]]:
    log.warning("service down", service=error.service, reason=error.reason)
    retry = {"Retry-After": "2"}
    if wants_json():
        return {"message": text(f"{error.service}_down")}, 503, retry
    return render_template("error.html", kind=503), 503, retry


if __name__ == "__main__":
    from webapp.__main__ import main

    main()
