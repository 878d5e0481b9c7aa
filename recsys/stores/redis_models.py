"""Which version of each model is in force, in Redis; of live models the version itself too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from recsys.stores.redis_client import redis_errors
from recsys.stores.redis_scripts import GUARD, MODEL_BLOBS, MODEL_FACTS, MODELS, TOP, Scripts, flat

_PUBLISH = (
    GUARD
    + """
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('HSET', KEYS[3], ARGV[2], ARGV[4])
if #ARGV == 5 then redis.call('HSET', KEYS[4], ARGV[2], ARGV[5]) end
return 1
"""
)

_NOTE = GUARD + "redis.call('HSET', KEYS[2], ARGV[2], ARGV[3]) return 1"

# The token and the progress of whoever trains a model, for a moment: who was killed does not hold it for long.
_TRAIN = (
    GUARD
    + """
if (redis.call('HGET', KEYS[2], 'token') or ARGV[2]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[2], 'token', ARGV[2], 'progress', ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 1
"""
)

_TRAINED = "if redis.call('HGET', KEYS[2], 'token') == ARGV[1] then redis.call('DEL', KEYS[2]) end"

_PUBLISH_TOP = (
    GUARD
    + """
redis.call('DEL', KEYS[2])
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
return 1
"""
)


class RedisModels:
    """Implements Models."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def publish(
        self, epoch: int, name: str, version: str, facts: Mapping[str, Any], blob: bytes | None = None
    ) -> None:
        given = () if blob is None else (blob,)
        names = (MODELS, MODEL_FACTS, MODEL_BLOBS)
        await self._scripts.write(_PUBLISH, epoch, names, name, version, json.dumps(facts), *given)

    async def note(self, epoch: int, name: str, facts: Mapping[str, Any]) -> None:
        await self._scripts.write(_NOTE, epoch, (MODEL_FACTS,), name, json.dumps(facts))

    async def fetch(self, epoch: int, name: str) -> tuple[str, bytes | None]:
        with redis_errors(self._scripts.url):
            pipeline = self._scripts.client.pipeline(transaction=True)
            pipeline.hget(self._scripts.key(epoch, MODELS), name)
            pipeline.hget(self._scripts.key(epoch, MODEL_BLOBS), name)
            version, blob = await pipeline.execute()
        return (version or b"").decode(), blob

    async def facts(self, epoch: int) -> dict[str, dict[str, Any]]:
        with redis_errors(self._scripts.url):
            raw: dict[Any, Any] = await self._scripts.client.hgetall(self._scripts.key(epoch, MODEL_FACTS))
        return {name.decode(): json.loads(facts) for name, facts in raw.items()}

    async def train(self, epoch: int, name: str, token: str, progress: Mapping[str, Any], seconds: float) -> bool:
        args = (token, json.dumps(progress), int(seconds * 1000))
        return bool(await self._scripts.write(_TRAIN, epoch, (_training(name),), *args))

    async def trained(self, epoch: int, name: str, token: str) -> None:
        await self._scripts.run(_TRAINED, epoch, (_training(name),), token)

    async def trainings(self, epoch: int, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        with redis_errors(self._scripts.url):
            pipeline = self._scripts.client.pipeline(transaction=False)
            for name in names:
                pipeline.hget(self._scripts.key(epoch, _training(name)), "progress")
            found = await pipeline.execute()
        return {name: json.loads(progress) for name, progress in zip(names, found, strict=True) if progress}

    async def publish_top(self, epoch: int, lists: Mapping[str, Sequence[str]]) -> None:
        args = flat({name: json.dumps(ids) for name, ids in lists.items()})
        await self._scripts.write(_PUBLISH_TOP, epoch, (TOP,), *args)


def _training(name: str) -> str:
    return f"training:{name}"
