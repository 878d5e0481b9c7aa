"""Progress on the terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn


class ProgressScreen:
    """A line for each part of the work; the part before is over when the next one begins."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
        )
        self._what = ""

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self._complete()
        self._progress.stop()

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def begin(self, what: str, total: int | None = None) -> None:
        if what == self._what:
            return
        self._complete()
        self._what = what
        self._progress.add_task(what, total=total)

    def advance(self, steps: int) -> None:
        if steps:
            self._progress.advance(self._progress.task_ids[-1], steps)

    def _complete(self) -> None:
        """What has no steps is done; of what has, as many are done as were told."""
        if self._progress.task_ids and (last := self._progress.tasks[-1]).total is None:
            self._progress.update(last.id, total=1, completed=1)
