"""The recommender in virtual time."""

from __future__ import annotations

import io
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from rich.console import Console
from typer.testing import CliRunner

import experiments.__main__
import experiments.system
from experiments.study import Played, Study, Task, around, interval, play_task, play_tasks, relative, show
from experiments.system import Clock, System, Trained
from experiments.variants import CHANGES, recipe_of
from grader.errors import GraderError
from grader.ladder.rungs import play_rungs
from grader.metrics.lists import judge
from grader.traffic import TrafficConfig, plan_traffic
from grader.worlds.spec import open_world
from recsys.catalogue import Items
from recsys.recommenders.bandit import learner
from recsys.recommenders.bandit.config import BanditConfig
from recsys.recommenders.bandit.learner import Bandit
from recsys.recommenders.port import TrainingData
from recsys.recommenders.recipe import PROFILES, read_recipe
from recsys.settings import Settings
from tests.grader.worlds import world_of
from tests.servers import ROOT, wait_until
from tests.unit.by_hand import data_of

TINY = "tiny:users=300"
STUDY = Study((TINY,), ("balanced", "popular", "random"), (1, 2), 3.1, Clock(2.0))


def played(variant: str, seed: int = 1) -> Played:
    return play_task(STUDY, Task(TINY, variant, seed))


def test_the_same_seed_gives_the_same_play() -> None:
    first, again = played("balanced"), played("balanced")
    assert (first.values, first.fifths) == (again.values, again.fifths)


def test_learning_beats_chance() -> None:
    ours, chance = (
        np.mean([played(name, seed).values["precision"] for seed in (1, 2)]) for name in ("balanced", "random")
    )
    assert ours > 1.3 * chance


def test_a_component_is_left_out() -> None:
    wide = Task("tiny:users=50,items=1000", "balanced", 1)
    whole, part = (play_task(STUDY, wide._replace(variant=name)) for name in ("balanced", "balanced without=explore"))
    assert part.values["catalogue_coverage"] < 0.9 * whole.values["catalogue_coverage"]


def test_precision_is_known_along_the_run() -> None:
    found = played("balanced")
    assert len(found.fifths) == 5
    assert np.mean(found.fifths) == pytest.approx(found.values["precision"], abs=0.01)
    assert found.at[0] > 0
    assert np.isnan(found.at[2])  # so many reactions never came


def times_called(monkeypatch: pytest.MonkeyPatch, name: str, refresh_s: float, taste_interval_s: float) -> int:
    """How often a play calls what the bandit knows by this name."""
    count, called = itertools.count(), getattr(learner, name)

    def counted(*arguments: Any) -> Any:
        next(count)
        return called(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(learner, name, counted)
        variant = f"balanced taste_interval_s={taste_interval_s}"
        play_task(replace(STUDY, clock=Clock(refresh_s)), Task(TINY, variant, 1))
    return next(count)


@pytest.mark.parametrize(
    ("name", "intervals_s"),
    [("compute", [(2.0, 10.0), (8.0, 10.0)]), ("learn", [(1.0, 2.0), (1.0, 8.0)])],
    ids=["refresh", "tastes"],
)
def test_refreshes_and_fits_of_tastes_come_as_often_as_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, name: str, intervals_s: list[tuple[float, float]]
) -> None:
    often, seldom = (times_called(monkeypatch, name, *intervals) for intervals in intervals_s)
    assert seldom > 2
    assert often == pytest.approx(4 * seldom, abs=4)


@pytest.mark.parametrize("liked", [True, False])
def test_reactions_are_in_the_next_list_of_their_user(liked: bool) -> None:
    """To the even items, which are of one genre; no refresh comes between."""
    system = System(world_of([{}], [{n % 2} for n in range(200)]), recipe_of("balanced"), 1, Clock(1_000.0))
    even = []
    for at in (0.0, 1.0, 2.0):
        items = system.recommend(0, [], 10, at)
        even = [item for item in items if item % 2 == 0]
        system.react(0, items, dict.fromkeys(even, liked), at)
    assert len(even) > 6 if liked else len(even) < 4


