"""Effects of logged rows in Redis: users' states and counters, each row once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from recsys.stores.redis_client import redis_errors
from recsys.stores.redis_scripts import COUNTERS, GUARD, LOG, USERS, Scripts, flat

APPLIED: Final = "applied"

_CLAIM = (
    GUARD
    + """
redis.call('SETNX', KEYS[2], ARGV[2])
return redis.call('GET', KEYS[2]) == ARGV[2] and 1 or 0
"""
)

_APPLY = (
    GUARD
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


class RedisLedger:
    """Implements Ledger."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def claim(self, epoch: int, log_id: str) -> bool:
        return bool(await self._scripts.write(_CLAIM, epoch, (LOG,), log_id))

    async def applied(self, epoch: int) -> int:
        with redis_errors(self._scripts.url):
            return int(await self._scripts.client.hget(self._scripts.key(epoch, COUNTERS), APPLIED) or 0)

    async def apply(
        self, epoch: int, rows: tuple[int, int], counters: Mapping[str, int], codes: Mapping[str, bytes]
    ) -> bool:
        args = (*rows, len(counters), *flat(counters), *flat(codes))
        return bool(await self._scripts.write(_APPLY, epoch, (USERS, COUNTERS), *args))

    async def counters(self, epoch: int) -> dict[str, int]:
        with redis_errors(self._scripts.url):
            raw: dict[Any, Any] = await self._scripts.client.hgetall(self._scripts.key(epoch, COUNTERS))
        return {name.decode(): int(value) for name, value in raw.items()}
