"""From a request to a list: one read of the state for all requests that wait, a pure mix, one write."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import structlog
from prometheus_client import Counter, Summary

from recommendations.impressions import ImpressionRecorder
from recommendations.knowledge import Knowledge, Setup
from recommendations.loading import Loader, Refused
from recommendations.randomness import RequestRandom
from recsys.batching import Batcher
from recsys.contract import AddItems
from recsys.recommenders.guard import Guard
from recsys.recommenders.mix import Hand, Slate
from recsys.recommenders.port import Query
from recsys.recommenders.recipe import Recipe
from recsys.stores.connect import State
from recsys.stores.ports import EpochOver, ModelStore, Page, StoreError, StoreUnavailable, UsedCandidates
from recsys.user_state import SHOWN, UserState, compacted, encode

log = structlog.get_logger()

FROM_MEMORY: Final = Counter("lists_from_memory_total", "lists served without the user's state: Redis was away")
SOURCE_FAILURES: Final = Counter("source_failures_total", "times that a source lost its places in a list", ["source"])
CHOICE_S: Final = Summary("list_choice_seconds", "time to choose one list from what is known, without any waiting")
FIRST_LOAD_S: Final = 1.0  # longest wait for a first model
LOAD_RETRY_S: Final = 2.0
COMPACT_ABOVE: Final = 1_000  # codes beyond twice the catalogue before a user's state is rewritten
FAILURE_LOG_S: Final = 10.0  # between two lines about the same source


@dataclass(frozen=True)
class Request:
    user_id: str
    k: int


@dataclass(frozen=True)
class Answer:
    """``ids_json[i]`` is the JSON of the i-th item id."""

    ids_json: list[bytes]
    sources: list[str]


class Lists:
    """One worker's view of the system. All workers give the same answers from the same state."""

    def __init__(
        self,
        state: State,
        open_models: Callable[[], ModelStore],
        impressions: ImpressionRecorder,
        recipe: Recipe,
        seed: int,
        rank_timeout_s: float,
    ) -> None:
        """RecommenderError for a recommender that cannot be had."""
        self._state = state
        self._impressions = impressions
        self._seed = seed
        self._random = RequestRandom(seed)
        self._learners = recipe.learners()
        guards = {spec.name: Guard(rank_timeout_s) for spec in recipe.sources if spec.own}
        self._loader = Loader(state.models, open_models, self._learners, guards)
        self._setup = Setup(recipe, guards, self._source_failed)
        self._known = Knowledge(self._setup)
        self._load_not_before = -np.inf
        self._beginning = asyncio.Lock()
        self._replaying = asyncio.Lock()
        self._loading: asyncio.Task[None] | None = None
        self._refused: dict[str, str] = {}  # by name the version that could not be loaded
        self._failure_logged: dict[str, float] = {}
        self._compacting: set[asyncio.Task[None]] = set()
        self._requests: Batcher[Request, Answer] = Batcher(self._serve)
        self._degraded = False

    @property
    def names(self) -> list[str]:
        """Of all models, sources first."""
        return list(self._learners)

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
        wanted = self._known.mix.candidates([request.k for request in requests.values()])
        known, page = await self._open_page(users, wanted)
        hand = Hand(page.candidates)
        before = dict(zip(users, page.codes, strict=True))
        codes = dict(before)
        slates: dict[int, Slate] = {}
        for number, request in requests.items():
            # A user who asks twice at once gets two different lists: the second choice sees the first.
            slates[number] = self._fill(known, request.user_id, request.k, codes[request.user_id], hand)
            codes[request.user_id] += encode(slates[number].positions, SHOWN)
        shown = {user: (len(before[user]), codes[user][len(before[user]) :]) for user in users}
        shown = {user: marks for user, marks in shown.items() if marks[1]}
        left = list(hand)
        used = UsedCandidates(page.fills, sorted(set(page.candidates).difference(left)), left)
        moved = await self._state.pages.mark_shown(known.epoch, shown, used)
        self._compact_large(known, {user: code for user, code in codes.items() if user not in moved})
        return {
            number: self._answer(known, request.user_id, slates[number])
            for number, request in requests.items()
            if request.user_id not in moved
        }

    async def _open_page(self, users: Sequence[str], candidates: int) -> tuple[Knowledge, Page]:
        """A page, and what is known of its epoch with at least its catalogue."""
        while True:
            known, replayed = self._known, self._known.catalogue.chunks
            page = await self._state.pages.open(known.epoch, users, candidates, list(self._learners))
            if page.epoch != known.epoch:
                await self.begin(page.epoch)
            elif page.catalogue_chunks < replayed:
                log.warning("the catalogue log is shorter than it was: it was restored", chunks=page.catalogue_chunks)
                await self.begin(page.epoch, instead_of=known)
            elif page.catalogue_chunks > known.catalogue.chunks:
                await self._replay(known)
            # While we waited a cleanup may have ended the epoch; then the page is void.
            if self._known is known and known.catalogue.chunks >= page.catalogue_chunks:
                break
        if self._loading is None and (stale := self._stale(known, page)) and time.monotonic() >= self._load_not_before:
            self._loading = asyncio.create_task(self._load_in_background(known, stale))
        if self._loading is not None and not known.models:
            # Better a moment later than at random.
            await asyncio.wait({self._loading}, timeout=FIRST_LOAD_S)
        return known, page

    def _stale(self, known: Knowledge, page: Page) -> list[str]:
        """Names of models that are no longer in force, or were loaded for an earlier catalogue."""
        records = len(known.catalogue.history)
        return [
            name
            for name, version in page.versions.items()
            if version
            and ((held := known.models.get(name)) is None or (held.version, held.records) != (version, records))
            and self._refused.get(name) != version
        ]

    def _fill(self, known: Knowledge, user_id: str, k: int, codes: bytes, hand: Hand[str]) -> Slate:
        mix = known.mix
        rng = self._random.of(user_id, len(codes))
        offered = hand.offer(mix.candidates([k]))
        candidates = [known.catalogue.index[item] for item in offered]
        with CHOICE_S.time():
            slate = mix.fill(Query(user_id, UserState(codes), time.time()), k, candidates, rng)
        shown = set(slate.positions)
        hand.take_back([item for item, p in zip(offered, candidates, strict=True) if p not in shown])
        return slate

    def _source_failed(self, source: str, error: Exception) -> None:
        """It costs its places, not the list. Told now and then, counted always."""
        SOURCE_FAILURES.labels(source).inc()
        now = time.monotonic()
        if now - self._failure_logged.get(source, -FAILURE_LOG_S) >= FAILURE_LOG_S:
            self._failure_logged[source] = now
            why = f"{type(error).__name__}: {error}"
            log.error("a recommender lost its places in a list", source=source, error=why, exc_info=error)

    def _answer(self, known: Knowledge, user_id: str, slate: Slate) -> Answer:
        if slate.positions:
            ids = known.catalogue.ids
            self._impressions.record(known.epoch, user_id, [ids[p] for p in slate.positions], slate.sources)
        ids_json = known.ids_json()
        return Answer([ids_json[p] for p in slate.positions], slate.sources)

    def _serve_from_memory(self, requests: Sequence[Request], error: StoreUnavailable) -> list[Answer]:
        """Lists without personal state from the last models; nothing is remembered as shown."""
        known = self._known
        if not known.epoch:
            raise error
        if not self._degraded:
            log.error("serving from memory, without users' state", error=str(error))
        self._degraded = True
        FROM_MEMORY.inc(len(requests))
        return [self._answer(known, r.user_id, self._fill(known, r.user_id, r.k, b"", Hand())) for r in requests]

    def _compact_large(self, known: Knowledge, codes: Mapping[str, bytes]) -> None:
        limit = 4 * (2 * len(known.catalogue) + COMPACT_ABOVE)
        for user_id, code in codes.items():
            if len(code) > limit:
                task = asyncio.create_task(self._compact(known.epoch, user_id, code))
                self._compacting.add(task)
                task.add_done_callback(self._compacting.discard)

    async def _compact(self, epoch: int, user_id: str, code: bytes) -> None:
        try:
            await self._state.pages.compact(epoch, user_id, code, compacted(code))
        except (StoreError, EpochOver) as error:
            log.warning("a user's state was not compacted", error=str(error))

    async def begin(self, epoch: int, instead_of: Knowledge | None = None) -> None:
        """Learn this epoch and forget what is held. One that is held already stays, unless it is ``instead_of``."""
        async with self._beginning:
            if self._known.epoch != epoch or self._known is instead_of:
                fresh = Knowledge(self._setup, epoch)
                await self._replay(fresh)
                self._refused.clear()
                for name in self._learners:
                    found = await self._loader.fetch(epoch, name)
                    # Others may take long: they are loaded in the background.
                    if found[1] is not None and name not in self._setup.guards:
                        await self._load(fresh, name, found)
                self._known = fresh
                versions = {name: held.version for name, held in fresh.models.items()}
                log.info("epoch begun", epoch=epoch, items=len(fresh.catalogue), models=versions)

    async def _replay(self, known: Knowledge) -> None:
        async with self._replaying:
            for chunk in await self._state.catalogue.since(known.epoch, known.catalogue.chunks):
                known.catalogue.extend(chunk)

    async def _load_in_background(self, known: Knowledge, names: Sequence[str]) -> None:
        """Requests go on with the models held until the new ones are ready."""
        try:
            for name in names:
                try:
                    await self._load(known, name, await self._loader.fetch(known.epoch, name))
                except StoreError as error:
                    self._load_not_before = time.monotonic() + LOAD_RETRY_S
                    log.error("model not loaded, trying again", model=name, error=str(error), in_s=LOAD_RETRY_S)
        finally:
            self._loading = None

    async def _load(self, known: Knowledge, name: str, found: tuple[str, bytes | None]) -> None:
        """Hold the version found, for the catalogue of now, which is read after it: it holds all that it is about."""
        version, blob = found
        if not version:
            return
        await self._replay(known)
        items = known.catalogue.items()
        try:
            held = await self._loader.load(known.epoch, name, version, blob, items, known.models.get(name))
        except Refused:
            self._refused[name] = version
        else:
            known.hold(name, held)

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
                await self._state.catalogue.add(known.epoch, changes, [new[i] for i in rng.permutation(len(new))])
            except EpochOver:
                continue
            await self._replay(known)
            return len(new), len(changes) - len(new)

    async def cleanup(self) -> int:
        """Begin a new, empty epoch and return its number."""
        epoch = await self._state.epochs.begin_next()
        await self.begin(epoch)
        return epoch

    async def knowledge(self) -> Knowledge:
        """What is known at this moment, with the models in force; from memory while Redis is away."""
        try:
            await self._open_page((), 0)
            if self._loading is not None:
                await asyncio.wait({self._loading}, timeout=FIRST_LOAD_S)
        except StoreUnavailable:
            if not self._known.epoch:
                raise
        return self._known

    async def check(self) -> str:
        """What health to report. StoreUnavailable if nothing can be served."""
        try:
            await self._state.epochs.ping()
        except StoreUnavailable as error:
            if not self._known.epoch:
                raise
            return f"degraded: {error}"
        await self._open_page((), 0)
        return "ok"