def test_precision_after_so_many_reactions_is_that_of_the_hundred_lists_then() -> None:
    before, hits = np.arange(0, 900, 3, dtype=np.int32), np.arange(300.0)
    assert around(before, hits, 0) == hits[:100].mean()
    assert around(before, hits, 300) == hits[100:200].mean()
    assert around(before, hits, 750) == hits[250:].mean()
    assert np.isnan(around(before, hits, 900))


def test_gains_are_paired_by_seed() -> None:
    def of(precision: float) -> Played:
        return Played({"precision": precision, "points": 100 * precision}, [precision], [precision])

    study = replace(STUDY, variants=("first", "second"))
    values = {"first": (0.1, 0.2), "second": (0.2, 0.6)}
    played = {Task(TINY, name, seed): of(both[seed - 1]) for name, both in values.items() for seed in (1, 2)}
    console = Console(file=io.StringIO(), record=True, width=300)
    show(console, study, played)
    # Of 0.1 / 0.15 and 0.4 / 0.15, and of 10 and 40: 12.706 times half the difference.
    assert "| 166.7 ± 1270.6 % | 25.00 ± 190.59 |" in console.export_text()


def test_a_difference_is_a_share_of_the_mean_so_that_equals_in_turn_better_are_equal() -> None:
    good_and_bad = np.array([0.3, 0.1])
    assert relative(good_and_bad, good_and_bad[::-1]) == pytest.approx([1.0, -1.0])
    assert relative(good_and_bad * 1.1, good_and_bad).mean() == pytest.approx(0.1)


def test_without_any_hit_nothing_can_be_compared() -> None:
    assert np.isnan(relative(np.zeros(2), np.zeros(2))).all()


