"""The service under test: two URLs and nothing else."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import aiohttp
from yarl import URL

from grader.errors import GraderError

K: Final = 10  # the default of the contract
NO_ANSWER: Final = 0  # in place of a status
KEPT_ALIVE_S: Final = 1.5  # shorter than servers keep idle connections, so that none is closed under a request
EXCERPT_BYTES: Final = 200
MAX_ANSWER_BYTES: Final = 4_000_000  # nothing the contract asks for comes near; keeps an endless answer from memory


@dataclass(frozen=True)
class Address:
    """Where the two roles of the contract answer; without a slash at the end."""

    recs_url: str = "http://localhost:5001"
    interact_url: str = "http://localhost:5000"

    def __post_init__(self) -> None:
        for name in ("recs_url", "interact_url"):
            url = getattr(self, name).rstrip("/")
            if not is_url(url):
                raise GraderError(f"{url!r} is no URL: give one like http://localhost:5001.")
            object.__setattr__(self, name, url)


def is_url(text: str) -> bool:
    """Whether requests can be sent there: host names and ports follow their rules."""
    try:
        url = URL(text)
        return url.scheme in ("http", "https") and bool((url.host or "").encode("idna")) and url.port != 0
    except ValueError:
        return False


class Answer(NamedTuple):
    """``problem`` is empty for a 200. Times are those of ``time.perf_counter``."""

    status: int
    body: bytes
    problem: str
    sent_s: float
    done_s: float


class Shown(NamedTuple):
    """What a list answer holds: ids as strings, and the source of each if it was asked for and given."""

    item_ids: list[str]
    sources: list[str]


class Service:
    """Speaks the contract; requests never raise, what went wrong is in the answer."""

    def __init__(self, client: aiohttp.ClientSession, address: Address) -> None:
        self._client = client
        self._recs = address.recs_url
        self._interact = URL(f"{address.interact_url}/interact", encoded=True)
        self.address = address

    async def recs(self, user_id: str, k: int, *, explain: bool = False) -> Answer:
        # Without parameters where the default will do: this is how the external grader asks.
        query = "&".join([f"k={k}"] * (k != K) + ["explain=true"] * explain)
        url = f"{self._recs}/recs/{quote(user_id, safe='')}" + f"?{query}" * bool(query)
        return await self._send("GET", URL(url, encoded=True))

    async def interact(self, user_id: str, item_ids: Sequence[str], actions: Sequence[str]) -> Answer:
        body = {"user_id": user_id, "item_ids": item_ids, "actions": actions, "timestamp": time.time()}
        return await self._send("POST", self._interact, body)

    async def _send(self, method: str, url: URL, body: Mapping[str, Any] | None = None) -> Answer:
        sent_s = time.perf_counter()
        status, content, problem = NO_ANSWER, b"", ""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else None
        try:
            async with self._client.request(method, url, data=data, headers=headers) as response:
                content = await read_some(response)
                status = response.status
        except TimeoutError:
            problem = "timeout"
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: sent on to what is no host name
            problem = _reason(error)
        done_s = time.perf_counter()
        if len(content) > MAX_ANSWER_BYTES:
            status, content, problem = NO_ANSWER, b"", f"answer over {MAX_ANSWER_BYTES / 1e6:g} MB"
        elif status not in (NO_ANSWER, 200):
            problem = f"status {status}"
        return Answer(status, content, problem, sent_s, done_s)

    async def require_health(self) -> None:
        """GraderError unless both healthchecks answer 200."""
        for url in (self.address.recs_url, self.address.interact_url):
            _require(await self._send("GET", URL(f"{url}/healthcheck")), f"{url}/healthcheck")

    async def cleanup(self) -> None:
        """By POST, or by GET where that is not allowed. GraderError if neither answers 200."""
        cleanup = URL(f"{self._recs}/cleanup")
        answer = await self._send("POST", cleanup)
        if answer.status in (404, 405):
            answer = await self._send("GET", cleanup)
        _require(answer, str(cleanup))

    async def offers_sources(self, user_id: str) -> bool:
        """Whether lists come with the source of every item if asked for. GraderError if what comes is no list."""
        answer = await self.recs(user_id, K, explain=True)
        shown = read_list(answer.body) if answer.status == 200 else Shown([], [])
        if isinstance(shown, str):
            raise GraderError(f"{self._recs}/recs/{user_id} answered 200 with {shown}: is {self._recs} the right URL?")
        return bool(shown.sources)

    async def add_items(self, item_ids: Sequence[str], genres: Sequence[Sequence[str]]) -> Answer:
        """GraderError if it is refused: without a catalogue there is nothing to grade."""
        url = f"{self._recs}/add_items"
        answer = await self._send("POST", URL(url), {"item_ids": item_ids, "genres": genres})
        _require(answer, url)
        return answer


async def read_some(response: aiohttp.ClientResponse) -> bytes:
    """All of it, or something more than MAX_ANSWER_BYTES."""
    content = bytearray()
    async for piece in response.content.iter_any():
        content += piece
        if len(content) > MAX_ANSWER_BYTES:
            break
    return bytes(content)


def encodable(text: object) -> str:
    """As text that UTF-8 can hold; half of a surrogate pair, which JSON may hold, becomes its escape."""
    return str(text).encode(errors="backslashreplace").decode()


def _reason(error: Exception) -> str:
    """In few words and without addresses, so that equal problems are counted together."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection ({error.strerror or type(error.os_error).__name__})"
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError):
        return "connection closed"
    if isinstance(error, UnicodeError):
        return "sent on to an invalid host name"
    return type(error).__name__


def _require(answer: Answer, url: str) -> None:
    seen = " ".join(answer.body[:EXCERPT_BYTES].decode(errors="replace").split())
    is_page = seen.lower().startswith(("<!doctype", "<html"))
    if is_page:
        seen = "an HTML page: is this the port of another program?"
    if not answer.problem and not is_page:
        return
    what = f"answered {answer.problem or 'status 200'}" if answer.status else f"gave no usable answer: {answer.problem}"
    hint = f" ({seen})" if seen else "" if answer.status else "; is the service running, and is the URL right?"
    raise GraderError(f"{url} {what}{hint}")


def read_list(body: bytes) -> Shown | str:
    """The list in the body of a 200, or what is wrong with it in few words."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return "no JSON"
    ids = parsed.get("item_ids") if isinstance(parsed, dict) else None
    if not isinstance(ids, list):
        return "no item_ids"
    sources = parsed.get("sources")
    labelled = isinstance(sources, list) and len(sources) == len(ids)
    return Shown([encodable(item) for item in ids], [encodable(s) for s in sources] if labelled else [])


@asynccontextmanager
async def connect(address: Address, timeout_s: float) -> AsyncIterator[Service]:
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_ALIVE_S)
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as client:
        # Otherwise a list whose connection breaks is silently asked for again, and the service takes both for shown.
        client._retry_connection = False
        yield Service(client, address)
    # The transports of a closed session are closed by the next round of the event loop.
    await asyncio.sleep(0)
