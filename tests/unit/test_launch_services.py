"""Which services a start runs, on which ports, and its options."""

from __future__ import annotations

import os
import re
import socket
import subprocess

import pytest
from typer.main import get_command

from recsys.launch.cli import app
from recsys.launch.errors import LaunchError, UsageError
from recsys.launch.network import require_free_ports
from recsys.launch.services import Service, choose_services
from recsys.settings import ROOT

PORTS = {"collector": 5000, "recommendations": 5001, "webapp": 8000}


class TestServices:
    def test_all(self) -> None:
        chosen = choose_services("", "127.0.0.1", PORTS)
        assert [service.name for service in chosen] == ["collector", "recommendations", "pipeline", "webapp"]

    def test_only(self) -> None:
        chosen = choose_services("pipeline, collector", "127.0.0.1", PORTS)
        assert [(s.name, s.health_url) for s in chosen] == [
            ("collector", "http://127.0.0.1:5000/healthcheck"),
            ("pipeline", None),
        ]

    def test_a_wrong_name(self) -> None:
        with pytest.raises(UsageError, match="unknown name collektor"):
            choose_services("collektor", "", PORTS)

    def test_two_services_on_one_port(self) -> None:
        with pytest.raises(UsageError, match="collector and recommendations cannot share port 5001"):
            choose_services("", "", PORTS | {"collector": 5001})


def test_all_busy_ports_are_named_at_once_with_their_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [one.getsockname()[1], two.getsockname()[1]]
        services = [Service("collector", "", ports[0]), Service("pipeline", "", None), Service("webapp", "", ports[1])]
        with pytest.raises(LaunchError) as error:
            require_free_ports(services, "0.0.0.0")
    first, second = str(error.value).splitlines()
    assert first.startswith(f"Port {ports[0]}, needed by collector, is in use by pid {os.getpid()} (")
    assert f"Port {ports[1]}" in second
    require_free_ports(services, "0.0.0.0")


def test_the_help_of_the_script_names_every_option() -> None:
    text = subprocess.run([ROOT / "run_all.sh", "--help"], capture_output=True, text=True, check=True).stdout
    options = {name for parameter in get_command(app).params for name in parameter.opts}
    assert set(re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE)) == options | {"--help"}
