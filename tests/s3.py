"""A server that answers like S3, in this process."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx
import pytest
from moto.server import ThreadedMotoServer

from tests.servers import free_port

# Moto looks at the shape of a signature only, unless it is told to let in those whom it knows.
SIGNED: Final = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
}


class S3Server:
    """May be stopped and started again, and has its buckets still."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.variables = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }
        self._server: ThreadedMotoServer | None = None

    def start(self) -> None:
        self._server = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
        self._server.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
        self._server = None

    @contextmanager
    def away(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            if self._server is None:
                self.start()

    def new_bucket(self) -> str:
        """The URL of a place in a bucket of its own."""
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        self._ask("PUT", f"/{name}", headers=SIGNED)
        return f"s3://{name}/some/prefix"

    @contextmanager
    def lets_in_nobody(self) -> Iterator[None]:
        """Meanwhile it knows no credentials."""
        self._ask("POST", "/moto-api/reset-auth", content=b"0")
        try:
            yield
        finally:
            self._ask("POST", "/moto-api/reset-auth", content=b"inf")

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the variables of this process name this server and nothing else."""
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in self.variables.items():
            monkeypatch.setenv(name, value)

    def _ask(self, method: str, path: str, **more: object) -> None:
        with httpx.Client(trust_env=False, timeout=20) as client:
            client.request(method, self.url + path, **more).raise_for_status()  # type: ignore[arg-type]
