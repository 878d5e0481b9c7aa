"""The benchmark's verdicts, and what its command makes of them; nothing is measured."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest
from typer.testing import CliRunner

from load_tests import benchmark
from load_tests.benchmark_figures import Budget, Failure, Figure, Outcome
from load_tests.benchmark_parts import MEASURES
from load_tests.benchmark_run import Options, Part, Screen

MORE, LESS = Budget(0.5, 0.8, more_is_better=True), Budget(20, 8)
REACHED, MISSED = Figure("reached", 0.6, budget=MORE), Figure("missed", 0.4, budget=MORE)
WITHOUT = Figure("without a budget", 0.0)
Asked = tuple[list[Part], list[str], Options]
Call = Callable[..., tuple[int, list[Asked]]]


@pytest.mark.parametrize(
    ("budget", "value", "verdict"),
    [
        (MORE, 0.9, "aim"),
        (MORE, 0.8, "aim"),
        (MORE, 0.7, "ok"),
        (MORE, 0.5, "ok"),
        (MORE, 0.49, "missed"),
        (LESS, 7, "aim"),
        (LESS, 8, "aim"),
        (LESS, 9, "ok"),
        (LESS, 20, "ok"),
        (LESS, 21, "missed"),
        (LESS, float("nan"), "missed"),
    ],
)
def test_a_figure_is_judged_by_its_budget(budget: Budget, value: float, verdict: str) -> None:
    assert budget.verdict(value) == verdict
    assert Figure("anything", value, budget=budget).as_json()["verdict"] == verdict


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    """The command with a measurement that finds what it is given: the exit code, and what was asked to be measured."""

    def command(
        *arguments: str, figures: Sequence[Figure] = (), failures: Sequence[Failure] = ()
    ) -> tuple[int, list[Asked]]:
        asked: list[Asked] = []

        async def measure(
            parts: list[Part], brokers: list[str], options: Options, outcome: Outcome, screen: Screen
        ) -> None:
            asked.append((parts, brokers, options))
            outcome.figures += figures
            outcome.failures += failures

        monkeypatch.setattr(benchmark, "measure", measure)
        return CliRunner().invoke(benchmark.app, arguments).exit_code, asked

    return command


@pytest.mark.parametrize(
    ("figures", "failures", "usual", "strict"),
    [
        ([REACHED, WITHOUT], [], 0, 0),
        ([REACHED, MISSED], [], 0, 1),
        ([REACHED], [Failure("drain", "no disk")], 1, 1),
    ],
)
def test_strict_makes_a_missed_budget_the_exit_code(
    call: Call, figures: list[Figure], failures: list[Failure], usual: int, strict: int
) -> None:
    assert call(figures=figures, failures=failures)[0] == usual
    assert call("--strict", figures=figures, failures=failures)[0] == strict


def test_what_takes_long_is_measured_only_if_asked_for(call: Call) -> None:
    for arguments, parts in (
        ([], [part for part in Part if part not in (Part.REFRESH, Part.TRAIN)]),
        (["all"], list(Part)),
        (["refresh", "recs"], [Part.RECS, Part.REFRESH]),
    ):
        code, asked = call(*arguments)
        assert (code, asked[0][0]) == (0, parts)


def test_options_reach_the_measurement(call: Call) -> None:
    words = [
        "--rounds",
        "2",
        "--calls",
        "600",
        "--seconds",
        "4",
        "--messages",
        "10001",
        "--rows",
        "10002",
        "--broker",
        "rabbitmq",
    ]
    _, ((_, brokers, options),) = call(*words)
    assert brokers == ["rabbitmq"]
    assert options == Options(2, 600, 4, 10_001, 10_002, None)


def test_another_part_is_refused_before_anything_is_measured(call: Call) -> None:
    assert call("speed") == (2, [])


def test_the_help_says_what_every_part_is() -> None:
    text = CliRunner().invoke(benchmark.app, ["--help"]).stdout
    told = re.findall(r"^ *(\w+)  +\S", text, re.MULTILINE)
    assert set(MEASURES) == set(Part) <= set(told)
