"""What the vector store promises: on a local folder, and on a server when QDRANT_URL names one."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.stores.ports import COLLABORATIVE, CONTENT, StoreMisconfigured, StoreUnavailable
from recsys.stores.qdrant_vectors import QdrantVectors


@pytest.fixture(params=["local", "server"])
def vectors(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[QdrantVectors]:
    prefix = f"test_{uuid.uuid4().hex[:8]}"
    url = os.environ.get("QDRANT_URL")
    if request.param == "server" and not url:
        pytest.skip("no Qdrant server: set QDRANT_URL to one (no package registry has it)")
    store = (
        QdrantVectors.local(tmp_path, prefix) if request.param == "local" else QdrantVectors.server(url or "", prefix)
    )
    yield store
    if request.param == "server":
        store.drop_all_but(0)
    store.close()


def unit(*rows: list[float]) -> NDArray[np.float32]:
    array = np.array(rows, dtype=np.float32)
    return array / np.linalg.norm(array, axis=1, keepdims=True)


ROWS = unit([1, 0, 0], [0.8, 0.6, 0], [0, 0, 1])
TASTES = np.array([[0, 1], [0, 0], [0.6, 0.8]], dtype=np.float32)  # the second item has none
BOTH = {CONTENT: ROWS, COLLABORATIVE: TASTES}
PAYLOADS = [{"item_id": name} for name in "abc"]


def rows(*chosen: int) -> dict[str, NDArray[np.float32]]:
    return {name: vectors[list(chosen)] for name, vectors in BOTH.items()}


def nearest(store: QdrantVectors, vector: NDArray[np.float32], k: int, name: str) -> list[tuple[int, float]]:
    """(position, cosine) of k items of epoch 7, as anybody may ask Qdrant."""
    query = {"query": vector.tolist(), "using": name, "limit": k, "with_payload": False}
    found = store._client.query_points(f"{store._prefix}_7", **query).points
    return [(int(point.id), point.score) for point in found]


def near(store: QdrantVectors, name: str, vector: NDArray[np.float32]) -> dict[int, float]:
    """Cosine of every item of epoch 7 that has a vector of this name."""
    return {position: pytest.approx(score, abs=1e-5) for position, score in nearest(store, vector, 10, name)}


def count(store: QdrantVectors, epoch: int = 7) -> int:
    collection = f"{store._prefix}_{epoch}"
    return store._client.count(collection).count if store._client.collection_exists(collection) else 0


def test_nearest_by_cosine(vectors: QdrantVectors) -> None:
    vectors.upsert(7, BOTH, [10, 11, 12], PAYLOADS)
    found = nearest(vectors, ROWS[0], 2, CONTENT)
    assert [position for position, _ in found] == [10, 11]
    assert [score for _, score in found] == pytest.approx([1.0, 0.8], abs=1e-5)


def test_upsert_replaces(vectors: QdrantVectors) -> None:
    vectors.upsert(7, BOTH, [0, 1, 2], PAYLOADS)
    vectors.upsert(7, rows(2), [0], PAYLOADS[:1])
    assert count(vectors) == 3
    assert {position for position, score in nearest(vectors, ROWS[2], 3, CONTENT) if score > 0.99} == {0, 2}


def test_names_are_searched_apart(vectors: QdrantVectors) -> None:
    vectors.upsert(7, BOTH, [10, 11, 12], PAYLOADS)
    assert near(vectors, CONTENT, ROWS[0]) == {10: 1.0, 11: 0.8, 12: 0.0}
    assert nearest(vectors, TASTES[0], 1, COLLABORATIVE) == [(10, pytest.approx(1.0))]


def test_a_row_of_zeros_is_a_vector_that_the_item_lacks(vectors: QdrantVectors) -> None:
    nothing = {name: np.zeros_like(rows) for name, rows in BOTH.items()}
    vectors.upsert(7, BOTH, [10, 11, 12], PAYLOADS)
    assert near(vectors, COLLABORATIVE, TASTES[0]) == {10: 1.0, 12: 0.8}
    vectors.upsert(7, {**nothing, COLLABORATIVE: TASTES}, [13, 12, 11], PAYLOADS)
    assert near(vectors, CONTENT, ROWS[0]) == {10: 1.0}
    assert near(vectors, COLLABORATIVE, TASTES[0]) == {10: 1.0, 11: 0.8, 13: 1.0}
    vectors.upsert(7, nothing, [10, 11, 13], PAYLOADS)
    assert count(vectors) == 4
    assert near(vectors, COLLABORATIVE, TASTES[0]) == near(vectors, CONTENT, ROWS[0]) == {}


def test_other_epochs_are_dropped_and_other_prefixes_kept(vectors: QdrantVectors) -> None:
    foreign = QdrantVectors(vectors._client, "elsewhere", f"{vectors._prefix}_x")
    for store, epoch in ((vectors, 7), (vectors, 8), (foreign, 7)):
        store.upsert(epoch, BOTH, [0, 1, 2], PAYLOADS)
    vectors.drop_all_but(8)
    assert [count(vectors), count(vectors, 8), count(foreign)] == [0, 3, 3]
    foreign.drop_all_but(0)


@pytest.mark.parametrize("name", [CONTENT, COLLABORATIVE])
def test_more_dimensions_start_the_collection_anew(vectors: QdrantVectors, name: str) -> None:
    vectors.upsert(7, BOTH, [0, 1, 2], PAYLOADS)
    vectors.upsert(7, {**rows(0), name: unit([1, 0, 0, 1])}, [5], PAYLOADS[:1])
    assert count(vectors) == 1


def test_a_collection_of_an_earlier_version_starts_anew(vectors: QdrantVectors) -> None:
    """It knew content vectors only."""
    vectors.upsert(7, {CONTENT: ROWS}, [0, 1, 2], PAYLOADS)
    later = QdrantVectors(vectors._client, "the same", vectors._prefix)
    later.upsert(7, rows(0), [5], PAYLOADS[:1])
    assert count(later) == 1
    assert near(later, COLLABORATIVE, TASTES[0]) == {5: 1.0}


def test_vectors_outlive_the_process(tmp_path: Path) -> None:
    first = QdrantVectors.local(tmp_path, "test")
    first.upsert(7, BOTH, [0, 1, 2], PAYLOADS)
    first.close()
    second = QdrantVectors.local(tmp_path, "test")
    assert count(second) == 3
    assert near(second, COLLABORATIVE, TASTES[0]) == {0: 1.0, 2: 0.8}
    second.upsert(7, rows(2), [1], PAYLOADS[:1])
    assert near(second, COLLABORATIVE, TASTES[0]) == {0: 1.0, 1: 0.8, 2: 0.8}
    second.close()


def test_a_held_folder_says_so(tmp_path: Path) -> None:
    holder = QdrantVectors.local(tmp_path, "test")
    with pytest.raises(StoreMisconfigured, match="another process holds"):
        QdrantVectors.local(tmp_path, "test")
    holder.close()


class NoCollections(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"result": {"collections": []}, "status": "ok", "time": 0}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is it when ``run_all.sh`` looks for a server, nor by the clients of Redis and RabbitMQ."""
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with ThreadingHTTPServer(("127.0.0.1", 0), NoCollections) as server:
        threading.Thread(target=server.serve_forever).start()
        vectors = QdrantVectors.server(f"http://127.0.0.1:{server.server_port}", "test")
        try:
            vectors.drop_all_but(7)
        finally:
            vectors.close()
            server.shutdown()


