"""The command line of the grader."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape

from grader.assessment import Assessment, assess, figures
from grader.compare_command import compare_command
from grader.doctor.command import doctor
from grader.errors import GraderError
from grader.grade import GradeConfig, grade, require_health, set_stage
from grader.honesty_command import honesty
from grader.ladder.rungs import own_rung
from grader.limits import broken, parse_limits
from grader.options import (
    EXIT_BROKEN,
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    RUNS,
    Concurrency,
    Explain,
    FailUnder,
    InteractUrl,
    Ladder,
    LagOption,
    Lists,
    Output,
    OwnRungs,
    ProfileSpec,
    Rate,
    RecsUrl,
    Salt,
    Seed,
    Speed,
    Timeout,
    Users,
    WorldSpec,
)
from grader.run import Run, load, prepare_folder, save, write_json
from grader.scoring import profile_of
from grader.screen import ProgressScreen
from grader.service import Address
from grader.terminal import show
from grader.worlds.spec import read_spec
from grader.worlds_command import world

REPORT_FILE: Final = "report.html"
DEFAULTS: Final = GradeConfig()

app = typer.Typer(
    help="Score any running recommender of the contract, and know why it scored so.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.command("run")
def run_command(
    recs_url: RecsUrl = Address.recs_url,
    interact_url: InteractUrl = Address.interact_url,
    world_spec: WorldSpec = DEFAULTS.world,
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
    rung: OwnRungs = None,
    lag: LagOption = True,
    output: Output = None,
    fail_under: FailUnder = "",
) -> None:
    """Grade a running service: the external grader's protocol, about 18 minutes at --speed 1.

    Calls /cleanup: [bold]everything that the service has learned is gone[/]. Ctrl-C ends the run early and reports on
    what there is.
    """
    profile_of(profile)
    read_spec(world_spec, users)
    limits = parse_limits(fail_under)
    address = Address(recs_url, interact_url)
    config = GradeConfig(
        world=world_spec,
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
        rungs=tuple(rung or ()),
    )
    for name in config.rungs:
        own_rung(name)
    require_health(address, timeout)
    prepare_folder(output or RUNS)
    with ProgressScreen(Console(stderr=True, emoji=False)) as screen:
        run = grade(set_stage(config, screen), address, screen)
    folder = output or RUNS / f"{datetime.now():%Y%m%d-%H%M%S}-{run.facts['world']['name'].replace(':', '-')}"
    if not run.recs.height:
        Console(stderr=True, emoji=False).print("Ended before the first list: there is nothing to save or to report.")
        raise typer.Exit(EXIT_INTERRUPTED)
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
    run = load(folder)
    prepare_folder(folder)
    require(tell(run, folder, profile), limits)


app.command("doctor")(doctor)
app.command("compare")(compare_command)
app.command("world")(world)
app.command("honesty")(honesty)


def finish_run(run: Run, folder: Path, profile: str) -> Assessment:
    """Save first: a run is worth more than its report. What cannot be saved is shown at least."""
    try:
        save(run, folder)
    except GraderError:
        show(Console(emoji=False), run, assess(run, profile))
        raise
    return tell(run, folder, profile)


def tell(run: Run, folder: Path, profile: str) -> Assessment:
    """What a saved run is worth: on the terminal, in its JSON and as a page."""
    from grader.report.page import write_report  # here, because drawing takes a second to import

    assessment = assess(run, profile)
    console = Console(emoji=False)
    show(console, run, assessment)
    try:
        write_json(run, folder, assessment=figures(assessment))
        write_report(folder / REPORT_FILE, run, assessment)
    except OSError as error:
        raise GraderError(f"The run is saved in {folder}, but its report could not be written: {error}.") from error
    console.print(f"Report: [bold]{escape(str(folder / REPORT_FILE))}[/], raw rows beside it")
    return assessment


def require(assessment: Assessment, limits: dict[str, float]) -> None:
    sentences = broken(assessment, limits)
    for sentence in sentences:
        Console(stderr=True, emoji=False).print(f"[red]limit broken:[/] {escape(sentence)}", highlight=False)
    if sentences:
        raise typer.Exit(EXIT_BROKEN)


def main() -> None:
    try:
        app()
    except GraderError as error:
        Console(stderr=True, emoji=False).print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(EXIT_ERROR)
