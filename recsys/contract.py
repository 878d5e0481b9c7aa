"""What crosses a process boundary: HTTP bodies and broker messages."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    TypeAdapter,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from recsys.limits import ID_PATTERN, MAX_GENRE_CHARS, MAX_GENRES_PER_ITEM, MAX_ID_CHARS

DEFAULT_K: Final = 10
MAX_K: Final = 1_000
MAX_REACTIONS_PER_CALL: Final = 10_000
MAX_ITEMS_PER_CALL: Final = 200_000
MAX_CLOCK_SKEW_S: Final = 3_600.0  # a receipt further in the future is not believed

# Broker names are those of the original system, so that its clients keep working.
EXCHANGE: Final = "user.interact"
QUEUE: Final = "user_interactions"
INTERACT_TOPIC: Final = "user.interact.message"
IMPRESSION_TOPIC: Final = "user.impression.message"

_Id = Field(min_length=1, max_length=MAX_ID_CHARS, pattern=ID_PATTERN)
UserId = Annotated[str, _Id]
ItemId = Annotated[str, _Id, Field(coerce_numbers_to_str=True)]
Genre = Annotated[str, Field(min_length=1, max_length=MAX_GENRE_CHARS)]
# Every list of the bodies fails fast: a refusal must not cost more than what is refused.
Genres = Annotated[list[Genre], Field(max_length=MAX_GENRES_PER_ITEM, fail_fast=True)]
Action = Literal["like", "dislike", "hide", "undo"]


def _require_same_length(name: str, other: str, values: list[Any], info: ValidationInfo) -> None:
    expected = len(info.data.get(other, values))
    if len(values) != expected:
        raise PydanticCustomError(
            "length_mismatch",
            "{name} holds {got} entries but {other} holds {expected}",
            {"name": name, "got": len(values), "other": other, "expected": expected},
        )


class Interact(BaseModel):
    """Body of ``POST /interact``: one user's reactions, ``actions[i]`` to ``item_ids[i]``."""

    user_id: UserId
    item_ids: list[ItemId] = Field(max_length=MAX_REACTIONS_PER_CALL, fail_fast=True)
    actions: list[Action] = Field(fail_fast=True)
    timestamp: FiniteFloat | None = Field(None, description="client time, Unix seconds; logged, never used for decay")

    @field_validator("actions")
    @classmethod
    def _one_action_per_item(cls, actions: list[Action], info: ValidationInfo) -> list[Action]:
        _require_same_length("actions", "item_ids", actions, info)
        return actions


class AddItems(BaseModel):
    """Body of ``POST /add_items``: a batch of items, inserted or updated by id."""

    item_ids: list[ItemId] = Field(max_length=MAX_ITEMS_PER_CALL, fail_fast=True)
    genres: list[Genres] = Field(default_factory=list, fail_fast=True, description="absent or empty: unknown")

    @field_validator("genres")
    @classmethod
    def _one_list_per_item(cls, genres: list[list[str]], info: ValidationInfo) -> list[list[str]]:
        if genres:
            _require_same_length("genres", "item_ids", genres, info)
        return genres

    def records(self) -> list[ItemRecord]:
        """One record per item id, the last one where an id repeats."""
        genres = self.genres or [[]] * len(self.item_ids)
        latest = dict(zip(self.item_ids, genres, strict=True))
        return [ItemRecord(id=item, genres=tuple(dict.fromkeys(g))) for item, g in latest.items()]


class RecsRequest(BaseModel):
    """Parameters of ``GET /recs/{user_id}``.

    The answer is ``{"item_ids": [...]}``; with ``explain`` also ``"sources"``, where ``sources[i]`` names the part of
    the ranking that chose ``item_ids[i]``.
    """

    user_id: UserId
    k: int = Field(DEFAULT_K, ge=1, le=MAX_K)
    explain: bool = False


class ItemRecord(BaseModel):
    """One line of the catalogue log. A later line for the same id replaces its genres."""

    model_config = ConfigDict(frozen=True)
    id: str
    genres: tuple[str, ...] = ()


class Interaction(Interact):
    """Message on ``INTERACT_TOPIC``: an ``Interact`` body with the collector's stamps.

    Messages of other publishers may lack the stamps: the pipeline fills them in when it drains the message.
    """

    event_id: str = ""
    epoch: int = 0
    received_at: FiniteFloat = 0.0


class Slate(BaseModel):
    """One list as it was shown to one user, best first: one impression per item."""

    event_id: str
    user_id: str
    item_ids: list[str] = Field(max_length=MAX_K)
    sources: list[str]
    received_at: FiniteFloat

    @field_validator("sources")
    @classmethod
    def _one_source_per_item(cls, sources: list[str], info: ValidationInfo) -> list[str]:
        _require_same_length("sources", "item_ids", sources, info)
        return sources


class Impressions(BaseModel):
    """Message on ``IMPRESSION_TOPIC``: slates that one recommendations worker served within a moment."""

    epoch: int = Field(gt=0)
    slates: list[Slate]


HISTORY: Final = "history"  # source of a reaction from before this system

CATALOGUE_CHUNK: Final = TypeAdapter(list[ItemRecord])


def of_history(kind: str) -> str:
    """What the source of an undo says that takes back a reaction of this kind from before this system."""
    return f"{HISTORY} {kind}"


def stamped(message: Interaction, body: bytes, *, epoch: int, now: float) -> Interaction:
    """The message with missing or impossible stamps replaced; an id made of its bytes survives redelivery."""
    if message.event_id and message.epoch > 0 and believable(message.received_at, now):
        return message
    return message.model_copy(
        update={
            "event_id": message.event_id or hashlib.blake2b(body, digest_size=16).hexdigest(),
            "epoch": message.epoch if message.epoch > 0 else epoch,
            "received_at": message.received_at if believable(message.received_at, now) else now,
        }
    )


def believable(received_at: float, now: float) -> bool:
    """Whether a time of receipt can be one: a single one far off would outweigh everything in decayed counts."""
    return 0 < received_at <= now + MAX_CLOCK_SKEW_S
