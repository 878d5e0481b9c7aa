"""URLs of servers: what is wrong with one, and what of it may be shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

REDIS_SCHEMES: Final = ("redis", "rediss", "unix")
RABBIT_SCHEMES: Final = ("amqp", "amqps")
SCHEMES: Final[Mapping[str, tuple[str, ...]]] = {
    "redis_url": REDIS_SCHEMES,
    "broker_url": (*RABBIT_SCHEMES, *REDIS_SCHEMES),
    "qdrant_url": ("http", "https"),
}


def url_problem(name: str, url: str) -> str:
    """What is wrong with the URL in the setting ``name``, as the rest of a sentence, without its password; or ""."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return f"is no URL: {error}"
    if parts.scheme not in SCHEMES[name] or not url[len(parts.scheme) :].startswith("://"):
        return f"must start with one of {', '.join(f'{scheme}://' for scheme in SCHEMES[name])}"
    if "@" in f"{parts.path}{parts.fragment}" or ("@" in parts.query and "password=" not in parts.query):
        return "needs its user and password percent-encoded: %2F for /, %23 for #, %3F for ?, %40 for @"
    try:
        parts.port  # noqa: B018 - parses it
    except ValueError:
        return "has a port that is no number up to 65535"
    if parts.scheme in ("redis", "rediss") and not re.fullmatch(r"/?\d*", parts.path):
        return "must end with the number of a database, for example /0"
    return ""


def masked(url: str) -> str:
    """The URL with passwords hidden, fit for logs; also one whose password is not quoted as it should be."""
    if "://" not in url:
        return re.sub(r".*@", "***@", url)
    url = re.sub(r"(://[^:@/]*):.+@", r"\1:***@", url)
    return re.sub(r"(?i)(password=)[^&#]*", r"\1***", url)
