"""Can this account keep its data in a folder?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from recsys.launch.errors import UsageError

FOLDERS: Final = ("log", "logs", "redis", "vectors")
FILES: Final = ("webapp.sqlite", "webapp-secret")


def require_usable(folder: Path) -> None:
    """Make it unless it is there. Raises UsageError that names the first thing that we cannot use in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        pass  # told below, in words that fit
    except OSError as error:
        raise UsageError(f"{folder} cannot be used: {error.strerror}. Choose another with --data-dir.") from error
    for path in (folder, *(folder / name for name in FOLDERS + FILES)):
        if problem := _problem(path, is_folder=path.name not in FILES):
            raise UsageError(f"{path} {problem}: remove it, or choose another folder with --data-dir.")


def _problem(path: Path, *, is_folder: bool) -> str:
    if not os.path.lexists(path):
        return ""
    if path.is_dir() != is_folder:
        return "is not a folder" if is_folder else "is a folder"
    needed = os.R_OK | os.W_OK | (os.X_OK if is_folder else 0)
    return "" if os.access(path, needed) else "cannot be written by this account"