def test_a_server_that_is_away() -> None:
    store = QdrantVectors.server("http://127.0.0.1:1", "test")
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1"):
        store.drop_all_but(7)
    store.close()


@pytest.mark.parametrize("damaged", ["*.sqlite", "meta.json"])
@pytest.mark.parametrize("content", [b"", b"no database" * 1_000, b"{}", b"[1]"])
def test_an_unreadable_folder_starts_anew(damaged: str, content: bytes, tmp_path: Path) -> None:
    first = QdrantVectors.local(tmp_path, "test")
    first.upsert(7, BOTH, [0, 1, 2], PAYLOADS)
    first.close()
    (file,) = tmp_path.rglob(damaged)
    file.write_bytes(content)
    second = QdrantVectors.local(tmp_path, "test")
    assert count(second) == 0
    second.upsert(7, BOTH, [0, 1, 2], PAYLOADS)
    assert count(second) == 3
    second.close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailable, match=f"{tmp_path}/file/vectors"):
        QdrantVectors.local(tmp_path / "file" / "vectors", "test")


def test_a_full_disk_is_a_store_that_is_away(tmp_path: Path) -> None:
    store = QdrantVectors.local(tmp_path, "test")
    store.upsert(7, BOTH, [0, 1, 2], PAYLOADS)
    store._client._client.collections["test_7"].storage.storage.execute("PRAGMA max_page_count=1")  # type: ignore[attr-defined]
    with pytest.raises(StoreUnavailable, match="full"):
        store.upsert(7, {CONTENT: np.ones((300, 3)), COLLABORATIVE: np.ones((300, 2))}, range(300), [{}] * 300)
    store.close()
