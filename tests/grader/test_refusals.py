"""What is no service, or refuses what it is asked for, is told in a sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from grader.errors import GraderError
from grader.grade import put_through
from grader.service import Address
from tests.grader.commands import QUICK, Command, at, command, sentence_of
from tests.grader.services import InOrder, serving, serving_apart
from tests.grader.stages import Silence, staged
from tests.servers import free_port

__all__ = ["command"]
Handler = Callable[[web.Request], Awaitable[web.Response]]


def answering(status: int, body: str) -> web.Application:
    """The same to everything."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    return anything(answer)


def anything(answer: Handler) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


async def hang(request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    return web.Response()


async def hang_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def page_for_browsers(request: web.Request) -> web.Response:
    if request.method == "GET" and request.path == "/healthcheck":
        return web.Response(text="<html>", content_type="text/html")
    return web.Response(status=404, text="<!doctype html>\n<html>\nnot found", content_type="text/html")


async def much(request: web.Request) -> web.Response:
    return web.Response(body=b" " * 5_000_000)


async def send_nowhere(request: web.Request) -> web.Response:
    raise web.HTTPFound("http://a..b/")


BAD = {
    "an HTML page": (page_for_browsers, "HTML page"),
    "hangs": (hang, "timeout"),
    "hangs up": (hang_up, "connection closed"),
    "sends nowhere": (send_nowhere, "sent on to an invalid host name"),
    "too large": (much, "answer over 4 MB"),
}
REFUSING = {
    "status 503": (503, '{"detail": "Redis is away"}', 'answered status 503 ({"detail": "Redis is away"})'),
    "several lines": (503, "Redis is away\nsince noon:\n  line 3\n", "Redis is away"),
    "nothing": (500, "", "answered status 500"),
    "words in brackets": (500, "[error] no database [/recs]", "[error] no database [/recs]"),
    "a long page": (404, "x" * 5_000, "xxx"),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_no_service_is_told_in_a_sentence(name: str) -> None:
    handler, words = BAD[name]
    async with serving(anything(handler)) as address:
        await refused(address, words, timeout_s=0.3 if name == "hangs" else 30)


@pytest.mark.parametrize("name", REFUSING)
async def test_a_service_that_refuses_is_told_in_a_sentence(name: str) -> None:
    status, body, words = REFUSING[name]
    async with serving(answering(status, body)) as address:
        await refused(address, words)


async def refused(address: Address, words: str, timeout_s: float = 30) -> None:
    with pytest.raises(GraderError) as error:
        await put_through(staged(timeout_s=timeout_s), address, Silence())
    sentence = str(error.value)
    assert sentence.startswith(address.recs_url)
    assert words in sentence
    assert "\n" not in sentence
    assert len(sentence) < 400


async def test_where_nothing_listens_the_url_is_named() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    await refused(Address(url, url), "is the service running, and is the URL right?")


async def test_both_urls_are_tried() -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    async with serving(InOrder()) as address:
        with pytest.raises(GraderError, match=nobody):
            await put_through(staged(), Address(address.recs_url, nobody), Silence())


class RefusingItems(InOrder):
    async def _add_items(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"detail": "full"}, status=507)


class RefusingCleanup(InOrder):
    async def cleanup(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"detail": "busy"}, status=500)


@pytest.mark.parametrize(
    ("service", "words"),
    [(RefusingItems(), "/add_items answered status 507"), (RefusingCleanup(), "/cleanup answered status 500")],
    ids=["add_items", "cleanup"],
)
async def test_without_a_clean_catalogue_nothing_is_graded(service: InOrder, words: str) -> None:
    async with serving(service) as address:
        await refused(address, words)
    assert not any("/recs/" in path for path in service.paths)


@pytest.mark.parametrize("name", REFUSING)
def test_a_service_that_refuses_ends_the_command_with_2(command: Command, name: str) -> None:
    status, body, words = REFUSING[name]
    with serving_apart(answering(status, body)) as address:
        code, _, errors = command("run", *at(address.recs_url), *QUICK)
    assert code == 2
    assert words in sentence_of(errors)
