"""What the recommendations service tells about itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import RedisServer
from tests.service.rig import Rig, ids


@pytest.fixture(scope="module")
def rig(folder: Path, redis_server: RedisServer) -> Iterator[Rig]:
    url = redis_server.url.replace("//", "//default:secret@")  # a user without a password lets any pass
    with Rig(folder, url, url) as made:
        yield made


def test_status_before_and_after_the_first_refresh(rig: Rig, redis_server: RedisServer) -> None:
    empty = rig.get("/status").json()
    assert (empty["profile"], empty["recommender"], empty["explore"], empty["models"]) == (
        "balanced",
        "bandit",
        "auto",
        {},
    )
    assert empty["log"] == {"rows": 0}
    assert empty["refresh"] == {"rows": 0, "published_at": None}
    began = int(time.time())
    rig.add(ids("item", 3))
    rig.react("u", likes=["item-0"], dislikes=["item-1"])
    rig.wait_counted(likes=1, dislikes=1)
    rig.wait_published()
    rig.get("/status")  # a worker loads what is new in the background
    status = rig.get("/status").json()
    assert (status["epoch"], status["items"], status["log"]["rows"], status["log"]["likes"]) == (rig.epoch(), 3, 2, 1)
    assert status["refresh"]["rows"] == 2
    assert began <= status["refresh"]["published_at"] <= time.time()
    model = status["models"].pop("bandit")
    assert status["models"] == {}
    version, blob = rig.model()
    assert (model["version"], model["bytes"], model["rows"], model["items"]) == (version, len(blob or b""), 2, 3)
    assert model["published_at"] == status["refresh"]["published_at"]
    assert 0 < model["seconds"] < time.time() - began
    assert "error" not in model
    hidden = redis_server.url.replace("//", "//default:***@")
    assert status["backends"] == {"state": hidden, "broker": hidden, "vectors": "local folder"}
