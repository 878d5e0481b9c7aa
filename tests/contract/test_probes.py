"""What the launcher finds of Redis servers that can be used, and of those that cannot."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis

from recsys.launch.probes import probe_redis
from tests.conftest import missing
from tests.servers import RedisServer, redis_programs


@pytest.fixture
def server_with(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """URL of a new server with these options."""
    programs = redis_programs()
    if not programs:
        missing("redis-server")
    with ExitStack() as started:

        def start(*options: str) -> str:
            server = RedisServer(tmp_path, next(iter(programs.values())), *options)
            started.callback(server.stop)
            server.start()
            return server.url

        yield start


@contextmanager
def user(server: RedisServer, *rules: str) -> Iterator[str]:
    """URL of a user with these rights."""
    with redis.Redis.from_url(server.url) as client:
        client.execute_command("ACL", "SETUSER", "limited", "on", ">p@ss/w:rd", *rules)
        yield server.url.replace("//", "//limited:p%40ss%2Fw%3Ard@")
        client.execute_command("ACL", "DELUSER", "limited")


async def test_a_durable_server(each_redis: RedisServer) -> None:
    found = await probe_redis(each_redis.url)
    assert (found.outcome, found.append_only) == ("usable", True)


async def test_a_user_who_may_not_ask_for_info_is_not_refused(each_redis: RedisServer) -> None:
    """``-@dangerous`` takes INFO away, which no service needs."""
    with user(each_redis, "~recsys:*", "+@all", "-@dangerous") as url:
        assert (await probe_redis(url)).outcome == "usable"
    with user(each_redis, "~recsys:*", "+@all") as url:
        found = await probe_redis(url.replace("p%40", "p"))
    assert (found.outcome, found.problem) == ("unusable", "refuses its user or password")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--cluster-enabled", "yes"), "cluster"),
        (("--replicaof", "127.0.0.1", "1", "--replica-serve-stale-data", "yes"), "replica of 127.0.0.1:1"),
        (("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"), "allkeys-lru.*noeviction"),
    ],
)
async def test_servers_that_cannot_keep_what_is_accepted(
    server_with: Callable[..., str], options: tuple[str, ...], problem: str
) -> None:
    found = await probe_redis(server_with(*options))
    assert found.outcome == "unusable"
    assert re.search(problem, found.problem)


@pytest.mark.parametrize("policy", ["noeviction", "volatile-lru"])
async def test_keys_without_an_end_are_not_evicted(server_with: Callable[..., str], policy: str) -> None:
    found = await probe_redis(server_with("--maxmemory", "100mb", "--maxmemory-policy", policy))
    assert found.outcome == "usable"
