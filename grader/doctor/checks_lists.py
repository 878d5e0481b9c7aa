"""What may be in a list: known items, once, and none that the user was shown before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from grader.doctor.outcome import Check, CheckFailed, CheckWarned
from grader.doctor.service import K, Service, crowd, repeated, some

N_ITEMS = 60
N_LISTS = N_ITEMS // K


async def known_items(service: Service) -> str:
    items = set(await service.start_over(N_ITEMS))
    users = service.users(10)
    for user, lists in zip(users, await crowd(lambda u: service.lists(u, 3), users), strict=True):
        if unknown := {item for found in lists for item in found} - items:
            raise CheckFailed(f"In a list, but in no call of add_items: {some(unknown)}.", user=user)
    return f"{3 * len(users)} lists hold nothing else"


async def no_repeats(service: Service) -> str:
    await service.start_over(N_ITEMS)
    users = service.users(10)
    for user, lists in zip(users, await crowd(lambda u: service.lists(u, 3), users), strict=True):
        if again := set().union(*map(repeated, lists)):
            raise CheckFailed(f"Twice in the same list: {some(again)}.", user=user)
    return f"{3 * len(users)} lists without a repeat"


async def not_shown_again(service: Service) -> str:
    items = await service.start_over(N_ITEMS)
    user = service.user()
    lists = await service.lists(user, N_LISTS)
    all_new(lists, items, user)
    return f"{N_LISTS} lists show {N_ITEMS} of {N_ITEMS} items"


async def catalogue_exhausted(service: Service) -> str:
    items = set(await service.start_over(25))
    user = service.user()
    lists = await service.lists(user, 4)
    for n, found in enumerate(lists, 1):
        if len(found) != K or len(set(found)) != K or not set(found) <= items:
            what = f"holds {len(set(found) & items)} different known items, not {K}"
            raise CheckFailed(f"List {n} of a user of a catalogue of {len(items)} items {what}.", user=user)
    left = items - {*lists[0], *lists[1]}
    if len(left) == 5 and not left <= set(lists[2]):
        raise CheckFailed("The third list repeats items although it leaves out some never shown.", user=user)
    if not set(lists[2]) - left <= set(lists[0]):
        raise CheckWarned("Once all was shown, other items than those of the oldest list came back first.", user=user)
    return "lists stay full; the oldest shown come back first"


async def reacted_not_shown_again(service: Service) -> str:
    items = await service.start_over(N_ITEMS)
    user = service.user()
    lists = [await service.recs(user)]
    await service.react(user, {item: "like" if n < K / 2 else "dislike" for n, item in enumerate(lists[0])})
    for pause in (0.0, 0.5, 0.5):
        await asyncio.sleep(pause * service.limits.settle_s)
        lists.append(await service.recs(user))
    all_new(lists, items, user)
    return "liked and disliked items of the first list stay away"


async def users_at_once(service: Service) -> str:
    items = await service.start_over(N_ITEMS)
    users = service.users(4)
    for user, lists in zip(users, await crowd(lambda u: service.lists(u, N_LISTS), users), strict=True):
        all_new(lists, items, user)
    return f"{len(users)} users at once are each shown all {N_ITEMS} items"


async def same_user_at_once(service: Service) -> str:
    await service.start_over(N_ITEMS)
    users = service.users(20)
    pairs = await crowd(lambda u: asyncio.gather(service.recs(u), service.recs(u)), users, at_once=2)
    shared = {user: both for user, (a, b) in zip(users, pairs, strict=True) if (both := set(a) & set(b))}
    if shared:
        user, both = next(iter(shared.items()))
        what = f"{len(shared)} of {len(users)} users who asked twice at the same time"
        raise CheckWarned(f"{what} were shown an item in both lists, e.g. {some(both)}.", user=user)
    return f"{len(users)} pairs of requests at the same time have nothing in common"


def all_new(lists: Sequence[Sequence[str]], items: Sequence[str], user: str) -> None:
    """CheckFailed unless ``lists`` are full and show nothing twice; ``items`` are enough for that."""
    shown: list[str] = []
    for n, found in enumerate(lists, 1):
        if again := set(found) & set(shown):
            what = f"{len(again)} items that the user was shown before ({some(again)})"
            raise CheckFailed(f"List {n} of {len(lists)} holds {what}; {len(items)} items exist.", user=user)
        if len(found) < K:
            what = f"{len(set(items) - {*shown, *found})} of {len(items)} items were not shown yet"
            raise CheckFailed(f"List {n} of {len(lists)} holds {len(found)} items, although {what}.", user=user)
        shown += found


CHECKS = (
    Check("known-items", "A list holds only items that were added.", known_items),
    Check("no-repeats", "No item is in a list twice.", no_repeats),
    Check("not-shown-again", "No item is shown to a user again while there are others.", not_shown_again),
    Check("catalogue-exhausted", "When a user has seen everything, the oldest shown come back.", catalogue_exhausted),
    Check("reacted-not-shown-again", "What a user was shown stays away, reaction or not.", reacted_not_shown_again),
    Check("users-at-once", "Users who ask at the same time have each a history of their own.", users_at_once),
    Check("same-user-at-once", "Two requests of a user at the same time share no item.", same_user_at_once),
)
