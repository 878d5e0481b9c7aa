"""What both web services do alike: body limit, errors that name the field, the answer while a store is away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, Counter, generate_latest
from pydantic import BaseModel, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recsys.stores.ports import StoreError

log = structlog.get_logger()

MIB: Final = 1024 * 1024
MAX_ERRORS_TOLD: Final = 5
RETRY_AFTER_S: Final = 1
STORE_FAILURES: Final = Counter("store_failures_total", "requests that a store failed", ["path"])

Model = TypeVar("Model", bound=BaseModel)


class _BodyTooLarge(Exception):
    pass


class BodyLimit:
    """ASGI middleware: a body above ``limit`` bytes gets a 413 without being held in memory."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                raise _BodyTooLarge
            return message

        try:
            if any(name == b"content-length" and int(value) > self._limit for name, value in scope["headers"]):
                raise _BodyTooLarge
            await self._app(scope, counted, send)
        except _BodyTooLarge:
            message = f"the body is larger than {self._limit // MIB} MiB"
            answer = error_response(413, [{"loc": ["body"], "msg": message, "type": "too_large"}])
            answer.headers["connection"] = "close"
            await answer(scope, receive, send)


def error_response(status: int, detail: Any, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers)


def add_web_basics(app: FastAPI, max_body_mib: int) -> None:
    """Body limit, error answers and ``/metrics``."""
    app.add_middleware(BodyLimit, limit=max_body_mib * MIB)

    @app.exception_handler(RequestValidationError)
    async def invalid_parameter(request: Request, error: RequestValidationError) -> Response:
        return error_response(422, [_told(e, e["loc"]) for e in error.errors()[:MAX_ERRORS_TOLD]])

    @app.exception_handler(ValidationError)
    async def invalid_body(request: Request, error: ValidationError) -> Response:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        return error_response(422, [_told(e, ("body", *e["loc"])) for e in errors[:MAX_ERRORS_TOLD]])

    @app.exception_handler(StoreError)
    async def store_failed(request: Request, error: StoreError) -> Response:
        STORE_FAILURES.labels(request.scope["route"].path if "route" in request.scope else "").inc()
        log.error("store failed", path=request.url.path, error=str(error))
        return error_response(503, str(error), {"retry-after": str(RETRY_AFTER_S)})

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _told(error: Any, location: Sequence[Any]) -> dict[str, Any]:
    # Without the input: it may be large, and it is the sender's own.
    return {"loc": list(location), "msg": error["msg"], "type": error["type"]}


def body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """OpenAPI entry for a handler that parses its body with ``parse_body``."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


async def parse_body(request: Request, model: type[Model]) -> Model:
    """Straight from bytes: several times faster than through Python objects. ValidationError becomes a 422."""
    return model.model_validate_json(await request.body())


async def health(check: Callable[[], Awaitable[str]]) -> Response:
    """200 with what ``check`` says, or 503 with the reason why it raised."""
    try:
        return JSONResponse({"status": await check()})
    except StoreError as error:
        return JSONResponse({"status": "unavailable", "reason": str(error)}, 503)
