"""The file that lets a service started by hand join the backends of the launcher that runs."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def published(path: Path, variables: Mapping[str, str]) -> Iterator[bool]:
    """Keep the file while the block runs. False, with nothing done, if another launcher keeps it already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)  # URLs may hold passwords
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        file.truncate(0)
        file.write(env_text(variables))
        file.flush()
        try:
            yield True
        finally:
            path.unlink(missing_ok=True)


def env_text(variables: Mapping[str, str]) -> str:
    return "".join(f"{name}='{_escaped(value)}'\n" for name, value in variables.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")
