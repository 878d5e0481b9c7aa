"""The shape of the project, held by a test: who may import whom, and that what people use is documented."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.routing import Route

import event_collector.app
import recommendations.app
from recsys.settings import Settings
from tests.servers import ROOT

SERVICES = ("event_collector", "recommendations", "regular_pipeline", "webapp", "jobs")
TOOLS = ("grader", "load_tests")  # experiments are no part of it: they put what is measured under the measuring stick
STORE_LIBRARIES = ("redis", "aio_pika", "aiormq", "qdrant_client", "obstore")
RECOMMENDERS = "recsys.recommenders"
# The one recommender with parts: what is inside of it is nobody's business but its own. The ideal learner measures with
# two of its parts.
BANDIT = f"{RECOMMENDERS}.bandit"
MEASURES_WITH_THE_BANDIT = ("experiments/ideal.py", (f"{BANDIT}.posterior", f"{BANDIT}.taste"))


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def files_under(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def offenders(files: list[Path], forbidden: tuple[str, ...]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for name in imports_of(path)
        if any(name == other or name.startswith(other + ".") for other in forbidden)
    ]


def test_what_is_shared_imports_no_service() -> None:
    assert offenders(files_under("recsys"), SERVICES + TOOLS) == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_imports_no_other_service(service: str) -> None:
    others = tuple(name for name in SERVICES + TOOLS if name != service)
    assert offenders(files_under(service), others) == []


def test_recommenders_know_no_store_no_settings_and_no_service() -> None:
    forbidden = (*SERVICES, "recsys.stores", "recsys.settings")
    assert offenders(files_under("recsys/recommenders"), forbidden) == []


@pytest.mark.parametrize("folder", ["recsys/settings", "recsys/stores"])
def test_who_only_keeps_things_knows_no_recommender(folder: str) -> None:
    assert offenders(files_under(folder), (RECOMMENDERS,)) == []


def test_nobody_reaches_into_the_bandit() -> None:
    elsewhere = [
        path
        for path in files_under("recsys", *SERVICES, *TOOLS, "experiments")
        if not path.is_relative_to(ROOT / "recsys" / "recommenders")
    ]
    ideal, parts = MEASURES_WITH_THE_BANDIT
    assert offenders([path for path in elsewhere if path != ROOT / ideal], (BANDIT,)) == []
    assert all(any(name in one for name in parts) for one in offenders([ROOT / ideal], (BANDIT,)))


def test_the_measuring_stick_does_not_import_what_it_measures() -> None:
    assert offenders(files_under("grader"), (*SERVICES, RECOMMENDERS)) == []
    # A benchmark asks for as long a top list as there is.
    allowed = f"{RECOMMENDERS}.toplists"
    found = offenders(files_under("load_tests"), (*SERVICES, RECOMMENDERS))
    assert [one for one in found if allowed not in one] == []
    constants = [one.rpartition(".")[2] for one in found if f"imports {allowed}." in one]
    assert all(name.isupper() for name in constants)


@pytest.mark.parametrize("module", ["event_collector.app", "webapp.app"])
def test_who_serves_no_list_loads_no_recommender(module: str) -> None:
    """Nor the libraries that only they need: that would cost seconds at the start and memory for ever."""
    program = f"import sys, {module}; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    loaded = ended.stdout.split()
    assert module in loaded
    unwanted = ("scipy", "polars", RECOMMENDERS)
    assert [name for name in loaded if name in unwanted or name.startswith(tuple(f"{one}." for one in unwanted))] == []


def test_only_the_stores_know_the_store_libraries() -> None:
    # The launcher asks servers for their version before there are any stores; the benchmark measures against them bare.
    elsewhere = [p for p in files_under("recsys", *SERVICES) if not {"stores", "launch"} & set(p.parts)]
    assert offenders(elsewhere, STORE_LIBRARIES) == []


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    assert [name.upper() for name in Settings.model_fields if f"`{name.upper()}`" not in text] == []


@pytest.mark.parametrize("create", [event_collector.app.create_app, recommendations.app.create_app])
def test_every_endpoint_is_documented(create: object, settings: Settings) -> None:
    app: FastAPI = create(settings)  # type: ignore[operator]
    paths = {route.path.replace(":rest", "") for route in app.routes if isinstance(route, Route)}
    text = (ROOT / "docs" / "api.md").read_text()
    framework = {"/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"}
    assert [path for path in sorted(paths - framework) if f"{path}`" not in text and f"{path}?" not in text] == []
