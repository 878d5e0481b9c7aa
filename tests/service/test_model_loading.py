"""From a version in force to lists: whatever is wrong with it, lists are full, and what was there before serves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from structlog.testing import capture_logs

from jobs.training import train
from recommendations import lists as lists_module
from recommendations import loading
from recommendations.impressions import ImpressionRecorder
from recommendations.lists import Lists
from recommendations.loading import REFUSED
from recsys.contract import ItemRecord
from recsys.recommenders import guard
from recsys.recommenders.mix import RANDOM
from recsys.recommenders.recipe import read_recipe
from recsys.settings import Settings
from recsys.stores.connect import State, open_models
from recsys.stores.ports import Broker
from tests.s3 import S3Server
from tests.servers import RedisServer, wait_until
from tests.service.jobs_rig import COUNTS, LOAD_HANGS, imported_anew
from tests.service.rig import DRAIN_S, Rig, ids

SOON_S: Final = 60.0  # longest wait for what happens at once on a machine that is not busy
ITEMS: Final = ids("item", 30)
CANNOT_LOAD: Final = "a model cannot be loaded"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return imported_anew(tmp_path / "own", monkeypatch)


@dataclass
class Bench:
    """A state, a model store, and workers that serve lists, all of one recommender of somebody's own."""

    settings: Settings
    state: State
    epoch: int
    impressions: ImpressionRecorder
    name: str = COUNTS
    _users: Iterator[int] = field(default_factory=count)

    def worker(self) -> Lists:
        recipe = read_recipe(**self.settings.recipe)
        return Lists(self.state, partial(open_models, self.settings), self.impressions, recipe, 0, rank_timeout_s=20)

    def write(self, first: int, blob: bytes | None = None, after: int = 0) -> int:
        """A version whose lists begin with the item at this position."""
        model = json.dumps({"likes": {first: 1}, "fits": 1}).encode()
        return open_models(self.settings).write(self.epoch, self.name, {}, model if blob is None else blob, after)

    async def put_in_force(self, version: int) -> None:
        await self.state.models.publish(self.epoch, self.name, str(version), {"version": str(version)})

    async def listed(self, worker: Lists) -> str:
        """What a full list begins with: an item if the model knows it, else ``RANDOM``."""
        known = await worker.knowledge()
        answer = await worker.recommend(f"u{next(self._users)}", 10)
        listed = [json.loads(item) for item in answer.ids_json]
        assert len(set(listed)) == len(answer.sources) == 10
        assert set(listed) <= set(known.catalogue.ids)
        assert set(answer.sources[1:]) == {RANDOM}
        assert answer.sources[0] in (self.name, RANDOM)
        return listed[0] if answer.sources[0] == self.name else RANDOM

    async def settled(self, worker: Lists) -> str:
        """The same, once all has been loaded that can be."""
        async with asyncio.timeout(SOON_S):
            await worker.knowledge()
            while worker._loading is not None:
                await asyncio.wait({worker._loading})
        return await self.listed(worker)

    def refusals(self) -> float:
        return float(REFUSED.labels(self.name)._value.get())


@pytest.fixture
async def bench(settings: Settings, state: State, broker: Broker, home: Path) -> AsyncIterator[Bench]:
    impressions = ImpressionRecorder(broker, flush_s=0.01)
    named = settings.model_copy(update={"recommender": COUNTS, "explore": "off", "diversity": 0.0})
    made = Bench(named, state, await state.epochs.current(), impressions)
    await state.catalogue.add(made.epoch, [ItemRecord(id=item) for item in ITEMS], [])
    yield made
    await impressions.close()


def path_of(bench: Bench, version: int) -> Path:
    (path,) = (bench.settings.data_dir / "models").rglob(f"{version}.model")
    return path


def truncate(bench: Bench, version: int) -> None:
    path = path_of(bench, version)
    path.write_bytes(path.read_bytes()[:-3])


def replace(bench: Bench, version: int) -> None:
    path_of(bench, version).write_bytes(b"somebody's own")


def delete(bench: Bench, version: int) -> None:
    path_of(bench, version).unlink()