def test_intervals_are_those_of_student() -> None:
    assert interval(np.array([1.0, 2.0, 3.0]), 3) == "2.000 ± 2.484"  # 4.303 · 1 / √3
    assert interval(np.array([1.5]), 1) == "1.5"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "experiments", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``python -m experiments`` with arguments with which nothing can be played: exit code and errors."""

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["experiments", *arguments])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as ended:
            experiments.__main__.run()
        assert isinstance(ended.value.code, int)
        output, errors = capsys.readouterr()
        assert not output
        return ended.value.code, errors

    return call


def test_the_command_prints_a_table_for_each_world() -> None:
    ended = run(
        "--world",
        "tiny:users=40",
        "--seeds",
        "2",
        "--recommender",
        "balanced",
        "--recommender",
        "random",
        "--rung",
        "all",
    )
    assert ended.returncode == 0, ended.stderr
    rows = [line.split("|")[1].strip() for line in ended.stdout.splitlines() if line.startswith("|")]
    assert rows[2:4] == ["balanced", "random"]
    assert "ladder: popularity oracle" in rows


def test_rungs_are_seen_along_the_run_like_variants() -> None:
    names = ("online popularity", "popularity oracle")
    task = Task(TINY, "random", 1)
    found = play_tasks((replace(STUDY, rungs=names), [task]))
    rungs = [found[task._replace(variant=f"ladder: {name}")] for name in names]
    assert len(found) == 3
    assert all(np.mean(rung.fifths) == pytest.approx(rung.values["precision"], abs=0.01) for rung in rungs)
    learner, oracle = rungs
    assert learner.fifths[0] < learner.fifths[-1] <= oracle.fifths[-1]
    assert oracle.at[0] > 0


def test_rungs_have_the_luck_of_the_seed() -> None:
    task = Task(TINY, "random", 2)
    found = play_tasks((replace(STUDY, rungs=("online popularity",)), [task]))
    world = open_world(TINY, 2)
    plan = plan_traffic(world.n_users, TrafficConfig(lists_per_user=3.1), 2)
    ((_, replay),) = play_rungs(world, plan, 10, 2, ["online popularity"])
    hits = judge(world, plan.step_user[plan.lists], replay.lists).hits
    assert found[task._replace(variant="ladder: online popularity")].values["precision"] == pytest.approx(hits.mean())


def test_an_ideal_learner_plays_the_same_visits() -> None:
    task = Task(TINY, "random", 1)
    found = play_tasks((replace(STUDY, ideals=("popularity", "features")), [task]))
    chance, popularity, features = (
        found[task._replace(variant=name)].values["precision"]
        for name in ("random", "ideal: popularity", "ideal: features")
    )
    assert 1.2 * chance < popularity < features


@pytest.mark.parametrize("knows", ["genres", "features"])
def test_an_ideal_learner_of_real_tastes_is_refused_before_anything_is_played(command: Command, knows: str) -> None:
    words = ("--world", "tiny", "--world", "movielens:x:", "--seeds", "1", "--ideal", "popularity", "--ideal", knows)
    code, errors = command(*words)
    assert code == 2
    assert "movielens:x:: only generated worlds" in errors


def test_an_ideal_learner_of_the_popularity_plays_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n" + "".join(f"{n},M,Drama\n" for n in range(1, 41)))
    ratings = [f"{user},{movie},{1 + 4 * (movie < 21)},0\n" for user in range(1, 31) for movie in range(1, 31)]
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + "".join(ratings))
    spec = f"movielens:{tmp_path}"
    study = asked_for(monkeypatch, "--world", spec, "--recommender", "random", "--ideal", "popularity")
    found = play_tasks((study, [Task(spec, "random", 1)]))
    chance, ideal = (found[Task(spec, name, 1)].values["precision"] for name in ("random", "ideal: popularity"))
    assert ideal > chance


def config_of(variant: str) -> BanditConfig:
    bandit = recipe_of(variant).learners()["bandit"]
    assert isinstance(bandit, Bandit)
    return bandit._config


def test_a_variant_is_a_recommender_or_a_profile_and_other_settings() -> None:
    defaults = {name: Settings.model_fields[name].default for name in ("half_life_days", "taste_interval_s")}
    assert recipe_of("discovery") == read_recipe(profile="discovery", **defaults)
    assert recipe_of("popular:shrinkage=5,random") == read_recipe("popular:shrinkage=5,random", **defaults)
    assert recipe_of("explore=off") == read_recipe(explore="off", **defaults)
    told = "popular,bandit explore=0.3 diversity=0.5 profile=relevance without=noise,looks half_life_days=3"
    assert recipe_of(told) == read_recipe(
        "popular,bandit", "0.3", 0.5, "relevance", "noise,looks", **defaults | {"half_life_days": 3.0}
    )
    assert all(name in CHANGES for name in ("explore", "diversity", "profile", "without", *defaults))
    assert all(recipe_of(profile).text for profile in PROFILES)


def test_constants_of_a_variant_are_other() -> None:
    config = config_of("bandit:explore.looks=0.25,rank.pool=300 profile=relevance without=noise,factors")
    relevance = config_of("relevance")
    assert (config.explore.looks, config.explore.least) == (0.25, relevance.explore.least)
    assert config.rank == replace(relevance.rank, noise=0.0, pool=300)
    assert not config.factors


@pytest.mark.parametrize("variant", ["clever", "balanced luck=1", "balanced luck", "balanced diversity=much"])
def test_a_variant_that_cannot_be_is_named(variant: str) -> None:
    with pytest.raises(GraderError) as refused:
        recipe_of(variant)
    assert str(refused.value).startswith(f"--recommender {variant!r}: ")


def test_a_variant_may_go_without_several_components() -> None:
    ended = run("--world", "tiny:users=40", "--seeds", "1", "--recommender", "balanced without=looks,noise")
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--recommender", "clever"], "there is no recommender 'clever'"),
     (["--recommender", "profile=clever"], "there is no profile 'clever'"),
     (["--recommender", "balanced without=luck"], "no component 'luck'"),
     (["--recommender", "bandit:rank.luck=1"], "no constant 'rank.luck'"),
     (["--recommender", "bandit:rank.noise=much"], "rank.noise must be a number, not 'much'"),
     (["--recommender", "bandit:rank.pool=2.5"], "rank.pool must be a whole number, not '2.5'"),
     (["--recommender", "balanced explore=much"], "EXPLORE='much': must be auto, off or a share"),
     (["--recommender", "balanced luck=1"], "'luck=1' is none of explore=, diversity="),
     (["--world", "mars"], "no world 'mars'"), (["--rung", "seventh"], "no rung 'seventh'"),
     (["--ideal", "all"], "an ideal learner cannot know 'all'"),
     (["--lists", "-5"], "Invalid value for '--lists'"), (["--lists", "nan"], "Invalid value for '--lists'"),
     (["--lists", "inf"], "inf is no finite number"), (["--wordl", "mars"], "No such option: --wordl")],
)  # fmt: skip
def test_a_wrong_name_is_one_sentence(command: Command, arguments: list[str], message: str) -> None:
    code, errors = command(*arguments)
    assert code == 2
    assert message in errors


def asked_for(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Study:
    """The study that these arguments ask for; nothing is played."""
    studies: list[Study] = []
    monkeypatch.setattr(experiments.__main__, "run_study", lambda console, study, processes: studies.append(study))
    monkeypatch.setattr(experiments.__main__, "show", lambda console, study, played: None)
    ended = CliRunner().invoke(experiments.__main__.app, arguments)
    assert ended.exit_code == 0, ended.output
    return studies[0]


def test_every_option_reaches_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--world", "tiny", "--recommender", "popular", "--seeds", "2", "--first-seed", "7", "--lists", "4"]
    more = ["--refresh-s", "3", "--rung", "random", "--ideal", "genres"]
    expected = Study(("tiny",), ("popular",), (7, 8), 4.0, Clock(3.0), ("random",), ("genres",))
    assert asked_for(monkeypatch, *arguments, *more) == expected


def test_a_refresh_comes_as_often_as_in_the_running_system(monkeypatch: pytest.MonkeyPatch) -> None:
    study = asked_for(monkeypatch, "--world", "tiny")
    assert study.clock.refresh_s == Settings.model_fields["refresh_interval_s"].default
    assert study.variants == ("balanced", "popular", "random")


def test_an_error_of_the_program_itself_is_none_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ValueError("operands could not be broadcast together")

    monkeypatch.setattr(experiments.__main__, "run_study", fails)
    monkeypatch.setattr(sys, "argv", ["experiments", "--world", "tiny"])
    with pytest.raises(ValueError, match="broadcast"):
        experiments.__main__.run()


@pytest.mark.parametrize("stop", ["SIGTERM", "Ctrl-C"])
def test_a_stopped_study_leaves_no_process_and_no_traceback(stop: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "experiments", "--world", "tiny", "--seeds", "500"]
    errors = tmp_path / "errors"
    with (
        errors.open("w") as file,
        subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=file,
            start_new_session=True,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
        ) as study,
    ):
        players: list[psutil.Process] = []

        def plays() -> bool:
            found = psutil.Process(study.pid).children()
            players[:] = [child for child in found if "spawn_main" in " ".join(child.cmdline())]
            return bool(players)

        try:
            wait_until(plays, 60, "the first player is about to start")
            if stop == "Ctrl-C":
                os.killpg(study.pid, signal.SIGINT)
            else:
                study.send_signal(signal.SIGTERM)
            assert study.wait(60) == 130
        except BaseException:
            os.killpg(study.pid, signal.SIGKILL)  # the end of the block waits for it
            raise
    assert not psutil.wait_procs(players, timeout=10)[1]
    assert "Traceback" not in errors.read_text()


# Periodic recommenders, several sources, one's own


FIXED_S = 5.0  # every training takes so long


class Fits:
    """A periodic learner that notes what it was asked, and names its models by their number."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, int, Any]] = []  # when, with how many rows, going on from what

    def fit(self, data: TrainingData, previous: Any, rng: np.random.Generator) -> Any:
        self.asked.append((data.at, data.rows, previous))
        return SimpleNamespace(dump=lambda: b"x" * len(self.asked))

    def load(self, blob: bytes, items: Items) -> Any:
        return f"model {len(blob)}"


