"""The file that lets a service started by hand join the backends of the launcher that runs."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def published(path: Path, variables: Mapping[str, str]) -> Iterator[str]:
    """Keep the file while the block runs. Yields why it is not kept, as "belongs to ..."; empty if it is."""
    with ExitStack() as stack:
        yield _publish(path, variables, stack)


def _publish(path: Path, variables: Mapping[str, str], stack: ExitStack) -> str:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)  # URLs may hold passwords
        file = stack.enter_context(path.open("ab", buffering=0))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
        file.write(env_text(variables).encode())
    except BlockingIOError:
        return "belongs to another run_all.sh and stays as it is"
    except OSError as error:
        return f"cannot be written ({error.strerror}), so services started by hand need the addresses above"
    stack.callback(path.unlink, missing_ok=True)
    return ""


def env_text(variables: Mapping[str, str]) -> str:
    return "".join(f"{name}='{_escaped(value)}'\n" for name, value in variables.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")
