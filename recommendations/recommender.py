"""From a request to a list: one read of the state for all requests that wait, pure choice, one write."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import structlog
from prometheus_client import Counter

from recommendations.impressions import ImpressionRecorder
from recommendations.knowledge import Knowledge
from recommendations.randomness import RequestRandom
from recsys.batching import Batcher
from recsys.contract import AddItems
from recsys.ranking.choose import DEFAULT, Choice, choose
from recsys.stores.ports import EpochOver, Page, StoreError, StoreUnavailable
from recsys.stores.redis_state import RedisState
from recsys.user_state import SHOWN, UserState, compacted, encode

log = structlog.get_logger()

FROM_MEMORY: Final = Counter("lists_from_memory_total", "lists served without the user's state: Redis was away")
SPARE_CARDS: Final = 4  # offered beyond the explore places, as the user may have seen some
COMPACT_ABOVE: Final = 1_000  # codes beyond twice the catalogue before a user's state is rewritten


@dataclass(frozen=True)
class Request:
    user_id: str
    k: int


@dataclass(frozen=True)
class Answer:
    """``ids_json[i]`` is the JSON of the i-th item id."""

    ids_json: list[bytes]
    sources: list[str]


class Recommender:
    """One worker's view of the system. All workers give the same answers from the same state."""

    def __init__(self, store: RedisState, impressions: ImpressionRecorder, seed: int) -> None:
        self._store = store
        self._impressions = impressions
        self._seed = seed
        self._random = RequestRandom(seed)
        self._known = Knowledge()
        self._syncing = asyncio.Lock()
        self._loading: asyncio.Task[None] | None = None
        self._compacting: set[asyncio.Task[None]] = set()
        self._requests: Batcher[Request, Answer] = Batcher(self._serve)
        self._degraded = False

    async def recommend(self, user_id: str, k: int) -> Answer:
        return await self._requests.submit(Request(user_id, k))

    async def _serve(self, requests: Sequence[Request]) -> list[Answer]:
        try:
            while True:
                try:
                    return await self._serve_from_store(requests)
                except EpochOver:
                    continue
        except StoreUnavailable as error:
            return self._serve_from_memory(requests, error)

    async def _serve_from_store(self, requests: Sequence[Request]) -> list[Answer]:
        places = sum(_explore_places(request.k) + SPARE_CARDS for request in requests)
        page = await self._open_page([request.user_id for request in requests], places - len(self._known.hand))
        known = self._known
        known.hand.extend(page.cards)
        # A user who asks twice at once gets two different lists: the second choice sees the first.
        codes = {request.user_id: code for request, code in zip(requests, page.codes, strict=True)}
        shown: dict[str, bytes] = {}
        choices = []
        for user_id, k in ((request.user_id, request.k) for request in requests):
            choice = self._choose(known, user_id, k, codes[user_id])
            new = encode(choice.positions, SHOWN)
            codes[user_id] += new
            if new:
                shown[user_id] = shown.get(user_id, b"") + new
            choices.append(choice)
        if shown:
            await self._store.mark_shown(known.epoch, shown)
        self._compact_large(known, codes)
        self._recover("Redis answers again")
        return [self._answer(known, r.user_id, c) for r, c in zip(requests, choices, strict=True)]

    async def _open_page(self, users: Sequence[str], cards: int) -> Page:
        """A page of the epoch and catalogue that ``self._known`` then holds."""
        while True:
            page = await self._store.open_page(self._known.epoch, users, max(cards, 0))
            if page.epoch != self._known.epoch:
                await self.begin(page.epoch)
                continue
            if page.catalogue_chunks > self._known.catalogue.chunks:
                await self._read_catalogue()
            if page.artifacts_version != self._known.version and self._loading is None:
                self._loading = asyncio.create_task(self._load_artifacts(self._known))
            return page

    def _choose(self, known: Knowledge, user_id: str, k: int, codes: bytes) -> Choice:
        rng = self._random.of(user_id, len(codes))
        hand = known.hand
        offered = [hand.popleft() for _ in range(min(_explore_places(k) + SPARE_CARDS, len(hand)))]
        cards = [known.catalogue.index[card] for card in offered]
        choice = choose(known.view, UserState(codes), k, cards, rng)
        hand.extendleft(card for card, p in zip(offered, cards, strict=True) if p not in choice.positions)
        return choice

    def _answer(self, known: Knowledge, user_id: str, choice: Choice) -> Answer:
        if choice.positions:
            ids = known.catalogue.ids
            self._impressions.record(known.epoch, user_id, [ids[p] for p in choice.positions], choice.sources)
        ids_json = known.ids_json()
        return Answer([ids_json[p] for p in choice.positions], choice.sources)

    def _serve_from_memory(self, requests: Sequence[Request], error: StoreUnavailable) -> list[Answer]:
        """Lists without personal state from the last artifacts; nothing is remembered as shown."""
        known = self._known
        if not known.epoch:
            raise error
        if not self._degraded:
            log.error("serving from memory, without users' state", error=str(error))
        self._degraded = True
        FROM_MEMORY.inc(len(requests))
        return [self._answer(known, r.user_id, self._choose(known, r.user_id, r.k, b"")) for r in requests]

    def _recover(self, message: str) -> None:
        if self._degraded:
            log.warning(message)
        self._degraded = False

    def _compact_large(self, known: Knowledge, codes: dict[str, bytes]) -> None:
        limit = 4 * (2 * len(known.catalogue) + COMPACT_ABOVE)
        for user_id, code in codes.items():
            if len(code) > limit:
                task = asyncio.create_task(self._store.compact(known.epoch, user_id, code, compacted(code)))
                self._compacting.add(task)
                task.add_done_callback(self._compacting.discard)

    async def begin(self, epoch: int) -> None:
        """Forget the epoch held and learn this one."""
        async with self._syncing:
            if self._known.epoch != epoch:
                fresh = Knowledge(epoch)
                for chunk in await self._store.since(epoch, 0):
                    fresh.catalogue.extend(chunk)
                fresh.artifacts = await self._store.fetch(epoch)
                self._known = fresh
                log.info("epoch begun", epoch=epoch, items=len(fresh.catalogue), artifacts=fresh.version)

    async def _read_catalogue(self) -> None:
        async with self._syncing:
            known = self._known
            for chunk in await self._store.since(known.epoch, known.catalogue.chunks):
                known.catalogue.extend(chunk)

    async def _load_artifacts(self, known: Knowledge) -> None:
        """In the background: requests go on with the artifacts held until the new ones are ready."""
        try:
            known.artifacts = await self._store.fetch(known.epoch) or known.artifacts
        except StoreError as error:
            log.error("artifacts not loaded", error=str(error))
        finally:
            self._loading = None

    async def add_items(self, body: AddItems) -> tuple[int, int]:
        """Insert or update; returns how many items are new and how many changed."""
        while True:
            await self._open_page((), 0)
            known = self._known
            changes = known.catalogue.changes(body.records())
            new = [record.id for record in changes if record.id not in known.catalogue.index]
            if not changes:
                return 0, 0
            rng = np.random.default_rng([self._seed, known.epoch, len(known.catalogue)])
            try:
                await self._store.add(known.epoch, changes, [new[i] for i in rng.permutation(len(new))])
            except EpochOver:
                continue
            await self._read_catalogue()
            return len(new), len(changes) - len(new)

    async def cleanup(self) -> int:
        """Begin a new, empty epoch and return its number."""
        epoch = await self._store.begin_next()
        await self.begin(epoch)
        return epoch

    async def knowledge(self) -> Knowledge:
        """What is known at this moment, with the artifacts in force; from memory while Redis is away."""
        try:
            await self._open_page((), 0)
            if self._loading is not None:
                await self._loading
        except StoreUnavailable:
            if not self._known.epoch:
                raise
        return self._known

    async def check(self) -> str:
        """What health to report. StoreUnavailable if nothing can be served."""
        try:
            await self._store.ping()
        except StoreUnavailable as error:
            if not self._known.epoch:
                raise
            return f"degraded: {error}"
        await self._open_page((), 0)
        return "ok"


def _explore_places(k: int) -> int:
    return round(k * DEFAULT.explore_share)
