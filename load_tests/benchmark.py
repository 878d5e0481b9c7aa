"""``python -m load_tests.benchmark``: every budget of the project as a figure measured here and now."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop
from rich.console import Console
from rich.text import Text

from load_tests.benchmark_brokers import EMBEDDED, RABBITMQ
from load_tests.benchmark_figures import Outcome, notes, table
from load_tests.benchmark_parts import measure
from load_tests.benchmark_run import Options, Part, Screen

INTERRUPTED: Final = 130
# It takes minutes and gigabytes.
UNLESS_ASKED: Final = (Part.REFRESH, Part.TRAIN)
ALL: Final = "all"

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
# Progress goes to standard error, so that the table alone can be kept.
console, progress = Console(), Console(stderr=True)
FILE_WIDTH: Final = 140


@app.command()
def benchmark(
    parts: Annotated[
        list[str] | None,
        typer.Argument(metavar="PART", help=f"What to measure; without any: all but {', '.join(UNLESS_ASKED)}."),
    ] = None,
    broker: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{EMBEDDED} (Redis Streams, the default), {RABBITMQ} (one started for this run) or the amqp:// URL "
            "of a server. May be given more than once."
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="recs, interact: rounds of service and bare endpoint.")] = 15,
    calls: Annotated[int, typer.Option(min=500, max=8_000, help="recs, interact: calls to each in a round.")] = 2_000,
    seconds: Annotated[float, typer.Option(min=1, help="latency, freshness: length of the traffic.")] = 30,
    messages: Annotated[int, typer.Option(min=10_000, help="drain: messages that wait at its start.")] = 20_000,
    rows: Annotated[int, typer.Option(min=10_000, help="refresh, train: rows of the log.")] = 25_000_000,
    folder: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Where to put temporary files: the disk to measure on."),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", dir_okay=False, help="Keep the figures here.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 1 if a budget is missed.")] = False,
) -> None:
    """Measure every budget of the project and print it beside the machine it was measured on.

    Starts everything it needs as child processes on free ports with a temporary folder, and removes it at the end.

    \b
    recs       throughput of /recs against a bare endpoint that reads one key
    interact   throughput of /interact against a bare endpoint that publishes
    latency    of /recs under grader-like traffic
    freshness  from an accepted reaction to the state that the next list reads; from the likes of an item to all lists
    drain      rows a second, reactions and impressions
    startup    run_all.sh to both healthchecks
    grader     requests a second that the grader sends from one core, and whether its memory grows
    refresh    time and memory with 25 million rows logged: minutes, 1 GB of disk
    train      ALS on the same log beside the library alone, and /recs meanwhile: ten minutes, 3 GB of memory
    all        all of these
    """
    chosen = _chosen(parts or [])
    brokers = list(dict.fromkeys(broker or [EMBEDDED]))
    for name in brokers:
        if name not in (EMBEDDED, RABBITMQ) and not name.startswith(("amqp://", "amqps://")):
            raise typer.BadParameter(f"{name!r} is none of {EMBEDDED}, {RABBITMQ}, amqp://…", param_hint="--broker")
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise typer.BadParameter(f"the folder of {json_file} does not exist", param_hint="--json")
    outcome = Outcome()
    options = Options(rounds, calls, seconds, messages, rows, folder)
    _run(chosen, brokers, options, outcome)
    _report(outcome, json_file)
    if outcome.interrupted:
        progress.print("interrupted: what is missing was not measured")
        raise typer.Exit(INTERRUPTED)
    missed = any(figure.verdict == "missed" for figure in outcome.figures)
    raise typer.Exit(int(bool(outcome.failures) or (strict and missed)))


def _chosen(names: list[str]) -> list[Part]:
    if unknown := [name for name in names if name not in (*Part, ALL)]:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join((*Part, ALL))}", param_hint="PART")
    if ALL in names:
        return list(Part)
    return [part for part in Part if part in names or (not names and part not in UNLESS_ASKED)]


def _run(parts: list[Part], brokers: list[str], options: Options, outcome: Outcome) -> None:
    """Fill ``outcome`` until all is measured or a signal comes."""
    screen = Screen(progress)
    try:
        with screen.live():
            uvloop.run(measure(parts, brokers, options, outcome, screen))
    except asyncio.CancelledError:
        if not outcome.interrupted:
            raise


def _report(outcome: Outcome, json_file: Path | None) -> None:
    if not console.is_terminal:
        console.width = FILE_WIDTH
    if outcome.figures or outcome.failures:
        console.print(table(outcome))
    for note in notes(outcome):
        console.print(Text(f"- {note}", style="dim"))
    if outcome.machine is not None:
        console.print(outcome.place, markup=False, highlight=False, soft_wrap=True)
    if json_file is not None:
        json_file.write_text(json.dumps(outcome.as_json(), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    app()
