"""What a worker's own process runs for each job."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from typing import Any, Final

import structlog
from rq import get_current_job

from jobs.training import TrainingFailed, train
from recsys.logs import configure_logs
from recsys.settings import read_settings
from recsys.stores.ports import EpochOver

log = structlog.get_logger()

TRAIN: Final = "jobs.job.train_model"
PR_SET_PDEATHSIG: Final = 1


def train_model(**arguments: Any) -> None:
    """``name`` and perhaps ``full`` of ``jobs.training.train``. After an error of a store the queue tries again."""
    _end_with_the_worker()
    settings = read_settings()
    configure_logs(settings, "jobs")
    job = get_current_job()
    try:
        # A job that was killed and runs again takes its own training over.
        log.info(asyncio.run(train(settings, token=job.id if job else "", **arguments)))
    except TrainingFailed as error:
        log.error("training failed", model=arguments["name"], error=str(error), exc_info=error.__cause__)
    except EpochOver:
        log.info("a cleanup ended the training", model=arguments["name"])


def _end_with_the_worker() -> None:
    """The worker starts us in a process group of our own, so nobody would end us if it is killed."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent or parent == 1:
            sys.exit("the worker has already ended")
