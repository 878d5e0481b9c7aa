"""Models that jobs train, each version one object: in a folder, or in S3 and what speaks like it.

    <epoch>/<name>/<version>.model

An object holds a line that says what it is, a line of facts as JSON, and the model. The facts hold a checksum of all
that: what was cut off, changed or is something else is refused by name.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

import obstore
from obstore import exceptions as errors
from obstore.store import LocalStore, S3Store

from recsys.stores.ports import CredentialsRefused, ModelDamaged, StoreMisconfigured, StoreUnavailable

FIRST_LINE: Final = b"recsys model 1\n"
HEAD_BYTES: Final = 16_384  # more than both lines ever have
_OBJECT: Final = re.compile(r"(\d+)/([^/]+)/(\d+)\.model")
_REASON: Final = re.compile(r"<Code>(\w+)</Code>(?:\s*<Message>([^<]*)</Message>)?")  # what S3 says was wrong
NO_BUCKET: Final = "NoSuchBucket"
OF_CREDENTIALS: Final = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}
OF_SETTINGS: Final = {NO_BUCKET, "AccessDenied", "PermanentRedirect", "AuthorizationHeaderMalformed"}
OF_OPTIONS: Final = (errors.PermissionDeniedError, errors.UnknownConfigurationKeyError, errors.InvalidPathError)
TIMEOUTS: Final = {"connect_timeout": "5s", "timeout": "120s"}
RETRIES: Final = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}


@dataclass(frozen=True)
class ModelFile:
    """One version of a model; ``facts`` are those of its training."""

    epoch: int
    name: str
    version: int
    size: int  # bytes of the object
    facts: Mapping[str, Any]


class ModelFiles:
    """Implements ModelStore."""

    def __init__(self, store: Any, where: str) -> None:
        self._store = store
        self._where = where

    @classmethod
    def open(cls, url: str) -> ModelFiles:
        """``s3://bucket/prefix`` with the usual AWS variables, or a folder, which is made if need be."""
        if not url.startswith("s3://"):
            with _errors(url):
                return cls(LocalStore(prefix=Path(url).resolve(), mkdir=True), url)
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        options: Any = {**TIMEOUTS, "allow_http": endpoint.startswith("http://")}
        with _errors(url):
            return cls(S3Store.from_url(url, client_options=options, retry_config=RETRIES), url)  # type: ignore[arg-type]

    def write(self, epoch: int, name: str, facts: Mapping[str, Any], blob: bytes, after: int = 0) -> int:
        checked = dict(facts) | {"bytes": len(blob)}
        checked["checksum"] = _checksum(checked, blob)
        body = FIRST_LINE + json.dumps(checked).encode() + b"\n" + blob
        while True:
            version = max(after, *self._versions(epoch, name), 0) + 1
            with _errors(self._where):
                try:
                    obstore.put(self._store, _path(epoch, name, version), body, mode="create")
                except errors.AlreadyExistsError:
                    continue  # somebody else was first
            return version

    def read(self, epoch: int, name: str, version: int) -> tuple[dict[str, Any], bytes]:
        what = f"{name}@{version} in {self._where}"
        with _errors(self._where):
            try:
                body = obstore.get(self._store, _path(epoch, name, version)).bytes().to_bytes()
            except (errors.NotFoundError, FileNotFoundError) as error:
                if _code(error) == NO_BUCKET:
                    raise
                raise ModelDamaged(f"{what} is not there") from error
        facts, start = _facts(body, what)
        blob = body[start:]
        if facts.get("bytes") != len(blob) or facts.get("checksum") != _checksum(facts, blob):
            raise ModelDamaged(f"{what} is damaged: {len(blob):,} of {facts.get('bytes')} bytes, with another checksum")
        return facts, blob

    def versions(self, epoch: int, name: str) -> list[int]:
        return sorted(self._versions(epoch, name))

    def files(self, epoch: int) -> list[ModelFile]:
        found = sorted(self._objects(f"{epoch}/"))
        return [
            ModelFile(number, name, version, size, self._head(number, name, version) if size else {})
            for number, name, version, size in found
        ]

    def delete(self, epoch: int, name: str, version: int) -> None:
        with _errors(self._where):
            try:
                obstore.delete(self._store, _path(epoch, name, version))
            except (errors.NotFoundError, FileNotFoundError) as error:
                if _code(error) == NO_BUCKET:
                    raise

    def drop_all_but(self, epoch: int) -> int:
        others = [(number, name, version) for number, name, version, _ in self._objects("") if number != epoch]
        for other in others:
            self.delete(*other)
        return len(others)

    def _versions(self, epoch: int, name: str) -> Iterator[int]:
        return (version for _, found, version, _ in self._objects(f"{epoch}/{_safe(name)}/") if found == name)

    def _objects(self, prefix: str) -> list[tuple[int, str, int, int]]:
        """Epoch, name, version and size of all objects below."""
        with _errors(self._where):
            listed = [(meta["path"], meta["size"]) for chunk in obstore.list(self._store, prefix) for meta in chunk]
        matches = [(_OBJECT.fullmatch(path), size) for path, size in listed]
        return [(int(m[1]), unquote(m[2]), int(m[3]), size) for m, size in matches if m]

    def _head(self, epoch: int, name: str, version: int) -> dict[str, Any]:
        """The facts; none of an object that is damaged."""
        with _errors(self._where):
            try:
                head = obstore.get(self._store, _path(epoch, name, version), options={"range": (0, HEAD_BYTES)})
                body = head.bytes().to_bytes()
            except (errors.NotFoundError, FileNotFoundError):
                return {}
        try:
            return _facts(body, name)[0]
        except ModelDamaged:
            return {}


