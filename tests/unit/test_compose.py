"""docker-compose.yml and Dockerfile name what the project has. (Containers themselves are not part of the tests.)"""

from __future__ import annotations

import re
from importlib.util import find_spec

from recsys.launch.services import MODULES
from recsys.settings import ROOT, Settings

COMPOSE = (ROOT / "docker-compose.yml").read_text()


def test_every_variable_is_a_setting() -> None:
    names = re.findall(r"^    ([A-Z_]+):", COMPOSE, re.MULTILINE)
    assert "REDIS_URL" in names
    assert {name.lower() for name in names} <= Settings.model_fields.keys()


def test_every_service_is_there_and_every_command_runs_a_module() -> None:
    modules = re.findall(r"^    command: python -m ([\w.]+)", COMPOSE, re.MULTILINE)
    assert set(modules) == {*MODULES.values(), "recsys.launch.seed"}
    for module in modules:
        assert find_spec(module) is not None


def test_published_ports_are_those_that_the_services_listen_on() -> None:
    ports = {int(inner) for inner in re.findall(r'^    ports: \["\d+:(\d+)"\]', COMPOSE, re.MULTILINE)}
    listening = [Settings.model_fields[f"{name}_port"] for name in MODULES if f"{name}_port" in Settings.model_fields]
    assert ports == {field.default for field in listening}
    assert len(listening) == len(MODULES.keys() - {"pipeline", "jobs"})
