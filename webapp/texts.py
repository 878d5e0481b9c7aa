"""What the pages say, in the language of the request: the one that was switched to, else the browser's."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Final

from babel import Locale
from babel.dates import format_datetime, get_timezone
from babel.numbers import format_decimal
from flask import g, has_request_context, request

from webapp.catalogue import Film
from webapp.english import ENGLISH
from webapp.russian import RUSSIAN, RUSSIAN_GENRES

DEFAULT: Final = "en"
LANGUAGES: Final = {"en": ENGLISH, "ru": RUSSIAN}
NAMES: Final = {"en": "English", "ru": "Русский"}
LOCALES: Final = {name: Locale.parse(name) for name in LANGUAGES}
COOKIE: Final = "language"


def language() -> str:
    if not has_request_context():
        return DEFAULT
    if "language" not in g:
        chosen = request.cookies.get(COOKIE, "")
        g.language = (
            chosen if chosen in LANGUAGES else request.accept_languages.best_match(list(LANGUAGES), default=DEFAULT)
        )
    return str(g.language)


def text(key: str, **values: object) -> str:
    """KeyError for a text that does not exist."""
    template = LANGUAGES[language()][key]
    return template.format(**values) if values else template


def counted(key: str, count: int) -> str:
    """The text in the plural form that the number asks for."""
    return text(f"{key}_{LOCALES[language()].plural_form(count)}", count=number(count))


def number(value: float, digits: int = 0) -> str:
    pattern = "#,##0" + ("." + "0" * digits if digits else "")
    return format_decimal(value, format=pattern, locale=LOCALES[language()])


def rounded(value: float) -> str:
    """Three digits that tell something, whether there are thousands or thousandths."""
    digits = 0 if value <= 0 else min(max(2 - math.floor(math.log10(value)), 0), 6)
    return format_decimal(value, format="#,##0." + "#" * digits, locale=LOCALES[language()])


def moment(seconds: float) -> str:
    """A time on the clock of this machine."""
    return format_datetime(datetime.fromtimestamp(seconds).astimezone(), "medium", get_timezone(), LOCALES[language()])


def genre_name(genre: str) -> str:
    return RUSSIAN_GENRES.get(genre, genre) if language() == "ru" else genre


def title_of(film: Film) -> str:
    return (language() == "ru" and film.title_ru) or film.title


def description_of(film: Film) -> str:
    if not film.known:
        return text("unknown_film")
    return (language() == "ru" and film.description_ru) or film.description
