"""From a request to a list: one read of the state for all requests that wait, pure choice, one write."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import structlog
from prometheus_client import Counter, Summary

from recommendations.impressions import ImpressionRecorder
from recommendations.knowledge import Knowledge
from recommendations.randomness import RequestRandom
from recsys.batching import Batcher
from recsys.contract import AddItems
from recsys.ranking.choose import Choice, choose
from recsys.ranking.exploration import Hand
from recsys.ranking.profiles import Ranking
from recsys.stores.ports import EpochOver, Page, StoreError, StoreUnavailable, UsedCards
from recsys.stores.redis_state import RedisState
from recsys.user_state import SHOWN, UserState, compacted, encode

log = structlog.get_logger()

FROM_MEMORY: Final = Counter("lists_from_memory_total", "lists served without the user's state: Redis was away")
CHOICE_S: Final = Summary("list_choice_seconds", "time to choose one list from what is known, without any waiting")
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

    def __init__(self, store: RedisState, impressions: ImpressionRecorder, ranking: Ranking, seed: int) -> None:
        self._store = store
        self._impressions = impressions
        self._ranking = ranking
        self._seed = seed
        self._random = RequestRandom(seed)
        self._known = Knowledge(ranking)
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
        served: dict[int, Answer] = {}
        while left := {n: request for n, request in enumerate(requests) if n not in served}:
            served |= await self._serve_round(left)
        if self._degraded:
            log.warning("Redis answers again")
        self._degraded = False
        return [served[n] for n in range(len(requests))]

    async def _serve_round(self, requests: Mapping[int, Request]) -> dict[int, Answer]:
        """Answers to all requests but those of users whose state moved on meanwhile: they are chosen anew."""
        users = list(dict.fromkeys(request.user_id for request in requests.values()))
        wanted = self._known.view.cards([request.k for request in requests.values()])
        known, page = await self._open_page(users, wanted)
        hand = Hand(page.cards)
        before = dict(zip(users, page.codes, strict=True))
        codes = dict(before)
        choices: dict[int, Choice] = {}
        for number, request in requests.items():
            # A user who asks twice at once gets two different lists: the second choice sees the first.
            choices[number] = self._choose(known, request.user_id, request.k, codes[request.user_id], hand)
            codes[request.user_id] += encode(choices[number].positions, SHOWN)
        shown = {user: (len(before[user]), codes[user][len(before[user]) :]) for user in users}
        shown = {user: marks for user, marks in shown.items() if marks[1]}
        unplayed = list(hand)
        played = set(page.cards).difference(unplayed)
        cards = UsedCards(page.deal, sorted(played), unplayed)
        moved = await self._store.mark_shown(known.epoch, shown, cards)
        self._compact_large(known, {user: code for user, code in codes.items() if user not in moved})
        return {
            number: self._answer(known, request.user_id, choices[number])
            for number, request in requests.items()
            if request.user_id not in moved
        }

    async def _open_page(self, users: Sequence[str], cards: int) -> tuple[Knowledge, Page]:
        """A page, and what is known of its epoch with at least its catalogue."""
        while True:
            known, replayed = self._known, self._known.catalogue.chunks
            page = await self._store.open_page(known.epoch, users, cards)
            if page.epoch != known.epoch:
                await self.begin(page.epoch)
            elif page.catalogue_chunks < replayed:
                log.warning("the catalogue log is shorter than it was: it was restored", chunks=page.catalogue_chunks)
                await self.begin(page.epoch, instead_of=known)
            elif page.catalogue_chunks > known.catalogue.chunks:
                await self._read_catalogue(known)
            # While we waited a cleanup may have ended the epoch; then the page is void.
            if self._known is known and known.catalogue.chunks >= page.catalogue_chunks:
                break
        if page.artifacts_version != known.version and self._loading is None:
            self._loading = asyncio.create_task(self._load_artifacts(known))
        return known, page

    def _choose(self, known: Knowledge, user_id: str, k: int, codes: bytes, hand: Hand[str]) -> Choice:
        rng = self._random.of(user_id, len(codes))
        offered = hand.offer(known.view.cards([k]))
        cards = [known.catalogue.index[card] for card in offered]
        with CHOICE_S.time():
            choice = choose(known.view, UserState(codes), k, cards, rng, self._ranking.choose)
        played = set(choice.positions)
        hand.take_back([card for card, p in zip(offered, cards, strict=True) if p not in played])
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
        return [self._answer(known, r.user_id, self._choose(known, r.user_id, r.k, b"", Hand())) for r in requests]

    def _compact_large(self, known: Knowledge, codes: Mapping[str, bytes]) -> None:
        limit = 4 * (2 * len(known.catalogue) + COMPACT_ABOVE)
        for user_id, code in codes.items():
            if len(code) > limit:
                task = asyncio.create_task(self._compact(known.epoch, user_id, code))
                self._compacting.add(task)
                task.add_done_callback(self._compacting.discard)

    async def _compact(self, epoch: int, user_id: str, code: bytes) -> None:
        try:
            await self._store.compact(epoch, user_id, code, compacted(code))
        except (StoreError, EpochOver) as error:
            log.warning("a user's state was not compacted", error=str(error))

    async def begin(self, epoch: int, instead_of: Knowledge | None = None) -> None:
        """Learn this epoch and forget what is held. One that is held already stays, unless it is ``instead_of``."""
        async with self._syncing:
            if self._known.epoch != epoch or self._known is instead_of:
                # The artifacts first: the catalogue read after them holds every item that they are about.
                fresh = Knowledge(self._ranking, epoch, artifacts=await self._store.fetch(epoch))
                for chunk in await self._store.since(epoch, 0):
                    fresh.catalogue.extend(chunk)
                if not fresh.fits(fresh.artifacts):
                    fresh.artifacts = None
                self._known = fresh
                log.info("epoch begun", epoch=epoch, items=len(fresh.catalogue), artifacts=fresh.version)

    async def _read_catalogue(self, known: Knowledge) -> None:
        async with self._syncing:
            for chunk in await self._store.since(known.epoch, known.catalogue.chunks):
                known.catalogue.extend(chunk)

    async def _load_artifacts(self, known: Knowledge) -> None:
        """In the background: requests go on with the artifacts held until the new ones are ready."""
        try:
            fetched = await self._store.fetch(known.epoch)
            await self._read_catalogue(known)
            if fetched is not None and known.fits(fetched):
                known.artifacts = fetched
        except StoreError as error:
            log.error("artifacts not loaded", error=str(error))
        finally:
            self._loading = None

    async def add_items(self, body: AddItems) -> tuple[int, int]:
        """Insert or update; returns how many items are new and how many changed."""
        while True:
            known, _ = await self._open_page((), 0)
            changes = known.catalogue.changes(body.records())
            if not body.genres:
                # Sent without genres: those of known items stay as they are.
                changes = [record for record in changes if record.id not in known.catalogue.index]
            new = [record.id for record in changes if record.id not in known.catalogue.index]
            if not changes:
                return 0, 0
            rng = np.random.default_rng([self._seed, known.epoch, len(known.catalogue)])
            try:
                await self._store.add(known.epoch, changes, [new[i] for i in rng.permutation(len(new))])
            except EpochOver:
                continue
            await self._read_catalogue(known)
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
