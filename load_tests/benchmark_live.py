"""Latency and freshness of the whole system under grader-like traffic."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from load_tests.benchmark_children import BenchmarkError, Child, free_port, until_quiet
from load_tests.benchmark_figures import FRESHNESS_MS, LATENCY_MS, PROMOTION_MS, Figure
from load_tests.benchmark_run import Run
from load_tests.benchmark_system import ITEMS, System, catalogue, open_system, require_ok
from load_tests.benchmark_traffic import PER_SECOND, Traffic, control, interact_call, recs_call
from load_tests.http_client import Pool, Timings, call, open_pools
from recsys.recommenders.toplists import TOP_LIST_SIZE
from recsys.stores.redis_scripts import USERS
from recsys.user_state import LIKE, UserState

WARM_UP_S: Final = 3.0
FILLING_S: Final = 10.0
REST_S: Final = 300.0
PROBERS: Final = 3
MIN_PROBES: Final = 200
PROBE_POLL_S: Final = 0.001
PROBE_PATIENCE_S: Final = 10.0
FIND_LIKES: Final = 10  # that make an item one of the best, whatever the traffic made of it
FIND_POLL_S: Final = 0.01
MIN_FINDS: Final = 10


@dataclass(frozen=True)
class Live:
    """The whole system, running, with connections to it and to the bare endpoint beside it."""

    run: Run
    system: System
    pipeline: Child
    recs: Pool
    collector: Pool
    bare: Pool

    async def come_to_rest(self) -> None:
        """Until the vectors of the catalogue are stored, and then a little traffic that does not count."""
        self.run.say("waiting for the pipeline to come to rest")
        await until_quiet(self.pipeline, REST_S)
        await self.traffic(WARM_UP_S, seed=1)

    async def traffic(self, seconds: float, seed: int) -> tuple[Traffic, Timings]:
        """Grader-like traffic and what the bare endpoint needed meanwhile."""
        self.run.say(f"grader-like traffic for {seconds:g} s")
        traffic = Traffic(self.recs, self.collector, seed)
        _, control_timings = await asyncio.gather(traffic.run(seconds), control(self.bare, seconds))
        if traffic.errors:
            raise BenchmarkError(f"{traffic.errors:,} of {traffic.requests:,} requests were not answered with 200")
        return traffic, control_timings


@asynccontextmanager
async def _live_system(run: Run) -> AsyncIterator[Live]:
    async with open_system(run) as system:
        run.say("starting collector, recommendations and pipeline")
        pipeline = system.start_pipeline()
        await system.start_collector()
        await system.start_recommendations()
        bare_port = free_port()
        await system.start_baseline(bare_port)
        await system.add_items(catalogue(ITEMS))
        ports = system.settings.recommendations_port, system.settings.collector_port, bare_port
        async with open_pools(*ports) as pools:
            yield Live(run, system, pipeline, *pools)


async def latency(run: Run) -> list[Figure]:
    async with _live_system(run) as live:
        filling, _ = await live.traffic(FILLING_S, seed=2)
        await live.come_to_rest()
        traffic, bare = await live.traffic(run.options.seconds, seed=3)
    sixths = traffic.recs.slices_ms(95, 6)
    late = float(np.percentile(traffic.late_s, 95)) * 1000
    detail = (
        f"whole system, {run.options.seconds:g} s of random arrivals: "
        f"p50 {traffic.recs.percentile_ms(50):.1f}, p99 {traffic.recs.percentile_ms(99):.1f} ms of "
        f"{len(traffic.recs.seconds):,} lists; p95 of each sixth of the run {min(sixths):.1f} to {max(sixths):.1f}, "
        f"median {np.median(sixths):.1f} ms; /interact p50 {traffic.interact.percentile_ms(50):.1f}, p95 "
        f"{traffic.interact.percentile_ms(95):.1f} ms; meanwhile a bare endpoint that makes one durable write: p50 "
        f"{bare.percentile_ms(50):.1f}, p95 {bare.percentile_ms(95):.1f} ms; our own requests were late by "
        f"{late:.1f} ms (p95), which is included"
    )
    what = f"/recs p95 at {PER_SECOND:g} requests/s"
    return [
        Figure(what, traffic.recs.percentile_ms(95), "ms", LATENCY_MS, detail),
        Figure(
            f"{what}, first {FILLING_S:g} s after /add_items",
            filling.recs.percentile_ms(95),
            "ms",
            detail=f"p50 {filling.recs.percentile_ms(50):.1f} ms; the pipeline stores the vectors of {ITEMS:,} items",
        ),
    ]


async def freshness(run: Run) -> list[Figure]:
    async with _live_system(run) as live:
        await live.come_to_rest()
        load = asyncio.create_task(live.traffic(run.options.seconds, seed=4))
        searching = asyncio.create_task(_find_while(load, live))
        found = await asyncio.gather(*(_probe_while(load, live, number) for number in range(PROBERS)))
        finds = await searching
        _, bare = await load
    delays = [delay for delays in found for delay in delays]
    if len(delays) < MIN_PROBES or len(finds) < MIN_FINDS:
        found_so_far = f"only {len(delays)} probes and {len(finds)} finds in {run.options.seconds:g} s"
        raise BenchmarkError(f"{found_so_far}: give --seconds a larger value")
    p50, p95, p99 = (float(p) * 1000 for p in np.percentile(delays, (50, 95, 99)))
    detail = (
        f"from the answer of /interact until the like is in the user's state in Redis, which the "
        f"next list reads; p50 {p50:.0f}, p99 {p99:.0f} ms of {len(delays):,} probes beside {PER_SECOND:g} "
        f"requests/s; meanwhile a bare endpoint that makes one durable write: p95 {bare.percentile_ms(95):.1f} ms"
    )
    find_p50, find_p95 = (float(p) * 1000 for p in np.percentile(finds, (50, 95)))
    of_finds = (
        f"from the answer to the last of {FIND_LIKES} likes by as many users of an unknown item until the service's "
        f"/top has it, and so the lists of all users; p50 {find_p50:.0f}, most {max(finds) * 1000:.0f} ms of "
        f"{len(finds):,} items, same load"
    )
    return [
        Figure("reaction accepted → reflected, p95", p95, "ms", FRESHNESS_MS, detail),
        Figure("item liked → among the best for everybody, p95", find_p95, "ms", PROMOTION_MS, of_finds),
    ]


async def _find_while(load: asyncio.Task[Any], live: Live) -> list[float]:
    rng = random.Random(PROBERS)
    delays = []
    for item in rng.sample(range(ITEMS), ITEMS):
        if load.done():
            break
        delays.append(await _find(live, str(item), rng))
        await asyncio.sleep(rng.uniform(0, 1))
    return delays


async def _find(live: Live, item_id: str, rng: random.Random) -> float:
    """Seconds from the last accepted like of this item until it is in the top list that the service works with."""
    for _ in range(FIND_LIKES):
        body = interact_call(f"finder-{rng.getrandbits(64):016x}", [item_id], ["like"])
        require_ok(*await live.collector.send(body))
    accepted = time.perf_counter()
    while not await _is_top(live, item_id):
        if time.perf_counter() - accepted > PROBE_PATIENCE_S:
            raise BenchmarkError(f"an item with {FIND_LIKES} likes was not in /top after {PROBE_PATIENCE_S:g} s")
        await asyncio.sleep(FIND_POLL_S)
    return time.perf_counter() - accepted


async def _is_top(live: Live, item_id: str) -> bool:
    status, answer = await live.recs.send(call("GET", f"/top?k={TOP_LIST_SIZE}"))
    require_ok(status, answer)
    return item_id in json.loads(answer)["item_ids"]


async def _probe_while(load: asyncio.Task[Any], live: Live, number: int) -> list[float]:
    rng = random.Random(number)
    delays = []
    while not load.done():
        delays.append(await _probe(live, f"probe-{rng.getrandbits(64):016x}"))
        await asyncio.sleep(rng.uniform(0, 0.1))
    return delays


async def _probe(live: Live, user_id: str) -> float:
    """Seconds from an accepted like of an item just shown until the user's state holds it."""
    status, answer = await live.recs.send(recs_call(user_id))
    require_ok(status, answer)
    liked = json.loads(answer)["item_ids"][0]
    status, answer = await live.collector.send(interact_call(user_id, [liked], ["like"]))
    accepted = time.perf_counter()
    require_ok(status, answer)
    system = live.system
    key = f"{system.settings.key_prefix}:{await system.state.epochs.current()}:{USERS}"
    while not _holds_like(await system.redis.hget(key, user_id)):
        if time.perf_counter() - accepted > PROBE_PATIENCE_S:
            raise BenchmarkError(f"a like was not in its user's state after {PROBE_PATIENCE_S:g} s")
        await asyncio.sleep(PROBE_POLL_S)
    return time.perf_counter() - accepted


def _holds_like(codes: Any) -> bool:
    return codes is not None and len(UserState(codes).marked(LIKE)) > 0
