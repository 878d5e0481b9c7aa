"""From counts and catalogue to artifacts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.artifacts import TOP_LIST_SIZE, pack
from recsys.catalogue import Catalogue
from recsys.contract import ItemRecord
from recsys.ranking.posterior import like_rates
from recsys.ranking.toplists import fair_top
from regular_pipeline.counts import Counts
from regular_pipeline.refresh import ALL_ITEMS, Snapshot, compute, content_vectors, top_lists, unknown_items

FAST = settings(deadline=None)
START = 1.7e9


def catalogue_of(*genres: str) -> Catalogue:
    """Items i0, i1, …; each letter is a genre."""
    catalogue = Catalogue()
    catalogue.extend(ItemRecord(id=f"i{n}", genres=tuple(of)) for n, of in enumerate(genres))
    return catalogue


def counts_of(likes: list[int], dislikes: list[int], half_life_days: float = 7.0) -> Counts:
    indices = [n for numbers in (likes, dislikes) for n, number in enumerate(numbers) for _ in range(number)]
    kinds = ["like"] * sum(likes) + ["dislike"] * sum(dislikes)
    counts = Counts(half_life_days)
    counts.add(pl.DataFrame({"kind": kinds, "item_index": indices, "received_at": [START] * len(kinds)}))
    return counts


def snapshot_of(catalogue: Catalogue, likes: list[int], dislikes: list[int], epoch: int = 1) -> Snapshot:
    return Snapshot.take(epoch, catalogue, counts_of(likes, dislikes))


def many(seed: int = 0, items: int = 300) -> tuple[Catalogue, Counts]:
    rng = np.random.default_rng(seed)
    catalogue = catalogue_of(*("".join(rng.choice(list("abcdef"), 2, replace=False)) for _ in range(items)))
    return catalogue, counts_of(rng.integers(0, 4, items).tolist(), rng.integers(0, 4, items).tolist())


def test_the_same_snapshot_gives_the_same_bytes() -> None:
    first, again = (compute(Snapshot.take(1, *many()), seed=3) for _ in range(2))
    assert pack(first) == pack(again)


def test_artifacts_hold_the_statistics_of_the_counts() -> None:
    catalogue, counts = many()
    made = compute(Snapshot.take(1, catalogue, counts), seed=0)
    likes, dislikes, exposures = counts.decayed()
    rates = like_rates(likes, dislikes, exposures, catalogue.genres())
    assert made.rows == counts.rows
    assert np.array_equal(made.likes, likes)
    assert np.array_equal(made.dislikes, dislikes)
    assert np.array_equal(made.exposures, exposures)
    assert np.array_equal(made.mean, rates.mean)
    assert np.array_equal(made.sd, rates.sd)
    assert np.array_equal(made.genre_rate, rates.genre_rate)
    assert made.base_rate == rates.base_rate


def test_order_holds_every_item_by_rate() -> None:
    made = compute(Snapshot.take(1, *many()), seed=0)
    assert sorted(made.order.tolist()) == list(range(300))
    assert np.all(np.diff(made.mean[made.order]) <= 0)


@pytest.mark.parametrize(("seed", "epoch"), [(1, 1), (0, 2)], ids=["seed", "epoch"])
def test_only_equal_rates_depend_on_seed_and_epoch(seed: int, epoch: int) -> None:
    snapshot = Snapshot.take(1, *many())
    made, other = compute(snapshot, 0), compute(replace(snapshot, epoch=epoch), seed)
    assert not np.array_equal(made.order, other.order)
    assert np.array_equal(made.mean[made.order], other.mean[other.order])


def test_equal_items_are_not_in_the_order_of_the_catalogue() -> None:
    made = compute(snapshot_of(catalogue_of(*["a"] * 50), [], []), seed=0)
    assert made.order.tolist() != list(range(50))


def test_top_lists_name_the_best_items_of_each_genre() -> None:
    catalogue = catalogue_of("a", "b", "ab", "", "b")
    made = compute(snapshot_of(catalogue, [9, 5, 7, 3, 1], [0] * 5), seed=0)
    lists = top_lists(made, catalogue)
    assert list(lists) == [ALL_ITEMS, "genre:a", "genre:b"]
    assert lists["genre:a"] == ["i0", "i2"]
    assert set(lists["genre:b"]) == {"i1", "i2", "i4"}
    assert sorted(lists[ALL_ITEMS]) == ["i0", "i1", "i2", "i3", "i4"]
    by_rate = [catalogue.ids[position] for position in made.order]
    assert all(sorted(names, key=by_rate.index) == names for names in lists.values())


def test_top_lists_hold_at_most_a_hundred_items_of_their_genre() -> None:
    catalogue, counts = many(items=600)
    made = compute(Snapshot.take(1, catalogue, counts), seed=0)
    assert made.top.shape == (1 + len(catalogue.genre_names), TOP_LIST_SIZE)
    assert made.top_list(0).tolist() == fair_top(made.order, catalogue.genres(), TOP_LIST_SIZE).tolist()
    for column, _ in enumerate(catalogue.genre_names):
        of_genre = [p for p in made.order.tolist() if catalogue.genres()[p, column]]
        assert made.top_list(1 + column).tolist() == of_genre[:TOP_LIST_SIZE]


def test_lists_of_genres_younger_than_the_artifacts_wait() -> None:
    catalogue = catalogue_of("a", "b")
    made = compute(snapshot_of(catalogue, [], []), seed=0)
    catalogue.extend([ItemRecord(id="new", genres=("c",))])
    assert list(top_lists(made, catalogue)) == [ALL_ITEMS, "genre:a", "genre:b"]


def test_an_empty_catalogue_gives_empty_artifacts() -> None:
    made = compute(snapshot_of(Catalogue(), [], []), seed=0)
    assert (len(made.mean), made.top.tolist(), len(made.vectors)) == (0, [[-1] * TOP_LIST_SIZE], 0)
    assert top_lists(made, Catalogue()) == {ALL_ITEMS: []}


def test_items_without_events_are_in_the_artifacts() -> None:
    made = compute(snapshot_of(catalogue_of("a", "b", "c"), [1], [0]), seed=0)
    assert len(made.mean) == len(made.likes) == len(made.order) == 3


def test_a_snapshot_does_not_change_while_the_pipeline_drains() -> None:
    catalogue, counts = catalogue_of("a", "b"), counts_of([1, 0], [0, 1])
    snapshot = Snapshot.take(1, catalogue, counts)
    before = pack(compute(snapshot, 0))
    catalogue.extend([ItemRecord(id="i0", genres=("b",)), ItemRecord(id="new", genres=("c",))])
    counts.add(pl.DataFrame({"kind": ["like"], "item_index": [1], "received_at": [START + 1e7]}))
    assert pack(compute(snapshot, 0)) == before


def test_the_version_changes_with_rows_and_with_items() -> None:
    catalogue, counts = catalogue_of("a"), counts_of([1], [0])
    versions = [Snapshot.take(1, catalogue, counts).version]
    counts.add(pl.DataFrame({"kind": ["like"], "item_index": [-1], "received_at": [START]}))
    versions.append(Snapshot.take(1, catalogue, counts).version(0))
    catalogue.extend([ItemRecord(id="i0", genres=("b",))])
    versions.append(Snapshot.take(1, catalogue, counts).version(0))
    assert len(set(versions)) == 3
    assert compute(Snapshot.take(1, catalogue, counts), 0).version == versions[-1]


@pytest.mark.parametrize(("genres", "dimensions"), [(0, 8), (1, 8), (8, 8), (9, 16), (16, 16), (17, 32), (256, 256)])
def test_vectors_have_a_power_of_two_dimensions(genres: int, dimensions: int) -> None:
    membership = np.random.default_rng(genres).random((20, genres)) < 0.5
    vectors = content_vectors(membership)
    assert vectors.shape == (20, dimensions)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(membership.any(axis=1).astype(float))
    assert np.array_equal(vectors[:, :genres] > 0, membership)


@FAST
@given(st.lists(st.sampled_from([0.0, 0.1, 0.5, 3.0])), st.integers(0, 100))
def test_the_deck_holds_what_hardly_anybody_was_shown_the_least_first(exposures: list[float], seed: int) -> None:
    deck = unknown_items(np.array(exposures, dtype=np.float32), np.random.default_rng(seed)).tolist()
    assert sorted(deck) == [position for position, shown in enumerate(exposures) if shown < 0.5]
    assert [exposures[position] for position in deck] == sorted(exposures[position] for position in deck)


def test_equally_shown_items_are_dealt_in_random_order() -> None:
    first, again, other = (unknown_items(np.zeros(50), np.random.default_rng(seed)).tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_equal_versions_hold_equal_contents() -> None:
    catalogue, made = catalogue_of("a", "b"), []
    for half_life_days in (7.0, 1.0):
        counts = counts_of([1, 0], [0, 0], half_life_days)
        counts.add(pl.DataFrame({"kind": ["like"], "item_index": [1], "received_at": [START + 1e6]}))
        made.append(compute(Snapshot.take(1, catalogue, counts), 0))
    assert made[0].version != made[1].version or pack(made[0]) == pack(made[1])


def test_a_genre_of_any_name_leaves_the_list_over_all_items() -> None:
    catalogue = Catalogue()
    catalogue.extend([ItemRecord(id="a", genres=(ALL_ITEMS,)), ItemRecord(id="b")])
    made = compute(Snapshot.take(1, catalogue, Counts(7.0)), 0)
    assert sorted(top_lists(made, catalogue)[ALL_ITEMS]) == ["a", "b"]
