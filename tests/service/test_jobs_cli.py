"""``python -m jobs`` and its commands: what they say, and their exit codes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner

from jobs.__main__ import app
from recsys.settings import Settings
from tests.servers import ROOT, Child, wait_until
from tests.service.jobs_rig import COUNTS, FIT_RAISES, OWN, WAITS, JobsRig, begun, imported_anew

WITHIN_S: Final = 120
AWAY: Final = "redis://:secret@127.0.0.1:1/0"


@dataclass
class Said:
    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one sentence that it fails with."""
        assert self.code == 1, (self.out, self.err)
        (line,) = [line for line in self.err.splitlines() if line.strip()]
        assert line.startswith("error: ")
        return line.removeprefix("error: ")

    @property
    def rows(self) -> list[list[str]]:
        """Of the table, without its head and without cells that are empty."""
        assert self.code == 0, (self.out, self.err)
        head, *rows = [re.split(r"\s{2,}", line.strip()) for line in self.out.splitlines() if line.strip()]
        assert head == ["model", "rows", "seconds", "MB", "trained"]
        return rows

    @property
    def sentence(self) -> str:
        """The last line of what it says when all is well."""
        assert self.code == 0, (self.out, self.err)
        return self.out.strip().splitlines()[-1]


class Jobs(JobsRig):
    """The command."""

    @property
    def env(self) -> dict[str, str]:
        return super().env | {"RECOMMENDER": f"{COUNTS},{FIT_RAISES},{WAITS},popular", "COLUMNS": "200"}

    def __call__(self, *args: str, **env: str) -> Said:
        """In this process."""
        done = CliRunner().invoke(app, list(args), env=self.env | env)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Said(done.exit_code, done.stdout, done.stderr)

    def process(self, *args: str, **env: str) -> Said:
        """As a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "jobs", *args],
            cwd=ROOT,
            env=os.environ | self.env | env,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        return Said(done.returncode, done.stdout, done.stderr)

    def trained(self, versions: int) -> Jobs:
        """With so many of Counts, the last one in force."""
        for _ in range(versions):
            assert self("train", "--full", COUNTS).code == 0
        return self


@pytest.fixture
def jobs(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    return Jobs(settings, imported_anew(tmp_path / "own", monkeypatch))


# Help


def test_help_names_every_command(jobs: Jobs) -> None:
    done = jobs.process("--help")
    assert done.code == 0
    for name in ("worker", "train", "models", "use", "prune"):
        assert re.search(rf"\b{name}\b", done.out)
    assert jobs().out.strip() == jobs("--help").out.strip(), "without a command it helps"


@pytest.mark.parametrize("name", ["worker", "train", "models", "use", "prune"])
def test_every_command_has_help(jobs: Jobs, name: str) -> None:
    done = jobs(name, "--help", REDIS_URL=AWAY)
    assert done.code == 0
    assert f"{name} [OPTIONS]" in done.out
    assert {"train": "--full", "use": "NAME@VERSION"}.get(name, name) in done.out


# models


def test_models_that_there_are_not_yet(jobs: Jobs) -> None:
    assert jobs.process("models").rows == [[name, "no model yet"] for name in (COUNTS, FIT_RAISES, WAITS)]
    assert jobs("models", RECOMMENDER="popular").rows == []


def test_models_that_there_are(jobs: Jobs) -> None:
    jobs("train", COUNTS)
    jobs.like(3)
    jobs("train", COUNTS)
    jobs.store.write(jobs.epoch, "als", {"rows": 1_234_567, "seconds": 12.34, "full": True}, bytes(2_500_000))
    listed = jobs("models").rows
    assert [row[0] for row in listed] == ["als@1", f"{COUNTS}@1", f"{COUNTS}@2", FIT_RAISES, WAITS]
    assert listed[0] == ["als@1", "1,234,567", "12.3", "2.5", "from nothing"]
    assert (listed[1][1], listed[1][3:]) == ("3", ["0.0", "from nothing"])
    assert (listed[2][1], listed[2][3:]) == ("4", ["0.0", "further", "in force"])


@pytest.mark.parametrize("left", [0, 1, 40], ids=["empty", "a byte", "40 bytes"])
def test_models_that_are_damaged(jobs: Jobs, left: int) -> None:
    jobs.trained(2)
    jobs.path(1).write_bytes(jobs.path(1).read_bytes()[:left])
    first, second = jobs("models").rows[:2]
    assert (first[0], first[-1]) == (f"{COUNTS}@1", "damaged")
    assert (second[0], second[-1]) == (f"{COUNTS}@2", "in force")


def test_models_that_are_being_trained(jobs: Jobs) -> None:
    epoch = jobs.epoch
    progress = {"rows": 12_345, "share": 0.5, "doing": "half of it", "left_s": 12.4}
    jobs.ask(lambda state: state.models.train(epoch, WAITS, "somebody", progress, 60))
    jobs.ask(lambda state: state.models.train(epoch, COUNTS, "somebody", progress | {"share": 0, "left_s": None}, 60))
    listed = {row[0]: row[1:] for row in jobs("models").rows}
    assert listed[WAITS] == ["12,345", "under way", "50%: half of it, 12 s left"]
    assert listed[COUNTS] == ["12,345", "under way", "0%: half of it"]
    assert listed[FIT_RAISES] == ["no model yet"]


# train


def test_to_train(jobs: Jobs) -> None:
    assert jobs.process("train", COUNTS).sentence.startswith(f"{COUNTS}@1: trained from nothing on 3 rows in ")
    assert jobs("train", COUNTS).sentence == f"{COUNTS}: nothing is new"
    jobs.like(3)
    assert jobs("train", COUNTS).sentence.startswith(f"{COUNTS}@2: trained further on 4 rows in ")
    assert jobs("train", COUNTS, "--full").sentence.startswith(f"{COUNTS}@3: trained from nothing on 4 rows in ")
    assert jobs.in_force() == "3"


@pytest.mark.parametrize("name", ["als", "popular", "bandit", "", "own_learners:Nothing"])
def test_to_train_what_a_job_does_not_train(jobs: Jobs, name: str) -> None:
    those = f"{COUNTS}, {FIT_RAISES}, {WAITS}"
    assert jobs("train", name).error == f"{name!r} is none of the recommenders that a job trains: those are {those}"


def test_to_train_where_nothing_is_trained(jobs: Jobs) -> None:
    said = "'als' is none of the recommenders that a job trains: RECOMMENDER='popular' names none"
    assert jobs("train", "als", RECOMMENDER="popular").error == said


def test_to_train_what_somebody_trains(jobs: Jobs) -> None:
    epoch = jobs.epoch
    jobs.ask(lambda state: state.models.train(epoch, COUNTS, "somebody", {}, 60))
    assert jobs("train", COUNTS).sentence == f"{COUNTS} is being trained already"
    assert jobs.in_force() == ""


def test_a_training_that_fails(jobs: Jobs) -> None:
    jobs("train", FIT_RAISES)
    jobs.like(3)
    (jobs.home / "fit_broken").touch()
    assert jobs.process("train", FIT_RAISES).error == "RuntimeError: no fit today"
    listed = jobs("models").rows
    assert [listed[0][0], listed[0][-1]] == [f"{FIT_RAISES}@1", "in force"]
    assert [FIT_RAISES, "failed", "RuntimeError: no fit today"] in listed
    (jobs.home / "fit_broken").unlink()
    jobs("train", FIT_RAISES)
    assert not any("failed" in row for row in jobs("models").rows)


def test_a_first_training_that_fails(jobs: Jobs) -> None:
    (jobs.home / "fit_broken").touch()
    assert jobs("train", FIT_RAISES).error == "RuntimeError: no fit today"
    listed = jobs("models").rows
    assert [FIT_RAISES, "no model yet"] in listed
    assert [FIT_RAISES, "failed", "RuntimeError: no fit today"] in listed


def test_a_cleanup_during_a_training_is_a_sentence(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes while the model is written."""
    write = type(jobs.store).write

    def late(*args: Any, **how: Any) -> int:
        jobs.ask(lambda state: state.epochs.begin_next())
        return write(*args, **how)

    monkeypatch.setattr(type(jobs.store), "write", late)
    assert jobs("train", COUNTS).error == "a cleanup came: there is nothing to train on any more"
    assert list((jobs.settings.data_dir / "models").rglob("*.model")) == []


