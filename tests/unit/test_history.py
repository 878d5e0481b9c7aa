"""Ratings from before this system: each packing, good and bad lines, and that each rating is logged once."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.contract import HISTORY
from recsys.schemas import EVENT_SCHEMA
from regular_pipeline.drain import codes_of, counters_of
from regular_pipeline.history import (
    FLAWS_TOLD,
    History,
    HistoryError,
    read_history,
    rows_of_history,
    unlogged,
)

FAST = settings(deadline=None, max_examples=60)
Event = tuple[str, str, str, float | None]
HEADER: Final = "user_id,item_id,rating,timestamp\n"
AGAIN: Final = "unpack the data set again"
CUT_OFF: Final = f"the line is cut off, it should hold userId, movieId, rating, timestamp; {AGAIN}"


def csv_of(folder: Path, content: str | bytes) -> Path:
    path = folder / "ratings of old.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def events(history: History) -> list[Event]:
    return [tuple(row) for row in history.events.select("user_id", "item_id", "kind", "timestamp").iter_rows()]  # type: ignore[misc]


def read(folder: Path, content: str | bytes, **limits: float) -> History:
    return read_history(csv_of(folder, content), **limits)


def refusal(path: Path) -> str:
    with pytest.raises(HistoryError) as refused:
        read_history(path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


# CSV


def test_ratings_become_likes_and_dislikes_in_the_order_of_time(tmp_path: Path) -> None:
    found = read(tmp_path, HEADER + "u,a,5,30\nu,b,4,10\nv,a,3,20\nv,b,0.5,40\nu,c,3.5,50\nw,a,3.01,60\n")
    assert events(found) == [
        ("u", "b", "like", 10.0),
        ("v", "a", "dislike", 20.0),
        ("u", "a", "like", 30.0),
        ("v", "b", "dislike", 40.0),
    ]
    assert (found.neutral, found.bad, found.flaws) == (2, 0, [])


def test_the_scale_may_be_another(tmp_path: Path) -> None:
    found = read(tmp_path, "user_id,item_id,rating\nu,a,9\nu,b,7\nu,c,6.5\nu,d,-2\n", like_from=7, dislike_up_to=5)
    assert [event[2] for event in events(found)] == ["like", "like", "dislike"]
    assert found.neutral == 1


def test_actions(tmp_path: Path) -> None:
    found = read(tmp_path, "user_id,item_id,action\nu,a,like\nu,b,dislike\nu,c,hide\nu,d,undo\nu,e,Like\nu,f,\n")
    assert events(found) == [("u", "a", "like", None), ("u", "b", "dislike", None), ("u", "c", "hide", None)]
    assert found.flaws == [
        (5, "action 'undo' is not one of like, dislike, hide"),
        (6, "action 'Like' is not one of like, dislike, hide"),
        (7, "action '' is not one of like, dislike, hide"),
    ]


def test_an_action_counts_more_than_a_rating_beside_it(tmp_path: Path) -> None:
    assert events(read(tmp_path, "user_id,item_id,rating,action\nu,a,1,like\n")) == [("u", "a", "like", None)]


def test_columns_may_stand_in_any_order_among_others(tmp_path: Path) -> None:
    found = read(tmp_path, ",timestamp,title,rating , item_id,user_id\n0,7,Heat,5,a,u\n1,8,,1,b,u\n")
    assert events(found) == [("u", "a", "like", 7.0), ("u", "b", "dislike", 8.0)]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfuser_id,item_id,rating\nu,a,5\nv,b,1\n",
        b"user_id,item_id,rating\r\nu,a,5\r\nv,b,1\r\n",
        b"\xef\xbb\xbfuser_id,item_id,rating\r\nu,a,5\r\nv,b,1",
        b'"user_id","item_id","rating"\n"u","a","5"\n"v","b","1"\n',
        b"user_id,item_id,rating\nu,a,5,more,and more\nv,b,1\n",
        b"user_id,item_id,rating\nu,a,5.0\nv,b,1e0",
    ],
    ids=["byte order mark", "Windows", "both, and no last line end", "in quotes", "more fields", "other numbers"],
)
def test_how_else_a_file_may_be_written(tmp_path: Path, content: bytes) -> None:
    found = read(tmp_path, content)
    assert events(found) == [("u", "a", "like", None), ("v", "b", "dislike", None)]
    assert found.bad == 0


def test_bad_rows_are_named_by_their_lines_and_the_others_are_read(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        HEADER + "u,a,5,1\n,a,5,1\nu,,5,1\nu u,a,5,1\nu,a/b,5,1\nu,a,good,1\nu,a,,1\nu,a\nu\n\nu,b,1,2\nu,a,nan,1\n",
    )
    assert events(found) == [("u", "a", "like", 1.0), ("u", "b", "dislike", 2.0)]
    assert found.bad == len(found.flaws) == 10
    assert found.flaws == [
        (3, "user_id '' is no id"),
        (4, "item_id '' is no id"),
        (5, "user_id 'u u' is no id"),
        (6, "item_id 'a/b' is no id"),
        (7, "rating 'good' is not a number"),
        (8, "rating '' is not a number"),
        (9, "rating '' is not a number"),
        (10, "item_id '' is no id"),
        (11, "the line is empty"),
        (13, "rating 'nan' is not a number"),
    ]


@pytest.mark.parametrize("rating", ["nan", "NaN", "inf", "-inf", "1e999"])
def test_a_rating_that_is_no_finite_number_is_bad(tmp_path: Path, rating: str) -> None:
    found = read(tmp_path, f"user_id,item_id,rating\nu,a,{rating}\n")
    assert (events(found), found.neutral, found.bad) == ([], 0, 1)


def test_lines_are_counted_though_a_field_has_some_of_its_own(tmp_path: Path) -> None:
    found = read(tmp_path, 'user_id,item_id,title,rating\nu,a,"A\nfilm, in\nlines",5\n"v,w",b,"x",none\n')
    assert events(found) == [("u", "a", "like", None)]
    assert found.flaws == [(5, "rating 'none' is not a number")]


def test_a_comma_in_quotes_divides_nothing(tmp_path: Path) -> None:
    assert events(read(tmp_path, 'user_id,item_id,rating\n"u,v","a,b",5\n')) == [("u,v", "a,b", "like", None)]


def test_text_in_another_encoding_costs_its_line_alone(tmp_path: Path) -> None:
    found = read(tmp_path, b"user_id,item_id,rating,title\nu,a,5,caf\xe9\nv\xe9,a,5,x\n")
    assert events(found) == [("u", "a", "like", None)]
    assert [line for line, _ in found.flaws] == [3]


def test_of_many_bad_lines_the_first_are_told(tmp_path: Path) -> None:
    found = read(tmp_path, "user_id,item_id,rating\n" + "u,a,5\nu,a,bad\n" * 200)
    assert found.bad == 200
    assert [line for line, _ in found.flaws] == [3 + 2 * n for n in range(FLAWS_TOLD)]


@pytest.mark.parametrize(
    ("timestamp", "moment"),
    [
        ("1700000000", 1.7e9),
        ("1700000000.25", 1700000000.25),
        ("0", 0.0),
        ("-5", -5.0),
        ("1700000000000", 1.7e12),
        ("", None),
        ("yesterday", None),
        ("nan", None),
        ("inf", None),
        ("-1e999", None),
    ],
)
def test_timestamps_are_seconds_and_what_is_none_does_not_matter(
    tmp_path: Path, timestamp: str, moment: float | None
) -> None:
    found = read(tmp_path, f"{HEADER}u,a,5,{timestamp}\n")
    assert events(found) == [("u", "a", "like", moment)]
    assert found.bad == 0


def test_without_timestamps_the_order_is_that_of_the_file(tmp_path: Path) -> None:
    plain = read(tmp_path, "user_id,item_id,rating\n" + "".join(f"u,{item},5\n" for item in "dacb"))
    assert [event[1] for event in events(plain)] == list("dacb")
    some = read(tmp_path, HEADER + "u,a,5,9\nu,b,5,\nu,c,5,3\nu,d,5,\nu,e,5,3\n")
    assert [event[1] for event in events(some)] == list("bdcea"), "those without come first"


def test_nothing_but_a_header(tmp_path: Path) -> None:
    found = read(tmp_path, HEADER)
    assert (events(found), found.neutral, found.bad, found.flaws) == ([], 0, 0, [])


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", "found nothing"),
        ("\n\n", "found nothing"),
        ("user,item,stars\nu,a,5\n", "found user,item,stars"),
        ("user_id,item_id\nu,a\n", "found user_id,item_id"),
        ("user_id,rating\nu,5\n", "found user_id,rating"),
        ("User_Id,item_id,rating\nu,a,5\n", "found User_Id,item_id,rating"),
        ("user_id;item_id;rating\nu;a;5\n", "found user_id;item_id;rating"),
        ("user_id,item_id,rating,rating\nu,a,5,1\n", "found 'rating' twice"),
        ("u,a,5\n", "found u,a,5"),
        ("x" * 500, "found " + "x" * 80),
    ],
)
def test_another_header_is_a_sentence(tmp_path: Path, content: str, found: str) -> None:
    path = csv_of(tmp_path, content)
    needed = "the header must name user_id, item_id, action or rating, and perhaps timestamp"
    assert refusal(path) == f"{path}, line 1: {needed}; {found}"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    missing = tmp_path / "none.csv"
    assert refusal(missing) == f"{missing} cannot be read: No such file or directory"
    unclosed = csv_of(tmp_path, 'user_id,item_id,rating\nu,a,5\n"u,b,5\nu,c,5\n')
    assert refusal(unclosed) == f"{unclosed} cannot be read: a quote is never closed"
    assert "cannot be read" in refusal(csv_of(tmp_path, "user_id,item_id,rating\ru,a,5\r"))
    assert "the header must name" in refusal(csv_of(tmp_path, HEADER.encode("utf-16")))


IDS = st.from_regex(r"[!-.0-~]{1,5}", fullmatch=True)
LINES = st.lists(
    st.tuples(
        st.one_of(IDS, st.sampled_from(["", "a b", "a/b", "é"])),
        IDS,
        st.sampled_from(["5", "4", "3.5", "3", "0.5", "none", "nan", ""]),
        st.sampled_from(["", "1", "2", "1.5", "later"]),
        st.sampled_from(["", "x", "two\nlines", 'a "quote"', "a, b"]),
    ),
    max_size=15,
)


@FAST
@given(LINES, st.sampled_from(["\n", "\r\n"]))
def test_as_python_reads_it(tmp_path_factory: pytest.TempPathFactory, lines: list[Any], line_end: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=line_end)
    writer.writerows([["user_id", "item_id", "rating", "timestamp", "note"], *lines])
    found = read(tmp_path_factory.mktemp("csv"), text.getvalue())
    expected, neutral, flaws, line = [], 0, [], 2
    for number, (user, item, rating, timestamp, note) in enumerate(lines):
        kind = {"5": "like", "4": "like", "3.5": "neutral", "3": "dislike", "0.5": "dislike"}.get(rating)
        if user in ("", "a b", "a/b", "é") or kind is None:
            flaws.append(line)
        elif kind == "neutral":
            neutral += 1
        else:
            moment = float(timestamp) if timestamp not in ("", "later") else None
            expected.append((moment is not None, moment or 0.0, number, (user, item, kind, moment)))
        line += 1 + note.count("\n")
    assert events(found) == [event for *_, event in sorted(expected)]
    assert (found.neutral, found.bad) == (neutral, len(flaws))
    assert [line for line, _ in found.flaws] == flaws[:FLAWS_TOLD]


# MovieLens

PACKINGS: Final = {
    "csv": {
        "ratings.csv": b"userId,movieId,rating,timestamp\n1,10,4.0,30\n1,20,3.5,20\n2,10,3.0,10\n2,30,0.5,40\n",
        "movies.csv": b"movieId,title,genres\n",
    },
    "dat": {
        "ratings.dat": b"1::10::4::30\n1::20::3.5::20\n2::10::3::10\n2::30::0.5::40\n",
        "movies.dat": b"",
    },
    "100k": {
        "u.data": b"1\t10\t4\t30\n1\t20\t3.5\t20\n2\t10\t3\t10\n2\t30\t0.5\t40\n",
        "u.item": b"",
    },
}
EACH_PACKING: Final = pytest.mark.parametrize("packing", PACKINGS)


def movielens(folder: Path, packing: str, add: bytes = b"", **change: Any) -> Path:
    """A folder of this packing with more ratings; or ratings of other bytes."""
    for name, content in PACKINGS[packing].items():
        (folder / name).write_bytes(content)
    ratings = folder / next(iter(PACKINGS[packing]))
    ratings.write_bytes(change.get("ratings", ratings.read_bytes() + add))
    return folder


@EACH_PACKING
@pytest.mark.parametrize("windows", [False, True], ids=["unix", "windows"])
def test_every_packing_of_movielens(tmp_path: Path, packing: str, windows: bool) -> None:
    folder = movielens(tmp_path, packing)
    if windows:
        path = folder / next(iter(PACKINGS[packing]))
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    found = read_history(folder)
    assert events(found) == [("2", "10", "dislike", 10.0), ("1", "10", "like", 30.0), ("2", "30", "dislike", 40.0)]
    assert (found.neutral, found.bad, found.flaws) == (1, 0, [])


@EACH_PACKING
def test_the_limits_count_for_movielens_too(tmp_path: Path, packing: str) -> None:
    found = read_history(movielens(tmp_path, packing), like_from=3.0, dislike_up_to=0.5)
    assert [kind for _, _, kind, _ in events(found)] == ["like", "like", "like", "dislike"]
    assert found.neutral == 0


@EACH_PACKING
def test_bad_lines_of_movielens_are_named_and_the_others_are_read(tmp_path: Path, packing: str) -> None:
    lines = ["1,10,6,1", "1,10,x,1", "1,10", "", "1 1,10,4,1", "3,10,5,soon", "3,20,5,"]
    separator = {"csv": ",", "dat": "::", "100k": "\t"}[packing]
    bad = "".join(line.replace(",", separator) + "\n" for line in lines).encode()
    found = read_history(movielens(tmp_path, packing, bad))
    first = 6 if packing == "csv" else 5
    assert found.flaws[:5] == [
        (first, f"the rating is '6' instead of a number from 0.5 to 5; {AGAIN}"),
        (first + 1, f"the rating is 'x' instead of a number from 0.5 to 5; {AGAIN}"),
        (first + 2, CUT_OFF),
        (first + 3, "the line is empty; delete it"),
        (first + 4, f"the userId is '1 1' instead of a whole number below 2**31; {AGAIN}"),
    ]
    assert ("3", "10", "like", None) in events(found), "a timestamp that is none does not matter"
    assert len(events(found)) == 4 + (found.bad == 5)


def test_a_copy_without_timestamps(tmp_path: Path) -> None:
    found = read_history(movielens(tmp_path, "csv", ratings=b"userId,movieId,rating\n1,10,5\n2,20,1\n"))
    assert events(found) == [("1", "10", "like", None), ("2", "20", "dislike", None)]


@pytest.mark.parametrize("ratings", [b"user,item,stars\n1,10,5\n", b""])
def test_another_header_of_movielens_is_a_sentence(tmp_path: Path, ratings: bytes) -> None:
    folder = movielens(tmp_path, "csv", ratings=ratings)
    sentence = refusal(folder)
    assert sentence.startswith(f"{folder / 'ratings.csv'}, line 1: the header is ")
    assert sentence.endswith(f"instead of 'userId,movieId,rating,timestamp'; {AGAIN}.")


@pytest.mark.parametrize("packing", ["dat", "100k"])
def test_without_a_header_a_first_line_of_fewer_fields_is_a_sentence(tmp_path: Path, packing: str) -> None:
    separator = {"dat": "::", "100k": "\t"}[packing]
    folder = movielens(tmp_path, packing, ratings=f"1{separator}10\n1{separator}20\n".encode())
    assert refusal(folder) == f"{folder / next(iter(PACKINGS[packing]))}, line 1: {CUT_OFF}"


@pytest.mark.parametrize("packing", ["dat", "100k"])
def test_files_without_ratings(tmp_path: Path, packing: str) -> None:
    assert events(read_history(movielens(tmp_path, packing, ratings=b""))) == []


def test_folders_that_are_no_movielens(tmp_path: Path) -> None:
    assert refusal(tmp_path).startswith(f"{tmp_path} is not a MovieLens data set: it needs one of the pairs ")
    (tmp_path / "u.item").touch()
    assert refusal(tmp_path) == f"{tmp_path} has no u.data: {AGAIN}, both files belong together."


# into the log


def logged(history: pl.DataFrame, log: pl.DataFrame, index: dict[str, int]) -> pl.DataFrame:
    return rows_of_history(unlogged(history, log.lazy()), index, 5e9)


EMPTY: Final = pl.DataFrame(schema=EVENT_SCHEMA)
SAID = st.lists(
    st.tuples(
        st.sampled_from("uv"),
        st.sampled_from(["a", "b", "ghost"]),
        st.sampled_from(["like", "dislike", "hide"]),
        st.sampled_from([None, 1.0, 2.5]),
    ),
    max_size=20,
)


def history_of(said: list[Event]) -> pl.DataFrame:
    schema = {"user_id": pl.String, "item_id": pl.String, "kind": pl.String, "timestamp": pl.Float64}
    return pl.DataFrame(said, schema, orient="row")


def test_rows_of_the_log() -> None:
    said: list[Event] = [("u", "a", "like", 1.0), ("u", "ghost", "dislike", None)]
    rows = logged(history_of(said), EMPTY, {"b": 0, "a": 1})
    assert rows.schema == EVENT_SCHEMA
    assert rows.rows(named=True) == [
        {
            "event_id": f"{HISTORY} u a like 1.0",
            "kind": "like",
            "user_id": "u",
            "item_id": "a",
            "item_index": 1,
            "position": 0,
            "source": HISTORY,
            "received_at": 5e9,
            "timestamp": 1.0,
            "undone_at": None,
        },
        {
            "event_id": f"{HISTORY} u ghost dislike ",
            "kind": "dislike",
            "user_id": "u",
            "item_id": "ghost",
            "item_index": -1,
            "position": 0,
            "source": HISTORY,
            "received_at": 5e9,
            "timestamp": None,
            "undone_at": None,
        },
    ]
    assert counters_of(rows) == {"likes": 1, "dislikes": 1, "impressions": 0, "unknown_items": 1}
    assert codes_of(rows).keys() == {"u"}


@FAST
@given(SAID, SAID)
def test_each_rating_is_logged_once(first: list[Event], second: list[Event]) -> None:
    """However often and in however many parts it is imported."""
    index = {"a": 0, "b": 1}
    log = logged(history_of(first), EMPTY, index)
    assert sorted(map(str, log.select("user_id", "item_id", "kind", "timestamp").rows())) == sorted(
        map(str, set(first))
    )
    assert logged(history_of(first), log, index).is_empty()
    more = pl.concat([log, logged(history_of([*first, *second]), log, index)])
    assert sorted(map(str, more.select("user_id", "item_id", "kind", "timestamp").rows())) == sorted(
        map(str, {*first, *second})
    )
    assert more["event_id"].is_unique().all()


def test_what_was_said_in_this_system_is_something_else() -> None:
    """The same words of the same user, but with a source of their own."""
    said = history_of([("u", "a", "like", 1.0)])
    here = logged(said, EMPTY, {"a": 0}).with_columns(source=pl.lit(""))
    assert logged(said, here, {"a": 0}).height == 1


def test_the_order_is_kept() -> None:
    said: list[Event] = [("u", item, "like", float(n)) for n, item in enumerate("cabdae")]
    rows = logged(history_of(said), EMPTY, {item: n for n, item in enumerate("abcde")})
    assert rows["item_id"].to_list() == list("cabdae")
    assert rows["item_index"].to_list() == [2, 0, 1, 3, 0, 4]


def test_nothing_is_imported_of_nothing() -> None:
    assert logged(history_of([]), EMPTY, {"a": 0}).schema == EVENT_SCHEMA
    assert logged(history_of([("u", "a", "like", None)]), EMPTY, {})["item_index"].to_list() == [-1]
