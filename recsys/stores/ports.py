"""What the services ask of their stores, in the words of the domain.

Every port has one contract test suite that runs on each of its backends. Errors of the client libraries stay behind
the ports; what comes out is

    StoreError                  a store could not do what was asked
    ├── StoreUnavailable        it does not answer now; the same call may succeed later
    ├── StoreMisconfigured      it answers, but cannot be used like this: a person has to change something
    │   └── CredentialsRefused  it does not know the user or password of its URL
    └── ModelDamaged            what is kept there is not the model that was written

and ``EpochOver``, which is not a fault: ``/cleanup`` began a new epoch, so the caller's work has become void.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from recsys.contract import ItemRecord


class StoreError(Exception):
    """Base of all errors that leave a store."""


class StoreUnavailable(StoreError):
    """The store does not answer now; the same call may succeed later."""


class StoreMisconfigured(StoreError):
    """The store answers but cannot be used like this. The message says what to change."""


class CredentialsRefused(StoreMisconfigured):
    """The store does not know the user or password of its URL, or does not let that user in."""


class ModelDamaged(StoreError):
    """What is kept there is not the model that was written, or there is none."""


class EpochOver(Exception):
    """The epoch that the call belongs to has ended; nothing was written."""


@dataclass(frozen=True)
class Delivery:
    """One message as taken from the broker. ``receipt`` is the broker's own handle for acknowledging it."""

    topic: str
    body: bytes
    receipt: Any


class Broker(Protocol):
    """A durable queue: at least once, in the order of publication except after a redelivery."""

    async def publish(self, topic: str, bodies: Sequence[bytes]) -> None:
        """Return once the broker holds every message durably. StoreUnavailable: it may hold some of them."""

    async def fetch(self, limit: int, *, wait_s: float, linger_s: float) -> list[Delivery]:
        """Up to ``limit`` messages: wait up to ``wait_s`` for the first, then up to ``linger_s`` for more.

        Empty when none came. What is fetched and not acked comes again after a reconnect or in the next process.
        """

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Forget these messages for good."""

    async def depth(self) -> int:
        """Messages that wait. Those fetched and not acked may or may not be among them."""

    async def ping(self) -> None:
        """Raise StoreUnavailable or StoreMisconfigured unless messages can be published."""

    async def close(self) -> None: ...


class Epochs(Protocol):
    """The number that every key, message and log folder carries. Only ``/cleanup`` and a rebuild change it."""

    async def current(self) -> int:
        """The epoch in force. Concurrent calls share one round trip."""

    async def begin_next(self) -> int:
        """End the epoch: delete all its state and return the number of the next one, in force from now."""

    async def restore(self, epoch: int) -> None:
        """Put an earlier epoch in force again, with no state yet."""

    async def ping(self) -> None:
        """Raise StoreUnavailable unless state can be written."""


@dataclass(frozen=True)
class Page:
    """Everything that one batch of recommendation requests needs to know, read at one moment."""

    epoch: int
    catalogue_chunks: int
    versions: Mapping[str, str]  # in force, of each model asked for; "" before the first; empty in another epoch
    codes: list[bytes]  # one per user asked for; b"" for a user nobody has seen
    candidates: list[str]  # item ids taken from the exploration queue; nobody else gets them until it is filled anew
    fills: int  # how often it was filled before


@dataclass(frozen=True)
class UsedCandidates:
    """What became of the candidates of a page."""

    fills: int
    shown: Sequence[str]
    left: Sequence[str]


NO_CANDIDATES: Final = UsedCandidates(0, (), ())


class Pages(Protocol):
    """What the request path reads and writes: one round trip each for any number of requests."""

    async def open(self, epoch: int, users: Sequence[str], candidates: int, models: Sequence[str] = ()) -> Page:
        """Take up to so many candidates. If ``Page.epoch`` is not ``epoch``, all else in the page is void."""

    async def mark_shown(
        self, epoch: int, codes: Mapping[str, tuple[int, bytes]], used: UsedCandidates = NO_CANDIDATES
    ) -> set[str]:
        """Append to each user's codes the new ones, unless their length is no longer the one given.

        Candidates that were not shown go back to the front of the queue, in this order, unless it was filled anew
        meanwhile. Returns the users whose codes have another length: somebody else appended meanwhile. Raises
        EpochOver.
        """

    async def compact(self, epoch: int, user: str, old: bytes, new: bytes) -> None:
        """Replace a user's codes if they still are ``old``. Raises EpochOver."""


