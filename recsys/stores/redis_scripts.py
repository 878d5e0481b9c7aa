"""What all of the state in Redis has in common: its keys, and writes that an ended epoch cannot do.

Every write is one Lua script that first checks the epoch, so late work of an ended epoch changes nothing, and a cleanup
needs no list of keys: ``<prefix>:epoch`` and ``<prefix>:<epoch>:<name>`` for the names below are all there is, but for
``<prefix>:<epoch>:training:<model>``, which ends by itself, and what RQ keeps below ``<prefix>:rq``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from redis.asyncio import Redis

from recsys.stores.ports import EpochOver
from recsys.stores.redis_client import redis_errors

USERS: Final = "users"  # hash user_id → codes (see user_state)
CATALOGUE: Final = "catalogue"  # list of JSON chunks of item records
QUEUE: Final = "exploration"  # list of item ids: the exploration queue
QUEUE_SHOWN: Final = "explored"  # list of the item ids shown from it since it was filled
QUEUE_FILLS: Final = "explorations"  # how often it was filled
COUNTERS: Final = "counters"  # hash; "applied" is the number of log rows reflected
MODELS: Final = "models"  # hash name → version in force
MODEL_FACTS: Final = "model_facts"  # hash name → JSON of what is known of that version
MODEL_BLOBS: Final = "model_blobs"  # hash name → that version itself, of live models
TOP: Final = "top"  # hash: "all" or "genre:<name>" → JSON list of item ids
LOG: Final = "log"  # id of the event log whose rows are counted
EARLIER: Final = ("deck", "played", "deals", "artifacts")  # what earlier versions kept
NAMES: Final = (
    USERS,
    CATALOGUE,
    QUEUE,
    QUEUE_SHOWN,
    QUEUE_FILLS,
    COUNTERS,
    MODELS,
    MODEL_FACTS,
    MODEL_BLOBS,
    TOP,
    LOG,
    *EARLIER,
)

# The beginning of every write: -1 instead of an answer if the epoch has ended.
GUARD: Final = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end\n"


class Scripts:
    """Runs scripts on the keys of an epoch. KEYS[1] is that of the epoch itself; the others follow as named."""

    def __init__(self, client: Redis, url: str, prefix: str) -> None:
        self.client = client
        self.url = url
        self.prefix = prefix
        self.epoch_key = f"{prefix}:epoch"
        self._compiled: dict[str, Any] = {}

    def key(self, epoch: int, name: str) -> str:
        return f"{self.prefix}:{epoch}:{name}"

    async def run(self, script: str, epoch: int, names: Sequence[str], *args: Any) -> Any:
        compiled = self._compiled.get(script)
        if compiled is None:
            compiled = self._compiled[script] = self.client.register_script(script)
        keys = [self.epoch_key, *(self.key(epoch, name) for name in names)]
        with redis_errors(self.url):
            return await compiled(keys=keys, args=args)

    async def write(self, script: str, epoch: int, names: Sequence[str], *args: Any) -> Any:
        """Run a script that begins with GUARD; ARGV[1] is the epoch. EpochOver if it has ended."""
        answer = await self.run(script, epoch, names, epoch, *args)
        if answer == -1:
            raise EpochOver(f"epoch {epoch} has ended")
        return answer


def flat(pairs: Mapping[str, Any]) -> list[Any]:
    return [part for pair in pairs.items() for part in pair]
