"""``python -m grader world``: what worlds are like, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import typer
from rich.console import Console
from rich.table import Table

from grader.worlds.spec import open_world
from grader.worlds.statistics import CURVE_SHARES, Spread, WorldStatistics, world_statistics

BAR: Final = 14  # characters of a bar that stands for everything

Named = tuple[str, WorldStatistics]  # a world's name and what it is like


def world(
    specs: Annotated[list[str], typer.Argument(help="movielens:FOLDER, synthetic, synthetic:items=5000,… or tiny")],
    seed: Annotated[int, typer.Option(min=0, help="of generated worlds and random samples")] = 0,
    users: Annotated[int | None, typer.Option(min=1, help="not more than that many users of each world")] = None,
) -> None:
    """Print the statistics of worlds side by side."""
    worlds = [_measured(spec, seed, users) for spec in specs]
    console = Console(emoji=False)
    console.print(statistics_table(worlds))
    console.print(curve_table(worlds))


def _measured(spec: str, seed: int, users: int | None) -> Named:
    with Console(stderr=True, emoji=False).status(f"Building {spec}") as status:
        built = open_world(spec, seed, users)
        status.update(f"Measuring {built.name}")
        return built.name, world_statistics(built, seed)


def statistics_table(worlds: Sequence[Named]) -> Table:
    """One column for each world."""
    table = _table("", worlds)
    columns = [_cells(statistics) for _, statistics in worlds]
    for label in columns[0]:
        table.add_row(label, *(cells[label] for cells in columns))
    return table


def curve_table(worlds: Sequence[Named]) -> Table:
    """How much of all likes the most liked items have, as bars."""
    table = _table("share of the likes that go to", worlds, "left")
    for number, share in enumerate(CURVE_SHARES):
        table.add_row(f"the top {share:.0%} of items", *(_bar(s.popularity_curve[number]) for _, s in worlds))
    return table


def _cells(s: WorldStatistics) -> dict[str, str]:
    gain = s.personal
    return {
        "items": f"{s.items:,}",
        "users": f"{s.users:,}",
        "opinions": f"{s.opinions:,}",
        "likes among opinions": f"{s.liked_share:.1%}",
        "opinions per user: p5, median, mean, p95": _spread(s.opinions_per_user),
        "likes per user: p5, median, mean, p95": _spread(s.likes_per_user),
        "items nobody likes": f"{s.never_liked_share:.1%}",
        "inequality of the items' likes (Gini)": f"{s.gini:.3f}",
        "genres per item": f"{s.genres_per_item:.2f}",
        "items without genre": f"{s.no_genre_share:.1%}",
        "genre affinity of a user's likes, 1 is chance": f"{s.genre_affinity:.2f}",
        "precision at 10 of the most liked, 3 lists": f"{s.oracle_precision:.3f}",
        "the same on hidden likes, one list": f"{gain.popular:.3f}" if gain.users else "-",
        "precision at 10 of a personal model, hidden likes": f"{gain.personal:.3f}" if gain.users else "-",
        "personal / most liked": f"{gain.ratio:.2f}" if gain.users else "-",
    }


def _spread(s: Spread) -> str:
    return f"{s.p5:.0f}, {s.median:.0f}, {s.mean:.0f}, {s.p95:.0f}"


def _bar(share: float) -> str:
    return f"{'█' * round(share * BAR):{BAR}} {share:4.0%}"


def _table(corner: str, worlds: Sequence[Named], justify: Literal["left", "right"] = "right") -> Table:
    table = Table(corner)
    for name, _ in worlds:
        table.add_column(name, justify=justify, overflow="fold")
    return table
