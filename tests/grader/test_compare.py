"""Two services, or two saved runs: who is better."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from aiohttp import web

from grader.compare import Difference, compare, difference, holm, measured_pair
from grader.errors import GraderError
from grader.metrics.intervals import Measured
from grader.run import Run, load, save
from grader.scoring import PROFILES
from tests.grader.services import AtRandom, InOrder, serving_apart
from tests.grader.stages import graded, staged
from tests.grader.test_cli import Command, at, command, sentence_of

__all__ = ["command"]
STANDARD = PROFILES["standard"]
QUICK = ["--world", "tiny", "--users", "60", "--lists", "3.1", "--speed", "1000"]


async def test_a_deterministic_service_is_exactly_itself() -> None:
    one, other = await graded(InOrder(), staged(salt=1)), await graded(InOrder(), staged(salt=2))
    comparison = compare([one], [other], STANDARD)
    for found in (comparison.points, *comparison.metrics):
        assert (found.change, found.low, found.high) == (0, 0, 0), found.metric
        assert found.verdict == "no difference"
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


@pytest.mark.parametrize("name", ["world", "users", "lists_per_user", "k"])
async def test_runs_of_other_settings_cannot_be_compared(name: str) -> None:
    run = await graded(InOrder(), staged())
    with pytest.raises(GraderError, match=f"{name} is .* in one and 'another' in the other"):
        compare([run], [with_settings(run, **{name: "another"})], STANDARD)


async def test_the_same_users_again_are_no_further_evidence() -> None:
    run, other = await graded(InOrder(), staged()), await graded(InOrder(), staged(seed=1))
    with pytest.raises(GraderError, match="Two runs of one side have the seed 0"):
        compare([run, run, run], [run, run, run], STANDARD)
    assert compare([run, other], [run, other], STANDARD).runs == 2


@pytest.mark.parametrize("name", ["speed", "requests_per_s", "concurrency", "timeout_s"])
async def test_under_another_load_lists_are_compared_and_latencies_are_not(name: str) -> None:
    run = await graded(InOrder(), staged())
    slow = Run(run.facts, run.catalogue, run.requests.with_columns(done_s=pl.col("done_s") + 1))
    other = with_settings(slow, **{name: 17})
    comparison = compare([run], [other], STANDARD)
    assert comparison.unlike == [f"{name} {run.facts['settings'][name]:g} and 17"]
    assert not comparison.latencies
    assert {d.metric for d in comparison.metrics} == {d.metric for d in compare([run], [run], STANDARD).metrics}


async def test_runs_without_a_list_in_common_cannot_be_compared() -> None:
    whole = await graded(InOrder(), staged())
    for rows in (0, 1):
        nothing = Run(whole.facts, whole.catalogue, whole.requests.filter(kind="interact").head(rows))
        with pytest.raises(GraderError, match="no list was asked for in both"):
            compare([whole], [nothing], STANDARD)


class Failing(InOrder):
    """Shows nothing at all."""

    async def answer(self, request: web.Request, user: str, found: list[str]) -> web.StreamResponse:
        return web.json_response({}, status=500)


async def test_who_shows_nothing_shows_it_no_more_evenly() -> None:
    shows, fails = await graded(InOrder(), staged()), await graded(Failing(), staged())
    (gini,) = [d for d in compare([shows], [fails], STANDARD).metrics if d.metric == "exposure_gini"]
    assert gini.in_words == "no difference"
    assert math.isnan(gini.b)


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


def measured(value: float, spread: float) -> Measured:
    return Measured(value, value + spread * np.tile([1.0, -1.0], 500))


def test_the_error_over_runs_is_that_between_them_or_that_of_their_users_whichever_is_larger() -> None:
    def half(*changes: float, spread: float) -> float:
        found = difference("precision", [(measured(0.1, 0), measured(0.1 + change, spread)) for change in changes])
        assert found.change == pytest.approx(np.mean(changes))
        assert found.high - found.change == pytest.approx(found.change - found.low)
        return found.high - found.change

    t = 4.302653  # of Student's distribution with two degrees of freedom, two-sided, 95 %
    assert half(0.03, 0.03, 0.03, spread=0.02) == pytest.approx(t * 0.02 / math.sqrt(3))
    assert half(0.01, 0.03, 0.05, spread=0.001) == pytest.approx(t * 0.02 / math.sqrt(3))
    assert half(0.03, spread=0.02) == pytest.approx(1.959964 * 0.02)


def test_the_same_users_in_all_runs_are_as_much_chance_as_in_one() -> None:
    def half(*changes: float, spread: float) -> float:
        pairs = [(measured(0.1, 0), measured(0.1 + change, spread)) for change in changes]
        found = difference("precision", pairs, same_users=True)
        return found.high - found.change

    assert half(0.03, 0.03, 0.03, spread=0.02) == pytest.approx(1.959964 * 0.02)
    assert half(0.01, 0.03, 0.05, spread=0.0) == pytest.approx(4.302653 * 0.02 / math.sqrt(3))
    both = math.sqrt(0.02**2 + 0.02**2 / 3)
    assert half(0.01, 0.03, 0.05, spread=0.02) == pytest.approx(2.0369333 * both)  # 32 degrees of freedom


@pytest.mark.parametrize(
    ("world", "users", "same"),
    [("tiny", None, False), ("movielens:anywhere", None, True), ("movielens:anywhere", 20, False)],
)
async def test_people_of_a_data_set_are_the_same_with_every_seed(world: str, users: int | None, same: bool) -> None:
    """Unless some of them are drawn."""
    stages = [staged(seed=seed) for seed in (0, 1)]
    sides = [[await graded(service(), stage) for stage in stages] for service in (InOrder, AtRandom)]
    a, b = ([with_settings(run, world=world, users=users) for run in side] for side in sides)
    pairs = [measured_pair(one, other, STANDARD) for one, other in zip(a, b, strict=True)]
    (found,) = (row for row in compare(a, b, STANDARD).metrics if row.metric == "precision")
    both = [(x["precision"], y["precision"]) for x, y in pairs]
    expected = [difference("precision", both, as_if) for as_if in (same, not same)]
    assert (found.low, found.high) == (expected[0].low, expected[0].high) != (expected[1].low, expected[1].high)


def test_two_of_100_false_verdicts_are_the_limit_for_all_rows_together() -> None:
    found = Difference("precision", 0.5, 0.6, 0.1, 0.01, 0.19, 0.0)
    assert [one.verdict for one in holm([replace(found, p=0.0019)] * 10)] == ["better"] * 10
    assert [one.verdict for one in holm([replace(found, p=0.0021)] * 10)] == ["no difference"] * 10


async def test_saved_runs_are_compared_as_they_were(tmp_path: Path) -> None:
    run = await graded(InOrder(), staged())
    save(run, tmp_path / "run")
    assert compare([run], [load(tmp_path / "run")], STANDARD).points.change == 0


def with_settings(run: Run, **changes: object) -> Run:
    return replace(run, facts={**run.facts, "settings": {**run.facts["settings"], **changes}})


def test_two_services_over_the_command_line(command: Command, tmp_path: Path) -> None:
    with serving_apart(InOrder()) as a, serving_apart(InOrder()) as b:
        sides = [f"{address.recs_url},{address.interact_url}" for address in (a, b)]
        options = ["--repeats", "2", "--rate", "70", "--concurrency", "40", "--timeout", "7"]
        code, output, _ = command("compare", *sides, *QUICK, *options, "--output", str(tmp_path / "both"))
    assert code == 0
    assert "loads" not in output
    assert "2 runs of each" in output
    assert "better" not in output.replace("perhaps better", "")
    assert sorted(path.name for path in (tmp_path / "both").iterdir()) == ["a1", "a2", "b1", "b2"]
    runs = [load(tmp_path / "both" / name) for name in ("a1", "b1", "a2", "b2")]
    settings = [run.facts["settings"] for run in runs]
    assert [of_run["seed"] for of_run in settings] == [0, 0, 1, 1]
    names = ("world", "users", "lists_per_user", "speed", "requests_per_s", "concurrency", "timeout_s")
    assert [[of_run[name] for name in names] for of_run in settings] == [["tiny", 60, 3.1, 1_000, 70, 40, 7]] * 4


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
    other = tmp_path / "other"
    save(with_settings(load(Path(run)), seed=1), other)
    code, _, errors = command("compare", run, f"{run},{other}")
    assert code == 2
    assert "there are 1 and 2" in errors


def test_runs_of_the_same_users_are_refused_before_anything_is_played(command: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    save(asyncio.run(graded(InOrder(), staged())), run)
    service = InOrder()
    with serving_apart(service) as address:
        code, _, errors = command("compare", f"{run},{run}", f"{address.recs_url},{address.interact_url}")
    assert code == 2
    assert "Two runs of one side have the seed 0" in sentence_of(errors)
    assert not service.paths


def test_other_loads_are_told_below_the_table(command: Command, tmp_path: Path) -> None:
    run = asyncio.run(graded(InOrder(), staged()))
    save(run, tmp_path / "a")
    save(with_settings(run, speed=20), tmp_path / "b")
    code, output, _ = command("compare", str(tmp_path / "a"), str(tmp_path / "b"))
    assert code == 0
    assert "under different loads: speed 1000 and 20." in output
    assert "ms per list" not in output


def test_an_output_that_is_a_file_is_refused_before_anything_is_played(command: Command, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    service = InOrder()
    with serving_apart(service) as address:
        sides = [f"{address.recs_url},{address.interact_url}"] * 2
        code, _, errors = command("compare", *sides, *QUICK, "--output", str(tmp_path / "taken"))
    assert code == 2
    assert str(tmp_path / "taken") in sentence_of(errors)
    assert not service.events


class Strict(InOrder):
    """Knows no parameters, and refuses those it does not know."""

    async def _recs(self, request: web.Request) -> web.StreamResponse:
        if request.query:
            return web.json_response({"detail": "unknown parameter"}, status=422)
        return await super()._recs(request)


def test_a_service_is_asked_for_sources_only_if_it_offers_them(command: Command, tmp_path: Path) -> None:
    save(with_settings(asyncio.run(graded(InOrder(), staged())), explain=True), tmp_path / "old")
    with serving_apart(Strict()) as address:
        urls = f"{address.recs_url},{address.interact_url}"
        code, _, errors = command("compare", str(tmp_path / "old"), urls, "--output", str(tmp_path / "new"))
    assert code == 0, errors
    new = load(tmp_path / "new" / "b1")
    assert set(new.recs["status"]) == {200}


async def test_damaged_worlds_are_not_compared() -> None:
    run = await graded(InOrder(), staged())
    other = replace(run, facts={**run.facts, "world": {**run.facts["world"], "opinions": 1}})
    with pytest.raises(GraderError, match="their worlds differ"):
        compare([run], [other], STANDARD)
