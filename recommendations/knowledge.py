"""What one worker holds in memory of one epoch: the catalogue, the artifacts and the view for ranking made of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np

from recsys.artifacts import Artifacts
from recsys.catalogue import Catalogue
from recsys.ranking.choose import View
from recsys.ranking.exploration import explore_share
from recsys.ranking.posterior import Floats, like_rates, of_new_items
from recsys.ranking.profiles import Ranking
from recsys.ranking.taste import TasteModel
from recsys.user_state import Indices


@dataclass
class Knowledge:
    """Epoch 0 with an empty catalogue is a worker that has not reached its store yet."""

    ranking: Ranking
    epoch: int = 0
    catalogue: Catalogue = field(default_factory=Catalogue)
    artifacts: Artifacts | None = None
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
            self._view = (key, build_view(self.catalogue, self.artifacts, self.ranking))
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


def build_view(catalogue: Catalogue, artifacts: Artifacts | None, ranking: Ranking) -> View:
    """The published statistics, extended by what is expected of items that are newer than they."""
    genres = catalogue.genres()
    n = len(genres)
    if artifacts is None:
        nothing = np.zeros(n, np.float32)
        prior = like_rates(nothing, nothing, nothing, genres, ranking.posterior)
        taste = TasteModel.untrained(n, ranking.taste)
        return View.of(
            prior.mean,
            prior.sd,
            _order(prior.mean),
            genres,
            ranking.choose,
            loadings=taste.loadings,
            genre_variance=taste.genre_variance,
            explore_share=explore_share(nothing, ranking.explore),
        )
    # Genres that are newer than the artifacts say nothing yet.
    new = genres[len(artifacts.mean) :, : len(artifacts.genre_rate)]
    mean = np.append(artifacts.mean, of_new_items(new, artifacts.genre_rate, artifacts.base_rate))
    return View.of(
        mean,
        np.append(artifacts.sd, of_new_items(new, artifacts.genre_sd, artifacts.base_sd)),
        _order(mean) if len(new) else artifacts.order.astype(np.int64),
        genres,
        ranking.choose,
        loadings=np.pad(artifacts.loadings, ((0, len(new)), (0, 0))),
        genre_variance=artifacts.genre_variance,
        explore_share=artifacts.explore_share,
    )


def _order(mean: Floats) -> Indices:
    """Best first; equal rates in an order that has nothing to do with that of the catalogue."""
    return np.lexsort((np.random.default_rng(len(mean)).permutation(len(mean)), -mean))
