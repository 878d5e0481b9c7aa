"""Cleanup leaves nothing: no item, no history, no event on its way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grader.doctor.outcome import Check, CheckFailed, CheckWarned
from grader.doctor.service import K, Service, crowd, some

N_USERS = 12
N_ITEMS = 2 * K  # a list shows half of them, reactions go to the other half
PER_CALL = 4  # reactions: enough calls to be a burst, few enough to be read in a report


async def forgets_items(service: Service) -> str:
    old = await service.start_over(N_ITEMS)
    await service.recs(service.user())
    await service.cleanup()
    user = service.user()
    call = await service.get_recs(user)
    if not call.status:
        raise CheckFailed(f"A list of an empty catalogue: {call.failure}.", user=user)
    if call.status == 200 and await _shows(service, user, old):
        raise CheckFailed("Right after cleanup, old items are still recommended.", user=user)
    new = service.items(N_ITEMS)
    await service.add_items(new)
    user = service.user()
    found = {item for shown in await service.lists(user, 2) for item in shown}
    if strange := found - set(new):
        raise CheckFailed(f"After cleanup and new items, others come back: {some(strange)}.", user=user)
    if call.status not in (200, 503) and not 400 <= call.status < 500:
        seen = f"A list of an empty catalogue came back with {call.came_back}; better 200 and an empty one, 4xx or 503."
        raise CheckWarned(seen, user=call.user)
    return f"old items gone at once; a list of an empty catalogue comes back with {call.status}"


async def _shows(service: Service, user: str, items: Sequence[str]) -> bool:
    return bool(set(await service.recs(user)) & set(items))


async def forgets_users(service: Service) -> str:
    items = await service.start_over(N_ITEMS)
    shown = await _histories(service)

    async def react(user: str) -> None:
        await service.react(user, {item: "dislike" for item in items if item not in shown[user]})

    await crowd(react, shown)
    await service.settle()
    await service.cleanup()
    await service.add_items(items)
    await _must_be_new(service, shown, items)
    return f"{N_USERS} users get everything again, shown or disliked before"


async def in_flight(service: Service) -> str:
    """Half the catalogue comes back after cleanup: dislikes of it must be forgotten, likes must not revive the rest."""
    old = await service.start_over(2 * N_ITEMS)
    items = old[::2]
    shown = await _histories(service)
    calls = [(user, old[n : n + PER_CALL]) for user in shown for n in range(0, len(old), PER_CALL)]

    async def react(call: tuple[str, list[str]]) -> None:
        user, several = call
        await service.react(user, {item: "dislike" if item in items else "like" for item in several})

    await crowd(react, calls)
    await service.cleanup()
    await service.add_items(items)
    await service.settle()
    await _must_be_new(service, shown, items)
    return f"{len(calls)} calls of interact just accepted have no effect after it"


async def _histories(service: Service) -> dict[str, list[str]]:
    """New users with the list each was shown."""
    users = service.users(N_USERS)
    return dict(zip(users, await crowd(service.recs, users), strict=True))


async def _must_be_new(service: Service, shown: Mapping[str, Sequence[str]], items: Sequence[str]) -> None:
    """Users with a history before cleanup are as good as new: two lists show all N_ITEMS.

    A remembered dislike is missing from both lists. Remembered impressions would only put the other half first, which
    one list may do by chance, but not everybody's.
    """
    avoiding = []
    for user in service.rng.sample(list(shown), len(shown)):
        lists = await service.lists(user, 2)
        found = {item for each in lists for item in each}
        if strange := found - set(items):
            raise CheckFailed(f"Items from before cleanup come back: {some(strange)}.", user=user)
        if missing := set(items) - found:
            what = f"2 lists of a user lack {len(missing)} of the {N_ITEMS} items added after cleanup ({some(missing)})"
            raise CheckFailed(f"{what}: earlier reactions still count.", user=user)
        if before := set(shown[user]) & set(items):
            avoiding.append(not before & set(lists[0]))
    if avoiding and all(avoiding):
        what = f"The first lists of {len(avoiding)} users after cleanup leave out every item they were shown before it"
        raise CheckFailed(f"{what}: it still counts as shown.", user=user)


CHECKS = (
    Check("cleanup-forgets-items", "After cleanup no old item comes back.", forgets_items),
    Check("cleanup-forgets-users", "After cleanup nothing counts as shown or disliked.", forgets_users),
    Check("cleanup-in-flight", "Events accepted just before cleanup have no effect after it.", in_flight),
)
