"""What the vector store promises: on a local folder, and on a server when QDRANT_URL names one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.stores.ports import COLLABORATIVE, CONTENT, StoreMisconfigured, StoreUnavailable, VectorStore
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
TASTES = np.array([[0, 1], [0, 0], [0.6, 0.8]], dtype=np.float32)  # the second item has none
BOTH = {CONTENT: ROWS, COLLABORATIVE: TASTES}
PAYLOADS = [{"item_id": name} for name in "abc"]


def rows(*chosen: int) -> dict[str, NDArray[np.float32]]:
    return {name: vectors[list(chosen)] for name, vectors in BOTH.items()}


def near(store: VectorStore, name: str, vector: NDArray[np.float32]) -> dict[int, float]:
    """Cosine of every item of epoch 7 that has a vector of this name."""
    return {position: pytest.approx(score, abs=1e-5) for position, score in store.nearest(7, vector, 10, name)}


def test_nearest_by_cosine(vectors: VectorStore) -> None:
    vectors.upsert(7, BOTH, [10, 11, 12], PAYLOADS)
    found = vectors.nearest(7, ROWS[0], 2, CONTENT)
    assert [position for position, _ in found] == [10, 11]
    assert [score for _, score in found] == pytest.approx([1.0, 0.8], abs=1e-5)


def test_upsert_replaces(vectors: VectorStore) -> None:
    vectors.upsert(7, BOTH, [0, 1, 2], PAYLOADS)
    vectors.upsert(7, rows(2), [0], PAYLOADS[:1])
    assert vectors.count(7) == 3
    assert {position for position, score in vectors.nearest(7, ROWS[2], 3, CONTENT) if score > 0.99} == {0, 2}


def test_names_are_searched_apart(vectors: VectorStore) -> None:
    vectors.upsert(7, BOTH, [10, 11, 12], PAYLOADS)
    assert near(vectors, CONTENT, ROWS[0]) == {10: 1.0, 11: 0.8, 12: 0.0}
    assert vectors.nearest(7, TASTES[0], 1, COLLABORATIVE) == [(10, pytest.approx(1.0))]


def test_a_row_of_zeros_is_a_vector_that_the_item_lacks(vectors: VectorStore) -> None:
    nothing = {name: np.zeros_like(rows) for name, rows in BOTH.items()}
    vectors.upsert(7, BOTH, [10, 11, 12], PAYLOADS)
    assert near(vectors, COLLABORATIVE, TASTES[0]) == {10: 1.0, 12: 0.8}
    vectors.upsert(7, {**nothing, COLLABORATIVE: TASTES}, [13, 12, 11], PAYLOADS)
    assert near(vectors, CONTENT, ROWS[0]) == {10: 1.0}
    assert near(vectors, COLLABORATIVE, TASTES[0]) == {10: 1.0, 11: 0.8, 13: 1.0}
    vectors.upsert(7, nothing, [10, 11, 13], PAYLOADS)
    assert vectors.count(7) == 4
    assert near(vectors, COLLABORATIVE, TASTES[0]) == near(vectors, CONTENT, ROWS[0]) == {}


def test_an_epoch_without_vectors_is_empty(vectors: VectorStore) -> None:
    assert vectors.nearest(7, ROWS[0], 5, CONTENT) == []
    assert vectors.count(7) == 0


def test_other_epochs_are_dropped_and_other_prefixes_kept(vectors: VectorStore) -> None:
    assert isinstance(vectors, QdrantVectors)
    foreign = QdrantVectors(vectors._client, "elsewhere", f"{vectors._prefix}_x")
    for store, epoch in ((vectors, 7), (vectors, 8), (foreign, 7)):
        store.upsert(epoch, BOTH, [0, 1, 2], PAYLOADS)
    vectors.drop_all_but(8)
    assert [vectors.count(7), vectors.count(8), foreign.count(7)] == [0, 3, 3]
    foreign.drop_all_but(0)


@pytest.mark.parametrize("name", [CONTENT, COLLABORATIVE])
def test_more_dimensions_start_the_collection_anew(vectors: VectorStore, name: str) -> None:
    vectors.upsert(7, BOTH, [0, 1, 2], PAYLOADS)
    vectors.upsert(7, {**rows(0), name: unit([1, 0, 0, 1])}, [5], PAYLOADS[:1])
    assert vectors.count(7) == 1


def test_a_collection_of_an_earlier_version_starts_anew(vectors: VectorStore) -> None:
    """It knew content vectors only."""
    assert isinstance(vectors, QdrantVectors)
    vectors.upsert(7, {CONTENT: ROWS}, [0, 1, 2], PAYLOADS)
    later = QdrantVectors(vectors._client, "the same", vectors._prefix)
    later.upsert(7, rows(0), [5], PAYLOADS[:1])
    assert later.count(7) == 1
    assert near(later, COLLABORATIVE, TASTES[0]) == {5: 1.0}


def test_vectors_outlive_the_process(tmp_path: Path) -> None:
    first = QdrantVectors.local(tmp_path, "test")
    first.upsert(7, BOTH, [0, 1, 2], PAYLOADS)
    first.close()
    second = QdrantVectors.local(tmp_path, "test")
    assert second.count(7) == 3
    assert near(second, COLLABORATIVE, TASTES[0]) == {0: 1.0, 2: 0.8}
    second.upsert(7, rows(2), [1], PAYLOADS[:1])
    assert near(second, COLLABORATIVE, TASTES[0]) == {0: 1.0, 1: 0.8, 2: 0.8}
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
    first.upsert(7, BOTH, [0, 1, 2], PAYLOADS)
    first.close()
    (database,) = tmp_path.rglob("*.sqlite")
    database.write_bytes(b"no database" * 1_000)
    second = QdrantVectors.local(tmp_path, "test")
    assert second.count(7) == 0
    second.upsert(7, BOTH, [0, 1, 2], PAYLOADS)
    assert second.count(7) == 3
    second.close()
