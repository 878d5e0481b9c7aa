"""Two services, or two saved runs: who is better."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from grader.compare import Difference, compare, holm
from grader.errors import GraderError
from grader.run import Run, load, save
from grader.scoring import PROFILES
from tests.grader.services import InOrder, serving_apart
from tests.grader.stages import graded, staged
from tests.grader.test_cli import Command, at, command

__all__ = ["command"]
STANDARD = PROFILES["standard"]
QUICK = ["--world", "tiny", "--users", "60", "--lists", "3.1", "--speed", "1000"]


async def test_a_deterministic_service_is_exactly_itself() -> None:
    one, other = await graded(InOrder(), staged(salt=1)), await graded(InOrder(), staged(salt=2))
    comparison = compare([one], [other], STANDARD)
    for difference in (comparison.points, *comparison.metrics):
        assert (difference.change, difference.low, difference.high) == (0, 0, 0), difference.metric
        assert difference.verdict == "no difference"
    assert comparison.users == 40


async def test_lists_that_only_one_run_reached_are_left_out() -> None:
    whole = await graded(InOrder(), staged())
    early = Run(whole.facts, whole.catalogue, whole.requests.head(whole.requests.height // 2))
    comparison = compare([whole], [early], STANDARD)
    assert comparison.points.change == 0
    assert comparison.users == early.recs["user"].n_unique()


async def test_other_users_cannot_be_compared() -> None:
    one, other = await graded(InOrder(), staged()), await graded(InOrder(), staged(seed=1))
    with pytest.raises(GraderError, match="seed is 0 in one and 1 in the other"):
        compare([one], [other], STANDARD)


async def test_less_of_what_is_better_when_less_is_better() -> None:
    run = await graded(InOrder(), staged())
    slow = Run(run.facts, run.catalogue, run.requests.with_columns(done_s=pl.col("done_s") + 1))
    comparison = compare([run], [slow], STANDARD)
    assert {d.verdict for d in comparison.latencies} == {"worse"}
    assert {d.verdict for d in comparison.metrics} == {"no difference"}
    assert {d.verdict for d in compare([slow], [run], STANDARD).latencies} == {"better"}


@pytest.mark.parametrize(
    ("metric", "change", "half", "said"),
    [
        ("precision", -0.3, 0.2, "perhaps worse"),
        ("precision", 0.3, 0.2, "perhaps better"),
        ("exposure_gini", 0.3, 0.2, "perhaps worse"),
        ("precision", 0.1, 0.2, "no difference"),
        ("precision", 0.0, 0.0, "no difference"),
        ("precision", float("nan"), float("nan"), "no difference"),
    ],
)
def test_a_row_that_excludes_zero_by_itself_alone_is_a_perhaps(
    metric: str, change: float, half: float, said: str
) -> None:
    found = Difference(metric, 0.5, 0.5 + change, change, change - half, change + half, 0.03)
    assert [one.in_words for one in holm([found] * 10)] == [said] * 10
    assert holm([replace(found, p=1e-9)])[0].in_words in {"better", "worse"}


async def test_saved_runs_are_compared_as_they_were(tmp_path: Path) -> None:
    run = await graded(InOrder(), staged())
    save(run, tmp_path / "run")
    assert compare([run], [load(tmp_path / "run")], STANDARD).points.change == 0


def test_two_services_over_the_command_line(command: Command, tmp_path: Path) -> None:
    with serving_apart(InOrder()) as a, serving_apart(InOrder()) as b:
        sides = [f"{address.recs_url},{address.interact_url}" for address in (a, b)]
        code, output, _ = command("compare", *sides, *QUICK, "--repeats", "2", "--output", str(tmp_path / "both"))
    assert code == 0
    assert "2 runs of each" in output
    assert "better" not in output.replace("perhaps better", "")
    assert sorted(path.name for path in (tmp_path / "both").iterdir()) == ["a1", "a2", "b1", "b2"]
    runs = [load(tmp_path / "both" / name) for name in ("a1", "b1", "a2", "b2")]
    assert [run.facts["settings"]["seed"] for run in runs] == [0, 0, 1, 1]


def test_a_saved_run_against_a_service_takes_its_settings(command: Command, tmp_path: Path) -> None:
    with serving_apart(InOrder()) as address:
        urls = at(address.recs_url)
        options = ["--seed", "5", "--no-ladder", "--no-lag", "--output", str(tmp_path / "old")]
        assert command("run", *urls, *QUICK, *options)[0] == 0
        code, output, _ = command("compare", str(tmp_path / "old"), f"{address.recs_url},{address.interact_url}")
    assert code == 0
    assert "one run of each" in output
    assert "--repeats 3" in output


@pytest.mark.parametrize(
    ("sides", "words"),
    [
        (["http://localhost:1", "http://localhost:2"], "give both"),
        (["nowhere", "nowhere"], "is no saved run"),
    ],
)
def test_what_is_neither_is_told_in_a_sentence(command: Command, sides: list[str], words: str) -> None:
    code, _, errors = command("compare", *sides)
    assert code == 2
    assert words in errors.replace("\n", " ")


def test_each_run_needs_one_of_the_other_side(command: Command, tmp_path: Path) -> None:
    with serving_apart(InOrder()) as address:
        arguments = [*at(address.recs_url), *QUICK, "--no-ladder", "--no-lag", "--output", str(tmp_path / "run")]
        assert command("run", *arguments)[0] == 0
    run = str(tmp_path / "run")
    code, _, errors = command("compare", run, f"{run},{run}")
    assert code == 2
    assert "there are 1 and 2" in errors


async def test_damaged_worlds_are_not_compared() -> None:
    run = await graded(InOrder(), staged())
    other = replace(run, facts={**run.facts, "world": {**run.facts["world"], "opinions": 1}})
    with pytest.raises(GraderError, match="their worlds differ"):
        compare([run], [other], STANDARD)
