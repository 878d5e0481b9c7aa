"""What the grader promises of its intervals and verdicts, counted on services whose truth is known."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from grader.honesty import alarms, covered, found_better, measured_repeats, services, told_apart
from grader.scoring import Measurements
from grader.worlds.spec import open_world
from grader.worlds.world import World
from tests.grader.test_cli import Command, command

__all__ = ["command"]

REPEATS = 100
USERS = 80
NON_LEARNING, LEARNING = "half popular, half random", "online popularity"


@cache
def crowd() -> World:
    return open_world("synthetic:items=500,users=3000", 0)


@cache
def repeats(name: str) -> list[list[Measurements]]:
    return list(measured_repeats(crowd(), services(crowd())[name], USERS, REPEATS))


def test_intervals_hold_the_truth_in_about_95_of_100_repeats() -> None:
    shares = covered(repeats(NON_LEARNING))
    # Of 200 intervals at 95 %, 90 % to 99.5 % are 3 standard deviations; points are cut off at their ends.
    assert {name: share for name, share in shares.items() if not 0.9 <= share <= 0.995 and name != "points"} == {}


def test_a_service_that_does_not_learn_is_no_different_from_itself() -> None:
    assert alarms(repeats(NON_LEARNING), 1).false <= 5


def test_a_service_that_learns_by_chance_is_no_different_from_itself_over_several_runs() -> None:
    assert alarms(repeats(LEARNING), 5).false <= 1


def test_one_run_of_each_cannot_tell_what_was_learned_by_chance() -> None:
    """The reason for several runs, and for the sentence below the table of one."""
    assert alarms(repeats(LEARNING), 1).false > REPEATS / 2


def test_a_service_that_is_better_is_found() -> None:
    gain, better = found_better(open_world("synthetic:items=2000,users=2000", 0), 0.25, 5, 1)
    assert gain == pytest.approx(0.25, abs=0.1)
    assert better == 5


def test_the_same_figures_are_no_different() -> None:
    (pair, *_) = repeats(NON_LEARNING)
    assert told_apart([(pair[0], pair[0])]) == {}


def test_the_better_one_is_named() -> None:
    worse, better = repeats(NON_LEARNING)[0][0], dict(repeats(NON_LEARNING)[0][0])
    precision = better["precision"]
    better["precision"] = type(precision)(precision.value * 2, precision.repeats + precision.value)
    assert told_apart([(worse, better)]) == {"precision": "better"}
    assert told_apart([(better, worse)]) == {"precision": "worse"}


def test_runs_that_disagree_widen_the_interval() -> None:
    """Two runs that are far apart tell less than one alone."""
    a, b = repeats(NON_LEARNING)[0]
    high, low = dict(b), dict(b)
    for changed, factor in ((high, 1.3), (low, 0.9)):
        value = b["precision"].value * factor
        changed["precision"] = type(b["precision"])(value, b["precision"].repeats - b["precision"].value + value)
    assert "precision" in told_apart([(a, high)])
    assert "precision" not in told_apart([(a, high), (a, low)])


def test_repeats_depend_on_their_seed_only() -> None:
    make = services(crowd())[NON_LEARNING]
    one, other = (next(measured_repeats(crowd(), make, USERS, 1)) for _ in range(2))
    assert all(np.array_equal(one[0][name].repeats, other[0][name].repeats) for name in one[0])


def test_more_users_than_the_crowd_has_are_a_sentence(command: Command) -> None:
    code, output, errors = command("honesty", "--crowd", "tiny", "--users", "300")
    assert code == 2
    assert "The crowd has 200 users, too few to draw 300" in errors
    assert "Traceback" not in errors
    assert not output
