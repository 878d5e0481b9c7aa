"""The recommender in virtual time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from experiments.study import Played, Study, Task, interval, play_task, play_tasks, ranking_of
from recsys.ranking.profiles import PROFILES
from tests.servers import ROOT, wait_until

TINY = "tiny:users=300"
STUDY = Study((TINY,), ("balanced", "popular", "random"), (1, 2), 3.1, 2.0, 10.0, rungs=())


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
    whole, part = (play_task(STUDY, wide._replace(variant=name)) for name in ("balanced", "balanced-explore"))
    assert part.values["catalogue_coverage"] < 0.9 * whole.values["catalogue_coverage"]


def test_precision_is_known_along_the_run() -> None:
    found = played("balanced")
    assert len(found.fifths) == 5
    assert np.mean(found.fifths) == pytest.approx(found.values["precision"], abs=0.01)
    assert found.at[0] > 0
    assert np.isnan(found.at[2])  # so many reactions never came


def test_intervals_are_those_of_student() -> None:
    assert interval(np.array([1.0, 2.0, 3.0]), 3) == "2.000 ± 2.484"  # 4.303 · 1 / √3
    assert interval(np.array([1.5]), 1) == "1.5"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "experiments", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def test_the_command_prints_a_table_for_each_world() -> None:
    ended = run(
        "--world", "tiny:users=40", "--seeds", "2", "--variant", "balanced", "--variant", "random", "--rung", "all"
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


def test_an_ideal_learner_plays_the_same_visits() -> None:
    task = Task(TINY, "random", 1)
    found = play_tasks((replace(STUDY, ideals=("popularity", "features")), [task]))
    chance, popularity, features = (
        found[task._replace(variant=name)].values["precision"]
        for name in ("random", "ideal: popularity", "ideal: features")
    )
    assert 1.2 * chance < popularity < features


def test_an_ideal_learner_of_real_users_is_refused_before_anything_is_played() -> None:
    ended = run("--world", "tiny", "--world", "movielens:anywhere", "--seeds", "1", "--ideal", "genres")
    assert ended.returncode == 1
    assert "only generated worlds" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not ended.stdout


def test_constants_of_a_variant_are_other() -> None:
    chosen = ranking_of("relevance-noise-factors+explore.looks=0.25+choose.pool=300")
    assert (chosen.explore.looks, chosen.explore.least) == (0.25, PROFILES["relevance"].explore.least)
    assert chosen.choose == replace(PROFILES["relevance"].choose, noise=0.0, pool=300)
    assert not chosen.factors


def test_a_variant_may_go_without_several_components() -> None:
    ended = run("--world", "tiny:users=40", "--seeds", "1", "--variant", "balanced-looks-noise")
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--variant", "clever"], "no profile 'clever'"), (["--variant", "balanced-luck"], "no component 'luck'"),
     (["--variant", "balanced+choose.luck=1"], "no constant 'choose.luck'"),
     (["--variant", "balanced+choose.noise=much"], "could not convert string to float: 'much'"),
     (["--variant", "balanced+choose.pool=2.5"], "invalid literal for int() with base 10: '2.5'"),
     (["--world", "mars"], "no world 'mars'"), (["--rung", "seventh"], "no rung 'seventh'"),
     (["--ideal", "all"], "an ideal learner cannot know 'all'"),
     (["--wordl", "mars"], "No such option: --wordl")],
)  # fmt: skip
def test_a_wrong_name_is_one_sentence(arguments: list[str], message: str) -> None:
    ended = run(*arguments)
    assert ended.returncode != 0
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


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

        wait_until(plays, 60, "the first player is about to start")
        if stop == "Ctrl-C":
            os.killpg(study.pid, signal.SIGINT)
        else:
            study.send_signal(signal.SIGTERM)
        assert study.wait(60) == 130
    assert not psutil.wait_procs(players, timeout=10)[1]
    assert "Traceback" not in errors.read_text()
