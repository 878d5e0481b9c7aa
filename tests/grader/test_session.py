"""What the grader sends to a service, as the service sees it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp import web

from grader.run import load, save
from grader.service import connect, read_list
from grader.session import Names, add_catalogue
from tests.grader.services import InOrder, Listed, Reacted, SameForAll, lists_of, reactions_of, serving
from tests.grader.stages import graded, names_of, staged
from tests.grader.worlds import opinions_in


def test_ids_are_fresh_for_every_salt_and_the_order_is_not() -> None:
    world = staged().world
    one, again, other = (Names.of(world, 0, salt) for salt in (1, 1, 2))
    assert one == again
    assert not {*one.item_ids, *one.user_ids} & {*other.item_ids, *other.user_ids}
    assert one.order == other.order
    assert one.order != Names.of(world, 1, 1).order
    assert len({*one.item_ids, *one.user_ids}) == world.n_items + world.n_users
    assert [one.position[item] for item in one.item_ids] == list(range(world.n_items))


async def test_every_run_has_ids_of_its_own_unless_they_are_to_be_repeated() -> None:
    """Or a service could remember the run before."""
    seen = []
    for salt in (None, None, 5, 5):
        service = InOrder()
        run = await graded(service, staged(salt=salt))
        assert salt in (None, run.facts["settings"]["salt"])
        seen.append({*service.items, *service.shown})
    one, other, repeated, again = seen
    assert not one & other
    assert repeated == again


@pytest.mark.parametrize("batch", [7, 300, 1_000])
async def test_the_catalogue_is_added_in_batches_once_and_with_its_genres(batch: int) -> None:
    stage, service = staged(), InOrder()
    names, genres = names_of(stage), stage.world.genre_lists()
    async with serving(service) as address, connect(address, 10) as client:
        taken_s = await add_catalogue(client, stage.world, names, batch)
    sizes = [len(body["item_ids"]) for body in service.batches]
    assert len(taken_s) == len(sizes) == -(-300 // batch)
    assert all(size == batch for size in sizes[:-1])
    assert service.items == [names.item_ids[n] for n in names.order]
    assert Counter(service.items) == Counter(names.item_ids)
    for body in service.batches:
        assert body["genres"] == [genres[names.position[item]] for item in body["item_ids"]]


async def test_a_run_prepares_the_service_first() -> None:
    service = InOrder()
    await graded(service, staged(explain=False))
    assert service.paths[:4] == ["GET /healthcheck", "GET /healthcheck", "POST /cleanup", "POST /add_items"]
    others = {path.split()[1].split("/")[1] for path in service.paths[4:]}
    assert others == {"recs", "interact"}


async def test_cleanup_is_asked_for_by_get_where_post_is_refused() -> None:
    class OnlyGet(InOrder):
        async def cleanup(self, request: web.Request) -> web.StreamResponse:
            if request.method != "GET":
                raise web.HTTPMethodNotAllowed(request.method, ["GET"])
            return await super().cleanup(request)

    service = OnlyGet()
    async with serving(service) as address, connect(address, 10) as client:
        await client.cleanup()
    assert service.paths == ["POST /cleanup", "GET /cleanup"]


@pytest.mark.parametrize("service", [InOrder(), SameForAll()], ids=["new items", "the same items again"])
async def test_users_do_what_was_planned_and_react_to_the_last_list_once_to_each_item(service: InOrder) -> None:
    """The plan played again, with the lists that the service gave."""
    stage = staged(explain=False)
    run = await graded(service, stage)
    names, plan = names_of(stage), stage.plan
    events: defaultdict[str, deque[Listed | Reacted]] = defaultdict(deque)
    for event in service.events:
        events[event.user].append(event)
    reacted: defaultdict[int, set[int]] = defaultdict(set)
    for visit, user in enumerate(plan.user.tolist()):
        opinions, sent = opinions_in(stage.world)[user], events[names.user_ids[user]]
        last: list[int] = []
        for look in plan.looks[plan.first[visit] : plan.first[visit + 1]].tolist():
            if look:
                event = sent.popleft()
                assert isinstance(event, Listed)
                last = [names.position[item] for item in event.answer]
            elif told := [item for item in last if item in opinions and item not in reacted[user]]:
                actions = ["like" if opinions[item] else "dislike" for item in told]
                ids = [names.item_ids[item] for item in told]
                assert sent.popleft() == Reacted(names.user_ids[user], ids, actions)
                reacted[user].update(told)
    assert not any(events.values()), "nothing else was sent"
    assert run.recs.height == len(lists_of(service.events))
    assert run.interacts.height == len(reactions_of(service.events)) > 0
    assert run.interacts["likes"].sum() == sum(r.actions.count("like") for r in reactions_of(service.events))
    assert run.interacts["dislikes"].sum() == sum(r.actions.count("dislike") for r in reactions_of(service.events))


@dataclass
class Timed(InOrder):
    timestamps: list[float] = field(default_factory=list)

    async def react(self, request: web.Request, reacted: Reacted) -> web.StreamResponse:
        self.timestamps.append((await request.json())["timestamp"])
        return await super().react(request, reacted)


async def test_reactions_are_sent_with_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(time=itertools.count(1_700_000_000.5).__next__, perf_counter=time.perf_counter)
    monkeypatch.setattr("grader.service.time", clock)
    service = Timed()
    run = await graded(service, staged(explain=False))
    assert sorted(service.timestamps) == [1_700_000_000.5 + n for n in range(run.interacts.height)]
    assert set(run.interacts["status"].to_list()) == {200}


async def test_lists_of_a_user_are_judged_in_the_order_in_which_he_was_shown_them() -> None:
    service, stage = InOrder(), staged(lists_per_user=9.0)
    run = await graded(service, stage)
    sent: defaultdict[int, list[float]] = defaultdict(list)
    for row in run.requests.iter_rows(named=True):
        sent[row["user"]].append(row["sent_s"])
    assert all(times == sorted(times) for times in sent.values())


@dataclass
class Crowded(InOrder):
    """Holds answers back until as many users wait as may, and more would have come if they could."""

    places: int = 0
    waiting: int = 0
    most: int = 0
    full: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request, user: str, found: list[str]) -> web.StreamResponse:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        if self.waiting == self.places:
            for _ in range(1_000):
                await asyncio.sleep(0)
            self.full.set()
        await self.full.wait()
        self.waiting -= 1
        return await super().answer(request, user, found)


@pytest.mark.parametrize("places", [1, 3, 20])
async def test_no_more_users_than_places_are_there_at_once(places: int) -> None:
    service = Crowded(places=places)
    await graded(service, staged(concurrency=places, speed=1e6, explain=False))
    assert service.most == places, "arrivals do not wait for answers, as long as a place is free"


@dataclass
class Explaining(InOrder):
    async def answer(self, request: web.Request, user: str, found: list[str]) -> web.StreamResponse:
        labels = [f"source {place % 2}" for place in range(len(found))]
        explained = {"sources": labels} if request.query.get("explain") == "true" else {}
        return web.json_response({"item_ids": found, **explained})


@pytest.mark.parametrize(
    ("service", "explain", "asked", "given"),
    [
        (Explaining(), None, True, True),
        (Explaining(), False, False, False),
        (InOrder(), None, False, False),
        (InOrder(), True, True, False),
    ],
    ids=["offered", "not wanted", "not offered", "wanted but not offered"],
)
async def test_sources_are_asked_for_if_they_are_offered(
    service: InOrder, explain: bool | None, asked: bool, given: bool
) -> None:
    run = await graded(service, staged(explain=explain))
    paths = [path for path in service.paths if "/recs/" in path and "-sources" not in path]
    assert {"explain=true" in path for path in paths} == {asked}
    assert run.facts["settings"]["explain"] is asked
    labels = [f"source {place % 2}" for place in range(10)] if given else []
    assert all(row == labels for row in run.recs["sources"].to_list())


@dataclass
class HalfASurrogate(InOrder):
    async def answer(self, request: web.Request, user: str, found: list[str]) -> web.StreamResponse:
        return web.json_response({"item_ids": found, "sources": ["\ud800"] * len(found)})


async def test_what_json_may_hold_and_utf_8_may_not_is_saved_as_its_escape(tmp_path: Path) -> None:
    run = await graded(HalfASurrogate(), staged())
    save(run, tmp_path)
    assert load(tmp_path).recs["sources"].to_list() == [["\\ud800"] * 10] * run.recs.height


@pytest.mark.parametrize(("k", "queries"), [(10, {""}), (4, {"k=4"})])
async def test_k_is_sent_unless_it_is_the_default(k: int, queries: set[str]) -> None:
    service = InOrder()
    run = await graded(service, staged(k=k, explain=False))
    assert {path.partition("?")[2] for path in service.paths if "/recs/" in path} == queries
    assert run.lists.k == k
    assert run.recs["returned"].to_list() == [k] * run.recs.height


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"item_ids": ["a", "b"]}', (["a", "b"], [])),
        (b'{"item_ids": [1, 2.5, null, true]}', (["1", "2.5", "None", "True"], [])),
        (b'{"item_ids": ["a"], "sources": ["s"], "more": 1}', (["a"], ["s"])),
        (b'{"item_ids": ["a", "b"], "sources": ["s"]}', (["a", "b"], [])),
        (b'{"item_ids": []}', ([], [])),
        (
            b'{"item_ids": ["\\ud83d\\ude00", "\\ude00"], "sources": [1, "\\ud800!"]}',
            (["😀", "\\ude00"], ["1", "\\ud800!"]),
        ),
        (b'["a"]', "no item_ids"),
        (b'{"items": ["a"]}', "no item_ids"),
        (b'{"item_ids": "a"}', "no item_ids"),
        (b"null", "no item_ids"),
        (b"", "no JSON"),
        (b"<html>", "no JSON"),
        (b'{"item_ids": ["a"', "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "no JSON"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_any_body_is_read_or_said_to_be_no_list(body: bytes, expected: object) -> None:
    assert read_list(body) == expected