def _safe(name: str) -> str:
    return quote(name, safe="")


def _path(epoch: int, name: str, version: int) -> str:
    return f"{epoch}/{_safe(name)}/{version}.model"


def _checksum(facts: Mapping[str, Any], blob: bytes) -> str:
    """Of the other facts, and the model."""
    others = {name: fact for name, fact in facts.items() if name != "checksum"}
    found = hashlib.blake2b(json.dumps(others).encode(), digest_size=16)
    found.update(blob)
    return found.hexdigest()


def _facts(body: bytes, what: str) -> tuple[dict[str, Any], int]:
    """And where the model itself begins."""
    end = body.find(b"\n", len(FIRST_LINE))
    if not body.startswith(FIRST_LINE) or end < 0:
        raise ModelDamaged(f"{what} is no model of this version of the program")
    try:
        facts = json.loads(body[len(FIRST_LINE) : end])
    except ValueError as error:
        raise ModelDamaged(f"{what} is damaged: {error}") from error
    if not isinstance(facts, dict):
        raise ModelDamaged(f"{what} is damaged: its facts are no object")
    return facts, end + 1


@contextmanager
def _errors(where: str) -> Iterator[None]:
    """Translate what the client raises into the error tree of the ports."""
    try:
        yield
    except ModelDamaged:
        raise
    except (errors.BaseError, OSError, ValueError) as error:
        code, said = _code(error), _short(error)
        if isinstance(error, errors.UnauthenticatedError) or code in OF_CREDENTIALS:
            raise CredentialsRefused(f"{where} refused the credentials of the AWS variables: {said}") from error
        if isinstance(error, OF_OPTIONS) or code in OF_SETTINGS:
            raise StoreMisconfigured(f"{where} cannot be used: {said}") from error
        raise StoreUnavailable(f"{where}: {said}") from error


def _code(error: Exception) -> str:
    """The word that S3 has for it; empty where it has none."""
    return found[1] if (found := _REASON.search(str(error))) else ""


def _short(error: Exception) -> str:
    """What S3 says of it, or the first line: the rest is the client's own state."""
    if found := _REASON.search(str(error)):
        return f"{found[2]} ({found[1]})" if found[2] else found[1]
    return (str(error).splitlines() or [type(error).__name__])[0]
