"""Neighbourhoods that follow the log: against sets of who likes what, compared pair by pair."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from itertools import combinations
from typing import Any, Final

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.recommenders import item_knn
from recsys.recommenders.arrays import unpacked
from recsys.recommenders.item_knn import ItemKnn
from recsys.recommenders.neighbours import NeighbourModel
from recsys.recommenders.port import Live, Resumable
from recsys.user_state import DISLIKE, LIKE
from tests.unit.by_hand import data_of, items_of, log_of, rng
from tests.unit.tastes import asking, ranked, refusal

FAST = settings(deadline=None, max_examples=80)
ITEMS: Final = 5
Row = tuple[str, str, int]
KIND = st.sampled_from(
    ["like", "like", "like", "dislike", "hide", "impression", "undo", "undo like", "undo history like", "undo dislike"]
)
ROWS = st.lists(st.tuples(st.sampled_from("abc"), KIND, st.integers(-1, ITEMS - 1)), max_size=40)
Weights = dict[tuple[int, int], float]


def learned(*pieces: list[Row], **options: Any) -> ItemKnn:
    learner = ItemKnn(**options)
    for piece in pieces:
        learner.add(log_of(*piece))
    return learner


def fit(learner: ItemKnn, items: int = ITEMS) -> NeighbourModel:
    return learner.fit(data_of(items), None, rng())


def weights(model: NeighbourModel) -> Weights:
    """Both ways of each pair, as the model keeps them."""
    found = model._weights.tocoo()
    return {
        (int(a), int(b)): float(value) for a, b, value in zip(found.row, found.col, found.data, strict=True) if value
    }


def of(*rows: Row, items: int = ITEMS, **options: Any) -> Weights:
    return weights(fit(learned(list(rows), **options), items))


def naive(rows: list[Row], shrinkage: float, history: int = ITEMS) -> Weights:
    """Who likes what in the end, in which order; an undo says what it takes back."""
    liked: defaultdict[str, list[int]] = defaultdict(list)
    for user, kind, item in rows:
        if kind == "like" and item not in liked[user]:
            liked[user].append(item)
        elif kind in ("undo like", "undo history like") and item in liked[user]:
            liked[user].remove(item)
    likes = Counter(item for of in liked.values() for item in of)
    both = Counter(
        frozenset(pair)
        for of in liked.values()
        for n, item in enumerate(of)
        for pair in ((item, other) for other in of[n + 1 : n + 1 + history])
    )
    found: Weights = {}
    for a, b in combinations(range(ITEMS), 2):
        if both[frozenset((a, b))]:
            found[a, b] = found[b, a] = both[frozenset((a, b))] / (math.sqrt(likes[a] * likes[b]) + shrinkage)
    return found


def test_it_follows_the_log() -> None:
    assert isinstance(ItemKnn(), Live)
    assert isinstance(ItemKnn(), Resumable)


@FAST
@given(ROWS, st.sampled_from([0.0, 0.5, 5.0, 100.0]), st.sampled_from([1, 2, 3, ITEMS]))
def test_weights_are_shrunk_cosines_of_who_likes_both(rows: list[Row], shrinkage: float, history: int) -> None:
    rows = [row for row in rows if row[2] >= 0]
    expected = naive(rows, shrinkage, history)
    assert of(*rows, shrinkage=shrinkage, history=history) == pytest.approx(expected, rel=1e-5)


def test_taking_back_an_old_like_leaves_other_users_pairs() -> None:
    rows: list[Row] = [("a", "like", item) for item in range(4)]
    rows += [("a", "undo like", 0), ("b", "like", 0), ("b", "like", 2)]
    assert (0, 2) in of(*rows, history=1)


@FAST
@given(ROWS, st.data())
def test_however_the_log_is_cut_it_learns_the_same(rows: list[Row], data: st.DataObject) -> None:
    places = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=6)))
    pieces = [rows[a:b] for a, b in zip([0, *places], [*places, len(rows)], strict=True)]
    whole = fit(learned(rows)).dump()
    assert fit(learned(*pieces)).dump() == whole
    assert fit(learned(*([row] for row in rows))).dump() == whole, "row by row"


def test_a_fit_between_two_rows_changes_nothing() -> None:
    rows: list[Row] = [(user, "like", item) for user in "abc" for item in range(3)]
    learner = learned(rows[:4])
    before = fit(learner)
    kept = before.dump()
    learner.add(log_of(*rows[4:]))
    assert fit(learner).dump() == fit(learned(rows)).dump() != kept
    assert before.dump() == kept, "a model does not change while its learner goes on"


def test_what_everybody_likes_is_not_near_everything() -> None:
    """All like item 0; the two who like 1 like 2 as well."""
    rows: list[Row] = [
        *((f"u{n}", "like", 0) for n in range(50)),
        *((f"u{n}", "like", i) for n in (0, 1) for i in (1, 2)),
    ]
    found = of(*rows, shrinkage=1.0)
    assert found[1, 2] > found[1, 0]
    assert ranked(fit(learned(rows, shrinkage=1.0)), asking((1, LIKE)), ITEMS) == [2, 0]


def test_a_chance_meeting_of_rare_items_counts_less_than_many() -> None:
    rows: list[Row] = [("a", "like", 0), ("a", "like", 1), *((f"u{n}", "like", i) for n in range(20) for i in (0, 2))]
    assert of(*rows, shrinkage=5.0)[0, 2] > of(*rows, shrinkage=5.0)[0, 1]
    lonely: list[Row] = [("a", "like", 0), ("a", "like", 1)]
    assert of(*lonely, shrinkage=0.0)[0, 1] == pytest.approx(1)
    assert of(*lonely, shrinkage=5.0)[0, 1] == pytest.approx(1 / 6)


def test_a_like_that_is_repeated_counts_once() -> None:
    assert of(("a", "like", 0), ("a", "like", 1), ("a", "like", 0), ("a", "like", 1), ("a", "like", 1)) == of(
        ("a", "like", 0), ("a", "like", 1)
    )


def test_a_like_that_is_taken_back_leaves_nothing() -> None:
    others: list[Row] = [("b", "like", 0), ("b", "like", 2)]
    rows: list[Row] = [("a", "like", 0), ("a", "like", 1), *others, ("a", "undo like", 1)]
    assert of(*rows) == of(("a", "like", 0), *others)
    assert of(*rows, ("a", "like", 1)) == of(("a", "like", 0), ("a", "like", 1), *others), "and it can come again"
    assert of(("c", "undo like", 3)) == {}, "of what was never said nothing is taken back"


def test_dislikes_do_not_teach_it() -> None:
    likes: list[Row] = [("a", "like", 0), ("a", "like", 1)]
    assert of(*likes, ("a", "dislike", 2), ("b", "dislike", 0), ("b", "dislike", 1)) == of(*likes)


def test_dislikes_of_the_user_count_against_their_neighbours() -> None:
    rows: list[Row] = [(user, "like", i) for user in "abc" for i in (0, 1)]
    rows += [(user, "like", i) for user in "de" for i in (0, 2)] + [(user, "like", i) for user in "fgh" for i in (3, 1)]
    plain, strict = fit(learned(rows)), fit(learned(rows, dislike=1.0))
    assert ranked(plain, asking((0, LIKE)), ITEMS) == ranked(strict, asking((0, LIKE)), ITEMS) == [1, 2]
    assert ranked(plain, asking((0, LIKE), (3, DISLIKE)), ITEMS) == [1, 2]
    assert ranked(strict, asking((0, LIKE), (3, DISLIKE)), ITEMS) == [2]


def test_of_a_user_the_newest_likes_are_paired_with_the_next_one() -> None:
    rows: list[Row] = [("a", "like", item) for item in range(4)]
    assert {pair for pair in of(*rows, history=2) if pair[0] < pair[1]} == {(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)}
    assert {pair for pair in of(*rows, history=1) if pair[0] < pair[1]} == {(0, 1), (1, 2), (2, 3)}


def test_of_each_item_the_nearest_others_are_kept() -> None:
    rows: list[Row] = [(f"{item}{n}", "like", i) for item in (1, 2, 3) for n in range(2 * item) for i in (0, item)]
    found = of(*rows, neighbours=2)
    assert {b for a, b in found if a == 0} == {2, 3}
    assert found[1, 0] > 0, "each has its own"
    assert found == {pair: of(*rows)[pair] for pair in found}


def test_of_many_pairs_those_with_the_fewest_users_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_knn, "MOST_PAIRS", 6)
    often: list[Row] = [(user, "like", item) for user in "abc" for item in range(3)]
    once: list[Row] = [("z", "like", item) for item in range(10, 14)]
    found = weights(fit(learned(often, once), 20))
    assert {pair for pair in found if pair[0] < pair[1]} == {(0, 1), (0, 2), (1, 2)}
    assert found == of(*often, items=20)


def test_items_that_nobody_likes_have_no_neighbours() -> None:
    model = fit(learned([("a", "like", 0), ("a", "like", 1)]), 9)
    assert model.similar(8, 3).tolist() == []
    assert model.similar(0, 3).tolist() == [1]
    assert ranked(model, asking((8, LIKE)), 9) == []


@pytest.mark.parametrize("rows", [[], [("a", "impression", 0)], [("a", "like", -1)], [("a", "like", 3)]])
def test_without_two_likes_of_one_user_it_knows_nothing(rows: list[Row]) -> None:
    model = fit(learned(rows))
    assert weights(model) == {}
    assert ranked(model, asking((3, LIKE)), ITEMS) == []


# checkpoints


@FAST
@given(ROWS, st.integers(0, 40))
def test_what_was_saved_goes_on(rows: list[Row], cut: int) -> None:
    before, after = learned(rows[:cut], history=3), ItemKnn(history=3)
    assert after.resume(before.save(), 77) == 77
    after.add(log_of(*rows[cut:]))
    assert fit(after).dump() == fit(learned(rows, history=3)).dump()
    before.add(log_of(*rows[cut:]))
    assert unpacked(after.save()).keys() == unpacked(before.save()).keys()


def test_what_is_no_checkpoint_is_refused() -> None:
    with pytest.raises(ValueError):
        ItemKnn().resume(b"any bytes", 1)


def test_names_of_users_survive_a_restart() -> None:
    users = ["1", "01", "é", "a b", "x" * 256]
    rows = [(user, "like", item) for user in users for item in (0, 1)]
    after = ItemKnn()
    after.resume(learned(rows).save(), 0)
    after.add(log_of(*rows))
    assert fit(after).dump() == fit(learned(rows)).dump(), "all of it is known"


def test_a_frame_without_rows() -> None:
    learner = ItemKnn()
    learner.add(pl.DataFrame(schema=log_of().schema))
    assert weights(fit(learner)) == {}
    assert weights(learner.load(fit(learner).dump(), items_of(ITEMS + 1))) == {}


# options


@pytest.mark.parametrize("option", ["neighbours=0", "history=0", "shrinkage=-1", "dislike=-0.1", "neighbours=many"])
def test_options_that_cannot_be(option: str) -> None:
    sentence = refusal(f"item-knn:{option}")
    assert option in sentence
    assert "from" in sentence or "integer" in sentence


def test_the_newest_like_of_a_large_catalogue() -> None:
    """Both positions of a pair are in one number."""
    learner = learned([("a", "like", 3), ("a", "like", 200_000)])
    assert weights(fit(learner, 200_001)).keys() == {(3, 200_000), (200_000, 3)}
