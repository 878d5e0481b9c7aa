"""What tests of the command line have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from grader.cli import main

QUICK = ["--world", "tiny", "--users", "20", "--lists", "3.1", "--speed", "1000", "--no-ladder", "--no-lag"]
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """``python -m grader`` with these arguments: exit code, output and errors."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["grader", *arguments])
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        assert code is None or isinstance(code, int)
        return code or 0, *capsys.readouterr()

    return call


def at(url: str) -> list[str]:
    return ["--recs-url", url, "--interact-url", url]


def sentence_of(errors: str) -> str:
    """The one line that says what is wrong."""
    (line,) = [line for line in errors.splitlines() if line.startswith("error:")]
    assert "Traceback" not in errors
    assert errors.rstrip().endswith(line.rstrip()), "nothing follows it"
    return line
