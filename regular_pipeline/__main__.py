"""``python -m regular_pipeline``: the loop; ``--help`` lists the other commands."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from recsys.logs import configure_logs
from recsys.movielens import DISLIKE_UP_TO, LIKE_FROM
from recsys.recommenders.registry import RecommenderError
from recsys.settings import read_settings
from recsys.stores.ports import StoreError
from regular_pipeline import service
from regular_pipeline.history import HistoryError, read_history

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(emoji=False, soft_wrap=True, markup=False, highlight=False)
console_error = Console(stderr=True, emoji=False, soft_wrap=True, markup=False, highlight=False)
COLUMNS: Final = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
Epoch = Annotated[int | None, typer.Option(help="of the log, as stats lists them; the latest with events if not given")]


@app.callback(invoke_without_command=True)
def loop(context: typer.Context) -> None:
    """Without a command: drain and refresh until stopped."""
    settings = read_settings()
    configure_logs(settings, "pipeline")
    if context.invoked_subcommand is None:
        _run(service.run(settings))


@app.command()
def once() -> None:
    """Drain what is queued, refresh once, exit."""
    console.print(f"drained {_run(service.run_once(read_settings())):,} messages")


@app.command()
def rebuild(epoch: Annotated[int | None, typer.Option(help="needed if several have events; see stats")] = None) -> None:
    """Restore state and live models from the log alone, after Redis was lost.

    Stop the pipeline first. With the private Redis of run_all.sh: ./run_all.sh --only collector,recommendations
    """
    found = _run(service.rebuild(read_settings(), epoch))
    console.print(f"epoch {found.number} is in force again: {len(found.catalogue):,} items, {found.feed.rows:,} rows")


@app.command("import")
def import_history(
    path: Annotated[Path, typer.Argument(help="folder of MovieLens, or CSV: user_id,item_id,action|rating,timestamp")],
    like_from: Annotated[float, typer.Option(help="a rating from here on is a like")] = LIKE_FROM,
    dislike_up_to: Annotated[float, typer.Option(help="a rating up to here is a dislike")] = DISLIKE_UP_TO,
) -> None:
    """Put ratings from before this system into the log, each once whatever is repeated. Stop the pipeline first."""
    try:
        with console.status("reading"):
            history = read_history(path, like_from, dislike_up_to)
        for line, problem in history.flaws:
            console_error.print(f"{path}, line {line}: {problem}; left out.", style="yellow")
        with Progress(*COLUMNS, console=console, transient=True) as bars:
            bar = bars.add_task("importing", total=None)
            told = partial(_advance, bars, bar)
            done = _run(service.import_history(read_settings(), history, told))
    except HistoryError as error:
        _fail(str(error))
    counts = {
        "imported": done.rows,
        "already there": done.known,
        "neither like nor dislike": history.neutral,
        "bad lines": history.bad,
        "of items that the catalogue does not know": done.unknown_items,
    }
    console.print(", ".join(f"{count:,} {what}" for what, count in counts.items() if count or what == "imported"))


def _advance(bars: Progress, bar: TaskID, done: int, total: int) -> None:
    bars.update(bar, completed=done, total=total)


@app.command()
def export(csv: Annotated[Path, typer.Option(help="file to write")], epoch: Epoch = None) -> None:
    """Write the event log as CSV."""
    try:
        rows = service.export(read_settings(), csv, epoch)
    except StoreError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{csv} cannot be written: {error.strerror or error}")
    console.print(f"wrote {rows:,} rows to {csv}")


@app.command()
def stats() -> None:
    """Print counters, queue depth and the size of the log."""
    table = Table("figure", "value")
    for name, value in _run(service.stats(read_settings())).items():
        table.add_row(name, f"{value:,}" if isinstance(value, int) and name != "epoch" else str(value))
    console.print(table)


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end or until SIGINT or SIGTERM; what is wrong outside becomes one sentence and exit code 1."""
    try:
        return uvloop.run(_until_signalled(work))
    except (StoreError, RecommenderError) as error:
        _fail(str(error))


async def _until_signalled(work: Coroutine[Any, Any, Any]) -> Any:
    task = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise typer.Exit(0) from None


def _fail(reason: str) -> NoReturn:
    console_error.print(f"error: {reason}", style="red")
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
