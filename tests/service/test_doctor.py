"""The grader's doctor examines the real system, on each broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.doctor.run import examine
from grader.doctor.service import Limits
from grader.service import Address
from tests.servers import RabbitServer, RedisServer
from tests.service.rig import Rig, delete_queue

PATIENT = Limits(timeout_s=30, patience_s=20, load_s=1)


@pytest.fixture(scope="module", params=["redis-streams", "rabbitmq"])
def rig(request: pytest.FixtureRequest, folder: Path, redis_server: RedisServer) -> Iterator[Rig]:
    broker_url = redis_server.url
    if request.param == "rabbitmq":
        rabbit: RabbitServer = request.getfixturevalue("rabbit_server")
        delete_queue(rabbit.url)
        broker_url = rabbit.url
    with Rig(folder / f"doctor-{request.param}", redis_server.url, broker_url) as rig:
        yield rig


async def test_the_doctor_finds_nothing_wrong(rig: Rig) -> None:
    report = await examine(Address(rig.recommendations.url, rig.collector.url), limits=PATIENT)
    assert [
        (outcome.name, outcome.verdict, outcome.seen) for outcome in report.outcomes if outcome.verdict != "ok"
    ] == []
    assert len(report.outcomes) > 30
