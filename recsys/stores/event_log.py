"""The event log on disk: for each epoch a folder of Parquet parts, each written whole or not at all.

    <data>/log/id                                                        tells this log from others
    <data>/log/epoch-<n>/events/part-<first row>-<end row>.parquet       see contract.EVENT_SCHEMA
    <data>/log/epoch-<n>/catalogue/part-….parquet                        see contract.CATALOGUE_SCHEMA
    <data>/log/epoch-<n>/checkpoints/<model>.npz                         live learners as of some row (regular_pipeline)

A part is named by the rows it holds, [first, end). Merged parts cover the rows of the parts they replace, so a crash
between writing the one and deleting the others leaves a log that still reads the same.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import polars as pl

from recsys.schemas import CATALOGUE_SCHEMA, EVENT_SCHEMA
from recsys.stores.ports import StoreMisconfigured, StoreUnavailable

_PART: Final = re.compile(r"part-(\d+)-(\d+)\.parquet")
_EPOCH: Final = re.compile(r"epoch-(\d+)")
MERGE_AT_PARTS: Final = 128  # so many small parts in a row become one
SMALL_PART_ROWS: Final = 10_000  # bounds what a merge holds in memory
KEEP_REPLACED_S: Final = 120.0  # parts that a merged one replaces: somebody may be about to read them


@dataclass(frozen=True)
class Part:
    first: int
    end: int
    path: Path


class PartFolder:
    """Append-only rows in one folder. One writer at a time; any number of readers."""

    def __init__(self, folder: Path, schema: pl.Schema) -> None:
        self.folder = folder
        self._schema = schema
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.rows = max((part.end for part in self.parts()), default=0)
        self._replaced: deque[tuple[float, Path]] = deque()  # when, and what

    def append(self, frame: pl.DataFrame) -> int:
        """Write the rows durably and return the new number of rows. On StoreUnavailable nothing was added."""
        end = self.rows + frame.height
        if frame.height:
            self._write(frame, self.rows, end)
            self.rows = end
        return end

    def parts(self) -> list[Part]:
        """The parts that make up the log, in row order, without those that a merged part replaces."""
        paths = self.folder.iterdir()
        found = [Part(int(m[1]), int(m[2]), path) for path in paths if (m := _PART.fullmatch(path.name))]
        covering: list[Part] = []
        for part in sorted(found, key=lambda p: (p.first, -p.end)):
            if not covering or part.end > covering[-1].end:
                covering.append(part)
        return covering

    def frames(self, start: int = 0, where: pl.Expr | None = None) -> Iterator[pl.DataFrame]:
        """The rows from ``start`` on, in order, part by part. Safe next to a concurrent ``merge_small``."""
        while remaining := [part for part in self.parts() if part.end > start]:
            with suppress(FileNotFoundError):  # merged since it was listed: look again
                for part in remaining:
                    rows = self._scan(part).slice(max(start - part.first, 0))
                    yield _collected(part, rows if where is None else rows.filter(where))
                    start = part.end

    def frames_newest_first(self) -> Iterator[pl.DataFrame]:
        """The rows, part by part from the last one back. Safe next to a concurrent ``merge_small``."""
        end = self.rows
        while remaining := [part for part in self.parts() if part.first < end]:
            with suppress(FileNotFoundError):  # merged since it was listed: look again
                for part in reversed(remaining):
                    yield _collected(part, self._scan(part).head(end - part.first))
                    end = part.first

    def read(self) -> pl.DataFrame:
        """All rows."""
        return pl.concat([pl.DataFrame(schema=self._schema), *self.frames()])

    def scan(self, rows: int) -> pl.LazyFrame:
        """The first ``rows`` rows, lazily. Whoever takes longer than KEEP_REPLACED_S to read them may miss a part."""
        empty = pl.LazyFrame(schema=self._schema)
        return pl.concat([empty, *(self._scan(part) for part in self.parts() if part.first < rows)]).head(rows)

    def merge_small(self) -> None:
        """Merge the small parts at the end into one when there are many. Safe next to a concurrent ``append``."""
        self._drop_replaced()
        small: list[Part] = []
        for part in reversed(self.parts()):
            if part.end - part.first >= SMALL_PART_ROWS:
                break
            small.insert(0, part)
        if len(small) < MERGE_AT_PARTS:
            return
        merged = pl.concat([self._scan(part).collect() for part in small])
        self._write(merged, small[0].first, small[-1].end)
        self._replaced.extend((time.monotonic(), part.path) for part in small)

    def _drop_replaced(self) -> None:
        while self._replaced and time.monotonic() - self._replaced[0][0] >= KEEP_REPLACED_S:
            self._replaced.popleft()[1].unlink(missing_ok=True)

    def discard_leftovers(self) -> None:
        """Delete what a crash left behind: half-written files and parts that a merged one replaces."""
        current = {part.path for part in self.parts()}
        for path in self.folder.iterdir():
            if path not in current and (path.suffix == ".tmp" or _PART.fullmatch(path.name)):
                path.unlink()

    def _scan(self, part: Part) -> pl.LazyFrame:
        """Columns that are younger than the part are null."""
        return pl.scan_parquet(part.path, schema=self._schema, missing_columns="insert")

    def _write(self, frame: pl.DataFrame, first: int, end: int) -> None:
        target = self.folder / f"part-{first:012d}-{end:012d}.parquet"
        write_whole(target, lambda file: frame.write_parquet(file, compression="zstd", compression_level=1))


def _collected(part: Part, rows: pl.LazyFrame) -> pl.DataFrame:
    with disk_errors(part.path, "read"):
        return rows.collect()


class EventLog:
    """All epochs below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def epochs(self) -> list[int]:
        """Those that hold events or items, oldest first."""
        if not self.folder.is_dir():
            return []
        found = [int(m[1]) for path in self.folder.iterdir() if (m := _EPOCH.fullmatch(path.name))]
        return sorted(e for e in found if any(self.epoch_folder(e).glob("*/part-*.parquet")))

    def epoch_folder(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch}"

    def events(self, epoch: int) -> PartFolder:
        return PartFolder(self.epoch_folder(epoch) / "events", EVENT_SCHEMA)

    def catalogue(self, epoch: int) -> PartFolder:
        return PartFolder(self.epoch_folder(epoch) / "catalogue", CATALOGUE_SCHEMA)

    def identity(self) -> str:
        """The same wherever the folder is moved to. Written when first asked for."""
        path = self.folder / "id"
        if not path.exists():
            write_whole(path, lambda file: file.write(uuid.uuid4().hex.encode()))
        return path.read_text()

    def lock(self) -> IO[str]:
        """Become the only writer until the returned file is closed or the process ends."""
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / ".lock").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise StoreMisconfigured(
                f"another pipeline writes to {self.folder}: stop it first, or give this one its own DATA_DIR"
            ) from error
        return file


@contextmanager
def disk_errors(path: Path, doing: str = "write") -> Iterator[None]:
    """A disk that is full, or whatever else it has, is a store that is away: StoreUnavailable.

    FileNotFoundError passes where something is read: somebody may have put another file in its place.
    """
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        if doing == "read" and isinstance(error, FileNotFoundError):
            raise
        raise StoreUnavailable(f"cannot {doing} {path}: {error}") from error


def write_whole(target: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Make a file that survives a crash of the machine. On StoreUnavailable there is no new file."""
    temporary = target.with_suffix(".tmp")
    try:
        with disk_errors(target):
            with temporary.open("wb") as file:
                write(file)
            _fsync(temporary)
            temporary.replace(target)
            _sync_entry(target)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync_entry(target: Path) -> None:
    """A file that may not survive a crash is not there: the caller writes it again."""
    try:
        _fsync(target.parent)
    except OSError:
        target.unlink()
        raise


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
