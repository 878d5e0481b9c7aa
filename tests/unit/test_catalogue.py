"""The catalogue: a replay that gives every process the same positions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.catalogue import MAX_GENRES, Catalogue
from recsys.contract import ItemRecord

FAST = settings(deadline=None, max_examples=50)
RECORDS = st.lists(
    st.builds(
        ItemRecord,
        id=st.sampled_from("abcdef"),
        genres=st.lists(st.sampled_from("uvwxyz"), unique=True, max_size=4).map(tuple),
    ),
    max_size=20,
)


def record(item_id: str, *genres: str) -> ItemRecord:
    return ItemRecord(id=item_id, genres=genres)


def replay(*chunks: list[ItemRecord]) -> Catalogue:
    catalogue = Catalogue()
    for chunk in chunks:
        catalogue.extend(chunk)
    return catalogue


@FAST
@given(RECORDS, st.data())
def test_replay_is_the_same_whatever_the_chunks(records: list[ItemRecord], data: st.DataObject) -> None:
    whole, cut = replay(records), Catalogue()
    while records:
        size = data.draw(st.integers(1, len(records)))
        cut.extend(records[:size])
        records = records[size:]
        if data.draw(st.booleans()):
            cut.genres()  # reading in between must not matter
    assert (cut.ids, cut.index, cut.genre_names, cut.history) == (
        whole.ids,
        whole.index,
        whole.genre_names,
        whole.history,
    )
    assert np.array_equal(cut.genres(), whole.genres())


@FAST
@given(RECORDS)
def test_first_record_gives_the_position_and_last_one_the_genres(records: list[ItemRecord]) -> None:
    catalogue = replay(records)
    last = {r.id: r.genres for r in records}
    assert catalogue.ids == list(dict.fromkeys(r.id for r in records))
    assert catalogue.index == {item: position for position, item in enumerate(catalogue.ids)}
    assert catalogue.genre_names == list(dict.fromkeys(name for r in records for name in r.genres))
    assert catalogue.history == records
    assert {item: catalogue.genres_of(item) for item in catalogue.ids} == last
    expected = [[name in last[item] for name in catalogue.genre_names] for item in catalogue.ids]
    assert catalogue.genres().tolist() == expected


def test_empty_catalogue() -> None:
    catalogue = Catalogue()
    assert (len(catalogue), catalogue.chunks, catalogue.genres().shape) == (0, 0, (0, 0))


def test_every_chunk_counts_even_an_empty_one() -> None:
    assert replay([record("a")], [], [record("a")]).chunks == 3


def test_upsert_replaces_genres_and_keeps_the_position() -> None:
    catalogue = replay([record("a", "x", "y"), record("b", "y")])
    catalogue.genres()
    catalogue.extend([record("a", "z")])
    assert (catalogue.ids, catalogue.genre_names) == (["a", "b"], ["x", "y", "z"])
    assert catalogue.genres().tolist() == [[False, False, True], [False, True, False]]


@pytest.mark.parametrize("later", [record("a", "y"), record("a", "z"), record("c", "x")], ids=["row", "genre", "item"])
def test_a_matrix_handed_out_never_changes(later: ItemRecord) -> None:
    catalogue = replay([record("a", "x"), record("b", "y")])
    before = catalogue.genres()
    catalogue.extend([later])
    assert catalogue.genres() is not before
    assert before.tolist() == [[True, False], [False, True]]


def test_matrix_is_kept_while_nothing_arrives() -> None:
    catalogue = replay([record("a", "x")])
    assert catalogue.genres() is catalogue.genres()


def test_genre_names_beyond_the_limit_are_ignored() -> None:
    catalogue = replay([record(f"i{n}", f"g{n}") for n in range(MAX_GENRES + 44)])
    matrix = catalogue.genres()
    assert catalogue.genre_names == [f"g{n}" for n in range(MAX_GENRES)]
    assert matrix.shape == (MAX_GENRES + 44, MAX_GENRES)
    assert matrix.sum(axis=1).tolist() == [1] * MAX_GENRES + [0] * 44
    assert catalogue.genres_of(f"i{MAX_GENRES}") == (f"g{MAX_GENRES}",)


def test_known_genres_of_a_partly_ignored_item_count() -> None:
    catalogue = replay([record(f"i{n}", f"g{n}") for n in range(MAX_GENRES)], [record("late", "tag", "g7")])
    assert np.flatnonzero(catalogue.genres()[catalogue.index["late"]]).tolist() == [7]


def test_changes_are_new_items_and_new_genres() -> None:
    catalogue = replay([record("a", "x"), record("b")])
    new = [record("a", "x"), record("b", "y"), record("c")]
    assert catalogue.changes(new) == new[1:]
    catalogue.extend(new)
    assert catalogue.changes(new) == []


# as recommenders see it


def test_items_are_the_catalogue_of_one_moment() -> None:
    catalogue = replay([record("a", "x"), record("b")], [record("a", "y")])
    items = catalogue.items()
    assert (len(items), items.ids, items.genre_names, items.records) == (2, ["a", "b"], ["x", "y"], 3)
    assert items.genres.tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize("later", [record("a", "y"), record("a", "z"), record("c", "x")], ids=["row", "genre", "item"])
def test_items_that_were_handed_out_never_change(later: ItemRecord) -> None:
    catalogue = replay([record("a", "x"), record("b", "y")])
    before = catalogue.items()
    catalogue.extend([later])
    after = catalogue.items()
    assert after is not before
    assert after.records > before.records
    assert (before.ids, before.genre_names, before.genres.tolist()) == (
        ["a", "b"],
        ["x", "y"],
        [[True, False], [False, True]],
    )


def test_items_are_the_same_while_nothing_arrives() -> None:
    """So that what was made of them is found again."""
    catalogue = replay([record("a", "x")])
    assert catalogue.items() is catalogue.items()
    before = catalogue.items()
    catalogue.extend([])
    assert catalogue.items() is before


def test_no_items() -> None:
    items = Catalogue().items()
    assert (len(items), items.records, items.genres.shape) == (0, 0, (0, 0))


def test_genres_of_an_unknown_item_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        Catalogue().genres_of("a")
