"""The Redis connection shared by the stores: time limits, one immediate retry, our error tree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from redis import exceptions as errors
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from recsys.settings import masked
from recsys.stores.ports import CredentialsRefused, StoreMisconfigured, StoreUnavailable


def connect_redis(url: str, timeout_s: float) -> Redis:
    """A client that connects when first used. A connection that a restarted server dropped is retried once.

    StoreMisconfigured for a URL with an option that does not exist.
    """
    try:
        client = Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 1, supported_errors=(errors.ConnectionError,)),
        )
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # it does not connect yet, but reads the options
    except (TypeError, ValueError) as error:
        raise StoreMisconfigured(f"{masked(url)} has an option that Redis's client does not take: {error}") from error
    return client


async def server_facts(url: str, timeout_s: float) -> dict[str, Any]:
    """What INFO tells of the server; empty if its user may not ask. StoreUnavailable, StoreMisconfigured."""
    async with connect_redis(url, timeout_s) as client:
        with redis_errors(url), suppress(errors.NoPermissionError):
            return dict(await client.info())
    return {}


@contextmanager
def redis_errors(url: str) -> Iterator[None]:
    """Translate what the client raises into the error tree of the ports."""
    try:
        yield
    except errors.AuthenticationError as error:
        raise CredentialsRefused(f"Redis at {masked(url)} refused the credentials of its URL: {error}") from error
    except errors.NoPermissionError as error:
        raise StoreMisconfigured(
            f"Redis at {masked(url)} does not allow its user what is needed (see docs/settings.md): {error}"
        ) from error
    except (errors.RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"Redis at {masked(url)}: {str(error) or type(error).__name__}") from error
