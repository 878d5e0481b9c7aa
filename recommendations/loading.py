"""From the version of a model that is in force to that model in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from functools import cached_property, partial
from typing import Any, Final

import structlog
from prometheus_client import Counter

from recommendations.knowledge import Held
from recsys.catalogue import Items
from recsys.recommenders.guard import Guard
from recsys.recommenders.port import Learner, Live, Model
from recsys.stores.ports import ModelDamaged, Models, ModelStore, StoreUnavailable

log = structlog.get_logger()

LOAD_S: Final = 20.0
LEFT_OUT: Final[Any] = object()
REFUSED: Final = Counter("models_refused_total", "versions of a model that could not be loaded", ["model"])


class Refused(Exception):
    """No version can be loaded that is better than what is held."""


class Loader:
    """Live models come from the state itself, those that jobs train from the model store, opened when one is needed."""

    def __init__(
        self,
        models: Models,
        open_store: Callable[[], ModelStore],
        learners: Mapping[str, Learner],
        own: Collection[str] = (),
    ) -> None:
        """``own``: names of learners that are somebody's own code, which may take LOAD_S and no longer."""
        self._models = models
        self._open_store = open_store
        self._learners = learners
        self._guards = {name: Guard(LOAD_S) for name in own}

    @cached_property
    def _store(self) -> ModelStore:
        return self._open_store()

    async def fetch(self, epoch: int, name: str) -> tuple[str, bytes | None]:
        """The version in force, "" if there is none, and its bytes if it is a live one."""
        version, blob = await self._models.fetch(epoch, name)
        # What is trained now may have been live before: then the bytes are of that time.
        return version, blob if isinstance(self._learners[name], Live) else None

    async def load(
        self, epoch: int, name: str, version: str, blob: bytes | None, items: Items, held: Held | None
    ) -> Held:
        """The model for these items. Refused: it cannot be loaded; what is ``held`` stays.

        If nothing is held, the newest of the versions before that can be loaded takes its place. StoreError.
        """
        try:
            model = await self._model(epoch, name, version, blob, items)
        except (ModelDamaged, Unloadable) as error:
            REFUSED.labels(name).inc()
            instead = f"version {held.version} stays in force" if held else "the next source serves"
            log.error("a model cannot be loaded", model=name, version=version, error=str(error), instead=instead)
            if held is not None or blob is not None:
                raise Refused from error
            model = await self._earlier(epoch, name, version, items)
        return Held(version, model, items.records, len(items))

    async def _earlier(self, epoch: int, name: str, than: str, items: Items) -> Model:
        for version in reversed(await asyncio.to_thread(self._store.versions, epoch, name)):
            if not than.isdecimal() or version < int(than):
                try:
                    model = await self._model(epoch, name, str(version), None, items)
                except (ModelDamaged, Unloadable) as error:
                    log.error("a model cannot be loaded", model=name, version=version, error=str(error))
                else:
                    log.warning("an earlier version serves", model=name, version=version)
                    return model
        raise Refused

    async def _model(self, epoch: int, name: str, version: str, blob: bytes | None, items: Items) -> Model:
        if blob is None and not version.isdecimal():
            raise ModelDamaged(f"no job trained version {version} of {name}")
        found = blob if blob is not None else await asyncio.to_thread(self._read, epoch, name, int(version))
        load = partial(self._learners[name].load, found, items)
        guard = self._guards.get(name)
        try:
            model = await asyncio.to_thread(guard.call, load, LEFT_OUT) if guard else await asyncio.to_thread(load)
        except Exception as error:  # it may be somebody's own code
            raise Unloadable(f"{type(error).__name__}: {error}") from error
        if model is LEFT_OUT:
            raise StoreUnavailable(f"the load of {name} that was late is waited for")
        if model is None:
            raise Unloadable("load returned nothing")
        return model

    def _read(self, epoch: int, name: str, version: int) -> bytes:
        return self._store.read(epoch, name, version)[1]


class Unloadable(Exception):
    """What the learner's ``load`` raised."""