class CatalogueStore(Protocol):
    """The append-only log of item records that every process replays."""

    async def add(self, epoch: int, records: Sequence[ItemRecord], candidates: Sequence[str]) -> None:
        """Append one chunk and put new items' ids at the end of the exploration queue. Raises EpochOver."""

    async def since(self, epoch: int, chunks: int) -> list[list[ItemRecord]]:
        """The chunks after the first ``chunks``; empty if there are none."""


class ExplorationQueue(Protocol):
    """Items that somebody should be shown, the most promising first. No two requests take the same one."""

    async def waiting(self, epoch: int) -> list[str]:
        """Those that nobody has taken, next first."""

    async def shown(self, epoch: int) -> int:
        """How many were shown since it was filled."""

    async def fill(self, epoch: int, candidates: Sequence[str]) -> None:
        """Put these, but for those shown since the last time, in place of what waits. Raises EpochOver."""


class Models(Protocol):
    """Which version of each model is in force: readers see one whole version or another."""

    async def publish(
        self, epoch: int, name: str, version: str, facts: Mapping[str, Any], blob: bytes | None = None
    ) -> None:
        """Switch to this version; ``facts`` are JSON values for people. Raises EpochOver.

        ``blob`` is the model, unless it is kept elsewhere or is the one already there.
        """

    async def note(self, epoch: int, name: str, facts: Mapping[str, Any]) -> None:
        """Other facts of the version in force, or of why there is none. Raises EpochOver."""

    async def fetch(self, epoch: int, name: str) -> tuple[str, bytes | None]:
        """The version in force, "" before the first, and the model itself if it is kept here."""

    async def facts(self, epoch: int) -> dict[str, dict[str, Any]]:
        """Of every model, by name."""

    async def train(self, epoch: int, name: str, token: str, progress: Mapping[str, Any], seconds: float) -> bool:
        """Whether the training of this model belongs to ``token`` for so many seconds from now.

        Called again to prolong it, with new ``progress``, JSON values for people. Raises EpochOver.
        """

    async def trained(self, epoch: int, name: str, token: str) -> None:
        """It is over, if it still belongs to this one."""

    async def trainings(self, epoch: int, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Progress of those under way, by name."""

    async def publish_top(self, epoch: int, lists: Mapping[str, Sequence[str]]) -> None:
        """The published top lists, by name, as item ids. Raises EpochOver."""


class Ledger(Protocol):
    """Effects of logged rows on the state: each row counts exactly once, because effects carry their row range."""

    async def claim(self, epoch: int, log_id: str) -> bool:
        """Whether the epoch's rows are counted from this log; the first to ask has it. Raises EpochOver."""

    async def applied(self, epoch: int) -> int:
        """How many rows of the epoch's log the state reflects."""

    async def apply(
        self, epoch: int, rows: tuple[int, int], counters: Mapping[str, int], codes: Mapping[str, bytes]
    ) -> bool:
        """Add the effects of log rows [start, end); False, and nothing done, unless ``applied`` is start.

        Raises EpochOver.
        """

    async def counters(self, epoch: int) -> dict[str, int]: ...


class ModelStore(Protocol):
    """Models that jobs train, whole or not at all. Calls block: keep them off the event loop."""

    def write(self, epoch: int, name: str, facts: Mapping[str, Any], blob: bytes, after: int = 0) -> int:
        """Keep this as the next version of the model and return its number, which is more than ``after``.

        Facts are JSON values.
        """

    def read(self, epoch: int, name: str, version: int) -> tuple[dict[str, Any], bytes]:
        """Facts and model as they were written. ModelDamaged if they are not, or not there."""

    def versions(self, epoch: int, name: str) -> list[int]:
        """Ascending."""

    def files(self, epoch: int) -> Sequence[Any]:
        """All versions of all models, by name and version: ``name``, ``version``, ``size`` in bytes, ``facts``."""

    def delete(self, epoch: int, name: str, version: int) -> None:
        """One that is not there is no error."""

    def drop_all_but(self, epoch: int) -> int:
        """Delete the models of every other epoch; returns how many there were."""


# Names of an item's vectors.
CONTENT: Final = "content"  # its genres
COLLABORATIVE: Final = "collaborative"  # its factors in a model of who likes what


class VectorStore(Protocol):
    """Named item vectors of one epoch, by catalogue position. Calls block: keep them off the event loop."""

    def upsert(
        self,
        epoch: int,
        vectors: Mapping[str, NDArray[np.float32]],
        positions: Sequence[int],
        payloads: Sequence[dict[str, Any]],
    ) -> None:
        """Write row i of each name's vectors (n, d) as item positions[i], in place of all that it had.

        A row of zeros is a vector that the item does not have. Names or dimensions other than the collection's start
        it anew.
        """

    def drop_all_but(self, epoch: int) -> None:
        """Delete the collections of every other epoch under our prefix."""

    def close(self) -> None: ...
