"""Reactions, what people look at, and HTTP itself: the exact shape of every answer. Each test begins with a cleanup."""

from __future__ import annotations

import time
from typing import Final

import numpy as np
import pytest

from recsys.user_state import DISLIKE, LIKE
from tests.servers import Service, wait_until
from tests.service.rig import DRAIN_S, Rig, dumped, ids, repeated

DRAMA: Final = ["Drama"]


# interact


@pytest.mark.parametrize(
    "timestamp", [None, 0, -1e9, 1.5, 4_102_444_800, 1e15, -1e300, 1e308], ids=lambda value: f"{value}"
)
def test_any_finite_timestamp_is_logged_and_used_for_nothing(rig: Rig, timestamp: float | None) -> None:
    rig.add(["a", "b"], [DRAMA, []])
    began = time.time()
    rig.react("u", likes=["a"], timestamp=timestamp)
    rig.wait_counted(likes=1)
    (row,) = rig.log().to_dicts()
    assert row["timestamp"] == timestamp
    assert began - 1 <= row["received_at"] <= time.time() + 1
    rig.wait_published()
    statistics = rig.statistics()
    assert statistics is not None
    assert statistics.mean[0] > statistics.mean[1]
    assert np.isfinite(statistics.mean).all()
    assert np.isfinite(statistics.sd).all()


def test_a_reaction_to_an_unknown_item_is_logged_and_counted_as_such(rig: Rig) -> None:
    rig.add(["a", "b"], [DRAMA, []])
    rig.react("u", likes=["ghost", "a"], dislikes=["phantom"])
    rig.wait_counted(likes=2, dislikes=1, unknown_items=2)
    rows = rig.log()
    assert dict(zip(rows["item_id"], rows["item_index"], strict=True)) == {"ghost": -1, "a": 0, "phantom": -1}
    assert rig.history("u") == {(0, LIKE)}
    assert rig.catalogue()["items"] == 2
    assert sorted(rig.recs("v")) == ["a", "b"]
    rig.wait_published()
    assert sorted(rig.get("/top").json()["item_ids"]) == ["a", "b"]


def test_a_reaction_without_items_is_accepted_and_leaves_no_trace(rig: Rig) -> None:
    rig.add(["a"])
    rig.react("nobody")
    rig.react("u", likes=["a"])
    rig.wait_counted(likes=1, dislikes=0)
    assert rig.log()["user_id"].to_list() == ["u"]


def test_the_stamps_are_the_collectors_own(rig: Rig) -> None:
    rig.add(["a"])
    for _ in range(2):
        rig.react("u", likes=["a"], event_id="mine", epoch=1, received_at=1.0, unheard_of={"x": []})
    rig.wait_counted(likes=2)
    rows = rig.log()
    assert rows["event_id"].n_unique() == 2
    assert "mine" not in rows["event_id"].to_list()
    assert rows["received_at"].min() > 1e9


def test_as_many_reactions_as_fit_in_one_call(rig: Rig) -> None:
    rig.add(["a", "b"])
    rig.react("u", likes=["a"] * 5_000, dislikes=["b"] * 5_000)
    rig.wait_counted(likes=5_000, dislikes=5_000)
    assert rig.history("u") == {(0, LIKE), (1, DISLIKE)}


def test_an_answer_of_the_collector(rig: Rig) -> None:
    answer = rig.post_reactions("u", likes=["a"])
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


# What people look at


def test_top_and_similar_after_a_publication(rig: Rig) -> None:
    genres = [["Drama"]] * 5 + [["Comedy"]] * 5
    rig.add(ids("item", 10), genres)
    for n in range(10):
        rig.react(f"fan-{n}", likes=["item-7", "item-2"], dislikes=["item-0", "item-5"])
    rig.wait_counted(likes=20, dislikes=20)
    rig.wait_published()
    top = rig.get("/top").json()["item_ids"]
    assert set(top) == set(ids("item", 10))
    assert set(top[:2]) == {"item-7", "item-2"}
    assert set(top[-2:]) == {"item-0", "item-5"}
    drama = rig.get("/top", genre="Drama", k=3).json()["item_ids"]
    assert len(drama) == 3
    assert drama[0] == "item-2"
    similar = rig.get("/similar/item-1").json()["item_ids"]
    assert set(similar[:4]) == {"item-0", "item-2", "item-3", "item-4"}
    assert similar[0] == "item-2"
    assert set(similar) == set(ids("item", 10)) - {"item-1"}
    assert rig.get("/similar/item-1", k=2).json()["item_ids"] == similar[:2]


