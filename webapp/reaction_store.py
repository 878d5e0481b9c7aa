"""What visitors liked and disliked, for the pages alone: the recommendations come from the event log."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path
from typing import Final

# Bounds: the oldest reactions of a person, and over all, are forgotten first.
PER_PERSON: Final = 500
OVER_ALL: Final = 200_000
TRIM_EVERY: Final = 500  # writes between two looks at the bound over all

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS reactions (
    epoch INTEGER NOT NULL, user_id TEXT NOT NULL, item_id TEXT NOT NULL, action TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (epoch, user_id, item_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_age ON reactions (at);
"""
TRIM_PERSON: Final = """
DELETE FROM reactions WHERE epoch = :epoch AND user_id = :user AND at < (
    SELECT at FROM reactions WHERE epoch = :epoch AND user_id = :user ORDER BY at DESC LIMIT 1 OFFSET :last)
"""
TRIM_ALL: Final = "DELETE FROM reactions WHERE at < (SELECT at FROM reactions ORDER BY at DESC LIMIT 1 OFFSET :last)"


class ReactionStore:
    """Latest reaction per epoch, person and item, in one small SQLite file."""

    def __init__(self, path: Path, per_person: int = PER_PERSON, over_all: int = OVER_ALL) -> None:
        path.touch(mode=0o600)
        self._per_person, self._over_all = per_person, over_all
        self._lock = threading.Lock()
        self._writes = 0
        try:
            self._db = self._open(path)
        except sqlite3.DatabaseError as error:
            raise OSError(f"{path} cannot be used: {error}") from error

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")  # a convenience of the demo: not worth a wait for the disk
        db.executescript(SCHEMA)
        return db

    def remember(self, epoch: int, user_id: str, item_id: str, action: str) -> None:
        """An empty action: the reaction was taken back."""
        with self._lock:
            if not action:
                query = "DELETE FROM reactions WHERE epoch = ? AND user_id = ? AND item_id = ?"
                self._db.execute(query, (epoch, user_id, item_id))
                return
            self._db.execute(
                "INSERT OR REPLACE INTO reactions VALUES (?, ?, ?, ?, ?)",
                (epoch, user_id, item_id, action, time.time()),
            )
            self._db.execute(TRIM_PERSON, {"epoch": epoch, "user": user_id, "last": self._per_person - 1})
            if self._writes % TRIM_EVERY == 0:
                self._db.execute(TRIM_ALL, {"last": self._over_all - 1})
            self._writes += 1

    def of(self, epoch: int, user_id: str) -> dict[str, str]:
        """Item id → "like", "dislike" or "hide", latest first."""
        query = "SELECT item_id, action FROM reactions WHERE epoch = ? AND user_id = ? ORDER BY at DESC"
        with self._lock:
            return dict(self._db.execute(query, (epoch, user_id)).fetchall())

    def close(self) -> None:
        self._db.close()
