"""The promise of the system: every accepted interaction is logged exactly once, whatever happens to the pipeline."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
import pytest
import redis

from load_tests.http_client import Connection, call
from recsys.recommenders.bandit.statistics import Statistics
from recsys.settings import Settings
from recsys.stores.connect import State, open_state
from recsys.stores.event_log import EventLog
from recsys.user_state import DTYPE, MARKS
from tests.conftest import missing
from tests.servers import RabbitServer, RedisServer, System, redis_programs, wait_until
from tests.service.rig import delete_queue

T = TypeVar("T")
ACTIONS = ["like", "dislike", "hide"]
INTERACTIONS = 20_000
KILLS = 10
ITEMS = [f"item-{n}" for n in range(500)]
GENRES = [["Drama"], ["Comedy", "Drama"], ["Horror"], []]


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that the test may empty."""
    programs = redis_programs()
    if not programs:
        missing("redis-server")
    server = RedisServer(tmp_path, next(iter(programs.values())))
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["redis-streams", "rabbitmq"])
def system(request: pytest.FixtureRequest, own_redis: RedisServer, tmp_path: Path) -> Iterator[System]:
    broker_url = own_redis.url
    if request.param == "rabbitmq":
        rabbit: RabbitServer = request.getfixturevalue("rabbit_server")
        delete_queue(rabbit.url)
        broker_url = rabbit.url
    with System(tmp_path / "system", own_redis.url, broker_url, CHECKPOINT_INTERVAL_S="0.5") as running:
        yield running


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def send_interactions(system: System, enough_kills: asyncio.Event) -> dict[str, list[tuple[str, str]]]:
    """At least INTERACTIONS calls, and on until all kills are done. Returns what was accepted, by user."""
    rng = random.Random(1)
    accepted: dict[str, list[tuple[str, str]]] = {}
    numbers = iter(range(10 * INTERACTIONS))

    async def work() -> None:
        connection = await Connection.open(port_of(system.collector.url))
        for number in numbers:
            if number >= INTERACTIONS and enough_kills.is_set():
                break
            user = f"user-{number}"
            pairs = [(item, rng.choice(ACTIONS)) for item in rng.sample(ITEMS, rng.randint(1, 3))]
            undo = [(pairs[0][0], "undo")] if number % 20 == 0 else []
            for told in (pairs, undo):
                body = {"user_id": user, "item_ids": [i for i, _ in told], "actions": [a for _, a in told]}
                status, _ = await connection.send(call("POST", "/interact", json.dumps(body).encode()))
                if status == 200 and told:
                    accepted[user] = accepted.get(user, []) + told
            if number % 50 == 0:
                lists = await Connection.open(port_of(system.recommendations.url))
                await lists.send(call("GET", f"/recs/{user}"))
                await lists.close()
        await connection.close()

    await asyncio.gather(*(work() for _ in range(16)))
    return accepted


async def kill_again_and_again(system: System, done: asyncio.Event) -> None:
    rng = random.Random(2)
    for _ in range(KILLS):
        await asyncio.sleep(rng.uniform(0.5, 2.5))
        await asyncio.to_thread(system.pipeline.kill)
        system.pipeline.start()
    done.set()


async def load_with_kills(system: System) -> dict[str, list[tuple[str, str]]]:
    done = asyncio.Event()
    accepted, _ = await asyncio.gather(send_interactions(system, done), kill_again_and_again(system, done))
    return accepted


def state_of(server: RedisServer, epoch: int) -> tuple[dict[str, int], dict[str, Counter[int]]]:
    """Counters, and each user's codes as a multiset: their order may differ between users' writers."""
    with redis.Redis.from_url(server.url) as client:
        counters = {k.decode(): int(v) for k, v in client.hgetall(f"recsys:{epoch}:counters").items()}
        users = client.hgetall(f"recsys:{epoch}:users")
    return counters, {u.decode(): Counter(np.frombuffer(c, DTYPE).tolist()) for u, c in users.items()}


def ask(settings: Settings, question: Callable[[State], Awaitable[T]]) -> T:
    async def answer() -> T:
        state = open_state(settings)
        try:
            return await question(state)
        finally:
            await state.close()

    return asyncio.run(answer())


