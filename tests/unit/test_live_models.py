"""What the pipeline does with a live learner: what it publishes, what a failure costs, and its checkpoints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
from structlog.testing import capture_logs

from recsys.catalogue import Items
from recsys.contract import ItemRecord
from recsys.recommenders.popularity import Popular
from recsys.recommenders.port import Floats, Live, Positions, TrainingData
from recsys.schemas import EVENT_SCHEMA
from recsys.stores.connect import State
from recsys.stores.event_log import EventLog, PartFolder
from recsys.stores.ports import StoreUnavailable
from regular_pipeline.epoch import Epoch
from regular_pipeline.live_models import RETRY_S, LiveModel, checkpoint_of

EPOCH = 3


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """To write a traceback takes longer than everything else here."""
    with capture_logs():
        yield


class Told:
    """Implements Models and ExplorationQueue, and keeps what it is told; may be away."""

    def __init__(self) -> None:
        self.published: list[tuple[str, str, dict[str, Any], bytes | None]] = []
        self.noted: dict[str, dict[str, Any]] = {}
        self.tops: list[dict[str, list[str]]] = []
        self.queues: list[list[str]] = []
        self.shown_before = 0
        self.away = False

    def _answer(self, epoch: int) -> None:
        assert epoch == EPOCH
        if self.away:
            raise StoreUnavailable("away")

    async def publish(
        self, epoch: int, name: str, version: str, facts: Mapping[str, Any], blob: bytes | None = None
    ) -> None:
        self._answer(epoch)
        json.dumps(facts)
        self.published.append((name, version, dict(facts), blob))
        self.noted[name] = dict(facts)

    async def note(self, epoch: int, name: str, facts: Mapping[str, Any]) -> None:
        self._answer(epoch)
        self.noted[name] = dict(facts)

    async def facts(self, epoch: int) -> dict[str, dict[str, Any]]:
        self._answer(epoch)
        return self.noted

    async def publish_top(self, epoch: int, lists: Mapping[str, Sequence[str]]) -> None:
        self._answer(epoch)
        self.tops.append({name: list(ids) for name, ids in lists.items()})

    async def shown(self, epoch: int) -> int:
        self._answer(epoch)
        return self.shown_before

    async def fill(self, epoch: int, candidates: Sequence[str]) -> None:
        self._answer(epoch)
        self.queues.append(list(candidates))

    @property
    def versions(self) -> list[str]:
        return [version for _, version, _, _ in self.published]


class Learner:
    """Implements Live: its model is the text of the items it saw; fails when it is told to."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.fail_to_add: Exception | None = None
        self.fail_to_fit: Exception | None = None
        self.fits = 0
        self.constant = False

    def add(self, rows: pl.DataFrame) -> None:
        self.got += rows["item_id"].to_list()
        if self.fail_to_add is not None:
            raise self.fail_to_add

    def fit(self, data: TrainingData, previous: Any, rng: np.random.Generator) -> Any:
        self.fits += 1
        if self.fail_to_fit is not None:
            raise self.fail_to_fit
        self.scanned: list[str] = data.scan().collect()["item_id"].to_list()
        return Model("" if self.constant else "".join(self.got))

    def load(self, blob: bytes, items: Items) -> Any:
        return Model(blob.decode())


class Model:
    def __init__(self, text: str) -> None:
        self._text = text

    def rank(self, *_: Any) -> Positions:
        return np.zeros(0, np.int64)

    def dump(self) -> bytes:
        return self._text.encode()


class Ordering(Learner):
    def fit(self, data: TrainingData, previous: Any, rng: np.random.Generator) -> Any:
        model = super().fit(data, previous, rng)
        model.order = np.arange(len(data.items))[::-1]
        return model


class Exploring(Learner):
    def candidates(self, size: int, rng: np.random.Generator) -> Positions:
        self.asked = size
        return np.array([2, 0])


class Saving(Learner):
    def save(self) -> bytes:
        return "".join(self.got).encode()

    def resume(self, saved: bytes, row: int) -> int:
        self.got = list(saved.decode())
        return row


def rows_of(items: str, kind: str = "like") -> pl.DataFrame:
    told = pl.DataFrame({"item_id": list(items)}, schema={"item_id": pl.String})
    others = {name: pl.lit(None) for name in EVENT_SCHEMA if name != "item_id"}
    given = {"kind": pl.lit(kind), "item_index": pl.lit(0), "received_at": pl.lit(1.7e9), "source": pl.lit("")}
    return told.with_columns(**others | given).select(EVENT_SCHEMA.names()).cast(dict(EVENT_SCHEMA))


