"""The web server: waitress, stopped at once by SIGTERM and SIGINT."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Final

import structlog
from flask import Flask
from waitress.server import create_server

log = structlog.get_logger()

THREADS: Final = 16  # a reaction may wait for the collector's patience: others go on
MAX_BODY_BYTES: Final = 1_000_000  # refused before it is read; what forms may hold the application says
SILENT_S: Final = 20  # without a byte before a connection is given up


def serve(app: Flask, host: str, port: int) -> None:
    """Until a signal comes. OSError if the port cannot be had."""
    server = create_server(
        app,
        host=host,
        port=port,
        threads=THREADS,
        channel_timeout=SILENT_S,
        max_request_body_size=MAX_BODY_BYTES,
        ident="webapp",
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    log.info("listening", host=host, port=port)
    try:
        server.run()
    finally:
        server.close()


def _stop(number: int, frame: FrameType | None) -> None:
    # The server's loop takes this as its end: it waits a moment for requests under way and returns.
    raise SystemExit(0)
