"""The brokers a run measures: Redis Streams, or RabbitMQ, given by its URL or started for the run."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

import aio_pika
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity
from redis.asyncio import Redis

from load_tests.benchmark_children import BenchmarkError, Workspace, free_port, until
from recsys.contract import QUEUE
from recsys.settings import masked

EMBEDDED: Final = "embedded"
RABBITMQ: Final = "rabbitmq"
BARE_QUEUE: Final = "benchmark:baseline"  # of load_tests.baseline
BARE_STREAM: Final = "benchmark:baseline:stream"
CONNECT_S: Final = 5.0
START_S: Final = 90.0
# Debian's command of that name in /usr/sbin insists on a user of its own.
RABBIT_PROGRAMS: Final = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")


class Broker(Protocol):
    label: str

    def url(self, redis_url: str) -> str: ...

    async def empty(self, redis: Redis, prefix: str) -> None:
        """Drop every message of the services and of the bare endpoint."""


class RedisStreams:
    label = "Redis Streams"

    def url(self, redis_url: str) -> str:
        return redis_url

    async def empty(self, redis: Redis, prefix: str) -> None:
        for stream in (f"{prefix}:events", BARE_STREAM):
            await redis.xtrim(stream, maxlen=0, approximate=False)


class RabbitMQ:
    def __init__(self, url: str, version: str) -> None:
        self.label = f"RabbitMQ {version}"
        self._url = url

    def url(self, redis_url: str) -> str:
        return self._url

    async def empty(self, redis: Redis, prefix: str) -> None:
        async with _open_channel(self._url) as channel:
            for name in (QUEUE, BARE_QUEUE):
                await (await channel.declare_queue(name, durable=True)).purge()

    async def forget(self) -> None:
        """Delete the queues, as they were not there before."""
        async with _open_channel(self._url) as channel:
            for name in (QUEUE, BARE_QUEUE):
                await channel.queue_delete(name)


@asynccontextmanager
async def open_broker(name: str, workspace: Workspace) -> AsyncIterator[Broker]:
    """``embedded``, ``rabbitmq`` or the amqp:// URL of a server whose queue nobody uses."""
    if name == EMBEDDED:
        yield RedisStreams()
        return
    url = await _start_rabbit(workspace) if name == RABBITMQ else name
    rabbit = RabbitMQ(url, await _version_of_unused(url))
    try:
        yield rabbit
    finally:
        await rabbit.forget()


@asynccontextmanager
async def _open_channel(url: str) -> AsyncIterator[AbstractChannel]:
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # the error raised says it all
    try:
        connection = await aio_pika.connect(url, timeout=CONNECT_S)
    except (AMQPError, OSError, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        raise BenchmarkError(f"no RabbitMQ can be used at {masked(url)}: {reason}") from error
    async with connection:
        yield await connection.channel()


async def _version_of_unused(url: str) -> str:
    """The server's version. BenchmarkError if its queue holds messages or has consumers: they are not ours to touch."""
    async with _open_channel(url) as channel:
        underlay = await channel.get_underlay_channel()
        version = underlay.connection.server_properties.get("version", "of unknown version")
        try:
            found = (await channel.declare_queue(QUEUE, passive=True)).declaration_result
        except ChannelNotFoundEntity:
            return str(version)
    if found.message_count or found.consumer_count:
        raise BenchmarkError(
            f"the queue {QUEUE} of {masked(url)} is in use ({found.message_count} messages, {found.consumer_count} "
            "consumers): give the benchmark a broker or a virtual host of its own"
        )
    return str(version)


async def _start_rabbit(workspace: Workspace) -> str:
    program = next((path for name in RABBIT_PROGRAMS if (path := shutil.which(name))), None)
    if program is None:
        raise BenchmarkError("no rabbitmq-server is installed: install one, or give the amqp:// URL of a running one")
    folder = workspace.folder / "rabbitmq"
    folder.mkdir()
    port, epmd_port = free_port(), free_port()
    # Runs after the server was stopped: it leaves this daemon behind.
    workspace.stack.callback(_stop_epmd, epmd_port)
    server = workspace.start("rabbitmq", [program], os.environ | _rabbit_variables(folder, port, epmd_port))

    async def listening() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    await until(listening, "the start of RabbitMQ", START_S, server)
    return f"amqp://guest:guest@127.0.0.1:{port}/"


def _rabbit_variables(folder: Path, port: int, epmd_port: int) -> dict[str, str]:
    """Own node name, ports and folders, so that it meets no other server of this machine."""
    return {
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"benchmark{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
    }


def _stop_epmd(port: int) -> None:
    if epmd := shutil.which("epmd"):
        command: Sequence[str] = (epmd, "-kill")
        subprocess.run(command, env=os.environ | {"ERL_EPMD_PORT": str(port)}, capture_output=True, check=False)