def unreadable(bench: Bench, version: int, blob: bytes) -> None:
    """As it was written, but nothing that the learner can load."""
    path = path_of(bench, version)
    path_of(bench, bench.write(0, blob)).replace(path)


DAMAGES: Final[dict[str, Callable[[Bench, int], None]]] = {
    "cut off": truncate,
    "something else": replace,
    "gone": delete,
    "refused by the learner": partial(unreadable, blob=b"no dump of it"),
    "the learner raises": partial(unreadable, blob=b"{}"),
}
each_damage = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())


def told(logs: Any, event: str = CANNOT_LOAD) -> list[Any]:
    return [line for line in logs if line["event"] == event]


# Versions that are well


async def test_the_version_in_force_serves_and_the_next_one_takes_its_place(bench: Bench) -> None:
    worker = bench.worker()
    assert await bench.settled(worker) == RANDOM, "there is none yet"
    await bench.put_in_force(bench.write(7))
    assert await bench.settled(worker) == "item-7"
    version = bench.write(9)
    assert await bench.settled(worker) == "item-7", "it is not in force yet"
    await bench.put_in_force(version)
    assert await bench.settled(worker) == "item-9"
    assert await bench.settled(bench.worker()) == "item-9"
    await bench.put_in_force(1)
    assert await bench.settled(worker) == "item-7", "somebody went back"


async def test_a_model_is_loaded_for_new_items_too(bench: Bench) -> None:
    worker = bench.worker()
    await bench.put_in_force(bench.write(7))
    assert await bench.settled(worker) == "item-7"
    await bench.state.catalogue.add(bench.epoch, [ItemRecord(id="new")], [])
    assert await bench.settled(worker) == "item-7"
    assert (await worker.knowledge()).models[COUNTS].items == len(ITEMS) + 1


async def test_after_a_cleanup_there_is_no_model(bench: Bench) -> None:
    worker = bench.worker()
    await bench.put_in_force(bench.write(7))
    assert await bench.settled(worker) == "item-7"
    epoch = await worker.cleanup()
    await bench.state.catalogue.add(epoch, [ItemRecord(id=item) for item in ITEMS], [])
    assert await bench.settled(worker) == RANDOM


async def test_a_model_that_was_live_before(bench: Bench) -> None:
    """Somebody took ``add`` away, so a job trains it now: what the pipeline had published is of no use."""
    await bench.state.models.publish(bench.epoch, COUNTS, "c0ffee", {}, b"live")
    worker, refused = bench.worker(), bench.refusals()
    for _ in range(3):
        assert await bench.settled(worker) == RANDOM
    assert bench.refusals() == refused + 1
    await bench.put_in_force(bench.write(7))
    assert await bench.settled(worker) == "item-7"
    assert await bench.settled(bench.worker()) == "item-7"


# Versions that are not


@each_damage
async def test_a_damaged_version_leaves_the_one_before_in_force(
    bench: Bench, damage: Callable[[Bench, int], None]
) -> None:
    worker = bench.worker()
    await bench.put_in_force(bench.write(7))
    assert await bench.settled(worker) == "item-7"
    version, refused = bench.write(9), bench.refusals()
    damage(bench, version)
    with capture_logs() as logs:
        await bench.put_in_force(version)
        for _ in range(3):
            assert await bench.settled(worker) == "item-7"
    (line,) = told(logs)
    assert (line["model"], line["version"], line["instead"]) == (COUNTS, "2", "version 1 stays in force")
    assert line["error"]
    assert bench.refusals() == refused + 1, "it is not tried again for every list"
    await bench.put_in_force(bench.write(11, after=version))
    assert await bench.settled(worker) == "item-11"


@each_damage
async def test_where_nothing_is_held_an_earlier_version_serves(
    bench: Bench, damage: Callable[[Bench, int], None]
) -> None:
    for first in (7, 8, 9, 10):
        bench.write(first)
    for version in (4, 3):
        damage(bench, version)
    await bench.put_in_force(4)
    refused, worker = bench.refusals(), bench.worker()
    with capture_logs() as logs:
        for _ in range(3):
            assert await bench.settled(worker) == "item-8"
    assert bench.refusals() == refused + 1
    assert [line["version"] for line in told(logs, "an earlier version serves")] == [2]
    assert str(told(logs)[0]["version"]) == "4"
    await bench.state.catalogue.add(bench.epoch, [ItemRecord(id="new")], [])
    assert await bench.settled(worker) == "item-8"
    await bench.put_in_force(bench.write(11, after=4))
    assert await bench.settled(worker) == "item-11"