@pytest.fixture
def training(jobs: Jobs, tmp_path: Path) -> Iterator[Child]:
    """One that waits, in a process of its own."""
    child = Child("train", tmp_path, [sys.executable, "-m", "jobs", "train", WAITS], jobs.env)
    child.start()
    wait_until(lambda: bool(begun(jobs.home)) or not child.running, WITHIN_S, "it trains")
    yield child
    (jobs.home / "go").touch()
    child.stop()


def test_an_interruption_ends_a_training_at_once(jobs: Jobs, training: Child) -> None:
    """And lets somebody else train the model."""
    training.signal(signal.SIGINT)
    wait_until(lambda: not training.running, WITHIN_S, f"it ends: {training.output}")
    assert training._process is not None
    assert training._process.returncode == 130
    assert "Traceback" not in training.output
    assert not (jobs.home / "go").exists()
    (jobs.home / "go").touch()
    assert jobs("train", WAITS).sentence.startswith(f"{WAITS}@1: ")


# use


def test_to_use_another_version(jobs: Jobs) -> None:
    jobs.trained(3)
    assert jobs.process("use", f"{COUNTS}@1").sentence == f"{COUNTS}@1 is in force: 3 rows"
    assert jobs.in_force() == "1"
    assert [row[-1] for row in jobs("models").rows[:3]] == ["in force", "from nothing", "from nothing"]
    assert jobs("use", f"{COUNTS}@3").sentence == f"{COUNTS}@3 is in force: 3 rows"
    assert jobs.in_force() == "3"


@pytest.mark.parametrize(
    "text", ["als", "als@", "@3", "@", "", "als@three", "als@-1", "als@1.0", "als 3", f"{COUNTS}@1@", "als@³"]
)
def test_to_use_what_is_no_version(jobs: Jobs, text: str) -> None:
    jobs.trained(1)
    assert jobs("use", text).error == f"{text!r} is not NAME@VERSION, for example als@3"
    assert jobs.in_force() == "1"