class Bench:
    """One learner of an epoch of three items, beside others or alone, and a clock."""

    def __init__(self, folder: Path, *learners: Live, name: str = "mine") -> None:
        self.now = 1_000.0
        self.told = Told()
        self.epoch = Epoch(EPOCH, EventLog(folder))
        self.epoch.catalogue.extend(ItemRecord(id=item, genres=("Drama",)) for item in "abc")
        self.names = [name, *(f"{name}{n}" for n in range(2, len(learners) + 1))]
        self.made: dict[str, list[Live]] = {of: [learner] for of, learner in zip(self.names, learners, strict=True)}
        self.models = [self._model(of) for of in self.names]
        for model in self.models:
            model.peers = tuple(self.models)
        self.model = self.models[0]

    def _model(self, name: str) -> LiveModel:
        state = cast(State, _State(self.told))
        unused = list(self.made[name])

        def make() -> Live:
            if not unused:
                self.made[name].append(type(self.made[name][0])())
                return self.made[name][-1]
            return unused.pop()

        chance = np.random.default_rng(0)
        return LiveModel(name, make, self.epoch, state, chance, made_by=name, seed=5, clock=lambda: self.now)

    @property
    def learner(self) -> Any:
        return self.model.follower.learner

    async def log(self, items: str) -> None:
        rows = rows_of(items)

        def write(events: PartFolder) -> pl.DataFrame:
            events.append(rows)
            return rows

        await self.epoch.feed.append(write)

    def close(self) -> None:
        for model in self.models:
            model.close()


class _State:
    def __init__(self, told: Told) -> None:
        self.models = self.exploration = told


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, Learner())
    yield made
    made.close()


# what is published


async def test_a_model_is_published_with_what_people_want_to_know_of_it(bench: Bench) -> None:
    await bench.log("ab")
    await bench.model.refresh()
    ((name, version, facts, blob),) = bench.told.published
    assert (name, blob) == ("mine", b"ab")
    assert (facts["version"], facts["rows"], facts["items"], facts["bytes"]) == (version, 2, 3, 2)
    assert facts.keys() == {"version", "rows", "items", "seconds", "bytes", "published_at"}
    assert bench.learner.scanned == ["a", "b"]


async def test_without_news_nothing_is_fitted_or_published(bench: Bench) -> None:
    await bench.log("a")
    for _ in range(3):
        await bench.model.refresh()
    assert (bench.learner.fits, len(bench.told.published)) == (1, 1)


@pytest.mark.parametrize("news", ["rows", "item", "genre"])
async def test_with_news_it_is_fitted_again(bench: Bench, news: str) -> None:
    await bench.model.refresh()
    if news == "rows":
        await bench.log("a")
    else:
        bench.epoch.catalogue.extend([ItemRecord(id={"item": "d", "genre": "a"}[news], genres=("Comedy",))])
    await bench.model.refresh()
    assert bench.learner.fits == len(bench.told.published) == 2


async def test_a_model_of_equal_contents_is_not_sent_again(bench: Bench) -> None:
    """But that it reflects more rows is told."""
    bench.learner.constant = True
    await bench.model.refresh()
    await bench.log("a")
    await bench.model.refresh()
    assert bench.told.versions == [bench.told.versions[0]] * 2
    assert [(facts["rows"], blob) for _, _, facts, blob in bench.told.published] == [(0, b""), (1, None)]


async def test_of_an_empty_catalogue_there_is_no_model(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Learner())
    bench.epoch.catalogue = type(bench.epoch.catalogue)()
    await bench.model.refresh()
    assert (bench.learner.fits, bench.told.published) == (0, [])
    bench.close()


async def test_what_could_not_be_published_is_published_the_next_time(bench: Bench) -> None:
    bench.told.away = True
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await bench.model.refresh()
    bench.told.away = False
    await bench.model.refresh()
    assert (bench.learner.fits, len(bench.told.published)) == (1, 1)
    assert bench.told.published[0][3] == b""


