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


FLAGS = "0|0|0|0|0|1|0|0|1|0|0|0|0|0|0|0|0|0|0"  # of 100K: Comedy and Drama
PACKINGS = {
    "movies.csv": "movieId,title,genres\n1,Café (1995),Comedy|Drama\n2,Other,(no genres listed)\n",
    "movies.dat": "1::Café (1995)::Comedy|Drama\n2::Other::(no genres listed)\n",
    "u.item": f"1|Café (1995)|01-Jan-1995||http://x|{FLAGS}\n2|Other||||1{'|0' * 18}\n",
}


@pytest.mark.parametrize("name", PACKINGS)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["unix", "windows"])
def test_every_packing_of_movielens(tmp_path: Path, name: str, encoding: str, line_end: str) -> None:
    path = tmp_path / name
    path.write_bytes(PACKINGS[name].replace("\n", line_end).encode(encoding))
    assert catalogue_file(tmp_path) == path
    if (name, encoding) == ("movies.csv", "latin-1"):
        with pytest.raises(CatalogueError, match="line 2: this is not UTF-8 text"):
            read_items(path)
        return
    read = read_items(path)
    assert [(item.id, item.title, item.genres) for item in read.rows] == [
        ("1", "Café (1995)", ("Comedy", "Drama")),
        ("2", "Other", ()),
    ]
    assert not read.skipped
    assert [set(item.columns) for item in read.rows] == [{"movieId", "title", "genres"}] * 2


@pytest.mark.parametrize("name", ["movies.dat", "u.item"])
def test_bad_lines_of_the_other_packings_are_skipped_with_their_number(tmp_path: Path, name: str) -> None:
    path, many = tmp_path / name, "|".join(map(str, range(257)))
    lines = {
        "movies.dat": ["1::A::Drama", "2::B", "", "x::C::Drama", "5::::Drama", f"6::F::{'g' * 101}", f"7::G::{many}"],
        "u.item": [f"1|A||||{FLAGS}", "2|B", "", f"x|C||||{FLAGS}", f"5|||||{FLAGS}"],
    }[name]
    path.write_text("\n".join([*lines, lines[0].replace("1", "8", 1)]) + "\n")
    read = read_items(path)
    assert [item.id for item in read.rows] == ["1", "8"]
    problems = [(row.line, row.problem) for row in read.skipped]
    assert [line for line, _ in problems] == list(range(2, len(lines) + 1))
    assert [problem.partition(",")[0] for _, problem in problems[:2]] == ["the line is cut off"] * 2
    assert "the movie id is 'x'" in problems[2][1]
    assert problems[3:] == [
        (5, "no title"),
        *([(6, "a genre longer than 100 characters"), (7, "more than 256 genres")] if name == "movies.dat" else []),
    ]


@pytest.mark.parametrize("name", PACKINGS)
def test_of_several_lines_with_one_id_the_last_counts_in_every_packing(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    last = PACKINGS[name].splitlines()[-1]
    path.write_text(PACKINGS[name] + last.replace("2", "1", 1).replace("Other", "Again") + "\n")
    read = read_items(path)
    assert [(item.id, item.title) for item in read.rows] == [("1", "Again"), ("2", "Other")]


def test_the_genres_of_100k_may_be_named_by_a_file_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "u.genre").write_text("unknown|0\nTragédie|1\n\n", encoding="latin-1")
    (tmp_path / "u.item").write_text("1|A||||0|1\n2|B||||1|0\n")
    assert [item.genres for item in read_items(tmp_path / "u.item").rows] == [("Tragédie",), ()]


@pytest.mark.parametrize("name", ["movies.dat", "u.item"])
def test_other_packings_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(CatalogueError, match=f"{name} cannot be read: No such file"):
        read_items(tmp_path / name)
    (tmp_path / name).touch()
    assert read_items(tmp_path / name).rows == []


def test_the_demo_catalogue_has_no_broken_row() -> None:
    read = read_items(ROOT / "webapp" / "data" / "catalogue.csv")
    assert len(read.rows) == 500
    assert not read.skipped
