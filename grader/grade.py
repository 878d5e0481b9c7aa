"""One run from the settings to rows: world, plan, ladder, session, lag."""

from __future__ import annotations

import asyncio
import platform
import secrets
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final, Protocol

import psutil
import uvloop

from grader.ladder.rungs import climb
from grader.lag import measure_lag
from grader.metrics.lists import judge
from grader.run import Run, finish
from grader.service import Address, Service, connect
from grader.session import Names, Session, SessionConfig, add_catalogue
from grader.traffic import LISTS_PER_VISIT, Plan, TrafficConfig, plan_traffic
from grader.worlds.spec import open_world
from grader.worlds.world import World

LISTS_OF_FEW_USERS: Final = 5.0  # of real data sets: their hundreds of users would be gone before much is learned
FEW_USERS: Final = 2_000
LIBRARIES: Final = ("numpy", "scipy", "polars", "aiohttp")


@dataclass(frozen=True)
class GradeConfig:
    """Everything that decides a run but the service. ``None`` means: chosen by what is found.

    lists_per_user: 3.1, or 5 in worlds of fewer than 2,000 users. explain: ask for sources if they are offered.
    salt: fresh ids in every run.
    """

    world: str = "synthetic"
    seed: int = 0
    users: int | None = None
    lists_per_user: float | None = None
    requests_per_s: float = 88.0
    concurrency: int = 50
    speed: float = 1.0
    timeout_s: float = 10.0
    k: int = 10
    explain: bool | None = None
    ladder: bool = True
    lag: bool = True
    salt: int | None = None
    rungs: tuple[str, ...] = ()  # of somebody's own, beside those of the ladder: module:Class


class Screen(Protocol):
    """Told how a run comes along."""

    def begin(self, what: str, total: int | None = None) -> None: ...
    def advance(self, steps: int) -> None: ...


@dataclass(frozen=True)
class Stage:
    """A world and a plan that any number of services can be put through."""

    config: GradeConfig
    world: World
    plan: Plan
    ladder: list[dict[str, object]]


def usual_lists(world: World) -> float:
    """Lists per user unless somebody asks for another number."""
    return LISTS_OF_FEW_USERS if world.n_users < FEW_USERS else LISTS_PER_VISIT


def set_stage(config: GradeConfig, screen: Screen) -> Stage:
    screen.begin(f"building the world {config.world}")
    world = open_world(config.world, config.seed, config.users)
    lists = config.lists_per_user or usual_lists(world)
    traffic = TrafficConfig(config.requests_per_s, config.concurrency, lists_per_user=lists)
    plan = plan_traffic(world.n_users, traffic, config.seed)
    return Stage(replace(config, lists_per_user=lists), world, plan, _climb(config, world, plan, screen))


def _climb(config: GradeConfig, world: World, plan: Plan, screen: Screen) -> list[dict[str, object]]:
    if not config.ladder:
        return []

    def stepped(name: str, steps: int) -> None:
        if not steps:
            screen.begin(f"reference ladder: {name}", len(plan.looks))
        screen.advance(steps)

    return list(climb(world, plan, config.k, config.seed, stepped, config.rungs))


def require_health(address: Address, timeout_s: float) -> None:
    """GraderError if nothing that could be graded answers; before a minute is spent on preparing its run."""

    async def ask() -> None:
        async with connect(address, timeout_s) as service:
            await service.require_health()

    asyncio.run(ask())


def grade(stage: Stage, address: Address, screen: Screen) -> Run:
    """The service's run. After Ctrl-C what there is until then, with ``ended_early`` in its facts."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(put_through(stage, address, screen))


async def put_through(stage: Stage, address: Address, screen: Screen) -> Run:
    config, world = stage.config, stage.world
    salt = secrets.randbits(32) if config.salt is None else config.salt
    names = Names.of(world, config.seed, salt)
    began = datetime.now(UTC)
    async with connect(address, config.timeout_s) as service:
        screen.begin("healthchecks, /cleanup, /add_items")
        await service.require_health()
        await service.cleanup()
        settings = SessionConfig(config.speed, config.concurrency, config.k)
        added_s = await add_catalogue(service, world, names, settings.batch)
        explain = config.explain
        if explain is None:
            explain = await service.offers_sources(f"{names.user_ids[0]}-sources")
        session = Session(service, world, stage.plan, names, replace(settings, explain=explain))
        memory = psutil.Process().memory_info().rss
        began_s = time.perf_counter()
        finished = await _until_cancelled(session, screen)
        facts: dict[str, Any] = {
            "address": asdict(address),
            "settings": asdict(replace(config, salt=salt, explain=explain)),
            "world": world_facts(world),
            "versions": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
            "began": began.isoformat(timespec="seconds"),
            "took_s": time.perf_counter() - began_s,
            "memory_growth_bytes": psutil.Process().memory_info().rss - memory,
            "add_items_s": added_s,
            "ended_early": not finished,
            "ladder": stage.ladder,
            "lag": await _lag(service, stage, session, names, screen) if finished and config.lag else None,
        }
    return finish(facts, world, stage.plan, session.record)


async def _until_cancelled(session: Session, screen: Screen) -> bool:
    screen.begin("visits", len(session.plan.user))
    try:
        await session.run(lambda: screen.advance(1))
    except asyncio.CancelledError:
        return False
    return True


async def _lag(service: Service, stage: Stage, session: Session, names: Names, screen: Screen) -> dict[str, Any] | None:
    """None if Ctrl-C comes meanwhile: the run itself is complete."""
    screen.begin("feedback lag")
    asked = session.record.asked(stage.plan)
    lists = judge(stage.world, stage.plan.step_user[asked], session.record.items[asked])
    try:
        return asdict(await measure_lag(service, names, lists, stage.config.seed))
    except asyncio.CancelledError:
        return None


def world_facts(world: World) -> dict[str, Any]:
    return {
        "name": world.name,
        "items": world.n_items,
        "users": world.n_users,
        "opinions": len(world.liked),
        "likes": int(world.liked.sum()),
        "parameters": dict(world.parameters),
    }
