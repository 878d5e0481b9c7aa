"""The catalogue in memory: a replay of the shared catalogue log, the same in every process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recsys.contract import ItemRecord

# More distinct names than this are tags rather than genres; the first ones seen are kept.
MAX_GENRES: Final = 256


@dataclass(frozen=True)
class Items:
    """A catalogue of n items as it was at one moment, as recommenders see it. Positions are stable within an epoch."""

    ids: Sequence[str]  # (n,) by position
    genres: NDArray[np.bool_]  # (n, g) membership, read-only
    genre_names: Sequence[str]  # (g,)
    records: int = 0  # of the catalogue log that they reflect: grows with every new or changed item

    def __len__(self) -> int:
        return len(self.ids)


class Catalogue:
    """Items in order of first appearance: that position is the item's index in every array and user state.

    ``chunks`` counts how much of the catalogue log has been replayed; ``history`` holds every record replayed, so that
    whoever mirrors the catalogue elsewhere continues where it left off.
    """

    def __init__(self) -> None:
        self.chunks = 0
        self.history: list[ItemRecord] = []
        self.ids: list[str] = []
        self.index: dict[str, int] = {}
        self.genre_names: list[str] = []
        self._column: dict[str, int] = {}
        self._genres_of: list[tuple[str, ...]] = []
        self._matrix = np.zeros((0, 0), dtype=bool)
        self._stale: set[int] = set()
        self._items = Items([], self._matrix, [])

    def __len__(self) -> int:
        return len(self.ids)

    def extend(self, chunk: Iterable[ItemRecord]) -> None:
        """Replay one chunk of the log: new ids get the next indices, known ids get new genres."""
        for record in chunk:
            position = self.index.setdefault(record.id, len(self.ids))
            if position == len(self.ids):
                self.ids.append(record.id)
                self._genres_of.append(record.genres)
            else:
                self._genres_of[position] = record.genres
            for name in record.genres:
                self._register(name)
            self._stale.add(position)
            self.history.append(record)
        self.chunks += 1

    def _register(self, genre: str) -> None:
        if genre in self._column or len(self.genre_names) == MAX_GENRES:
            return
        self._column[genre] = len(self.genre_names)
        self.genre_names.append(genre)

    def changes(self, records: Iterable[ItemRecord]) -> list[ItemRecord]:
        """Those of the records that would change something."""
        return [r for r in records if r.id not in self.index or self.genres_of(r.id) != r.genres]

    def genres_of(self, item_id: str) -> tuple[str, ...]:
        """Genre names of a known item; KeyError for an unknown one."""
        return self._genres_of[self.index[item_id]]

    def items(self) -> Items:
        """The catalogue as it is now. The same object until something changes."""
        if self._items.records != len(self.history):
            self._items = Items(list(self.ids), self.genres(), list(self.genre_names), len(self.history))
        return self._items

    def genres(self) -> NDArray[np.bool_]:
        """(items, genre names) membership. Treat as read-only: it is replaced, not changed, when items arrive."""
        if self._stale:
            self._rebuild_stale_rows()
        return self._matrix

    def _rebuild_stale_rows(self) -> None:
        matrix = np.zeros((len(self.ids), len(self.genre_names)), dtype=bool)
        rows, columns = self._matrix.shape
        matrix[:rows, :columns] = self._matrix
        for position in self._stale:
            known = [self._column[name] for name in self._genres_of[position] if name in self._column]
            matrix[position] = False
            matrix[position, known] = True
        self._matrix = matrix
        self._stale.clear()
