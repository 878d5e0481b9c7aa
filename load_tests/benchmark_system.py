"""A private Redis, the services on it, and a view of their state."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
from redis.asyncio import Redis

from load_tests.benchmark_children import BenchmarkError, Child, Workspace, free_port, until
from load_tests.benchmark_run import Run
from load_tests.http_client import call, open_pools
from recsys.contract import ItemRecord
from recsys.launch.embedded_redis import reserve
from recsys.settings import Settings
from recsys.stores.connect import State, open_broker, redis_state

ITEMS: Final = 24_500
GENRES: Final = tuple(f"genre-{number}" for number in range(19))
START_S: Final = 60.0
SETTLE_S: Final = 120.0
PATIENT_S: Final = 30.0  # our own publishing waits longer than the services do


def catalogue(items: int) -> list[ItemRecord]:
    """Items of one to four genres."""
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 5, items)
    return [
        ItemRecord(id=str(number), genres=tuple(GENRES[g] for g in rng.permutation(len(GENRES))[:size]))
        for number, size in enumerate(sizes)
    ]


@dataclass
class System:
    """Services are started as they are needed; the workspace stops them."""

    workspace: Workspace
    settings: Settings
    environment: dict[str, str]
    redis_server: Child
    redis: Redis
    state: State

    def start_pipeline(self) -> Child:
        return self._start("pipeline", "regular_pipeline")

    async def start_collector(self) -> Child:
        return await self._healthy(self._start("collector", "event_collector"), self.settings.collector_port)

    async def start_recommendations(self) -> Child:
        child = self._start("recommendations", "recommendations")
        return await self._healthy(child, self.settings.recommendations_port)

    async def start_baseline(self, port: int) -> Child:
        options = ("--host", "127.0.0.1", "--port", str(port), "--no-access-log")
        return await self._healthy(self._start("bare", "uvicorn", "load_tests.baseline:app", *options), port)

    def _start(self, name: str, *module: str) -> Child:
        return self.workspace.start(name, [sys.executable, "-m", *module], self.environment)

    async def _healthy(self, child: Child, port: int) -> Child:
        await until(lambda: is_healthy(port), f"{child.name} is healthy", START_S, child)
        return child

    async def add_items(self, records: Sequence[ItemRecord]) -> None:
        """Through the recommendations service, in one call."""
        body = {"item_ids": [r.id for r in records], "genres": [list(r.genres) for r in records]}
        async with open_pools(self.settings.recommendations_port) as (pool,):
            require_ok(*await pool.send(call("POST", "/add_items", json.dumps(body).encode())))

    async def publish(self, topic: str, bodies: Iterator[bytes], at_once: int = 1_000) -> None:
        """To the services' queue, without the services."""
        broker = open_broker(self.settings)
        try:
            while chunk := list(islice(bodies, at_once)):
                await broker.publish(topic, chunk)
        finally:
            await broker.close()

    async def applied(self) -> int:
        """Rows of the event log that the state reflects."""
        return await self.state.ledger.applied(await self.state.epochs.current())

    async def published_rows(self) -> int:
        """Rows of the event log that all live models in force reflect; -1 before the first."""
        facts = await self.state.models.facts(await self.state.epochs.current())
        return min((int(of["rows"]) for of in facts.values()), default=-1)

    async def settle(self, rows: int, children: Iterable[Child], seconds: float = SETTLE_S) -> None:
        """Wait until all of this many rows are applied and in the published models."""

        async def settled() -> bool:
            return await self.applied() >= rows and await self.published_rows() >= rows

        await until(settled, f"{rows:,} rows applied and published", seconds, *children)


@asynccontextmanager
async def open_system(run: Run, **variables: str) -> AsyncIterator[System]:
    """With an empty state and an empty queue. ``variables`` are settings of the services."""
    broker = run.broker
    with Workspace(run.workspace.folder) as workspace:
        redis = workspace.stack.enter_context(reserve(workspace.folder))
        program = redis.program(workspace.folder / "redis.log")
        server = workspace.start("redis", program.command, program.env, program.pass_fds)
        await until(redis.answers, "the start of Redis", START_S, server)
        environment = {
            "REDIS_URL": redis.url,
            "BROKER_URL": broker.url(redis.url),
            "QDRANT_URL": "",
            "DATA_DIR": str(workspace.folder / "data"),
            "LISTEN_HOST": "127.0.0.1",
            "COLLECTOR_PORT": str(free_port()),
            "RECOMMENDATIONS_PORT": str(free_port()),
            "RECOMMENDATIONS_WORKERS": "1",
            **variables,
        }
        values: dict[str, Any] = {name.lower(): value for name, value in environment.items()}
        settings = Settings(**{**values, "redis_timeout_s": PATIENT_S, "publish_timeout_s": PATIENT_S})
        # Without a time limit: with one, redis-py's waiting may lose a cancellation on Python 3.11.
        client = Redis.from_url(redis.url)
        state = redis_state(client, redis.url, settings.key_prefix)
        try:
            await broker.empty(client, settings.key_prefix)
            run.outcome.servers.update((f"Redis {(await client.info('server'))['redis_version']}", broker.label))
            yield System(workspace, settings, os.environ | environment, server, client, state)
            if errors := workspace.errors():
                text = f"{run.part}: the services logged {len(errors):,} errors, the first one: {errors[0]}"
                run.outcome.warnings.append(text)
        finally:
            await client.aclose()


async def is_healthy(port: int) -> bool:
    try:
        async with open_pools(port) as (pool,):
            status, _ = await pool.send(call("GET", "/healthcheck"))
    except OSError:
        return False
    return status == 200


def require_ok(status: int, body: bytes) -> None:
    if status != 200:
        raise BenchmarkError(f"a service answered with status {status}: {body[:300].decode(errors='replace')}")
