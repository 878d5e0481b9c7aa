"""What tests of the command line have in common."""

from __future__ import annotations

from collections.abc import Callable

QUICK = ["--world", "tiny", "--users", "20", "--lists", "3.1", "--speed", "1000", "--no-ladder", "--no-lag"]
Command = Callable[..., tuple[int, str, str]]


def at(url: str) -> list[str]:
    return ["--recs-url", url, "--interact-url", url]


def sentence_of(errors: str) -> str:
    """The one line that says what is wrong."""
    (line,) = [line for line in errors.splitlines() if line.startswith("error:")]
    assert "Traceback" not in errors
    assert errors.rstrip().endswith(line.rstrip()), "nothing follows it"
    return line