def test_what_is_not_there_is_named(rig: Rig) -> None:
    rig.add(["a"], [["Drama"]])
    for path, field, missing in (
        ("/similar/ghost", "item_id", "ghost"),
        ("/top?genre=Westen", "genre", "Westen"),
        ("/top?genre=", "genre", "''"),
    ):
        answer = rig.http.get(rig.recommendations.url + path)
        assert answer.status_code == 404
        (error,) = answer.json()["detail"]
        assert field in error["loc"]
        assert missing in error["msg"]


def test_an_item_that_no_model_knows_has_no_neighbours_yet(rig: Rig) -> None:
    rig.add(["a"])
    assert rig.get("/similar/a").json() == {"item_ids": []}


# HTTP


def test_browsers_may_call_the_collector(rig: Rig) -> None:
    url = rig.collector.url + "/interact"
    origin = {"origin": "http://localhost:8000"}
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    preflight = rig.http.options(url, headers=origin | asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "content-type" in preflight.headers["access-control-allow-headers"].lower()
    for body in (b'{"user_id": "u", "item_ids": [], "actions": []}', b"{}"):
        answer = rig.http.post(url, content=body, headers=origin)
        assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("name", ["collector", "recommendations"])
@pytest.mark.parametrize("path", ["/healthcheck", "/interact", "/add_items", "/recs/u", "/cleanup", "/metrics", "/no"])
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_head_and_options_are_no_server_errors_and_change_nothing(rig: Rig, name: str, path: str, method: str) -> None:
    rig.add(["a"])
    service: Service = getattr(rig, name)
    answer = rig.http.request(method, service.url + path)
    assert answer.status_code in {200, 204, 404, 405}
    if answer.status_code == 405:
        assert answer.headers["allow"]
    if method == "HEAD":
        assert answer.content == b""
    assert rig.catalogue()["items"] == 1


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
@pytest.mark.parametrize("name", ["collector", "recommendations"])
def test_the_documentation_answers(rig: Rig, name: str, path: str) -> None:
    service: Service = getattr(rig, name)
    assert rig.http.get(service.url + path).status_code == 200


def test_the_documentation_is_made_without_a_warning(rig: Rig) -> None:
    rig.http.get(rig.recommendations.url + "/openapi.json")
    assert "Warning" not in rig.recommendations.output


def test_metrics_count(rig: Rig) -> None:
    before = rig.metric(rig.collector, "reactions_accepted_total")
    rig.react("u", likes=["a", "b"], dislikes=["c"])
    assert rig.metric(rig.collector, "reactions_accepted_total") == before + 3
    assert rig.metric(rig.recommendations, "lists_from_memory_total") == 0
    assert rig.metric(rig.recommendations, "impressions_lost_total") == 0


def test_every_list_comes_back_as_impressions(rig: Rig) -> None:
    rig.add(ids("item", 50))
    shown = {item: rig.recs(item, k=7) for item in ids("user", 10)}
    rig.wait_counted(impressions=70)
    counted = rig.counters()
    assert counted["applied"] == 70
    assert all(repeated(listed) == {} for listed in shown.values())


def test_lists_follow_reactions_without_waiting_for_a_publication(rig: Rig) -> None:
    """Users' states follow the log for themselves."""
    rig.add(ids("item", 12))
    rig.react("u", dislikes=ids("item", 11))
    wait_until(lambda: rig.history("u") == {(n, DISLIKE) for n in range(11)}, DRAIN_S, "the dislikes are in the state")
    assert rig.recs("u") == ["item-11"]


def test_the_body_is_json_whatever_the_content_type_says(rig: Rig) -> None:
    answer = rig.http.post(
        rig.recommendations.url + "/add_items",
        content=dumped({"item_ids": ["a"]}),
        headers={"content-type": "text/plain"},
    )
    assert answer.status_code == 200
    assert rig.recs("u") == ["a"]
