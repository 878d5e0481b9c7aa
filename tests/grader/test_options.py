"""Options that cannot be: exit code 2 and what is wrong, before anything is asked of a service."""

from __future__ import annotations

import pytest

from tests.grader.commands import QUICK, Command, at, command, sentence_of
from tests.servers import free_port

__all__ = ["command"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fail-under", "nonsense"], "'nonsense' is no limit"),
        (["--fail-under", "nonsense=3"], "knows no 'nonsense'"),
        (["--profile", "best"], "published"),
        (["--world", "flat"], "'flat'"),
        (["--world", "[/flat]"], "'[/flat]'"),
        (["--world", "tiny:sheep=3"], "sheep=3"),
        (["--recs-url", "localhost:5001"], "'localhost:5001' is no URL"),
        (["--interact-url", "ftp://localhost"], "is no URL"),
        (["--recs-url", "http://[::1"], "is no URL"),
        (["--recs-url", "http://localhost:99999"], "is no URL"),
        (["--interact-url", "http://localhost:port"], "is no URL"),
        (["--recs-url", "http://a..b:5001"], "'http://a..b:5001' is no URL"),
        (["--interact-url", f"http://{'x' * 64}"], "is no URL"),
        (["--recs-url", "http://\udcff"], "'http://\\udcff' is no URL"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_option_is_told_in_a_sentence_before_anything_is_asked(
    command: Command, arguments: list[str], words: str
) -> None:
    """Nothing listens at the URLs: the option is what is complained about."""
    code, output, errors = command("run", *at(f"http://127.0.0.1:{free_port()}"), *QUICK, *arguments)
    assert code == 2
    assert words in sentence_of(errors)
    assert output == ""


@pytest.mark.parametrize("arguments", [["run", "--users", "0"], ["run", "--sheep"], ["sing"], ["report"]])
def test_wrong_usage_ends_with_2(command: Command, arguments: list[str]) -> None:
    code, _, errors = command(*arguments)
    assert code == 2
    assert "Usage" in errors


@pytest.mark.parametrize(
    ("option", "number"),
    [
        ("--seed", "-1"),
        ("--salt", "-1"),
        ("--lists", "2.9"),
        *((option, number) for option in ("--lists", "--rate", "--speed", "--timeout") for number in ("inf", "nan")),
    ],
)
def test_a_number_that_cannot_be_is_refused(command: Command, option: str, number: str) -> None:
    code, _, errors = command("run", *at(f"http://127.0.0.1:{free_port()}"), *QUICK, option, number)
    assert code == 2
    assert f"Invalid value for '{option}'" in errors
    assert "Traceback" not in errors
