"""What a reaction does: to whom, how soon, and to the next lists."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import numpy as np

from grader.doctor.outcome import Check, CheckFailed
from grader.doctor.service import Service, crowd, path, some

ROUNDS = 4  # looks at the service until the patience is over
FANS = 40  # per round
AFTER = 2  # lists in which the effect is looked for
ALPHA = 0.001 / ROUNDS


async def interact(service: Service) -> str:
    items = await service.start_over(20)
    body = {"user_id": service.user(), "item_ids": items[:1], "actions": ["like"]}
    several = {**body, "item_ids": items[1:5], "actions": ["like", "dislike", "dislike", "like"]}
    for sent in (body, several, {**body, "timestamp": time.time()}, {**several, "timestamp": int(time.time())}):
        call = await service.post_interact(sent)
        if call.status != 200:
            raise CheckFailed(f"{path(call)} should come back with 200, but: {call.came_back}", calls=[call])
    return "one item, several, with and without timestamp"


async def unknown_likes(service: Service) -> str:
    known = set(await service.start_over(20))
    users, strangers = service.users(10), service.items(3)
    for user in users:
        actions = ["like", "like", "dislike"]
        call = await service.post_interact({"user_id": user, "item_ids": strangers, "actions": actions}, user=user)
        if call.status != 200 and not 400 <= call.status < 500:
            raise CheckFailed(
                f"Reactions to items that were never added came back with {call.came_back}.", calls=[call]
            )
    await service.settle()
    for user in (*users, *service.users(10)):
        found = await service.recs(user)
        if unknown := set(found) - known:
            raise CheckFailed(f"Liked but never added, and recommended all the same: {some(unknown)}.", user=user)
        if len(found) < 10:
            raise CheckFailed(f"After reactions to unknown items a list holds {len(found)} items.", user=user)
    return "accepted or refused, never recommended"


async def dislikes_hold(service: Service) -> str:
    items = await service.start_over(100)
    disliked = items[::2]
    users = service.users(6)
    for user in users:
        await service.react(user, dict.fromkeys(disliked, "dislike"))
    await service.eventually(partial(_never_shows, service, user, disliked) for user in users)
    return "5 lists without the 50 of 100 items that the user dislikes"


async def _never_shows(service: Service, user: str, disliked: Sequence[str]) -> None:
    for found in await service.lists(user, 5):
        if wrong := set(found) & set(disliked):
            seen = f"{len(wrong)} items are shown {service.limits.patience_s:g} s after the user disliked them"
            raise CheckFailed(f"{seen} ({some(wrong)}), although 50 others exist.", user=user)


async def reactions_per_user(service: Service) -> str:
    items = await service.start_over(60)
    critic, others = service.user(), service.users(3)
    shown = await service.recs(critic)
    await service.react(critic, {item: "dislike" for item in items if item not in shown})
    await service.settle()
    for user in others:
        lists = await service.lists(user, 6)
        if missing := set(items) - {item for found in lists for item in found}:
            seen = f"6 lists of another user lack {len(missing)} of 60 items that a first user was shown or dislikes"
            raise CheckFailed(f"{seen} ({some(missing)}).", calls=service.calls_of(critic, user))
    return "other users still get everything"


async def reactions_change_lists(service: Service) -> str:
    """Users like one of two genres. Do they get more of it than users who said nothing?

    Everybody is shown one list. The control users get AFTER more before anyone reacts; then the fans react, and theirs
    follow, one group of FANS a round until the patience is over. A service that does not learn treats both alike.
    """
    liked = await _two_genres(service)
    control, *groups = (service.users(FANS) for _ in range(ROUNDS + 1))
    fans = [user for group in groups for user in group]
    await crowd(service.recs, control)
    before = dict(zip(fans, await crowd(service.recs, fans), strict=True))
    expected = await _counts(service, control, liked)

    async def react(user: str) -> None:
        await service.react(user, {item: "like" if item in liked else "dislike" for item in before[user]})

    await crowd(react, fans)
    return await service.eventually(partial(_more_of_it, service, group, liked, expected) for group in groups)


async def _two_genres(service: Service) -> set[str]:
    """A catalogue of two genres, item by item in turn; the items of one of them."""
    await service.cleanup()
    items = service.items(400)
    genres = service.rng.sample(["Drama", "Comedy"], 2)
    await service.add_items(items, [[genres[n % 2]] for n in range(len(items))])
    return set(items[::2])


async def _counts(service: Service, users: Sequence[str], liked: set[str]) -> list[int]:
    """Liked items in the next AFTER lists of each user."""
    found = await crowd(lambda user: service.lists(user, AFTER), users)
    return [sum(item in liked for shown in lists for item in shown) for lists in found]


async def _more_of_it(service: Service, fans: Sequence[str], liked: set[str], expected: Sequence[int]) -> str:
    counts = await _counts(service, fans, liked)
    with_, without = (sum(found) / (10 * AFTER * FANS) for found in (counts, expected))
    p = permutation_p(counts, expected)
    shares = f"a genre is {with_:.0%} of the lists of {FANS} users after they liked it, {without:.0%} of control users'"
    if p >= ALPHA:
        seen = f"Reactions make no difference: {shares} (p = {p:.2g}); below, one of these users"
        raise CheckFailed(f"{seen}.", user=fans[0])
    return shares


def permutation_p(high: Sequence[int], low: Sequence[int]) -> float:
    """Exact one-sided permutation test: how often a random split of all counts gives ``high`` a sum as large.

    Counts are small non-negative integers. ``ways[j, s]``: the subsets of j counts that add up to s.
    """
    ways = np.zeros((len(high) + 1, sum(high) + sum(low) + 1))
    ways[0, 0] = 1
    for count in (*high, *low):
        ways[1:, count:] += ways[:-1, : ways.shape[1] - count].copy()
    return float(ways[-1, sum(high) :].sum() / ways[-1].sum())


CHECKS = (
    Check("interact", "interact comes back with 200, for one item or several, timestamp or not.", interact),
    Check("unknown-likes", "Reactions to unknown items do no harm.", unknown_likes),
    Check("dislikes-hold", "What a user disliked is not shown, be it never shown before.", dislikes_hold),
    Check("reactions-per-user", "One user's history takes nothing from others.", reactions_per_user),
    Check("reactions-change-lists", "Reactions change the next lists.", reactions_change_lists),
)
