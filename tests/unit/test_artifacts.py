"""Artifacts cross a process boundary as bytes."""

from __future__ import annotations

import io
from dataclasses import fields, replace

import numpy as np
import pytest

from recsys.artifacts import TOP_LIST_SIZE, Artifacts, pack, unpack


def artifacts(items: int, genres: int) -> Artifacts:
    rng = np.random.default_rng(items)
    top = np.full((1 + genres, TOP_LIST_SIZE), -1, dtype=np.int32)
    top[:, : min(items, TOP_LIST_SIZE)] = np.arange(items)[:TOP_LIST_SIZE]
    return Artifacts(
        version="12.3",
        rows=12,
        mean=rng.random(items, dtype=np.float32),
        sd=rng.random(items, dtype=np.float32),
        order=rng.permutation(items).astype(np.int32),
        genre_rate=rng.random(genres, dtype=np.float32),
        genre_sd=rng.random(genres, dtype=np.float32),
        base_rate=1 / 3,
        base_sd=1 / 7,
        explore_share=0.2,
        loadings=rng.random((items, 4), dtype=np.float32),
        genre_variance=0.5,
        top=top,
        vectors=rng.random((items, 8), dtype=np.float32),
    )


@pytest.mark.parametrize(("items", "genres"), [(0, 0), (1, 0), (5, 3), (300, 20)])
def test_unpack_reverses_pack(items: int, genres: int) -> None:
    before = artifacts(items, genres)
    after = unpack(*pack(before))
    for name in (f.name for f in fields(Artifacts)):
        old, new = getattr(before, name), getattr(after, name)
        assert type(old) is type(new), name
        assert np.array_equal(old, new), name
        assert np.asarray(old).dtype == np.asarray(new).dtype, name


def test_items_without_loadings_take_no_room() -> None:
    full = artifacts(10_000, 3)
    few = replace(full, loadings=np.where(np.arange(10_000)[:, None] % 100 == 7, full.loadings, np.float32(0)))
    blob, vectors = pack(few)
    assert len(pack(full)[0]) - len(blob) > 0.98 * full.loadings.nbytes
    assert np.array_equal(unpack(blob, vectors).loadings, few.loadings)


def test_artifacts_of_a_version_that_packed_all_loadings_are_refused() -> None:
    made = artifacts(5, 3)
    arrays = {f.name: np.asarray(getattr(made, f.name)) for f in fields(Artifacts)}
    blob, vectors = io.BytesIO(), pack(made)[1]
    np.savez(blob, **{name: array for name, array in arrays.items() if name != "vectors"})
    with pytest.raises(ValueError, match="loadings"):
        unpack(blob.getvalue(), vectors)


def test_equal_artifacts_pack_to_equal_bytes() -> None:
    assert pack(artifacts(5, 3)) == pack(artifacts(5, 3))


def test_the_packed_vectors_change_only_with_the_vectors() -> None:
    made = artifacts(5, 3)
    blob, vectors = pack(made)
    newer, turned = pack(replace(made, version="13.3", rows=13)), pack(replace(made, vectors=-made.vectors))
    assert (newer[0] != blob, newer[1] == vectors) == (True, True)
    assert (turned[0] == blob, turned[1] != vectors) == (True, True)


@pytest.mark.parametrize("items", [0, 3, TOP_LIST_SIZE, TOP_LIST_SIZE + 1])
def test_a_top_list_has_no_padding(items: int) -> None:
    top = artifacts(items, 2).top_list(1)
    assert top.tolist() == list(range(min(items, TOP_LIST_SIZE)))
    assert top.dtype == np.int64


def test_pickled_objects_are_refused() -> None:
    values = {f.name: getattr(artifacts(2, 1), f.name) for f in fields(Artifacts)}
    buffer = io.BytesIO()
    np.savez(buffer, **(values | {"likes": np.array([object()])}))
    with pytest.raises(ValueError, match="allow_pickle"):
        unpack(buffer.getvalue(), buffer.getvalue())


def test_artifacts_cannot_be_reassigned() -> None:
    made = artifacts(2, 1)
    with pytest.raises(AttributeError):
        made.version = "13"  # type: ignore[misc]
    assert replace(made, version="13").version == "13"
