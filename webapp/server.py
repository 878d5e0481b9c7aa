"""The web server: a thread per connection, stopped at once by SIGTERM and SIGINT."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import structlog
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

log = structlog.get_logger()


class Handler(WSGIRequestHandler):
    timeout = 20  # seconds without a byte before a connection is given up

    def version_string(self) -> str:
        return "webapp"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: requests of the demo are not worth a line each."""

    def log(self, type: str, message: str, *args: object) -> None:
        # As a value, never as a template: the message holds what the client sent.
        log.warning("http", kind=type, problem=(message % args if args else message)[:300].rstrip())


def serve(app: Flask, host: str, port: int) -> None:
    """Until a signal comes. OSError if the port cannot be had."""
    server = make_server(host, port, app, threaded=True, request_handler=Handler)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    log.info("listening", host=host, port=port)
    try:
        server.serve_forever()
    finally:
        server.server_close()


def _stop(number: int, frame: FrameType | None) -> None:
    # Requests run in daemon threads, so this ends the process without waiting for them.
    sys.exit(0)
