"""Real people's tastes against a running system: every MovieLens user asks several times and sends likes back.

    python -m load_tests.movielens_session --movielens FOLDER

FOLDER holds movies.csv and ratings.csv. A rating of 4 or more is a like, 3 or less a dislike, of what was just shown;
what the user never rated gets no reaction. Begins with /cleanup. Exit code 1 if any list breaks the contract.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import typer
import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from load_tests.http_client import Connection

LIKE_FROM = 4.0
DISLIKE_TO = 3.0
K = 10
FIFTHS = 5
Opinions = dict[str, dict[str, str]]  # user → item → like or dislike


@dataclass
class Session:
    """What happened: hits of every list in the order of the answers, and how lists broke the contract."""

    hits: list[int] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    shown: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def judge(self, user: str, items: list[str], likes: set[str], catalogue: set[str]) -> None:
        self.hits.append(len(likes.intersection(items)))
        self.faults["repeated ids"] += len(items) != len(set(items))
        self.faults["unknown ids"] += not catalogue.issuperset(items)
        self.faults["already shown"] += bool(self.shown[user].intersection(items))
        self.faults["fewer than 10 ids"] += len(items) < K
        self.shown[user].update(items)


def main(
    movielens: Annotated[Path, typer.Option(help="folder with movies.csv and ratings.csv")],
    requests: Annotated[int, typer.Option(help="lists per user")] = 5,
    concurrency: Annotated[int, typer.Option(help="users at once")] = 10,
    collector_port: int = 5000,
    recommendations_port: int = 5001,
    seed: int = 0,
) -> None:
    """Run the session and print precision by fifth of the run beside that of random lists."""
    movies = pl.read_csv(movielens / "movies.csv", schema_overrides={"movieId": pl.String})
    opinions = read_opinions(movielens / "ratings.csv")
    ports = (collector_port, recommendations_port)
    session = uvloop.run(run(movies, opinions, requests, concurrency, ports, seed))
    random_precision = precision_of_random_lists(opinions, movies.height, requests)
    broken = report(session, random_precision)
    raise typer.Exit(1 if broken else 0)


def read_opinions(path: Path) -> Opinions:
    # Without the timestamps: nothing here needs them, and copies exist in which one is damaged.
    columns = ["userId", "movieId", "rating"]
    ratings = pl.read_csv(path, columns=columns, schema_overrides={"userId": pl.String, "movieId": pl.String})
    opinions: Opinions = defaultdict(dict)
    for user, item, rating in ratings.select(columns).iter_rows():
        if rating >= LIKE_FROM or rating <= DISLIKE_TO:
            opinions[user][item] = "like" if rating >= LIKE_FROM else "dislike"
    return opinions


async def run(
    movies: pl.DataFrame, opinions: Opinions, requests: int, concurrency: int, ports: tuple[int, int], seed: int
) -> Session:
    collector_port, recommendations_port = ports
    ids = movies["movieId"].to_list()
    genres = [[] if g == "(no genres listed)" else g.split("|") for g in movies["genres"]]
    setup = await Connection.open(recommendations_port)
    await _ok(setup, "POST", "/cleanup")
    await _ok(setup, "POST", "/add_items", {"item_ids": ids, "genres": genres})
    await setup.close()

    turns = [user for user in opinions for _ in range(requests)]
    random.Random(seed).shuffle(turns)
    waiting = iter(turns)
    busy: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
    session = Session()

    with Progress(transient=True) as progress:
        task = progress.add_task("lists", total=len(turns))

        async def work() -> None:
            recs, collector = await Connection.open(recommendations_port), await Connection.open(collector_port)
            for user in waiting:
                async with busy[user]:
                    await _turn(session, recs, collector, user, opinions[user], set(ids))
                progress.advance(task)
            await recs.close()
            await collector.close()

        await asyncio.gather(*(work() for _ in range(concurrency)))
    return session


async def _turn(
    session: Session, recs: Connection, collector: Connection, user: str, tastes: dict[str, str], catalogue: set[str]
) -> None:
    items = (await _ok(recs, "GET", f"/recs/{user}"))["item_ids"]
    likes = {item for item, action in tastes.items() if action == "like"}
    session.judge(user, items, likes, catalogue)
    if rated := [item for item in items if item in tastes]:
        body = {"user_id": user, "item_ids": rated, "actions": [tastes[item] for item in rated]}
        await _ok(collector, "POST", "/interact", body)


async def _ok(connection: Connection, method: str, path: str, body: object = None) -> dict[str, list[str]]:
    status, answer = await connection.request(method, path, b"" if body is None else json.dumps(body).encode())
    if status != 200:
        raise SystemExit(f"{method} {path}: status {status}: {answer[:300]!r}")
    parsed: dict[str, list[str]] = json.loads(answer)
    return parsed


def precision_of_random_lists(opinions: Opinions, items: int, requests: int) -> float:
    """Expected hits per place when every list holds random items this user was not shown."""
    likes = [sum(action == "like" for action in tastes.values()) for tastes in opinions.values()]
    return float(np.mean(likes)) / items if requests else 0.0


def report(session: Session, random_precision: float) -> bool:
    """Print; True if a list broke the contract."""
    table = Table("part of the run", "lists", "precision@10", "times random")
    for number, part in enumerate(np.array_split(np.array(session.hits), FIFTHS), start=1):
        precision = float(part.mean()) / K
        table.add_row(f"fifth {number}", str(len(part)), f"{precision:.4f}", f"{precision / random_precision:.1f}")
    table.add_row("random lists", "", f"{random_precision:.4f}", "1.0")
    console = Console()
    console.print(table)
    for fault, count in session.faults.items():
        console.print(f"lists with {fault}: {count}")
    coverage = len(set().union(*session.shown.values()))
    console.print(f"items shown to somebody: {coverage:,}")
    return any(session.faults.values())


if __name__ == "__main__":
    typer.run(main)