async def test_a_version_after_the_one_in_force_is_not_taken_instead(bench: Bench) -> None:
    """Somebody went back because of what it does."""
    for first in (7, 8, 9):
        bench.write(first)
    truncate(bench, 2)
    await bench.put_in_force(2)
    assert await bench.settled(bench.worker()) == "item-7"


@each_damage
async def test_where_no_version_can_be_loaded_the_next_source_serves(
    bench: Bench, damage: Callable[[Bench, int], None]
) -> None:
    for first in (7, 8):
        bench.write(first)
    for version in (1, 2):
        damage(bench, version)
    await bench.put_in_force(2)
    refused, worker = bench.refusals(), bench.worker()
    with capture_logs() as logs:
        for _ in range(3):
            assert await bench.settled(worker) == RANDOM
    assert bench.refusals() == refused + 1
    assert told(logs)[0]["instead"] == "the next source serves"
    await bench.put_in_force(bench.write(5, after=2))
    assert await bench.settled(worker) == "item-5"


# A store that is away


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    server = S3Server()
    server.start()
    server.use(monkeypatch)
    yield server
    server.stop()


async def test_while_the_store_is_away_what_is_held_serves(
    bench: Bench, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists_module, "LOAD_RETRY_S", 0.01)
    bench.settings = bench.settings.model_copy(update={"model_store_url": s3.new_bucket()})
    worker, refused = bench.worker(), bench.refusals()
    await bench.put_in_force(bench.write(7))
    assert await bench.settled(worker) == "item-7"
    await bench.put_in_force(bench.write(9))
    newcomer = bench.worker()
    with capture_logs() as logs, s3.away():
        assert await bench.settled(worker) == "item-7"
        assert await bench.settled(newcomer) == RANDOM
        assert await bench.settled(newcomer) == RANDOM
    assert len(told(logs, "model not loaded, trying again")) >= 2
    assert bench.refusals() == refused, "nothing is wrong with the version"
    for each in (worker, newcomer):
        async with asyncio.timeout(SOON_S):
            while await bench.settled(each) != "item-9":
                pass


async def test_a_store_that_cannot_be_opened_costs_the_model_only(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists_module, "LOAD_RETRY_S", 0.01)
    await bench.put_in_force(bench.write(7))
    models = bench.settings.data_dir / "models"
    models.rename(models.with_name("elsewhere"))
    models.write_text("in the way")
    worker = bench.worker()
    assert await bench.settled(worker) == RANDOM
    models.unlink()
    models.with_name("elsewhere").rename(models)
    async with asyncio.timeout(SOON_S):
        while await bench.settled(worker) != "item-7":
            pass


# One that hangs


