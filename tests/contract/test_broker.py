"""What every broker promises, on each of them, with a real server."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import aio_pika
import pytest
import redis

from recsys.contract import IMPRESSION_TOPIC, INTERACT_TOPIC, QUEUE
from recsys.launch.probes import probe_rabbit
from recsys.settings import Settings
from recsys.stores.connect import open_broker
from recsys.stores.ports import Broker, StoreMisconfigured, StoreUnavailable
from tests.servers import RabbitServer

WAIT = {"wait_s": 0.3, "linger_s": 0.02}


@pytest.fixture
async def broker_settings(settings: Settings, broker_url: str) -> AsyncIterator[Settings]:
    """An empty queue: RabbitMQ's has a fixed name, so it is purged; the stream has a prefix of its own."""
    changed = settings.model_copy(update={"broker_url": broker_url})
    if broker_url.startswith("amqp"):
        connection = await aio_pika.connect(broker_url)
        channel = await connection.channel()
        await channel.queue_delete(QUEUE)
        await connection.close()
    yield changed


@pytest.fixture
async def broker(broker_settings: Settings) -> AsyncIterator[Broker]:
    opened = open_broker(broker_settings)
    yield opened
    await opened.close()


async def fetch_all(broker: Broker, expected: int) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for _ in range(50):
        deliveries = await broker.fetch(1_000, **WAIT)
        await broker.ack(deliveries)
        found += [(d.topic, d.body) for d in deliveries]
        if len(found) >= expected:
            break
    return found


async def test_messages_come_out_in_the_order_they_went_in(broker: Broker) -> None:
    bodies = [f"message {n}".encode() for n in range(20)]
    await broker.publish(INTERACT_TOPIC, bodies)
    assert await fetch_all(broker, 20) == [(INTERACT_TOPIC, body) for body in bodies]


async def test_the_topic_travels_with_the_message(broker: Broker) -> None:
    await broker.publish(IMPRESSION_TOPIC, [b"shown"])
    await broker.publish(INTERACT_TOPIC, [b"liked"])
    assert await fetch_all(broker, 2) == [(IMPRESSION_TOPIC, b"shown"), (INTERACT_TOPIC, b"liked")]


@pytest.fixture
async def full_broker(request: pytest.FixtureRequest, broker_settings: Settings) -> AsyncIterator[Broker]:
    """It answers, but takes no messages until the test is over."""
    if broker_settings.broker_url.startswith("amqp"):
        server: RabbitServer = request.getfixturevalue("rabbit_server")
        filled = server.memory_alarm()
    else:
        filled = memory_full(broker_settings.broker_url)
    opened = open_broker(broker_settings.model_copy(update={"publish_timeout_s": 1.0}))
    with filled:
        yield opened
    await opened.close()


@contextmanager
def memory_full(url: str) -> Iterator[None]:
    with redis.Redis.from_url(url) as client:
        client.config_set("maxmemory", "1")
        try:
            yield
        finally:
            client.config_set("maxmemory", "0")


async def test_a_broker_that_takes_no_messages_does_not_pass_for_well(full_broker: Broker) -> None:
    with pytest.raises(StoreUnavailable, match=r"takes no messages|maxmemory"):
        await full_broker.ping()


async def test_the_launcher_takes_a_rabbitmq_that_takes_no_messages(rabbit_server: RabbitServer) -> None:
    """The pipeline that it is about to start may be what empties it."""
    with rabbit_server.memory_alarm():
        assert (await probe_rabbit(rabbit_server.url)).outcome == "usable"


async def test_a_broker_that_is_well(broker: Broker) -> None:
    await broker.ping()
    assert await fetch_all(broker, 0) == []
    assert await broker.depth() == 0


async def test_an_idle_fetch_is_empty(broker: Broker) -> None:
    assert await broker.fetch(10, wait_s=0.05, linger_s=0) == []


async def test_a_fetch_holds_no_more_than_its_limit(broker: Broker) -> None:
    await broker.publish(INTERACT_TOPIC, [b"x"] * 10)
    first = await broker.fetch(4, **WAIT)
    assert len(first) == 4
    await broker.ack(first)
    assert len(await fetch_all(broker, 6)) == 6


