"""A whole system as real processes, with the verbs that the service tests speak and a look inside its stores."""

from __future__ import annotations

import asyncio
import json
import signal
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import aio_pika
import httpx
import numpy as np
import polars as pl
import redis

from recsys.contract import QUEUE
from recsys.recommenders.bandit.statistics import Statistics
from recsys.settings import Settings
from recsys.stores.connect import State, log_folder, open_broker, open_state
from recsys.stores.event_log import EventLog
from recsys.user_state import UserState
from tests.servers import Child, Service, System, wait_until

T = TypeVar("T")

START_S = 90.0  # processes import for seconds when the machine is busy
DRAIN_S = 30.0  # the pipeline pauses for up to 5 s after failures


def ask(settings: Settings, question: Callable[[State], Awaitable[T]]) -> T:
    """The state, from outside of the services."""

    async def answer() -> T:
        state = open_state(settings)
        try:
            return await question(state)
        finally:
            await state.close()

    return asyncio.run(answer())


class Rig(System):
    """A system with a key prefix and a data folder of its own."""

    def __init__(self, folder: Path, redis_url: str, broker_url: str, **extra: str) -> None:
        prefix = {"KEY_PREFIX": f"test_{uuid.uuid4().hex[:12]}"}
        super().__init__(folder, redis_url, broker_url, **{**prefix, **extra})
        known = {name.lower(): value for name, value in self.env.items()}
        self.settings = Settings(_env_file=None, **known).model_copy(update={"redis_timeout_s": 20.0})  # type: ignore[arg-type]
        self.http = httpx.Client(timeout=60, trust_env=False)
        self.children: tuple[Child, ...] = (self.pipeline, self.collector, self.recommendations)
        self.tracebacks_allowed = False  # in the logs, which are searched for them at the end

    def start(self, *children: Child) -> None:
        """Start these, by default all, at the same time; return when the web services are healthy."""
        for child in children or self.children:
            Child.start(child)
        for service in (self.collector, self.recommendations):
            if not children or service in children:
                service.wait_healthy(START_S)

    def __enter__(self) -> Rig:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if not self.tracebacks_allowed:
            for child in self.children:
                assert "Traceback" not in child.output, child.output[-6000:]

    def stop(self) -> None:
        for child in self.children:
            child.signal(signal.SIGCONT)
            child.stop()
        self.http.close()

    # What clients say

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.http.get(self.recommendations.url + path, params=params or None)

    def add(self, item_ids: Sequence[Any], genres: Sequence[Sequence[str]] | None = None) -> tuple[int, int]:
        """How many items were new and how many changed."""
        body = {"item_ids": item_ids} | ({} if genres is None else {"genres": genres})
        answer = self.http.post(self.recommendations.url + "/add_items", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["added"], answer.json()["updated"]

    def recs(self, user: str, k: int | None = None) -> list[str]:
        answer = self.get(f"/recs/{quote(user, safe='')}", **({} if k is None else {"k": k}))
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert list(body) == ["item_ids"]
        return list(body["item_ids"])

    def post_reactions(
        self, user: str, likes: Sequence[Any] = (), dislikes: Sequence[Any] = (), **more: Any
    ) -> httpx.Response:
        actions = ["like"] * len(likes) + ["dislike"] * len(dislikes)
        body = {"user_id": user, "item_ids": [*likes, *dislikes], "actions": actions, **more}
        return self.http.post(self.collector.url + "/interact", json=body)

    def react(self, user: str, likes: Sequence[Any] = (), dislikes: Sequence[Any] = (), **more: Any) -> None:
        answer = self.post_reactions(user, likes, dislikes, **more)
        assert answer.status_code == 200, answer.text

    def cleanup(self, method: str = "POST") -> int:
        """The epoch that ended."""
        ended = self.epoch()
        answer = self.http.request(method, self.recommendations.url + "/cleanup")
        assert answer.status_code == 200, answer.text
        return ended

    def metric(self, service: Service, name: str) -> float:
        """Over all labels."""
        answer = self.http.get(service.url + "/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain")
        return sum(float(line.split()[-1]) for line in answer.text.splitlines() if line.startswith(name))

    def catalogue(self) -> dict[str, Any]:
        return dict(self.get("/catalogue").json())

    # What the stores hold

    def ask(self, question: Callable[[State], Awaitable[T]]) -> T:
        return ask(self.settings, question)

    def epoch(self) -> int:
        return self.ask(lambda state: state.epochs.current())

    def counters(self) -> dict[str, int]:
        async def read(state: State) -> dict[str, int]:
            return await state.ledger.counters(await state.epochs.current())

        return self.ask(read)

    def codes(self, *users: str) -> list[bytes]:
        async def read(state: State) -> list[bytes]:
            return (await state.pages.open(await state.epochs.current(), users, 0)).codes

        return self.ask(read)

    def history(self, user: str) -> set[tuple[int, int]]:
        """(catalogue position, mark) of everything the state remembers of the user."""
        state = UserState(self.codes(user)[0])
        return set(zip(state.indices.tolist(), state.marks.tolist(), strict=True))

    def raw(self, *command: str, name: str) -> Any:
        """What Redis answers to a command on what this epoch keeps under a name, for example ``HLEN`` of users."""
        with redis.Redis.from_url(self.settings.redis_url) as client:
            key = f"{self.settings.key_prefix}:{self.epoch()}:{name}"
            return client.execute_command(command[0], key, *command[1:])

    def model(self, name: str = "bandit") -> tuple[str, bytes | None]:
        """The version of a model in force, and the model."""

        async def fetch(state: State) -> tuple[str, bytes | None]:
            return await state.models.fetch(await state.epochs.current(), name)

        return self.ask(fetch)

    def models(self) -> dict[str, dict[str, Any]]:
        """What is known of the models in force."""

        async def read(state: State) -> dict[str, dict[str, Any]]:
            return await state.models.facts(await state.epochs.current())

        return self.ask(read)

    def statistics(self) -> Statistics | None:
        """What the bandit in force knows of the items."""
        _, blob = self.model()
        return None if blob is None else Statistics.load(blob)

    def depth(self) -> int:
        async def read() -> int:
            broker = open_broker(self.settings)
            try:
                return await broker.depth()
            finally:
                await broker.close()

        return asyncio.run(read())

    def log(self, epoch: int | None = None) -> pl.DataFrame:
        """Rows of the event log on disk, without impressions."""
        return self.whole_log(epoch).filter(pl.col("kind") != "impression")

    def whole_log(self, epoch: int | None = None) -> pl.DataFrame:
        return EventLog(log_folder(self.settings)).events(epoch or self.epoch()).read()

    def wait_counted(self, seconds: float = DRAIN_S, **expected: int) -> None:
        """Until the pipeline has counted exactly this, for example ``likes=3``."""
        found: dict[str, int] = {}

        def reached() -> bool:
            found.clear()
            found.update(self.counters())
            return all(found.get(name, 0) >= value for name, value in expected.items())

        try:
            wait_until(reached, seconds, f"counters of {expected}")
        except TimeoutError as error:
            raise AssertionError(f"{error}, but {found}; pipeline: {self.pipeline.output[-2000:]}") from None
        assert {name: found.get(name, 0) for name in expected} == expected

    def wait_published(self, model: str = "bandit") -> None:
        """Until users' states and this model reflect every logged row, and the model every item."""

        async def current(state: State) -> bool:
            epoch = await state.epochs.current()
            facts = (await state.models.facts(epoch)).get(model, {})
            known = {record.id for chunk in await state.catalogue.since(epoch, 0) for record in chunk}
            logged = EventLog(log_folder(self.settings)).events(epoch).rows
            reflected = (await state.ledger.applied(epoch), facts.get("rows"), facts.get("items"))
            return reflected == (logged, logged, len(known))

        wait_until(lambda: self.ask(current), DRAIN_S, f"{model} is up to date: {self.pipeline.output[-2000:]}")


@contextmanager
def frozen(child: Child) -> Iterator[None]:
    child.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        child.signal(signal.SIGCONT)


@contextmanager
def killed(child: Child) -> Iterator[None]:
    child.kill()
    try:
        yield
    finally:
        child.start()


@contextmanager
def stopped(child: Child) -> Iterator[None]:
    """An orderly stop: a server closes its connections itself."""
    child.stop()
    try:
        yield
    finally:
        child.start()


def delete_queue(amqp_url: str) -> None:
    """RabbitMQ's queue has a fixed name: what an earlier test left there is none of our business."""

    async def delete() -> None:
        connection = await aio_pika.connect(amqp_url)
        channel = await connection.channel()
        await channel.queue_delete(QUEUE)
        await connection.close()

    asyncio.run(delete())


def ids(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{n}" for n in range(count)]


def repeated(values: Iterable[T]) -> dict[T, int]:
    """What occurs more than once, and how often."""
    return {value: count for value, count in Counter(values).items() if count > 1}


def dumped(body: Any) -> bytes:
    """JSON as Python writes it: with NaN and Infinity."""
    return json.dumps(body).encode()


def arrays_of(statistics: Statistics) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in vars(statistics).items()}


@contextmanager
def pipeline_stopped(rig: Rig) -> Iterator[None]:
    rig.pipeline.stop()
    try:
        yield
    finally:
        begun = rig.pipeline.output.count("epoch begun")
        Child.start(rig.pipeline)
        wait_until(lambda: rig.pipeline.output.count("epoch begun") > begun, 60, "the pipeline runs again")
