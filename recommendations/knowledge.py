"""What one worker holds in memory of one epoch: the catalogue, the models in force and the mix made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from recsys.catalogue import Catalogue
from recsys.recommenders.guard import Guard
from recsys.recommenders.mix import Failed, Mix, Source
from recsys.recommenders.port import NOTHING, Model, Ordered, Similar
from recsys.recommenders.recipe import Recipe
from recsys.recommenders.toplists import top_list


@dataclass(frozen=True)
class Held:
    """A model in memory. ``records`` and ``items`` say which catalogue it was loaded for."""

    version: str
    model: Model
    records: int
    items: int


@dataclass(frozen=True)
class Setup:
    """What all epochs of a worker have in common: the recipe, and the guards of sources that are not ours."""

    recipe: Recipe
    guards: Mapping[str, Guard]
    failed: Failed


class Knowledge:
    """Epoch 0 with an empty catalogue is a worker that has not reached its store yet."""

    def __init__(self, setup: Setup, epoch: int = 0) -> None:
        self.epoch = epoch
        self.catalogue = Catalogue()
        self.models: dict[str, Held] = {}
        self._setup = setup
        self._ids_json: list[bytes] = []
        self._mix: Mix | None = None
        self._tops: dict[str | None, list[str]] = {}

    def hold(self, name: str, held: Held) -> None:
        """From now on the model of this name."""
        self.models[name] = held
        self._tops.clear()
        self._mix = self._mixed()

    @property
    def mix(self) -> Mix:
        """Of exactly this catalogue, and of the models held: they may be of an earlier one for a moment."""
        if self._mix is None or self._mix.items.records != len(self.catalogue.history):
            self._mix = self._mixed()
        return self._mix

    def _mixed(self) -> Mix:
        recipe, guards = self._setup.recipe, self._setup.guards
        sources = []
        for spec in recipe.sources:
            if held := self.models.get(spec.name):
                model = guards[spec.name].around(held.model) if spec.name in guards else held.model
                sources.append(Source(spec.name, model, held.items))
        exploration = recipe.exploration(dict(self._in_order()))
        return Mix(self.catalogue.items(), sources, exploration, recipe.diversity, self._setup.failed, self._mix)

    def ids_json(self) -> list[bytes]:
        """Each item id as JSON, by position."""
        for item_id in self.catalogue.ids[len(self._ids_json) :]:
            self._ids_json.append(json.dumps(item_id).encode())
        return self._ids_json

    def similar(self, position: int, k: int) -> list[str]:
        """Ids by the first model that knows anything like this item; empty if none does."""
        for name, model in self._in_order():
            if isinstance(model, Similar) and position < self.models[name].items:
                guard, ask = self._setup.guards.get(name), partial(model.similar, position, k)
                try:
                    found = guard.call(ask, NOTHING.positions) if guard else ask()
                    ids = [self.catalogue.ids[p] for p in _positions(found, len(self.catalogue))]
                except Exception as error:  # it may be somebody's own code
                    self._setup.failed(name, error)
                    continue
                if ids:
                    return ids
        return []

    def top(self, genre: str | None, k: int) -> list[str]:
        """The top list over all items or of a genre, by the first model that has an order; at most 100 ids."""
        if genre not in self._tops:
            self._tops[genre] = self._top(genre)
        return self._tops[genre][:k]

    def _top(self, genre: str | None) -> list[str]:
        for name, model in self._in_order():
            try:
                if isinstance(model, Ordered):
                    return top_list(model.order, self.catalogue.items(), genre)
            except Exception as error:  # it may be somebody's own code
                self._setup.failed(name, error)
        return []

    def _in_order(self) -> list[tuple[str, Model]]:
        """Sources first, then whoever fills the exploration queue."""
        names = dict.fromkeys([*(spec.name for spec in self._setup.recipe.sources), *self.models])
        return [(name, self.models[name].model) for name in names if name in self.models]


def _positions(found: Any, items: int) -> list[int]:
    """As a list. ValueError for one that does not exist."""
    listed = [int(position) for position in found]
    if listed and not 0 <= min(listed) <= max(listed) < items:
        raise ValueError(f"positions from {min(listed)} to {max(listed)}, but there are {items} items")
    return listed