async def test_concurrent_publications_all_arrive(broker: Broker) -> None:
    await asyncio.gather(*(broker.publish(INTERACT_TOPIC, [str(n).encode()]) for n in range(300)))
    assert {body for _, body in await fetch_all(broker, 300)} == {str(n).encode() for n in range(300)}


async def test_unacknowledged_messages_go_to_the_next_process(broker_settings: Settings) -> None:
    first = open_broker(broker_settings)
    await first.publish(INTERACT_TOPIC, [b"a", b"b", b"c"])
    taken = await first.fetch(2, **WAIT)
    await first.close()
    second = open_broker(broker_settings)
    assert [d.body for d in taken] == [b"a", b"b"]
    assert sorted(body for _, body in await fetch_all(second, 3)) == [b"a", b"b", b"c"]
    await second.close()


async def test_a_fetch_may_be_acknowledged_piece_by_piece(broker_settings: Settings) -> None:
    first = open_broker(broker_settings)
    await first.publish(INTERACT_TOPIC, [b"a", b"b", b"c", b"d"])
    taken = await first.fetch(4, **WAIT)
    await first.ack(taken[:1])
    await first.ack(taken[1:3])
    await first.close()
    second = open_broker(broker_settings)
    assert await fetch_all(second, 1) == [(INTERACT_TOPIC, b"d")]
    assert await second.fetch(1, wait_s=0.2, linger_s=0) == []
    await second.close()


async def test_acknowledged_messages_never_come_back(broker_settings: Settings) -> None:
    first = open_broker(broker_settings)
    await first.publish(INTERACT_TOPIC, [b"a", b"b"])
    assert len(await fetch_all(first, 2)) == 2
    await first.close()
    second = open_broker(broker_settings)
    assert await second.fetch(10, wait_s=0.2, linger_s=0) == []
    assert await second.depth() == 0
    await second.close()


async def test_depth_counts_what_nobody_has_fetched(broker_settings: Settings) -> None:
    publisher = open_broker(broker_settings)
    await publisher.publish(INTERACT_TOPIC, [b"x"] * 7)
    assert await publisher.depth() == 7
    await publisher.close()


async def test_large_messages_pass(broker: Broker) -> None:
    large = uuid.uuid4().hex.encode() * 200_000
    await broker.publish(INTERACT_TOPIC, [large])
    assert await fetch_all(broker, 1) == [(INTERACT_TOPIC, large)]


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "amqp://guest:guest@127.0.0.1:1/"])
async def test_a_server_that_is_away_is_named_without_its_password(settings: Settings, url: str) -> None:
    broker = open_broker(settings.model_copy(update={"broker_url": url}))
    for attempt in (broker.ping(), broker.publish(INTERACT_TOPIC, [b"x"]), broker.fetch(1, **WAIT), broker.depth()):
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1") as error:
            await attempt
        assert "guest:guest" not in str(error.value)
    await broker.close()


async def test_wrong_credentials_are_a_matter_of_configuration(settings: Settings, rabbit_server: object) -> None:
    url = rabbit_server.url.replace("guest:guest", "guest:wrong")  # type: ignore[attr-defined]
    broker = open_broker(settings.model_copy(update={"broker_url": url}))
    with pytest.raises(StoreMisconfigured, match="credentials"):
        await broker.ping()
    await broker.close()


async def test_a_queue_with_other_properties_is_a_matter_of_configuration(
    settings: Settings, rabbit_server: object
) -> None:
    url = rabbit_server.url  # type: ignore[attr-defined]
    connection = await aio_pika.connect(url)
    channel = await connection.channel()
    await channel.queue_delete(QUEUE)
    await channel.declare_queue(QUEUE, durable=False)
    broker = open_broker(settings.model_copy(update={"broker_url": url}))
    with pytest.raises(StoreMisconfigured, match=QUEUE):
        await broker.ping()
    await broker.close()
    await channel.queue_delete(QUEUE)
    await connection.close()


