"""``python -m grader honesty``."""

from __future__ import annotations

from statistics import fmean
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from grader.honesty import Alarms, alarms, covered, found_better, measured_repeats, services
from grader.scoring import Measurements
from grader.words import METRICS
from grader.worlds.spec import open_world

CROWD: Final = "synthetic:items=1000,users=8000"
RUNS: Final = (1, 3, 5)
GAIN: Final = 0.1


def honesty(
    repeats: Annotated[int, typer.Option(min=5, help="of each service")] = 300,
    users: Annotated[int, typer.Option(min=10, help="in every repeat")] = 150,
    crowd: Annotated[str, typer.Option(help="the world from which users are drawn")] = CROWD,
    power_world: Annotated[str, typer.Option(help="the world in which a service is made 10 % better")] = "synthetic",
    power_repeats: Annotated[int, typer.Option(min=0, help="0: leave this out")] = 20,
) -> None:
    """Count how often the grader's own intervals hold the truth and its verdicts are false.

    Everything runs in process, no service is needed. Takes some minutes.
    """
    console, progress = Console(emoji=False), Console(stderr=True, emoji=False)
    people = open_world(crowd, 0)
    for name, make in services(people).items():
        running = measured_repeats(people, make, users, repeats)
        measured = list(track(running, name, repeats, console=progress))
        console.print(_table(name, measured))
    if power_repeats:
        world = open_world(power_world, 0)
        gain, better = found_better(world, GAIN, power_repeats, 1)
        console.print(
            f"A service with {gain:.1%} more precision, {world.n_users:,} users, one run of each: "
            f"found better in {better} of {power_repeats} comparisons."
        )


def _table(name: str, measured: list[list[Measurements]]) -> Table:
    """Intervals and verdicts of one service, metric by metric."""
    counted = [alarms(measured, runs) for runs in RUNS]
    heads = [f"verdicts, {runs} run{'s' if runs > 1 else ''} of each" for runs in RUNS]
    table = Table("", "truth", "intervals that hold it", *heads, title=f"{name}, compared with itself")
    for metric, share in covered(measured).items():
        truth = fmean(run[metric].value for pair in measured for run in pair)
        label = METRICS[metric].name if metric in METRICS else metric
        table.add_row(label, f"{truth:.4f}", f"{share:.1%}", *(_of(a, metric) for a in counted))
    table.add_section()
    table.add_row("any verdict", "", "", *(f"{found.false} of {found.pairs}" for found in counted))
    return table


def _of(found: Alarms, metric: str) -> str:
    return str(found.by_metric.get(metric, 0))
