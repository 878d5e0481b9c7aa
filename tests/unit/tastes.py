"""A small log of users of two tastes, for tests of whoever has to learn them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl
import pytest

from recsys.catalogue import Items
from recsys.recommenders.port import Learner, Live, Model, Query
from recsys.recommenders.registry import BUILT_IN, TRAINED_BY, RecommenderError, build, read_specs
from tests.unit.by_hand import data_of, items_of, log_of, query_of, rng, user_of

OF_TASTE: Final = 8  # items of each
ITEMS: Final = 2 * OF_TASTE
GENRES: Final = np.repeat(np.eye(2, dtype=bool), OF_TASTE, axis=0)
TASTES: Final = (range(OF_TASTE), range(OF_TASTE, ITEMS))
EACH_BUILT_IN: Final = pytest.mark.parametrize("name", BUILT_IN)


def require(name: str) -> None:
    """Skips the test where the library is missing that trains this one."""
    if name in TRAINED_BY:
        pytest.importorskip(TRAINED_BY[name])


def learner_of(text: str) -> Any:
    """A new one, as the setting names it. In one thread, in which a training is the same every time."""
    (spec,) = read_specs(text)
    require(spec.name)
    return build(spec, {"threads": 1})


def refusal(text: str) -> str:
    """The sentence that says why there is no such learner."""
    (spec,) = read_specs(text)
    with pytest.raises(RecommenderError) as refused:
        build(spec)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def logged(*rows: tuple[str, str, int]) -> pl.DataFrame:
    """Rows of the log, each of an event of its own."""
    return log_of(*rows).with_columns(event_id=pl.format("e{}", pl.int_range(pl.len())), position=pl.lit(0, pl.Int16))


def two_tastes(users: int = 40, seed: int = 0) -> pl.DataFrame:
    """Each user likes four items of his taste and dislikes one of the other."""
    draw, rows = rng(seed), []
    for user in range(users):
        own, other = TASTES[user % 2], TASTES[1 - user % 2]
        rows += [(f"{seed}-{user}", "like", int(item)) for item in draw.choice(own, 4, replace=False)]
        rows.append((f"{seed}-{user}", "dislike", int(draw.choice(other))))
    return logged(*rows)


def fitted(learner: Learner | str, items: Items | int, log: pl.DataFrame, previous: Any = None, seed: int = 0) -> Any:
    """What the learner, or a new one of this name, makes of a log that it has not seen yet."""
    learner = learner_of(learner) if isinstance(learner, str) else learner
    if isinstance(learner, Live):
        learner.add(log)
    return learner.fit(data_of(items, log), previous, rng(seed))


def items_with_genres(more: int = 0) -> Items:
    """The items of both tastes, and more that have no genre."""
    return items_of(ITEMS + more, np.vstack([GENRES, np.zeros((more, 2), bool)]))


def asking(*said: tuple[int, int]) -> Query:
    return query_of(user_of(*said))


def ranked(model: Model, query: Query, n: int, k: int | None = None, eligible: Any = None, seed: int = 0) -> list[int]:
    """Positions; a list of all n if nothing else is asked for."""
    may = np.ones(n, bool) if eligible is None else np.asarray(eligible, bool)
    found = model.rank(query, may, n if k is None else k, rng(seed))
    positions = getattr(found, "positions", found)
    return [int(position) for position in positions]
