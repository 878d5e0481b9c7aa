"""A system without its services, for jobs: a state, a log and a model store, and learners of somebody's own."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from recsys.contract import ItemRecord
from recsys.settings import Settings
from recsys.stores.connect import State, log_folder, open_models
from recsys.stores.event_log import EventLog
from recsys.stores.ports import ModelStore
from tests.service import own_learners
from tests.service.rig import ask
from tests.unit.by_hand import log_of

T = TypeVar("T")
OWN: Final = Path(own_learners.__file__)
COUNTS, WAITS, FIT_RAISES, LOAD_HANGS = (f"{OWN.stem}:{name}" for name in ("Counts", "Waits", "FitRaises", "LoadHangs"))


def copied(home: Path) -> Path:
    """A folder with the learners, to be on somebody's path."""
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(OWN, home)
    return home


def imported_anew(home: Path, patch: pytest.MonkeyPatch) -> Path:
    """The same, on our own path."""
    patch.syspath_prepend(copied(home))
    patch.delitem(sys.modules, OWN.stem, raising=False)
    return home


def begun(home: Path) -> list[int]:
    """The processes that fit Waits, one for each time."""
    path = home / "began"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def like(settings: Settings, epoch: int, *positions: int) -> None:
    """Log a like of each of these, by somebody new."""
    log = EventLog(log_folder(settings)).events(epoch)
    log.append(log_of(*((f"u{log.rows + n}", "like", item) for n, item in enumerate(positions))))


@dataclass
class JobsRig:
    """With four items, of which the last but one was liked twice and the first once."""

    settings: Settings
    home: Path  # of the learners

    def __post_init__(self) -> None:
        epoch, records = self.epoch, [ItemRecord(id=item) for item in "abcd"]
        self.ask(lambda state: state.catalogue.add(epoch, records, []))
        self.like(2, 0, 2)

    @property
    def env(self) -> dict[str, str]:
        return {
            "REDIS_URL": self.settings.redis_url,
            "BROKER_URL": self.settings.broker_url,
            "QDRANT_URL": "",
            "DATA_DIR": str(self.settings.data_dir),
            "KEY_PREFIX": self.settings.key_prefix,
            "REDIS_TIMEOUT_S": "20",
            "PYTHONPATH": str(self.home),
        }

    def ask(self, question: Callable[[State], Awaitable[T]]) -> T:
        return ask(self.settings, question)

    @property
    def epoch(self) -> int:
        return self.ask(lambda state: state.epochs.current())

    @property
    def store(self) -> ModelStore:
        return open_models(self.settings)

    def like(self, *positions: int) -> None:
        like(self.settings, self.epoch, *positions)

    def in_force(self, name: str = COUNTS) -> str:
        epoch = self.epoch
        return self.ask(lambda state: state.models.fetch(epoch, name))[0]

    def model(self, version: int, name: str = COUNTS) -> dict[str, Any]:
        return dict(json.loads(self.store.read(self.epoch, name, version)[1]))

    def path(self, version: int) -> Path:
        (path,) = (self.settings.data_dir / "models").rglob(f"{version}.model")
        return path
