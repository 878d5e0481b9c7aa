"""Logging of every process: structured, one line per event, on standard error."""

from __future__ import annotations

import logging
import sys
from typing import Final

import structlog

from recsys.settings import Settings

# They log whole tracebacks of lost connections, which reach us as exceptions and are logged as one line.
SILENCED: Final = ("aiormq", "aio_pika")
# Each job has a line of its own.
BRIEF: Final = ("rq",)
# Uvicorn, where it is started by hand, gives these a format and a level of its own.
SERVER: Final = ("uvicorn", "uvicorn.error", "uvicorn.access")


def configure_logs(settings: Settings, service: str) -> None:
    """Send structlog's events and those of the libraries to stderr; call once, before the first event."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    if settings.log_json:
        renderer = structlog.processors.JSONRenderer()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for name in SILENCED:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in BRIEF:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in SERVER:
        logger = logging.getLogger(name)
        if logger.handlers:  # uvicorn.access has none where nothing is to be logged of each request
            logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.NOTSET)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    structlog.contextvars.bind_contextvars(service=service)
