"""From a URL to a backend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from redis.asyncio import Redis

from recsys.settings import RABBIT_SCHEMES, Settings
from recsys.stores.ports import (
    Broker,
    CatalogueStore,
    Epochs,
    ExplorationQueue,
    Ledger,
    Models,
    ModelStore,
    Pages,
    VectorStore,
)
from recsys.stores.rabbit_broker import RabbitBroker
from recsys.stores.redis_broker import RedisBroker
from recsys.stores.redis_catalogue import RedisCatalogue, RedisExploration
from recsys.stores.redis_client import connect_redis
from recsys.stores.redis_epochs import RedisEpochs
from recsys.stores.redis_ledger import RedisLedger
from recsys.stores.redis_models import RedisModels
from recsys.stores.redis_pages import RedisPages
from recsys.stores.redis_scripts import Scripts


@dataclass(frozen=True)
class State:
    """All ports of the state, on one connection."""

    epochs: Epochs
    catalogue: CatalogueStore
    exploration: ExplorationQueue
    pages: Pages
    ledger: Ledger
    models: Models
    close: Callable[[], Awaitable[None]]


def open_state(settings: Settings) -> State:
    client = connect_redis(settings.redis_url, settings.redis_timeout_s)
    return redis_state(client, settings.redis_url, settings.key_prefix)


def redis_state(client: Redis, url: str, prefix: str) -> State:
    scripts = Scripts(client, url, prefix)
    return State(
        epochs=RedisEpochs(scripts),
        catalogue=RedisCatalogue(scripts),
        exploration=RedisExploration(scripts),
        pages=RedisPages(scripts),
        ledger=RedisLedger(scripts),
        models=RedisModels(scripts),
        close=client.aclose,
    )


def open_broker(settings: Settings) -> Broker:
    url = settings.broker_url
    if urlsplit(url).scheme in RABBIT_SCHEMES:
        return RabbitBroker(url, settings.publish_timeout_s)
    client = connect_redis(url, settings.publish_timeout_s)
    return RedisBroker(client, url, settings.key_prefix, settings.publish_timeout_s)


def open_vectors(settings: Settings) -> VectorStore:
    """A server's store, or the local one: only one process at a time can hold that."""
    # Here, because the library takes most of a second to import and only the pipeline opens vectors.
    from recsys.stores.qdrant_vectors import QdrantVectors

    if not settings.qdrant_url:
        return QdrantVectors.local(vectors_folder(settings), settings.key_prefix)
    return QdrantVectors.server(settings.qdrant_url, settings.key_prefix)


def open_models(settings: Settings) -> ModelStore:
    # Here, because only who trains or serves such models needs the library.
    from recsys.stores.models import ModelFiles

    return ModelFiles.open(settings.model_store_url or str(settings.data_dir / "models"))


def vectors_folder(settings: Settings) -> Path:
    return settings.data_dir / "vectors"


def log_folder(settings: Settings) -> Path:
    return settings.data_dir / "log"
