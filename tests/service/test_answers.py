"""Good requests, the odd ones included, and the exact shape of every answer. Each test begins with a cleanup."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import numpy as np
import pytest

from recsys.ranking.choose import SOURCES
from recsys.user_state import DISLIKE, LIKE
from tests.servers import RedisServer, Service, wait_until
from tests.service.rig import Rig, dumped, ids, repeated

DRAMA: Final = ["Drama"]


@pytest.fixture(scope="module")
def system(folder: Path, redis_server: RedisServer) -> Iterator[Rig]:
    with Rig(folder, redis_server.url, redis_server.url) as made:
        yield made


@pytest.fixture
def rig(system: Rig) -> Rig:
    system.cleanup()
    return system


# Empty and small catalogues


def test_an_empty_catalogue_gives_an_empty_list(rig: Rig) -> None:
    answer = rig.get("/recs/u")
    assert answer.status_code == 200
    assert answer.content == b'{"item_ids":[]}'
    assert answer.headers["content-type"] == "application/json"


def test_an_empty_list_has_no_sources(rig: Rig) -> None:
    assert rig.get("/recs/u", explain=True).json() == {"item_ids": [], "sources": []}


@pytest.mark.parametrize("path", ["/top", "/catalogue", "/healthcheck", "/metrics"])
def test_an_empty_catalogue_is_no_error_anywhere(rig: Rig, path: str) -> None:
    assert rig.get(path).status_code == 200


def test_a_catalogue_smaller_than_k_comes_whole(rig: Rig) -> None:
    rig.add(ids("item", 4))
    assert sorted(rig.recs("u")) == ids("item", 4)
    assert sorted(rig.recs("v", k=1_000)) == ids("item", 4)


def test_an_item_is_recommendable_from_the_next_request_on(rig: Rig) -> None:
    for size in range(1, 21):
        rig.add([f"item-{size - 1}"], [DRAMA] if size % 2 else [[]])
        assert sorted(rig.recs(f"user-{size}", k=size)) == sorted(ids("item", size))


def test_a_new_item_reaches_those_who_have_seen_everything(rig: Rig) -> None:
    rig.add(ids("item", 10))
    rig.recs("u", k=10)
    rig.add(["new"])
    assert "new" in rig.recs("u", k=3)


def test_the_whole_catalogue_of_a_grader_in_one_call(rig: Rig) -> None:
    names = [f"Genre {n}" for n in range(19)]
    known = ids("item", 30_000)
    assert rig.add(known, [names[n % 19 : n % 19 + 3] for n in range(30_000)]) == (30_000, 0)
    assert rig.catalogue()["items"] == 30_000
    listed = rig.recs("u", k=1_000)
    assert len(set(listed)) == 1_000
    assert set(listed) <= set(known)
    assert rig.add(["late"]) == (1, 0)
    assert rig.catalogue()["items"] == 30_001


# Lists


@pytest.mark.parametrize(("k", "length"), [(None, 10), (1, 1), (3, 3), (100, 100), (1_000, 200)])
def test_a_new_user_gets_k_items(rig: Rig, k: int | None, length: int) -> None:
    rig.add(ids("item", 200))
    listed = rig.recs(uuid.uuid4().hex, k)
    assert len(set(listed)) == len(listed) == length
    assert set(listed) <= set(ids("item", 200))


def test_an_explained_list_names_the_source_of_every_item(rig: Rig) -> None:
    rig.add(ids("item", 15), [DRAMA] * 15)
    found = set()
    for _ in range(4):
        body = rig.get("/recs/u", explain=True).json()
        assert list(body) == ["item_ids", "sources"]
        assert len(body["item_ids"]) == len(body["sources"]) == 10
        assert set(body["sources"]) <= set(SOURCES)
        found |= set(body["sources"])
    assert "again" in found


@pytest.mark.parametrize("value", ["false", "0", "False"])
def test_a_list_is_not_explained_when_not_asked_for(rig: Rig, value: str) -> None:
    rig.add(ids("item", 3))
    assert list(rig.get("/recs/u", explain=value).json()) == ["item_ids"]


def test_never_a_repeat_then_the_oldest_come_back_and_disliked_ones_never(rig: Rig) -> None:
    """On past the point where the service compacts the user's state."""
    catalogue = ids("item", 60)
    disliked = set(catalogue[::12])
    allowed = len(catalogue) - len(disliked)
    rig.add(catalogue, [[f"Genre {n % 3}"] for n in range(60)])
    rig.react("u", dislikes=sorted(disliked))
    rig.wait_counted(dislikes=len(disliked))
    last_shown: dict[str, int] = {}
    for request in range(130):
        oldest_first = sorted(last_shown, key=lambda item: last_shown[item])
        unseen = allowed - len(last_shown)
        listed = rig.recs("u")
        assert len(listed) == len(set(listed)) == 10
        assert not set(listed) & disliked
        again = [item for item in listed if item in last_shown]
        assert len(again) == max(10 - unseen, 0)
        assert again == oldest_first[: len(again)]
        for place, item in enumerate(listed):
            last_shown[item] = request * 10 + place
    assert set(last_shown) == set(catalogue) - disliked
    codes = len(rig.codes("u")[0]) // 4
    assert codes < 1_300, "the state of the user was compacted"


