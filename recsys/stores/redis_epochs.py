"""The epoch in Redis: one number."""

from __future__ import annotations

import time
from collections.abc import Sequence

from recsys.batching import Batcher
from recsys.stores.redis_client import redis_errors
from recsys.stores.redis_scripts import NAMES, Scripts

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

# Writes what is there: a server that is full or read-only refuses it.
_PING = "redis.call('SET', KEYS[1], redis.call('GET', KEYS[1]) or ARGV[1])"


class RedisEpochs:
    """Implements Epochs."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._reads: Batcher[None, int] = Batcher(self._read, limit=10_000)

    async def current(self) -> int:
        return await self._reads.submit(None)

    async def _read(self, calls: Sequence[None]) -> list[int]:
        with redis_errors(self._scripts.url):
            epoch = await self._scripts.client.get(self._scripts.epoch_key)
        if epoch is None:
            epoch = await self._scripts.run(_CURRENT, 0, (), int(time.time()))
        return [int(epoch)] * len(calls)

    async def begin_next(self) -> int:
        return int(await self._scripts.run(_BEGIN_NEXT, 0, (), int(time.time()), self._scripts.prefix, *NAMES))

    async def restore(self, epoch: int) -> None:
        await self._scripts.run(_RESTORE, 0, (), epoch, self._scripts.prefix, *NAMES)

    async def ping(self) -> None:
        await self._scripts.run(_PING, 0, (), int(time.time()))
