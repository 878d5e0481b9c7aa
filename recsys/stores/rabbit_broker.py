"""The broker on RabbitMQ: durable queue, persistent messages, publisher confirms."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import unquote, urlsplit

import aio_pika
import aiormq
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import (
    CONNECTION_EXCEPTIONS,
    AMQPError,
    AuthenticationError,
    ChannelInvalidStateError,
    ChannelPreconditionFailed,
    ProbableAuthenticationError,
    PublishError,
)
from aiormq.exceptions import ChannelAccessRefused, ConnectionNotAllowed, InvalidFrameError

from recsys.contract import EXCHANGE, IMPRESSION_TOPIC, INTERACT_TOPIC, QUEUE
from recsys.settings import masked
from recsys.stores.ports import CredentialsRefused, Delivery, StoreMisconfigured, StoreUnavailable

HEARTBEAT_S: Final = 10
# Unacknowledged messages the server may send ahead: the most that one fetch may ask for, see DRAIN_BATCH_MESSAGES.
PREFETCH: Final = 10_000
PING_S: Final = 0.8  # less than those wait who ask for the health of a service
NOWHERE: Final = "ping"  # a routing key that nothing is bound to
PERSISTENT: Final = int(aio_pika.DeliveryMode.PERSISTENT)


@dataclass
class _Session:
    """One connection and what lives and dies with it. Undelivered or unacknowledged messages come again on the next."""

    connection: AbstractConnection
    channel: AbstractChannel
    publisher: aiormq.Channel  # the same channel, as aio_pika itself uses it
    queue: AbstractQueue
    inbox: asyncio.Queue[AbstractIncomingMessage] = field(default_factory=asyncio.Queue)
    consuming: bool = False

    @property
    def alive(self) -> bool:
        return not (self.connection.is_closed or self.channel.is_closed)

    async def consume(self) -> None:
        if not self.consuming:
            # The pipeline of another system on the same queue would take half of what this one accepted.
            await self.queue.consume(self.inbox.put, exclusive=True)
            self.consuming = True


class RabbitBroker:
    """Connects when first used and again after the connection was lost: each call uses one live session or fails."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._session: _Session | None = None
        self._connecting = asyncio.Lock()

    async def publish(self, topic: str, bodies: Sequence[bytes]) -> None:
        with self._errors():
            async with asyncio.timeout(self._timeout_s):
                session = await self._live_session()
                try:
                    if len(bodies) == 1:
                        await self._publish_one(session, topic, bodies[0])
                    else:
                        await asyncio.gather(*(self._publish_one(session, topic, body) for body in bodies))
                except PublishError:
                    # Somebody deleted the queue: a new session declares it again.
                    await self.close()
                    raise

    async def _publish_one(self, session: _Session, topic: str, body: bytes) -> None:
        # Not through aio_pika's exchange, which lets one publish at a time wait until the socket has taken its bytes.
        # Here the confirm is waited for, and it says more.
        properties = aiormq.spec.Basic.Properties(delivery_mode=PERSISTENT, content_type="application/json")
        await session.publisher.basic_publish(
            body, exchange=EXCHANGE, routing_key=topic, properties=properties, mandatory=True, wait=False
        )

    async def fetch(self, limit: int, *, wait_s: float, linger_s: float) -> list[Delivery]:
        with self._errors():
            async with asyncio.timeout(self._timeout_s):
                session = await self._live_session()
                try:
                    await session.consume()
                except ChannelAccessRefused as error:
                    raise StoreMisconfigured(
                        f"another pipeline takes the messages of {QUEUE} on {self._where()}: stop it, or give each "
                        f"system a virtual host of its own in its BROKER_URL: {error}"
                    ) from error
        try:
            messages = [await asyncio.wait_for(session.inbox.get(), wait_s)]
        except TimeoutError:
            await self._require_consumer(session)
            return []
        if linger_s > 0 and session.inbox.qsize() < limit - 1:
            await asyncio.sleep(linger_s)
        while len(messages) < limit and not session.inbox.empty():
            messages.append(session.inbox.get_nowait())
        return [Delivery(m.routing_key or "", m.body, (session, m.delivery_tag)) for m in messages]

    async def _require_consumer(self, session: _Session) -> None:
        """The broker silently ends our subscription when somebody deletes the queue: then connect anew."""
        with self._errors():
            async with asyncio.timeout(self._timeout_s):
                state = await session.channel.declare_queue(QUEUE, passive=True)
        if not state.declaration_result.consumer_count:
            await self.close()

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """The first of those not acked yet, in order. Those of a lost connection are left to be sent again."""
        if not deliveries:
            return
        session, last_tag = deliveries[-1].receipt
        if session.alive:
            with self._errors():
                await session.publisher.basic_ack(last_tag, multiple=True)

    async def depth(self) -> int:
        with self._errors():
            async with asyncio.timeout(self._timeout_s):
                session = await self._live_session()
                state = await session.channel.declare_queue(QUEUE, passive=True)
        return state.declaration_result.message_count or 0

    async def ping(self) -> None:
        """With a message that no queue takes: a broker whose disk or memory is short answers, but confirms nothing.

        Not an empty one: it is the body at which the broker blocks.
        """
        with self._errors():
            async with asyncio.timeout(self._timeout_s):
                session = await self._live_session()
            try:
                async with asyncio.timeout(PING_S):
                    await session.publisher.basic_publish(b"?", exchange=EXCHANGE, routing_key=NOWHERE, wait=False)
            except TimeoutError:
                raise TimeoutError("it takes no messages; is its memory or disk full?") from None

    async def close(self) -> None:
        if self._session is not None and not self._session.connection.is_closed:
            await self._session.connection.close()

    async def _live_session(self) -> _Session:
        if self._session is not None and self._session.alive:
            return self._session
        async with self._connecting:
            if self._session is None or not self._session.alive:
                await self.close()
                self._session = await self._open()
            return self._session

    async def _open(self) -> _Session:
        connection = await aio_pika.connect(self._url, timeout=self._timeout_s, heartbeat=HEARTBEAT_S)
        try:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            await channel.set_qos(prefetch_count=PREFETCH)
            exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.DIRECT, durable=True)
            queue = await channel.declare_queue(QUEUE, durable=True)
            for topic in (INTERACT_TOPIC, IMPRESSION_TOPIC):
                await queue.bind(exchange, topic)
        except BaseException:
            await connection.close()
            raise
        return _Session(connection, channel, cast(aiormq.Channel, await channel.get_underlay_channel()), queue)

    def _where(self) -> str:
        return f"RabbitMQ at {masked(self._url)}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        where = self._where()
        try:
            yield
        except (AuthenticationError, ProbableAuthenticationError) as error:
            raise CredentialsRefused(f"{where} refused the credentials of its URL: {error}") from error
        except (ConnectionNotAllowed, InvalidFrameError) as error:
            # To the name of a virtual host the client expects consent, and does not read a refusal.
            host = unquote(urlsplit(self._url).path[1:]) or "/"
            raise StoreMisconfigured(f"{where} has no virtual host {host!r} that lets its user in") from error
        except ChannelAccessRefused as error:
            raise StoreMisconfigured(
                f"{where}: its user needs the rights to configure, write and read {EXCHANGE} and {QUEUE}: {error}"
            ) from error
        except ChannelPreconditionFailed as error:
            raise StoreMisconfigured(
                f"{where} holds {EXCHANGE} or {QUEUE} with other properties: delete it there, or name another virtual "
                f"host in BROKER_URL: {error}"
            ) from error
        except (AMQPError, ChannelInvalidStateError, *CONNECTION_EXCEPTIONS, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"{where}: {str(error) or type(error).__name__}") from error
        except asyncio.CancelledError as error:
            # A closing connection cancels the futures of its pending confirms; that is not our task being cancelled.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise StoreUnavailable(f"{where} closed the connection") from error
