"""What a recommender is: a ``Learner`` makes a ``Model`` of what was logged, and the model ranks items for a user.

There are two kinds of learner. A **live** one follows the event log: it gets every row once, and makes a new model
every half second. A **periodic** one has no ``add``: a job trains it now and then on all that the log holds. A learner
is one class, named in the setting ``RECOMMENDER``; its options are the keyword arguments of its constructor.

docs/own-recommender.md shows one from an empty file to a graded run.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.catalogue import Items
from recsys.user_state import UserState

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Query:
    """Who asks for a list, and when."""

    user_id: str
    state: UserState  # what this user was shown and said: also of users whom no training saw
    at: float  # Unix seconds
    memo: dict[Any, Any] = field(default_factory=dict, compare=False)  # what a model keeps between two of its methods


class Ranked(NamedTuple):
    """Positions (m,), best first, and how good each is, on any scale. Without scores the order alone counts."""

    positions: Positions
    scores: Floats | None = None


BLOCK: Final = 100
NOTHING: Final = Ranked(np.zeros(0, np.int64))  # what a model answers that does not know


class Model(Protocol):
    """What a learner has learned, as of one moment: never changed, without IO and clock.

    Beside these two methods it may have those of Scoring, Similar, Ordered and Embedding.
    """

    def rank(self, query: Query, eligible: Bools, k: int, rng: np.random.Generator) -> Ranked | Positions:
        """Up to k positions for this user, best first, from those that are ``eligible`` (n,) bool.

        n is the number of items that ``Learner.load`` was given. What was shown to or disliked by the user is not
        eligible. Short or empty: the model does not know more, and the next source fills the list. All randomness
        comes from ``rng``. Do not change ``eligible``.
        """
        ...

    def dump(self) -> bytes:
        """Everything that ``Learner.load`` needs to make this model again."""
        ...


@runtime_checkable
class Scoring(Protocol):
    """A model that can say how well items suit a user: exploration shows him those that suit him best."""

    def scores(self, query: Query, positions: Positions) -> Floats | None:
        """(m,) for positions (m,), higher is better, on any scale. None: nothing is known of this user."""
        ...


@runtime_checkable
class Similar(Protocol):
    """A model that knows which items are like an item, for ``/similar``."""

    def similar(self, position: int, k: int) -> Positions:
        """Up to k positions other than this one, the most similar first. Empty: it does not know."""
        ...


@runtime_checkable
class Ordered(Protocol):
    """A model that knows an order of all items for everybody, for ``/top`` and the published top lists."""

    @property
    def order(self) -> Positions:
        """(n,) all positions, best first."""
        ...


@runtime_checkable
class Embedding(Protocol):
    """A model with a vector for each item, for the vector store."""

    @property
    def item_factors(self) -> Floats:
        """(n, f); a row of zeros is an item that it knows nothing of."""
        ...


@dataclass(frozen=True)
class TrainingData:
    """What a learner may look at."""

    epoch: int
    items: Items  # the catalogue
    rows: int  # of the event log: those from 0 up to here
    at: float  # now, Unix seconds
    scan: Callable[[], pl.LazyFrame]  # these rows, columns as in schemas.EVENT_SCHEMA
    background: Executor  # for what takes longer than a refresh of a live learner may: collect it in a later fit
    progress: Callable[[float, str], None] = lambda share, doing: None  # how far a training has come, 0 to 1


class Learner(Protocol):
    """Makes models. One object per epoch; its methods are never called at the same time."""

    def fit(self, data: TrainingData, previous: Any, rng: np.random.Generator) -> Model:
        """A new model, or ``previous`` itself if nothing changed. ``previous`` is the model in force, if any.

        A periodic learner may go on from it; without one it begins anew.
        """
        ...

    def load(self, blob: bytes, items: Items) -> Model:
        """The model that was dumped, for the n ``items`` of today, which may be more than when it was fitted.

        Called again when the catalogue changes. ValueError for bytes that are no such dump.
        """
        ...


@runtime_checkable
class Live(Learner, Protocol):
    """A learner that follows the log."""

    def add(self, rows: pl.DataFrame) -> None:
        """The next rows of the log, columns as in schemas.EVENT_SCHEMA; each row comes once, in order."""
        ...


@runtime_checkable
class Resumable(Protocol):
    """A live learner that needs not read the whole log again after a restart."""

    def save(self) -> bytes:
        """All that was learned from the rows so far."""
        ...

    def resume(self, saved: bytes, row: int) -> int:
        """Go on from what was saved when the next row was ``row``. Returns from which row on it wants to be given rows.

        ValueError for bytes that it cannot use: then it is made anew and given all rows.
        """
        ...


@runtime_checkable
class Exploring(Protocol):
    """A live learner that can say what should be shown in order to learn. Its model has ``exploration``."""

    def candidates(self, size: int, rng: np.random.Generator) -> Positions:
        """Up to ``size`` positions for the exploration queue, the most promising first, as of the last fit."""
        ...


@runtime_checkable
class Explored(Protocol):
    """The model of an Exploring learner."""

    @property
    def exploration(self) -> ExplorationShare:
        """How many places explore."""
        ...


class ExplorationShare(NamedTuple):
    """Shares of the places of a list, 0 to 1, that go to the exploration queue."""

    new_user: float
    known_user: float  # of one who has reacted: it is his list


class AtOnce(Executor):
    """Does in the caller's thread what is submitted: for replays of the log, and for virtual time."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def ranked_by(scores: Floats, eligible: Bools, k: int) -> Ranked:
    """The k eligible positions with the highest ``scores`` (n,), best first; of equal ones the earlier position.

    Equals of the last one may be left out whatever their position.
    """
    offered = np.where(eligible, scores, np.float32(-np.inf))
    found = _at_least_the_best(offered, k)
    found = found[np.lexsort((found, -offered[found]))][:k]
    found = found[eligible[found]]
    return Ranked(found, offered[found])


def _at_least_the_best(values: Floats, k: int) -> Positions:
    """Places of the k largest values (n,) and perhaps of some more; several times faster than to find just those k.

    The k-th largest of the maxima of blocks is reached by k values at least, so by all of the k largest.
    """
    blocks = len(values) // BLOCK
    if k < 1 or blocks < 2 * k:
        return np.arange(len(values))
    maxima = values[: blocks * BLOCK].reshape(blocks, BLOCK).max(axis=1)
    return np.flatnonzero(values >= np.partition(maxima, blocks - k)[blocks - k])
