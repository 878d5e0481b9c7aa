"""The few HTTP calls of the launcher. The standard library: any client would cost more start-up time than the calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final
from urllib.parse import urlsplit

HEALTH_S: Final = 1.0


class NoAnswer(Exception):
    """The server gave no HTTP answer in time."""


def request(method: str, url: str, *, timeout_s: float, body: Any = None) -> tuple[int, bytes]:
    """Status and body of the answer."""
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
    payload = None if body is None else json.dumps(body).encode()
    try:
        connection.request(method, parts.path or "/", payload, {"Content-Type": "application/json"} if payload else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, HTTPException) as error:
        raise NoAnswer(f"{url}: {str(error) or type(error).__name__}") from error
    finally:
        connection.close()


async def unhealthy(urls: Mapping[str, str]) -> dict[str, str]:
    """Of the healthchecks in ``urls``, by name: what those say that are not well."""
    answers = await asyncio.gather(*(asyncio.to_thread(_complaint, url) for url in urls.values()))
    return {name: answer for name, answer in zip(urls, answers, strict=True) if answer}


def _complaint(url: str) -> str:
    try:
        status, body = request("GET", url, timeout_s=HEALTH_S)
    except NoAnswer as error:
        return str(error)
    return "" if status == 200 else f"{status} {body[:300].decode(errors='replace')}"