def rows_reflected(settings: Settings, epoch: int) -> int:
    """By the model in force."""
    facts = ask(settings, lambda state: state.models.facts(epoch))
    return int(facts.get("bandit", {}).get("rows", 0))


def statistics_of(settings: Settings, epoch: int) -> tuple[str, Statistics]:
    """The version in force, and what is in it."""
    version, blob = ask(settings, lambda state: state.models.fetch(epoch, "bandit"))
    assert blob is not None
    return version, Statistics.load(blob)


def codes_in(log: pl.DataFrame) -> dict[str, Counter[int]]:
    expected: dict[str, Counter[int]] = {}
    for user, item, kind in log.filter(pl.col("item_index") >= 0).select("user_id", "item_index", "kind").iter_rows():
        expected.setdefault(user, Counter())[item << 2 | MARKS[kind]] += 1
    return expected


def test_every_accepted_interaction_is_logged_exactly_once(system: System, own_redis: RedisServer) -> None:
    settings = Settings(_env_file=None, **{name.lower(): value for name, value in system.env.items()})
    body = {"item_ids": ITEMS, "genres": [GENRES[n % 4] for n in range(len(ITEMS))]}
    asyncio.run(post(system.recommendations.url, "/add_items", body))

    accepted = asyncio.run(load_with_kills(system))

    log = EventLog(system.data / "log")
    wait_until(lambda: bool(log.epochs()), 30, "a log")
    (epoch,) = log.epochs()
    reactions = sum(len(pairs) for pairs in accepted.values())

    def logged() -> pl.DataFrame:
        return log.events(epoch).read()

    wait_until(lambda: logged().filter(pl.col("kind") != "impression").height >= reactions, 60, "everything logged")
    wait_until(lambda: state_of(own_redis, epoch)[0].get("applied") == log.events(epoch).rows, 30, "all applied")

    def published() -> bool:
        rows = log.events(epoch).rows
        return rows_reflected(settings, epoch) == rows == state_of(own_redis, epoch)[0].get("applied")

    wait_until(published, 30, "a model of the whole log")
    for child in (system.collector, system.recommendations):
        child.stop()
    # What was shown is in the users' states at once, and in the log a moment later.
    wait_until(lambda: state_of(own_redis, epoch)[1] == codes_in(logged()), 30, "the last impressions are logged")
    wait_until(published, 30, "a model of the last impressions")
    system.pipeline.stop()

    rows = logged()
    found: dict[str, list[tuple[str, str]]] = {}
    for user, item, kind in (
        rows.filter(pl.col("kind") != "impression").select("user_id", "item_id", "kind").iter_rows()
    ):
        found.setdefault(user, []).append((item, kind))
    assert len(accepted) >= INTERACTIONS
    assert found == accepted

    counters, users = state_of(own_redis, epoch)
    kinds = Counter(rows["kind"].to_list())
    undone = Counter(rows.filter(pl.col("kind") == "undo")["source"].to_list())
    assert undone == Counter(pairs[0][1] for pairs in accepted.values() if pairs[-1][1] == "undo")
    assert counters == {
        "applied": rows.height,
        "likes": kinds["like"] - undone["like"],
        "dislikes": kinds["dislike"] - undone["dislike"],
        "impressions": kinds["impression"],
        "unknown_items": 0,
    }
    assert users == codes_in(rows)

    version, before = statistics_of(settings, epoch)
    with redis.Redis.from_url(own_redis.url) as client:
        client.flushall()
    subprocess.run([sys.executable, "-m", "regular_pipeline", "rebuild"], env=system.pipeline._env, check=True)
    rebuilt, after = statistics_of(settings, epoch)
    for f in fields(Statistics):
        assert np.array_equal(getattr(before, f.name), getattr(after, f.name)), f.name
    assert rebuilt == version
    assert rows_reflected(settings, epoch) == rows.height
    assert state_of(own_redis, epoch) == (counters, users)


async def post(url: str, path: str, body: object) -> None:
    connection = await Connection.open(port_of(url))
    status, answer = await connection.send(call("POST", path, json.dumps(body).encode()))
    await connection.close()
    assert status == 200, answer
