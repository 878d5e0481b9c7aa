"""The leaderboard as a Markdown table and as one HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from scipy import stats

import grader.report
from experiments.leaderboard import ALONE, EXPLORING, FIRST, Board, Entry
from experiments.study import COLUMNS, Played
from experiments.variants import recipe_of
from grader.report.svg import LISTS, MUTED, new_axes, to_svg

TEMPLATE: Final = "board.html.j2"
MOST_POINTS: Final = 40.0
DIGITS: Final = {"points": 1}
NOBODY: Final = f"Nobody is better than `{FIRST}` by an interval, neither in points nor in precision."
LEGEND: Final = """\
The grader's visits played in virtual time; worlds, visits and rankings differ by seed. Means with 95 % intervals over
the seeds; 40 points are the most. Of twenty differences one is beyond its interval by chance. Everybody begins with an
empty log, and a model is in force after the seconds that its training took. What a recommender does not know, the one
after the comma fills.

- **explores** yes: as the system serves it, with places for unknown items and a diverse order. No: the method alone.
- **training s**: all trainings of a run. **µs a list**: without reading or writing state. **MB**: of the models at the
  end, as they are kept. These three are of the machine that played, with a play on each of its processors.
"""
COSTS: Final = {"training_s": ("training s", 1), "list_us": ("µs a list", 0), "model_mb": ("MB", 2)}


class Measured(NamedTuple):
    """A mean over seeds, and half its 95 % interval: None for a single seed."""

    mean: float
    half: float | None
    digits: int

    def __str__(self) -> str:
        mean = f"{self.mean:.{self.digits}f}"
        return mean if self.half is None else f"{mean} ± {self.half:.{self.digits}f}"

    @property
    def is_above_zero(self) -> bool:
        return self.half is not None and self.mean - self.half > 0


@dataclass(frozen=True)
class Row:
    """A recommender in one world."""

    place: int
    name: str
    explores: bool
    values: dict[str, Measured]
    points_beside: Measured | None  # the difference to the first; None for itself
    precision_beside: Measured | None  # in percent of the first's mean
    costs: dict[str, float]
    plot: Markup

    @property
    def track(self) -> tuple[float, float, float]:
        """Where points and the ends of their interval lie, in percent of all there are."""
        points = self.values["points"]
        half = points.half or 0.0
        at, low, high = (
            min(max(100 * value / MOST_POINTS, 0.0), 100.0)
            for value in (points.mean, points.mean - half, points.mean + half)
        )
        return at, low, high - low


@dataclass(frozen=True)
class Table:
    world: str
    rows: list[Row]

    @property
    def better(self) -> list[str]:
        """Who is better than the first by an interval, in sentences."""
        return list(_better(self.rows))


def _better(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        name = f"`{row.name}`" + ("" if row.explores else " alone")
        if row.points_beside is not None and row.points_beside.is_above_zero:
            yield f"{name} has {row.points_beside} points more than `{FIRST}`."
        if row.precision_beside is not None and row.precision_beside.is_above_zero:
            yield f"{name} finds {row.precision_beside} % more than `{FIRST}`."


def tables(board: Board, entries: Sequence[Entry]) -> list[Table]:
    """One for each world, best points first."""
    return [Table(world, _rows(world, [e for e in entries if e.world == world])) for world in board.worlds]


def _rows(world: str, entries: Sequence[Entry]) -> list[Row]:
    first = next((entry for entry in entries if entry.variant == FIRST + EXPLORING), entries[0])
    ordered = sorted(entries, key=lambda e: (-_mean(e, "points"), -_mean(e, "precision")))
    return [_row(place, entry, first, f"{world}-{place}") for place, entry in enumerate(ordered, start=1)]


def _mean(entry: Entry, name: str) -> float:
    return float(np.mean([run.values[name] for run in entry.runs]))


def _row(place: int, entry: Entry, first: Entry, key: str) -> Row:
    def difference(name: str) -> np.ndarray:
        return np.array([a.values[name] - b.values[name] for a, b in zip(entry.runs, first.runs, strict=True)])

    is_first = entry is first
    share = 100 * difference("precision") / max(_mean(first, "precision"), 1e-12)
    return Row(
        place,
        entry.variant.removesuffix(ALONE).removesuffix(EXPLORING),
        recipe_of(entry.variant).explore != 0,
        {name: measured([run.values[name] for run in entry.runs], DIGITS.get(name, 3)) for name in COLUMNS},
        None if is_first else measured(difference("points"), 1),
        None if is_first else measured(share, 1),
        {name: float(np.mean([run.costs[name] for run in entry.runs])) for name in COSTS},
        _plot(entry.runs, first.runs, key),
    )


def measured(values: Sequence[float] | np.ndarray, digits: int) -> Measured:
    """Student's interval over the seeds."""
    found = np.asarray(values, np.float64)
    if len(found) < 2:
        return Measured(float(found.mean()), None, digits)
    half = stats.t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / np.sqrt(len(found))
    return Measured(float(found.mean()), float(half), digits)


def _plot(runs: Sequence[Played], first: Sequence[Played], key: str) -> Markup:
    """Precision over the run, with that of the first beside it."""
    ours, theirs = (np.mean([run.along for run in of], axis=0) for of in (runs, first))
    x = (np.arange(len(ours)) + 0.5) * 100 / len(ours)
    figure, axes = new_axes("percent of the run", "precision@10", height_in=2.4)
    axes.plot(x, theirs, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.plot(x, ours, color=LISTS, linewidth=1.8)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, max(float(np.max([*ours, *theirs])) * 1.08, 0.001))
    name = "".join(c if c.isalnum() else "-" for c in key)
    return to_svg(figure, name, f"Precision over the run: {ours[0]:.3f} at first, {ours[-1]:.3f} at last.")


def markdown(board: Board, found: Sequence[Table], command: str) -> str:
    """The tables, and in words who is better than the first."""
    heads = ("recommender", "explores", *COLUMNS.values(), "points beside the first", "precision beside the first")
    heads += tuple(head for head, _ in COSTS.values())
    lines = ["# Leaderboard of recommenders", "", f"    {command}", "", LEGEND]
    for table in found:
        lines += [f"## {table.world}, {len(board.seeds)} seeds", "", _line(heads), _line(["---"] * len(heads))]
        lines += [_line(_cells(row)) for row in table.rows]
        lines += ["", *(f"- {sentence}" for sentence in table.better or [NOBODY]), ""]
    return "\n".join(lines).rstrip() + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _cells(row: Row) -> list[str]:
    beside = "" if row.points_beside is None else str(row.points_beside)
    precision = "" if row.precision_beside is None else f"{row.precision_beside} %"
    values = [str(row.values[name]) for name in COLUMNS]
    costs = [f"{row.costs[name]:,.{digits}f}" for name, (_, digits) in COSTS.items()]
    return [f"`{row.name}`", "yes" if row.explores else "no", *values, beside, precision, *costs]


def page(board: Board, found: Sequence[Table], command: str) -> str:
    """One file that asks for nothing from anywhere."""
    folders = [Path(__file__).parent, Path(grader.report.__file__).parent]
    environment = Environment(
        loader=FileSystemLoader(folders), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(TEMPLATE).render(
        tables=found,
        columns=COLUMNS,
        costs=COSTS,
        seeds=len(board.seeds),
        first=FIRST,
        nobody=NOBODY,
        command=command,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
