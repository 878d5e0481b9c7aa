"""Item vectors in Qdrant: a server, or the same client on a local folder. One collection for each epoch."""

from __future__ import annotations

import shutil
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import structlog
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException

from recsys.stores.ports import StoreMisconfigured, StoreUnavailable

log = structlog.get_logger()

TIMEOUT_S: Final = 10
# For httpx: not by a proxy that the environment names, which knows nothing of a server on this machine.
DIRECT: Final = {"http://": None, "https://": None}


class QdrantVectors:
    """Implements VectorStore."""

    def __init__(self, client: QdrantClient, where: str, prefix: str) -> None:
        self._client = client
        self._where = where
        self._prefix = prefix
        self._ready: tuple[str, dict[str, int]] = ("", {})  # the collection that upserts go to, and its dimensions

    @classmethod
    def server(cls, url: str, prefix: str) -> Self:
        # The compatibility check would ask the server now; a server that is away must not stop us from starting.
        client = QdrantClient(url=url, timeout=TIMEOUT_S, check_compatibility=False, mounts=DIRECT)
        return cls(client, f"Qdrant at {url}", prefix)

    @classmethod
    def local(cls, folder: Path, prefix: str) -> Self:
        """Vectors in a folder. One that a crash left unreadable starts anew: it can be rebuilt."""
        try:
            client = _open_local(folder)
        except RuntimeError as error:
            raise StoreMisconfigured(f"another process holds the vectors in {folder}: {error}") from error
        except OSError as error:
            raise StoreUnavailable(f"Qdrant in {folder}: {error}") from error
        except Exception as error:  # the client checks nothing of what it reads, so it may stumble over anything
            log.warning("unreadable vectors deleted", folder=str(folder), error=str(error))
            shutil.rmtree(folder)
            client = _open_local(folder)
        return cls(client, f"Qdrant in {folder}", prefix)

    def upsert(
        self,
        epoch: int,
        vectors: Mapping[str, NDArray[np.float32]],
        positions: Sequence[int],
        payloads: Sequence[dict[str, Any]],
    ) -> None:
        with self._errors():
            self._require_collection(epoch, {name: rows.shape[1] for name, rows in vectors.items()})
            points = [
                models.PointStruct(
                    id=position,
                    vector={name: rows[i].tolist() for name, rows in vectors.items() if rows[i].any()},
                    payload=dict(payload),
                )
                for i, (position, payload) in enumerate(zip(positions, payloads, strict=True))
            ]
            self._client.upsert(self._collection(epoch), points, wait=True)

    def _require_collection(self, epoch: int, dimensions: dict[str, int]) -> None:
        name = self._collection(epoch)
        if self._ready == (name, dimensions):
            return
        if self._client.collection_exists(name):
            config = self._client.get_collection(name).config.params.vectors
            if not isinstance(config, dict) or {name: p.size for name, p in config.items()} != dimensions:
                self._client.delete_collection(name)
        if not self._client.collection_exists(name):
            params = {n: models.VectorParams(size=d, distance=models.Distance.COSINE) for n, d in dimensions.items()}
            self._client.create_collection(name, vectors_config=params)
        _without_fsync(self._client, name)
        self._ready = (name, dimensions)

    def drop_all_but(self, epoch: int) -> None:
        self._ready = ("", {})
        with self._errors():
            for collection in self._client.get_collections().collections:
                prefix, _, number = collection.name.rpartition("_")
                if prefix == self._prefix and number.isdecimal() and int(number) != epoch:
                    self._client.delete_collection(collection.name)

    def close(self) -> None:
        self._client.close()

    def _collection(self, epoch: int) -> str:
        return f"{self._prefix}_{epoch}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with warnings.catch_warnings():
                # The local client recommends a server above 20,000 points; brute force is fast enough far beyond that.
                warnings.filterwarnings("ignore", message="Local mode is not recommended")
                yield
        except (ApiException, OSError, sqlite3.Error) as error:
            raise StoreUnavailable(f"{self._where}: {error}") from error


def _open_local(folder: Path) -> QdrantClient:
    return QdrantClient(path=str(folder), force_disable_check_same_thread=True)


def _without_fsync(client: QdrantClient, collection: str) -> None:
    """Let the local client write a point without waiting for the disk.

    It commits every point by itself: 24,500 of them would be a minute of fsyncs that everybody else's wait for. A kill
    loses nothing even so, and vectors can be rebuilt. There is no public setting; without this one it is only slow.
    """
    with suppress(AttributeError, KeyError):
        storage: Any = client._client.collections[collection].storage.storage  # type: ignore[attr-defined]
        storage.execute("PRAGMA journal_mode=WAL")
        storage.execute("PRAGMA synchronous=OFF")
