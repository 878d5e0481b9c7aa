"""Latency and freshness of the whole system under grader-like traffic."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import numpy as np

from load_tests.benchmark_children import BenchmarkError
from load_tests.benchmark_figures import FRESHNESS_MS, LATENCY_MS, Figure
from load_tests.benchmark_run import Run
from load_tests.benchmark_system import ITEMS, System, catalogue, open_system, require_ok
from load_tests.benchmark_traffic import Traffic, interact_call, recs_call
from load_tests.http_client import Pool, open_pools
from recsys.stores.redis_state import USERS
from recsys.user_state import LIKE, UserState

PER_SECOND: Final = 100.0
WARM_UP_S: Final = 5.0
PROBERS: Final = 3
MIN_PROBES: Final = 200
PROBE_POLL_S: Final = 0.001
PROBE_PATIENCE_S: Final = 10.0


@asynccontextmanager
async def _live_system(run: Run) -> AsyncIterator[tuple[System, Pool, Pool]]:
    """Everything running and warm, with connections to both services."""
    async with open_system(run) as system:
        run.say("starting collector, recommendations and pipeline")
        system.start_pipeline()
        await system.start_collector()
        await system.start_recommendations()
        await system.add_items(catalogue(ITEMS))
        ports = system.settings.recommendations_port, system.settings.collector_port
        async with open_pools(*ports) as (recs, collector):
            run.say(f"warming up for {WARM_UP_S:g} s")
            await Traffic(recs, collector, seed=1).run(PER_SECOND, WARM_UP_S)
            yield system, recs, collector


async def latency(run: Run) -> list[Figure]:
    async with _live_system(run) as (_, recs, collector):
        traffic = Traffic(recs, collector, seed=2)
        run.say(f"grader-like traffic for {run.options.seconds:g} s")
        await traffic.run(PER_SECOND, run.options.seconds)
    require_no_errors(traffic)
    late = float(np.percentile(traffic.late_s, 95)) * 1000
    detail = (
        f"whole system, {run.broker.label}, {run.options.seconds:g} s of random arrivals: "
        f"p50 {traffic.recs.percentile_ms(50):.1f}, p99 {traffic.recs.percentile_ms(99):.1f} ms of "
        f"{len(traffic.recs.seconds):,} lists; /interact p50 {traffic.interact.percentile_ms(50):.1f}, "
        f"p95 {traffic.interact.percentile_ms(95):.1f} ms; p95 of the lateness of our own requests, "
        f"included above: {late:.1f} ms"
    )
    what = f"/recs p95 at {PER_SECOND:g} requests/s"
    return [Figure(what, traffic.recs.percentile_ms(95), "ms", LATENCY_MS, detail)]


async def freshness(run: Run) -> list[Figure]:
    async with _live_system(run) as (system, recs, collector):
        traffic = Traffic(recs, collector, seed=3)
        run.say(f"probing under grader-like traffic for {run.options.seconds:g} s")
        load = asyncio.create_task(traffic.run(PER_SECOND, run.options.seconds))
        probers = [_probe_while(load, system, recs, collector, number) for number in range(PROBERS)]
        delays = [delay for found in await asyncio.gather(*probers) for delay in found]
        await load
    require_no_errors(traffic)
    if len(delays) < MIN_PROBES:
        raise BenchmarkError(f"only {len(delays)} probes in {run.options.seconds:g} s: give --seconds a larger value")
    p50, p95, p99 = (float(p) * 1000 for p in np.percentile(delays, (50, 95, 99)))
    detail = (
        f"{run.broker.label}; from the answer of /interact until the like is in the user's state in Redis, which the "
        f"next list reads; p50 {p50:.0f}, p99 {p99:.0f} ms of {len(delays):,} probes beside "
        f"{PER_SECOND:g} requests/s"
    )
    return [Figure("reaction accepted → reflected, p95", p95, "ms", FRESHNESS_MS, detail)]


async def _probe_while(
    load: asyncio.Task[None], system: System, recs: Pool, collector: Pool, number: int
) -> list[float]:
    rng = random.Random(number)
    delays = []
    while not load.done():
        delays.append(await _probe(system, recs, collector, f"probe-{rng.getrandbits(64):016x}"))
        await asyncio.sleep(rng.uniform(0, 0.1))
    return delays


async def _probe(system: System, recs: Pool, collector: Pool, user_id: str) -> float:
    """Seconds from an accepted like of an item just shown until the user's state holds it."""
    status, answer = await recs.send(recs_call(user_id))
    require_ok(status, answer)
    liked = json.loads(answer)["item_ids"][0]
    status, answer = await collector.send(interact_call(user_id, [liked], ["like"]))
    accepted = time.perf_counter()
    require_ok(status, answer)
    key = f"{system.settings.key_prefix}:{await system.state.current()}:{USERS}"
    while not _holds_like(await system.redis.hget(key, user_id)):
        if time.perf_counter() - accepted > PROBE_PATIENCE_S:
            raise BenchmarkError(f"a like was not in its user's state after {PROBE_PATIENCE_S:g} s")
        await asyncio.sleep(PROBE_POLL_S)
    return time.perf_counter() - accepted


def _holds_like(codes: Any) -> bool:
    return codes is not None and len(UserState(codes).marked(LIKE)) > 0


def require_no_errors(traffic: Traffic) -> None:
    errors = traffic.recs.errors + traffic.interact.errors
    if errors:
        total = len(traffic.recs.seconds) + len(traffic.interact.seconds)
        raise BenchmarkError(f"{errors:,} of {total:,} requests were not answered with status 200")
