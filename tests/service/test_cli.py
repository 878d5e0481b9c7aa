"""``python -m regular_pipeline`` and its commands, as processes."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pytest
import redis

from recsys.recommenders.bandit.statistics import Statistics
from recsys.schemas import EVENT_SCHEMA
from recsys.stores.connect import State, log_folder
from recsys.stores.event_log import EventLog
from recsys.stores.redis_scripts import QUEUE, TOP, USERS
from recsys.user_state import DISLIKE, LIKE, SHOWN
from tests.servers import ROOT, RedisServer, wait_until
from tests.service.rig import Rig, arrays_of, ids, pipeline_stopped

WITHIN_S: Final = 120
CATALOGUE: Final = ids("item", 40)
FANS: Final = ids("fan", 6)


@pytest.fixture(scope="module")
def rig(folder: Path, redis_server: RedisServer) -> Iterator[Rig]:
    with Rig(folder, redis_server.url, redis_server.url) as made:
        made.add(CATALOGUE[:25], [["Drama"]] * 25)
        made.add([*CATALOGUE[20:], "7"], [["Comedy", "Romance"]] * 21)  # five of them are updates
        for n, fan in enumerate(FANS):
            shown = made.recs(fan)
            made.react(fan, likes=[*shown[:2], "ghost"], dislikes=shown[2 : 3 + n], timestamp=float(n))
        made.recs("somebody who never reacted".replace(" ", "-"))
        dislikes = sum(1 + n for n in range(len(FANS)))
        made.wait_counted(likes=18, unknown_items=6, dislikes=dislikes, impressions=70)
        made.wait_published()
        yield made


def command(*args: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Its output goes to files of no particular width."""
    own = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    return subprocess.run(
        [sys.executable, "-m", "regular_pipeline", *args],
        cwd=ROOT,
        env={**own, **env},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def require_one_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error:")
    for word in words:
        assert word in lines[0]
    assert "Traceback" not in done.stderr + done.stdout


def test_help_names_every_command(rig: Rig) -> None:
    done = command("--help", env=rig.env)
    assert done.returncode == 0
    for name in ("once", "rebuild", "export", "stats"):
        assert name in done.stdout


def test_stats(rig: Rig) -> None:
    wait_until_everything_is_logged(rig)
    done = command("stats", env=rig.env)
    assert done.returncode == 0, done.stderr
    rows = {
        cells[0]: cells[1]
        for line in done.stdout.splitlines()
        if len(cells := [cell.strip() for cell in line.replace("┃", "│").strip("│ ").split("│")]) == 2
    }
    counters = rig.counters()
    assert rows["epoch"] == str(rig.epoch())
    assert rows["likes"] == str(counters["likes"])
    assert rows["impressions"] == str(counters["impressions"])
    assert rows["queued messages"] == "0"
    assert f"{counters['applied']} rows" in rows[f"log of epoch {rig.epoch()}"]


def test_export_writes_every_row(rig: Rig, tmp_path: Path) -> None:
    wait_until_everything_is_logged(rig)
    target = tmp_path / "log.csv"
    done = command("export", "--csv", str(target), env=rig.env)
    assert done.returncode == 0, done.stderr
    assert str(target) in done.stdout
    with target.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(EVENT_SCHEMA)
    logged = rig.whole_log()
    assert len(rows) == logged.height == rig.counters()["applied"]
    assert [row["item_id"] for row in rows] == logged["item_id"].to_list()
    assert [row["kind"] for row in rows] == logged["kind"].to_list()
    assert {row["timestamp"] for row in rows if row["kind"] == "impression"} == {""}


def test_what_cannot_be_exported_is_said_in_one_sentence(rig: Rig, tmp_path: Path) -> None:
    missing = tmp_path / ":x:" / "events.csv"  # rich would make a picture of that name
    said = f"error: {missing} cannot be written: No such file or directory"
    require_one_sentence(command("export", "--csv", str(missing), env=rig.env), said)
    require_one_sentence(command("export", "--csv", str(tmp_path / "x"), "--epoch", "5", env=rig.env), "epoch 5")


@pytest.mark.parametrize("args", [(), ("once",), ("rebuild",)], ids=["the loop", "once", "rebuild"])
def test_a_second_pipeline_on_the_same_data_is_refused(rig: Rig, args: tuple[str, ...]) -> None:
    require_one_sentence(command(*args, env=rig.env), str(rig.data), "another pipeline")
    assert rig.pipeline.running


@pytest.mark.parametrize("name", ["rebuild", "export"])
def test_a_log_that_is_not_there_is_said_in_one_sentence(rig: Rig, tmp_path: Path, name: str) -> None:
    empty, earlier = tmp_path / ("a-folder-with-a-long-name-" * 4), tmp_path / "earlier.csv"
    earlier.write_text("of another day")
    args = [name, "--csv", str(earlier)] if name == "export" else [name]
    epoch = rig.epoch()
    require_one_sentence(command(*args, env={**rig.env, "DATA_DIR": str(empty)}), str(empty))
    assert rig.epoch() == epoch
    assert len(rig.catalogue()["genres"]) == 3
    assert earlier.read_text() == "of another day"


def test_a_store_that_is_away_is_one_sentence(rig: Rig) -> None:
    env = {**rig.env, "REDIS_URL": "redis://:secret@127.0.0.1:1/0", "BROKER_URL": "redis://127.0.0.1:1/0"}
    done = command("stats", env=env)
    require_one_sentence(done, "127.0.0.1:1")
    assert "secret" not in done.stderr


def test_once_drains_what_is_queued_publishes_and_exits(rig: Rig) -> None:
    wait_until_everything_is_logged(rig)
    with pipeline_stopped(rig):
        before = rig.counters()
        for n in range(5):
            rig.react(f"late-{n}", likes=[CATALOGUE[30]])
        assert rig.depth() == 5
        done = command("once", env=rig.env)
        assert done.returncode == 0, done.stderr
        assert "drained 5 messages" in done.stdout
        assert rig.depth() == 0
        assert rig.counters()["likes"] == before["likes"] + 5
        rig.wait_published()
        assert "drained 0 messages" in command("once", env=rig.env).stdout
        assert rig.counters()["likes"] == before["likes"] + 5


# rebuild


@dataclass
class Contents:
    epoch: int
    catalogue: list[Any]
    counters: dict[str, int]
    users: dict[str, set[int]]  # codes
    versions: dict[str, str]  # of the models
    rows: dict[str, int]  # that they reflect
    statistics: dict[str, np.ndarray]
    top_lists: dict[bytes, bytes]
    queue: set[bytes]


def contents(rig: Rig) -> Contents:
    async def catalogue(state: State) -> list[Any]:
        return [record for chunk in await state.catalogue.since(await state.epochs.current(), 0) for record in chunk]

    models = rig.models()
    _, blob = rig.model()
    assert blob is not None
    return Contents(
        epoch=rig.epoch(),
        catalogue=rig.ask(catalogue),
        counters=rig.counters(),
        users={user: set(np.frombuffer(codes, "<u4").tolist()) for user, codes in all_codes(rig).items()},
        versions={name: rig.model(name)[0] for name in models},
        rows={name: facts["rows"] for name, facts in models.items()},
        statistics=arrays_of(Statistics.load(blob)),
        top_lists=rig.raw("HGETALL", name=TOP),
        queue=set(rig.raw("LRANGE", "0", "-1", name=QUEUE)),
    )


def all_codes(rig: Rig) -> dict[str, bytes]:
    return {user.decode(): codes for user, codes in rig.raw("HGETALL", name=USERS).items()}


def wait_until_everything_is_logged(rig: Rig) -> None:
    """What was shown is in the users' states at once, and in the log a moment later."""

    def caught_up() -> bool:
        shown = sum(int((np.frombuffer(codes, "<u4") & 3 == SHOWN).sum()) for codes in all_codes(rig).values())
        return shown == rig.counters()["impressions"]

    wait_until(caught_up, 30, "everything that was shown is in the log")
    rig.wait_published()


def forget_everything(rig: Rig) -> None:
    """Delete the keys of this system and of no other."""
    with redis.Redis.from_url(rig.settings.redis_url) as client:
        keys = list(client.scan_iter(match=f"{rig.settings.key_prefix}:*", count=1_000))
        assert keys
        client.delete(*keys)


def test_rebuild_restores_everything_from_the_log_alone(rig: Rig) -> None:
    wait_until_everything_is_logged(rig)
    with pipeline_stopped(rig):
        before = contents(rig)
        forget_everything(rig)
        assert rig.recs("visitor") == [], "the services notice the loss"
        rig.add(CATALOGUE[:25])  # as the launcher does at its next start
        assert command("once", env=rig.env).returncode == 0
        assert len(EventLog(log_folder(rig.settings)).epochs()) == 2
        done = command("rebuild", env=rig.env)
        assert done.returncode == 0, done.stderr
        assert str(before.epoch) in done.stdout
        after = contents(rig)
        assert after.epoch == before.epoch
        assert after.catalogue == before.catalogue
        assert after.counters == before.counters
        assert after.users == before.users
        assert after.statistics.keys() == before.statistics.keys()
        for name, array in before.statistics.items():
            np.testing.assert_array_equal(after.statistics[name], array, err_msg=name)
        assert (after.versions, after.rows) == (before.versions, before.rows)
        assert after.top_lists == before.top_lists
        ids = list(dict.fromkeys(record.id for record in before.catalogue))
        told = set(rig.whole_log().filter(pl.col("kind") != "hide")["item_id"])
        assert after.queue >= {item.encode() for item in ids if item not in told}
    # Everybody goes on from there.
    rest = len(CATALOGUE) + 1 - len({code >> 2 for code in before.users[FANS[0]]})
    again = rig.recs(FANS[0], k=rest)
    position = {record.id: n for n, record in enumerate({r.id: r for r in before.catalogue}.values())}
    assert {position[item] for item in again}.isdisjoint({code >> 2 for code in before.users[FANS[0]]})
    assert len(again) == rest
    rig.react("after", likes=[CATALOGUE[0]])
    rig.wait_counted(likes=before.counters["likes"] + 1)


def test_rebuild_of_an_epoch_that_was_cleaned_up(rig: Rig, folder: Path) -> None:
    """On copies of the folder and under a prefix of its own, so that the running system does not notice."""
    wait_until_everything_is_logged(rig)
    with pipeline_stopped(rig):
        before = contents(rig)
        elsewhere = folder / "copy"
        subprocess.run(["cp", "-r", str(rig.data), str(elsewhere)], check=True)
    env = {**rig.env, "DATA_DIR": str(elsewhere), "KEY_PREFIX": rig.settings.key_prefix + "_copy"}
    other = Rig(folder / "other", rig.settings.redis_url, rig.settings.broker_url)
    other.settings = rig.settings.model_copy(update={"key_prefix": env["KEY_PREFIX"], "data_dir": elsewhere})
    ended = other.epoch()  # a new number: nothing is known under this prefix
    assert ended != before.epoch
    done = command("rebuild", "--epoch", str(before.epoch), env=env)
    assert done.returncode == 0, done.stderr
    assert contents(other).users == before.users
    assert contents(other).counters == before.counters
    other.http.close()


def test_marks_are_what_the_log_says(rig: Rig) -> None:
    """The oracle of the states that ``rebuild`` is compared with."""
    rows = rig.whole_log().filter(rig.whole_log()["item_index"] >= 0)
    marks = {"impression": SHOWN, "like": LIKE, "dislike": DISLIKE}
    for fan in FANS:
        own = rows.filter(rows["user_id"] == fan)
        assert rig.history(fan) >= {
            (index, marks[kind]) for index, kind in zip(own["item_index"], own["kind"], strict=True)
        }