@pytest.mark.parametrize("version", [f"{COUNTS}@2", "als@1", f"{COUNTS}@99999999999999999999", f"{COUNTS}@0"])
def test_to_use_what_is_not_there(jobs: Jobs, version: str) -> None:
    jobs.trained(1)
    assert jobs("use", version).error == f"{version} in {jobs.settings.data_dir}/models is not there"
    assert jobs.in_force() == "1"


def test_to_use_what_is_damaged(jobs: Jobs) -> None:
    jobs.trained(2)
    jobs.path(1).write_bytes(jobs.path(1).read_bytes()[:-1])
    assert jobs("use", f"{COUNTS}@1").error.startswith(f"{COUNTS}@1 in {jobs.settings.data_dir}/models is damaged: ")
    assert jobs.in_force() == "2"


# prune


def test_to_prune(jobs: Jobs) -> None:
    jobs.trained(4)
    jobs("use", f"{COUNTS}@1")
    jobs.store.write(jobs.epoch, "als", {}, b"")
    jobs.store.write(jobs.epoch - 1, "als", {}, b"")
    assert jobs.process("prune", MODELS_KEPT="2").sentence == "2 deleted"
    kept = [(file.name, file.version) for file in jobs.store.files(jobs.epoch)]
    assert kept == [("als", 1), (COUNTS, 1), (COUNTS, 3), (COUNTS, 4)]
    assert jobs.in_force() == "1"
    assert jobs("prune", MODELS_KEPT="2").sentence == "0 deleted"


def test_to_prune_beside_a_live_model_of_that_name(jobs: Jobs) -> None:
    jobs.trained(3)
    epoch = jobs.epoch
    jobs.ask(lambda state: state.models.publish(epoch, COUNTS, "c0ffee", {}, b"live"))
    assert jobs("prune", MODELS_KEPT="2").sentence == "1 deleted"


def test_to_prune_what_is_damaged(jobs: Jobs) -> None:
    jobs.trained(3)
    for version in (1, 2, 3):
        jobs.path(version).write_bytes(b"")
    assert jobs("prune", MODELS_KEPT="2").sentence == "1 deleted"
    assert jobs.store.versions(jobs.epoch, COUNTS) == [2, 3]


# worker


@pytest.mark.parametrize(("recommender", "named"), [("popular,random", "popular,random"), ("", "bandit")])
def test_a_worker_with_nothing_to_do(jobs: Jobs, recommender: str, named: str) -> None:
    said = f"RECOMMENDER={named!r} names no recommender that a job trains: nothing to do"
    assert jobs.process("worker", RECOMMENDER=recommender).error == said


def test_a_worker_that_does_not_reach_redis(jobs: Jobs) -> None:
    said = jobs.process("worker", REDIS_URL=AWAY).error
    assert "127.0.0.1:1" in said
    assert "secret" not in said


# What is wrong outside

EACH_COMMAND: Final = pytest.mark.parametrize(
    "args", [("models",), ("train", COUNTS), ("use", f"{COUNTS}@1"), ("prune",)], ids=lambda args: args[0]
)


@EACH_COMMAND
def test_redis_that_is_away_is_a_sentence(jobs: Jobs, args: tuple[str, ...]) -> None:
    said = jobs(*args, REDIS_URL=AWAY).error
    assert "127.0.0.1:1" in said
    assert "secret" not in said


@EACH_COMMAND
def test_a_model_store_that_is_away_is_a_sentence(
    jobs: Jobs, args: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.training.WRITE_RETRIES_S", ())
    variables = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "hidden",
        "AWS_REGION": "us-east-1",
    }
    said = jobs(*args, MODEL_STORE_URL="s3://bucket/models", **variables).error
    assert said.startswith("s3://bucket/models: ")
    assert "127.0.0.1:1" in said
    assert "hidden" not in said


@EACH_COMMAND
def test_a_model_store_that_cannot_be_made_is_a_sentence(jobs: Jobs, args: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    said = jobs(*args, MODEL_STORE_URL=str(tmp_path / "file" / "models")).error
    assert said.startswith(f"{tmp_path}/file/models: ")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("RECOMMENDER", "clever", "error: RECOMMENDER='clever': there is no recommender 'clever': "),
        ("RECOMMENDER", f"{OWN.stem}:Nothing", f"error: RECOMMENDER='{OWN.stem}:Nothing': {OWN.stem}:Nothing: "),
        ("MODELS_KEPT", "1", "MODELS_KEPT='1': "),
        ("MODEL_STORE_URL", "http://elsewhere", "MODEL_STORE_URL='http://elsewhere': must be a folder or s3://"),
    ],
)
@pytest.mark.parametrize("command", ["worker", "models"])
def test_a_wrong_setting_is_a_sentence(jobs: Jobs, command: str, name: str, value: str, said: str) -> None:
    done = jobs.process(command, **{name: value})
    assert done.code == 1
    (line,) = [line for line in done.err.splitlines() if line.strip()]
    assert line.startswith(said)
