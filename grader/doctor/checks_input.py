"""Odd ids and bad input: refused or served, never a crash."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from grader.doctor.outcome import Check, CheckFailed, CheckWarned
from grader.doctor.probe import Call
from grader.doctor.service import K, Service, accepted, listed, path

HUGE_BYTES = 30 * 1024 * 1024


def odd_ids() -> tuple[str, ...]:
    return ("zoë-Ω-日本-🎬", "two words", "x" * 1_000, "a/b", "0", "null", "%2F", "a?b=c&d#e", "quote\"'")


def bad_reactions(user: str, item: str) -> dict[str, Any]:
    """Bodies that interact has to refuse, by what is wrong with them. Bytes are sent as they are."""
    good = {"user_id": user, "item_ids": [item], "actions": ["like"]}
    return {
        "no JSON": b"{not json",
        "empty body": b"",
        "a JSON list": [good],
        "no fields": {},
        "no user_id": {"item_ids": [item], "actions": ["like"]},
        "no item_ids": {"user_id": user, "actions": ["like"]},
        "no actions": {"user_id": user, "item_ids": [item]},
        "user_id null": {**good, "user_id": None},
        "user_id a list": {**good, "user_id": [user]},
        "item_ids a text": {**good, "item_ids": item},
        "item_ids of objects": {**good, "item_ids": [{"id": item}]},
        "actions a text": {**good, "actions": "like"},
        "action 'love'": {**good, "actions": ["love"]},
        "action 1": {**good, "actions": [1]},
        "action null": {**good, "actions": [None]},
        "more actions than items": {**good, "actions": ["like", "like"]},
        "more items than actions": {**good, "item_ids": [item, item + "x"]},
        "timestamp a list": {**good, "timestamp": [1]},
    }


def bad_items(first: str, second: str) -> dict[str, Any]:
    """Bodies that add_items has to refuse, by what is wrong with them."""
    ids = [first, second]
    return {
        "no JSON": b"{not json",
        "empty body": b"",
        "a JSON list": ids,
        "no fields": {},
        "item_ids a text": {"item_ids": first},
        "item_ids null": {"item_ids": None},
        "item_ids of objects": {"item_ids": [{"id": first}]},
        "genres a text": {"item_ids": ids, "genres": "Drama"},
        "genres of texts": {"item_ids": ids, "genres": ["Drama", "Comedy"]},
        "genres of numbers": {"item_ids": ids, "genres": [[1], [2]]},
        "fewer genres than items": {"item_ids": ids, "genres": [["Drama"]]},
        "more genres than items": {"item_ids": ids, "genres": [["Drama"]] * 3},
    }


async def bad_interact(service: Service) -> str:
    items = await service.start_over(K)
    bodies = bad_reactions(service.user(), items[0])
    return must_refuse([(what, await service.post_interact(body)) for what, body in bodies.items()])


async def bad_add_items(service: Service) -> str:
    await service.start_over(K)
    first, second = service.items(2)
    bodies = bad_items(first, second)
    return must_refuse([(what, await service.post_items(body)) for what, body in bodies.items()])


async def bad_k(service: Service) -> str:
    await service.start_over(2 * K)
    queries = ("k=0", "k=-1", "k=abc", "k=1.5")
    return must_refuse([(query, await service.get_recs(service.user(), f"?{query}")) for query in queries])


def must_refuse(calls: Iterable[tuple[str, Call]]) -> str:
    """CheckFailed that names all calls that did not come back with 4xx."""
    tried = list(calls)
    wrong = [(what, call) for what, call in tried if not 400 <= call.status < 500]
    if wrong:
        listed = "; ".join(f"{what}: {call.status or call.failure}" for what, call in wrong)
        seen = f"{len(wrong)} of {len(tried)} bad calls did not come back with 4xx ({listed})."
        raise CheckFailed(seen, calls=[call for _, call in wrong])
    return f"{len(tried)} bad calls refused with 4xx"


async def huge_body(service: Service) -> str:
    await service.start_over(K)
    body = b"x" * HUGE_BYTES
    for call in (await service.post_items(body), await service.post_interact(body)):
        if "no answer" in call.failure or (call.status and not 400 <= call.status < 500):
            raise CheckFailed(f"{path(call)} with 30 MB of nonsense came back with {call.came_back}.", calls=[call])
    await _must_be_well(service)
    return "30 MB of nonsense refused; the service lives"


async def odd_user_ids(service: Service) -> str:
    items = await service.start_over(4 * K)
    served, mixed = 0, []
    for user in odd_ids():
        first, second = await service.get_recs(user), await service.get_recs(user)
        body = {"user_id": user, "item_ids": items[:1], "actions": ["like"]}
        reaction = await service.post_interact(body, user=user)
        for call in (first, second, reaction):
            _must_be_civil(call)
        if first.status == 200:
            served += 1
            if not listed(first) or set(map(str, listed(first))) & set(map(str, listed(second))):
                seen = f"is served, but not as a user: {path(second)} repeats what was just shown, or nothing was"
                raise CheckFailed(f"A user with the id {user[:20]!r} {seen}.", user=user)
        if first.status != reaction.status and 200 in (first.status, reaction.status):
            mixed += [first, reaction]
    await _must_be_well(service)
    if mixed:
        seen = f"{len(mixed) // 2} odd user ids are served by one of recs and interact and refused by the other"
        raise CheckWarned(f"{seen}.", calls=mixed)
    return f"{served} odd ids are served, {len(odd_ids()) - served} refused with 4xx"


async def odd_item_ids(service: Service) -> str:
    await service.start_over(K)
    taken = set()
    for item in odd_ids():
        call = await service.post_items({"item_ids": [item], "genres": [["Drama"]]})
        _must_be_civil(call)
        if call.status == 200:
            taken.add(item)
    user = service.user()
    shown = {i for found in await service.lists(user, -(-(K + len(taken)) // K)) for i in found}
    if missing := taken - shown:
        seen = f"{len(missing)} items with odd ids were accepted and are never shown"
        raise CheckFailed(f"{seen}, e.g. {min(missing)[:20]!r}.", user=user)
    await _must_be_well(service)
    return f"{len(taken)} odd ids are served as they are, {len(odd_ids()) - len(taken)} refused with 4xx"


def _must_be_civil(call: Call) -> None:
    if call.status != 200 and not 400 <= call.status < 500:
        raise CheckFailed(f"{path(call)} should come back with 200 or 4xx, but: {call.came_back}", calls=[call])


async def _must_be_well(service: Service) -> None:
    for call in await service.health():
        accepted(call)
    if not await service.recs(service.user()):
        raise CheckFailed("After these calls a new user's list is empty.")


CHECKS = (
    Check("bad-interact", "interact refuses bad input with 4xx.", bad_interact),
    Check("bad-add-items", "add_items refuses bad input with 4xx.", bad_add_items),
    Check("bad-k", "recs refuses a k that is no positive whole number with 4xx.", bad_k),
    Check("huge-body", "30 MB of nonsense are refused and do no harm.", huge_body),
    Check("odd-user-ids", "User ids with unicode, spaces, a slash, 1,000 characters: served or 4xx.", odd_user_ids),
    Check("odd-item-ids", "The same for item ids; what is accepted is shown as it was sent.", odd_item_ids),
)
