"""The same order for everybody: against like rates added up row by row."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.contract import HISTORY
from recsys.recommenders.arrays import unpacked
from recsys.recommenders.decay import DAY_S
from recsys.recommenders.popularity import Popular, PopularModel
from recsys.recommenders.port import AtOnce, Live, Ordered, Resumable, TrainingData
from recsys.schemas import EVENT_SCHEMA
from tests.unit.by_hand import AT, items_of, query_of, rng

FAST = settings(deadline=None, max_examples=50)
START: Final = 1.7e9
ITEMS: Final = 5
Row = tuple[str, int, float]  # kind, item, received at
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["like", "dislike", "hide", "impression", "impression"]),
        st.integers(-1, ITEMS - 1),
        st.floats(1e9, 2e9),
    ),
    max_size=30,
)


def frame(rows: list[Row], **columns: Any) -> pl.DataFrame:
    told = pl.DataFrame(rows, schema=["kind", "item_index", "received_at"], orient="row")
    others = {name: pl.lit(None) for name in EVENT_SCHEMA if name not in told.columns} | {"source": pl.lit("")}
    return told.with_columns(**others | columns).select(EVENT_SCHEMA.names()).cast(dict(EVENT_SCHEMA))


def fitted(*batches: list[Row], items: int = ITEMS, seed: int = 0, **options: Any) -> PopularModel:
    learner = Popular(**options)
    for batch in batches:
        learner.add(frame(batch))
    return fit(learner, items, seed)


def fit(learner: Popular, items: int = ITEMS, seed: int = 0) -> PopularModel:
    data = TrainingData(1, items_of(items), 0, AT, lambda: pl.LazyFrame(schema=EVENT_SCHEMA), AtOnce())
    return learner.fit(data, None, rng(seed))


def scores(model: PopularModel) -> list[float]:
    found: list[float] = unpacked(model.dump())["score"].tolist()
    return found


def rates(rows: list[Row], half_life_days: float, shrinkage: float) -> list[float]:
    """Of each item, row by row."""
    known = [row for row in rows if row[1] >= 0]
    latest = max((at for *_, at in known), default=0.0)
    sums = {kind: [0.0] * ITEMS for kind in ("like", "dislike", "hide", "impression")}
    for kind, item, at in known:
        sums[kind][item] += 0.5 ** ((latest - at) / (half_life_days * DAY_S))
    likes, dislikes = sums["like"], sums["dislike"]
    seen = [max(a, b + c) for a, b, c in zip(sums["impression"], likes, dislikes, strict=True)]
    usual = (sum(likes) + 1) / (sum(seen) + 100)
    return [(like + shrinkage * usual) / (of + shrinkage) for like, of in zip(likes, seen, strict=True)]


def test_it_follows_the_log_and_orders_all_items() -> None:
    assert isinstance(Popular(), Live)
    assert isinstance(Popular(), Resumable)
    assert isinstance(fitted([]), Ordered)


@FAST
@given(ROWS, st.sampled_from([0.01, 7.0, 365.0]), st.sampled_from([0.5, 20.0]))
def test_scores_are_shrunk_like_rates(rows: list[Row], half_life_days: float, shrinkage: float) -> None:
    model = fitted(*([row] for row in rows), half_life_days=half_life_days, shrinkage=shrinkage)
    expected = rates(rows, half_life_days, shrinkage)
    assert scores(model) == pytest.approx(expected, rel=1e-4)
    assert sorted(model.order.tolist()) == list(range(ITEMS))
    assert [expected[p] for p in model.order] == pytest.approx(sorted(expected, reverse=True), rel=1e-4)


@FAST
@given(ROWS, st.data())
def test_batch_boundaries_do_not_change_a_bit(rows: list[Row], data: st.DataObject) -> None:
    places = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=6)))
    batches = [rows[a:b] for a, b in zip([0, *places], [*places, len(rows)], strict=True)]
    assert fitted(*batches).dump() == fitted(rows).dump()


@pytest.mark.parametrize(
    ("rows", "order"),
    [
        ([("like", 2, START)] * 3 + [("like", 0, START)], [2, 0]),
        ([("like", n, START) for n in (0, 1)] + [("impression", 0, START)] * 9, [1, 0]),
        ([("impression", 0, START), ("dislike", 1, START)] + [("like", n, START) for n in (0, 1)], [0, 1]),
        ([("like", 0, START - 40 * DAY_S), ("like", 1, START)], [1, 0]),
    ],
    ids=["more likes", "fewer impressions", "no dislike", "lately"],
)
def test_the_best_are_those_that_most_like_who_are_shown_them(rows: list[Row], order: list[int]) -> None:
    found = fitted(rows).order.tolist()
    assert [position for position in found if position in order] == order


def test_one_like_of_one_is_less_than_many_of_more() -> None:
    """What is known of an item counts more the more is known."""
    rows: list[Row] = [("like", 0, START), *[("like", 1, START)] * 50, *[("impression", 1, START)] * 70]
    assert fitted(rows).order[0] == 1
    assert fitted(rows, shrinkage=0.01).order[0] == 0


def test_an_undo_takes_away_what_its_reaction_added() -> None:
    told: list[Row] = [("like", 0, START), ("like", 1, START), ("impression", 2, START)]
    learner = Popular()
    learner.add(frame(told))
    taken_back = {"source": pl.lit("like"), "undone_at": pl.lit(START)}
    learner.add(frame([("undo", 0, START)], **taken_back))
    assert fit(learner).dump() == fitted(told[1:]).dump()


def test_hiding_is_neither_a_like_nor_a_dislike() -> None:
    assert fitted([("hide", 0, START)]).dump() == fitted([]).dump()


def test_of_what_was_said_before_this_system_the_reactions_are_all_that_is_known() -> None:
    """One of two who said something of item 0 liked it; nobody was shown it, and that counts as two who were."""
    learner = Popular(shrinkage=1.0)
    learner.add(frame([("like", 0, START), ("dislike", 0, START)], source=pl.lit(HISTORY)))
    learner.add(frame([("impression", 1, START), ("impression", 1, START), ("like", 1, START)]))
    found = scores(fit(learner))
    usual = (2 + 1) / (4 + 100)
    assert found[:2] == pytest.approx([(1 + usual) / (2 + 1)] * 2, rel=1e-4)


def test_unknown_items_change_nothing() -> None:
    told: list[Row] = [("like", 0, START)]
    assert fitted(told, [("like", -1, START + 1e9)]).dump() == fitted(told).dump()


# ranking


def test_equals_are_in_an_order_that_is_drawn_when_it_is_fitted() -> None:
    orders = [fitted([], items=50, seed=seed).order.tolist() for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])


@FAST
@given(st.lists(st.booleans(), min_size=1, max_size=20), st.integers(0, 25), st.integers(0, 1_000))
def test_it_ranks_the_best_that_are_eligible(eligible: list[bool], k: int, seed: int) -> None:
    score = rng(seed).random(len(eligible), dtype=np.float32)
    mask = np.array(eligible)
    found, values = PopularModel(score, 0.1).rank(query_of(), mask, k, rng())
    best = sorted(np.flatnonzero(mask).tolist(), key=lambda position: -score[position])
    assert found.tolist() == best[:k]
    assert values is not None
    assert values.tolist() == score[found].tolist()


def test_lists_are_the_same_for_everybody() -> None:
    model, eligible = fitted([("like", 3, START)], items=50), np.ones(50, bool)
    lists = [model.rank(query_of(), eligible, 10, rng(seed)).positions.tolist() for seed in range(5)]
    assert lists == [lists[0]] * 5
    assert lists[0][0] == 3


# models of an earlier catalogue


def test_an_item_that_is_newer_than_the_model_is_an_usual_one() -> None:
    model = fitted([("like", 0, START), *[("impression", 1, START)] * 50], items=2)
    newer = Popular().load(model.dump(), items_of(4))
    usual = float(unpacked(model.dump())["usual"])
    assert scores(newer) == pytest.approx([*scores(model), usual, usual])
    assert newer.order.tolist() == [0, 2, 3, 1]
    assert newer.rank(query_of(), np.ones(4, bool), 3, rng()).positions.tolist() == [0, 2, 3]


def test_what_was_dumped_is_loaded() -> None:
    model = fitted([("like", 0, START), ("impression", 1, START)])
    loaded = Popular().load(model.dump(), items_of(ITEMS))
    assert loaded.dump() == model.dump()
    assert loaded.order.tolist() == model.order.tolist()


@pytest.mark.parametrize("blob", [b"", b"any bytes", fitted([], items=ITEMS + 1).dump()], ids=["no", "other", "longer"])
def test_what_is_no_model_of_this_catalogue_is_refused(blob: bytes) -> None:
    with pytest.raises(ValueError):
        Popular().load(blob, items_of(ITEMS))


# options and checkpoints; a restart against a replay is in test_restart


@pytest.mark.parametrize("shrinkage", [0.0, -1.0])
def test_without_shrinkage_there_are_no_rates(shrinkage: float) -> None:
    with pytest.raises(ValueError, match="shrinkage must be above 0"):
        Popular(shrinkage=shrinkage)


def test_what_was_saved_goes_on() -> None:
    first, second = [("like", 0, START)], [("like", 1, START + 3 * DAY_S)]
    before, after = Popular(), Popular()
    before.add(frame(first))
    assert after.resume(before.save(), 1) == 1
    after.add(frame(second))
    assert fit(after).dump() == fitted(first, second).dump()


def test_a_model_does_not_change_while_its_learner_goes_on() -> None:
    learner = Popular()
    learner.add(frame([("like", 0, START)]))
    model = fit(learner)
    before, order = model.dump(), model.order.tolist()
    learner.add(frame([("like", 1, START + 1e7)] * 9))
    assert fit(learner).dump() != before
    assert (model.dump(), model.order.tolist()) == (before, order)


def test_a_grown_catalogue_has_the_new_items_among_the_others() -> None:
    learner = Popular()
    learner.add(frame([("like", 0, START), ("like", 1, START)]))
    fit(learner, 2)
    learner.add(frame([("like", 4, START)] * 2))
    model = fit(learner, 6)
    assert sorted(model.order.tolist()) == list(range(6))
    assert model.order[0] == 4
