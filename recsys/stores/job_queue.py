"""The queue of jobs, on the Redis of the state: RQ, with keys that begin like all of ours."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

from redis import Redis

from recsys.settings import Settings
from recsys.stores.redis_client import redis_errors

W = TypeVar("W")
QUEUE: Final = "train"
SERIALIZER: Final = "rq.serializers.JSONSerializer"  # whoever can write to Redis must not run code of his own here


class JobQueue:
    """``connection`` and ``queue`` are RQ's own."""

    def __init__(self, settings: Settings) -> None:
        # Read when rq is first imported, also by the processes that it starts.
        os.environ["RQ_KEY_PREFIX"] = f"{settings.key_prefix}:rq"
        from rq import Queue

        self._url = settings.redis_url
        self.connection = Redis.from_url(settings.redis_url)
        self.queue = Queue(QUEUE, connection=self.connection, serializer=SERIALIZER)

    def enqueue(self, function: str, timeout_s: int, **arguments: Any) -> Any:
        """A job that calls the function, by its full name. One that is killed runs again."""
        from rq import Retry

        with redis_errors(self._url):
            return self.queue.enqueue_call(
                function, kwargs=arguments, timeout=timeout_s, result_ttl=60, failure_ttl=3_600, retry=Retry(max=3)
            )

    def worker(self, kind: Callable[..., W], **options: Any) -> W:
        """One of RQ's workers, for this queue."""
        with redis_errors(self._url):
            return kind([self.queue], connection=self.connection, serializer=SERIALIZER, **options)

    def waiting(self) -> list[dict[str, Any]]:
        """Arguments of the jobs that nobody has begun."""
        with redis_errors(self._url):
            return [job.kwargs for job in self.queue.jobs]

    def workers(self) -> int:
        """How many are alive."""
        from rq import Worker

        with redis_errors(self._url):
            return len(Worker.all(connection=self.connection, queue=self.queue))
