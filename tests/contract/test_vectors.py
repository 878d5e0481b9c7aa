"""What the vector store promises: on a local folder, and on a server when QDRANT_URL names one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.stores.ports import StoreMisconfigured, StoreUnavailable, VectorStore
from recsys.stores.qdrant_vectors import QdrantVectors


@pytest.fixture(params=["local", "server"])
def vectors(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorStore]:
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
PAYLOADS = [{"item_id": name} for name in "abc"]


def test_nearest_by_cosine(vectors: VectorStore) -> None:
    vectors.upsert(7, ROWS, [10, 11, 12], PAYLOADS)
    found = vectors.nearest(7, ROWS[0], 2)
    assert [position for position, _ in found] == [10, 11]
    assert [score for _, score in found] == pytest.approx([1.0, 0.8], abs=1e-5)


def test_upsert_replaces(vectors: VectorStore) -> None:
    vectors.upsert(7, ROWS, [0, 1, 2], PAYLOADS)
    vectors.upsert(7, ROWS[2:], [0], PAYLOADS[:1])
    assert vectors.count(7) == 3
    assert {position for position, score in vectors.nearest(7, ROWS[2], 3) if score > 0.99} == {0, 2}


def test_an_epoch_without_vectors_is_empty(vectors: VectorStore) -> None:
    assert vectors.nearest(7, ROWS[0], 5) == []
    assert vectors.count(7) == 0


def test_other_epochs_are_dropped_and_other_prefixes_kept(vectors: VectorStore) -> None:
    assert isinstance(vectors, QdrantVectors)
    foreign = QdrantVectors(vectors._client, "elsewhere", f"{vectors._prefix}_x")
    for store, epoch in ((vectors, 7), (vectors, 8), (foreign, 7)):
        store.upsert(epoch, ROWS, [0, 1, 2], PAYLOADS)
    vectors.drop_all_but(8)
    assert [vectors.count(7), vectors.count(8), foreign.count(7)] == [0, 3, 3]
    foreign.drop_all_but(0)


def test_more_dimensions_start_the_collection_anew(vectors: VectorStore) -> None:
    vectors.upsert(7, ROWS, [0, 1, 2], PAYLOADS)
    vectors.upsert(7, unit([1, 0, 0, 1]), [5], PAYLOADS[:1])
    assert vectors.count(7) == 1


def test_vectors_outlive_the_process(tmp_path: Path) -> None:
    first = QdrantVectors.local(tmp_path, "test")
    first.upsert(7, ROWS, [0, 1, 2], PAYLOADS)
    first.close()
    second = QdrantVectors.local(tmp_path, "test")
    assert second.count(7) == 3
    second.close()


def test_a_held_folder_says_so(tmp_path: Path) -> None:
    holder = QdrantVectors.local(tmp_path, "test")
    with pytest.raises(StoreMisconfigured, match="another process holds"):
        QdrantVectors.local(tmp_path, "test")
    holder.close()


def test_a_server_that_is_away() -> None:
    store = QdrantVectors.server("http://127.0.0.1:1", "test")
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1"):
        store.count(7)
    store.close()


def test_an_unreadable_folder_starts_anew(tmp_path: Path) -> None:
    first = QdrantVectors.local(tmp_path, "test")
    first.upsert(7, ROWS, [0, 1, 2], PAYLOADS)
    first.close()
    (database,) = tmp_path.rglob("*.sqlite")
    database.write_bytes(b"no database" * 1_000)
    second = QdrantVectors.local(tmp_path, "test")
    assert second.count(7) == 0
    second.upsert(7, ROWS, [0, 1, 2], PAYLOADS)
    assert second.count(7) == 3
    second.close()
