"""HTTP calls to the event collector and to the recommendations service."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError, ReadTimeoutError

from recsys.settings import Settings
from webapp.service_status import ServiceStatus, read_status

CONNECT_S: Final = 0.5
ANSWER_S: Final = 2.0
CONNECTIONS: Final = 16
EPOCH_KNOWN_S: Final = 1.0  # how long the epoch is believed before it is asked for again

ServiceName = Literal["collector", "recommendations"]


class ServiceDown(Exception):
    """The service gave no usable answer. What a POST asked for may or may not have happened."""

    def __init__(self, service: ServiceName, reason: str) -> None:
        super().__init__(f"{service}: {reason}")
        self.service = service
        self.reason = reason


@dataclass(frozen=True)
class Recommended:
    """``sources[i]`` names the part of the ranking that chose ``item_ids[i]``."""

    item_ids: list[str]
    sources: list[str]


@dataclass(frozen=True)
class CatalogueState:
    items: int
    genres: list[str]
    epoch: int


@dataclass(frozen=True)
class Health:
    status: int  # of the answer; 0 without one
    detail: str
    took_ms: float


class Services:
    """Both services. Every call may raise ServiceDown. Safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        places = {
            "collector": (settings.collector_host or settings.local_host, settings.collector_port),
            "recommendations": (settings.recommendations_host or settings.local_host, settings.recommendations_port),
        }
        self.urls: Mapping[str, str] = {name: f"http://{host}:{port}" for name, (host, port) in places.items()}
        self._patience = {"collector": settings.publish_timeout_s + 1, "recommendations": ANSWER_S}
        self._pools = {
            name: urllib3.HTTPConnectionPool(host, port, maxsize=CONNECTIONS, retries=False)
            for name, (host, port) in places.items()
        }
        self._lock = threading.Lock()
        self._epoch = 0
        self._epoch_asked_at = -EPOCH_KNOWN_S

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    def recs(self, user_id: str) -> Recommended:
        """The next ten for this user. They count as shown from now on."""
        body = self._get(f"/recs/{_segment(user_id)}?explain=true") or {}
        ids = _ids(body)
        sources = [str(source) for source in body.get("sources", [])]
        return Recommended(ids, sources if len(sources) == len(ids) else [""] * len(ids))

    def similar(self, item_id: str, k: int) -> list[str]:
        """Empty for an item that the service does not know."""
        return _ids(self._get(f"/similar/{_segment(item_id)}?k={k}") or {})

    def top(self, genre: str, k: int) -> list[str]:
        """Best first, of all genres if ``genre`` is empty; empty for an unknown genre too."""
        query = urlencode({"k": k} | ({"genre": genre} if genre else {}))
        return _ids(self._get(f"/top?{query}") or {})

    def catalogue(self) -> CatalogueState:
        body = self._get("/catalogue") or {}
        try:
            state = CatalogueState(int(body["items"]), [str(genre) for genre in body["genres"]], int(body["epoch"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ServiceDown("recommendations", f"unexpected answer: {body!r:.200}") from error
        with self._lock:
            self._epoch, self._epoch_asked_at = state.epoch, time.monotonic()
        return state

    def epoch(self) -> int:
        """The epoch of the moment, or the last one known while the service is down; 0 before the first answer."""
        if time.monotonic() - self._epoch_asked_at < EPOCH_KNOWN_S:
            return self._epoch
        try:
            return self.catalogue().epoch
        except ServiceDown:
            self._epoch_asked_at = time.monotonic()
            return self._epoch

    def status(self) -> ServiceStatus | None:
        """None from a service that has no such page."""
        body = self._get("/status")
        try:
            return None if body is None else read_status(body)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ServiceDown("recommendations", f"unexpected answer: {body!r:.200}") from error

    def react(self, user_id: str, item_id: str, actions: Sequence[str]) -> None:
        """Say all this about the item, in this order."""
        body = {"user_id": user_id, "item_ids": [item_id] * len(actions), "actions": list(actions)}
        status, answer = self._send("collector", "POST", "/interact", body)
        if status != 200:
            raise ServiceDown("collector", f"{status} {answer[:200]!r}")

    def health(self, service: ServiceName) -> Health:
        start = time.perf_counter()
        try:
            status, answer = self._send(service, "GET", "/healthcheck", read_s=ANSWER_S)
        except ServiceDown as error:
            return Health(0, error.reason, (time.perf_counter() - start) * 1000)
        try:
            body = json.loads(answer)
            detail = str(body.get("reason") or body.get("status") or "")
        except (ValueError, AttributeError):
            detail = ""
        return Health(status, detail[:300], (time.perf_counter() - start) * 1000)

    def _get(self, target: str) -> dict[str, Any] | None:
        """JSON of the recommendations service; None for a 404."""
        status, answer = self._send("recommendations", "GET", target)
        if status == 404:
            return None
        try:
            body = json.loads(answer)
        except ValueError as error:
            raise ServiceDown("recommendations", f"{status}, not JSON") from error
        if status != 200 or not isinstance(body, dict):
            raise ServiceDown("recommendations", f"{status} {answer[:200]!r}")
        return body

    def _send(
        self,
        service: ServiceName,
        method: str,
        target: str,
        body: dict[str, Any] | None = None,
        read_s: float | None = None,
    ) -> tuple[int, bytes]:
        """Status and body, within ``read_s`` or the usual patience.

        Tried a second time where that cannot make a reaction count twice.
        """
        timeout = urllib3.Timeout(connect=CONNECT_S, read=read_s or self._patience[service])
        try:
            return self._send_once(service, method, target, body, timeout)
        except ReadTimeoutError as error:
            raise ServiceDown(service, "no answer in time") from error
        except HTTPError as error:
            if method != "GET" and not isinstance(error, NewConnectionError):
                raise ServiceDown(service, type(error).__name__) from error
        try:
            return self._send_once(service, method, target, body, timeout)
        except HTTPError as error:
            raise ServiceDown(service, type(error).__name__) from error

    def _send_once(
        self, service: ServiceName, method: str, target: str, body: dict[str, Any] | None, timeout: urllib3.Timeout
    ) -> tuple[int, bytes]:
        headers = {} if body is None else {"Content-Type": "application/json"}
        payload = None if body is None else json.dumps(body).encode()
        answer = self._pools[service].urlopen(method, target, payload, headers, redirect=False, timeout=timeout)
        return answer.status, answer.data


def _segment(value: str) -> str:
    """As one segment of a path. Dots would be taken for "here" and "one up"."""
    return quote(value, safe="").replace(".", "%2E")


def _ids(body: Mapping[str, Any]) -> list[str]:
    return [str(item) for item in body.get("item_ids", [])]