def test_what_was_shown_to_one_user_is_new_to_another(rig: Rig) -> None:
    rig.add(ids("item", 10))
    assert sorted(rig.recs("u")) == sorted(rig.recs("v")) == ids("item", 10)


def test_a_reaction_counts_before_the_first_list(rig: Rig) -> None:
    rig.add(ids("item", 10))
    rig.react("u", likes=["item-1"], dislikes=["item-2"])
    rig.wait_counted(likes=1, dislikes=1)
    assert sorted(rig.recs("u")[:8]) == sorted({*ids("item", 10)} - {"item-1", "item-2"})


def test_a_list_is_short_only_when_everything_else_is_disliked(rig: Rig) -> None:
    rig.add(ids("item", 5))
    rig.react("u", dislikes=ids("item", 3))
    rig.wait_counted(dislikes=3)
    for _ in range(3):
        assert sorted(rig.recs("u")) == ["item-3", "item-4"]
    rig.react("u", dislikes=["item-3", "item-4"])
    rig.wait_counted(dislikes=5)
    assert rig.recs("u") == []


def test_a_disliked_item_stays_away_although_it_is_liked_as_well(rig: Rig) -> None:
    rig.add(ids("item", 3))
    rig.react("u", dislikes=["item-0"])
    rig.react("u", likes=["item-0"])
    rig.wait_counted(likes=1, dislikes=1)
    for _ in range(5):
        assert sorted(rig.recs("u")) == ["item-1", "item-2"]


# Ids


def test_numbers_as_item_ids(rig: Rig) -> None:
    assert rig.add([1, 2.5, "3", -4, 10**20]) == (5, 0)
    assert set(rig.recs("u")) == {"1", "2.5", "3", "-4", str(10**20)}
    rig.react("u", likes=[1, "2.5"], dislikes=[3])
    rig.wait_counted(likes=2, dislikes=1, unknown_items=0)
    assert rig.add(["1", "2.5"]) == (0, 0)


STRANGE: Final = [
    'a"b',
    "a\\b",
    "<script>alert(1)</script>".replace("/", "|"),
    "%2F",
    "%",
    "?k=5&explain=true",
    "#top",
    "~!*'();:@+$,[]{}",
    ".",
    "..",
    "..%2Fhealthcheck",
    "__proto__",
    "null",
    "-1",
    "*",
    "x" * 256,
]


def test_any_visible_ascii_is_an_item_id(rig: Rig) -> None:
    assert rig.add(STRANGE, [DRAMA] * len(STRANGE)) == (len(STRANGE), 0)
    assert sorted(rig.recs("u", k=100)) == sorted(STRANGE)
    rig.react("u", likes=STRANGE)
    rig.wait_counted(likes=len(STRANGE), unknown_items=0)
    assert rig.log()["item_id"].to_list() == STRANGE
    rig.wait_published()
    for item in (item for item in STRANGE if set(item) != {"."}):
        assert len(rig.get(f"/similar/{quote(item, safe='')}").json()["item_ids"]) == 10


@pytest.mark.parametrize("user", [user for user in STRANGE if set(user) != {"."}])
def test_any_visible_ascii_is_a_user_id(rig: Rig, user: str) -> None:
    rig.add(ids("item", 4))
    rig.react(user, dislikes=["item-0"])
    rig.wait_counted(dislikes=1)
    assert sorted(rig.recs(user)) == ids("item", 4)[1:]


def test_long_uuids_as_user_ids(rig: Rig) -> None:
    rig.add(ids("item", 30))
    user = uuid.uuid4().hex * 2
    first = rig.recs(user)
    assert not set(first) & set(rig.recs(user))
    rig.react(user, likes=first[:2], dislikes=first[2:])
    rig.wait_counted(likes=2, dislikes=8)
    assert set(rig.log()["user_id"]) == {user}


# add_items


