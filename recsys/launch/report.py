"""Everything that the launcher tells the person in front of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recsys.catalogue_csv import Skipped
from recsys.launch.backends import Backends, Choice
from recsys.launch.embedded_redis import REDIS
from recsys.launch.services import Service
from recsys.launch.supervisor import Child
from recsys.settings import masked

LEAST_WIDTH: Final = 120
TAIL_LINES: Final = 15
WARNINGS_SHOWN: Final = 5


class LastingConsole(Console):
    """Goes silent when its reader has left, and while what it writes to is full or gone: rich would end the program."""

    def print(self, *objects: Any, **options: Any) -> None:
        with suppress(OSError):
            super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_console() -> LastingConsole:
    console = LastingConsole(emoji=False, highlight=False)
    if not console.is_terminal or console.is_dumb_terminal:
        console.width = max(console.width, LEAST_WIDTH)
    return console


class Report:
    """Implements the supervisor's Listener."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def say(self, text: str, style: str = "") -> None:
        self.console.print(escape(text), style=style, soft_wrap=True)

    def fail(self, text: str) -> None:
        self.say(text, style="bold red")

    def waiting(self, text: str) -> AbstractContextManager[object]:
        return self.console.status(text) if self.console.is_terminal else nullcontext()

    def crashed(self, child: Child, how: str, delay_s: float) -> None:
        name, log = child.program.name, child.program.log
        self.fail(f"{name} {how}; next start in {delay_s:g} s; log: {short(log)}")
        if child.crashes == 1:
            self.tail(child)

    def restarted(self, child: Child) -> None:
        self.say(f"{child.program.name} was started again (pid {child.pid}); log: {short(child.program.log)}")

    def tail(self, child: Child) -> None:
        for line in child.log_tail(TAIL_LINES).splitlines():
            self.say(f"    {line}", style="dim")

    def warn_rows(self, path: Path, skipped: Sequence[Skipped]) -> None:
        for row in skipped[:WARNINGS_SHOWN]:
            self.say(f"{path}, line {row.line}: {row.problem}; row skipped.", style="yellow")
        if len(skipped) > WARNINGS_SHOWN:
            self.say(f"{len(skipped) - WARNINGS_SHOWN} more rows of this file were skipped.", style="yellow")

    def ready(
        self, services: Iterable[Service], children: dict[str, Child], backends: Backends, notes: Sequence[str]
    ) -> None:
        self.console.print(overview(services, children, backends))
        for note in notes:
            self.say(note)


def overview(services: Iterable[Service], children: dict[str, Child], backends: Backends) -> Table:
    table = Table()
    for column in ("", "address", "pid", "log, or why this one"):
        table.add_column(column, overflow="fold")
    for service in services:
        child = children[service.name]
        table.add_row(service.name, service.url or "-", str(child.pid or "-"), escape(short(child.program.log)))
    table.add_section()
    table.add_row("Redis", *_backend(backends.redis, children.get(REDIS)))
    table.add_row("broker", *_backend(backends.broker))
    table.add_row("Qdrant", *_backend(backends.qdrant))
    return table


def _backend(choice: Choice, child: Child | None = None) -> tuple[str, str, str]:
    address = escape(masked(choice.url)) or "-"
    if child is None:
        return address, "-", escape(choice.reason)
    return address, str(child.pid or "-"), escape(f"{choice.reason}; log: {short(child.program.log)}")


def short(path: Path) -> str:
    """Relative if it lies below the working directory."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
