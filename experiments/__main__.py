"""``python -m experiments``: variants of the ranking against each other, over seeds and worlds, with intervals."""

from __future__ import annotations

import math
import os
import signal
import sys
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape

# Before numpy comes: every seed has a process of its own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from experiments.ideal import KNOWS, NEEDS_TASTES
from experiments.study import ALL_RUNGS, Study, ranking_of, run_study, show
from grader.errors import GraderError
from grader.ladder.rungs import RUNGS
from grader.options import EXIT_ERROR
from grader.worlds.spec import SYNTHETIC, read_spec
from recsys.ranking.profiles import COMPONENTS, PROFILES
from recsys.settings import Settings

# As in the running system.
REFRESH_S: Final = Settings.model_fields["refresh_interval_s"].default
LEARN_S: Final = Settings.model_fields["taste_interval_s"].default
RUNG_NAMES: Final = [rung.name for rung in RUNGS]


def finite(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no finite number")
    return value


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    world: Annotated[list[str] | None, typer.Option(help="as for the grader; may be repeated")] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            help=f"a profile ({', '.join(PROFILES)}), with -COMPONENT for each that it goes without "
            f"({', '.join(COMPONENTS)}) and +CONSTANT=NUMBER for what is to be other (explore.looks=0.2); "
            "may be repeated, the first is what the others are compared with"
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="how many: worlds, visits and rankings all differ")] = 5,
    first_seed: Annotated[int, typer.Option(min=0)] = 100,
    lists: Annotated[
        float | None,
        typer.Option(min=3, callback=finite, help="lists per user; as the grader takes it if not given"),
    ] = None,
    refresh_s: Annotated[float, typer.Option(min=0.1, help="seconds between two refreshes")] = REFRESH_S,
    learn_s: Annotated[float, typer.Option(min=0.1, help="seconds between two fits of the factor model")] = LEARN_S,
    processes: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
    rung: Annotated[
        list[str] | None,
        typer.Option(help=f"of the grader's ladder ({', '.join(RUNG_NAMES)}), or {ALL_RUNGS}; may be repeated"),
    ] = None,
    ideal: Annotated[
        list[str] | None,
        typer.Option(
            help="a learner that knows how popularity is distributed, and by choice what tastes are about "
            f"({', '.join(KNOWS)}; {' and '.join(NEEDS_TASTES)} of generated worlds only); may be repeated"
        ),
    ] = None,
) -> None:
    """Play the grader's visits against the ranking in this process, in virtual time: minutes instead of hours."""
    console = Console(emoji=False)
    study = Study(
        tuple(world or ["synthetic:items=8000,users=6000"]),
        tuple(variant or ["balanced", "popular", "random"]),
        tuple(range(first_seed, first_seed + seeds)),
        lists,
        refresh_s,
        learn_s,
        tuple(rung or ()),
        tuple(ideal or ()),
    )
    require_names(study)
    show(console, study, run_study(console, study, processes))


def require_names(study: Study) -> None:
    """GraderError for what there is not, before anything is played."""
    for spec in study.worlds:
        read_spec(spec)
    for name in study.rungs:
        if name not in (*RUNG_NAMES, ALL_RUNGS):
            raise GraderError(f"there is no rung {name!r}: choose from {', '.join(RUNG_NAMES)}, or {ALL_RUNGS}")
    for name in study.ideals:
        if name not in KNOWS:
            raise GraderError(f"an ideal learner cannot know {name!r}: choose from {', '.join(KNOWS)}")
        real = [spec for spec in study.worlds if spec.partition(":")[0] not in SYNTHETIC]
        if real and name in NEEDS_TASTES:
            raise GraderError(f"{real[0]}: only generated worlds know what tastes are about, as --ideal {name} has to")
    for name in study.variants:
        ranking_of(name)


def run() -> None:
    try:
        app()
    except GraderError as error:
        Console(stderr=True, emoji=False).print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(EXIT_ERROR)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # else the processes that play would go on alone
    run()
