"""A small recommender in memory that keeps the contract, and every way in which it can be told to break it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

LATE_S = 0.1  # what comes too late comes then; less than a doctor with the patience of the tests waits


class Fault(Enum):
    HEALTH_500 = auto()
    HEALTH_HANGS = auto()
    WEB_PAGE = auto()
    NO_CLEANUP = auto()
    GET_CLEANUP_405 = auto()
    SECOND_CLEANUP_FAILS = auto()
    GENRES_REQUIRED = auto()
    NUMBERS_REFUSED = auto()
    NUMBERS_COME_BACK = auto()
    UPSERT_DUPLICATES = auto()
    BIG_CATALOGUE_REFUSED = auto()
    BIG_CATALOGUE_CUT = auto()
    NEW_ITEMS_LATE = auto()
    EXTRA_KEY = auto()
    PLAIN_TEXT = auto()
    BARE_LIST = auto()
    K_IGNORED = auto()
    UNKNOWN_ITEMS = auto()
    REPEATS_IN_LIST = auto()
    REPEATS_SHOWN = auto()
    SHORT_AT_THE_END = auto()
    NEWEST_COME_BACK = auto()
    LIKED_COME_BACK = auto()
    SHARED_HISTORY = auto()
    SAME_USER_RACE = auto()
    TIMESTAMP_REQUIRED = auto()
    LIKES_ADD_ITEMS = auto()
    UNKNOWN_LIKE_500 = auto()
    SHOWS_DISLIKED = auto()
    DISLIKES_FOR_ALL = auto()
    REACTIONS_IGNORED = auto()
    OLD_ITEMS_SURVIVE = auto()
    EMPTY_CATALOGUE_500 = auto()
    SHOWN_SURVIVES = auto()
    DISLIKES_SURVIVE = auto()
    IN_FLIGHT_SURVIVES = auto()
    BAD_JSON_500 = auto()
    ANY_ACTION = auto()
    LENGTHS_UNCHECKED = auto()
    GENRES_UNCHECKED = auto()
    K_UNCHECKED = auto()
    HUGE_BODY_500 = auto()
    DIES_OF_HUGE_BODY = auto()
    UNICODE_USER_500 = auto()
    ITEM_IDS_TRIMMED = auto()
    FAILS_UNDER_LOAD = auto()


class Refused(Exception):
    """Bad input; the message says what is wrong."""


@dataclass
class User:
    shown: dict[str, None] = field(default_factory=dict)  # oldest first
    disliked: set[str] = field(default_factory=set)
    genres: Counter[str] = field(default_factory=Counter)


class Reference:
    """The state and its rules; HTTP is in ``faulty``."""

    def __init__(self, *faults: Fault, apply_s: float = 0.005) -> None:
        self.faults = frozenset(faults)
        self.apply_s = apply_s  # an accepted reaction waits this long, as if in a queue
        self.rng = random.Random(1)
        self.epoch = 0
        self.pool: list[Any] = []
        self.genres: dict[Any, list[str]] = {}
        self.users: defaultdict[str, User] = defaultdict(User)
        self.recent_cleanup = False

    def has(self, *faults: Fault) -> bool:
        return not self.faults.isdisjoint(faults)

    def cleanup(self) -> None:
        if self.has(Fault.SECOND_CLEANUP_FAILS) and self.recent_cleanup:
            raise RuntimeError("nothing to delete")
        self.recent_cleanup = True
        self.epoch += 1
        if not self.has(Fault.OLD_ITEMS_SURVIVE):
            self.pool, self.genres = [], {}
        for user in list(self.users.values()):
            if not self.has(Fault.SHOWN_SURVIVES):
                user.shown.clear()
            if not self.has(Fault.DISLIKES_SURVIVE):
                user.disliked.clear()
            user.genres.clear()

    def add_items(self, body: Any) -> None:
        ids, genres = checked_items(body, self)
        self.recent_cleanup = False
        if self.has(Fault.BIG_CATALOGUE_REFUSED) and len(ids) > 10_000:
            raise Refused("too many items")
        kept = len(ids) if not self.has(Fault.BIG_CATALOGUE_CUT) else 10_000
        if self.has(Fault.NEW_ITEMS_LATE):
            asyncio.get_running_loop().call_later(LATE_S, self._add, ids[:kept], genres)
        else:
            self._add(ids[:kept], genres)

    def _add(self, ids: list[Any], genres: list[list[str]]) -> None:
        for item, kinds in zip(ids, genres, strict=False):
            if item not in self.genres or self.has(Fault.UPSERT_DUPLICATES):
                self.pool.append(item)
            self.genres[item] = kinds

    def user(self, name: str) -> User:
        user = self.users["everybody" if self.has(Fault.SHARED_HISTORY) else name]
        if self.has(Fault.DISLIKES_FOR_ALL):
            user.disliked = self.users["everybody"].disliked
        return user

    async def recs(self, name: str, k: int) -> list[Any]:
        if self.has(Fault.EMPTY_CATALOGUE_500) and not self.pool:
            raise RuntimeError("empty range")
        user = self.user(name)
        found = self._choose(user, 10 if self.has(Fault.K_IGNORED) else k)
        if self.has(Fault.SAME_USER_RACE):
            await asyncio.sleep(self.apply_s)
        if not self.has(Fault.REPEATS_SHOWN):
            for item in found:
                user.shown.pop(item, None)
                user.shown[item] = None
        if self.has(Fault.UNKNOWN_ITEMS):
            found[-1:] = ["made-up \ud800"]
        if self.has(Fault.REPEATS_IN_LIST):
            found[-1:] = found[:1]
        return found

    def _choose(self, user: User, k: int) -> list[Any]:
        unwanted = set() if self.has(Fault.SHOWS_DISLIKED) else user.disliked
        fresh = [item for item in self.pool if item not in user.shown and item not in unwanted]
        some = self.rng.sample(fresh, min(len(fresh), 30 * k))
        found = sorted(some, key=lambda item: self._taste(user, item), reverse=True)[:k]
        if len(found) < k and not self.has(Fault.SHORT_AT_THE_END):
            oldest = [i for i in user.shown if i in self.genres and i not in unwanted]
            found += (oldest[::-1] if self.has(Fault.NEWEST_COME_BACK) else oldest)[: k - len(found)]
        return found

    def _taste(self, user: User, item: Any) -> float:
        return sum(0.1 * user.genres[genre] for genre in self.genres[item]) + self.rng.random()

    def interact(self, body: Any) -> None:
        name, ids, actions = checked_reactions(body, self)
        if self.has(Fault.UNKNOWN_LIKE_500) and not set(ids) <= set(self.genres):
            raise KeyError("unknown item")
        late = self.has(Fault.IN_FLIGHT_SURVIVES)
        loop = asyncio.get_running_loop()
        loop.call_later(LATE_S if late else self.apply_s, self._apply, self.epoch, name, ids, actions)

    def _apply(self, epoch: int, name: str, ids: list[str], actions: list[str]) -> None:
        if self.has(Fault.IN_FLIGHT_SURVIVES):
            if epoch == self.epoch or not self.genres:  # still before the cleanup, or before the items that follow it
                asyncio.get_running_loop().call_later(LATE_S / 2, self._apply, epoch, name, ids, actions)
                return
        elif epoch != self.epoch:
            return
        for item, action in zip(ids, actions, strict=False):
            if item not in self.genres and self.has(Fault.LIKES_ADD_ITEMS):
                self._add([item], [[]])
            if item in self.genres:
                self._react(self.user(name), item, action)

    def _react(self, user: User, item: str, action: str) -> None:
        if action == "dislike":
            user.disliked.add(item)
        elif self.has(Fault.LIKED_COME_BACK):
            user.shown.pop(item, None)
        if not self.has(Fault.REACTIONS_IGNORED):
            user.genres.update(dict.fromkeys(self.genres[item], 1 if action == "like" else -1))


def checked_items(body: Any, reference: Reference) -> tuple[list[Any], list[list[str]]]:
    must(isinstance(body, dict) and isinstance(body.get("item_ids"), list), "item_ids has to be a list")
    kinds = (str,) if reference.has(Fault.NUMBERS_REFUSED) else (str, int)
    must(all(isinstance(item, kinds) for item in body["item_ids"]), "item_ids has to hold texts or numbers")
    ids = [item if reference.has(Fault.NUMBERS_COME_BACK) else str(item) for item in body["item_ids"]]
    if reference.has(Fault.ITEM_IDS_TRIMMED):
        ids = [str(item)[:100] for item in ids]
    genres = body["genres"] if reference.has(Fault.GENRES_REQUIRED) else body.get("genres") or [[] for _ in ids]
    must(isinstance(genres, list) and all(isinstance(kinds, list) for kinds in genres), "genres has to hold lists")
    must(all(isinstance(kind, str) for kinds in genres for kind in kinds), "a genre has to be a text")
    must(len(genres) == len(ids) or reference.has(Fault.GENRES_UNCHECKED), "genres and item_ids differ in length")
    return ids, genres


def checked_reactions(body: Any, reference: Reference) -> tuple[str, list[str], list[str]]:
    must(isinstance(body, dict), "the body has to be an object")
    name, ids, actions = (body.get(key) for key in ("user_id", "item_ids", "actions"))
    must(isinstance(name, str), "user_id has to be a text")
    must(isinstance(ids, list) and all(isinstance(item, str) for item in ids), "item_ids has to hold texts")
    must(isinstance(actions, list) and all(isinstance(a, str) for a in actions), "actions has to hold texts")
    known = set(actions) <= {"like", "dislike"}
    must(known or reference.has(Fault.ANY_ACTION), "an action is like or dislike")
    must(len(ids) == len(actions) or reference.has(Fault.LENGTHS_UNCHECKED), "item_ids and actions differ in length")
    must(isinstance(body.get("timestamp", 0), int | float), "timestamp has to be a number")
    must("timestamp" in body or not reference.has(Fault.TIMESTAMP_REQUIRED), "timestamp is missing")
    return name, ids, actions


def must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Refused(otherwise)
