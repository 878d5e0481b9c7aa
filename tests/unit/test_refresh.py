"""From counts and catalogue to statistics of the items."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recsys.catalogue import Catalogue
from recsys.recommenders.bandit.config import BanditConfig, configured
from recsys.recommenders.bandit.counts import Counts
from recsys.recommenders.bandit.exploration import explore_share
from recsys.recommenders.bandit.posterior import like_rates
from recsys.recommenders.bandit.refresh import Refreshed, compute
from recsys.recommenders.bandit.taste import TasteModel
from tests.unit.by_hand import catalogue_of, rng

START = 1.7e9
WHOLE = BanditConfig()


def rows_of(*reactions: tuple[str, int], at: float = START) -> pl.DataFrame:
    """(kind, item) each, of users of their own."""
    n = len(reactions)
    columns = {
        "event_id": [f"e{i}" for i in range(n)],
        "kind": [kind for kind, _ in reactions],
        "user_id": [f"u{i}" for i in range(n)],
        "item_index": [item for _, item in reactions],
        "received_at": [at] * n,
        "source": [""] * n,
    }
    return pl.DataFrame(columns, schema_overrides={"item_index": pl.Int32})


def counts_of(likes: list[int], dislikes: list[int], half_life_days: float = 7.0) -> Counts:
    told = [("like", n) for n, number in enumerate(likes) for _ in range(number)]
    told += [("dislike", n) for n, number in enumerate(dislikes) for _ in range(number)]
    counts = Counts(half_life_days)
    counts.add(rows_of(*told))
    return counts


def computed(
    catalogue: Catalogue,
    counts: Counts,
    seed: int = 0,
    config: BanditConfig = WHOLE,
    taste: TasteModel | None = None,
) -> Refreshed:
    taste = taste or TasteModel.untrained(len(catalogue), config.taste)
    return compute(counts, catalogue.genres(), taste, config, rng(seed))


def many(seed: int = 0, items: int = 300) -> tuple[Catalogue, Counts]:
    chance = np.random.default_rng(seed)
    catalogue = catalogue_of(*("".join(chance.choice(list("abcdef"), 2, replace=False)) for _ in range(items)))
    return catalogue, counts_of(chance.integers(0, 4, items).tolist(), chance.integers(0, 4, items).tolist())


def slates_of(*slates: tuple[str, list[int], dict[int, str]]) -> Counts:
    """(user, items shown, what the user said of them) each."""
    counts = Counts(7.0)
    for number, (user, items, said) in enumerate(slates):
        rows = [(f"s{number}", "impression", user, item) for item in items]
        rows += [(f"r{number}", kind, user, item) for item, kind in said.items()]
        event, kind, users, item = zip(*rows, strict=True)
        columns = {"event_id": event, "kind": kind, "user_id": users, "item_index": item}
        columns |= {"received_at": [START] * len(rows), "source": [""] * len(rows)}
        counts.add(pl.DataFrame(columns, schema_overrides={"item_index": pl.Int32}))
    return counts


def test_the_same_counts_give_the_same_bytes() -> None:
    first, again = (computed(*many(), seed=3).statistics for _ in range(2))
    assert first.dump() == again.dump()
    catalogue, counts = many()
    assert [computed(catalogue, counts, seed=3).statistics.dump() for _ in range(2)] == [first.dump()] * 2


def test_statistics_are_those_of_the_counts() -> None:
    catalogue, counts = many()
    made = computed(catalogue, counts)
    likes, dislikes, impressions, *_ = counts.decayed()
    rates = like_rates(likes, dislikes, impressions, catalogue.genres())
    for name in ("mean", "sd", "genre_rate", "genre_sd", "base_rate", "base_sd"):
        assert np.array_equal(getattr(made.statistics, name), getattr(rates, name)), name
    assert made.statistics.explore_share == explore_share(impressions)
    assert np.array_equal(made.posterior.upside, rates.upside)
    assert np.array_equal(made.impressions, impressions)


def test_what_was_learned_of_tastes_is_in_the_statistics() -> None:
    catalogue, counts = many()
    taste = TasteModel(rng().random((300, 3), dtype=np.float32), 0.7)
    statistics = computed(catalogue, counts, taste=taste).statistics
    assert np.array_equal(statistics.item_factors, taste.item_factors)
    assert statistics.genre_variance == 0.7
    assert statistics.dump() != computed(catalogue, counts).statistics.dump()


def test_a_taste_of_fewer_items_says_nothing_of_the_others() -> None:
    catalogue, counts = many()
    taste = TasteModel(rng().random((298, 3), dtype=np.float32), 0.7)
    item_factors = computed(catalogue, counts, taste=taste).statistics.item_factors
    assert np.array_equal(item_factors[:298], taste.item_factors)
    assert (item_factors.shape, item_factors[298:].any()) == ((300, 3), False)


def test_order_holds_every_item_by_rate() -> None:
    made = computed(*many()).statistics
    assert sorted(made.order.tolist()) == list(range(300))
    assert np.all(np.diff(made.mean[made.order]) <= 0)
    assert made.order.dtype == np.int32


def test_only_equal_rates_depend_on_chance() -> None:
    made, other = (computed(*many(), seed=seed).statistics for seed in (0, 1))
    assert not np.array_equal(made.order, other.order)
    assert np.array_equal(made.mean[made.order], other.mean[other.order])
    assert replace(made, order=other.order).dump() == other.dump()


def test_equal_items_are_not_in_the_order_of_the_catalogue() -> None:
    made = computed(catalogue_of(*["a"] * 50), counts_of([], [])).statistics
    assert made.order.tolist() != list(range(50))


def test_an_empty_catalogue_gives_empty_statistics() -> None:
    made = computed(Catalogue(), counts_of([], []))
    statistics = made.statistics
    assert (len(statistics.mean), len(statistics.order), statistics.explore_share) == (0, 0, 0.0)
    assert made.queue(10, rng(), WHOLE).tolist() == []


def test_items_without_events_are_in_the_statistics() -> None:
    made = computed(catalogue_of("a", "b", "c"), counts_of([1], [0])).statistics
    assert len(made.mean) == len(made.item_factors) == len(made.order) == 3


def test_statistics_do_not_change_while_counting_goes_on() -> None:
    catalogue, counts = catalogue_of("a", "b"), counts_of([1, 0], [0, 1])
    made = computed(catalogue, counts).statistics
    before = made.dump()
    catalogue.extend([catalogue.history[0].model_copy(update={"genres": ("b",)}), *catalogue_of(*["c"] * 3).history])
    counts.add(rows_of(("like", 1), at=START + 1e7))
    assert computed(catalogue, counts).statistics.dump() != before
    assert made.dump() == before


def test_another_half_life_gives_other_statistics() -> None:
    catalogue, made = catalogue_of("a", "b"), []
    for half_life_days in (7.0, 1.0):
        counts = counts_of([1, 0], [0, 0], half_life_days)
        counts.add(rows_of(("like", 1), at=START + 1e6))
        made.append(computed(catalogue, counts).statistics.dump())
    assert made[0] != made[1]


def test_what_was_passed_over_counts_more_than_what_was_never_looked_at() -> None:
    """Items 3 and 4 are shown as often; of the lists with item 4 nobody said anything."""
    answered = [(f"a{n}", [0, 1, 2, 3], {0: "like", 1: "like", 2: "dislike"}) for n in range(20)]
    silent = [(f"b{n}", [4], {}) for n in range(20)]
    catalogue, counts = catalogue_of(*[""] * 5), slates_of(*answered, *silent)
    made = computed(catalogue, counts).statistics
    assert made.mean[4] > 2 * made.mean[3]
    without = computed(catalogue, counts, config=configured("answers", {})).statistics
    assert without.mean[4] == pytest.approx(without.mean[3], rel=1e-5)


def test_the_queue_begins_with_what_was_never_shown() -> None:
    counts = slates_of(*((f"u{n}", [0, 1, 2], {0: "like"}) for n in range(30)))
    made = computed(catalogue_of(*["a"] * 6), counts)
    candidates = made.queue(10, rng(), WHOLE).tolist()
    assert made.lists == 30
    assert sorted(candidates[:3]) == [3, 4, 5]
    assert 0 not in candidates
