"""``python -m experiments``: recommenders against each other, over seeds and worlds, with intervals."""

from __future__ import annotations

import math
import os
import shlex
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape

# Before numpy comes: every seed has a process of its own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from experiments.board_page import markdown, page, tables
from experiments.ideal import KNOWS, NEEDS_TASTES
from experiments.leaderboard import BUILT_IN, FIRST, Board, play, playable
from experiments.study import Study, run_study, show
from experiments.system import REAL, Clock
from experiments.variants import CHANGES, recipe_of
from grader.errors import GraderError
from grader.ladder.rungs import ALL_RUNGS, RUNGS, own_rung
from grader.options import EXIT_ERROR
from grader.worlds.spec import SYNTHETIC, read_spec
from recsys.recommenders.recipe import PROFILES
from recsys.recommenders.registry import BUILT_IN as RECOMMENDERS

DEFAULT_WORLDS: Final = ("synthetic:items=1000,users=300", "synthetic:items=8000,users=6000")


class TrainingTime(StrEnum):
    measured = "measured"
    none = "0"


RUNG_NAMES: Final = ", ".join(rung.name for rung in RUNGS)


def finite(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no finite number")
    return value


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    world: Annotated[list[str] | None, typer.Option(help="as for the grader; may be repeated")] = None,
    recommender: Annotated[
        list[str] | None,
        typer.Option(
            help=f"as RECOMMENDER has it ({', '.join(RECOMMENDERS)}, module:Class; als:factors=32,popular), "
            f"or a profile ({', '.join(PROFILES)}); in the same word, separated by blanks, other settings: "
            f"{', '.join(f'{name}=' for name in CHANGES)}. May be repeated, the first is what the others are compared "
            "with"
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="how many: worlds, visits and rankings all differ")] = 5,
    first_seed: Annotated[int, typer.Option(min=0)] = 100,
    lists: Annotated[
        float | None,
        typer.Option(min=3, callback=finite, help="lists per user; as the grader takes it if not given"),
    ] = None,
    refresh_s: Annotated[float, typer.Option(min=0.1, help="seconds between two refreshes")] = REAL.refresh_s,
    train_s: Annotated[float, typer.Option(min=0.1, help="seconds between two trainings of a model")] = REAL.train_s,
    training_time: Annotated[
        TrainingTime, typer.Option(help="a model is in force after the seconds that its training took, or at once")
    ] = TrainingTime.none,
    processes: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
    rung: Annotated[
        list[str] | None,
        typer.Option(help=f"of the grader's ladder ({RUNG_NAMES}), {ALL_RUNGS}, or module:Class; may be repeated"),
    ] = None,
    ideal: Annotated[
        list[str] | None,
        typer.Option(
            help="a learner that knows how popularity is distributed, and by choice what tastes are about "
            f"({', '.join(KNOWS)}; {' and '.join(NEEDS_TASTES)} of generated worlds only); may be repeated"
        ),
    ] = None,
) -> None:
    """Play the grader's visits against recommenders in this process, in virtual time: minutes instead of hours."""
    if context.invoked_subcommand is not None:
        sources = {name: context.get_parameter_source(name) for name in context.params}
        if given := [name for name, source in sources.items() if source and source.name == "COMMANDLINE"]:
            named = f"--{given[0].replace('_', '-')}"
            raise typer.BadParameter(f"{named} comes after {context.invoked_subcommand}, if it has such an option")
        return
    console = Console(emoji=False)
    study = Study(
        tuple(world or ["synthetic:items=8000,users=6000"]),
        tuple(recommender or ["balanced", "popular", "random"]),
        tuple(range(first_seed, first_seed + seeds)),
        lists,
        Clock(refresh_s, train_s, training_takes_time=training_time is TrainingTime.measured),
        tuple(rung or ()),
        tuple(ideal or ()),
    )
    require_names(study)
    show(console, study, run_study(console, study, processes))


@app.command()
def leaderboard(
    world: Annotated[list[str] | None, typer.Option(help="as for the grader; may be repeated")] = None,
    recommender: Annotated[
        list[str] | None, typer.Option(help="one more beside the built-in ones, for example my_module:Mine")
    ] = None,
    built_in: Annotated[bool, typer.Option(help="play the built-in ones too")] = True,
    seeds: Annotated[int, typer.Option(min=1)] = 5,
    first_seed: Annotated[int, typer.Option(min=0)] = 100,
    lists: Annotated[float | None, typer.Option(min=3, callback=finite, help="lists per user")] = None,
    training_time: Annotated[
        TrainingTime, typer.Option(help="a model is in force after the seconds that its training took, or at once")
    ] = TrainingTime.measured,
    processes: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
    output: Annotated[Path, typer.Option(help="folder for leaderboard.md, leaderboard.html and the plays")] = Path(
        "leaderboard"
    ),
) -> None:
    """Play all built-in recommenders, and your own, in virtual time. Goes on where it was interrupted."""
    console = Console(emoji=False)
    recommenders, refused = playable([*(BUILT_IN if built_in else [FIRST]), *(recommender or ())])
    for sentence in refused:
        console.print(f"[yellow]{escape(sentence)}[/]", highlight=False)
    board = Board(
        tuple(world or DEFAULT_WORLDS),
        tuple(dict.fromkeys(recommenders)),
        tuple(range(first_seed, first_seed + seeds)),
        lists,
        Clock(training_takes_time=training_time is TrainingTime.measured),
        output,
    )
    for spec in board.worlds:
        read_spec(spec)
    found = tables(board, play(console, board, processes))
    command = shlex.join(["python", "-m", "experiments", *sys.argv[1:]])
    text = markdown(board, found, command)
    (output / "leaderboard.md").write_text(text)
    (output / "leaderboard.html").write_text(page(board, found, command), encoding="utf-8")
    console.print(text, soft_wrap=True, markup=False, highlight=False)
    console.print(f"written to {output / 'leaderboard.md'} and {output / 'leaderboard.html'}")


def require_names(study: Study) -> None:
    """GraderError for what there is not, before anything is played."""
    for spec in study.worlds:
        read_spec(spec)
    for name in study.rungs:
        if ":" in name:
            own_rung(name)
        elif name not in (*(rung.name for rung in RUNGS), ALL_RUNGS):
            raise GraderError(f"there is no rung {name!r}: choose from {RUNG_NAMES}, {ALL_RUNGS}, or module:Class")
    for name in study.ideals:
        if name not in KNOWS:
            raise GraderError(f"an ideal learner cannot know {name!r}: choose from {', '.join(KNOWS)}")
        real = [spec for spec in study.worlds if spec.partition(":")[0] not in SYNTHETIC]
        if real and name in NEEDS_TASTES:
            raise GraderError(f"{real[0]}: only generated worlds know what tastes are about, as --ideal {name} has to")
    for name in study.variants:
        recipe_of(name)


def run() -> None:
    try:
        app()
    except GraderError as error:
        Console(stderr=True, emoji=False).print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(EXIT_ERROR)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # else the processes that play would go on alone
    run()
