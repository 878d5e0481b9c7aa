"""One finished run: what was set, and every request as a row; in memory and as a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

import numpy as np
import polars as pl

from grader.errors import GraderError
from grader.metrics.lists import Lists, judge
from grader.record import NOT_SENT, Record
from grader.traffic import Plan
from grader.worlds.world import Catalogue, World

FORMAT: Final = 1  # of saved runs; raised when an older one cannot be read any more
RUN_FILE: Final = "run.json"
REQUESTS_FILE: Final = "requests.parquet"
CATALOGUE_FILE: Final = "catalogue.parquet"
RECS: Final = "recs"
INTERACT: Final = "interact"


@dataclass(frozen=True)
class Run:
    """``requests`` has one row for each request that was sent, in the order of the plan:

    visit, user, kind (recs or interact), number (the user's how-manieth list, from 1; for reactions that of the list
    before), due_s, sent_s, done_s, status (0: no answer), problem (empty: none), returned, unknown, repeated (ids in
    the answer), items, fresh, hits (lists of k, see ``Lists``), relevant, remaining, sources (empty: not given),
    likes, dislikes (sent). Columns that do not apply hold 0, False or an empty list.

    ``facts``: plain JSON values about the run: settings, world, setup, ladder, lag and so on.
    """

    facts: Mapping[str, Any]
    catalogue: Catalogue
    requests: pl.DataFrame

    @cached_property
    def recs(self) -> pl.DataFrame:
        return self.requests.filter(kind=RECS)

    @cached_property
    def interacts(self) -> pl.DataFrame:
        return self.requests.filter(kind=INTERACT)

    @cached_property
    def lists(self) -> Lists:
        """All lists asked for, as arrays."""
        recs = self.recs
        return Lists(
            user=recs["user"].to_numpy(),
            number=recs["number"].to_numpy(),
            items=_matrix(recs["items"]),
            fresh=_matrix(recs["fresh"]),
            hits=_matrix(recs["hits"]),
            relevant=recs["relevant"].to_numpy(),
            remaining=recs["remaining"].to_numpy(),
            n_items=len(self.catalogue.genres),
        )


def _matrix(column: pl.Series) -> np.ndarray:
    width = len(column[0]) if len(column) else 0
    return column.explode().to_numpy().reshape(len(column), width)


def finish(facts: Mapping[str, Any], world: World, plan: Plan, record: Record) -> Run:
    """Judge the lists and put everything that was sent into rows."""
    steps = plan.order[record.status[plan.order] != NOT_SENT]
    looks = plan.looks[steps]
    lists = judge(world, plan.step_user[steps[looks]], record.items[steps[looks]])
    requests = pl.DataFrame(
        {
            "visit": np.repeat(np.arange(len(plan.user), dtype=np.int32), np.diff(plan.first))[steps],
            "user": plan.step_user[steps],
            "kind": np.where(looks, RECS, INTERACT),
            "number": _numbers(plan, steps),
            **{name: getattr(record, name)[steps] for name in ("due_s", "sent_s", "done_s", "status")},
            "problem": [record.problems.get(step, "") for step in steps.tolist()],
            **{name: getattr(record, name)[steps] for name in ("returned", "unknown", "repeated")},
            "items": _column(looks, lists.items, pl.Int32),
            "fresh": _column(looks, lists.fresh, pl.Boolean),
            "hits": _column(looks, lists.hits, pl.Boolean),
            "relevant": _scattered(looks, lists.relevant),
            "remaining": _scattered(looks, lists.remaining),
            "sources": _sources(record, steps),
            "likes": record.likes[steps],
            "dislikes": record.dislikes[steps],
        }
    )
    return Run(facts, world.catalogue, requests)


def _numbers(plan: Plan, steps: np.ndarray) -> np.ndarray:
    frame = pl.DataFrame({"user": plan.step_user[steps], "looks": plan.looks[steps]})
    return frame.select(pl.col("looks").cast(pl.Int32).cum_sum().over("user"))["looks"].to_numpy()


def _column(looks: np.ndarray, rows: np.ndarray, inner: pl.DataType | type[pl.DataType]) -> pl.Series:
    """Rows of lists where there is a list, empty ones elsewhere."""
    lists = iter(rows.tolist())
    return pl.Series([next(lists) if look else [] for look in looks.tolist()], dtype=pl.List(inner))


def _scattered(looks: np.ndarray, values: np.ndarray) -> np.ndarray:
    column = np.zeros(len(looks), np.int32)
    column[looks] = values
    return column


def _sources(record: Record, steps: np.ndarray) -> pl.Series:
    names = record.source_names
    labels = [[names[n] for n in row if n >= 0] for row in record.source[steps].tolist()]
    return pl.Series(labels, dtype=pl.List(pl.String))


def save(run: Run, folder: Path) -> None:
    """Write the folder, made if absent. GraderError if that fails, as on a full disk."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(run, folder)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise GraderError(f"The run could not be saved in {folder}: {error}.") from error


