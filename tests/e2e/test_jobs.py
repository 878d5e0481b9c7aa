"""The worker as a process, on a real Redis: whoever is killed when, a whole model arrives and nobody is left behind."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from recsys.settings import Settings
from tests.e2e.launcher import Launcher, eventually, get
from tests.servers import Child, wait_until
from tests.service.jobs_rig import COUNTS, FIT_RAISES, WAITS, JobsRig, begun, copied

SOON_S: Final = 60.0  # longest wait for what happens at once on a machine that is not busy
HELD_S: Final = 120.0  # for what waits until the training of somebody who was killed belongs to nobody
NEVER_S: Final = "100000"
STARTED: Final = "worker started"
Start = Callable[..., Child]


@pytest.fixture
def rig(settings: Settings, tmp_path: Path) -> JobsRig:
    return JobsRig(settings, copied(tmp_path / "own"))


@pytest.fixture
def start(rig: JobsRig, tmp_path: Path) -> Iterator[Start]:
    """Starts workers. Nobody is left of them in the end."""
    workers: list[Child] = []

    def started(recommender: str = WAITS, **env: str) -> Child:
        command = [sys.executable, "-m", "jobs", "worker"]
        wanted = rig.env | {"RECOMMENDER": recommender} | env
        workers.append(Child(f"worker-{len(workers)}", tmp_path, command, wanted))
        workers[-1].start()
        return workers[-1]

    yield started
    for worker in workers:
        worker.stop()
    assert left_of(rig) == []


def left_of(rig: JobsRig) -> list[psutil.Process]:
    """Processes of this system."""
    return [process for process in psutil.process_iter() if belongs_to(process, rig)]


def belongs_to(process: psutil.Process, rig: JobsRig) -> bool:
    try:
        its_own = process.environ().get("KEY_PREFIX") == rig.settings.key_prefix
        return its_own and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def wait_for_model(rig: JobsRig, worker: Child, version: int, name: str = WAITS, seconds: float = SOON_S) -> None:
    told = f"{name}@{version} is in force"
    try:
        wait_until(lambda: rig.in_force(name) == str(version), seconds, told)
    except TimeoutError as error:
        raise AssertionError(f"{error}; worker: {worker.output[-3000:]}") from None


def wait_for_fit(rig: JobsRig, worker: Child, number: int, seconds: float = SOON_S) -> int:
    """The process of the training that is the n-th to begin."""
    try:
        wait_until(lambda: len(begun(rig.home)) >= number, seconds, f"training {number} has begun")
    except TimeoutError as error:
        raise AssertionError(f"{error}; worker: {worker.output[-3000:]}") from None
    assert len(begun(rig.home)) == number
    return begun(rig.home)[-1]


def exit_code(worker: Child) -> int:
    wait_until(lambda: not worker.running, SOON_S, f"the worker has ended: {worker.output[-3000:]}")
    assert worker._process is not None
    return int(worker._process.returncode)


def is_over(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def is_whole(rig: JobsRig, fits: int = 1) -> None:
    assert rig.store.versions(rig.epoch, WAITS) == [1]
    assert rig.model(1, WAITS) == {"likes": {"0": 1, "2": 2}, "fits": fits}
    assert [path.name for path in (rig.settings.data_dir / "models").rglob("*") if path.is_file()] == ["1.model"]


def test_a_worker_trains_again_and_again(rig: JobsRig, start: Start) -> None:
    worker = start(COUNTS, TRAIN_INTERVAL_S="0.2")
    wait_for_model(rig, worker, 1, COUNTS)
    for version in (2, 3):
        rig.like(3)
        wait_for_model(rig, worker, version, COUNTS)
    assert rig.model(3)["likes"] == {"0": 1, "2": 2, "3": 2}
    assert rig.model(3)["fits"] == 3
    assert "Traceback" not in worker.output


def test_a_worker_outlives_a_learner_that_fails(rig: JobsRig, start: Start) -> None:
    (rig.home / "fit_broken").touch()
    worker = start(f"{FIT_RAISES},{COUNTS}", TRAIN_INTERVAL_S="0.2")
    wait_for_model(rig, worker, 1, COUNTS)
    epoch = rig.epoch

    def facts() -> dict[str, Any]:
        return rig.ask(lambda state: state.models.facts(epoch)).get(FIT_RAISES, {})

    wait_until(lambda: facts().get("error") == "RuntimeError: no fit today", SOON_S, "it is told")
    assert "no fit today" in worker.output
    (rig.home / "fit_broken").unlink()
    wait_for_model(rig, worker, 1, FIT_RAISES)
    assert "error" not in facts()


def test_a_worker_outlives_a_cleanup(rig: JobsRig, start: Start) -> None:
    worker = start(TRAIN_INTERVAL_S="0.2")
    wait_for_fit(rig, worker, 1)
    rig.ask(lambda state: state.epochs.begin_next())
    (rig.home / "go").touch()
    wait_until(lambda: "a cleanup ended the training" in worker.output, SOON_S, "it is told")
    rig.__post_init__()  # items and likes of the new epoch
    wait_for_model(rig, worker, 1)
    is_whole(rig)
    assert worker.running


def test_a_training_that_is_killed_runs_again(rig: JobsRig, start: Start) -> None:
    """At once: not when the next one is due."""
    worker = start(TRAIN_INTERVAL_S=NEVER_S)
    horse = wait_for_fit(rig, worker, 1)
    os.kill(horse, signal.SIGKILL)
    again = wait_for_fit(rig, worker, 2)
    assert again != horse
    assert rig.in_force(WAITS) == ""
    (rig.home / "go").touch()
    wait_for_model(rig, worker, 1)
    is_whole(rig)
    assert worker.running


def test_a_training_that_takes_too_long_is_ended(rig: JobsRig, start: Start) -> None:
    """Also one that does not look up from its work."""
    worker = start(TRAIN_INTERVAL_S="5", TRAIN_TIMEOUT_S="3")
    horse = psutil.Process(wait_for_fit(rig, worker, 1))
    wait_until(lambda: is_over(horse), SOON_S, "it has ended")
    epoch = rig.epoch
    facts = rig.ask(lambda state: state.models.facts(epoch))[WAITS]
    assert facts["error"] == "it took longer than TRAIN_TIMEOUT_S=3"
    (rig.home / "go").touch()
    wait_for_model(rig, worker, 1)
    is_whole(rig)
    assert worker.running


def test_a_training_dies_with_its_worker_and_the_next_worker_trains(rig: JobsRig, start: Start) -> None:
    first = start(TRAIN_INTERVAL_S="1")
    horse = psutil.Process(wait_for_fit(rig, first, 1))
    first.kill()
    wait_until(lambda: is_over(horse), SOON_S, "the training ended")
    assert left_of(rig) == []
    second = start(TRAIN_INTERVAL_S="1")
    wait_for_fit(rig, second, 2, HELD_S)
    (rig.home / "go").touch()
    wait_for_model(rig, second, 1)
    is_whole(rig)


def test_two_workers_do_not_train_the_same_model_at_once(rig: JobsRig, start: Start) -> None:
    workers = [start(TRAIN_INTERVAL_S="0.2") for _ in range(2)]
    wait_for_fit(rig, workers[0], 1)
    for worker in workers:
        wait_until(lambda worker=worker: STARTED in worker.output, SOON_S, "it works")
    already = f"{WAITS} is being trained already"
    wait_until(lambda: sum(worker.output.count(already) for worker in workers) >= 2, SOON_S, "the other one looked")
    assert len(begun(rig.home)) == 1
    (rig.home / "go").touch()
    wait_for_model(rig, workers[0], 1)
    is_whole(rig)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("when", ["while it waits", "in a training"])
def test_a_worker_that_is_asked_to_ends_at_once(rig: JobsRig, start: Start, number: int, when: str) -> None:
    worker = start(COUNTS if when == "while it waits" else WAITS, TRAIN_INTERVAL_S=NEVER_S)
    if when == "while it waits":
        wait_for_model(rig, worker, 1, COUNTS)
        wait_until(lambda: len(left_of(rig)) == 1, SOON_S, "the training has ended")
    else:
        wait_for_fit(rig, worker, 1)
    worker.signal(number)
    assert exit_code(worker) == 0, worker.output
    assert left_of(rig) == []
    assert "Traceback" not in worker.output
    assert rig.in_force(WAITS) == ""


def test_run_all_trains_what_is_to_be_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOMMENDER", "als:factors=8,popular")
    monkeypatch.setenv("TRAIN_INTERVAL_S", "1")
    launcher = Launcher(tmp_path / "data")
    try:
        launcher.wait_until_ready()
        assert "jobs" in launcher.output()
        eventually(lambda: launcher.children().get("jobs"), "jobs runs")

        def trained() -> Any:
            status = get(f"{launcher.recommendations}/status") or {}
            return status.get("models", {}).get("als", {}).get("version")

        eventually(trained, "als is in force")
        assert len(get(f"{launcher.recommendations}/recs/somebody-new")["item_ids"]) == 10
        launcher.signal(signal.SIGINT)
        launcher.expect_clean_end()
    finally:
        launcher.end()
