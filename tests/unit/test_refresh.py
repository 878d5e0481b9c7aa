"""From counts and catalogue to artifacts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import settings

from recsys.artifacts import TOP_LIST_SIZE, Artifacts, pack
from recsys.catalogue import Catalogue
from recsys.contract import ItemRecord
from recsys.ranking.posterior import like_rates
from recsys.ranking.profiles import ranking
from recsys.ranking.taste import TasteModel
from recsys.ranking.toplists import fair_top
from regular_pipeline.counts import Counts
from regular_pipeline.refresh import ALL_ITEMS, Snapshot, compute, content_vectors, learn_taste, top_lists

FAST = settings(deadline=None)
START = 1.7e9


def catalogue_of(*genres: str) -> Catalogue:
    """Items i0, i1, …; each letter is a genre."""
    catalogue = Catalogue()
    catalogue.extend(ItemRecord(id=f"i{n}", genres=tuple(of)) for n, of in enumerate(genres))
    return catalogue


def rows_of(*reactions: tuple[str, int], at: float = START) -> pl.DataFrame:
    """(kind, item) each, of users of their own."""
    n = len(reactions)
    columns = {
        "event_id": [f"e{i}" for i in range(n)],
        "kind": [kind for kind, _ in reactions],
        "user_id": [f"u{i}" for i in range(n)],
        "item_index": [item for _, item in reactions],
        "received_at": [at] * n,
    }
    return pl.DataFrame(columns, schema_overrides={"item_index": pl.Int32})


def counts_of(likes: list[int], dislikes: list[int], half_life_days: float = 7.0) -> Counts:
    told = [("like", n) for n, number in enumerate(likes) for _ in range(number)]
    told += [("dislike", n) for n, number in enumerate(dislikes) for _ in range(number)]
    counts = Counts(half_life_days)
    counts.add(rows_of(*told))
    return counts


def snapshot_of(catalogue: Catalogue, likes: list[int], dislikes: list[int], epoch: int = 1) -> Snapshot:
    return Snapshot.take(epoch, catalogue, counts_of(likes, dislikes))


def artifacts_of(snapshot: Snapshot, seed: int) -> Artifacts:
    return compute(snapshot, seed).artifacts


def many(seed: int = 0, items: int = 300) -> tuple[Catalogue, Counts]:
    rng = np.random.default_rng(seed)
    catalogue = catalogue_of(*("".join(rng.choice(list("abcdef"), 2, replace=False)) for _ in range(items)))
    return catalogue, counts_of(rng.integers(0, 4, items).tolist(), rng.integers(0, 4, items).tolist())


def test_the_same_snapshot_gives_the_same_bytes() -> None:
    first, again = (artifacts_of(Snapshot.take(1, *many()), seed=3) for _ in range(2))
    assert pack(first) == pack(again)


def test_artifacts_hold_the_statistics_of_the_counts() -> None:
    catalogue, counts = many()
    made = artifacts_of(Snapshot.take(1, catalogue, counts), seed=0)
    likes, dislikes, impressions, _ = counts.decayed()
    rates = like_rates(likes, dislikes, impressions, catalogue.genres())
    assert made.rows == counts.rows
    assert np.array_equal(made.mean, rates.mean)
    assert np.array_equal(made.sd, rates.sd)
    assert np.array_equal(made.genre_rate, rates.genre_rate)
    assert made.base_rate == rates.base_rate


def test_order_holds_every_item_by_rate() -> None:
    made = artifacts_of(Snapshot.take(1, *many()), seed=0)
    assert sorted(made.order.tolist()) == list(range(300))
    assert np.all(np.diff(made.mean[made.order]) <= 0)


@pytest.mark.parametrize(("seed", "epoch"), [(1, 1), (0, 2)], ids=["seed", "epoch"])
def test_only_equal_rates_depend_on_seed_and_epoch(seed: int, epoch: int) -> None:
    snapshot = Snapshot.take(1, *many())
    made, other = artifacts_of(snapshot, 0), artifacts_of(replace(snapshot, epoch=epoch), seed)
    assert not np.array_equal(made.order, other.order)
    assert np.array_equal(made.mean[made.order], other.mean[other.order])


def test_equal_items_are_not_in_the_order_of_the_catalogue() -> None:
    made = artifacts_of(snapshot_of(catalogue_of(*["a"] * 50), [], []), seed=0)
    assert made.order.tolist() != list(range(50))


def test_top_lists_name_the_best_items_of_each_genre() -> None:
    catalogue = catalogue_of("a", "b", "ab", "", "b")
    made = artifacts_of(snapshot_of(catalogue, [9, 5, 7, 3, 1], [0] * 5), seed=0)
    lists = top_lists(made, catalogue)
    assert list(lists) == [ALL_ITEMS, "genre:a", "genre:b"]
    assert lists["genre:a"] == ["i0", "i2"]
    assert set(lists["genre:b"]) == {"i1", "i2", "i4"}
    assert sorted(lists[ALL_ITEMS]) == ["i0", "i1", "i2", "i3", "i4"]
    by_rate = [catalogue.ids[position] for position in made.order]
    assert all(sorted(names, key=by_rate.index) == names for names in lists.values())


def test_top_lists_hold_at_most_a_hundred_items_of_their_genre() -> None:
    catalogue, counts = many(items=600)
    made = artifacts_of(Snapshot.take(1, catalogue, counts), seed=0)
    assert made.top.shape == (1 + len(catalogue.genre_names), TOP_LIST_SIZE)
    assert made.top_list(0).tolist() == fair_top(made.order, catalogue.genres(), TOP_LIST_SIZE).tolist()
    for column, _ in enumerate(catalogue.genre_names):
        of_genre = [p for p in made.order.tolist() if catalogue.genres()[p, column]]
        assert made.top_list(1 + column).tolist() == of_genre[:TOP_LIST_SIZE]


def test_lists_of_genres_younger_than_the_artifacts_wait() -> None:
    catalogue = catalogue_of("a", "b")
    made = artifacts_of(snapshot_of(catalogue, [], []), seed=0)
    catalogue.extend([ItemRecord(id="new", genres=("c",))])
    assert list(top_lists(made, catalogue)) == [ALL_ITEMS, "genre:a", "genre:b"]


def test_an_empty_catalogue_gives_empty_artifacts() -> None:
    made = artifacts_of(snapshot_of(Catalogue(), [], []), seed=0)
    assert (len(made.mean), made.top.tolist(), len(made.vectors)) == (0, [[-1] * TOP_LIST_SIZE], 0)
    assert top_lists(made, Catalogue()) == {ALL_ITEMS: []}


def test_items_without_events_are_in_the_artifacts() -> None:
    made = artifacts_of(snapshot_of(catalogue_of("a", "b", "c"), [1], [0]), seed=0)
    assert len(made.mean) == len(made.loadings) == len(made.order) == 3


def test_a_snapshot_does_not_change_while_the_pipeline_drains() -> None:
    catalogue, counts = catalogue_of("a", "b"), counts_of([1, 0], [0, 1])
    snapshot = Snapshot.take(1, catalogue, counts)
    before = pack(artifacts_of(snapshot, 0))
    catalogue.extend([ItemRecord(id="i0", genres=("b",)), ItemRecord(id="new", genres=("c",))])
    counts.add(rows_of(("like", 1), at=START + 1e7))
    assert pack(artifacts_of(snapshot, 0)) == before


def test_the_version_changes_with_rows_and_with_items() -> None:
    catalogue, counts = catalogue_of("a"), counts_of([1], [0])
    versions = [Snapshot.take(1, catalogue, counts).version(0)]
    counts.add(rows_of(("like", -1)))
    versions.append(Snapshot.take(1, catalogue, counts).version(0))
    catalogue.extend([ItemRecord(id="i0", genres=("b",))])
    versions.append(Snapshot.take(1, catalogue, counts).version(0))
    assert len(set(versions)) == 3
    assert artifacts_of(Snapshot.take(1, catalogue, counts), 0).version == versions[-1]


@pytest.mark.parametrize(("genres", "dimensions"), [(0, 8), (1, 8), (8, 8), (9, 16), (16, 16), (17, 32), (256, 256)])
def test_vectors_have_a_power_of_two_dimensions(genres: int, dimensions: int) -> None:
    membership = np.random.default_rng(genres).random((20, genres)) < 0.5
    vectors = content_vectors(membership)
    assert vectors.shape == (20, dimensions)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(membership.any(axis=1).astype(float))
    assert np.array_equal(vectors[:, :genres] > 0, membership)


def test_equal_versions_hold_equal_contents() -> None:
    catalogue, made = catalogue_of("a", "b"), []
    for half_life_days in (7.0, 1.0):
        counts = counts_of([1, 0], [0, 0], half_life_days)
        counts.add(rows_of(("like", 1), at=START + 1e6))
        made.append(artifacts_of(Snapshot.take(1, catalogue, counts), 0))
    assert made[0].version != made[1].version or pack(made[0]) == pack(made[1])


def test_a_genre_of_any_name_leaves_the_list_over_all_items() -> None:
    catalogue = Catalogue()
    catalogue.extend([ItemRecord(id="a", genres=(ALL_ITEMS,)), ItemRecord(id="b")])
    made = artifacts_of(Snapshot.take(1, catalogue, Counts(7.0)), 0)
    assert sorted(top_lists(made, catalogue)[ALL_ITEMS]) == ["a", "b"]


def slates_of(*slates: tuple[str, list[int], dict[int, str]]) -> Counts:
    """(user, items shown, what the user said of them) each."""
    counts = Counts(7.0)
    for number, (user, items, said) in enumerate(slates):
        rows = [(f"s{number}", "impression", user, item) for item in items]
        rows += [(f"r{number}", kind, user, item) for item, kind in said.items()]
        event, kind, users, item = zip(*rows, strict=True)
        columns = {"event_id": event, "kind": kind, "user_id": users, "item_index": item}
        columns["received_at"] = [START] * len(rows)
        counts.add(pl.DataFrame(columns, schema_overrides={"item_index": pl.Int32}))
    return counts


def test_what_was_passed_over_counts_more_than_what_was_never_looked_at() -> None:
    """Items 3 and 4 are shown as often; of the lists with item 4 nobody said anything."""
    answered = [(f"a{n}", [0, 1, 2, 3], {0: "like", 1: "like", 2: "dislike"}) for n in range(20)]
    silent = [(f"b{n}", [4], {}) for n in range(20)]
    snapshot = Snapshot.take(1, catalogue_of(*[""] * 5), slates_of(*answered, *silent))
    made = artifacts_of(snapshot, 0)
    assert made.mean[4] > 2 * made.mean[3]
    without = artifacts_of(replace(snapshot, ranking=ranking("balanced", "answers")), 0)
    assert without.mean[4] == pytest.approx(without.mean[3], rel=1e-5)


def test_the_deck_begins_with_what_was_never_shown() -> None:
    counts = slates_of(*((f"u{n}", [0, 1, 2], {0: "like"}) for n in range(30)))
    snapshot = Snapshot.take(1, catalogue_of(*["a"] * 6), counts)
    cards = compute(snapshot, 0).deck(snapshot, 10, np.random.default_rng(0)).tolist()
    assert sorted(cards[:3]) == [3, 4, 5]
    assert 0 not in cards


@pytest.mark.parametrize("profile", ["popular", "random"])
def test_baselines_explore_nothing(profile: str) -> None:
    snapshot = Snapshot.take(1, catalogue_of(*["a"] * 6), Counts(7.0), ranking=ranking(profile))
    refreshed = compute(snapshot, 0)
    assert refreshed.artifacts.explore_share == 0


def test_taste_is_learned_from_answered_slates_alone() -> None:
    """Half of the users like even items, half odd ones; each is shown both."""
    rng = np.random.default_rng(0)
    catalogue = catalogue_of(*[""] * 20)
    shown = [rng.choice(20, 10, replace=False).tolist() for _ in range(600)]
    told = [(f"u{n // 2}", items, {i: "like" for i in items if i % 2 == n // 2 % 2}) for n, items in enumerate(shown)]
    counts = slates_of(*told)
    snapshot = Snapshot.take(1, catalogue, counts)
    learned = learn_taste(snapshot, counts.slates.lessons(), compute(snapshot, 0).artifacts.mean, 0)
    side = learned.loadings @ learned.loadings[0]
    assert min(side[::2]) > max(side[1::2])
    silent = slates_of(*((user, items, {}) for user, items, _ in told))
    snapshot = Snapshot.take(1, catalogue, silent)
    assert learn_taste(snapshot, silent.slates.lessons(), np.full(20, 0.5, np.float32), 0) is snapshot.taste


def test_items_that_are_newer_than_the_like_rates_wait_for_the_next_lesson() -> None:
    """They may be shown, and their lists answered, between a refresh and the fit that follows it."""
    rng = np.random.default_rng(0)
    shown = [rng.choice(20, 10, replace=False).tolist() for _ in range(600)]
    told = [(f"u{n // 2}", items, {i: "like" for i in items if i % 2 == n // 2 % 2}) for n, items in enumerate(shown)]
    counts = slates_of(*told)
    snapshot = Snapshot.take(1, catalogue_of(*[""] * 20), counts)
    learned = learn_taste(snapshot, counts.slates.lessons(), np.full(18, 0.5, np.float32), 0)
    assert learned.loadings[:18].any(axis=1).all()
    assert not learned.loadings[18:].any()


def test_a_model_that_has_learned_gives_another_version() -> None:
    catalogue, counts = many()
    taste = TasteModel.untrained(300)
    versions = {
        Snapshot.take(1, catalogue, counts, model).version(0)
        for model in (None, replace(taste, loadings=taste.loadings + 1), replace(taste, genre_variance=1.0))
    }
    assert len(versions) == 3
