"""From a URL to a backend."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from recsys.settings import RABBIT_SCHEMES, Settings
from recsys.stores.ports import Broker, VectorStore
from recsys.stores.rabbit_broker import RabbitBroker
from recsys.stores.redis_broker import RedisBroker
from recsys.stores.redis_client import connect_redis
from recsys.stores.redis_state import RedisState


def open_state(settings: Settings) -> RedisState:
    client = connect_redis(settings.redis_url, settings.redis_timeout_s)
    return RedisState(client, settings.redis_url, settings.key_prefix)


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


def vectors_folder(settings: Settings) -> Path:
    return settings.data_dir / "vectors"


def log_folder(settings: Settings) -> Path:
    return settings.data_dir / "log"
