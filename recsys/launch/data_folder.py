"""Can this account keep its data in a folder?"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from recsys.launch.errors import UsageError

FOLDERS: Final = ("log", "logs", "redis", "vectors")
FILES: Final = ("webapp.sqlite", "webapp-secret")
MIB: Final = 1024 * 1024
# The shipped catalogue alone needs a few. Without room Redis ends, and cannot even log why.
LEAST_FREE_MIB: Final = 16


def require_usable(folder: Path) -> None:
    """Make it unless it is there. Raises UsageError that names the first thing that we cannot use in it."""
    try:
        str(folder.resolve()).encode()
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        pass  # told below, in words that fit
    except UnicodeEncodeError as error:
        raise UsageError(f"{str(folder)!a} is not UTF-8: choose another folder with --data-dir.") from error
    except OSError as error:
        raise UsageError(f"{folder} cannot be used: {error.strerror}. Choose another with --data-dir.") from error
    for path in (folder, *(folder / name for name in FOLDERS + FILES)):
        if problem := _problem(path, is_folder=path.name not in FILES):
            raise UsageError(f"{path} {problem}, or choose another folder with --data-dir.")
    free_mib = shutil.disk_usage(folder).free / MIB
    if free_mib < LEAST_FREE_MIB:
        raise UsageError(
            f"{folder} is on a disk with only {free_mib:.1f} MiB free, too little to start: "
            "make room, or choose another folder with --data-dir."
        )


def _problem(path: Path, *, is_folder: bool) -> str:
    if not os.path.lexists(path):
        return ""
    if path.is_dir() != is_folder:
        return f"is {'not ' if is_folder else ''}a folder: move it away"
    needed = os.R_OK | os.W_OK | (os.X_OK if is_folder else 0)
    return "" if os.access(path, needed) else "cannot be written by this account: change its owner (chown -R)"
