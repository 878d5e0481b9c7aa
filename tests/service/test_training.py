"""One training, in this process: from the log to a model in force, whatever happens on the way."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from structlog.testing import capture_logs

from jobs import training
from jobs.training import Progress, TrainingFailed, prune, train
from recsys.contract import ItemRecord
from recsys.settings import Settings
from recsys.stores.connect import State, log_folder, open_models
from recsys.stores.ports import EpochOver, ModelStore, StoreMisconfigured, StoreUnavailable
from tests.s3 import S3Server
from tests.servers import wait_until
from tests.service.jobs_rig import COUNTS, OWN, WAITS, begun, imported_anew, like

# Learners that fail, the file that says so, and what is told then.
FAULTS: Final = {
    "FitRaises": ("fit_broken", "RuntimeError: no fit today"),
    "DumpRaises": ("dump_broken", "RuntimeError: no dump today"),
    "LoadRefuses": ("load_broken", "ValueError: no dump of mine"),
    "LoadRaises": ("load_broken", "KeyError: 'no load today'"),
}
SOON_S: Final = 60.0  # longest wait for what happens at once on a machine that is not busy


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return imported_anew(tmp_path / "own", monkeypatch)


@dataclass
class Bench:
    """One system without its services: a state, a log and a model store."""

    settings: Settings
    state: State
    epoch: int
    home: Path

    @property
    def store(self) -> ModelStore:
        return open_models(self.settings)

    def having(self, **settings: Any) -> Bench:
        """The same with other settings."""
        return Bench(self.settings.model_copy(update=settings), self.state, self.epoch, self.home)

    async def add(self, *items: str) -> None:
        await self.state.catalogue.add(self.epoch, [ItemRecord(id=item) for item in items], [])

    def like(self, *positions: int) -> None:
        like(self.settings, self.epoch, *positions)

    async def train(self, name: str = COUNTS, **how: Any) -> str:
        async with asyncio.timeout(SOON_S):
            return await train(self.settings, name, **how)

    @asynccontextmanager
    async def under_way(self, name: str = WAITS) -> AsyncIterator[asyncio.Task[str]]:
        """A training that fits, and goes on when the block ends, or when it is told to."""
        began = self.began()
        task = asyncio.create_task(self.train(name))
        await soon(lambda: task.done() or self.began() > began, "it fits")
        try:
            yield task
        finally:
            self.go()
            await asyncio.wait({task})

    def began(self) -> int:
        """How many trainings of Waits have begun."""
        return len(begun(self.home))

    def go(self) -> None:
        (self.home / "go").touch()

    def versions(self, name: str = COUNTS) -> list[int]:
        return self.store.versions(self.epoch, name)

    def model(self, version: int, name: str = COUNTS) -> dict[str, Any]:
        return dict(json.loads(self.store.read(self.epoch, name, version)[1]))

    async def in_force(self, name: str = COUNTS) -> str:
        return (await self.state.models.fetch(self.epoch, name))[0]

    async def facts(self, name: str = COUNTS) -> dict[str, Any]:
        return (await self.state.models.facts(self.epoch)).get(name, {})

    async def publish(self, version: int, name: str = COUNTS) -> None:
        await self.state.models.publish(self.epoch, name, str(version), {})


@pytest.fixture
async def bench(settings: Settings, state: State, home: Path) -> Bench:
    """With four items, of which the last but one was liked twice and the first once."""
    learners = ["Counts", "Waits", *FAULTS]
    named = settings.model_copy(update={"recommender": ",".join(f"{OWN.stem}:{name}" for name in learners)})
    made = Bench(named, state, await state.epochs.current(), home)
    await made.add("a", "b", "c", "d")
    made.like(2, 0, 2)
    return made


async def soon(happened: Any, what: str) -> None:
    await asyncio.to_thread(wait_until, happened, SOON_S, what)


# What is trained


async def test_the_first_model(bench: Bench) -> None:
    told = await bench.train()
    assert told.startswith(f"{COUNTS}@1: trained from nothing on 3 rows in ")
    assert await bench.in_force() == "1"
    assert bench.model(1) == {"likes": {"0": 1, "2": 2}, "fits": 1}
    facts = await bench.facts()
    size = len(bench.store.read(bench.epoch, COUNTS, 1)[1])
    assert (facts["version"], facts["rows"], facts["items"], facts["bytes"]) == ("1", 3, 4, size)
    assert facts["full"] and facts["full_at"] and facts["trained_at"] and facts["published_at"]
    assert facts["memory_mb"] > 0
    assert "error" not in facts
    (file,) = bench.store.files(bench.epoch)
    assert {name: facts[name] for name in ("rows", "items", "seconds", "full", "made_by")}.items() <= file.facts.items()
    assert await bench.state.models.trainings(bench.epoch, [COUNTS]) == {}, "it is over"


async def test_without_items_there_is_nothing_to_train(settings: Settings, state: State, home: Path) -> None:
    bench = Bench(settings.model_copy(update={"recommender": COUNTS}), state, await state.epochs.current(), home)
    assert await bench.train() == f"{COUNTS}: nothing is new"
    assert await bench.train(full=True) == f"{COUNTS}: nothing is new"
    assert (await bench.in_force(), bench.versions()) == ("", [])


async def test_items_without_any_row_are_enough(settings: Settings, state: State, home: Path) -> None:
    bench = Bench(settings.model_copy(update={"recommender": COUNTS}), state, await state.epochs.current(), home)
    await bench.add("a")
    await bench.train()
    assert bench.model(1) == {"likes": {}, "fits": 1}


async def test_nothing_new(bench: Bench) -> None:
    await bench.train()
    facts = await bench.facts()
    assert await bench.train() == f"{COUNTS}: nothing is new"
    assert bench.versions() == [1]
    assert await bench.facts() == facts
    assert await bench.state.models.trainings(bench.epoch, [COUNTS]) == {}


async def test_it_goes_on_from_the_last_one(bench: Bench) -> None:
    await bench.train()
    first = await bench.facts()
    bench.like(3)
    assert (await bench.train()).startswith(f"{COUNTS}@2: trained further on 4 rows in ")
    assert bench.model(2) == {"likes": {"0": 1, "2": 2, "3": 1}, "fits": 2}
    second = await bench.facts()
    assert (second["full"], second["full_at"], second["rows"]) == (False, first["full_at"], 4)
    await bench.add("e")
    assert (await bench.train()).startswith(f"{COUNTS}@3: trained further on 4 rows in "), "an item is news too"
    assert bench.model(3)["fits"] == 3
    assert (await bench.facts())["items"] == 5
    assert bench.model(1)["fits"] == 1, "earlier versions stay as they were"


async def test_it_goes_on_from_the_version_in_force(bench: Bench) -> None:
    for _ in range(3):
        bench.like(1)
        await bench.train()
    await bench.publish(1)
    await bench.train()
    assert (await bench.in_force(), bench.model(4)["fits"]) == ("4", 2)


async def test_from_nothing_because_it_is_wanted(bench: Bench) -> None:
    await bench.train()
    assert (await bench.train(full=True)).startswith(f"{COUNTS}@2: trained from nothing on 3 rows in ")
    assert bench.model(2)["fits"] == 1
    assert (await bench.facts())["full"]


async def test_from_nothing_because_the_last_time_is_long_ago(bench: Bench) -> None:
    await bench.train()
    first = await bench.facts()
    assert (await bench.having(train_full_interval_s=0).train()).startswith(f"{COUNTS}@2: trained from nothing")
    assert bench.model(2)["fits"] == 1
    assert (await bench.facts())["full_at"] != first["full_at"]


async def test_from_nothing_because_other_options_made_the_last_one(bench: Bench) -> None:
    await bench.train()
    other = bench.having(half_life_days=3.0)
    assert (await other.train()).startswith(f"{COUNTS}@2: trained from nothing on 3 rows in ")
    assert other.model(2)["fits"] == 1
    assert await other.train() == f"{COUNTS}: nothing is new"
    assert (await bench.train()).startswith(f"{COUNTS}@3: trained from nothing"), "and so on"


@pytest.mark.parametrize("blob", [b"no dump of it", b"{}"], ids=["an error that is asked for", "another error"])
async def test_from_nothing_because_the_last_one_cannot_be_loaded(bench: Bench, blob: bytes) -> None:
    await bench.train()
    facts, _ = bench.store.read(bench.epoch, COUNTS, 1)
    await bench.publish(bench.store.write(bench.epoch, COUNTS, facts, blob))
    assert (await bench.train()).startswith(f"{COUNTS}@3: trained from nothing on 3 rows in ")
    assert (await bench.in_force(), bench.model(3)["fits"]) == ("3", 1)


@pytest.mark.parametrize("left", [None, 0, 20], ids=["gone", "empty", "cut off"])
async def test_from_nothing_because_the_last_one_is_damaged(bench: Bench, left: int | None) -> None:
    await bench.train()
    (path,) = (bench.settings.data_dir / "models").rglob("1.model")
    whole = path.read_bytes()
    path.unlink()
    if left is not None:
        path.write_bytes(whole[:left])
    assert (await bench.train()).startswith(f"{COUNTS}@2: trained from nothing on 3 rows in "), "it is another version"
    assert (await bench.in_force(), bench.model(2)["fits"]) == ("2", 1)


async def test_from_nothing_because_the_last_one_was_a_live_model(bench: Bench) -> None:
    """Of the same name: somebody took ``add`` away."""
    await bench.state.models.publish(bench.epoch, COUNTS, "c0ffee", {"rows": 3}, b"live")
    assert (await bench.train()).startswith(f"{COUNTS}@1: trained from nothing on 3 rows in ")
    assert await bench.in_force() == "1"


async def test_what_is_logged_meanwhile_is_for_the_next_one(bench: Bench) -> None:
    async with bench.under_way():
        bench.like(3, 3, 3)
        await bench.add("e")
    assert bench.model(1, WAITS)["likes"] == {"0": 1, "2": 2}
    facts = await bench.facts(WAITS)
    assert (facts["rows"], facts["items"]) == (3, 4)
    await bench.train(WAITS)
    assert bench.model(2, WAITS) == {"likes": {"0": 1, "2": 2, "3": 3}, "fits": 2}


# Who trains


async def test_of_two_at_once_only_one_trains(bench: Bench) -> None:
    async with bench.under_way() as first:
        assert await bench.train(WAITS) == f"{WAITS} is being trained already"
        assert await bench.train(WAITS, full=True) == f"{WAITS} is being trained already"
        assert (await bench.train(COUNTS)).startswith(f"{COUNTS}@1: "), "another model may be"
        assert not first.done()
    assert first.result().startswith(f"{WAITS}@1: trained from nothing")
    assert (bench.began(), bench.versions(WAITS)) == (1, [1])
    assert await bench.train(WAITS) == f"{WAITS}: nothing is new"


async def test_who_was_killed_holds_it_but_not_for_himself(bench: Bench) -> None:
    """A job that is run again is the same job."""
    assert await bench.state.models.train(bench.epoch, COUNTS, "job 1", {}, 600)
    assert await bench.train(token="job 2") == f"{COUNTS} is being trained already"
    assert await bench.train() == f"{COUNTS} is being trained already"
    assert (await bench.train(token="job 1")).startswith(f"{COUNTS}@1: ")
    assert await bench.train(token="job 2") == f"{COUNTS}: nothing is new"


async def test_one_that_goes_on_gives_signs_of_life_and_tells_how_far_it_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SIGN_OF_LIFE_S", 0.02)
    async with bench.under_way():
        async with asyncio.timeout(SOON_S):
            told: dict[str, Any] = {}
            while told.get("share") != 0.5:
                await asyncio.sleep(0.01)
                told = (await bench.state.models.trainings(bench.epoch, [WAITS]))[WAITS]
        assert (told["rows"], told["doing"]) == (3, "half of it")
        assert told["left_s"] >= 0
    assert await bench.state.models.trainings(bench.epoch, [WAITS]) == {}


async def test_whoever_looks_on_sees_progress(bench: Bench) -> None:
    progress = Progress()
    assert (progress.facts["share"], progress.facts["left_s"]) == (0, None)
    await bench.train(progress=progress)
    assert (progress.rows, progress.share, progress.doing) == (3, 1.0, "writing")
    progress.tell(1.5, "more than all")
    assert progress.share == 1.0
    progress.tell(-1.0, "less than nothing")
    assert progress.share == 0.0


# A cleanup


async def test_a_cleanup_ends_a_training(bench: Bench) -> None:
    async with bench.under_way() as task:
        following = await bench.state.epochs.begin_next()
    assert isinstance(task.exception(), EpochOver)
    for epoch in (bench.epoch, following):
        assert await bench.state.models.fetch(epoch, WAITS) == ("", None)
        assert await bench.state.models.facts(epoch) == {}
        assert bench.store.versions(epoch, WAITS) == [], "nor is a file left"
        assert await bench.state.models.trainings(epoch, [WAITS]) == {}


async def test_a_cleanup_ends_a_training_that_fails(bench: Bench) -> None:
    """There is no epoch any more to tell about it."""
    async with bench.under_way() as task:
        following = await bench.state.epochs.begin_next()
        # What the fit reads is gone.
        shutil.rmtree(log_folder(bench.settings))
    assert isinstance(task.exception(), EpochOver)
    assert await bench.state.models.facts(following) == {}


async def test_after_a_cleanup_models_of_before_are_deleted(bench: Bench) -> None:
    await bench.train()
    following = await bench.state.epochs.begin_next()
    next_one = Bench(bench.settings, bench.state, following, bench.home)
    await next_one.add("z")
    next_one.like(0)
    assert (await next_one.train()).startswith(f"{COUNTS}@1: trained from nothing on 1 rows in ")
    assert next_one.model(1) == {"likes": {"0": 1}, "fits": 1}
    assert bench.versions() == []


# Learners that fail


@pytest.mark.parametrize("kind", FAULTS)
async def test_after_a_failure_the_model_before_stays_in_force(bench: Bench, kind: str) -> None:
    name, (fault, error) = f"{OWN.stem}:{kind}", FAULTS[kind]
    await bench.train(name)
    before = await bench.facts(name)
    bench.like(3)
    (bench.home / fault).touch()
    for _ in range(2):
        with pytest.raises(TrainingFailed) as told:
            await bench.train(name)
        assert str(told.value) == error
        assert told.value.__cause__ is not None
        assert await bench.facts(name) == before | {"error": error}
    assert (await bench.in_force(name), bench.versions(name)) == ("1", [1])
    assert await bench.state.models.trainings(bench.epoch, [name]) == {}
    (bench.home / fault).unlink()
    assert (await bench.train(name)).startswith(f"{name}@2: trained further on 4 rows in ")
    assert "error" not in await bench.facts(name)
    assert await bench.in_force(name) == "2"


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_first_training_that_fails_leaves_no_model(bench: Bench, kind: str) -> None:
    name, (fault, error) = f"{OWN.stem}:{kind}", FAULTS[kind]
    (bench.home / fault).touch()
    with pytest.raises(TrainingFailed):
        await bench.train(name)
    assert await bench.facts(name) == {"error": error}
    assert (await bench.in_force(name), bench.versions(name)) == ("", [])


# A store that fails


@pytest.fixture
def s3() -> Iterator[S3Server]:
    server = S3Server()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def in_s3(bench: Bench, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Bench:
    s3.use(monkeypatch)
    return bench.having(model_store_url=s3.new_bucket())


async def test_models_in_s3(in_s3: Bench) -> None:
    await in_s3.train()
    in_s3.like(3)
    await in_s3.train()
    assert (await in_s3.in_force(), in_s3.versions()) == ("2", [1, 2])
    assert in_s3.model(2) == {"likes": {"0": 1, "2": 2, "3": 1}, "fits": 2}
    assert not (in_s3.settings.data_dir / "models").exists()


async def test_a_store_that_comes_back_in_time_costs_nothing(
    in_s3: Bench, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "WRITE_RETRIES_S", (0.01,) * 1_000)
    with capture_logs() as logs:
        async with in_s3.under_way() as task:
            s3.stop()
            in_s3.go()
            await soon(lambda: task.done() or len(tried(logs)) >= 2, "it was tried twice")
            assert not task.done()
            s3.start()
    assert task.result().startswith(f"{WAITS}@1: trained from nothing on 3 rows in ")
    assert (await in_s3.in_force(WAITS), in_s3.versions(WAITS)) == ("1", [1])
    assert all(s3.url in line["error"] for line in tried(logs))


def tried(logs: Any) -> list[Any]:
    return [line for line in logs if line["event"] == "model not kept, trying again"]


async def test_a_store_that_stays_away_costs_that_training(
    in_s3: Bench, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "WRITE_RETRIES_S", (0.01,) * 2)
    in_s3.go()
    await in_s3.train(WAITS)
    (in_s3.home / "go").unlink()
    in_s3.like(3)
    with capture_logs() as logs:
        async with in_s3.under_way() as task:
            s3.stop()
    error = task.exception()
    assert isinstance(error, StoreUnavailable)
    assert s3.url in str(error)
    assert len(tried(logs)) == 2
    assert await in_s3.in_force(WAITS) == "1"
    assert await in_s3.state.models.trainings(in_s3.epoch, [WAITS]) == {}
    with pytest.raises(StoreUnavailable):
        await in_s3.train(WAITS)
    s3.start()
    assert (await in_s3.train(WAITS)).startswith(f"{WAITS}@2: trained further on 4 rows in ")


async def test_a_bucket_that_does_not_exist_is_not_tried_again(in_s3: Bench) -> None:
    lost = in_s3.having(model_store_url="s3://no-such-bucket/models")
    with capture_logs() as logs, pytest.raises(StoreMisconfigured, match="bucket does not exist"):
        await lost.train()
    assert tried(logs) == []
    assert await lost.in_force() == ""


async def test_a_folder_that_cannot_be_made_is_named(bench: Bench) -> None:
    bench.settings.data_dir.joinpath("models").write_text("in the way")
    with pytest.raises(StoreUnavailable, match=f"^{bench.settings.data_dir}/models: "):
        await bench.train()


# What is too old


async def test_so_many_versions_are_kept(bench: Bench) -> None:
    few = bench.having(models_kept=2)
    for version in range(1, 5):
        few.like(1)
        await few.train()
        assert few.versions() == list(range(1, version + 1))[-2:]
    assert few.model(4)["fits"] == 4


async def test_the_version_in_force_is_kept_however_old_it_is(bench: Bench) -> None:
    store, epoch = bench.store, bench.epoch
    for _ in range(6):
        store.write(epoch, COUNTS, {}, b"")
    store.write(epoch, WAITS, {}, b"")
    store.write(epoch - 1, COUNTS, {}, b"")
    assert prune(store, epoch, COUNTS, 2, 3) == 1 + 2
    assert bench.versions() == [2, 4, 5, 6]
    assert prune(store, epoch, COUNTS, 6, 3) == 1
    assert bench.versions() == [4, 5, 6]
    assert prune(store, epoch, COUNTS, 0, 3) == 0
    assert (bench.versions(WAITS), store.versions(epoch - 1, COUNTS)) == ([1], [])


@pytest.mark.parametrize("error", [StoreUnavailable("away"), StoreMisconfigured("may not delete")])
async def test_what_cannot_be_deleted_does_no_harm(
    bench: Bench, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> int:
        raise error

    monkeypatch.setattr(training, "prune", fails)
    with capture_logs() as logs:
        assert (await bench.train()).startswith(f"{COUNTS}@1: ")
    assert [line["error"] for line in logs if line["event"] == "old models not deleted"] == [str(error)]
    assert await bench.in_force() == "1"