def _write(run: Run, folder: Path) -> None:
    names = np.array(run.catalogue.genre_names, dtype=str)
    genres = [names[row].tolist() for row in run.catalogue.genres]
    columns = {"likes": run.catalogue.likes, "opinions": run.catalogue.opinions}
    frame = pl.DataFrame({"genres": pl.Series(genres, dtype=pl.List(pl.String)), **columns})
    frame.write_parquet(folder / CATALOGUE_FILE)
    run.requests.write_parquet(folder / REQUESTS_FILE)
    write_json(run, folder)  # last: where it stands, the rest does too


def write_json(run: Run, folder: Path, **more: Any) -> None:
    """The JSON of a saved run anew; ``more`` is for people to read and is not loaded."""
    known = {"format": FORMAT, "genre_names": list(run.catalogue.genre_names), "users": run.catalogue.n_users}
    text = json.dumps({**known, **more, "facts": run.facts}, indent=1, allow_nan=True)
    draft = folder / f"{RUN_FILE}.new"
    draft.write_text(text + "\n")
    draft.replace(folder / RUN_FILE)  # whole at any moment: without it the run is lost


def load(folder: Path) -> Run:
    """GraderError if the folder holds no run that this version can read."""
    for name in (RUN_FILE, REQUESTS_FILE, CATALOGUE_FILE):
        if not (folder / name).is_file():
            raise GraderError(f"{folder} is no saved run ({name} is missing): give a folder made by --output.")
    try:
        known = json.loads((folder / RUN_FILE).read_text())
        if known["format"] != FORMAT:
            raise GraderError(
                f"{folder} was saved in format {known['format']}, this version reads {FORMAT}: grade the service again."
            )
        catalogue = _read_catalogue(folder / CATALOGUE_FILE, known["genre_names"], known["users"])
        return Run(known["facts"], catalogue, pl.read_parquet(folder / REQUESTS_FILE))
    except (ValueError, KeyError, TypeError, OSError, pl.exceptions.PolarsError) as error:
        raise GraderError(f"{folder} is damaged ({error}): grade the service again.") from error


def _read_catalogue(path: Path, genre_names: list[str], n_users: int) -> Catalogue:
    frame = pl.read_parquet(path)
    number = {name: n for n, name in enumerate(genre_names)}
    genres = np.zeros((frame.height, len(genre_names)), bool)
    for item, held in enumerate(frame["genres"].to_list()):
        genres[item, [number[name] for name in held]] = True
    return Catalogue(genre_names, genres, frame["likes"].to_numpy(), frame["opinions"].to_numpy(), n_users)


def prepare_folder(path: Path) -> None:
    """Make the folder for what is saved later; GraderError if it cannot be used."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise GraderError(f"{path} cannot be used ({error.strerror}): give another folder as --output.") from error
