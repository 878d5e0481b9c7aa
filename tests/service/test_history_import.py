"""Ratings from before this system, by ``python -m regular_pipeline import``: in the log, and learned from."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

from recsys.contract import HISTORY
from recsys.recommenders.item_knn import ItemKnn
from recsys.recommenders.neighbours import NeighbourModel
from recsys.user_state import DISLIKE, LIKE
from tests.servers import ROOT, RedisServer, wait_until
from tests.service.rig import Rig, ids, pipeline_stopped
from tests.unit.by_hand import items_of

WITHIN_S: Final = 120
CATALOGUE: Final = ids("item", 30)
FANS: Final = ids("fan", 6)
HEADER: Final = "user_id,item_id,rating,timestamp"
# Each fan likes items 0 to 2 and dislikes item 3; the last rating is neither.
RATINGS: Final = [
    *(f"{fan},item-{item},{stars},{1_000 + item}" for fan in FANS for item, stars in enumerate((5, 4.5, 4, 1))),
    "fan-0,item-9,3.5,1",
]


@pytest.fixture(scope="module")
def system(folder: Path, redis_server: RedisServer) -> Iterator[Rig]:
    """Two live recommenders that learn from likes, each in its way; no chance in the order of the second."""
    with Rig(
        folder,
        redis_server.url,
        redis_server.url,
        RECOMMENDER="item-knn:shrinkage=1,bandit",
        EXPLORE="off",
        DIVERSITY="0",
    ) as made:
        yield made


@pytest.fixture
def rig(system: Rig) -> Rig:
    """Emptied, with items."""
    system.cleanup()
    system.add(CATALOGUE, [["Drama"]] * len(CATALOGUE))
    return system


def written(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "ratings.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def command(env: Mapping[str, str], *args: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    return subprocess.run(
        [sys.executable, "-m", "regular_pipeline", "import", *args],
        cwd=ROOT,
        env={**own, **env},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def imported(rig: Rig, path: Path, *options: str) -> str:
    """What the command says at its end."""
    done = command(rig.env, str(path), *options)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.strip().splitlines()[-1]


def require_one_sentence(done: subprocess.CompletedProcess[str], sentence: str) -> None:
    assert done.returncode == 1, done.stdout
    line = done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error") == 1, done.stderr
    assert line.startswith("error: ")
    assert sentence in line
    assert "imported" not in done.stdout


def neighbours(rig: Rig) -> NeighbourModel:
    _, blob = rig.model("item-knn")
    assert blob is not None
    return ItemKnn().load(blob, items_of(len(CATALOGUE)))


def contents(rig: Rig) -> dict[str, Any]:
    """Everything that an import may change."""
    return {
        "log": rig.whole_log().rows(),
        "counters": rig.counters(),
        "users": {user: rig.codes(user) for user in FANS},
        "models": {name: rig.model(name) for name in ("item-knn", "bandit")},
    }


def test_ratings_are_in_the_log_with_a_source_of_their_own(rig: Rig, tmp_path: Path) -> None:
    with pipeline_stopped(rig):
        said = imported(rig, written(tmp_path, *RATINGS))
        assert said == "24 imported, 1 neither like nor dislike"
        log = rig.whole_log()
        assert log.height == 24
        assert set(log["source"]) == {HISTORY}
        assert dict(log.group_by("kind").len().rows()) == {"like": 18, "dislike": 6}
        assert log["timestamp"].to_list() == sorted(log["timestamp"].to_list()), "in the order of time"
        assert log["event_id"].is_unique().all()
        assert log["item_index"].to_list() == [int(item.removeprefix("item-")) for item in log["item_id"]]
        assert rig.counters() | {"likes": 18, "dislikes": 6, "applied": 24} == rig.counters()
        assert rig.history("fan-0") == {(0, LIKE), (1, LIKE), (2, LIKE), (3, DISLIKE)}, "at once"
    rig.wait_published("bandit")


def test_what_a_user_rated_is_not_recommended_to_him(rig: Rig, tmp_path: Path) -> None:
    with pipeline_stopped(rig):
        imported(rig, written(tmp_path, *RATINGS))
    listed = rig.recs("fan-0", k=len(CATALOGUE) - 4)
    assert set(listed) == set(CATALOGUE) - {"item-0", "item-1", "item-2", "item-3"}


def test_an_import_that_is_repeated_changes_nothing(rig: Rig, tmp_path: Path) -> None:
    path = written(tmp_path, *RATINGS)
    with pipeline_stopped(rig):
        imported(rig, path)
        before = contents(rig)
        assert imported(rig, path) == "0 imported, 24 already there, 1 neither like nor dislike"
        after = contents(rig)
        assert after.keys() == before.keys()
        for name, value in before.items():
            assert after[name] == value, name
        # As after one that was cut off: what is there stays, the rest comes.
        more = written(tmp_path, *RATINGS, "late,item-5,5,7", "late,item-6,1,8", "late,item-5,5,7")
        assert imported(rig, more).startswith("2 imported, 25 already there")
        assert rig.whole_log().height == 26
        assert rig.history("late") == {(5, LIKE), (6, DISLIKE)}
    rig.wait_published("item-knn")
    assert rig.counters()["likes"] == 19


def test_everybody_learns_from_it(rig: Rig, tmp_path: Path) -> None:
    with pipeline_stopped(rig):
        imported(rig, written(tmp_path, *RATINGS))
        # Before any pipeline runs again.
        facts = rig.models()
        assert {name: facts[name]["rows"] for name in ("item-knn", "bandit")} == {"item-knn": 24, "bandit": 24}
        assert sorted(neighbours(rig).similar(0, 9).tolist()) == [1, 2]
        statistics = rig.statistics()
        assert statistics is not None
        assert min(statistics.mean[:3]) > max(statistics.mean[3:])
    rig.wait_published("item-knn")
    rig.react("new", likes=["item-0"])
    rig.wait_counted(likes=19)
    rig.wait_published("item-knn")
    rig.get("/top")  # the worker holds what is new
    answer = rig.get("/recs/new", explain=True).json()
    assert sorted(answer["item_ids"][:2]) == ["item-1", "item-2"]
    assert answer["sources"][:3] == ["item-knn", "item-knn", "bandit"]


def test_a_like_from_before_can_be_taken_back(rig: Rig, tmp_path: Path) -> None:
    with pipeline_stopped(rig):
        imported(rig, written(tmp_path, *RATINGS))
    for fan in FANS:
        body = {"user_id": fan, "item_ids": ["item-1"], "actions": ["undo"]}
        assert rig.http.post(rig.collector.url + "/interact", json=body).status_code == 200
    wait_until(lambda: rig.counters()["likes"] == 12, 30, "the likes are taken back")
    rig.wait_published("item-knn")
    assert neighbours(rig).similar(0, 9).tolist() == [2]
    assert neighbours(rig).similar(1, 9).tolist() == []
    undone = rig.log().filter(kind="undo")
    assert undone["source"].to_list() == [f"{HISTORY} like"] * len(FANS)


def test_what_waits_in_the_broker_is_drained_afterwards(rig: Rig, tmp_path: Path) -> None:
    with pipeline_stopped(rig):
        for fan in FANS[:3]:
            rig.react(fan, likes=["item-20"])
        assert rig.depth() == 3
        imported(rig, written(tmp_path, *RATINGS))
        assert rig.depth() == 3
    rig.wait_counted(likes=21)
    assert rig.log().filter(pl.col("source") != HISTORY)["item_id"].to_list() == ["item-20"] * 3
    assert (20, LIKE) in rig.history("fan-0")


def test_bad_lines_are_named_and_counted_and_the_others_are_imported(rig: Rig, tmp_path: Path) -> None:
    lines = [
        "fan-0,item-0,5,1",
        "fan 1,item-0,5,1",
        "fan-1,item-0,good,1",
        "",
        "fan-2,item-0,5,soon",
        "fan-3,ghost,5,1",
    ]
    path = written(tmp_path, *lines, *["fan-4,item-1,bad,1"] * 20)
    with pipeline_stopped(rig):
        done = command(rig.env, str(path))
        assert done.returncode == 0, done.stderr
        told = [line for line in done.stderr.splitlines() if str(path) in line]
        assert told[:4] == [
            f"{path}, line 3: user_id 'fan 1' is no id; left out.",
            f"{path}, line 4: rating 'good' is not a number; left out.",
            f"{path}, line 5: the line is empty; left out.",
            f"{path}, line 8: rating 'bad' is not a number; left out.",
        ]
        assert len(told) == 10, "the first of them"
        said = done.stdout.strip().splitlines()[-1]
        assert said == "3 imported, 23 bad lines, 1 of items that the catalogue does not know"
        assert rig.log().select("user_id", "item_index").rows() == [("fan-2", 0), ("fan-0", 0), ("fan-3", -1)]


def test_a_folder_of_movielens_with_other_limits(rig: Rig, tmp_path: Path) -> None:
    rig.add(["10", "20"])
    (tmp_path / "ratings.dat").write_text("1::10::3::1\n1::20::2::2\n2::10::2.5::3\n2::20\n")
    (tmp_path / "movies.dat").touch()
    with pipeline_stopped(rig):
        done = command(rig.env, str(tmp_path), "--like-from", "3", "--dislike-up-to", "2")
        assert done.returncode == 0, done.stderr
        assert "line 4: the line is cut off" in done.stderr
        assert done.stdout.strip().splitlines()[-1] == "2 imported, 1 neither like nor dislike, 1 bad lines"
        assert rig.log().select("user_id", "item_id", "kind").rows() == [("1", "10", "like"), ("1", "20", "dislike")]


def test_while_a_pipeline_runs_nothing_is_imported(rig: Rig, tmp_path: Path) -> None:
    done = command(rig.env, str(written(tmp_path, *RATINGS)))
    require_one_sentence(done, f"another pipeline writes to {rig.data}")
    assert "stop it first" in done.stderr
    assert rig.whole_log().is_empty()
    assert rig.pipeline.running


def test_files_that_are_no_history_are_a_sentence(rig: Rig, tmp_path: Path) -> None:
    other = written(tmp_path, "u,a,5", header="user,item,stars")
    require_one_sentence(command(rig.env, str(other)), f"{other}, line 1: the header must name user_id, item_id, ")
    missing = tmp_path / "none.csv"
    require_one_sentence(command(rig.env, str(missing)), f"{missing} cannot be read: No such file or directory")
    (tmp_path / "empty").mkdir()
    require_one_sentence(command(rig.env, str(tmp_path / "empty")), "is not a MovieLens data set")


def test_without_items_nothing_is_imported(rig: Rig, tmp_path: Path) -> None:
    rig.cleanup()
    with pipeline_stopped(rig):
        done = command(rig.env, str(written(tmp_path, *RATINGS)))
        require_one_sentence(done, "there are no items yet: send the catalogue first")
        assert rig.whole_log().is_empty()


def test_a_recommender_or_a_store_that_cannot_be_had_is_a_sentence(rig: Rig, tmp_path: Path) -> None:
    path = str(written(tmp_path, *RATINGS))
    require_one_sentence(command({**rig.env, "RECOMMENDER": "clever"}, path), "there is no recommender 'clever'")
    away = {"REDIS_URL": "redis://:secret@127.0.0.1:1/0", "BROKER_URL": "redis://127.0.0.1:1/0"}
    done = command({**rig.env, **away, "DATA_DIR": str(tmp_path / "data")}, path)
    require_one_sentence(done, "127.0.0.1:1")
    assert "secret" not in done.stderr
