"""What the web services log is what LOG_JSON and LOG_LEVEL say, the lines of their server included."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from tests.servers import Child, RedisServer, System


def test_every_line_is_json_and_none_is_below_the_level(tmp_path: Path, redis_server: RedisServer) -> None:
    url, prefix = redis_server.url, f"test_{uuid.uuid4().hex[:12]}"
    told = System(tmp_path / "told", url, url, KEY_PREFIX=prefix, LOG_JSON="true", RECOMMENDATIONS_WORKERS="2")
    silent = System(tmp_path / "silent", url, url, KEY_PREFIX=prefix, LOG_LEVEL="ERROR")
    services = (told.recommendations, told.collector, silent.collector)
    try:
        for service in services:
            Child.start(service)
        for service in services:
            service.wait_healthy()
    finally:
        for service in services:
            service.stop()
    for service in (told.recommendations, told.collector):
        lines = [json.loads(line) for line in service.output.splitlines()]
        assert {line["service"] for line in lines} == {service.name}
        assert any("running on" in line["event"] for line in lines)
        assert not any("/healthcheck" in line["event"] for line in lines), (
            "a line for each request is a fifth of its cost"
        )
    assert silent.collector.output == ""