@pytest.fixture
def fixed_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is measured takes FIXED_S."""
    clock = SimpleNamespace(perf_counter=itertools.count(0.0, FIXED_S).__next__)
    monkeypatch.setattr(experiments.system, "time", clock)


def catch_up(trained: Trained, at: float, rows: int, clock: Clock) -> Any:
    """The model in force then."""
    trained.catch_up(replace(data_of(3), at=at, rows=rows), clock)
    return trained.model


@pytest.mark.usefixtures("fixed_times")
class TestTrained:
    def test_a_model_is_in_force_only_after_its_training(self) -> None:
        trained, clock = Trained(Fits(), 1), Clock(training_takes_time=True)
        assert catch_up(trained, 0.0, 0, clock) is None  # there is nothing to learn from
        found = [catch_up(trained, at, 10, clock) for at in (1.0, 5.9, 6.0)]
        assert found == [None, None, "model 1"]
        assert trained.training_s == [FIXED_S]

    def test_without_training_time_it_is_in_force_at_once(self) -> None:
        trained = Trained(Fits(), 1)
        assert catch_up(trained, 1.0, 10, Clock()) == "model 1"
        assert trained.training_s == [FIXED_S]  # it is a cost all the same

    def test_the_one_before_serves_until_the_next_is_ready(self) -> None:
        trained, clock = Trained(Fits(), 1), Clock(train_s=30.0, training_takes_time=True)
        moments = (1.0, 6.0, 30.9, 31.0, 35.9, 36.0)
        assert [catch_up(trained, at, int(10 * at), clock) for at in moments] == [None, *["model 1"] * 4, "model 2"]

    def test_one_training_at_a_time(self) -> None:
        learner = Fits()
        trained, clock = Trained(learner, 1), Clock(train_s=1.0, training_takes_time=True)
        for at in np.arange(1.0, 12.0, 0.5).tolist():
            catch_up(trained, at, int(10 * at), clock)
        assert [at for at, _, _ in learner.asked] == [1.0, 6.0, 11.0]

    def test_nothing_new_is_nothing_to_train(self) -> None:
        learner = Fits()
        trained, clock = Trained(learner, 1), Clock(train_s=10.0)
        for at in (1.0, 12.0, 23.0):
            catch_up(trained, at, 10, clock)
        catch_up(trained, 23.5, 11, clock)
        assert [(at, rows) for at, rows, _ in learner.asked] == [(1.0, 10), (23.5, 11)]

    def test_it_goes_on_from_the_model_in_force_and_begins_anew_now_and_then(self) -> None:
        learner = Fits()
        trained, clock = Trained(learner, 1), Clock(train_s=10.0, train_full_s=25.0)
        for at in (1.0, 11.0, 21.0, 31.0, 41.0):
            catch_up(trained, at, int(at), clock)
        assert [previous for _, _, previous in learner.asked] == [None, "model 1", "model 2", None, "model 4"]

    def test_the_size_is_that_of_what_is_kept(self) -> None:
        trained = Trained(Fits(), 1)
        for at in (1.0, 40.0):
            catch_up(trained, at, int(at), Clock())
        assert trained.size == 2


PERIODIC = """
import numpy as np