async def test_two_systems_do_not_take_each_others_events(settings: Settings, rabbit_server: RabbitServer) -> None:
    """The queue's name is fixed, whatever the prefix."""
    url = {"broker_url": rabbit_server.url}
    first = open_broker(settings.model_copy(update=url))
    second = open_broker(settings.model_copy(update=url | {"key_prefix": "second"}))
    assert await first.fetch(1, wait_s=0.05, linger_s=0) == []
    with pytest.raises(StoreMisconfigured, match="virtual host"):
        await second.fetch(1, **WAIT)
    await second.publish(INTERACT_TOPIC, [b"x"])
    with pytest.raises(StoreMisconfigured, match="virtual host"):
        await second.fetch(1, **WAIT)
    assert await fetch_all(first, 1) == [(INTERACT_TOPIC, b"x")]
    await first.close()
    assert await second.fetch(1, wait_s=0.05, linger_s=0) == []
    await second.close()


@pytest.mark.parametrize("path", ["/nowhere", "/%2Fnowhere"])
async def test_a_virtual_host_that_does_not_exist(settings: Settings, rabbit_server: RabbitServer, path: str) -> None:
    broker = open_broker(settings.model_copy(update={"broker_url": rabbit_server.url.rstrip("/") + path}))
    with pytest.raises(StoreMisconfigured, match=r"no virtual host '/?nowhere'"):
        await broker.ping()
    await broker.close()


@pytest.fixture
def limited(rabbit_server: RabbitServer) -> Iterator[str]:
    """URL of a user who may write and read, but declare nothing."""
    rabbit_server.control("add_vhost", "limited")
    rabbit_server.control("add_user", "limited", "p@ss/w:rd")
    rabbit_server.control("set_permissions", "-p", "limited", "limited", "^$", ".*", ".*")
    yield rabbit_server.url.replace("guest:guest", "limited:p%40ss%2Fw%3Ard") + "limited"
    rabbit_server.control("delete_user", "limited")
    rabbit_server.control("delete_vhost", "limited")


async def test_a_user_who_may_not_declare_is_told_the_rights_that_are_needed(settings: Settings, limited: str) -> None:
    broker = open_broker(settings.model_copy(update={"broker_url": limited}))
    with pytest.raises(StoreMisconfigured, match=r"configure, write and read user\.interact and user_interactions"):
        await broker.ping()
    await broker.close()


async def test_a_message_that_no_queue_takes_is_not_accepted(settings: Settings, rabbit_server: object) -> None:
    url = rabbit_server.url  # type: ignore[attr-defined]
    broker = open_broker(settings.model_copy(update={"broker_url": url}))
    await broker.publish(INTERACT_TOPIC, [b"x"])
    connection = await aio_pika.connect(url)
    await (await connection.channel()).queue_delete(QUEUE)
    await connection.close()
    with pytest.raises(StoreUnavailable):
        await broker.publish(INTERACT_TOPIC, [b"lost?"])
    await broker.publish(INTERACT_TOPIC, [b"kept"])
    assert (INTERACT_TOPIC, b"kept") in await fetch_all(broker, 1)
    await broker.close()


async def test_a_consumer_survives_the_deletion_of_its_queue(settings: Settings, rabbit_server: object) -> None:
    url = rabbit_server.url  # type: ignore[attr-defined]
    consumer = open_broker(settings.model_copy(update={"broker_url": url}))
    publisher = open_broker(settings.model_copy(update={"broker_url": url}))
    await fetch_all(consumer, 0)
    connection = await aio_pika.connect(url)
    await (await connection.channel()).queue_delete(QUEUE)
    await connection.close()
    with pytest.raises(StoreUnavailable):
        for _ in range(20):
            await consumer.fetch(1, wait_s=0.05, linger_s=0)
    await publisher.publish(INTERACT_TOPIC, [b"x"])
    assert (INTERACT_TOPIC, b"x") in await fetch_all(consumer, 1)
    await consumer.close()
    await publisher.close()
