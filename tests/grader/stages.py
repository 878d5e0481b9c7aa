"""Short runs in a small world, ids known beforehand."""

from __future__ import annotations

from dataclasses import replace

from grader.grade import GradeConfig, Stage, put_through, set_stage
from grader.run import Run
from grader.session import Names
from grader.traffic import LISTS_PER_VISIT
from tests.grader.services import InOrder, serving

SALT = 17
CONFIG = GradeConfig(
    world="tiny", users=40, lists_per_user=LISTS_PER_VISIT, speed=1_000, ladder=False, lag=False, salt=SALT
)


class Silence:
    """A screen that shows nothing."""

    def begin(self, what: str, total: int | None = None) -> None:
        pass

    def advance(self, steps: int) -> None:
        pass


def staged(**changes: object) -> Stage:
    return set_stage(replace(CONFIG, **changes), Silence())  # type: ignore[arg-type]


async def graded(service: InOrder, stage: Stage) -> Run:
    async with serving(service) as address:
        return await put_through(stage, address, Silence())


def names_of(stage: Stage) -> Names:
    return Names.of(stage.world, stage.config.seed, SALT)