class Model:
    def __init__(self, first, knows):
        self.first, self.knows = first, knows

    def rank(self, query, eligible, k, rng):
        found = np.arange(self.first, self.first + self.knows)
        return found[eligible[found]][:k]

    def dump(self):
        return b"%d %d" % (self.first, self.knows)

class Periodic:
    def __init__(self, first: int = 100, knows: int = 10):
        self.first, self.knows = first, knows

    def fit(self, data, previous, rng):
        return Model(self.first, self.knows)

    def load(self, blob, items):
        return Model(*map(int, blob.split()))
"""


@pytest.fixture
def periodic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A recommender of one's own that is trained, and then knows ten items from the hundredth on, in this order."""
    (tmp_path / "own_periodic.py").write_text(PERIODIC)
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_periodic:Periodic"
    sys.modules.pop("own_periodic", None)


def lists_of(variant: str, moments: Sequence[float], clock: Clock, items: int = 200) -> tuple[list[list[int]], System]:
    """Lists of ten, each for another user, who likes the first of it."""
    world = world_of([{} for _ in moments], [{n % 2} for n in range(items)])
    system = System(world, recipe_of(variant), 1, clock)
    found = []
    for user, at in enumerate(moments):
        found.append(system.recommend(user, [], 10, at))
        system.react(user, found[-1], {found[-1][0]: True}, at)
    return found, system


def sources_in(system: System) -> list[list[str]]:
    """Of each list, best first."""
    system._refresh(1e6)  # takes the last rows in
    shown = system._scan().filter(kind="impression").collect()
    return [shown["source"].to_list()[n : n + 10] for n in range(0, shown.height, 10)]


KNOWN = list(range(100, 110))


