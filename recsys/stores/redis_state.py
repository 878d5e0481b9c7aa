"""Epochs, catalogue, user states, ledger and artifacts in Redis.

Every write is one Lua script that first checks the epoch, so late work of an ended epoch changes nothing, and a cleanup
needs no list of keys: ``<prefix>:epoch`` and ``<prefix>:<epoch>:<name>`` for the names below are all there is.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final
from zipfile import BadZipFile

import structlog
from redis.asyncio import Redis

from recsys.artifacts import Artifacts, pack, unpack
from recsys.batching import Batcher
from recsys.contract import CATALOGUE_CHUNK, ItemRecord
from recsys.stores.ports import NO_CARDS, EpochOver, Page, UsedCards
from recsys.stores.redis_client import redis_errors

log = structlog.get_logger()

USERS: Final = "users"  # hash user_id → codes (see user_state)
CATALOGUE: Final = "catalogue"  # list of JSON chunks of item records
DECK: Final = "deck"  # list of item ids
PLAYED: Final = "played"  # list of the item ids played since the deck was dealt
DEALS: Final = "deals"  # how often it was dealt
COUNTERS: Final = "counters"  # hash; "applied" is the number of log rows reflected
ARTIFACTS: Final = "artifacts"  # hash: version, published_at, blob, vectors, digest of the vectors
TOP: Final = "top"  # hash: "all" or "genre:<name>" → JSON list of item ids
LOG: Final = "log"  # id of the event log whose rows are counted
NAMES: Final = (USERS, CATALOGUE, DECK, PLAYED, DEALS, COUNTERS, ARTIFACTS, TOP, LOG)
APPLIED: Final = "applied"

# A new Redis starts at the Unix second, so a lost one never gives the number of an archived log a second time.
_CURRENT = "return redis.call('GET', KEYS[1]) or (redis.call('SET', KEYS[1], ARGV[1]) and ARGV[1])"

_BEGIN_NEXT = """
local old = redis.call('GET', KEYS[1]) or ARGV[1]
local new = math.max(tonumber(old) + 1, tonumber(ARGV[1]))
redis.call('SET', KEYS[1], string.format('%d', new))
for i = 3, #ARGV do redis.call('UNLINK', ARGV[2] .. ':' .. old .. ':' .. ARGV[i]) end
return new
"""

_RESTORE = """
local old = redis.call('GET', KEYS[1]) or ARGV[1]
for i = 3, #ARGV do
  redis.call('UNLINK', ARGV[2] .. ':' .. old .. ':' .. ARGV[i], ARGV[2] .. ':' .. ARGV[1] .. ':' .. ARGV[i])
end
redis.call('SET', KEYS[1], ARGV[1])
"""

_OPEN_PAGE = """
local epoch = redis.call('GET', KEYS[1]) or (redis.call('SET', KEYS[1], ARGV[3]) and ARGV[3])
if epoch ~= ARGV[1] then return {epoch, 0, '', {}, {}, 0} end
local codes, cards = {}, {}
if #ARGV > 3 then codes = redis.call('HMGET', KEYS[2], unpack(ARGV, 4)) end
if tonumber(ARGV[2]) > 0 then cards = redis.call('LPOP', KEYS[4], ARGV[2]) or {} end
local version, deal = redis.call('HGET', KEYS[5], 'version') or '', redis.call('GET', KEYS[6]) or 0
return {epoch, redis.call('LLEN', KEYS[3]), version, codes, cards, deal}
"""

_GUARD = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end\n"

# Unplayed cards, played cards, then users; ``unpack`` can take some thousand arguments at once.
_MARK_SHOWN = (
    _GUARD
    + """
local moved, played = {}, 5 + tonumber(ARGV[3])
local users = played + tonumber(ARGV[4])
local function push(command, key, first, last)
  for i = first, last, 1000 do redis.call(command, key, unpack(ARGV, i, math.min(i + 999, last))) end
end
if (redis.call('GET', KEYS[5]) or '0') == ARGV[2] then push('LPUSH', KEYS[3], 5, played - 1) end
push('RPUSH', KEYS[4], played, users - 1)
for i = users, #ARGV, 3 do
  local codes = redis.call('HGET', KEYS[2], ARGV[i]) or ''
  if #codes == tonumber(ARGV[i + 1]) then redis.call('HSET', KEYS[2], ARGV[i], codes .. ARGV[i + 2])
  else moved[#moved + 1] = ARGV[i] end
end
return moved
"""
)

# Writes what is there: a server that is full or read-only refuses it.
_PING = "redis.call('SET', KEYS[1], redis.call('GET', KEYS[1]) or ARGV[1])"

_COMPACT = (
    _GUARD
    + """
if redis.call('HGET', KEYS[2], ARGV[2]) == ARGV[3] then redis.call('HSET', KEYS[2], ARGV[2], ARGV[4]) end
return 1
"""
)

_CLAIM = (
    _GUARD
    + """
redis.call('SETNX', KEYS[2], ARGV[2])
return redis.call('GET', KEYS[2]) == ARGV[2] and 1 or 0
"""
)

_APPLY = (
    _GUARD
    + """
if (redis.call('HGET', KEYS[3], 'applied') or '0') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[3], 'applied', ARGV[3])
local first = 5 + 2 * tonumber(ARGV[4])
for i = 5, first - 1, 2 do redis.call('HINCRBY', KEYS[3], ARGV[i], ARGV[i + 1]) end
for i = first, #ARGV, 2 do
  redis.call('HSET', KEYS[2], ARGV[i], (redis.call('HGET', KEYS[2], ARGV[i]) or '') .. ARGV[i + 1])
