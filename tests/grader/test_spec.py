"""Worlds by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from grader.errors import GraderError
from grader.worlds.spec import open_world
from grader.worlds.world import World


def same(one: World, other: World) -> bool:
    pairs = [(one.genres, other.genres), (one.indptr, other.indptr), (one.liked, other.liked)]
    return all(np.array_equal(a, b) for a, b in [*pairs, (one.opinion_items, other.opinion_items)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n1,A,Drama\n2,B,War\n")
    ratings = "".join(f"{user},{1 + user % 2},{5 if user % 3 else 1},0\n" for user in range(50))
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + ratings)
    return tmp_path


def test_synthetic_takes_numbers_by_name() -> None:
    world = open_world("synthetic:items=400, users=30,opinions=0.25,genres=3", seed=1)
    assert (world.n_items, world.n_users, len(world.genre_names)) == (400, 30, 3)
    assert world.parameters["opinions"] == 0.25
    assert (world.parameters["spec"], world.parameters["seed"]) == (world.name, 1)


def test_synthetic_takes_a_change() -> None:
    assert open_world("synthetic:change=0.5", seed=0, users=20).parameters["change"] == 0.5


def test_users_of_a_generated_world_are_as_many_as_asked_for() -> None:
    assert open_world("tiny", seed=0, users=7).n_users == 7
    assert open_world("tiny:users=5", seed=0, users=300).n_users == 300


def test_movielens_is_sampled_by_seed_and_only_limited(folder: Path) -> None:
    everyone = open_world(f"movielens:{folder}", seed=0)
    assert everyone.n_users == 50
    assert same(open_world(f"movielens:{folder}", seed=0, users=60), everyone)
    some = open_world(f"movielens:{folder}", seed=0, users=20)
    assert some.n_users == 20
    assert same(some, open_world(f"movielens:{folder}", seed=0, users=20))
    assert not same(some, open_world(f"movielens:{folder}", seed=1, users=20))
    assert some.name == f"movielens:{folder.name}"
    assert some.parameters["spec"] == f"movielens:{folder}"


def test_a_home_folder_may_be_written_short(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert open_world(f"movielens:~/{folder.name}", seed=0).n_items == 2


def test_the_same_spec_and_seed_give_the_same_world() -> None:
    assert same(open_world("tiny", seed=3), open_world("tiny", seed=3))
    assert not same(open_world("tiny", seed=3), open_world("tiny", seed=4))


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("netflix", ["'netflix'", "movielens:FOLDER", "synthetic", "tiny"]),
        ("", ["''", "movielens:FOLDER"]),
        ("movielens", ["movielens:FOLDER"]),
        ("movielens:", ["movielens:FOLDER"]),
        ("movielens:/no/such/folder", ["/no/such/folder is not a folder"]),
        ("synthetic:", ["''", "NAME=NUMBER"]),
        ("synthetic:size=3", ["'size=3'", "items", "opinions", "like_share"]),
        ("synthetic:items", ["'items'", "NAME=NUMBER"]),
        ("synthetic:items=many", ["items=many", "a whole number"]),
        ("synthetic:items=1.5", ["items=1.5", "a whole number"]),
        ("synthetic:opinions=few", ["opinions=few", "a number"]),
        ("synthetic:opinions=-1", ["opinions=-1", "from 0 on"]),
        ("synthetic:popularity=inf", ["popularity=inf", "from 0 on"]),
        ("synthetic:popularity=nan", ["popularity=nan", "from 0 on"]),
        ("synthetic:popularity=1000", ["popularity=1000", "more than 5"]),
        ("synthetic:popularity_head=0", ["popularity_head"]),
        ("synthetic:opinions=0", ["opinions must be above 0"]),
        ("synthetic:items=1", ["at least 2 items"]),
        ("synthetic:users=0", ["1 user"]),
        ("synthetic:genres=19", ["from 0 to 18"]),
        ("synthetic:no_genre=2", ["no_genre"]),
        ("synthetic:like_share=1", ["like_share"]),
        ("synthetic:change=1.5", ["change is a share from 0 to 1"]),
        ("synthetic:change=-0.5", ["change=-0.5", "from 0 on"]),
        ("synthetic:opinions_median=18", ["opinions_min must be below opinions_median"]),
        ("synthetic:opinions_mean=64", ["opinions_median"]),
    ],
)
def test_specs_that_name_no_world(spec: str, parts: list[str]) -> None:
    with pytest.raises(GraderError) as error:
        open_world(spec, seed=0)
    sentence = str(error.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    for part in parts:
        assert part in sentence


@pytest.mark.parametrize("spec", ["tiny", "movielens:/no/such/folder"])
def test_no_users_at_all(spec: str) -> None:
    with pytest.raises(GraderError, match="at least 1"):
        open_world(spec, seed=0, users=0)
