"""A worker: does the jobs of the queue, and puts trainings into it as often as the settings say.

To be imported once the queue is open: that says what RQ's keys begin with.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from types import FrameType
from typing import Final

import structlog
from rq.utils import now
from rq.worker import SpawnWorker

from jobs.job import TRAIN
from recsys.settings import Settings
from recsys.stores.job_queue import JobQueue
from recsys.stores.ports import StoreError

log = structlog.get_logger()

NICENESS: Final = 10  # training is never more urgent than serving
LOOK_S: Final = 1.0
ENDING_S: Final = 60  # for a training that ends by itself when its time is over
MAINTENANCE_S: Final = 30
MONITORING_S: Final = 5


class Worker(SpawnWorker):
    """Stops at once, in the middle of a training: that one runs again. A process for each job, which dies with it."""

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        self._shutdown_requested_date = now() - timedelta(minutes=1)
        self.request_force_stop(signum, frame)


def work(settings: Settings, jobs: JobQueue, names: Sequence[str]) -> None:
    """Until SIGINT or SIGTERM. ``names`` are the models that are trained again and again. StoreError: no Redis."""
    os.nice(NICENESS)
    worker = jobs.worker(Worker, maintenance_interval=MAINTENANCE_S, job_monitoring_interval=MONITORING_S)
    ended = threading.Event()
    threading.Thread(target=_schedule, args=(jobs, settings, names, ended), name="schedule", daemon=True).start()
    log.info("worker started", trains=list(names))
    try:
        worker.work(logging_level="WARNING")
    finally:
        ended.set()


def _schedule(jobs: JobQueue, settings: Settings, names: Sequence[str], ended: threading.Event) -> None:
    """Enqueue each training when its time has come, unless it waits already."""
    due = dict.fromkeys(names, -float("inf"))
    while not ended.wait(LOOK_S):
        try:
            waiting = {job.get("name") for job in jobs.waiting()}
            for name in names:
                if time.monotonic() >= due[name] and name not in waiting:
                    jobs.enqueue(TRAIN, settings.train_timeout_s + ENDING_S, name=name)
                    due[name] = time.monotonic() + settings.train_interval_s
        except StoreError as error:
            log.error("trainings not scheduled, trying again", error=str(error))
