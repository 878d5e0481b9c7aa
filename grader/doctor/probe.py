"""HTTP with a memory: every call is kept with its answer, so that a failure can be shown and repeated."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import aiohttp
from yarl import URL

from grader.service import read_some

MAX_CONNECTIONS = 100
KEEP_ALIVE_S = 1.0  # less than any server's, or a call could meet a connection that is just being closed


@dataclass(frozen=True, eq=False)
class Call:
    """One request and its answer. ``sent``: bytes go out as they are, None is no body, anything else goes out as JSON.

    ``status`` is 0 where no answer came; ``failure`` then says why. Times are ``time.perf_counter`` seconds.
    """

    method: str
    url: str
    sent: Any
    user: str | None
    started: float
    ended: float
    status: int = 0
    content_type: str = ""
    content: bytes = b""
    failure: str = ""

    @property
    def came_back(self) -> str:
        """The answer in one line of printable characters, at most 200 of its content."""
        text = self.content[:800].decode(errors="replace")
        line = "".join(c if c.isprintable() else " " for c in text)
        return self.failure or f"{self.status} {line[:200]}{'…' if len(line) > 200 else ''}".strip()

    def json(self) -> Any:
        """The decoded content; None where it is no JSON."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            return None


class Probe:
    """A client with one time limit for every call. Use as an async context manager; ``calls`` is the memory."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.calls: list[Call] = []

    async def __aenter__(self) -> Probe:
        limit = aiohttp.ClientTimeout(total=self.timeout_s)
        connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=KEEP_ALIVE_S)
        self._session = aiohttp.ClientSession(timeout=limit, connector=connector)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def call(self, method: str, url: str, sent: Any = None, *, user: str | None = None) -> Call:
        """Never raises for what the service does: no answer is a Call with status 0."""
        started = time.perf_counter()
        answer = await self._answer(method, url, sent)
        call = Call(method, url, sent, user, started, time.perf_counter(), **answer)
        self.calls.append(call)
        return call

    async def _answer(self, method: str, url: str, sent: Any) -> dict[str, Any]:
        body = headers = None
        if sent is not None:
            body = BytesIO(sent if isinstance(sent, bytes) else json.dumps(sent).encode())
            headers = {"Content-Type": "application/json"}
        target = URL(url, encoded=True)  # as it stands: no normalising of %2F and the like
        try:
            async with self._session.request(
                method, target, data=body, headers=headers, allow_redirects=False
            ) as response:
                content = await read_some(response)
                kind = response.headers.get("Content-Type", "")
                return {"status": response.status, "content_type": kind, "content": content}
        except TimeoutError:
            return {"failure": f"no answer within {self.timeout_s:g} s"}
        except (aiohttp.ClientError, OSError) as error:
            return {"failure": _why(error)}


def _why(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "no such host"
        case aiohttp.ClientConnectorError():
            return "nothing listens there"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | aiohttp.ClientPayloadError():
            return "connection closed without a complete answer"
        case _:
            return f"no valid HTTP answer ({type(error).__name__})"
