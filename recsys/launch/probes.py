"""Looks at servers: is there one at this URL, and can it be used?"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from recsys.launch.backends import STANDARD_PORTS, STANDARD_URLS, Finding, Kind, redis_finding, url_finding
from recsys.launch.http import NoAnswer, request
from recsys.settings import RABBIT_SCHEMES

LOCAL_CONNECT_S: Final = 0.5
ANSWER_S: Final = 3.0

# The clients are imported only once a server is known to be there: they cost more time than the rest of the launcher.


async def look_for_servers(configured: Mapping[Kind, str], *, standard_ports: bool) -> dict[Kind, Finding]:
    """One finding per backend: of the configured URL, else of the standard local port if ``standard_ports``."""

    async def look(kind: Kind) -> Finding:
        if kind in configured:
            return url_finding(kind, configured[kind]) or await _PROBES[kind](configured[kind])
        url = STANDARD_URLS[kind]
        if not standard_ports:
            return Finding(url, "not asked")
        if not await _is_open(STANDARD_PORTS[kind]):
            return Finding(url, "silent")
        return await _PROBES[kind](url)

    redis, broker, qdrant = await asyncio.gather(look("Redis"), look("broker"), look("Qdrant"))
    return {"Redis": redis, "broker": broker, "Qdrant": qdrant}


async def _is_open(port: int) -> bool:
    try:
        async with asyncio.timeout(LOCAL_CONNECT_S):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:  # includes TimeoutError
        return False
    writer.close()
    return True


async def probe_redis(url: str) -> Finding:
    from recsys.stores.ports import StoreMisconfigured, StoreUnavailable
    from recsys.stores.redis_client import server_facts

    try:
        return redis_finding(url, await server_facts(url, ANSWER_S))
    except StoreMisconfigured as error:
        return Finding(url, "unusable", _in_short(error))
    except StoreUnavailable as error:
        return Finding(url, "silent", str(error))


async def probe_broker(url: str) -> Finding:
    if urlsplit(url).scheme in RABBIT_SCHEMES:
        return await probe_rabbit(url)
    return await probe_redis(url)


async def probe_rabbit(url: str) -> Finding:
    from recsys.stores.ports import StoreMisconfigured, StoreUnavailable
    from recsys.stores.rabbit_broker import RabbitBroker

    logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # the finding says it all
    broker = RabbitBroker(url, ANSWER_S)
    try:
        await broker.depth()  # rather than ping: a full one is emptied by the pipeline that is about to start
    except StoreMisconfigured as error:
        return Finding(url, "unusable", _in_short(error))
    except StoreUnavailable as error:
        return Finding(url, "silent", str(error))
    finally:
        await broker.close()
    return Finding(url, "usable")


def _in_short(error: Exception) -> str:
    from recsys.stores.ports import CredentialsRefused

    return "refuses its user or password" if isinstance(error, CredentialsRefused) else f"cannot be used: {error}"


async def probe_qdrant(url: str) -> Finding:
    parts = urlsplit(url)
    # The client's default is this port, not that of the scheme.
    netloc = parts.netloc if parts.port else f"{parts.netloc}:{STANDARD_PORTS['Qdrant']}"
    collections = parts._replace(netloc=netloc, path=f"{parts.path.rstrip('/')}/collections").geturl()
    try:
        status, body = await asyncio.to_thread(request, "GET", collections, timeout_s=ANSWER_S)
    except NoAnswer as error:
        return Finding(url, "silent", str(error))
    if status in (401, 403):
        return Finding(url, "unusable", "asks for an API key")
    return Finding(url, "usable") if status == 200 and _has_result(body) else Finding(url, "unusable", "is not Qdrant")


def _has_result(body: bytes) -> bool:
    try:
        answer = json.loads(body)
    except ValueError:
        return False
    return isinstance(answer, dict) and "result" in answer


_PROBES: Final[Mapping[Kind, Callable[[str], Awaitable[Finding]]]] = {
    "Redis": probe_redis,
    "broker": probe_broker,
    "Qdrant": probe_qdrant,
}
