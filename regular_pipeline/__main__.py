"""``python -m regular_pipeline``: the loop; ``--help`` lists the other commands."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from recsys.logs import configure_logs
from recsys.settings import read_settings
from recsys.stores.ports import StoreError
from regular_pipeline import service

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(emoji=False, soft_wrap=True, markup=False, highlight=False)
console_error = Console(stderr=True, emoji=False, soft_wrap=True, markup=False, highlight=False)
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
    """Restore state and artifacts from the log alone, after Redis was lost.

    Stop the pipeline first. With the private Redis of run_all.sh: ./run_all.sh --only collector,recommendations
    """
    work = _run(service.rebuild(read_settings(), epoch))
    console.print(f"epoch {work.epoch} is in force again: {len(work.catalogue):,} items, {work.events.rows:,} rows")


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
    """Run to the end or until SIGINT or SIGTERM; errors of the stores become one sentence and exit code 1."""
    try:
        return uvloop.run(_until_signalled(work))
    except StoreError as error:
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
