"""The services that can be started, and which of them a run starts."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from recsys.launch.errors import UsageError
from recsys.launch.supervisor import STOP_FIRST, STOP_SECOND

MODULES: Final = {
    "collector": "event_collector",
    "recommendations": "recommendations",
    "pipeline": "regular_pipeline",
    "webapp": "webapp",
    "jobs": "jobs",
}
ARGUMENTS: Final = {"jobs": ("worker",)}
TRAINS: Final = "jobs"


@dataclass(frozen=True)
class Service:
    name: str
    host: str
    port: int | None

    @property
    def command(self) -> tuple[str, ...]:
        return (sys.executable, "-m", MODULES[self.name], *ARGUMENTS.get(self.name, ()))

    @property
    def url(self) -> str | None:
        return None if self.port is None else f"http://{self.host}:{self.port}"

    @property
    def health_url(self) -> str | None:
        return None if self.url is None else f"{self.url}/healthcheck"

    @property
    def stop_stage(self) -> int:
        # The pipeline goes after those that feed it.
        return STOP_SECOND if self.name == "pipeline" else STOP_FIRST


def choose_services(only: str, host: str, ports: Mapping[str, int], *, to_train: bool = False) -> list[Service]:
    """``only`` as given on the command line; empty for all that there are, with jobs if there is anything to train."""
    usual = [name for name in MODULES if name != TRAINS or to_train]
    services = [Service(name, host, ports.get(name)) for name in _parse_names(only) or usual]
    _require_different_ports(services)
    return services


def _parse_names(only: str) -> list[str]:
    wanted = {name.strip() for name in only.split(",")} - {""}
    if unknown := sorted(wanted - MODULES.keys()):
        raise UsageError(f"--only: unknown name {', '.join(unknown)}; there are {', '.join(MODULES)}")
    return [name for name in MODULES if name in wanted]


def _require_different_ports(services: Iterable[Service]) -> None:
    owners: dict[int, str] = {}
    for service in services:
        if service.port is None:
            continue
        other = owners.setdefault(service.port, service.name)
        if other != service.name:
            raise UsageError(f"{other} and {service.name} cannot share port {service.port}")
