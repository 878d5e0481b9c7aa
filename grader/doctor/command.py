"""``python -m grader doctor``: the checks on the command line."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from grader.doctor.outcome import Check, Outcome, Verdict
from grader.doctor.run import Report, chosen, examine
from grader.doctor.service import Limits
from grader.errors import GraderError
from grader.options import InteractUrl, RecsUrl, Timeout, finite
from grader.service import Address

STYLES = {Verdict.OK: "green", Verdict.FAILED: "bold red", Verdict.WARNING: "yellow", Verdict.SKIPPED: "dim"}


def doctor(
    recs_url: RecsUrl = Address.recs_url,
    interact_url: InteractUrl = Address.interact_url,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="only this check; repeatable")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="write the report here")] = None,
    timeout: Timeout = Limits.timeout_s,
    patience: Annotated[
        float, typer.Option(min=0, callback=finite, help="seconds a reaction may take to count")
    ] = Limits.patience_s,
) -> None:
    """Check that a running service keeps the contract. ERASES ITS STATE: calls /cleanup and adds items of its own.

    Exit code 0: every check passed (warnings allowed); 1: a check failed; 2: could not begin.
    """
    console = Console(emoji=False)
    address, checks = Address(recs_url, interact_url), chosen(only or [])
    if json_file is not None and (json_file.is_dir() or not json_file.parent.is_dir()):
        raise GraderError(f"--json {json_file} cannot be written: name a file in a folder that exists.")
    console.print(f"Erasing the state of {recs_url}: each check calls /cleanup and adds its own items.", style="yellow")
    with _progress(console) as progress:
        bar = progress.add_task("", total=len(checks))

        def starting(check: Check) -> None:
            progress.update(bar, advance=1, description=check.name)

        limits = Limits(timeout_s=timeout, patience_s=patience)
        report = asyncio.run(examine(address, only=only or (), limits=limits, starting=starting))
    show(report, console)
    if json_file is not None:
        json_file.write_text(json.dumps(report.as_json(), indent=2) + "\n")
    raise typer.Exit(1 if report.failed else 0)


def _progress(console: Console) -> Progress:
    columns = (SpinnerColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def show(report: Report, console: Console) -> None:
    """The table of all checks; below it each failure and warning with lines to paste into a shell."""
    table = Table("check", "verdict", "seen", "s")
    table.columns[3].justify = "right"
    for outcome in report.outcomes:
        verdict = Text(outcome.verdict, style=STYLES[outcome.verdict])
        table.add_row(outcome.name, verdict, Text(outcome.seen), f"{outcome.seconds:.1f}")
    console.print(table)
    for outcome in report.outcomes:
        if outcome.verdict in (Verdict.FAILED, Verdict.WARNING):
            _show_failure(outcome, console)
    console.print(_summary(report), style="bold red" if report.failed else "green")


def _show_failure(outcome: Outcome, console: Console) -> None:
    lines = Text(f"\n{outcome.name} ({outcome.verdict})", style=STYLES[outcome.verdict])
    console.print(lines)
    for line in (outcome.seen, f"Wanted: {outcome.wants}", *outcome.curl):
        # Unwrapped, so that what is pasted is one line of shell.
        console.print(Text(line), soft_wrap=True)


def _summary(report: Report) -> str:
    counts = {verdict: sum(o.verdict is verdict for o in report.outcomes) for verdict in Verdict}
    listed = ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n)
    return f"\n{listed} in {report.seconds:.0f} s"
