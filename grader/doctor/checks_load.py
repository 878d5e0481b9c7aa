"""Does it hold while fifty users are at it, and after everything?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from grader.doctor.checks_lists import all_new
from grader.doctor.outcome import Check, CheckFailed
from grader.doctor.probe import Call
from grader.doctor.service import K, Service, accepted

N_USERS = 50
N_ITEMS = 500


async def load(service: Service) -> str:
    items = await service.start_over(N_ITEMS)
    before = len(service.probe.calls)
    started = time.perf_counter()
    until = started + service.limits.load_s
    failures = [
        f for many in await asyncio.gather(*(_visits(service, items, until) for _ in range(N_USERS))) for f in many
    ]
    calls = service.probe.calls[before:]
    figures = _figures(calls, time.perf_counter() - started)
    if failures:
        first = failures[0]
        seen = f"{len(failures)} visits failed while {N_USERS} users were there at once ({figures})"
        raise CheckFailed(f"{seen}; one of them: {first.seen}", user=first.user)
    return figures


async def _visits(service: Service, items: Sequence[str], until: float) -> list[CheckFailed]:
    """One user, and others after him until it is time. What went wrong, at most one failure per user."""
    failures = []
    while True:
        try:
            await _visit(service, items)
        except CheckFailed as failure:
            failures.append(failure)
        if time.perf_counter() >= until:
            return failures


async def _visit(service: Service, items: Sequence[str]) -> None:
    user = service.user()
    lists = [await service.recs(user)]
    await service.react(user, {item: "like" if n % 2 else "dislike" for n, item in enumerate(lists[0])})
    lists += await service.lists(user, 2)
    all_new(lists, items, user)
    if not set().union(*lists) <= set(items):
        raise CheckFailed("An unknown item was shown.", user=user)


def _figures(calls: Sequence[Call], seconds: float) -> str:
    took = sorted(call.ended - call.started for call in calls)
    p95 = took[int(0.95 * len(took))]
    return f"{len(calls) / seconds:,.0f} calls/s, 95 % within {1_000 * p95:,.0f} ms"


async def keeps_going(service: Service) -> str:
    for call in await service.health():
        accepted(call)
    items = await service.start_over(2 * K)
    user = service.user()
    all_new(await service.lists(user, 2), items, user)
    return "still healthy and serving"


CHECKS = (
    Check("load", f"{N_USERS} users at once: every call answered, every list valid.", load),
    Check("keeps-going", "After all of this, both services are well.", keeps_going),
)
