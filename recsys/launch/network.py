"""Are the ports free, and who has those that are not?"""

from __future__ import annotations

import errno
import shlex
import socket
from collections.abc import Iterable

from recsys.launch.errors import LaunchError
from recsys.launch.services import Service


def require_free_ports(services: Iterable[Service], bind_host: str) -> None:
    """Raises LaunchError that names every port that cannot be had, and the owner of those in use."""
    wanted = [(service.name, service.port) for service in services if service.port is not None]
    obstacles = [(name, port, obstacle) for name, port in wanted if (obstacle := _obstacle(bind_host, port))]
    if obstacles:
        raise LaunchError("\n".join(f"Port {port}, needed by {name}, {why}." for name, port, why in obstacles))


def _obstacle(host: str, port: int) -> str:
    """Why nobody can listen there; empty if one can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As the servers do it: connections of an earlier run that are still closing do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return f"is in use by {port_owner(port)}"
        return f"cannot be used on {host}: {error.strerror}"
    return ""


def port_owner(port: int) -> str:
    """Pid and command line of the process that listens there, as far as we may see them."""
    import psutil

    for process in psutil.process_iter():
        try:
            sockets = process.net_connections(kind="tcp")
            if any(s.status == psutil.CONN_LISTEN and s.laddr.port == port for s in sockets):
                return f"pid {process.pid} ({shlex.join(process.cmdline())})"
        except psutil.Error:
            continue
    return "a process that cannot be seen from this account"
