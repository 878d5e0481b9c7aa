"""Stores that freeze, die and come back while the system serves: who answers what, and that nothing is lost."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import redis

from recsys.stores.connect import log_folder
from recsys.stores.event_log import EventLog
from tests.servers import Child, RabbitServer, RedisServer, wait_until
from tests.service.rig import DRAIN_S, START_S, Rig, frozen, ids, killed, stopped

CATALOGUE: Final = ids("item", 60)
IMPATIENT: Final = {"REDIS_TIMEOUT_S": "1", "PUBLISH_TIMEOUT_S": "1"}
# A state that a stalled disk keeps waiting is not away: lists stay personal.
PATIENT_WITH_STATE: Final = IMPATIENT | {"REDIS_TIMEOUT_S": "10"}
METRICS: Final = ("lists_from_memory_total", "store_failures_total")
FROM_MEMORY_S: Final = 6.0  # what /recs may take: the batch before, this one, and some seconds for the machine
REFUSED_S: Final = 8.0  # what /interact may take: its patience, one last attempt, and some seconds for the machine
BACK_S: Final = 40.0

Away = Callable[[Child], AbstractContextManager[None]]
FREEZE_AND_KILL: Final = pytest.mark.parametrize("away", [frozen, killed])


@dataclass
class Stand:
    """A system with two Redis servers that a test may take away: one of the state, one of the broker."""

    rig: Rig
    state: RedisServer
    broker: RedisServer


@pytest.fixture(scope="module")
def stand(folder: Path, own_redis: Callable[[], RedisServer]) -> Iterator[Stand]:
    state, broker = own_redis(), own_redis()
    state.start()
    broker.start()
    with Rig(folder / "two", state.url, broker.url, **IMPATIENT) as rig:
        rig.add(CATALOGUE, [["Drama"], ["Comedy"]] * 30)
        yield Stand(rig, state, broker)


def pids(rig: Rig) -> list[int | None]:
    return [child._process.pid if child._process and child.running else None for child in rig.children]


@contextmanager
def no_restart(rig: Rig) -> Iterator[None]:
    before = pids(rig)
    assert None not in before
    yield
    assert pids(rig) == before


def health(rig: Rig) -> str:
    return str(rig.get("/healthcheck").json()["status"])


def timed(call: Callable[[], httpx.Response]) -> tuple[float, httpx.Response]:
    began = time.monotonic()
    answer = call()
    return time.monotonic() - began, answer


def everything_logged(rig: Rig) -> list[dict[str, Any]]:
    """Of all epochs, impressions included."""
    log = EventLog(log_folder(rig.settings))
    return [row for epoch in log.epochs() for row in log.events(epoch).read().to_dicts()]


def times_logged(rig: Rig) -> Counter[str]:
    """Rows of the log for each user, without impressions."""
    return Counter(row["user_id"] for row in everything_logged(rig) if row["kind"] != "impression")


@dataclass
class Visitors:
    """Threads of new users, each of whom likes one item; remembers who was told that it was accepted."""

    rig: Rig
    accepted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def visit(self, stop: threading.Event) -> None:
        with httpx.Client(timeout=60, trust_env=False) as client:
            while not stop.is_set():
                user = uuid.uuid4().hex
                body = {"user_id": user, "item_ids": [CATALOGUE[0]], "actions": ["like"]}
                took_s, answer = timed(lambda body=body: client.post(self.rig.collector.url + "/interact", json=body))
                assert answer.status_code in {200, 503}, answer.text
                self.slowest_s = max(self.slowest_s, took_s)
                (self.accepted if answer.status_code == 200 else self.refused).append(user)
                stop.wait(0.005)

    @contextmanager
    def coming(self, threads: int = 3) -> Iterator[None]:
        stop = threading.Event()
        running = [threading.Thread(target=self.visit, args=(stop,)) for _ in range(threads)]
        for thread in running:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in running:
                thread.join()

    def wait_for_accepted(self, count: int = 10) -> None:
        wanted = len(self.accepted) + count
        wait_until(lambda: len(self.accepted) >= wanted, BACK_S, "more interactions are accepted")

    def require_each_logged_once(self) -> None:
        """Those that got a 200 exactly once; those that got a 503 at most once."""
        wanted = set(self.accepted)
        wait_until(lambda: wanted <= times_logged(self.rig).keys(), DRAIN_S, "everything accepted is in the log")
        logged = times_logged(self.rig)
        assert {user for user in self.accepted if logged[user] != 1} == set()
        assert {user for user in self.refused if logged[user] > 1} == set()


def require_a_list_of_known_items(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    listed: list[str] = answer.json()["item_ids"]
    assert len(set(listed)) == len(listed) == 10
    assert set(listed) <= set(CATALOGUE)
    return listed


# The Redis of the state


@FREEZE_AND_KILL
def test_lists_come_from_memory_while_the_state_is_away(stand: Stand, away: Away) -> None:
    rig = stand.rig
    user = f"{away.__name__}-user"
    counted = rig.counters()
    from_memory, failures = (rig.metric(rig.recommendations, name) for name in METRICS)
    first = rig.recs(user)
    disliked = [item for item in CATALOGUE if item not in first][:5]
    rig.react(user, dislikes=disliked)
    rig.wait_counted(dislikes=counted.get("dislikes", 0) + 5)
    remembered = {CATALOGUE[position] for position, _ in rig.history(user)}
    assert remembered >= set(disliked)
    log_start = len(rig.recommendations.output)
    accepted = []
    with no_restart(rig):
        with away(stand.state):
            for n in range(3):
                took_s, answer = timed(lambda n=n: rig.get(f"/recs/{away.__name__}-stranger-{n}"))
                require_a_list_of_known_items(answer)
                assert took_s < FROM_MEMORY_S
            assert rig.metric(rig.recommendations, METRICS[0]) == from_memory + 3
            assert "serving from memory" in rig.recommendations.output[log_start:]
            assert rig.recommendations.health() == 200
            assert health(rig).startswith("degraded")
            assert rig.get("/catalogue").json()["items"] == len(CATALOGUE)
            assert rig.get("/top").status_code == 200
            # The broker is there, and no cleanup can end the epoch.
            for n in range(3):
                accepted.append(f"{away.__name__}-fan-{n}")
                rig.react(accepted[-1], likes=[CATALOGUE[1]])
            refused = rig.http.post(rig.recommendations.url + "/add_items", json={"item_ids": [CATALOGUE[0]]})
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) > 0
            assert rig.metric(rig.recommendations, METRICS[1]) == failures + 1
            if away is killed:  # a frozen server would do it when it thaws
                assert rig.http.post(rig.recommendations.url + "/cleanup").status_code == 503
        wait_until(lambda: health(rig) == "ok", BACK_S, "the service is healthy again")
        rest = set(CATALOGUE) - remembered
        assert set(rig.recs(user, k=len(rest))) == rest, "what was shown and disliked before is remembered"
        assert "Redis answers again" in rig.recommendations.output[log_start:]
        rig.wait_counted(likes=counted.get("likes", 0) + 3)
    logged = times_logged(rig)
    assert [logged[fan] for fan in accepted] == [1, 1, 1]


def test_many_at_once_are_served_while_the_state_is_frozen(stand: Stand) -> None:
    rig = stand.rig
    taken: list[float] = []

    def ask(n: int) -> None:
        took_s, answer = timed(lambda: rig.get(f"/recs/many-{n}"))
        require_a_list_of_known_items(answer)
        taken.append(took_s)

    with frozen(stand.state):
        threads = [threading.Thread(target=ask, args=(n,)) for n in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(taken) == 30
    assert max(taken) < FROM_MEMORY_S + 1
    wait_until(lambda: health(rig) == "ok", BACK_S, "the service is healthy again")


@contextmanager
def full(server: RedisServer) -> Iterator[None]:
    """No memory left: it answers, but takes no writes."""
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", "1")
        try:
            yield
        finally:
            client.config_set("maxmemory", "0")


def test_lists_come_from_memory_while_the_state_is_full(stand: Stand) -> None:
    rig = stand.rig
    rig.recs("full")
    with no_restart(rig):
        with full(stand.state):
            require_a_list_of_known_items(rig.get("/recs/full"))
            assert rig.http.post(rig.recommendations.url + "/add_items", json={"item_ids": ["x"]}).status_code == 503
        wait_until(lambda: health(rig) == "ok", BACK_S, "the service is healthy again")
    assert rig.catalogue()["items"] == len(CATALOGUE)


def test_health_is_degraded_while_the_state_is_full(stand: Stand) -> None:
    rig = stand.rig
    rig.recs("full")
    with full(stand.state):
        require_a_list_of_known_items(rig.get("/recs/full"))
        assert rig.recommendations.health() == 200
        assert health(rig).startswith("degraded")
    wait_until(lambda: health(rig) == "ok", BACK_S, "the service is healthy again")


# The broker


def require_refusals(rig: Rig) -> None:
    """What holds while no broker answers."""
    for _ in range(2):
        took_s, answer = timed(lambda: rig.post_reactions(f"refused-{uuid.uuid4().hex}", likes=[CATALOGUE[0]]))
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["detail"]
        assert took_s < REFUSED_S


def require_lists_as_ever(rig: Rig, user: str) -> int:
    """Lists are personal, broker or not; returns how many items were shown."""
    shown: list[str] = []
    for _ in range(4):
        shown += require_a_list_of_known_items(rig.get(f"/recs/{user}"))
    assert len(set(shown)) == 40
    assert health(rig) == "ok"
    return len(shown)


def outlive(rig: Rig, server: Child, away: Away) -> None:
    """The same for every broker and every kind of outage."""
    visitors = Visitors(rig)
    user = f"{away.__name__}-{uuid.uuid4().hex}"
    with no_restart(rig):
        with visitors.coming():
            visitors.wait_for_accepted()
            with away(server):
                require_refusals(rig)
                shown = require_lists_as_ever(rig, user)
            wait_until(lambda: rig.collector.health() == 200, BACK_S, "the collector is healthy again")
            visitors.wait_for_accepted()
        visitors.require_each_logged_once()
        assert visitors.slowest_s < REFUSED_S + 1

        def impressions() -> int:
            return sum(row["user_id"] == user for row in everything_logged(rig))

        wait_until(lambda: impressions() >= shown, DRAIN_S, "what was shown meanwhile is in the log")
        assert impressions() == shown


@pytest.fixture(scope="module")
def with_streams(folder: Path, redis_server: RedisServer, own_redis: Callable[[], RedisServer]) -> Iterator[Stand]:
    broker = own_redis()
    broker.start()
    with Rig(folder / "streams", redis_server.url, broker.url, **PATIENT_WITH_STATE) as rig:
        rig.add(CATALOGUE, [["Drama"], ["Comedy"]] * 30)
        yield Stand(rig, redis_server, broker)


@FREEZE_AND_KILL
def test_redis_streams_away(with_streams: Stand, away: Away) -> None:
    outlive(with_streams.rig, with_streams.broker, away)


@FREEZE_AND_KILL
def test_the_collectors_health_tells_that_redis_streams_are_away(with_streams: Stand, away: Away) -> None:
    rig = with_streams.rig
    with away(with_streams.broker):
        assert rig.collector.health() == 503
        assert rig.recommendations.health() == 200
    wait_until(lambda: rig.collector.health() == 200, BACK_S, "the collector is healthy again")


def test_a_killed_pipeline_loses_and_repeats_nothing(with_streams: Stand) -> None:
    rig = with_streams.rig
    visitors = Visitors(rig)
    likes = rig.counters().get("likes", 0)
    with visitors.coming():
        for _ in range(2):
            visitors.wait_for_accepted(40)
            rig.pipeline.kill()
            visitors.wait_for_accepted(20)
            Child.start(rig.pipeline)
            rows = rig.log().height
            wait_until(lambda rows=rows: rig.log().height > rows, START_S, "the pipeline drains again")
    visitors.require_each_logged_once()
    logged = times_logged(rig)
    rig.wait_counted(likes=likes + sum(logged[user] for user in visitors.accepted + visitors.refused))


@pytest.fixture(scope="module")
def with_rabbit(folder: Path, redis_server: RedisServer, own_rabbit: RabbitServer) -> Iterator[Rig]:
    rig = Rig(folder / "rabbit", redis_server.url, own_rabbit.url, **PATIENT_WITH_STATE)
    rig.tracebacks_allowed = True  # aiormq logs one for every connection that it loses
    with rig:
        rig.add(CATALOGUE, [["Drama"], ["Comedy"]] * 30)
        yield rig


@pytest.mark.parametrize("away", [frozen, killed, stopped])
def test_rabbitmq_away(with_rabbit: Rig, own_rabbit: RabbitServer, away: Away) -> None:
    outlive(with_rabbit, own_rabbit, away)


def test_what_waits_in_rabbitmq_outlives_its_death(with_rabbit: Rig, own_rabbit: RabbitServer) -> None:
    with_rabbit.wait_published()  # an event is in the log a moment before it is counted
    likes = with_rabbit.counters().get("likes", 0)
    with stopped(with_rabbit.pipeline):
        for number in range(20):
            with_rabbit.react(f"waiting-{number}", likes=[CATALOGUE[0]])
        # Nobody has fetched anything: what is left is what the broker had on disk.
        with killed(own_rabbit):
            pass
    with_rabbit.wait_counted(likes=likes + 20)


def test_the_collectors_health_tells_that_rabbitmq_hangs(with_rabbit: Rig, own_rabbit: RabbitServer) -> None:
    with frozen(own_rabbit):
        assert with_rabbit.post_reactions("u", likes=[CATALOGUE[0]]).status_code == 503
        status = with_rabbit.collector.health()
    wait_until(
        lambda: with_rabbit.post_reactions("u", likes=[CATALOGUE[0]]).status_code == 200, BACK_S, "RabbitMQ is back"
    )
    assert status == 503


# Before anything is there


def test_services_that_start_before_their_store_wait_for_it(folder: Path, own_redis: Callable[[], RedisServer]) -> None:
    server = own_redis()
    rig = Rig(folder / "early", server.url, server.url, **IMPATIENT)
    try:
        for child in rig.children:
            Child.start(child)
        for service in (rig.collector, rig.recommendations):
            wait_until(lambda service=service: service.health() == 503, 60, f"{service.name} says why it cannot serve")
        assert str(server.port) in rig.get("/healthcheck").json()["reason"]
        refused = rig.get("/recs/u")
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert rig.post_reactions("u", likes=["a"]).status_code == 503
        wait_until(lambda: "store failed, trying again" in rig.pipeline.output, 60, "the pipeline tries again")
        server.start()
        for service in (rig.collector, rig.recommendations):
            service.wait_healthy()
        rig.add(["a", "b"])
        rig.react("u", dislikes=["a"])
        rig.wait_counted(dislikes=1)
        assert rig.recs("u") == ["b"]
        assert rig.pipeline.running
    finally:
        rig.__exit__()
