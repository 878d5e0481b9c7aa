"""The Locust file, headless against a real server, and the exit code that its limits give."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import ROOT, Child, free_port, wait_until

LOCUST = [
    sys.executable,
    "-m",
    "locust",
    "-f",
    "load_tests/locustfile.py",
    "--headless",
    "-u",
    "5",
    "-r",
    "5",
    "-t",
    "2s",
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service of the contract that always shows the same list."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "load_tests.trivial:app", "--lifespan", "off", "--port", str(port)]
    child = Child("trivial", tmp_path_factory.mktemp("locust"), command, {})
    child.start()
    wait_until(lambda: "running on" in child.output, 30, "the service runs")
    yield f"http://127.0.0.1:{port}"
    child.stop()


def locust(folder: Path, url: str, *options: str) -> subprocess.CompletedProcess[str]:
    urls = ["--recommendations-url", url, "--collector-url", url]
    return subprocess.run([*LOCUST, *urls, *options], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("user", ["GraderUser", "RecsUser", "InteractUser"])
def test_every_kind_of_user_runs_without_errors(tmp_path: Path, url: str, user: str) -> None:
    done = locust(tmp_path, url, user, "--csv", str(tmp_path / "figures"))
    assert done.returncode == 0, done.stderr
    rows = (tmp_path / "figures_stats.csv").read_text().splitlines()
    total = dict(zip(rows[0].split(","), rows[-1].split(","), strict=True))
    assert total["Name"] == "Aggregated"
    assert int(total["Request Count"]) > 10
    assert total["Failure Count"] == "0"
    asked = {"/recs/[user]": user != "InteractUser", "/interact": user != "RecsUser"}
    assert {path: any(f",{path}," in row for row in rows) for path in asked} == asked


@pytest.mark.parametrize(
    ("limit", "sentence"),
    [
        (["--min-per-second", "1000000"], "requests/s, at least 1e+06 wanted"),
        (["--max-p95-ms", "0.001"], "p95 is"),
    ],
)
def test_a_broken_limit_sets_the_exit_code(tmp_path: Path, url: str, limit: list[str], sentence: str) -> None:
    done = locust(tmp_path, url, "RecsUser", *limit)
    assert done.returncode == 1
    assert sentence in done.stderr


def test_errors_set_the_exit_code(tmp_path: Path) -> None:
    done = locust(tmp_path, f"http://127.0.0.1:{free_port()}", "RecsUser")
    assert done.returncode == 1
    assert "100.00% errors" in done.stderr
