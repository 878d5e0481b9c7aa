"""The verbs of the contract against two URLs, and what several checks ask of the answers."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from grader.doctor.outcome import CheckFailed
from grader.doctor.probe import Call, Probe
from grader.service import Address

K = 10  # length of a list where ?k= is absent
AT_ONCE = 20  # concurrent calls of checks that only want to be quick

A = TypeVar("A")
T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """``timeout_s``: for every single call. ``patience_s``: how long a reaction may take to have its effect.
    ``load_s``: length of the load."""

    timeout_s: float = 10.0
    patience_s: float = 5.0
    load_s: float = 3.0

    @property
    def settle_s(self) -> float:
        """A wait after which events that should have no effect would have had it."""
        return 0.4 * self.patience_s


class Service:
    """A recommender under test. Calls that the contract wants to succeed raise CheckFailed where they do not."""

    def __init__(self, probe: Probe, address: Address, limits: Limits) -> None:
        self.probe, self.limits = probe, limits
        self.recs_url, self.interact_url = address.recs_url, address.interact_url
        self.rng = random.Random()

    def items(self, n: int) -> list[str]:
        """Ids that no service has met before."""
        return _fresh("i", n)

    def users(self, n: int) -> list[str]:
        return _fresh("u", n)

    def user(self) -> str:
        return self.users(1)[0]

    async def cleanup(self, method: str = "POST") -> None:
        accepted(await self.call_cleanup(method))

    async def add_items(self, items: Sequence[str | int], genres: list[list[str]] | None = None) -> None:
        body: dict[str, Any] = {"item_ids": list(items)}
        accepted(await self.post_items(body if genres is None else {**body, "genres": genres}))

    async def start_over(self, n_items: int) -> list[str]:
        """Cleanup, then a catalogue of ``n_items`` fresh items."""
        await self.cleanup()
        items = self.items(n_items)
        await self.add_items(items)
        return items

    async def recs(self, user: str) -> list[str]:
        """The list as it came, ids as texts; only its checks care about length and repeats."""
        call = accepted(await self.get_recs(user))
        return [str(item) for item in listed(call)]

    async def lists(self, user: str, n: int) -> list[list[str]]:
        """``n`` lists one after the other."""
        return [await self.recs(user) for _ in range(n)]

    async def react(self, user: str, reactions: Mapping[str, str]) -> None:
        """``reactions``: "like" or "dislike" by item, all in one call."""
        body = {"user_id": user, "item_ids": list(reactions), "actions": list(reactions.values())}
        accepted(await self.post_interact(body, user=user))

    async def get_recs(self, user: str, query: str = "") -> Call:
        return await self.probe.call("GET", f"{self.recs_url}/recs/{quote(user, safe='')}{query}", user=user)

    async def call_cleanup(self, method: str = "POST") -> Call:
        return await self.probe.call(method, f"{self.recs_url}/cleanup")

    async def post_items(self, body: Any) -> Call:
        return await self.probe.call("POST", f"{self.recs_url}/add_items", body)

    async def post_interact(self, body: Any, *, user: str | None = None) -> Call:
        return await self.probe.call("POST", f"{self.interact_url}/interact", body, user=user)

    def calls_of(self, *users: str) -> list[Call]:
        """This check's calls of these users, and those that are no user's: cleanup and add_items."""
        return [call for call in self.probe.calls if call.user is None or call.user in users]

    async def health(self) -> list[Call]:
        return [await self.probe.call("GET", f"{url}/healthcheck") for url in (self.recs_url, self.interact_url)]

    async def settle(self) -> None:
        await asyncio.sleep(self.limits.settle_s)

    async def eventually(self, attempts: Iterable[Callable[[], Awaitable[T]]]) -> T:
        """The first attempt that does not fail. Pauses between them grow and add up to the patience."""
        *earlier, last = attempts
        for n, attempt in enumerate(earlier):
            try:
                return await attempt()
            except CheckFailed:
                await asyncio.sleep(self.limits.patience_s * 0.5 ** (len(earlier) - n))
        return await last()


async def crowd(work: Callable[[A], Awaitable[T]], arguments: Iterable[A], at_once: int = AT_ONCE) -> list[T]:
    """Results in order. The first exception ends the others' work and is raised."""
    room = asyncio.Semaphore(at_once)

    async def one(argument: A) -> T:
        async with room:
            return await work(argument)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(argument)) for argument in arguments]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


def accepted(call: Call) -> Call:
    """The call, if it came back with 200; CheckFailed otherwise."""
    if call.status != 200:
        raise CheckFailed(f"{path(call)} should come back with 200, but: {call.came_back}", user=call.user)
    return call


def listed(call: Call) -> list[Any]:
    """The items of a list as they came; CheckFailed where there is no list."""
    answer = call.json()
    found = answer.get("item_ids") if isinstance(answer, dict) else None
    if not isinstance(found, list):
        raise CheckFailed(f"{path(call)} came back without a list item_ids: {call.came_back}", user=call.user)
    return found


def path(call: Call) -> str:
    """Method and path, for a sentence."""
    shown = "/" + call.url.split("/", 3)[3]
    return f"{call.method} {shown[:80]}{'…' if len(shown) > 80 else ''}"


def some(ids: Collection[str], n: int = 3) -> str:
    """The first few, for a sentence."""
    return ", ".join(sorted(ids)[:n]) + (f" and {len(ids) - n} more" if len(ids) > n else "")


def repeated(items: Sequence[str]) -> set[str]:
    return {item for item, n in Counter(items).items() if n > 1}


def _fresh(kind: str, n: int) -> list[str]:
    run = secrets.token_hex(4)
    return [f"{kind}-{run}-{i}" for i in range(n)]
