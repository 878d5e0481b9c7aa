"""MovieLens folders of every packing, and what is said about damaged ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.errors import GraderError
from grader.worlds.movielens import movielens_world
from grader.worlds.world import World

MOVIES = """movieId,title,genres
10,"Comma, The (1999)",Comedy|Drama
7,Plain (2001),Drama
30,Nothing (2002),(no genres listed)
20,Unrated (2003),War
"""
RATINGS = """userId,movieId,rating,timestamp
2,7,4.0,1
2,10,3.0,2
1,30,5.0,3
1,7,0.5,4
9,7,3.5,5
"""
GENRES_100K = (
    "unknown Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy Film-Noir Horror Musical "
    "Mystery Romance Sci-Fi Thriller War Western"
)


def folder(path: Path, **files: str) -> Path:
    for name, text in files.items():
        (path / name.replace("_", ".")).write_text(text, encoding="latin-1")
    return path


def csv_world(path: Path, ratings: str = RATINGS, movies: str = MOVIES) -> World:
    return movielens_world(folder(path, ratings_csv=ratings, movies_csv=movies))


def opinions(world: World) -> list[dict[int, bool]]:
    """For each user what items are liked or not."""
    bounds = zip(world.indptr[:-1], world.indptr[1:], strict=True)
    return [dict(zip(world.opinion_items[a:b].tolist(), world.liked[a:b].tolist(), strict=True)) for a, b in bounds]


def genres(world: World) -> list[set[str]]:
    return [set(names) for names in world.genre_lists()]


def test_csv_items_are_all_movies_in_order_of_their_ids(tmp_path: Path) -> None:
    world = csv_world(tmp_path)
    assert list(world.genre_names) == ["Comedy", "Drama", "War"]
    assert genres(world) == [{"Drama"}, {"Comedy", "Drama"}, {"War"}, set()]  # movies 7, 10, 20, 30


def test_csv_likes_from_4_stars_dislikes_up_to_3_and_no_user_without_either(tmp_path: Path) -> None:
    world = csv_world(tmp_path)
    assert opinions(world) == [{0: False, 3: True}, {0: True, 1: False}]  # users 1 and 2; 9 has only 3.5 stars
    dtypes = [array.dtype.name for array in (world.indptr, world.opinion_items, world.liked)]
    assert dtypes == ["int64", "int32", "bool"]


def test_dat(tmp_path: Path) -> None:
    movies = "1::Caf\xe9: the film (1995)::Animation|Children's\n3::B::Drama\n"
    world = movielens_world(folder(tmp_path, movies_dat=movies, ratings_dat="5::3::4::97\n5::1::2::98\n6::1::5::99\n"))
    assert genres(world) == [{"Animation", "Children's"}, {"Drama"}]
    assert opinions(world) == [{0: False, 1: True}, {0: True}]


@pytest.mark.parametrize("with_names", [True, False])
def test_100k(tmp_path: Path, with_names: bool) -> None:
    known = GENRES_100K.split()
    flags = ["1" if name in ("Comedy", "Western") else "0" for name in known]
    items = f"1|Caf\xe9 (1995)|01-Jan-1995||http://x|{'|'.join(flags)}\n2|U (1995)|||x|1{'|0' * 18}\n"
    folder(tmp_path, u_item=items, u_data="196\t2\t3\t881\n186\t1\t5\t891\n")
    if with_names:
        folder(tmp_path, u_genre="".join(f"{name}|{number}\n" for number, name in enumerate(known)) + "\n")
    world = movielens_world(tmp_path)
    assert genres(world) == [{"Comedy", "Western"}, set()]
    assert opinions(world) == [{0: True}, {1: False}]


def test_windows_line_ends_and_byte_order_mark(tmp_path: Path) -> None:
    for name, text in (("ratings.csv", RATINGS), ("movies.csv", MOVIES)):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert opinions(movielens_world(tmp_path)) == [{0: False, 3: True}, {0: True, 1: False}]


@pytest.mark.parametrize("timestamp", ["84743496 https://example.org/x", "12,13", "never", '"'])
def test_a_damaged_timestamp_does_not_matter(tmp_path: Path, timestamp: str) -> None:
    world = csv_world(tmp_path, RATINGS.replace("2,7,4.0,1\n", f"2,7,4.0,{timestamp}\n"))
    assert opinions(world)[1] == {0: True, 1: False}


def test_timestamps_may_be_missing_altogether(tmp_path: Path) -> None:
    assert opinions(csv_world(tmp_path, "userId,movieId,rating\n1,7,4\n1,10,1")) == [{0: True, 1: False}]


def test_the_last_of_two_ratings_counts(tmp_path: Path) -> None:
    world = csv_world(tmp_path, RATINGS + "2,7,1.0,6\n1,7,3.5,7\n")
    assert opinions(world) == [{3: True}, {0: False, 1: False}]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from([7, 10, 20, 30]), st.integers(1, 10)), min_size=1))
def test_as_a_dictionary_would_do_it(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, int]]
) -> None:
    path = tmp_path_factory.mktemp("ratings")
    last = {(user, movie): stars / 2 for user, movie, stars in [*rows, (9, 7, 10)]}
    lines = "".join(f"{user},{movie},{stars / 2},0\n" for user, movie, stars in [*rows, (9, 7, 10)])
    expected: dict[int, dict[int, bool]] = {}
    for (user, movie), stars in sorted(last.items()):
        if stars != 3.5:
            expected.setdefault(user, {})[[7, 10, 20, 30].index(movie)] = stars >= 4
    assert opinions(csv_world(path, "userId,movieId,rating,timestamp\n" + lines)) == list(expected.values())


def refusal(path: Path) -> str:
    with pytest.raises(GraderError) as error:
        movielens_world(path)
    sentence = str(error.value)
    assert sentence.endswith(".")
    assert len(sentence) < 300 + len(str(path))
    assert "\n" not in sentence
    return sentence


BAD_RATINGS = [
    ("2,10\n", "cut off"),
    ("2,10,\n", "cut off"),
    ("2,10,3.0\n", "cut off"),
    ("2,10,good,2\n", "rating is 'good'"),
    ("2,10,nan,2\n", "rating is 'nan'"),
    ("2,10,50,2\n", "rating is '50'"),
    ("two,10,3.0,2\n", "userId is 'two'"),
    ("2,x10,3.0,2\n", "movieId is 'x10'"),
    ("99999999999,10,3.0,2\n", "userId is '99999999999'"),
    (f"2,{'1' * 5_000},3.0,2\n", "movieId is '111"),
    (f"2,10,{'x' * 5_000},2\n", "rating is 'xxx"),
    ("\n", "empty"),
    ("2,11,3.0,2\n", "movie 11 is not in the movies file"),
]


@pytest.mark.parametrize(("bad", "problem"), BAD_RATINGS, ids=[problem for _, problem in BAD_RATINGS])
def test_bad_rating_lines_are_named(tmp_path: Path, bad: str, problem: str) -> None:
    ratings = RATINGS.replace("2,10,3.0,2\n", bad)
    sentence = refusal(folder(tmp_path, ratings_csv=ratings, movies_csv=MOVIES))
    assert "ratings.csv, line 3: " in sentence
    assert problem in sentence


def test_a_file_that_ends_too_early_is_noticed(tmp_path: Path) -> None:
    cut = RATINGS[: -len(".5,5\n")]  # "9,7,3" is a good rating, but not what was written
    assert "ratings.csv, line 6: the line is cut off" in refusal(folder(tmp_path, ratings_csv=cut, movies_csv=MOVIES))


def test_lines_of_files_without_a_header_are_counted_from_1(tmp_path: Path) -> None:
    folder(tmp_path, movies_dat="1::A::Drama\n", ratings_dat="5::1::4::97\n5::1::::97\n")
    assert "ratings.dat, line 2: the line is cut off" in refusal(tmp_path)
    for line, problem in (
        ("5::x::4::97", "the movieId is 'x'"),
        ("5::1", "the line is cut off"),
        ("5::1::4::97::98", "the line has 5 fields instead of 4"),
        ("5::1::6::97", "the rating is '6'"),
        ("", "the line is empty"),
    ):
        folder(tmp_path, ratings_dat=f"{line}\n5::1::4::97\n")
        assert f"ratings.dat, line 1: {problem}" in refusal(tmp_path)


BAD_MOVIES = [
    ("7,Plain\n", "cut off"),
    ("\n", "cut off"),
    ("seven,Plain,Drama\n", "movie id is 'seven'"),
    ("10,Again,Drama\n", "movie 10 is there a second time"),
    ('7,"Plain (2001),Drama\n', "cut off"),  # the quote swallows the rest of the file
    ('7,"Plain (2001),Drama\n' + "8,Eight,Drama\n" * 10_000, "a quote that is never closed"),
    (f"{'7' * 5_000},Plain,Drama\n", "movie id is '777"),
    ("9999999999,Plain,Drama\n", "movie id is '9999999999'"),
]


@pytest.mark.parametrize(("bad", "problem"), BAD_MOVIES, ids=[problem for _, problem in BAD_MOVIES])
def test_bad_movie_lines_are_named(tmp_path: Path, bad: str, problem: str) -> None:
    movies = MOVIES.replace("7,Plain (2001),Drama\n", bad)
    sentence = refusal(folder(tmp_path, ratings_csv=RATINGS, movies_csv=movies))
    assert "movies.csv, line 3: " in sentence
    assert problem in sentence


def test_a_quote_before_the_header_is_named(tmp_path: Path) -> None:
    movies = '"movieId,title,genres\n' + "8,Eight,Drama\n" * 10_000
    sentence = refusal(folder(tmp_path, ratings_csv=RATINGS, movies_csv=movies))
    assert "movies.csv, line 1: " in sentence
    assert "a quote that is never closed" in sentence


def test_bad_lines_of_the_other_movie_files(tmp_path: Path) -> None:
    (tmp_path / "100k").mkdir()
    (tmp_path / "1m").mkdir()
    first = folder(tmp_path / "100k", u_item=f"1|A|||x{'|0' * 19}\n2|B|||x|0|1\n", u_data="1\t1\t3\t8\n")
    assert re.search(r"u\.item, line 2: .*7 of 24 fields", refusal(first))
    second = folder(tmp_path / "1m", movies_dat="1::A::Drama\n2::B\n", ratings_dat="1::1::3::8\n")
    assert re.search(r"movies\.dat, line 2: .*2 of 3 fields", refusal(second))


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("ratings.csv", "user,item,stars,when\n2,7,4.0,1\n", "line 1: the header is 'user,item,stars,when'"),
        ("ratings.csv", "2,7,4.0,1\n", "line 1: the header is '2,7,4.0,1'"),
        ("ratings.csv", "", "line 1: the header is ''"),
        ("ratings.csv", "userId,movieId,rating,timestamp\n", "has no ratings"),
        ("ratings.csv", "userId,movieId,rating,timestamp\n1,7,3.5,1\n", "has no likes or dislikes"),
        ("movies.csv", "id,name\n", "line 1: the header is 'id,name'"),
        ("movies.csv", "", "line 1: the header is ''"),
        ("movies.csv", "movieId,title,genres\n", "has no movies"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, text: str, problem: str) -> None:
    folder(tmp_path, ratings_csv=RATINGS, movies_csv=MOVIES)
    (tmp_path / name).write_text(text)
    sentence = refusal(tmp_path)
    assert name in sentence
    assert problem in sentence


def test_missing_files_and_folders(tmp_path: Path) -> None:
    assert "is not a folder" in refusal(tmp_path / "absent")
    assert "ratings.csv and movies.csv, ratings.dat and movies.dat, u.data and u.item" in refusal(tmp_path)
    folder(tmp_path, movies_csv=MOVIES)
    assert "has no ratings.csv" in refusal(tmp_path)
    (tmp_path / "movies.csv").rename(tmp_path / "ratings.csv")
    assert "has no movies.csv" in refusal(tmp_path)
