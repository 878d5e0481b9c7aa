"""The Locust file, headless against a real server, and the exit code that its limits give."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from aiohttp import web

from tests.grader.services import serving_apart
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


def locust(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    urls = ["--recommendations-url", url, "--collector-url", url]
    return subprocess.run([*LOCUST, *urls, *options], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("user", ["GraderUser", "RecsUser", "InteractUser"])
def test_every_kind_of_user_runs_without_errors(url: str, user: str) -> None:
    done = locust(url, user, "--json", "--skip-log")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert ("/interact" if user == "InteractUser" else "/recs/[user]") in {row["name"] for row in figures}
    assert sum(row["num_requests"] for row in figures) > 0
    assert sum(row["num_failures"] for row in figures) == 0


@pytest.mark.parametrize(
    ("limit", "sentence"),
    [
        (["--min-per-second", "1000000"], "requests/s, at least 1e+06 wanted"),
        # Locust rounds to whole milliseconds, so one user of a fast machine has a p95 of 0; a hundred have to queue.
        (["--max-p95-ms", "0.001", "-u", "100", "-r", "100"], "p95 is"),
    ],
)
def test_a_broken_limit_sets_the_exit_code(url: str, limit: list[str], sentence: str) -> None:
    done = locust(url, "RecsUser", *limit)
    assert done.returncode == 1
    assert sentence in done.stderr


def test_errors_set_the_exit_code() -> None:
    done = locust(f"http://127.0.0.1:{free_port()}", "RecsUser")
    assert done.returncode == 1
    assert "100.00% errors" in done.stderr


WRONG = ['["a"]', "null", '{"item_ids": null}', '{"item_ids": [["a"]]}', '{"item_ids": 5}', "", "<html>"]


def test_wrong_answers_are_failures_with_a_reason() -> None:
    """All in turn, each a 200."""
    bodies = itertools.cycle(WRONG)

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=next(bodies), content_type="application/json")

    app = web.Application()
    app.router.add_get("/recs/{user}", answer)
    with serving_apart(app) as address:
        done = locust(address.recs_url, "RecsUser")
    assert done.returncode == 1
    assert "no JSON object with a list of strings as item_ids" in done.stderr, done.stderr
    assert "100.00% errors" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
