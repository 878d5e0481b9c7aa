"""What the contract allows of ids and genres. A module of its own because the launcher wants nothing heavier."""

from __future__ import annotations

import re
from typing import Final

MAX_ID_CHARS: Final = 256
# Visible ASCII without the slash, which separates path segments in /recs/{user_id}.
ID_PATTERN: Final = r"^[!-.0-~]+$"
MAX_GENRE_CHARS: Final = 100
MAX_GENRES_PER_ITEM: Final = 256
_ID: Final = re.compile(ID_PATTERN)


def is_id(value: str) -> bool:
    return len(value) <= MAX_ID_CHARS and _ID.fullmatch(value) is not None
