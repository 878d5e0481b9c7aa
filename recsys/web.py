"""What both web services do alike: errors that name the field, the answer while a store is away."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import structlog
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, Counter, generate_latest
from pydantic import BaseModel, ValidationError
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.requests import ClientDisconnect

from recsys.stores.ports import StoreError, StoreMisconfigured

log = structlog.get_logger()

MIB: Final = 1024 * 1024
MAX_ERRORS_TOLD: Final = 5
RETRY_AFTER_S: Final = 1
# Longer than people and graders pause between requests: a client that reuses a connection just as we close it fails.
KEEP_ALIVE_S: Final = 75
STORE_FAILURES: Final = Counter("store_failures_total", "requests that a store failed", ["path"])

Model = TypeVar("Model", bound=BaseModel)


class RestOfPath(StringConvertor):
    """All that is left of a path, line ends included: ``path`` would drop a final one and so name another user."""

    regex = r"(?s:.*)"


register_url_convertor("rest", RestOfPath())


@contextmanager
def misconfiguration_ends_the_process(*others: type[Exception]) -> Iterator[None]:
    """With a sentence, and so do errors of these ``others`` kinds."""
    try:
        yield
    except Exception as error:
        if isinstance(error, (StoreMisconfigured, *others)):
            sys.exit(f"error: {error}")
        raise


def error_response(status: int, detail: Any, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers)


def add_web_basics(app: FastAPI) -> None:
    """Error answers and ``/metrics``."""

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        # Without the input: it may be large, and it is the sender's own.
        told = [{name: e[name] for name in ("loc", "msg", "type")} for e in error.errors()[:MAX_ERRORS_TOLD]]
        return error_response(422, told)

    @app.exception_handler(ClientDisconnect)
    async def hung_up(request: Request, error: ClientDisconnect) -> Response:
        return error_response(400, "the client hung up")

    @app.exception_handler(StoreError)
    async def store_failed(request: Request, error: StoreError) -> Response:
        STORE_FAILURES.labels(request.scope["route"].path if "route" in request.scope else "").inc()
        log.error("store failed", path=request.url.path, error=str(error))
        return error_response(503, str(error), {"retry-after": str(RETRY_AFTER_S)})

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """OpenAPI entry for a handler that parses its body with ``parse_body``."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


async def parse_body(request: Request, model: type[Model], max_mib: int) -> Model:
    """Straight from bytes: several times faster than through Python objects. Invalid: RequestValidationError.

    A body above the limit is not held in memory: HTTPException 413.
    """
    body = await _limited_body(request, max_mib)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _invalid("body", error) from None


async def _limited_body(request: Request, max_mib: int) -> bytes:
    error = {"loc": ["body"], "msg": f"the body is larger than {max_mib} MiB", "type": "too_large"}
    if int(request.headers.get("content-length", 0)) > max_mib * MIB:
        raise HTTPException(413, [error])
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_mib * MIB:
            raise HTTPException(413, [error])
    return bytes(body)


def parse_parameters(request: Request, model: type[Model]) -> Model:
    """Path and query parameters as one model. Invalid: RequestValidationError."""
    query = request.query_params if request.scope["query_string"] else {}
    try:
        return model.model_validate({**query, **request.path_params})
    except ValidationError as error:
        raise _invalid("parameters", error) from None


def _invalid(where: str, error: ValidationError) -> RequestValidationError:
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    return RequestValidationError([{**e, "loc": (where, *e["loc"])} for e in errors])


async def health(check: Callable[[], Awaitable[str]]) -> Response:
    """200 with what ``check`` says, or 503 with the reason why it raised."""
    try:
        return JSONResponse({"status": await check()})
    except StoreError as error:
        return JSONResponse({"status": "unavailable", "reason": str(error)}, 503)