@pytest.mark.parametrize(
    "genres", [pytest.param(None, id="absent"), pytest.param([], id="empty"), pytest.param([[], []], id="empty lists")]
)
def test_items_without_genres(rig: Rig, genres: Sequence[Sequence[str]] | None) -> None:
    assert rig.add(["a", "b"], genres) == (2, 0)
    assert sorted(rig.recs("u")) == ["a", "b"]
    rig.wait_published()
    assert sorted(rig.get("/top").json()["item_ids"]) == ["a", "b"]
    assert rig.catalogue()["genres"] == []


def test_an_empty_batch_of_items(rig: Rig) -> None:
    assert rig.add([], []) == (0, 0)
    assert rig.add([]) == (0, 0)
    assert rig.catalogue()["items"] == 0


def test_the_last_of_repeated_ids_counts(rig: Rig) -> None:
    assert rig.add(["a", "a", "b", "a"], [["Drama"], ["Horror"], ["Drama"], ["Comedy"]]) == (2, 0)
    assert rig.catalogue()["items"] == 2
    assert sorted(rig.recs("u")) == ["a", "b"]
    rig.wait_published()
    assert rig.get("/top", genre="Comedy").json()["item_ids"] == ["a"]
    assert rig.get("/top", genre="Drama").json()["item_ids"] == ["b"]
    assert rig.get("/top", genre="Horror").status_code == 404


def test_repeated_genres_of_one_item_count_once(rig: Rig) -> None:
    rig.add(["a"], [["Drama", "Drama", "Комедия", "Drama"]])
    assert rig.catalogue()["genres"] == ["Drama", "Комедия"]


def test_an_upsert_replaces_the_genres_and_nothing_else(rig: Rig) -> None:
    rig.add(["a", "b"], [["Drama"], ["Drama"]])
    shown = rig.recs("u", k=2)
    assert rig.add(["a", "b"], [["Drama"], ["Drama"]]) == (0, 0)
    assert rig.add(["b", "c"], [["Comedy"], ["Drama"]]) == (1, 1)
    assert rig.catalogue()["items"] == 3
    rig.wait_published()
    assert rig.get("/top", genre="Comedy").json()["item_ids"] == ["b"]
    assert sorted(rig.get("/top", genre="Drama").json()["item_ids"]) == ["a", "c"]
    assert rig.recs("u", k=1) == ["c"], f"{shown} were shown before the upsert"


def test_more_genres_than_fit(rig: Rig) -> None:
    rig.add(ids("item", 300), [[f"Genre {n}"] for n in range(300)])
    assert len(rig.catalogue()["genres"]) == 256
    assert len(rig.recs("u", k=300)) == 300
    rig.wait_published()
    assert len(rig.get("/top").json()["item_ids"]) == 10


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
    artifacts = rig.ask(lambda state: fetch_current(state))
    assert artifacts.likes.sum() == pytest.approx(1)
    assert np.isfinite(artifacts.mean).all()
    assert np.isfinite(artifacts.sd).all()


async def fetch_current(state: Any) -> Any:
    return await state.fetch(await state.current())


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


def test_an_item_without_a_published_vector_has_no_neighbours_yet(rig: Rig) -> None:
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


def metric(rig: Rig, service: Service, name: str) -> float:
    answer = rig.http.get(service.url + "/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return math.fsum(float(line.split()[-1]) for line in answer.text.splitlines() if line.startswith(name))


def test_metrics_count(rig: Rig) -> None:
    before = metric(rig, rig.collector, "reactions_accepted_total")
    rig.react("u", likes=["a", "b"], dislikes=["c"])
    assert metric(rig, rig.collector, "reactions_accepted_total") == before + 3
    assert metric(rig, rig.recommendations, "lists_from_memory_total") == 0
    assert metric(rig, rig.recommendations, "impressions_lost_total") == 0


def test_every_list_comes_back_as_impressions(rig: Rig) -> None:
    rig.add(ids("item", 50))
    shown = {item: rig.recs(item, k=7) for item in ids("user", 10)}
    rig.wait_counted(impressions=70)
    counted = rig.counters()
    assert counted["applied"] == 70
    assert all(repeated(listed) == {} for listed in shown.values())


def test_lists_follow_reactions_without_waiting_for_a_publication(rig: Rig) -> None:
    """The pipeline appends reactions to the user's state as it drains them."""
    rig.add(ids("item", 12))
    rig.react("u", dislikes=ids("item", 11))
    wait_until(lambda: rig.history("u") == {(n, DISLIKE) for n in range(11)}, 10, "the dislikes are in the state")
    assert rig.recs("u") == ["item-11"]


def test_the_body_is_json_whatever_the_content_type_says(rig: Rig) -> None:
    answer = rig.http.post(
        rig.recommendations.url + "/add_items",
        content=dumped({"item_ids": ["a"]}),
        headers={"content-type": "text/plain"},
    )
    assert answer.status_code == 200
    assert rig.recs("u") == ["a"]
