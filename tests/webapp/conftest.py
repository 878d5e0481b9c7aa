"""A web app in this process in front of real services, and one in front of nothing."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from recsys.settings import SHIPPED_CATALOGUE, Settings
from tests.servers import RedisServer, System, free_port
from tests.webapp.visitor import Visitor
from webapp.app import create_app
from webapp.catalogue import read_catalogue
from webapp.parts import EXTENSION


@contextmanager
def visited(settings: Settings) -> Iterator[Visitor]:
    app = create_app(settings)
    yield Visitor(app)
    app.extensions[EXTENSION].close()


@pytest.fixture(scope="session")
def system(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Services that hold the shipped catalogue."""
    prefix = f"test_{uuid.uuid4().hex[:12]}"
    folder = tmp_path_factory.mktemp("system")
    with System(folder, redis_server.url, redis_server.url, KEY_PREFIX=prefix) as running:
        add_catalogue(running)
        yield running


def add_catalogue(system: System) -> None:
    films = read_catalogue(SHIPPED_CATALOGUE).films.values()
    body = {"item_ids": [film.id for film in films], "genres": [film.genres for film in films]}
    httpx.post(f"{system.recommendations.url}/add_items", json=body, timeout=30).raise_for_status()


def settings_of(system: System, data_dir: Path, **changed: int | Path) -> Settings:
    ports = {name: int(system.env[name.upper()]) for name in ("collector_port", "recommendations_port")}
    return Settings(_env_file=None, listen_host="127.0.0.1", data_dir=data_dir, **(ports | changed))  # type: ignore[arg-type]


@pytest.fixture
def visitor(system: System, tmp_path: Path) -> Iterator[Visitor]:
    with visited(settings_of(system, tmp_path)) as someone:
        yield someone


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[Visitor]:
    """A visitor of a web app whose services do not run."""
    ports = {"collector_port": free_port(), "recommendations_port": free_port()}
    with visited(Settings(_env_file=None, listen_host="127.0.0.1", data_dir=tmp_path, **ports)) as someone:  # type: ignore[arg-type]
        yield someone
