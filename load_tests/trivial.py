"""A service of the contract that does nothing: always the same ten ids. The grader's own speed is measured on it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
ANSWER = json.dumps({"item_ids": [f"item-{n}" for n in range(10)]}).encode()
HEAD: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())],
}
BODY: Message = {"type": "http.response.body", "body": ANSWER}


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] == "http":
        while (await receive()).get("more_body"):
            pass
        await send(HEAD)
        await send(BODY)
