"""Statistics, histories, logs and catalogues written out, for tests of what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import polars as pl

from recsys.catalogue import Catalogue, Items
from recsys.contract import ItemRecord
from recsys.recommenders.bandit.exploration import DEFAULT as EXPLORING
from recsys.recommenders.bandit.statistics import Statistics
from recsys.recommenders.bandit.view import DEFAULT, BanditModel, RankConfig
from recsys.recommenders.mix import Mix, Slate, Source
from recsys.recommenders.port import AtOnce, Query, TrainingData
from recsys.recommenders.recipe import BANDIT, PROFILES
from recsys.schemas import EVENT_SCHEMA
from recsys.user_state import DISLIKE, SHOWN, UserState, encode

NOBODY: Final = UserState(b"")
DIVERSITY: Final = PROFILES["balanced"].diversity
AT: Final = 1.7e9


def items_of(n: int, genres: Any = None) -> Items:
    """n items i0, i1, …; genres (n, g), none if not given."""
    membership = np.zeros((n, 0), bool) if genres is None else np.asarray(genres, bool)
    return Items([f"i{p}" for p in range(n)], membership, [f"g{c}" for c in range(membership.shape[1])], n)


def catalogue_of(*genres: str) -> Catalogue:
    """Items i0, i1, …; each letter is a genre."""
    catalogue = Catalogue()
    catalogue.extend(ItemRecord(id=f"i{n}", genres=tuple(of)) for n, of in enumerate(genres))
    return catalogue


def statistics_of(
    mean: Any, sd: Any = 0.0, genres: int = 0, *, item_factors: Any = None, genre_variance: float = 0.0
) -> Statistics:
    rates = np.asarray(mean, dtype=np.float32)
    n = len(rates)
    return Statistics(
        mean=rates,
        sd=np.broadcast_to(np.float32(sd), n).astype(np.float32),
        order=np.argsort(-rates, kind="stable").astype(np.int32),
        genre_rate=np.zeros(genres, np.float32),
        genre_sd=np.zeros(genres, np.float32),
        base_rate=0.0,
        base_sd=0.0,
        explore_share=0.0,
        item_factors=np.zeros((n, 0), np.float32) if item_factors is None else item_factors,
        genre_variance=genre_variance,
    )


def model_of(
    mean: Any, genres: Any = None, sd: Any = 0.0, config: RankConfig = DEFAULT, *, explore_share: float = 0.0, **of: Any
) -> BanditModel:
    """The bandit's model with these like rates (n,), and what else ``statistics_of`` takes."""
    items = items_of(len(mean), genres)
    statistics = replace(statistics_of(mean, sd, len(items.genre_names), **of), explore_share=explore_share)
    return BanditModel(statistics, items, config, EXPLORING.known_user)


def falling(n: int, explore_share: float = 0.0) -> BanditModel:
    """n items without genres, each certain and a little worse than the one before."""
    return model_of(np.linspace(0.5, 0.1, n), explore_share=explore_share)


def mix_of(model: BanditModel, diversity: float = DIVERSITY) -> Mix:
    """Lists of the bandit alone, as the services put them together."""
    items = model._items
    return Mix(items, [Source(BANDIT, model, len(items))], model.exploration, diversity, must_not_fail)


def must_not_fail(source: str, error: Exception) -> None:
    raise error


def next_list(
    model: BanditModel,
    user: UserState,
    k: int,
    offered: Sequence[int],
    rng: np.random.Generator,
    diversity: float = DIVERSITY,
) -> Slate:
    return mix_of(model, diversity).fill(query_of(user), k, offered, rng)


def query_of(user: UserState = NOBODY) -> Query:
    return Query("u", user, AT)


def user_of(*history: tuple[int, int]) -> UserState:
    return UserState(b"".join(encode([position], mark) for position, mark in history))


def shown(*positions: int) -> UserState:
    return UserState(encode(positions, SHOWN))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def log_of(*rows: tuple[str, str, int]) -> pl.DataFrame:
    """Rows of the event log: who, what, and the position of the item. ``undo like``: what is taken back is a like."""
    schema = {name: EVENT_SCHEMA[name] for name in ("user_id", "kind", "source", "item_index", "item_id")}
    told = [(user, *what.partition(" ")[::2], item, f"i{item}") for user, what, item in rows]
    others = {name: pl.lit(None, dtype) for name, dtype in EVENT_SCHEMA.items() if name not in schema}
    log = pl.DataFrame(told, schema=schema, orient="row").with_columns(**others).with_columns(received_at=pl.lit(AT))
    return log.select(EVENT_SCHEMA.names())


def data_of(items: Items | int, *logged: pl.DataFrame) -> TrainingData:
    """What a learner may look at: a catalogue, and a log in pieces."""
    catalogue = items_of(items) if isinstance(items, int) else items
    log = pl.concat([pl.DataFrame(schema=EVENT_SCHEMA), *logged])
    return TrainingData(1, catalogue, log.height, AT, log.lazy, AtOnce())


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Somebody who asks for a list, the candidates that are offered, and what a reader works out from both."""

    history: list[tuple[int, int]]
    offered: list[int]

    @property
    def seen(self) -> set[int]:
        return {position for position, _ in self.history}

    @property
    def disliked(self) -> set[int]:
        return {position for position, mark in self.history if mark == DISLIKE}

    @property
    def unseen_candidates(self) -> list[int]:
        return [candidate for candidate in dict.fromkeys(self.offered) if candidate not in self.seen]
