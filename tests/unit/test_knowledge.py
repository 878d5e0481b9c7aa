"""What a worker makes of its catalogue and of the models that it holds."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from recommendations.knowledge import Held, Knowledge, Setup
from recsys.contract import ItemRecord
from recsys.recommenders.bandit.learner import Bandit
from recsys.recommenders.guard import Guard
from recsys.recommenders.mix import EXPLORE, RANDOM
from recsys.recommenders.port import Bools, ExplorationShare, Positions, Query, Ranked
from recsys.recommenders.random import RandomModel
from recsys.recommenders.recipe import EXPLORER, Recipe
from recsys.recommenders.registry import Spec
from tests.unit.by_hand import NOBODY, must_not_fail, query_of, rng, shown, statistics_of

GUARD = Guard(60.0)


class Ranking:
    """Implements Model, Similar and Ordered: all items from the first or from the last."""

    def __init__(self, n: int, step: int = 1) -> None:
        self.order = np.arange(n)[::step]

    def rank(self, query: Query, eligible: Bools, k: int, rng: np.random.Generator) -> Positions:
        return self.order[eligible[self.order]][:k]

    def similar(self, position: int, k: int) -> Positions:
        return self.order[self.order != position][:k]

    def dump(self) -> bytes:
        return b""


class Plain:
    """Implements Model alone."""

    def rank(self, query: Query, eligible: Bools, k: int, rng: np.random.Generator) -> Positions:
        return np.flatnonzero(eligible)[:k]

    def dump(self) -> bytes:
        return b""


class Unsure(Ranking):
    """Knows of nothing what is like it."""

    def similar(self, position: int, k: int) -> Positions:
        return np.zeros(0, np.int64)


def knowledge_of(n: int, *sources: str, guards: Mapping[str, Guard] | None = None, **of: Any) -> Knowledge:
    """Of items i0, i1, …, alternately of two genres, and of a recipe with these sources."""
    recipe = Recipe(tuple(map(Spec, sources)), **{"explore": 0.0} | of)
    known = Knowledge(Setup(recipe, guards or {}, must_not_fail), 1)
    known.catalogue.extend(ItemRecord(id=f"i{p}", genres=(("Drama", "Comedy")[p % 2],)) for p in range(n))
    return known


def hold(known: Knowledge, name: str, model: Any, version: str = "1") -> None:
    items = known.catalogue.items()
    known.hold(name, Held(version, model, items.records, len(items)))


def next_list(known: Knowledge, k: int = 5, seed: int = 0) -> tuple[list[int], list[str]]:
    slate = known.mix.fill(query_of(NOBODY), k, [], rng(seed))
    return slate.positions, slate.sources


# the mix


def test_before_anything_is_published_lists_are_random() -> None:
    known = knowledge_of(20, "popular", "random")
    slate = known.mix.fill(query_of(shown(*range(12))), 5, [], rng())
    assert slate.sources == [RANDOM] * 5
    assert set(slate.positions) <= set(range(12, 20))
    assert next_list(known, seed=1) != next_list(known, seed=2)


def test_a_worker_that_reached_no_store_yet_has_empty_lists() -> None:
    known = Knowledge(Setup(Recipe((Spec("popular"),)), {}, must_not_fail))
    assert (known.epoch, len(known.catalogue), next_list(known)) == (0, 0, ([], []))
    assert (known.top(None, 10), known.ids_json()) == ([], [])


@pytest.mark.parametrize("first", ["popular", "random"])
def test_models_serve_in_the_order_of_the_recipe_whichever_came_first(first: str) -> None:
    known = knowledge_of(4, "popular", "random")
    models = {"popular": Ranking(2), "random": Ranking(4, -1)}
    for name in sorted(models, key=lambda name: name != first):
        hold(known, name, models[name])
    assert next_list(known, 4) == ([0, 1, 3, 2], ["popular"] * 2 + ["random"] * 2)


def test_a_model_that_is_no_source_fills_no_places() -> None:
    known = knowledge_of(4, "popular")
    hold(known, EXPLORER, Ranking(4))
    assert next_list(known)[1] == [RANDOM] * 4


def test_a_new_version_takes_the_place_of_the_old_one() -> None:
    known = knowledge_of(4, "popular")
    hold(known, "popular", Ranking(4))
    hold(known, "popular", Ranking(4, -1), "2")
    assert next_list(known)[0] == [3, 2, 1, 0]
    assert known.models["popular"].version == "2"


def test_the_mix_is_the_same_until_something_changes() -> None:
    known = knowledge_of(4, "popular")
    mixes = [known.mix, known.mix]
    hold(known, "popular", Ranking(4))
    mixes += [known.mix, known.mix]
    known.catalogue.extend([ItemRecord(id="new", genres=("Drama",))])
    mixes += [known.mix, known.mix]
    known.catalogue.extend([ItemRecord(id="i0", genres=("Comedy",))])
    mixes += [known.mix, known.mix]
    assert [a is b for a, b in pairwise(mixes)] == [True, False] * 3 + [True]


def test_models_of_an_earlier_catalogue_serve_the_items_that_they_know() -> None:
    known = knowledge_of(4, "popular")
    hold(known, "popular", Ranking(4))
    known.catalogue.extend([ItemRecord(id="new"), ItemRecord(id="newer")])
    positions, sources = next_list(known, 6)
    assert (positions[:4], sorted(positions[4:])) == ([0, 1, 2, 3], [4, 5])
    assert sources == ["popular"] * 4 + [RANDOM] * 2


def test_only_somebodys_own_sources_are_guarded() -> None:
    class Thread(Plain):
        def rank(self, query: Query, eligible: Bools, k: int, rng: np.random.Generator) -> Positions:
            threads.append(threading.current_thread())
            return np.zeros(0, np.int64)

    threads: list[threading.Thread] = []
    known = knowledge_of(4, "my:Mine", "popular", guards={"my:Mine": GUARD})
    for name in ("my:Mine", "popular"):
        hold(known, name, Thread())
    next_list(known)
    assert [thread is threading.current_thread() for thread in threads] == [False, True]


def test_diversity_is_that_of_the_recipe() -> None:
    class Scored(Plain):
        def rank(self, query: Query, eligible: Bools, k: int, rng: np.random.Generator) -> Any:
            return Ranked(np.array([0, 2, 4, 1]), np.array([1.0, 0.99, 0.98, 0.97], np.float32))

    for diversity, second in ((0.0, 2), (0.3, 1)):
        known = knowledge_of(6, "popular", diversity=diversity)
        hold(known, "popular", Scored())
        assert next_list(known, 2)[0] == [0, second]


def test_how_much_is_explored_is_what_the_explorer_says() -> None:
    known = knowledge_of(20, "popular", explore=None)
    assert known.mix.exploration == (0, 0)
    hold(known, "popular", Ranking(20))
    explorer = Bandit(**{"explore.known_user": "0.1"})
    hold(known, EXPLORER, explorer.load(statistics_of([0.1] * 20).dump(), known.catalogue.items()))
    assert known.mix.exploration == (0, 0)
    exploring = replace(statistics_of([0.1] * 20), explore_share=0.4)
    hold(known, EXPLORER, explorer.load(exploring.dump(), known.catalogue.items()))
    assert known.mix.exploration == ExplorationShare(0.4, 0.1)
    slate = known.mix.fill(query_of(NOBODY), 10, range(10, 20), rng())
    assert slate.sources == ["popular"] * 6 + [EXPLORE] * 4


# ids


def test_ids_are_json_by_position() -> None:
    known = knowledge_of(2)
    known.catalogue.extend([ItemRecord(id='say "hi"\\')])
    assert list(map(json.loads, known.ids_json())) == ["i0", "i1", 'say "hi"\\']
    first = known.ids_json()[0]
    known.catalogue.extend([ItemRecord(id="new")])
    assert known.ids_json()[3] == b'"new"'
    assert known.ids_json()[0] is first


# what is like an item


def test_what_is_like_an_item_says_the_first_model_that_knows() -> None:
    known = knowledge_of(4, "popular", "random")
    assert known.similar(2, 3) == []
    hold(known, EXPLORER, Ranking(4))
    assert known.similar(2, 3) == ["i0", "i1", "i3"]
    hold(known, "random", Ranking(4, -1))
    assert known.similar(2, 2) == ["i3", "i1"], "sources come before whoever fills the queue"
    hold(known, "popular", Unsure(4))
    assert known.similar(2, 2) == ["i3", "i1"]
    hold(known, "popular", Plain())
    assert known.similar(2, 2) == ["i3", "i1"]


def test_a_model_is_not_asked_for_items_that_it_does_not_know() -> None:
    known = knowledge_of(4, "popular", "random")
    hold(known, "popular", Ranking(4))
    known.catalogue.extend([ItemRecord(id="new")])
    assert known.similar(4, 2) == []
    hold(known, "random", Ranking(5, -1))
    assert known.similar(4, 2) == ["i3", "i2"]
    assert known.similar(3, 2) == ["i0", "i1"]


def test_somebodys_own_model_is_asked_behind_its_guard() -> None:
    now = 0.0
    guard = Guard(60.0, lambda: now)
    known = knowledge_of(4, "my:Mine", "popular", guards={"my:Mine": guard})
    hold(known, "my:Mine", Ranking(4, -1))
    hold(known, "popular", Ranking(4))
    assert known.similar(0, 1) == ["i3"]
    guard._left_out_until = 1.0
    assert known.similar(0, 1) == ["i1"]


# top lists


def test_the_top_list_is_that_of_the_first_model_with_an_order() -> None:
    known = knowledge_of(4, "popular", "random")
    assert (known.top(None, 3), known.top("Drama", 3)) == ([], [])
    hold(known, EXPLORER, Ranking(4))
    assert known.top(None, 3) == ["i0", "i1", "i2"]
    hold(known, "random", Ranking(4, -1))
    assert (known.top(None, 3), known.top("Drama", 3)) == (["i3", "i2", "i1"], ["i2", "i0"])
    hold(known, "popular", RandomModel())
    assert known.top(None, 4) == ["i3", "i2", "i1", "i0"]


def test_a_top_list_is_made_once_for_each_model() -> None:
    class Counting(Ranking):
        asked = 0

        @property
        def order(self) -> Positions:  # type: ignore[override]
            Counting.asked += 1
            return np.arange(4)

        @order.setter
        def order(self, order: Positions) -> None: ...

    known = knowledge_of(4, "popular")
    hold(known, "popular", Counting(4))
    asked_at_first = Counting.asked
    for k in (1, 4, 2):
        assert known.top("Comedy", k) == ["i1", "i3"][:k]
    once = Counting.asked
    assert once > asked_at_first
    known.top("Comedy", 4)
    assert Counting.asked == once
    hold(known, "popular", Counting(4), "2")
    known.top("Comedy", 4)
    assert Counting.asked > once


def test_a_top_list_has_at_most_a_hundred_items() -> None:
    known = knowledge_of(300, "popular")
    hold(known, "popular", Ranking(300))
    assert len(known.top(None, 1_000)) == len(known.top("Drama", 1_000)) == 100
