"""What one worker holds in memory of one epoch: the catalogue, the artifacts and the view for ranking made of them."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from recsys.artifacts import Artifacts
from recsys.catalogue import Catalogue
from recsys.ranking.choose import DEFAULT, View
from recsys.ranking.posterior import Floats, like_rates


@dataclass
class Knowledge:
    """Epoch 0 with an empty catalogue is a worker that has not reached its store yet."""

    epoch: int = 0
    catalogue: Catalogue = field(default_factory=Catalogue)
    artifacts: Artifacts | None = None
    hand: deque[str] = field(default_factory=deque)  # cards dealt from the exploration deck and not played yet
    _ids_json: list[bytes] = field(default_factory=list)
    _view: tuple[tuple[int, str], View] | None = None

    @property
    def version(self) -> str:
        return self.artifacts.version if self.artifacts else ""

    @property
    def view(self) -> View:
        """The view of exactly this catalogue and these artifacts, built when first needed."""
        key = (len(self.catalogue.history), self.version)
        if self._view is None or self._view[0] != key:
            self._view = (key, build_view(self.catalogue, self.artifacts))
        return self._view[1]

    def fits(self, artifacts: Artifacts | None) -> bool:
        """Whether the artifacts speak only of items and genres of this catalogue."""
        if artifacts is None:
            return True
        genres = len(self.catalogue.genre_names)
        return len(artifacts.mean) <= len(self.catalogue) and len(artifacts.genre_rate) <= genres

    def ids_json(self) -> list[bytes]:
        """Each item id as JSON, by position."""
        for item_id in self.catalogue.ids[len(self._ids_json) :]:
            self._ids_json.append(json.dumps(item_id).encode())
        return self._ids_json


def build_view(catalogue: Catalogue, artifacts: Artifacts | None) -> View:
    """The published statistics, extended by the prior for items that are newer than they."""
    genres = catalogue.genres()
    if artifacts is not None and (len(artifacts.mean), len(artifacts.genre_rate)) == genres.shape:
        return View.of(artifacts.mean, artifacts.sd, artifacts.order.astype(np.int64), genres, DEFAULT)
    n = len(genres)
    nothing = np.zeros(0, np.float32)
    counts = (nothing,) * 3 if artifacts is None else (artifacts.likes, artifacts.dislikes, artifacts.exposures)
    likes, dislikes, exposures = (_padded(values, n) for values in counts)
    posterior = like_rates(likes, dislikes, exposures, genres)
    # Equal rates in an order that has nothing to do with that of the catalogue.
    order = np.lexsort((np.random.default_rng(n).permutation(n), -posterior.mean))
    return View.of(posterior.mean, posterior.sd, order, genres, DEFAULT)


def _padded(values: Floats, n: int) -> Floats:
    return np.pad(values, (0, n - len(values)))
