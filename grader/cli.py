"""The command line of the grader."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from grader.assessment import Assessment, assess
from grader.errors import GraderError
from grader.grade import GradeConfig, grade, set_stage
from grader.limits import broken, parse_limits
from grader.run import Run, load, save
from grader.scoring import profile_of
from grader.screen import ProgressScreen
from grader.service import Address
from grader.terminal import show

EXIT_BROKEN: Final = 1
EXIT_ERROR: Final = 2
EXIT_INTERRUPTED: Final = 130
DEFAULTS: Final = GradeConfig()
RUNS: Final = Path("grader-runs")

app = typer.Typer(
    help="Score any running recommender of the contract, and know why it scored so.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

RecsUrl = Annotated[str, typer.Option("--recs-url", help="serves /recs, /add_items, /cleanup, /healthcheck")]
InteractUrl = Annotated[str, typer.Option("--interact-url", help="serves /interact, /healthcheck")]
WorldSpec = Annotated[
    str, typer.Option("--world", help="synthetic, movielens:FOLDER, tiny, or synthetic:items=1000,users=300")
]
Seed = Annotated[int, typer.Option(help="the same seed gives the same world, visits and resamples")]
Users = Annotated[int | None, typer.Option(min=1, help="how many of the world's users come; default: all")]
Lists = Annotated[
    float | None, typer.Option("--lists", min=1, help="lists per user, on average; default: 3.1, of few users 5")
]
Rate = Annotated[float, typer.Option(min=0.1, help="requests per second at --speed 1")]
Concurrency = Annotated[int, typer.Option(min=1, help="users at once")]
Speed = Annotated[float, typer.Option(min=0.01, help="how many times faster users come and think")]
Timeout = Annotated[float, typer.Option(min=0.1, help="seconds to wait for an answer")]
ProfileSpec = Annotated[
    str,
    typer.Option("--profile", help="which readings count: standard, published, hit-rate, users, or precision=hits,…"),
]
Salt = Annotated[int | None, typer.Option(help="repeats the ids of an earlier run; default: fresh ids in every run")]
Explain = Annotated[
    bool | None, typer.Option("--explain/--no-explain", help="ask for the source of items; default: if offered")
]
Ladder = Annotated[bool, typer.Option("--ladder/--no-ladder", help="compute the reference ladder before the run")]
LagOption = Annotated[bool, typer.Option("--lag/--no-lag", help="measure the feedback lag after the run")]
Output = Annotated[Path | None, typer.Option(help="folder for run.json, requests.parquet and report.html")]
FailUnder = Annotated[str, typer.Option(help="exit with 1 unless it holds: points=38,p95_ms=50")]


@app.command("run")
def run_command(
    recs_url: RecsUrl = Address.recs_url,
    interact_url: InteractUrl = Address.interact_url,
    world: WorldSpec = DEFAULTS.world,
    seed: Seed = DEFAULTS.seed,
    users: Users = None,
    lists: Lists = None,
    rate: Rate = DEFAULTS.requests_per_s,
    concurrency: Concurrency = DEFAULTS.concurrency,
    speed: Speed = DEFAULTS.speed,
    timeout: Timeout = DEFAULTS.timeout_s,
    profile: ProfileSpec = "standard",
    salt: Salt = None,
    explain: Explain = None,
    ladder: Ladder = True,
    lag: LagOption = True,
    output: Output = None,
    fail_under: FailUnder = "",
) -> None:
    """Grade a running service: the external grader's protocol, about 18 minutes at --speed 1.

    Calls /cleanup: [bold]everything that the service has learned is gone[/]. Ctrl-C ends the run early and reports on
    what there is.
    """
    profile_of(profile)
    limits = parse_limits(fail_under)
    address = Address(recs_url, interact_url)
    config = GradeConfig(
        world=world,
        seed=seed,
        users=users,
        lists_per_user=lists,
        requests_per_s=rate,
        concurrency=concurrency,
        speed=speed,
        timeout_s=timeout,
        explain=explain,
        ladder=ladder,
        lag=lag,
        salt=salt,
    )
    with ProgressScreen(Console(stderr=True)) as screen:
        run = grade(set_stage(config, screen), address, screen)
    folder = output or RUNS / f"{datetime.now():%Y%m%d-%H%M%S}-{run.facts['world']['name'].replace(':', '-')}"
    assessment = finish_run(run, folder, profile)
    if run.facts["ended_early"]:
        raise typer.Exit(EXIT_INTERRUPTED)
    require(assessment, limits)


@app.command("report")
def report_command(
    folder: Annotated[Path, typer.Argument(help="a saved run")],
    profile: ProfileSpec = "standard",
    fail_under: FailUnder = "",
) -> None:
    """Assess a saved run again, for example by another --profile, and write its report anew."""
    limits = parse_limits(fail_under)
    require(finish_run(load(folder), folder, profile), limits)


def finish_run(run: Run, folder: Path, profile: str) -> Assessment:
    """Save first: a run is worth more than its report."""
    save(run, folder)
    assessment = assess(run, profile)
    console = Console()
    show(console, run, assessment)
    console.print(f"Saved in [bold]{folder}[/]: run.json, requests.parquet, catalogue.parquet")
    return assessment


def require(assessment: Assessment, limits: dict[str, float]) -> None:
    sentences = broken(assessment, limits)
    for sentence in sentences:
        Console(stderr=True).print(f"[red]limit broken:[/] {sentence}", highlight=False)
    if sentences:
        raise typer.Exit(EXIT_BROKEN)


def main() -> None:
    try:
        app()
    except GraderError as error:
        Console(stderr=True).print(f"[red]error:[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(EXIT_ERROR)
