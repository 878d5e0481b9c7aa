"""Bad requests: a 4xx that names the field, nothing published, nothing changed.

The pipeline is not started, so whatever a request published would stay in the queue.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from recsys.contract import MAX_REACTIONS_PER_CALL
from recsys.limits import MAX_ID_CHARS
from recsys.stores.connect import State
from recsys.stores.redis_scripts import USERS
from tests.servers import RedisServer, Service
from tests.service.rig import Rig, dumped

MIB: Final = 1024 * 1024
ORIGINS: Final = ("https://one.example", "https://two.example")


@pytest.fixture(scope="module")
def rig(folder: Path, redis_server: RedisServer) -> Iterator[Rig]:
    made = Rig(folder, redis_server.url, redis_server.url, MAX_BODY_MIB="1", CORS_ORIGINS=", ".join(ORIGINS))
    made.children = (made.collector, made.recommendations)
    made.tracebacks_allowed = True  # one test looks for one
    with made:
        made.add(["known", "other"], [["Drama"], []])
        made.react("somebody", likes=["known"])
        yield made


def contents(rig: Rig) -> dict[str, Any]:
    """Everything that a request could have changed."""

    async def read(state: State) -> dict[str, Any]:
        epoch = await state.epochs.current()
        return {
            "epoch": epoch,
            "catalogue": await state.catalogue.since(epoch, 0),
            "exploration": await state.exploration.waiting(epoch),
            "counters": await state.ledger.counters(epoch),
        }

    return {"queued": rig.depth(), "users": rig.raw("HLEN", name=USERS), **rig.ask(read)}


INTERACT: Final = {"user_id": "u", "item_ids": ["known"], "actions": ["like"]}
ADD_ITEMS: Final = {"item_ids": ["known", "new"], "genres": [["Comedy"], []]}

BAD_IDS: Final[dict[str, Any]] = {
    "empty": "",
    "null": None,
    "true": True,
    "list": ["x"],
    "object": {"x": 1},
    "slash": "a/b",
    "space": "a b",
    "unicode": "фильм",
    "emoji": "🎬",
    "zero byte": "a\x00b",
    "line end": "a\n",
    "delete": "a\x7f",
    "too long": "x" * (MAX_ID_CHARS + 1),
    "10,000 characters": "x" * 10_000,
}
NOT_LISTS: Final[dict[str, Any]] = {
    "null": None,
    "text": "known",
    "number": 1,
    "object": {"0": "known"},
    "false": False,
}
BAD_ACTIONS: Final[dict[str, Any]] = {
    "too few": [],
    "too many": ["like", "like"],
    "unknown": ["love"],
    "capitals": ["LIKE"],
    "empty": [""],
    "number": [1],
    "null in it": [None],
    "nested": [["like"]],
}
BAD_TIMESTAMPS: Final[dict[str, Any]] = {
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "-Infinity": float("-inf"),
    "text": "yesterday",
    "text NaN": "NaN",
    "list": [1.0],
    "object": {},
}
BAD_GENRES: Final[dict[str, Any]] = {
    "too few": [["Drama"]],
    "too many": [["Drama"], [], []],
    "not nested": ["Drama", "Comedy"],
    "number": [[1], []],
    "null in it": [[None], []],
    "empty name": [[""], []],
    "long name": [["x" * 101], []],
    "text": "Drama",
    "object": {},
}
BAD_BODIES: Final[dict[str, bytes]] = {
    "empty": b"",
    "blank": b"  \n",
    "unfinished": b'{"user_id": "u", "item_ids": ["known"',
    "single quotes": b"{'user_id': 'u'}",
    "two documents": dumped(INTERACT | ADD_ITEMS) * 2,
    "trailing comma": b'{"user_id": "u",}',
    "form": b"user_id=u&item_ids=known",
    "null": b"null",
    "list": b"[]",
    "text": b'"known"',
    "number": b"1",
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"item_ids":' * 50_000,
    "deep and closed": b'{"item_ids":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "invalid UTF-8": b'{"user_id": "\xff\xfe", "item_ids": ["\xff"], "actions": ["like"]}',
    "UTF-16": b'{"user_id": "u"}'.decode().encode("utf-16"),
    "lone surrogate": b'{"user_id": "\\ud800", "item_ids": ["\\udfff"], "actions": ["like"]}',
    "huge number": b'{"item_ids": [' + b"9" * 10_000 + b"]}",
}


def changed(valid: dict[str, Any], field: str, bad: dict[str, Any]) -> list[Any]:
    return [pytest.param(dumped(valid | {field: value}), field, id=f"{field}: {name}") for name, value in bad.items()]


def lacking(valid: dict[str, Any], field: str) -> Any:
    return pytest.param(dumped({k: v for k, v in valid.items() if k != field}), field, id=f"{field}: missing")


def inside(bad: dict[str, Any], second: Any) -> dict[str, Any]:
    """As the second entry of a list, so that the answer has to say which entry it is."""
    return {f"entry {name}": [second, value] for name, value in bad.items()}


BAD_INTERACTS: Final = [
    *changed(INTERACT, "user_id", BAD_IDS | {"number": 7}),
    *changed(INTERACT | {"actions": ["like"] * 2}, "item_ids", inside(BAD_IDS, "known")),
    *changed(INTERACT, "item_ids", NOT_LISTS | {"too many": ["known"] * (MAX_REACTIONS_PER_CALL + 1)}),
    *changed(INTERACT, "actions", NOT_LISTS | BAD_ACTIONS),
    *changed(INTERACT, "timestamp", BAD_TIMESTAMPS),
    pytest.param(dumped(INTERACT)[:-1] + b', "timestamp": 1e999}', "timestamp", id="timestamp: 1e999"),
    *(lacking(INTERACT, field) for field in INTERACT),
]
BAD_ADD_ITEMS: Final = [
    *changed(ADD_ITEMS, "item_ids", inside(BAD_IDS, "new") | NOT_LISTS),
    *changed(ADD_ITEMS, "genres", BAD_GENRES),
    lacking(ADD_ITEMS, "item_ids"),
]
BAD_K: Final = ("0", "-1", "abc", "10001", "1001", "", "1.5", "NaN", "9" * 30, "1 0")
BAD_PATH_IDS: Final = {
    "empty": "",
    "slash": "a/b",
    "escaped slash": "a%2Fb",
    "space": "a%20b",
    "unicode": "%D1%84",
    "zero byte": "%00",
    "invalid UTF-8": "%FF",
    "10,000 characters": "x" * 10_000,
}
BAD_PATHS: Final = [
    *(pytest.param(f"/recs/{path}", "user_id", id=f"recs: {name}") for name, path in BAD_PATH_IDS.items()),
    *(pytest.param(f"/recs/u?k={k}", "k", id=f"recs: k={k}") for k in BAD_K),
    *(pytest.param(f"/top?k={k}", "k", id=f"top: k={k}") for k in BAD_K),
    *(pytest.param(f"/similar/known?k={k}", "k", id=f"similar: k={k}") for k in BAD_K),
    pytest.param("/recs/u?explain=perhaps", "explain", id="recs: explain"),
    pytest.param("/similar/a%20b", "item_id", id="similar: space"),
    pytest.param("/similar/" + "x" * 10_000, "item_id", id="similar: 10,000 characters"),
]


def post(rig: Rig, service: Service, path: str, body: bytes) -> tuple[int, Any]:
    answer = rig.http.post(service.url + path, content=body)
    return answer.status_code, answer.json()


def assert_names(field: str, answer: Any) -> None:
    locations = [error["loc"] for error in answer["detail"]]
    assert any(field in location for location in locations), answer
    assert all(error["msg"] for error in answer["detail"])


def assert_refused(rig: Rig, service: Service, path: str, body: bytes, field: str) -> None:
    before = contents(rig)
    status, answer = post(rig, service, path, body)
    assert status == 422
    assert_names(field, answer)
    assert contents(rig) == before


@pytest.mark.parametrize(("body", "field"), BAD_INTERACTS)
def test_interact_refuses(rig: Rig, body: bytes, field: str) -> None:
    assert_refused(rig, rig.collector, "/interact", body, field)


@pytest.mark.parametrize(("body", "field"), BAD_ADD_ITEMS)
def test_add_items_refuses(rig: Rig, body: bytes, field: str) -> None:
    assert_refused(rig, rig.recommendations, "/add_items", body, field)


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in BAD_BODIES.items()])
def test_what_is_no_json_object_is_refused(rig: Rig, body: bytes) -> None:
    assert_refused(rig, rig.collector, "/interact", body, "body")
    assert_refused(rig, rig.recommendations, "/add_items", body, "body")


@pytest.mark.parametrize(("path", "field"), BAD_PATHS)
def test_get_refuses(rig: Rig, path: str, field: str) -> None:
    before = contents(rig)
    answer = rig.http.get(rig.recommendations.url + path)
    assert answer.status_code == 422
    assert_names(field, answer.json())
    assert contents(rig) == before


@pytest.mark.parametrize("path", ["a%0A", "a%0Ab"])
def test_a_line_end_in_a_path_is_refused(rig: Rig, path: str) -> None:
    answer = rig.http.get(rig.recommendations.url + f"/recs/{path}")
    assert answer.status_code == 422
    assert_names("user_id", answer.json())


def test_the_entry_at_fault_is_named(rig: Rig) -> None:
    _, answer = post(rig, rig.collector, "/interact", dumped(INTERACT | {"item_ids": ["a", "b", ""]}))
    assert answer["detail"][0]["loc"] == ["body", "item_ids", 2]


def test_a_refusal_is_short_however_long_the_body(rig: Rig) -> None:
    body = dumped(INTERACT | {"item_ids": ["no good"] * 10_000, "actions": ["love"] * 10_000})
    assert len(rig.http.post(rig.collector.url + "/interact", content=body).content) < 2_000


# Bodies over the limit, here 1 MiB.

TARGETS: Final = pytest.mark.parametrize(
    ("name", "path", "valid"), [("collector", "/interact", INTERACT), ("recommendations", "/add_items", ADD_ITEMS)]
)


def padded(valid: dict[str, Any], size: int) -> bytes:
    return dumped(valid).ljust(size)


def pieces(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


@TARGETS
@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
def test_a_body_over_the_limit_is_too_large(
    rig: Rig, name: str, path: str, valid: dict[str, Any], chunked: bool
) -> None:
    before = contents(rig)
    service: Service = getattr(rig, name)
    body = padded(valid, MIB + 1)
    answer = rig.http.post(service.url + path, content=pieces(body) if chunked else body)
    assert answer.status_code == 413
    assert contents(rig) == before
    assert service.health() == 200


@TARGETS
def test_a_body_at_the_limit_is_read(rig: Rig, name: str, path: str, valid: dict[str, Any]) -> None:
    bad = valid | {"item_ids": [""]}
    assert post(rig, getattr(rig, name), path, padded(bad, MIB))[0] == 422


@TARGETS
def test_too_large_is_said_in_json(rig: Rig, name: str, path: str, valid: dict[str, Any]) -> None:
    service: Service = getattr(rig, name)
    answer = rig.http.post(service.url + path, content=padded(valid, MIB + 1))
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["detail"]


@TARGETS
def test_a_client_that_hangs_up_halfway_changes_nothing_and_is_no_server_error(
    rig: Rig, name: str, path: str, valid: dict[str, Any]
) -> None:
    service: Service = getattr(rig, name)
    before, start = contents(rig), len(service.output)
    port = int(service.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{{".encode())
    assert service.health() == 200  # asked for later, so the other request is at its end
    assert "Traceback" not in service.output[start:]
    assert contents(rig) == before


@pytest.mark.parametrize("head", ["content-length: -1", "content-length: many", "transfer-encoding: nonsense"])
@TARGETS
def test_nonsense_headers_are_no_server_error(rig: Rig, name: str, path: str, valid: dict[str, Any], head: str) -> None:
    before = contents(rig)
    service: Service = getattr(rig, name)
    port = int(service.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(f"POST {path} HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n".encode() + dumped(valid))
        client.shutdown(socket.SHUT_WR)
        answer = client.recv(65_536)
    assert answer == b"" or 400 <= int(answer.split()[1]) < 500
    assert contents(rig) == before


@pytest.mark.parametrize(
    ("name", "method", "path", "status"),
    [
        ("collector", "GET", "/interact", 405),
        ("collector", "DELETE", "/interact", 405),
        ("collector", "GET", "/recs/u", 404),
        ("recommendations", "POST", "/recs/u", 405),
        ("recommendations", "GET", "/add_items", 405),
        ("recommendations", "PUT", "/add_items", 405),
        ("recommendations", "DELETE", "/cleanup", 405),
        ("recommendations", "POST", "/interact", 404),
    ],
)
def test_wrong_methods_and_paths(rig: Rig, name: str, method: str, path: str, status: int) -> None:
    before = contents(rig)
    service: Service = getattr(rig, name)
    assert rig.http.request(method, service.url + path, content=dumped(INTERACT)).status_code == status
    assert contents(rig) == before


@pytest.mark.parametrize("origin", ORIGINS)
def test_each_of_several_origins_is_allowed(rig: Rig, origin: str) -> None:
    """Written as people write lists: with a space after the comma."""
    answer = rig.http.get(rig.collector.url + "/healthcheck", headers={"origin": origin})
    assert answer.headers.get("access-control-allow-origin") == origin


def test_other_origins_are_not_allowed(rig: Rig) -> None:
    answer = rig.http.get(rig.collector.url + "/healthcheck", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