end
return 1
"""
)

_ADD_ITEMS = (
    _GUARD
    + """
redis.call('RPUSH', KEYS[2], ARGV[2])
for i = 3, #ARGV do redis.call('RPUSH', KEYS[3], ARGV[i]) end
return 1
"""
)

_DEAL = (
    _GUARD
    + """
local played = {}
for _, card in ipairs(redis.call('LRANGE', KEYS[3], 0, -1)) do played[card] = true end
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('INCR', KEYS[4])
for i = 2, #ARGV do if not played[ARGV[i]] then redis.call('RPUSH', KEYS[2], ARGV[i]) end end
return 1
"""
)

_PUBLISH = (
    _GUARD
    + """
if ARGV[5] ~= '' then redis.call('HSET', KEYS[2], 'vectors', ARGV[5], 'digest', ARGV[4])
elseif redis.call('HGET', KEYS[2], 'digest') ~= ARGV[4] then return 0 end
redis.call('HSET', KEYS[2], 'version', ARGV[2], 'blob', ARGV[3], 'published_at', redis.call('TIME')[1])
redis.call('DEL', KEYS[3])
for i = 6, #ARGV, 2 do redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
return 1
"""
)


class RedisState:
    """Implements Epochs, CatalogueStore and Ledger; beside them, what the request path asks for, and the artifacts."""

    def __init__(self, client: Redis, url: str, prefix: str) -> None:
        self._client = client
        self._url = url
        self._prefix = prefix
        self._epoch_key = f"{prefix}:epoch"
        self._scripts: dict[str, Any] = {}
        # The vectors last fetched, as (epoch, digest, packed): they travel only when they changed.
        self._vectors: tuple[int, bytes, bytes] = (0, b"", b"")
        self._epoch_reads: Batcher[None, int] = Batcher(self._read_epoch, limit=10_000)

    def _key(self, epoch: int, name: str) -> str:
        return f"{self._prefix}:{epoch}:{name}"

    async def _run(self, script: str, epoch: int, names: Sequence[str], *args: Any) -> Any:
        compiled = self._scripts.get(script)
        if compiled is None:
            compiled = self._scripts[script] = self._client.register_script(script)
        keys = [self._epoch_key, *(self._key(epoch, name) for name in names)]
        with redis_errors(self._url):
            return await compiled(keys=keys, args=args)

    async def _write(self, script: str, epoch: int, names: Sequence[str], *args: Any) -> Any:
        answer = await self._run(script, epoch, names, epoch, *args)
        if answer == -1:
            raise EpochOver(f"epoch {epoch} has ended")
        return answer

    # Epochs

    async def current(self) -> int:
        return await self._epoch_reads.submit(None)

    async def _read_epoch(self, calls: Sequence[None]) -> list[int]:
        with redis_errors(self._url):
            epoch = await self._client.get(self._epoch_key)
        if epoch is None:
            epoch = await self._run(_CURRENT, 0, (), int(time.time()))
        return [int(epoch)] * len(calls)

    async def begin_next(self) -> int:
        return int(await self._run(_BEGIN_NEXT, 0, (), int(time.time()), self._prefix, *NAMES))

    async def restore(self, epoch: int) -> None:
        await self._run(_RESTORE, 0, (), epoch, self._prefix, *NAMES)

    # The request path

    async def open_page(self, epoch: int, users: Sequence[str], cards: int) -> Page:
        """One round trip. If ``Page.epoch`` is not ``epoch``, codes and cards are void."""
        names = (USERS, CATALOGUE, DECK, ARTIFACTS, DEALS)
        now = int(time.time())
        found, chunks, version, codes, taken, deal = await self._run(
            _OPEN_PAGE, epoch, names, epoch, cards, now, *users
        )
        return Page(
            epoch=int(found),
            catalogue_chunks=int(chunks),
            artifacts_version=version.decode(),
            codes=[code or b"" for code in codes],
            cards=[card.decode() for card in taken],
            deal=int(deal),
        )

    async def mark_shown(
        self, epoch: int, codes: Mapping[str, tuple[int, bytes]], cards: UsedCards = NO_CARDS
    ) -> set[str]:
        """Append to each user's codes the new ones, unless their length is no longer the one given.

        The unplayed cards go back on top of the deck, in this order, unless it was dealt anew meanwhile.
        Returns the users whose codes have another length: somebody else appended meanwhile. Raises EpochOver.
        """
        if not (codes or cards.played or cards.unplayed):
            return set()
        shown = [part for user, (length, new) in codes.items() for part in (user, length, new)]
        counts = (cards.deal, len(cards.unplayed), len(cards.played))
        args = (*counts, *reversed(cards.unplayed), *cards.played, *shown)
        names = (USERS, DECK, PLAYED, DEALS)
        return {user.decode() for user in await self._write(_MARK_SHOWN, epoch, names, *args)}

    async def compact(self, epoch: int, user: str, old: bytes, new: bytes) -> None:
        """Replace a user's codes if they still are ``old``."""
        await self._write(_COMPACT, epoch, (USERS,), user, old, new)

    async def ping(self) -> None:
        """Raise StoreUnavailable unless state can be written."""
        await self._run(_PING, 0, (), int(time.time()))

    # CatalogueStore

    async def add(self, epoch: int, records: Sequence[ItemRecord], cards: Sequence[str]) -> None:
        chunk = CATALOGUE_CHUNK.dump_json(list(records))
        await self._write(_ADD_ITEMS, epoch, (CATALOGUE, DECK), chunk, *cards)

    async def since(self, epoch: int, chunks: int) -> list[list[ItemRecord]]:
        with redis_errors(self._url):
            raw = await self._client.lrange(self._key(epoch, CATALOGUE), chunks, -1)
        return [CATALOGUE_CHUNK.validate_json(chunk) for chunk in raw]

    async def deck(self, epoch: int) -> list[str]:
        with redis_errors(self._url):
            raw: list[bytes] = await self._client.lrange(self._key(epoch, DECK), 0, -1)  # type: ignore[assignment]
        return [card.decode() for card in raw]

    async def played(self, epoch: int) -> int:
        with redis_errors(self._url):
            return int(await self._client.llen(self._key(epoch, PLAYED)))

    async def deal(self, epoch: int, cards: Sequence[str]) -> None:
        await self._write(_DEAL, epoch, (DECK, PLAYED, DEALS), *cards)

    # Ledger

    async def claim(self, epoch: int, log_id: str) -> bool:
        return bool(await self._write(_CLAIM, epoch, (LOG,), log_id))

    async def applied(self, epoch: int) -> int:
        with redis_errors(self._url):
            return int(await self._client.hget(self._key(epoch, COUNTERS), APPLIED) or 0)

    async def apply(
        self, epoch: int, rows: tuple[int, int], counters: Mapping[str, int], codes: Mapping[str, bytes]
    ) -> bool:
        args = (*rows, len(counters), *_flat(counters), *_flat(codes))
        return bool(await self._write(_APPLY, epoch, (USERS, COUNTERS), *args))

    async def counters(self, epoch: int) -> dict[str, int]:
        with redis_errors(self._url):
            raw: dict[Any, Any] = await self._client.hgetall(self._key(epoch, COUNTERS))
        return {name.decode(): int(value) for name, value in raw.items()}

    # Artifacts: readers see one whole version or another

    async def publish(self, epoch: int, artifacts: Artifacts, top_lists: Mapping[str, Sequence[str]]) -> None:
        """Switch to this version. ``top_lists`` are kept as plain JSON for people. Raises EpochOver."""
        blob, vectors = pack(artifacts)
        digest = hashlib.blake2b(vectors, digest_size=16).digest()
        lists = _flat({name: json.dumps(ids) for name, ids in top_lists.items()})
        for offered in (b"", vectors):  # the script refuses if it needs them
            if await self._write(_PUBLISH, epoch, (ARTIFACTS, TOP), artifacts.version, blob, digest, offered, *lists):
                return

    async def fetch(self, epoch: int) -> Artifacts | None:
        """The version in force; None before the first."""
        blob, digest = await self._fields(epoch, "blob", "digest")
        if blob is not None and self._vectors[:2] != (epoch, digest):
            blob, digest, vectors = await self._fields(epoch, "blob", "digest", "vectors")
            self._vectors = (epoch, digest, vectors)
        try:
            return None if blob is None else unpack(blob, self._vectors[2])
        except (ValueError, BadZipFile) as error:
            # Left by another version of this code; the pipeline replaces them when it starts.
            log.warning("unreadable artifacts ignored", epoch=epoch, error=str(error))
            return None

    async def published_at(self, epoch: int) -> int | None:
        """When the artifacts in force were published, Unix seconds."""
        (found,) = await self._fields(epoch, "published_at")
        return None if found is None else int(found)

    async def _fields(self, epoch: int, *names: str) -> list[Any]:
        with redis_errors(self._url):
            return list(await self._client.hmget(self._key(epoch, ARTIFACTS), names))

    async def close(self) -> None:
        await self._client.aclose()


def _flat(pairs: Mapping[str, Any]) -> list[Any]:
    return [part for pair in pairs.items() for part in pair]