async def test_the_first_that_has_an_order_publishes_the_top_lists(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Learner(), Ordering(), Ordering())
    for model in bench.models:
        await model.refresh()
    assert bench.told.tops == [{"all": ["c", "b", "a"], "genre:Drama": ["c", "b", "a"]}]
    await bench.log("a")
    await bench.models[2].refresh()
    assert len(bench.told.tops) == 1
    await bench.models[1].refresh()
    assert len(bench.told.tops) == 2
    bench.close()


async def test_the_first_that_explores_fills_the_queue(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Learner(), Exploring(), Exploring())
    bench.told.shown_before = 1_000
    for model in bench.models:
        await model.refresh()
    assert bench.told.queues == [["c", "a"]]
    (exploring,) = bench.made["mine2"]
    assert cast(Exploring, exploring).asked == 4_000
    bench.close()


async def test_factors_are_those_of_the_model_if_it_has_any(tmp_path: Path) -> None:
    class Embedding(Learner):
        def fit(self, data: TrainingData, previous: Any, rng: np.random.Generator) -> Any:
            model = super().fit(data, previous, rng)
            model.item_factors = np.ones((3, 2), np.float32)
            return model

    bench = Bench(tmp_path, Learner(), Embedding())
    found: list[Floats | None] = [model.item_factors for model in bench.models]
    assert found == [None, None], "before the first fit"
    for model in bench.models:
        await model.refresh()
    assert bench.models[0].item_factors is None
    factors = bench.models[1].item_factors
    assert factors is not None
    assert factors.shape == (3, 2)
    bench.close()


# what a failure costs


async def test_a_learner_that_fails_leaves_its_model_in_force_and_says_why(bench: Bench) -> None:
    await bench.log("a")
    await bench.model.refresh()
    bench.learner.fail_to_fit = ValueError("no luck")
    await bench.log("b")
    await bench.model.refresh()
    assert len(bench.told.published) == 1
    facts = bench.told.noted["mine"]
    assert (facts["error"], facts["rows"], facts["version"]) == ("ValueError: no luck", 1, bench.told.versions[0])


async def test_one_that_fails_is_tried_again_after_longer_and_longer_pauses(bench: Bench) -> None:
    bench.learner.fail_to_fit = ValueError("no luck")
    begun, pauses = bench.now, []
    for number in range(1, 12):
        await bench.model.refresh()
        assert bench.learner.fits == number
        pause = min(2.0 ** (number - 1), 300)
        bench.now += pause - 0.01
        await bench.model.refresh()
        assert bench.learner.fits == number
        bench.now += 0.01
        pauses.append(pause)
    assert (pauses[0], pauses[-1], bench.now - begun) == (*RETRY_S, pytest.approx(sum(pauses)))
    bench.learner.fail_to_fit = None
    await bench.model.refresh()
    assert "error" not in bench.told.noted["mine"]
    bench.learner.fail_to_fit = ValueError("again")
    await bench.log("a")
    await bench.model.refresh()
    bench.now += RETRY_S[0]
    fits = bench.learner.fits
    await bench.model.refresh()
    assert bench.learner.fits == fits + 1, "the first pause is short again"


async def test_one_that_fails_at_the_rows_begins_anew_with_all_of_them(bench: Bench) -> None:
    """Nobody knows how much it has taken in."""
    await bench.log("ab")
    await bench.model.refresh()
    first = bench.learner
    first.fail_to_add = MemoryError()
    await bench.log("c")
    await bench.model.refresh()
    assert bench.learner is not first
    assert (bench.learner.got, bench.told.noted["mine"]["error"]) == ([], "MemoryError: ")
    bench.now += RETRY_S[0]
    await bench.model.refresh()
    assert bench.learner.got == ["a", "b", "c"]
    assert bench.told.published[-1][3] == b"abc"


async def test_one_that_fails_hinders_no_other(tmp_path: Path) -> None:
    failing, other = Learner(), Learner()
    failing.fail_to_fit = ValueError("no luck")
    bench = Bench(tmp_path, failing, other)
    for model in bench.models:
        await model.refresh()
    assert [name for name, *_ in bench.told.published] == ["mine2"]
    bench.close()


# checkpoints


def checkpoint(bench: Bench) -> Path:
    return checkpoint_of(bench.epoch.folder, bench.model.name)


