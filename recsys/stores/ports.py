"""What the services ask of their stores, in the words of the domain.

Every port has one contract test suite that runs on each of its backends. Errors of the client libraries stay behind
the ports; what comes out is

    StoreError                  a store could not do what was asked
    ├── StoreUnavailable        it does not answer now; the same call may succeed later
    └── StoreMisconfigured      it answers, but cannot be used like this: a person has to change something
        └── CredentialsRefused  it does not know the user or password of its URL

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


@dataclass(frozen=True)
class Page:
    """Everything that one batch of recommendation requests needs to know, read at one moment."""

    epoch: int
    catalogue_chunks: int
    artifacts_version: str
    codes: list[bytes]  # one per user asked for; b"" for a user nobody has seen
    cards: list[str]  # item ids taken from the exploration deck; nobody else gets them until it is dealt anew
    deal: int  # how often it was dealt before


@dataclass(frozen=True)
class UsedCards:
    """What became of the cards of a page."""

    deal: int
    played: Sequence[str]
    unplayed: Sequence[str]


NO_CARDS: Final = UsedCards(0, (), ())


class CatalogueStore(Protocol):
    """The append-only log of item records that every process replays, and the deck of items to explore."""

    async def add(self, epoch: int, records: Sequence[ItemRecord], cards: Sequence[str]) -> None:
        """Append one chunk and put its new items' cards under the deck. Raises EpochOver."""

    async def since(self, epoch: int, chunks: int) -> list[list[ItemRecord]]:
        """The chunks after the first ``chunks``; empty if there are none."""

    async def deck(self, epoch: int) -> list[str]:
        """The cards that nobody has taken, next first."""

    async def played(self, epoch: int) -> int:
        """How many cards were played since the last deal."""

    async def deal(self, epoch: int, cards: Sequence[str]) -> None:
        """Put these cards, but for those played since the last deal, in place of the deck. Raises EpochOver."""


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


# Names of an item's vectors.
CONTENT: Final = "content"  # its genres
COLLABORATIVE: Final = "collaborative"  # its loadings in the factor model


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
