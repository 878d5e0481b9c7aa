"""Health, cleanup, adding items and the shape of a list."""

from __future__ import annotations

from grader.doctor.outcome import Check, CheckFailed, CheckWarned
from grader.doctor.service import K, Service, accepted, crowd, listed, path, repeated, some

BIG_CATALOGUE = 30_000
BIG_USERS = 30


async def health(service: Service) -> str:
    for call in await service.health():
        accepted(call)
    return "both answer 200"


async def cleanup(service: Service) -> str:
    await service.start_over(20)
    for method in ("GET", "POST", "POST"):
        await service.cleanup(method)
    return "200 by GET and by POST, also twice in a row"


async def genres_optional(service: Service) -> str:
    absent, empty, mixed = service.items(10), service.items(10), service.items(10)
    await service.cleanup()
    await service.add_items(absent)
    await service.add_items(empty, [[] for _ in empty])
    await service.add_items(mixed, [["Drama", "Comedy"], *([] for _ in mixed[1:])])
    await _must_offer(service, {*absent, *empty, *mixed})
    return "added without genres, with empty lists, with some"


async def numeric_ids(service: Service) -> str:
    await service.cleanup()
    first = service.rng.randrange(10**6, 10**8)
    numbers = list(range(first, first + 10))
    await service.add_items(numbers)
    user = service.user()
    call = accepted(await service.get_recs(user))
    found = listed(call)
    if not all(isinstance(item, str) for item in found) or set(found) != {str(number) for number in numbers}:
        wanted = f'numbers {first} to {numbers[-1]} should come back as texts ("{first}", …)'
        raise CheckFailed(f"Items added as the {wanted}, but: {call.came_back}", user=user)
    return "numbers come back as texts"


async def upsert(service: Service) -> str:
    items = service.items(12)
    await service.cleanup()
    await service.add_items(items[:7])
    await service.add_items(items[7:])
    await service.add_items(items, [["Drama"] for _ in items])
    for user in service.users(3):
        for shown in await service.lists(user, 2):
            if again := repeated(shown):
                raise CheckFailed(f"Items added twice are in one list twice: {some(again)}.", user=user)
    await _must_offer(service, set(items))
    return "12 items sent in 3 calls are 12 items"


async def big_catalogue(service: Service) -> str:
    items = service.items(BIG_CATALOGUE)
    await service.cleanup()
    await service.add_items(items, [["Drama"], ["Comedy", "Crime"]] * (BIG_CATALOGUE // 2))
    seconds = service.probe.calls[-1].ended - service.probe.calls[-1].started
    shown = {item for found in await crowd(service.recs, service.users(BIG_USERS)) for item in found}
    if unknown := shown - set(items):
        raise CheckFailed(f"Not in the catalogue of {BIG_CATALOGUE:,} items just added: {some(unknown)}.")
    if not shown:
        raise CheckFailed(f"{BIG_CATALOGUE:,} items were added in one call, but all lists are empty.")
    if not shown & set(items[2 * BIG_CATALOGUE // 3 :]):
        raise CheckWarned(
            f"None of the last third of {BIG_CATALOGUE:,} items is in the first lists of {BIG_USERS} users."
        )
    return f"{BIG_CATALOGUE:,} items in one call of {seconds:.1f} s; {len(shown)} of them in {BIG_USERS} lists"


async def usable_at_once(service: Service) -> str:
    first = await service.start_over(10)
    second = service.items(10)
    user = service.user()
    for added, call in ((first, "first"), (second, "second")):
        if added is second:
            await service.add_items(second)
        shown = await service.recs(user)
        if missing := set(added) - set(shown):
            seen = f"The list after the {call} call of add_items should be its 10 items, but lacks {some(missing)}."
            raise CheckFailed(seen, user=user)
    return "10 items, then 10 more, each in the very next list"


async def shapes(service: Service) -> str:
    await service.start_over(60)
    user = service.user()
    for query, k in (("", K), ("?k=3", 3), ("?k=20", 20)):
        call = accepted(await service.get_recs(user, query))
        answer = call.json()
        ids = answer.get("item_ids") if isinstance(answer, dict) else None
        if not call.content_type.startswith("application/json"):
            raise CheckFailed(f"{path(call)} is of type {call.content_type!r}, not application/json.", user=user)
        if not isinstance(ids, list) or set(answer) != {"item_ids"}:
            raise CheckFailed(f'{path(call)} should hold "item_ids" and nothing else: {call.came_back}', user=user)
        if not all(isinstance(item, str) for item in ids):
            raise CheckFailed(f"{path(call)} should hold texts only: {call.came_back}", user=user)
        if len(ids) != k:
            raise CheckFailed(f"{path(call)} should hold {k} items, but holds {len(ids)}.", user=user)
    return "item_ids with 10 texts; k=3 and k=20 obeyed"


async def _must_offer(service: Service, items: set[str]) -> None:
    """A new user's lists go through all ``items`` before any comes again."""
    user = service.user()
    shown = {item for found in await service.lists(user, -(-len(items) // K)) for item in found}
    if shown != items:
        seen = f"{len(items)} items were added; as many lists as it takes show {len(shown & items)} of them"
        raise CheckFailed(f"{seen} and {len(shown - items)} others.", user=user)


CHECKS = (
    Check("health", "GET /healthcheck of both services comes back with 200.", health),
    Check("cleanup", "/cleanup comes back with 200, by GET, by POST and again at once.", cleanup),
    Check("genres-optional", "add_items takes items without genres and with empty lists.", genres_optional),
    Check("numeric-ids", "Item ids may be sent as numbers; they come back as texts.", numeric_ids),
    Check("upsert", "A catalogue may come in several calls; an id sent again is the same item.", upsert),
    Check("big-catalogue", "One call of add_items may carry 30,000 items.", big_catalogue),
    Check("usable-at-once", "An item can be recommended from the next request on.", usable_at_once),
    Check("shapes", 'recs comes back as JSON {"item_ids": [...]}: k texts, 10 without ?k=.', shapes),
)
