"""The catalogue log in Redis, and the exploration queue that new items enter with it."""

from __future__ import annotations

from collections.abc import Sequence

from recsys.contract import CATALOGUE_CHUNK, ItemRecord
from recsys.stores.redis_client import redis_errors
from recsys.stores.redis_scripts import CATALOGUE, GUARD, QUEUE, QUEUE_FILLS, QUEUE_SHOWN, Scripts

_ADD_ITEMS = (
    GUARD
    + """
redis.call('RPUSH', KEYS[2], ARGV[2])
for i = 3, #ARGV do redis.call('RPUSH', KEYS[3], ARGV[i]) end
return 1
"""
)

_FILL = (
    GUARD
    + """
local shown = {}
for _, item in ipairs(redis.call('LRANGE', KEYS[3], 0, -1)) do shown[item] = true end
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('INCR', KEYS[4])
for i = 2, #ARGV do if not shown[ARGV[i]] then redis.call('RPUSH', KEYS[2], ARGV[i]) end end
return 1
"""
)


class RedisCatalogue:
    """Implements CatalogueStore."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def add(self, epoch: int, records: Sequence[ItemRecord], candidates: Sequence[str]) -> None:
        chunk = CATALOGUE_CHUNK.dump_json(list(records))
        await self._scripts.write(_ADD_ITEMS, epoch, (CATALOGUE, QUEUE), chunk, *candidates)

    async def since(self, epoch: int, chunks: int) -> list[list[ItemRecord]]:
        with redis_errors(self._scripts.url):
            raw = await self._scripts.client.lrange(self._scripts.key(epoch, CATALOGUE), chunks, -1)
        return [CATALOGUE_CHUNK.validate_json(chunk) for chunk in raw]


class RedisExploration:
    """Implements ExplorationQueue."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def waiting(self, epoch: int) -> list[str]:
        with redis_errors(self._scripts.url):
            raw: list[bytes] = await self._scripts.client.lrange(self._scripts.key(epoch, QUEUE), 0, -1)  # type: ignore[assignment]
        return [item.decode() for item in raw]

    async def shown(self, epoch: int) -> int:
        with redis_errors(self._scripts.url):
            return int(await self._scripts.client.llen(self._scripts.key(epoch, QUEUE_SHOWN)))

    async def fill(self, epoch: int, candidates: Sequence[str]) -> None:
        await self._scripts.write(_FILL, epoch, (QUEUE, QUEUE_SHOWN, QUEUE_FILLS), *candidates)
