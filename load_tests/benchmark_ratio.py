"""Throughput of one service against a bare endpoint that does one command to the same store."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from load_tests.benchmark_children import BenchmarkError, Child, free_port, until
from load_tests.benchmark_figures import INTERACT, RECS, Budget, Figure
from load_tests.benchmark_run import Run
from load_tests.benchmark_system import ITEMS, System, catalogue, open_system, require_ok
from load_tests.benchmark_traffic import interact_call, reactions, recs_call
from load_tests.http_client import Pool, Timings, call, closed_loop, open_pools
from recsys.stores.redis_scripts import QUEUE, USERS

FILL_S: Final = 30.0  # longest wait for a refresh that fills the exploration queue
CONNECTIONS: Final = 50
USERS_WARM: Final = 1_000
LISTS_SHOWN: Final = 3
K: Final = 10
ALONE_CALLS: Final = 300


@dataclass
class Side:
    """One of the two servers, and what its rounds gave."""

    port: int
    server: Child
    redis: Child
    calls: Sequence[bytes]
    per_second: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    redis_cpu_us: list[float] = field(default_factory=list)

    async def round(self) -> None:
        server_s, redis_s = self.server.cpu_s(), self.redis.cpu_s()
        timings = await self.load(self.calls, CONNECTIONS)
        self.cpu_us.append((self.server.cpu_s() - server_s) / len(self.calls) * 1e6)
        self.redis_cpu_us.append((self.redis.cpu_s() - redis_s) / len(self.calls) * 1e6)
        self.per_second.append(timings.per_second)

    async def load(self, calls: Sequence[bytes], connections: int) -> Timings:
        timings = await closed_loop(self.port, calls, connections)
        if timings.errors:
            raise BenchmarkError(f"{self.server.name}: {timings.errors:,} of {len(calls):,} answers were not 200")
        return timings


async def recs(run: Run) -> list[Figure]:
    async with open_system(run) as system:
        run.say("preparing warm users")
        pipeline = system.start_pipeline()
        collector = await system.start_collector()
        service = await system.start_recommendations()
        port = free_port()
        bare = await system.start_baseline(port)
        users = await _warm_users(system, [pipeline, collector, service])
        names = [
            f"{system.settings.key_prefix}:{await system.state.epochs.current()}:{name}" for name in (USERS, QUEUE)
        ]

        async def filled() -> bool:
            """The warm users took candidates faster than new ones came."""
            return bool(await system.redis.exists(*names) == len(names))

        await until(filled, "a new exploration queue", FILL_S, pipeline)
        pipeline.pause()
        calls = [users[i % len(users)] for i in range(run.options.calls)]
        ours = Side(system.settings.recommendations_port, service, system.redis_server, [recs_call(u) for u in calls])
        theirs = Side(port, bare, system.redis_server, [call("GET", f"/get/{u}") for u in calls])
        saved: dict[str, Any] = {name: await system.redis.dump(name) for name in names}

        async def restore() -> None:
            """Every round begins with the same users and candidates."""
            for name, value in saved.items():
                await system.redis.restore(name, 0, value, replace=True)
            await run.broker.empty(system.redis, system.settings.key_prefix)

        detail = f"{ITEMS:,} items, {USERS_WARM:,} users with {LISTS_SHOWN} lists shown and {K} reactions"
        figures = await _compare(run, "/recs", RECS, ours, theirs, restore, detail)
        return [*figures, await _choice(system.settings.recommendations_port)]


async def _choice(port: int) -> Figure:
    async with open_pools(port) as (pool,):
        status, answer = await pool.send(call("GET", "/metrics"))
        require_ok(status, answer)
    metrics = dict(line.rsplit(" ", 1) for line in answer.decode().splitlines() if not line.startswith("#"))
    seconds, lists = (float(metrics[f"list_choice_seconds_{name}"]) for name in ("sum", "count"))
    detail = f"mean of {lists:,.0f} lists: candidates, taste, rank and diversity, without reading or writing state"
    return Figure("/recs time to choose a list", seconds / lists * 1e6, "µs", detail=detail)


async def interact(run: Run) -> list[Figure]:
    async with open_system(run) as system:
        run.say("preparing")
        pipeline = system.start_pipeline()
        service = await system.start_collector()
        port = free_port()
        bare = await system.start_baseline(port)
        pipeline.pause()
        rng = random.Random(0)
        ids = [[str(rng.randrange(ITEMS)) for _ in range(K)] for _ in range(run.options.calls)]
        calls = [interact_call(f"user-{n % USERS_WARM}", items, reactions(rng, K)) for n, items in enumerate(ids)]
        ours = Side(system.settings.collector_port, service, system.redis_server, calls)
        bodies = [request.partition(b"\r\n\r\n")[2] for request in calls]
        theirs = Side(port, bare, system.redis_server, [call("POST", "/publish", body) for body in bodies])

        async def empty() -> None:
            await run.broker.empty(system.redis, system.settings.key_prefix)

        detail = f"{K} reactions a call"
        return await _compare(run, "/interact", INTERACT, ours, theirs, empty, detail)


async def _warm_users(system: System, children: Sequence[Child]) -> list[str]:
    """Users who were shown lists and reacted to one, all of it drained and in the models."""
    await system.add_items(catalogue(ITEMS))
    users = [f"user-{number}" for number in range(USERS_WARM)]
    rng = random.Random(0)
    async with open_pools(system.settings.recommendations_port, system.settings.collector_port) as (lists, collector):
        for start in range(0, USERS_WARM, CONNECTIONS):
            group = users[start : start + CONNECTIONS]
            await asyncio.gather(*(_warm_user(user, lists, collector, rng) for user in group))
    await system.settle(USERS_WARM * (LISTS_SHOWN + 1) * K, children)
    return users


async def _warm_user(user: str, lists: Pool, collector: Pool, rng: random.Random) -> None:
    shown: list[Any] = []
    for _ in range(LISTS_SHOWN):
        status, answer = await lists.send(recs_call(user))
        require_ok(status, answer)
        shown += json.loads(answer)["item_ids"]
    require_ok(*await collector.send(interact_call(user, rng.sample(shown, K), reactions(rng, K))))


async def _compare(
    run: Run, name: str, budget: Budget, ours: Side, bare: Side, prepare: Callable[[], Awaitable[None]], detail: str
) -> list[Figure]:
    """Rounds of one and the other in turn, so that both meet the same noise; one round before them does not count."""
    for number in range(run.options.rounds + 1):
        run.say(f"{name} against the bare endpoint, round {number} of {run.options.rounds}")
        for side in (ours, bare):
            await prepare()
            await side.round()
    run.say(f"{name}: one request at a time")
    await prepare()
    alone = [(await side.load(side.calls[:ALONE_CALLS], 1)).percentile_ms(50) for side in (ours, bare)]
    ratios = [a / b for a, b in zip(ours.per_second[1:], bare.per_second[1:], strict=True)]
    cpu_us, bare_cpu_us = float(np.median(ours.cpu_us[1:])), float(np.median(bare.cpu_us[1:]))
    redis_us, bare_redis_us = float(np.median(ours.redis_cpu_us[1:])), float(np.median(bare.redis_cpu_us[1:]))
    spread = (
        f"{detail}; {CONNECTIONS} connections, one worker, pipeline paused: only the request path is compared; "
        f"median of {run.options.rounds} rounds, {min(ratios):.2f} to {max(ratios):.2f}; "
        f"{np.median(ours.per_second[1:]):,.0f} against {np.median(bare.per_second[1:]):,.0f} requests/s"
    )
    return [
        Figure(f"{name} throughput ÷ bare endpoint", float(np.median(ratios)), "", budget, spread),
        Figure(
            f"{name} processor time of the service",
            cpu_us,
            "µs/request",
            detail=f"bare endpoint: {bare_cpu_us:.0f}, which is {bare_cpu_us / cpu_us:.2f} of it; "
            f"Redis: {redis_us:.0f} for ours, {bare_redis_us:.0f} for the bare one",
        ),
        Figure(f"{name} answer, one at a time", alone[0], "ms", detail=f"median; bare endpoint: {alone[1]:.2f} ms"),
    ]
