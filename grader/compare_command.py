"""``python -m grader compare A B``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from grader.compare import Comparison, Difference, compare, require_own_seeds
from grader.errors import GraderError
from grader.grade import GradeConfig, Screen, grade, require_health, set_stage
from grader.options import (
    EXIT_INTERRUPTED,
    RUNS,
    Concurrency,
    Lists,
    ProfileSpec,
    Rate,
    Seed,
    Speed,
    Timeout,
    Users,
    WorldSpec,
)
from grader.run import Run, load, prepare_folder, save
from grader.scoring import profile_of
from grader.screen import ProgressScreen
from grader.service import Address
from grader.words import METRICS, amount
from grader.worlds.spec import read_spec

STYLES = {"better": "green", "worse": "red", "no difference": ""}
Side = Annotated[str, typer.Argument(help="RECS_URL,INTERACT_URL of a running service, or FOLDER,… of saved runs")]
Repeats = Annotated[int, typer.Option(min=1, help="runs of each service, with the seeds from --seed on")]
DEFAULTS = GradeConfig()
WHAT_CHANCE = (
    "Two equal services get any verdict without a perhaps in fewer than 5 of 100 comparisons. Perhaps: this row alone "
    "would say so, but of so many rows some do by chance; more --repeats tell."
)
WHAT_CHANCE_OF_ONE = (
    "Only one run of each: the intervals know the chance of users, not what a service that learns learned by chance. "
    "Use --repeats 3 or more to tell them apart."
)
UNLIKE = (
    "A and B were graded under different loads: {}. So latencies are left out, and a service that learns had another "
    "time for it, which may be all that its lists differ by. Grade both alike to be sure."
)


def compare_command(
    a: Side,
    b: Side,
    world: WorldSpec = DEFAULTS.world,
    seed: Seed = DEFAULTS.seed,
    repeats: Repeats = 3,
    users: Users = None,
    lists: Lists = None,
    rate: Rate = DEFAULTS.requests_per_s,
    concurrency: Concurrency = DEFAULTS.concurrency,
    speed: Speed = DEFAULTS.speed,
    timeout: Timeout = DEFAULTS.timeout_s,
    profile: ProfileSpec = "standard",
    output: Annotated[Path | None, typer.Option(help="folder for the runs: a1, b1, a2 and so on")] = None,
) -> None:
    """Send the same users to two services, or take saved runs, and say whether B is better than A.

    Services are graded in turn, and their /cleanup is called. Beside saved runs the other side takes their settings.
    """
    scored = profile_of(profile)
    read_spec(world, users)
    config = GradeConfig(
        world=world,
        users=users,
        lists_per_user=lists,
        requests_per_s=rate,
        concurrency=concurrency,
        speed=speed,
        timeout_s=timeout,
        ladder=False,
        lag=False,
    )
    sides = [side_of(text) for text in (a, b)]
    configs = [replace(config, seed=seed + n) for n in range(repeats)]
    for side in sides:
        if not isinstance(side, Address):
            configs = [replace(settings_of(run), salt=None, explain=None, ladder=False, lag=False) for run in side]
    folder = output or RUNS / f"{datetime.now():%Y%m%d-%H%M%S}-compare"
    runs_a, runs_b = complete(sides, configs, folder)
    if len(runs_a) != len(runs_b):
        raise GraderError(f"Each run of A needs one of B: there are {len(runs_a)} and {len(runs_b)}.")
    show(Console(emoji=False), compare(runs_a, runs_b, scored), profile)


def side_of(text: str) -> Address | list[Run]:
    """A service by its two URLs, or saved runs by their folders."""
    if not text.startswith(("http://", "https://")):
        runs = [load(Path(folder)) for folder in text.split(",")]
        require_own_seeds(runs)
        return runs
    recs_url, comma, interact_url = text.partition(",")
    if not comma:
        raise GraderError(f"{text!r} is one URL: give both, as RECS_URL,INTERACT_URL.")
    return Address(recs_url, interact_url)


def settings_of(run: Run) -> GradeConfig:
    known = {field.name for field in fields(GradeConfig)}
    return GradeConfig(**{name: value for name, value in run.facts["settings"].items() if name in known})


def complete(sides: Sequence[Address | list[Run]], configs: Sequence[GradeConfig], folder: Path) -> list[list[Run]]:
    """Saved runs as they are, and new ones of the services, saved below ``folder``."""
    runs: list[list[Run]] = [[] if isinstance(side, Address) else side for side in sides]
    if all(runs):
        return runs
    for side in sides:
        if isinstance(side, Address):
            require_health(side, configs[0].timeout_s)
    prepare_folder(folder)
    with ProgressScreen(Console(stderr=True, emoji=False)) as screen:
        for number, config in enumerate(configs, start=1):
            stage = set_stage(config, _Named(screen, f"{number} of {len(configs)}: "))
            for name, side, found in zip("AB", sides, runs, strict=True):
                if isinstance(side, Address):
                    found.append(grade(stage, side, _Named(screen, f"{number} of {len(configs)}, {name}: ")))
                    save(found[-1], folder / f"{name.lower()}{number}")
                    if found[-1].facts["ended_early"]:
                        screen.say(f"The comparison was ended early; its runs so far are in {folder}.")
                        raise typer.Exit(EXIT_INTERRUPTED)
    return runs


class _Named:
    """The same screen with a word before every part."""

    def __init__(self, screen: Screen, prefix: str) -> None:
        self._screen = screen
        self._prefix = prefix

    def begin(self, what: str, total: int | None = None) -> None:
        self._screen.begin(self._prefix + what, total)

    def advance(self, steps: int) -> None:
        self._screen.advance(steps)


def show(console: Console, comparison: Comparison, profile: str) -> None:
    runs = f"{comparison.runs} runs of each" if comparison.runs > 1 else "one run of each"
    title = f"B against A, {runs}, {comparison.users:,} users, {profile} profile"
    table = Table("", "A", "B", "B - A", "95 %", "verdict on B", title=title)
    for column in table.columns[1:5]:
        column.justify = "right"
    _add(table, comparison.points)
    table.add_section()
    for difference in comparison.metrics:
        _add(table, difference)
    table.add_section()
    for difference in comparison.latencies:
        _add(table, difference)
    table.caption = WHAT_CHANCE if comparison.runs > 1 else WHAT_CHANCE_OF_ONE
    console.print(table)
    if comparison.unlike:
        console.print(f"[yellow]{UNLIKE.format(', '.join(comparison.unlike))}[/]")


def _add(table: Table, difference: Difference) -> None:
    name = difference.metric

    def written(value: float) -> str:
        return f"{value:.2f}" if name == "points" else amount(name, value)

    def signed(value: float) -> str:
        return f"{'+' if value > 0 else ''}{written(value)}"

    label = "quality, points of 40" if name == "points" else METRICS[name].name
    values = (written(difference.a), written(difference.b), signed(difference.change))
    style = STYLES[difference.verdict]
    verdict = f"[{style}]{difference.in_words}[/]" if style else difference.in_words
    table.add_row(label, *values, f"{signed(difference.low)} to {signed(difference.high)}", verdict)
