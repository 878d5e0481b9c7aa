"""Fixtures of the service tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from recsys.settings import Settings
from recsys.stores.connect import State, open_broker, open_state
from recsys.stores.ports import Broker
from tests.conftest import missing
from tests.servers import RABBIT_PROGRAM, RabbitServer, RedisServer, redis_programs
from tests.service.rig import Rig


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("system")


@pytest.fixture(scope="module")
def system(folder: Path, redis_server: RedisServer) -> Iterator[Rig]:
    """Everything on one Redis, for all tests of a module."""
    with Rig(folder, redis_server.url, redis_server.url) as made:
        yield made


@pytest.fixture
def rig(system: Rig) -> Rig:
    """The system of the module, emptied."""
    system.cleanup()
    return system


@pytest.fixture
async def state(settings: Settings) -> AsyncIterator[State]:
    opened = open_state(settings)
    yield opened
    await opened.close()


@pytest.fixture
async def broker(settings: Settings) -> AsyncIterator[Broker]:
    opened = open_broker(settings)
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], RedisServer]]:
    """Makes Redis servers, not yet started, that the tests of one module may stop and kill."""
    programs = redis_programs()
    if not programs:
        missing("redis-server")
    with ExitStack() as started:

        def make() -> RedisServer:
            server = RedisServer(tmp_path_factory.mktemp("own-redis"), next(iter(programs.values())))
            started.callback(server.stop)
            return server

        yield make


@pytest.fixture(scope="module")
def own_rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """A RabbitMQ that the tests of one module may stop and kill."""
    if not RABBIT_PROGRAM.exists():
        missing("rabbitmq-server")
    server = RabbitServer(tmp_path_factory.mktemp("own-rabbit"))
    server.start()
    yield server
    server.close()