@pytest.mark.parametrize("name", ["bandit", "my_module:Mine", "my.own/../../Mine", "мой:Класс"])
def test_every_learner_has_a_file_of_its_own_in_the_folder_of_checkpoints(tmp_path: Path, name: str) -> None:
    path = checkpoint_of(tmp_path, name)
    assert path.parent == tmp_path / "checkpoints"
    assert path.suffix == ".npz"
    assert checkpoint_of(tmp_path, name + "2") != path


async def test_a_restart_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Saving())
    await bench.log("ab")
    await bench.model.refresh()
    await bench.model.save()
    await bench.log("c")
    again = Bench(tmp_path, Saving())
    again.model.resume()
    assert again.learner.got == ["a", "b"]
    assert again.model.follower.next_row == 2
    await again.model.refresh()
    assert again.told.published[-1][3] == b"abc"
    for made in (bench, again):
        made.close()


async def test_without_a_checkpoint_the_log_is_read_from_its_begin(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Saving())
    await bench.log("ab")
    bench.model.resume()
    await bench.model.refresh()
    assert bench.told.published[-1][3] == b"ab"
    bench.close()


@pytest.mark.parametrize("saved", [b"", b"half a checkpoint", None], ids=["empty", "other bytes", "beyond the log"])
async def test_a_checkpoint_of_no_use_is_no_harm(tmp_path: Path, saved: bytes | None) -> None:
    longer = Bench(tmp_path / "longer", Saving())
    await longer.log("xyz")
    await longer.model.refresh()
    await longer.model.save()
    bench = Bench(tmp_path / "log", Saving())
    await bench.log("ab")
    checkpoint(bench).parent.mkdir()
    checkpoint(bench).write_bytes(checkpoint(longer).read_bytes() if saved is None else saved)
    bench.model.resume()
    await bench.model.refresh()
    assert bench.told.published[-1][3] == b"ab"
    for made in (bench, longer):
        made.close()


async def test_a_learner_that_fails_half_way_through_a_checkpoint_is_made_anew(tmp_path: Path) -> None:
    class Failing(Saving):
        def resume(self, saved: bytes, row: int) -> int:
            super().resume(saved, row)
            raise RuntimeError("no luck")

    bench = Bench(tmp_path, Saving())
    await bench.log("ab")
    await bench.model.refresh()
    await bench.model.save()
    again = Bench(tmp_path, Failing())
    again.model.resume()
    await again.model.refresh()
    assert again.told.published[-1][3] == b"ab"
    for made in (bench, again):
        made.close()


async def test_one_that_cannot_save_writes_nothing(bench: Bench) -> None:
    await bench.model.save()
    assert not checkpoint(bench).parent.exists()


async def test_a_checkpoint_is_saved_now_and_then(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Saving())
    saved = []
    for seconds in (0.0, 29.0, 1.0, 29.0, 1.0):
        bench.now += seconds
        await bench.model.save_checkpoint(30.0)
        saved.append(checkpoint(bench).exists())
        checkpoint(bench).unlink(missing_ok=True)
    assert saved == [False, False, True, False, True]
    bench.close()


async def test_a_failed_save_leaves_the_previous_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, Saving())
    await bench.log("ab")
    await bench.model.refresh()
    await bench.model.save()
    before = checkpoint(bench).read_bytes()
    await bench.log("c")
    await bench.model.refresh()

    def no_space(descriptor: int) -> None:
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr("recsys.stores.event_log.os.fsync", no_space)
        bench.now += 30
        for _ in range(2):  # it is tried again at once
            with pytest.raises(StoreUnavailable, match=r"mine\.npz: no space"):
                await bench.model.save_checkpoint(30.0)
    assert list(checkpoint(bench).parent.iterdir()) == [checkpoint(bench)]
    assert checkpoint(bench).read_bytes() == before
    await bench.model.save_checkpoint(30.0)
    assert checkpoint(bench).read_bytes() != before
    bench.close()


async def test_a_checkpoint_of_other_options_is_of_no_use(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Popular(half_life_days=3.0))
    await bench.log("ab")
    await bench.model.refresh()
    await bench.model.save()
    made = [
        LiveModel("mine", Popular, bench.epoch, cast(State, _State(bench.told)), bench.model._rng, made_by=by, seed=5)
        for by in ("mine", "mine {'half_life_days': 7.0}")
    ]
    for model in made:
        model.resume()
        assert model.follower.next_row == 0
        model.close()
    bench.close()