@pytest.fixture
def hanging(bench: Bench, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(loading, "LOAD_S", 0.05)
    monkeypatch.setattr(guard, "FIRST_PAUSE_S", 0.0)
    bench.name = LOAD_HANGS
    bench.settings = bench.settings.model_copy(update={"recommender": LOAD_HANGS})
    yield bench
    (home / "load_hangs").unlink(missing_ok=True)


async def let_go(worker: Lists, home: Path) -> None:
    """It loads again, and what hung has ended."""
    (home / "load_hangs").unlink()
    running = worker._loader._guards[LOAD_HANGS]._running
    assert running is not None
    await asyncio.to_thread(wait_until, running.done, SOON_S, "the load ends")


async def test_a_load_that_hangs_does_not_stop_lists(hanging: Bench, home: Path) -> None:
    worker = hanging.worker()
    (home / "load_hangs").touch()
    await hanging.put_in_force(hanging.write(7))
    with capture_logs() as logs:
        for _ in range(5):
            assert await hanging.settled(worker) == RANDOM
    assert told(logs)[0]["error"].startswith("Late: no answer within ")
    assert (home / "loading").read_text().count("\n") == 1, "it is asked once, not for every list"
    await let_go(worker, home)
    await hanging.put_in_force(hanging.write(9))
    assert await hanging.settled(worker) == "item-9"


async def test_lists_are_made_while_it_hangs(hanging: Bench, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is late: nobody waits for it but for the moment that a first model is worth."""
    monkeypatch.setattr(loading, "LOAD_S", SOON_S)
    monkeypatch.setattr(lists_module, "FIRST_LOAD_S", 0.01)
    worker = hanging.worker()
    (home / "load_hangs").touch()
    await hanging.put_in_force(hanging.write(7))
    for _ in range(5):
        assert await hanging.listed(worker) == RANDOM
    assert worker._loading is not None
    (home / "load_hangs").unlink()
    assert await hanging.settled(worker) == "item-7"


async def test_a_load_that_hangs_leaves_the_one_before_in_force(hanging: Bench, home: Path) -> None:
    worker = hanging.worker()
    await hanging.put_in_force(hanging.write(7))
    assert await hanging.settled(worker) == "item-7"
    (home / "load_hangs").touch()
    await hanging.put_in_force(hanging.write(9))
    for _ in range(5):
        assert await hanging.settled(worker) == "item-7"
    await let_go(worker, home)
    await hanging.put_in_force(hanging.write(11))
    assert await hanging.settled(worker) == "item-11"


# The services as processes


@pytest.fixture(scope="module")
def served(folder: Path, redis_server: RedisServer) -> Iterator[Rig]:
    """Services with a trained source before a live one; trainings are in this process."""
    with pytest.MonkeyPatch.context() as patch:
        home = imported_anew(folder / "own", patch)
        made = Rig(
            folder / "served",
            redis_server.url,
            redis_server.url,
            PYTHONPATH=str(home),
            RECOMMENDER=f"{COUNTS},popular",
            EXPLORE="off",
            DIVERSITY="0",
            LOG_JSON="true",
        )
        with made:
            yield made


def explained(rig: Rig, user: str) -> tuple[list[str], list[str]]:
    body = rig.get(f"/recs/{user}", explain=True).json()
    assert len(set(body["item_ids"])) == len(body["sources"]) == 10
    return body["item_ids"], body["sources"]


def test_services_outlive_damaged_models(served: Rig) -> None:
    served.add(ITEMS)
    for n, item in enumerate(["item-7", "item-9"]):
        served.react(f"fan-{n}", likes=[item])
        served.wait_counted(likes=n + 1)
        asyncio.run(train(served.settings, COUNTS))
    served.wait_published("popular")
    new_users = count()

    def sources() -> list[str]:
        return explained(served, f"u{next(new_users)}")[1]

    both, one, none = ([COUNTS] * n + ["popular"] * (10 - n) for n in (2, 1, 0))
    wait_until(lambda: sources() == both, DRAIN_S, "both liked items come first")
    status = served.get("/status").json()
    assert (status["models"][COUNTS]["version"], status["models"][COUNTS]["rows"]) == ("2", 2)

    served.react("fan-2", likes=["item-11"])
    served.wait_counted(likes=3)
    asyncio.run(train(served.settings, COUNTS))
    wait_until(lambda: sources()[2] == COUNTS, DRAIN_S, "three liked items come first")
    models = sorted((served.data / "models").rglob("*.model"))
    assert [path.name for path in models] == ["1.model", "2.model", "3.model"]
    models[2].write_bytes(models[2].read_bytes()[:-1])

    served.recommendations.stop()
    served.start(served.recommendations)
    wait_until(lambda: sources() == both, DRAIN_S, "the version before the damaged one serves")
    assert served.metric(served.recommendations, "models_refused_total") == 1
    assert CANNOT_LOAD in served.recommendations.output

    models[1].unlink()
    served.recommendations.stop()
    served.start(served.recommendations)
    wait_until(lambda: sources() == one, DRAIN_S, "the one before that")

    models[0].write_bytes(b"")
    served.recommendations.stop()
    served.start(served.recommendations)
    wait_until(lambda: served.metric(served.recommendations, "models_refused_total") == 1, DRAIN_S, "it was tried")
    assert sources() == none
