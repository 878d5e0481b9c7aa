"""What a batch of requests reads and writes in Redis: one round trip each."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from recsys.stores.ports import NO_CANDIDATES, Page, UsedCandidates
from recsys.stores.redis_scripts import CATALOGUE, GUARD, MODELS, QUEUE, QUEUE_FILLS, QUEUE_SHOWN, USERS, Scripts

# After the numbers come the names of models, then users.
_OPEN_PAGE = """
local epoch = redis.call('GET', KEYS[1]) or (redis.call('SET', KEYS[1], ARGV[3]) and ARGV[3])
if epoch ~= ARGV[1] then return {epoch, 0, {}, {}, {}, 0} end
local versions, codes, candidates = {}, {}, {}
local users = 5 + tonumber(ARGV[4])
if users > 5 then versions = redis.call('HMGET', KEYS[5], unpack(ARGV, 5, users - 1)) end
if #ARGV >= users then codes = redis.call('HMGET', KEYS[2], unpack(ARGV, users)) end
if tonumber(ARGV[2]) > 0 then candidates = redis.call('LPOP', KEYS[4], ARGV[2]) or {} end
return {epoch, redis.call('LLEN', KEYS[3]), versions, codes, candidates, redis.call('GET', KEYS[6]) or 0}
"""

# Candidates not shown, those shown, then users; ``unpack`` can take some thousand arguments at once.
_MARK_SHOWN = (
    GUARD
    + """
local moved, shown = {}, 5 + tonumber(ARGV[3])
local users = shown + tonumber(ARGV[4])
local function push(command, key, first, last)
  for i = first, last, 1000 do redis.call(command, key, unpack(ARGV, i, math.min(i + 999, last))) end
end
if (redis.call('GET', KEYS[5]) or '0') == ARGV[2] then push('LPUSH', KEYS[3], 5, shown - 1) end
push('RPUSH', KEYS[4], shown, users - 1)
for i = users, #ARGV, 3 do
  local codes = redis.call('HGET', KEYS[2], ARGV[i]) or ''
  if #codes == tonumber(ARGV[i + 1]) then redis.call('HSET', KEYS[2], ARGV[i], codes .. ARGV[i + 2])
  else moved[#moved + 1] = ARGV[i] end
end
return moved
"""
)

_COMPACT = (
    GUARD
    + """
if redis.call('HGET', KEYS[2], ARGV[2]) == ARGV[3] then redis.call('HSET', KEYS[2], ARGV[2], ARGV[4]) end
return 1
"""
)


class RedisPages:
    """Implements Pages."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def open(self, epoch: int, users: Sequence[str], candidates: int, models: Sequence[str] = ()) -> Page:
        names = (USERS, CATALOGUE, QUEUE, MODELS, QUEUE_FILLS)
        numbers = (epoch, candidates, int(time.time()), len(models))
        found, chunks, versions, codes, taken, fills = await self._scripts.run(
            _OPEN_PAGE, epoch, names, *numbers, *models, *users
        )
        return Page(
            epoch=int(found),
            catalogue_chunks=int(chunks),
            versions={name: (version or b"").decode() for name, version in zip(models, versions, strict=False)},
            codes=[code or b"" for code in codes],
            candidates=[item.decode() for item in taken],
            fills=int(fills),
        )

    async def mark_shown(
        self, epoch: int, codes: Mapping[str, tuple[int, bytes]], used: UsedCandidates = NO_CANDIDATES
    ) -> set[str]:
        if not (codes or used.shown or used.left):
            return set()
        shown = [part for user, (length, new) in codes.items() for part in (user, length, new)]
        counts = (used.fills, len(used.left), len(used.shown))
        args = (*counts, *reversed(used.left), *used.shown, *shown)
        names = (USERS, QUEUE, QUEUE_SHOWN, QUEUE_FILLS)
        return {user.decode() for user in await self._scripts.write(_MARK_SHOWN, epoch, names, *args)}

    async def compact(self, epoch: int, user: str, old: bytes, new: bytes) -> None:
        await self._scripts.write(_COMPACT, epoch, (USERS,), user, old, new)
