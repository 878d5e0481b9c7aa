"""A Redis and a RabbitMQ that already run on their standard ports: used, and whatever else lives in them untouched."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import aio_pika
import httpx
import pytest
import redis

from tests.conftest import missing
from tests.e2e.launcher import Launcher
from tests.servers import RABBIT_PROGRAM, RabbitServer, RedisServer, redis_programs, wait_until

FOREIGN_QUEUE = "somebody.elses"


def require_free(port: int) -> None:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            if os.environ.get("CI"):
                pytest.fail(f"port {port} is in use")
            pytest.skip(f"port {port} is in use, so this machine's own server would be tested")


@pytest.fixture(scope="module")
def standard_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    programs = redis_programs()
    if not programs:
        missing("redis-server")
    require_free(6379)
    server = RedisServer(tmp_path_factory.mktemp("redis"), next(iter(programs.values())), port=6379)
    server.start()
    with redis.Redis(port=6379) as client:
        client.mset({"somebody:else": "value", "epoch": "7", "recsys": "x", "recsys2:1:users": "y"})
        client.rpush("recsys-list", "a", "b")
        client.xadd("events", {"their": "event"})
        client.select(1)
        client.set("recsys:epoch:note", "in another database")
        client.select(0)
        yield client
    server.stop()


@pytest.fixture(scope="module")
def standard_rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    if not RABBIT_PROGRAM.exists():
        missing("rabbitmq-server")
    require_free(5672)
    server = RabbitServer(tmp_path_factory.mktemp("rabbit"), port=5672)
    server.start()
    asyncio.run(publish_foreign(server.url))
    yield server
    server.close()


async def publish_foreign(url: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(FOREIGN_QUEUE, durable=True)
        exchange = await channel.declare_exchange("somebody.elses.exchange", "fanout", durable=True)
        await queue.bind(exchange)
        for n in range(5):
            message = aio_pika.Message(str(n).encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await exchange.publish(message, "")


async def foreign_messages(url: str) -> list[bytes]:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(FOREIGN_QUEUE)
        taken = [await queue.get(no_ack=False) for _ in range(5)]
        return [message.body for message in taken]


def test_they_are_used_and_nothing_of_others_is_touched(
    standard_redis: redis.Redis, standard_rabbit: RabbitServer, tmp_path: Path
) -> None:
    before = {key: standard_redis.dump(key) for key in standard_redis.scan_iter()}
    launcher = Launcher(tmp_path / "data", backends=())
    try:
        launcher.wait_until_ready()
        assert launcher.output().count("answers on port") == 2
        assert "redis" not in launcher.children()
        with httpx.Client() as http:
            items = http.get(f"{launcher.recommendations}/recs/u").json()["item_ids"]
            body = {"user_id": "u", "item_ids": items, "actions": ["like"] * len(items)}
            assert http.post(f"{launcher.collector}/interact", json=body).status_code == 200
            epoch = http.get(f"{launcher.recommendations}/catalogue").json()["epoch"]
            wait_until(
                lambda: standard_redis.hget(f"recsys:{epoch}:counters", "likes") == b"10", 30, "the likes are counted"
            )
            for _ in range(2):
                assert http.post(f"{launcher.recommendations}/cleanup").status_code == 200
            assert http.get(f"{launcher.recommendations}/recs/u").json() == {"item_ids": []}
    finally:
        launcher.end()

    after = {key: standard_redis.dump(key) for key in standard_redis.scan_iter()}
    assert {key: value for key, value in after.items() if key in before} == before
    added = after.keys() - before.keys()
    assert b"recsys:epoch" in added
    assert added <= {b"recsys:epoch", b"recsys:%b:log" % standard_redis.get("recsys:epoch")}
    assert standard_redis.info("keyspace")["db1"]["keys"] == 1
    assert asyncio.run(foreign_messages(standard_rabbit.url)) == [str(n).encode() for n in range(5)]
