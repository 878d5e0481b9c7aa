"""Options, exit codes and folders that several commands share."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Annotated, Final

import typer

EXIT_BROKEN: Final = 1  # a limit or a check
EXIT_ERROR: Final = 2
EXIT_INTERRUPTED: Final = 130
RUNS: Final = Path("grader-runs")


def finite(value: float | None) -> float | None:
    """What bounds let through: infinity, and what is no number."""
    if value is not None and not isfinite(value):
        raise typer.BadParameter(f"{value} is not finite: give a number.")
    return value


RecsUrl = Annotated[str, typer.Option("--recs-url", help="serves /recs, /add_items, /cleanup, /healthcheck")]
InteractUrl = Annotated[str, typer.Option("--interact-url", help="serves /interact, /healthcheck")]
WorldSpec = Annotated[
    str, typer.Option("--world", help="synthetic, movielens:FOLDER, tiny, or synthetic:items=1000,users=300")
]
Seed = Annotated[int, typer.Option(min=0, help="the same seed gives the same world, visits and resamples")]
Users = Annotated[int | None, typer.Option(min=1, help="how many of the world's users come; default: all")]
Lists = Annotated[
    float | None,
    typer.Option(
        "--lists",
        min=3,
        callback=finite,
        help="lists per user, on average; up to 3.1 everybody comes once; default: 3.1, of few users 5",
    ),
]
Rate = Annotated[float, typer.Option(min=0.1, callback=finite, help="requests per second at --speed 1")]
Concurrency = Annotated[int, typer.Option(min=1, help="users at once")]
Speed = Annotated[float, typer.Option(min=0.01, callback=finite, help="how many times faster users come and think")]
Timeout = Annotated[float, typer.Option(min=0.1, callback=finite, help="seconds to wait for an answer")]
ProfileSpec = Annotated[
    str,
    typer.Option("--profile", help="which readings count: standard, published, hit-rate, users, or precision=hits,…"),
]
Salt = Annotated[
    int | None, typer.Option(min=0, help="repeats the ids of an earlier run; default: fresh ids in every run")
]
Explain = Annotated[
    bool | None, typer.Option("--explain/--no-explain", help="ask for the source of items; default: if offered")
]
Ladder = Annotated[bool, typer.Option("--ladder/--no-ladder", help="compute the reference ladder before the run")]
OwnRungs = Annotated[
    list[str] | None, typer.Option("--rung", help="one more for the ladder, of your own: module:Class; may be repeated")
]
LagOption = Annotated[bool, typer.Option("--lag/--no-lag", help="measure the feedback lag after the run")]
Output = Annotated[Path | None, typer.Option(help="folder for run.json, requests.parquet and report.html")]
FailUnder = Annotated[str, typer.Option(help="exit with 1 unless it holds: points=38,p95_ms=50")]