@pytest.mark.usefixtures("fixed_times")
@pytest.mark.parametrize(
    ("takes_time", "served"), [(True, [False, False, False, True]), (False, [False, True, True, True])]
)
def test_a_periodic_recommender_serves_once_it_is_trained(periodic: str, takes_time: bool, served: list[bool]) -> None:
    """There is something to learn from 0.5 s on."""
    clock = Clock(0.5, training_takes_time=takes_time)
    lists, system = lists_of(f"{periodic} explore=off", (0.0, 0.6, 5.4, 6.1), clock)
    assert [shown == KNOWN for shown in lists] == served
    wanted = [[periodic if here else "random"] * 10 for here in served]
    assert sources_in(system) == wanted


def test_what_the_first_source_does_not_know_the_next_one_fills(periodic: str) -> None:
    lists, system = lists_of(f"{periodic}:knows=3,popular explore=off", (0.0, 0.6, 0.7), Clock(0.5))
    assert [shown[:3] for shown in lists[1:]] == [KNOWN[:3]] * 2
    assert sources_in(system)[1:] == [[periodic] * 3 + ["popular"] * 7] * 2


def test_without_exploration_nothing_explores(periodic: str) -> None:
    moments = np.arange(0.0, 20.0).tolist()
    explored = {}
    for explore in ("off", "auto", "0.3"):
        _, system = lists_of(f"{periodic},popular explore={explore}", moments, Clock(0.5))
        explored[explore] = sum(sources.count("explore") for sources in sources_in(system))
    assert explored["off"] == 0
    assert explored["auto"] > 0
    # Of each list but the first, before which nobody knew what to explore.
    assert explored["0.3"] == pytest.approx(3 * len(moments), abs=len(moments) / 2)


@pytest.mark.usefixtures("fixed_times")
def test_costs_are_of_all_sources(periodic: str) -> None:
    _, system = lists_of(f"{periodic},popular explore=off", (0.0, 0.6, 31.0), Clock(0.5))
    _, alone = lists_of("popular explore=off", (0.0, 0.6, 31.0), Clock(0.5))
    assert system.costs.training_s == pytest.approx(alone.costs.training_s + 2 * FIXED_S, abs=0.5)
    assert system.costs.model_mb == pytest.approx(alone.costs.model_mb + len(b"100 10") / 1e6)
    assert system.costs.list_us == FIXED_S * 1e6


def test_a_recommender_of_ones_own_is_played_like_any(periodic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variants = (f"{periodic}:first=20,popular", "random explore=off")
    words = [word for variant in variants for word in ("--recommender", variant)]
    study = asked_for(monkeypatch, "--world", TINY, "--seeds", "1", "--training-time", "measured", *words)
    assert study.variants == variants
    found = play_tasks((study, [Task(TINY, variant, 1) for variant in variants]))
    for played in found.values():
        assert 0 < played.values["precision"] < 1
        assert len(played.along) == 20
        assert played.costs.keys() == {"training_s", "list_us", "model_mb"}


@pytest.mark.parametrize(
    ("said", "takes_time"), [((), False), (("--training-time", "0"), False), (("--training-time", "measured"), True)]
)
def test_whether_a_training_takes_time_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, said: tuple[str, ...], takes_time: bool
) -> None:
    study = asked_for(monkeypatch, "--world", "tiny", "--train-s", "7", *said)
    assert study.clock == Clock(train_s=7.0, training_takes_time=takes_time)


@pytest.mark.parametrize(
    ("recommender", "message"),
    [
        ("no_such_module:Mine", "no_such_module:Mine cannot be imported: ModuleNotFoundError"),
        ("own_periodic:Mine", "own_periodic:Mine: there is no class 'Mine' in"),
        ("own_periodic:Model", "own_periodic:Model: TypeError: "),
        ("own_periodic:Periodic:last=3", "own_periodic:Periodic has no option 'last'; it takes first, knows"),
        ("own_periodic:Periodic:first=x", "own_periodic:Periodic:first=x: first=x: "),
    ],
)
@pytest.mark.usefixtures("periodic")
def test_one_of_ones_own_that_cannot_be_had_is_one_sentence(command: Command, recommender: str, message: str) -> None:
    code, errors = command("--recommender", recommender)
    assert code == 2
    assert message in errors
    assert len(errors.strip().splitlines()) == 1


def test_a_wrong_training_time_is_refused(command: Command) -> None:
    code, errors = command("--training-time", "long")
    assert code == 2
    assert "Invalid value for '--training-time'" in errors
