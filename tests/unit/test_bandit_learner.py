"""The bandit as a learner: what it makes of the log, and when it learns of tastes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Final

import numpy as np
import polars as pl
import pytest

from recsys.catalogue import Catalogue, Items
from recsys.contract import ItemRecord
from recsys.recommenders.bandit.config import BanditConfig
from recsys.recommenders.bandit.learner import Bandit
from recsys.recommenders.bandit.statistics import Statistics
from recsys.recommenders.bandit.taste import TasteConfig
from recsys.recommenders.bandit.view import BanditModel
from recsys.recommenders.port import AtOnce, Exploring, Live, Resumable, TrainingData
from recsys.schemas import EVENT_SCHEMA
from recsys.user_state import DISLIKE, LIKE, SHOWN
from tests.unit.by_hand import AT, NOBODY, catalogue_of, items_of, next_list, query_of, rng, statistics_of, user_of

START: Final = 1.7e9
ITEMS: Final = 20
FIRST: Final = [(position, SHOWN) for position in range(10)]
Told = tuple[str, list[int], dict[int, str]]  # user, items shown, what he said of them


class Waiting(Executor):
    """Does one thing after the other, when it is told to."""

    def __init__(self) -> None:
        self.submitted = 0
        self._tasks: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.submitted += 1
        future: Future[Any] = Future()
        self._tasks.append((future, lambda: fn(*args, **kwargs)))
        return future

    def work(self) -> None:
        future, task = self._tasks.pop(0)
        future.set_result(task())


def rows_of(told: list[Told], first: int = 0) -> pl.DataFrame:
    rows: list[tuple[Any, ...]] = []
    for number, (user, items, said) in enumerate(told, start=first):
        rows += [(f"s{number}", "impression", user, item) for item in items]
        rows += [(f"r{number}", kind, user, item) for item, kind in said.items()]
    frame = pl.DataFrame(rows, schema=["event_id", "kind", "user_id", "item_index"], orient="row")
    return frame.with_columns(
        item_id=pl.lit(""), position=pl.lit(0), source=pl.lit(""), received_at=pl.lit(START),
        timestamp=None, undone_at=None,
    ).select(EVENT_SCHEMA.names()).cast(dict(EVENT_SCHEMA))  # fmt: skip


def slates(count: int = 600, items: int = ITEMS, seed: int = 0) -> list[Told]:
    """Half of the users like even items, half odd ones; each is shown both, in two slates."""
    chance = np.random.default_rng(seed)
    shown = [chance.choice(items, 10, replace=False).tolist() for _ in range(count)]
    return [(f"u{n // 2}", of, {i: "like" for i in of if i % 2 == n // 2 % 2}) for n, of in enumerate(shown)]


class Bench:
    """A learner that has read these rows, its executor and its clock."""

    def __init__(self, told: list[Told] | None = None, catalogue: Catalogue | None = None, **options: Any) -> None:
        self.learner = Bandit(**options)
        self.background = Waiting()
        self.at = AT
        self.catalogue = catalogue or catalogue_of(*[""] * ITEMS)
        self.model: BanditModel | None = None
        if told:
            self.learner.add(rows_of(told))

    def fit(self, seed: int = 0) -> BanditModel:
        items = self.catalogue.items()
        data = TrainingData(1, items, 0, self.at, lambda: pl.LazyFrame(schema=EVENT_SCHEMA), self.background)
        self.model = self.learner.fit(data, self.model, rng(seed))
        return self.model


def knows_kinds(model: BanditModel) -> bool:
    side = model.item_factors @ model.item_factors[0]
    return bool(min(side[::2]) > max(side[1::2]))


def test_it_is_all_that_a_live_learner_can_be() -> None:
    for able in (Live, Resumable, Exploring):
        assert isinstance(Bandit(), able)


# tastes


def test_tastes_are_learned_in_the_background_and_no_fit_waits_for_them() -> None:
    bench = Bench(slates())
    for _ in range(3):
        assert not bench.fit().item_factors.any()
    bench.background.work()
    model = bench.fit()
    assert knows_kinds(model)
    assert model.statistics.mean == pytest.approx(bench.fit().statistics.mean)


def test_what_was_learned_gives_another_model() -> None:
    bench = Bench(slates())
    before = bench.fit().dump()
    assert bench.fit().dump() == before
    bench.background.work()
    assert bench.fit().dump() != before


def test_taste_is_learned_from_answered_slates_alone() -> None:
    """There is nothing to learn from, so it is not even begun."""
    bench = Bench([(user, items, {}) for user, items, _ in slates()])
    for _ in range(3):
        assert not bench.fit().item_factors.any()
        bench.at += 1e6
    assert bench.background.submitted == 0


def test_one_fit_of_tastes_is_under_way_at_a_time_and_the_next_waits_for_its_turn() -> None:
    bench = Bench(slates(400), taste_interval_s=10.0)
    bench.fit()
    bench.at += 100
    bench.learner.add(rows_of(slates(100, seed=1), first=400))
    bench.fit()
    assert bench.background.submitted == 1, "the first is still under way"
    bench.background.work()
    bench.fit()
    assert bench.background.submitted == 2, "its turn has long come"
    bench.background.work()
    bench.learner.add(rows_of(slates(100, seed=2), first=500))
    bench.at += 9.9
    bench.fit()
    assert bench.background.submitted == 2
    bench.at += 0.1
    bench.fit()
    assert bench.background.submitted == 3


def test_without_a_new_slate_there_is_nothing_to_learn() -> None:
    bench = Bench(slates())
    for _ in range(4):
        bench.fit()
        bench.at += 1e6
        if bench.background.submitted and knows_kinds(bench.fit()) is False:
            bench.background.work()
    assert bench.background.submitted == 1


def test_without_factors_nothing_is_learned_of_tastes() -> None:
    bench = Bench(slates(), without="factors")
    for _ in range(3):
        assert not bench.fit().item_factors.any()
        bench.at += 1e6
    assert bench.background.submitted == 0


def test_learning_goes_on_from_what_was_learned() -> None:
    bench = Bench(slates(500))
    bench.fit()
    bench.background.work()
    first = bench.fit().item_factors
    bench.learner.add(rows_of(slates(20, seed=1), first=500))
    bench.at += 1e6
    bench.fit()
    bench.background.work()
    second = bench.fit().item_factors
    assert not np.array_equal(first, second)
    assert np.linalg.norm(second - first) < 0.5 * np.linalg.norm(first)


def test_what_is_learned_does_not_depend_on_what_the_fit_drew_before_it() -> None:
    """The order of equals takes a draw for each item."""
    found = []
    for items in (ITEMS, ITEMS + 30):
        bench = Bench(slates(), catalogue_of(*[""] * items))
        bench.fit(seed=3)
        bench.background.work()
        found.append(bench.fit(seed=3).item_factors[:ITEMS])
    assert np.array_equal(*found)


def test_items_that_came_while_it_learned_have_no_factors_yet() -> None:
    bench = Bench(slates())
    bench.fit()
    bench.catalogue.extend([ItemRecord(id="new")])
    bench.learner.add(rows_of([("u0", [ITEMS], {ITEMS: "like"})], first=600))
    bench.background.work()
    model = bench.fit()
    assert model.item_factors.shape[0] == len(model.statistics.mean) == ITEMS + 1
    assert model.item_factors[:ITEMS].any(axis=1).all()
    assert not model.item_factors[ITEMS:].any()


def test_of_new_items_it_learns_from_the_next_fit_on() -> None:
    bench = Bench(slates(500))
    bench.fit()
    bench.background.work()
    bench.catalogue.extend([ItemRecord(id="new"), ItemRecord(id="newer")])
    bench.learner.add(rows_of(slates(200, ITEMS + 2, seed=1), first=500))
    bench.at += 1e6
    bench.fit()
    bench.background.work()
    model = bench.fit()
    assert model.item_factors.any(axis=1).all()
    assert knows_kinds(model)


# models


def test_before_anything_happened_lists_follow_reactions_by_genre() -> None:
    catalogue = Catalogue()
    catalogue.extend(ItemRecord(id=str(n), genres=(("Drama", "Comedy")[n % 2],)) for n in range(200))
    model = Bench(catalogue=catalogue, **{"rank.noise": "0"}).fit()
    for mark, genre in ((LIKE, 0), (DISLIKE, 1)):
        user = user_of(*FIRST, (0, mark), (2, mark), (4, mark))
        positions = next_list(model, user, 10, [], rng(), diversity=0.0).positions
        assert [position % 2 for position in positions] == [genre] * 10


def test_options_reach_the_model() -> None:
    model = Bench(**{"rank.noise": "0", "explore.known_user": "0.1", "explore.least": "0.5"}).fit()
    assert model.exploration.new_user > 0.5
    assert model.exploration.known_user == pytest.approx(0.1)
    lists = [next_list(model, NOBODY, 10, [], rng(seed)) for seed in range(3)]
    assert lists == [lists[0]] * 3


def test_a_model_comes_back_from_its_bytes() -> None:
    bench = Bench(slates())
    bench.fit()
    bench.background.work()
    model = bench.fit()
    loaded = bench.learner.load(model.dump(), bench.catalogue.items())
    assert loaded.dump() == model.dump()
    for user in (NOBODY, user_of(*FIRST, (0, LIKE))):
        assert next_list(loaded, user, 10, [], rng()) == next_list(model, user, 10, [], rng())
        found, expected = (of.scores(query_of(user), np.arange(ITEMS)) for of in (loaded, model))
        assert (found is None) == (expected is None) == (user is NOBODY)
        assert found is None or expected is None or np.array_equal(found, expected)


def test_what_a_worker_loads_is_ready_for_the_first_request() -> None:
    learner = Bandit()
    model = learner.load(statistics_of([0.1, 0.2]).dump(), items_of(2))
    assert "view" in vars(model)
    assert "_counts" not in vars(learner), "who only loads models counts nothing"


def test_a_model_may_be_of_an_earlier_catalogue() -> None:
    blob = statistics_of([0.1, 0.2], genres=1).dump()
    model = Bandit().load(blob, items_of(5, np.ones((5, 3))))
    assert len(model.view) == 5
    assert len(model.rank(query_of(), np.ones(5, bool), 5, rng()).positions) == 5


@pytest.mark.parametrize(
    ("blob", "items", "message"),
    [
        (statistics_of([0.1, 0.2, 0.3]).dump(), items_of(2), "statistics of 3 items for a catalogue of 2"),
        (statistics_of([0.1, 0.2], genres=3).dump(), items_of(2, np.ones((2, 2))), "statistics of 2 items"),
        (b"any bytes", items_of(2), None),
        (b"", items_of(2), "no packed arrays"),
    ],
    ids=["more items", "more genres", "other bytes", "no bytes"],
)
def test_a_model_that_cannot_be_of_this_catalogue_is_refused(blob: bytes, items: Items, message: str | None) -> None:
    with pytest.raises(ValueError, match=message):
        Bandit().load(blob, items)


# exploration


def test_before_the_first_fit_there_are_no_candidates() -> None:
    assert Bandit().candidates(10, rng()).tolist() == []


def test_candidates_are_those_of_the_last_fit() -> None:
    bench = Bench([(f"u{n}", [0, 1, 2], {0: "like"}) for n in range(30)], catalogue_of(*["a"] * 6))
    bench.fit()
    assert sorted(bench.learner.candidates(3, rng()).tolist()) == [3, 4, 5]
    bench.learner.add(rows_of([("v", [3, 4], {})], first=30))
    assert sorted(bench.learner.candidates(3, rng()).tolist()) == [3, 4, 5]
    bench.fit()
    assert bench.learner.candidates(1, rng()).tolist() == [5]


def test_constants_of_the_exploration_are_those_of_the_options() -> None:
    told: list[Told] = [(f"u{n}", list(range(20)), {n % 20: "like"}) for n in range(400)]
    whole, without = (Bench(told, catalogue_of(*[""] * 22), **options) for options in ({}, {"without": "looks"}))
    for bench in (whole, without):
        bench.fit()
    assert set(without.learner.candidates(22, rng()).tolist()) == {20, 21}
    assert set(whole.learner.candidates(22, rng()).tolist()) >= {20, 21}


def test_at_once_is_soon_enough_for_a_replay() -> None:
    """In virtual time the next refresh has what was learned."""
    bench = Bench(slates())
    data = TrainingData(1, bench.catalogue.items(), 0, AT, lambda: pl.LazyFrame(schema=EVENT_SCHEMA), AtOnce())
    assert not bench.learner.fit(data, None, rng()).item_factors.any()
    assert knows_kinds(bench.learner.fit(data, None, rng()))


def test_the_defaults_are_those_of_its_parts() -> None:
    learner = Bandit()
    assert learner._config == BanditConfig()
    assert Statistics.load(Bench().fit().dump()).item_factors.shape == (ITEMS, TasteConfig().factors)
