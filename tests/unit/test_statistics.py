"""What the bandit finds out about the items, as bytes and back."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from recsys.recommenders.arrays import packed, unpacked
from recsys.recommenders.bandit.statistics import Statistics


def statistics(items: int, genres: int) -> Statistics:
    rng = np.random.default_rng(items)
    return Statistics(
        mean=rng.random(items, dtype=np.float32),
        sd=rng.random(items, dtype=np.float32),
        order=rng.permutation(items).astype(np.int32),
        genre_rate=rng.random(genres, dtype=np.float32),
        genre_sd=rng.random(genres, dtype=np.float32),
        base_rate=1 / 3,
        base_sd=1 / 7,
        explore_share=0.2,
        item_factors=rng.random((items, 4), dtype=np.float32),
        genre_variance=0.5,
    )


@pytest.mark.parametrize(("items", "genres"), [(0, 0), (1, 0), (5, 3), (300, 20)])
def test_loading_reverses_dumping(items: int, genres: int) -> None:
    before = statistics(items, genres)
    after = Statistics.load(before.dump())
    for name in (f.name for f in fields(Statistics)):
        old, new = getattr(before, name), getattr(after, name)
        assert type(old) is type(new), name
        assert np.array_equal(old, new), name
        assert np.asarray(old).dtype == np.asarray(new).dtype, name


def test_items_without_factors_take_no_room() -> None:
    full = statistics(10_000, 3)
    few = replace(full, item_factors=np.where(np.arange(10_000)[:, None] % 100 == 7, full.item_factors, np.float32(0)))
    blob = few.dump()
    assert len(full.dump()) - len(blob) > 0.98 * full.item_factors.nbytes
    assert np.array_equal(Statistics.load(blob).item_factors, few.item_factors)


def test_statistics_of_a_version_that_dumped_all_factors_are_refused() -> None:
    made = statistics(5, 3)
    blob = packed(**{f.name: np.asarray(getattr(made, f.name)) for f in fields(Statistics)})
    with pytest.raises(ValueError, match="item_factors"):
        Statistics.load(blob)


@pytest.mark.parametrize("name", ["mean", "genre_variance", "known"])
def test_statistics_of_a_version_with_other_fields_are_refused(name: str) -> None:
    arrays = unpacked(statistics(5, 3).dump())
    for other in ({key: array for key, array in arrays.items() if key != name}, arrays | {f"{name}_too": arrays[name]}):
        with pytest.raises(ValueError, match="statistics with the fields"):
            Statistics.load(packed(**other))


def test_equal_statistics_dump_to_equal_bytes() -> None:
    """So a version, which is their digest, changes only if something did."""
    made = statistics(5, 3)
    assert made.dump() == statistics(5, 3).dump()
    for f in fields(Statistics):
        assert replace(made, **{f.name: getattr(made, f.name) * 2}).dump() != made.dump(), f.name


def test_statistics_cannot_be_reassigned() -> None:
    made = statistics(2, 1)
    with pytest.raises(AttributeError):
        made.explore_share = 0.3  # type: ignore[misc]
    assert replace(made, explore_share=0.3).explore_share == 0.3
