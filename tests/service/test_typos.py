"""Services whose URLs hold what only a client library can tell to be wrong."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.servers import ROOT


@pytest.mark.parametrize("module", ["event_collector", "recommendations", "regular_pipeline"])
def test_an_unknown_option_of_a_url_ends_the_service_with_a_sentence(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env={**os.environ, "REDIS_URL": "redis://u:secret@127.0.0.1:1/0?sll=yes", "COLUMNS": "1000"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: redis://u:***@127.0.0.1:1/0?sll=yes has an option")
