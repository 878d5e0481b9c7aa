"""Catalogue files, good and bad."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsys.catalogue_csv import CatalogueError, Item, catalogue_file, read_items
from recsys.settings import ROOT


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return tmp_path / "movies.csv"


def test_movielens_rows(csv: Path) -> None:
    csv.write_text(
        'movieId,title,genres\n1,"American President, The (1995)",Comedy|Drama|Comedy|\n2,Other,(no genres listed)\n',
        encoding="utf-8-sig",
    )
    read = read_items(csv)
    assert [(item.id, item.title, item.genres) for item in read.rows] == [
        ("1", "American President, The (1995)", ("Comedy", "Drama")),
        ("2", "Other", ()),
    ]
    assert not read.skipped


def test_columns_in_any_order_and_extra_ones(csv: Path) -> None:
    csv.write_text("year, genres ,movieId,title\n1995,Drama,7, Heat\n")
    columns = {"year": "1995", "genres": "Drama", "movieId": "7", "title": "Heat"}
    assert read_items(csv).rows == [Item("7", "Heat", ("Drama",), columns)]


def test_of_several_rows_with_one_id_the_last_counts(csv: Path) -> None:
    csv.write_text("movieId,title,genres\n1,a,A\n2,b,B\n1,c,C\n")
    assert [(item.id, item.title) for item in read_items(csv).rows] == [("1", "c"), ("2", "b")]


def test_broken_rows_are_skipped_with_their_line_number(csv: Path) -> None:
    many = "|".join(map(str, range(257)))
    csv.write_text(f"movieId,title,genres\n1,a,A\n2,b\n,c,A\n\nx y,d,A\n5,e,{'g' * 101}\n6,f,B\n7,,B\n8,h,{many}\n")
    read = read_items(csv)
    assert [item.id for item in read.rows] == ["1", "6"]
    assert [(row.line, row.problem) for row in read.skipped] == [
        (3, "2 fields instead of 3"),
        (4, "movieId '' is not an id"),
        (6, "movieId 'x y' is not an id"),
        (7, "a genre longer than 100 characters"),
        (9, "no title"),
        (10, "more than 256 genres"),
    ]


def test_an_unclosed_quotation_mark_is_noticed(csv: Path) -> None:
    csv.write_text('movieId,title,genres\n1,"a,A\n2,b",B\n3,c,C\n')
    read = read_items(csv)
    assert [item.id for item in read.rows] == ["3"]
    assert "unclosed quotation mark" in read.skipped[0].problem


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,title,genres\n", "line 1: the header lacks movieId; found id,title,genres"),
        (b"", "line 1: the header lacks movieId, title, genres; found nothing"),
        (b"movieId,title,genres\n1,\xff,A\n", "line 2: this is not UTF-8 text"),
        (b'movieId,title,genres\n1,"' + b"a" * 200_000, "line 2: field larger"),
    ],
)
def test_a_file_that_is_no_catalogue(csv: Path, content: bytes, message: str) -> None:
    csv.write_bytes(content)
    with pytest.raises(CatalogueError, match=message):
        read_items(csv)


def test_a_missing_file(csv: Path) -> None:
    with pytest.raises(CatalogueError, match="cannot be read: No such file"):
        read_items(csv)


def test_a_folder_of_movielens(tmp_path: Path) -> None:
    assert catalogue_file(tmp_path) == tmp_path / "movies.csv"
    assert catalogue_file(tmp_path / "films.csv") == tmp_path / "films.csv"


def test_the_demo_catalogue_has_no_broken_row() -> None:
    read = read_items(ROOT / "webapp" / "data" / "catalogue.csv")
    assert len(read.rows) == 500
    assert not read.skipped
