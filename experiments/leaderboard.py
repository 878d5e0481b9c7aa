"""All recommenders against each other: plays that are kept, so that an interrupted leaderboard goes on."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from rich.console import Console
from rich.progress import track

from experiments.study import Played, Study, Task, end, play_task, stopping_later
from experiments.system import Clock
from experiments.variants import recipe_of
from recsys.recommenders.extras import missing
from recsys.settings import ROOT

FIRST: Final = "bandit"  # what all others are compared with
# Those that abstain for whom they do not know have popular behind them.
BUILT_IN: Final = (
    FIRST,
    *("popular", "item-knn,popular", "als,popular", "bpr,popular", "lightfm,popular", "ease,popular", "random"),
)
EXPLORING: Final = " explore=auto diversity=0.15"  # as the system has it, whatever the recommender
ALONE: Final = " explore=off diversity=0"
PLAYS: Final = "plays.jsonl"
CODE: Final = ("recsys", "experiments", "grader")


@dataclass(frozen=True)
class Board:
    """What is played, and in which folder it is kept."""

    worlds: tuple[str, ...]
    recommenders: tuple[str, ...]
    seeds: tuple[int, ...]
    lists: float | None
    clock: Clock
    folder: Path

    @property
    def study(self) -> Study:
        return Study(self.worlds, self.variants, self.seeds, self.lists, self.clock)

    @property
    def variants(self) -> tuple[str, ...]:
        """Each as the system has it, which explores, and alone; those with settings of their own as they are."""
        both = [(name + EXPLORING, name + ALONE) if " " not in name else (name,) for name in self.recommenders]
        return tuple(variant for pair in both for variant in pair)

    @property
    def tasks(self) -> list[Task]:
        return [Task(world, variant, seed) for world in self.worlds for seed in self.seeds for variant in self.variants]


class Entry(NamedTuple):
    """What was played of a world and a recommender, by seed."""

    world: str
    variant: str
    runs: list[Played]


def playable(recommenders: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those that can be played here, and a sentence for each that cannot. GraderError for one that there is not."""
    found, refused = [], []
    for name in recommenders:
        if extras := missing(recipe_of(name)):
            refused.append(f"{name} is left out: pip install -r {extras[-1].file}")
        else:
            found.append(name)
    return found, refused


def play(console: Console, board: Board, processes: int) -> list[Entry]:
    """Everything that is not kept yet. Ctrl-C loses only the plays under way."""
    board.folder.mkdir(parents=True, exist_ok=True)
    path = board.folder / PLAYS
    known = dict(_kept(path, board))
    tasks = [task for task in board.tasks if task not in known]
    if known:
        console.print(f"{len(known):,} of {len(board.tasks):,} plays are kept in {path}")
    if tasks:
        with ExitStack() as stack:
            with stopping_later():
                pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(min(processes, len(tasks))))
            file = stack.enter_context(path.open("a+b"))
            file.write(_end_of_line(file))
            plays = pool.imap_unordered(partial(_played, board.study), tasks)
            for task, played in track(plays, "playing", len(tasks), console=console):
                file.write(json.dumps(_line(board, task) | {"played": played._asdict()}).encode() + b"\n")
                file.flush()
                known[task] = played
            end(pool)
    return [
        Entry(world, variant, [known[Task(world, variant, seed)] for seed in board.seeds])
        for world in board.worlds
        for variant in board.variants
    ]


def _end_of_line(file: BinaryIO) -> bytes:
    """What a last line lacks that was cut off."""
    if not file.seek(0, os.SEEK_END):
        return b""
    file.seek(-1, os.SEEK_END)
    return b"" if file.read(1) == b"\n" else b"\n"


def _played(study: Study, task: Task) -> tuple[Task, Played]:
    return task, play_task(study, task)


def _kept(path: Path, board: Board) -> Iterator[tuple[Task, Played]]:
    """Plays of this board by this very code; a line that was cut off is left out."""
    wanted = {json.dumps(_line(board, task)): task for task in board.tasks}
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        try:
            entry = json.loads(line)
            played = Played(**entry.pop("played"))
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
        if task := wanted.get(json.dumps(entry)):
            yield task, played


def _line(board: Board, task: Task) -> dict[str, Any]:
    return {
        "code": code_of(task.variant),
        "lists": board.lists,
        "clock": asdict(board.clock),
        "world": task.world,
        "recommender": task.variant,
        "seed": task.seed,
    }


def code_of(variant: str) -> str:
    """A digest of the code that a play depends on: ours, and that of a recommender of somebody's own."""
    digest = hashlib.blake2b(_own_code().encode(), digest_size=8)
    for spec in recipe_of(variant).sources:
        if spec.own and (found := find_spec(spec.name.partition(":")[0])) and found.origin:
            digest.update(Path(found.origin).read_bytes())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _own_code() -> str:
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(path for folder in CODE for path in (ROOT / folder).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
