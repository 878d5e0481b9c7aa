"""What holds for every recommender that comes with the system."""

from __future__ import annotations

import hashlib
import inspect
import os
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.contract import HISTORY
from recsys.recommenders.port import Embedding, Model, Ordered, Ranked, Resumable, Scoring, Similar
from recsys.recommenders.registry import BUILT_IN, TRAINED_BY, is_live
from recsys.user_state import DISLIKE, LIKE, SHOWN
from tests.servers import ROOT
from tests.unit.by_hand import data_of, items_of, query_of, rng, user_of
from tests.unit.tastes import (
    EACH_BUILT_IN,
    ITEMS,
    TASTES,
    asking,
    fitted,
    items_with_genres,
    learner_of,
    logged,
    ranked,
    require,
    two_tastes,
)

FAST = settings(deadline=None, max_examples=20)
NEW: Final = 3  # items that are newer than the models
LOG: Final = two_tastes()
PERIODIC: Final = ("als", "bpr", "lightfm", "ease")
PERSONAL: Final = ("item-knn", *PERIODIC)  # without a like they abstain
SAID = st.lists(st.tuples(st.integers(0, ITEMS + NEW - 1), st.sampled_from([LIKE, DISLIKE, SHOWN])), max_size=10)
SOURCES: Final = {
    "bandit": "docs/",
    "popular": "Cormode et al. 2009",
    "item-knn": "Sarwar et al. 2001",
    "als": "Hu, Koren & Volinsky 2008",
    "bpr": "Rendle et al. 2009",
    "lightfm": "Weston et al. 2011",
    "ease": "Steck 2019",
}
AGAIN: Final = """
import hashlib, sys
from tests.unit.tastes import fitted, items_with_genres, two_tastes
for name in sys.argv[1:]:
    model = fitted(name, items_with_genres(), two_tastes())
    print(name, hashlib.sha256(model.dump()).hexdigest())
"""
MODELS: dict[str, Any] = {}


def model_of(name: str) -> Any:
    """A model that knows both tastes, made once."""
    require(name)
    if name not in MODELS:
        MODELS[name] = fitted(name, items_with_genres(), LOG)
    return MODELS[name]


def grown(name: str) -> Any:
    """The same for a catalogue that has grown since."""
    return learner_of(name).load(model_of(name).dump(), items_with_genres(NEW))


@EACH_BUILT_IN
@FAST
@given(
    said=SAID,
    may=st.lists(st.booleans(), min_size=ITEMS + NEW, max_size=ITEMS + NEW),
    k=st.integers(0, ITEMS + NEW + 2),
)
def test_it_ranks_what_is_eligible_and_nothing_twice(
    name: str, said: list[tuple[int, int]], may: list[bool], k: int
) -> None:
    eligible = np.array(may)
    for model, offered in ((model_of(name), eligible[:ITEMS]), (grown(name), eligible)):
        before = offered.copy()
        found = model.rank(query_of(user_of(*said).below(len(offered))), offered, k, rng())
        positions, scores = found if isinstance(found, Ranked) else (found, None)
        assert np.issubdtype(positions.dtype, np.integer)
        assert len(positions) <= k
        assert len(set(positions.tolist())) == len(positions)
        assert offered[positions].all()
        assert np.array_equal(offered, before), "the mask is the caller's"
        if scores is not None:
            assert len(scores) == len(positions)
            assert np.isfinite(scores).all()
            assert np.all(np.diff(scores) <= 0), "best first"


@EACH_BUILT_IN
@FAST
@given(said=SAID)
def test_what_is_dumped_and_loaded_ranks_alike(name: str, said: list[tuple[int, int]]) -> None:
    model, user = model_of(name), user_of(*said).below(ITEMS)
    again = learner_of(name).load(model.dump(), items_with_genres())
    assert ranked(again, query_of(user), ITEMS) == ranked(model, query_of(user), ITEMS)
    assert again.dump() == model.dump()


@EACH_BUILT_IN
def test_what_else_a_model_says_is_about_every_item(name: str) -> None:
    for model, n in ((model_of(name), ITEMS), (grown(name), ITEMS + NEW)):
        query, positions = asking((0, LIKE), (1, DISLIKE)), np.arange(n)
        if isinstance(model, Scoring):
            scores = model.scores(query, positions)
            assert scores is not None
            assert scores.shape == (n,)
            assert np.isfinite(scores).all()
        if isinstance(model, Similar):
            for position in range(n):
                similar = model.similar(position, n).tolist()
                assert position not in similar
                assert set(similar) <= set(range(n))
                assert len(set(similar)) == len(similar)
                assert similar[:3] == model.similar(position, 3).tolist()
        if isinstance(model, Ordered):
            assert sorted(model.order.tolist()) == list(range(n))
        if isinstance(model, Embedding) and n == ITEMS:
            assert model.item_factors.shape[0] == n
            assert np.isfinite(model.item_factors).all()


@pytest.mark.parametrize("name", PERSONAL)
def test_scores_order_items_as_the_ranking_does(name: str) -> None:
    model = model_of(name)
    assert isinstance(model, Scoring)
    query = asking((0, LIKE), (1, LIKE), (9, DISLIKE))
    scores = model.scores(query, np.array(ranked(model, query, ITEMS)))
    assert scores is not None
    assert np.all(np.diff(scores) <= 0)


@pytest.mark.parametrize("name", PERSONAL)
def test_users_of_whom_it_knows_no_like_are_left_to_others(name: str) -> None:
    model = grown(name)
    for said in ([], [(0, SHOWN)], [(0, DISLIKE)], [(ITEMS + 1, LIKE)], [(ITEMS + 1, LIKE), (0, DISLIKE)]):
        assert ranked(model, asking(*said), ITEMS + NEW) == [], said


@pytest.mark.parametrize("name", PERSONAL)
@pytest.mark.parametrize("taste", TASTES, ids=["one taste", "the other"])
def test_a_user_whom_no_training_saw_gets_what_suits_his_taste(name: str, taste: range) -> None:
    liked = [(taste[0], LIKE), (taste[3], LIKE)]
    best = ranked(model_of(name), asking(*liked), ITEMS, len(taste))
    assert set(best) <= set(taste), best
    assert len(best) >= len(taste) - 2


@pytest.mark.parametrize("name", [*PERSONAL, "bandit", "popular"])
def test_it_learns_from_what_was_said_before_this_system(name: str) -> None:
    model = fitted(name, items_with_genres(), LOG.with_columns(source=pl.lit(HISTORY)))
    empty = fitted(name, items_with_genres(), logged())
    assert model.dump() != empty.dump()
    if name in PERSONAL:
        assert model.dump() == model_of(name).dump(), "likes are likes"


CATALOGUES: Final = {
    "no genre in the catalogue": items_of(5),
    "items without genres": items_of(5, np.eye(5, 2, dtype=bool)),  # three of them
    "genres that no item has": items_of(5, np.zeros((5, 3), bool)),
}
LOGS: Final = {
    "empty": (),
    "impressions alone": (("a", "impression", 0), ("a", "impression", 1)),
    "dislikes alone": (("a", "dislike", 0), ("b", "dislike", 1)),
    "one like": (("a", "like", 0),),
    "one user": tuple(("a", "like", item) for item in range(4)),
    "all items of one user": tuple(("a", "like", item) for item in range(5)),
    "one item": tuple((user, "like", 2) for user in "abcd"),
    "taken back": (("a", "like", 0), ("a", "like", 1), ("a", "undo like", 0), ("a", "undo like", 1)),
    "unknown items": (("a", "like", -1), ("b", "dislike", -1)),
}


@EACH_BUILT_IN
@pytest.mark.parametrize("catalogue", CATALOGUES)
@pytest.mark.parametrize("log", LOGS)
def test_small_logs_and_catalogues(name: str, log: str, catalogue: str) -> None:
    items = CATALOGUES[catalogue]
    model = fitted(name, items, logged(*LOGS[log]))
    again = learner_of(name).load(model.dump(), items)
    for said in ([], [(0, LIKE)], [(0, LIKE), (1, LIKE), (2, DISLIKE)]):
        found = model.rank(asking(*said), np.ones(5, bool), 5, rng())
        positions, scores = found if isinstance(found, Ranked) else (found, None)
        assert len(set(positions.tolist())) == len(positions)
        assert scores is None or np.isfinite(scores).all()
        assert ranked(again, asking(*said), 5) == positions.tolist()


@EACH_BUILT_IN
@pytest.mark.parametrize("log", ["empty", "impressions alone", "unknown items"])
def test_who_knows_nothing_has_no_personal_list(name: str, log: str) -> None:
    model: Model = fitted(name, items_of(5), logged(*LOGS[log]))
    found = ranked(model, asking((0, LIKE)), 5)
    assert len(found) == (0 if name in PERSONAL else 5)
    assert ranked(model, query_of(), 5, eligible=np.zeros(5)) == []


@EACH_BUILT_IN
def test_a_catalogue_without_items(name: str) -> None:
    model = fitted(name, items_of(0), logged())
    assert ranked(model, query_of(), 0, 5) == []
    grown = learner_of(name).load(model.dump(), items_of(3, np.ones((3, 1), bool)))
    assert len(ranked(grown, query_of(), 3)) == (0 if name in PERSONAL else 3)


def test_the_same_log_gives_the_same_model_in_every_process() -> None:
    names = [name for name in BUILT_IN if name not in TRAINED_BY or find_spec(TRAINED_BY[name])]
    ended = subprocess.run(
        [sys.executable, "-c", AGAIN, *names],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    told = dict(line.split() for line in ended.stdout.splitlines())
    assert told == {name: hashlib.sha256(model_of(name).dump()).hexdigest() for name in names}


@pytest.mark.parametrize("name", ["als", "bpr", "lightfm"])
def test_another_seed_gives_another_model(name: str) -> None:
    assert fitted(name, items_with_genres(), LOG, seed=1).dump() != model_of(name).dump()


@EACH_BUILT_IN
def test_live_ones_go_on_after_a_restart_and_the_others_are_trained_by_a_job(name: str) -> None:
    learner = learner_of(name)
    assert is_live(learner) == (name not in PERIODIC)
    assert isinstance(learner, Resumable) == is_live(learner)


@pytest.mark.parametrize("name", PERIODIC)
def test_a_periodic_one_tells_how_far_it_is(name: str) -> None:
    told: list[tuple[float, str]] = []
    learner_of(name).fit(replace(data_of(items_with_genres(), LOG), progress=lambda *of: told.append(of)), None, rng())
    shares = [share for share, _ in told]
    assert shares[0] == 0
    assert shares == sorted(shares)
    assert 0.5 < shares[-1] <= 1
    assert all(doing for _, doing in told)


@EACH_BUILT_IN
def test_its_docstring_names_its_source(name: str) -> None:
    module, _, kind = BUILT_IN[name].partition(":")
    text = " ".join((inspect.getdoc(getattr(import_module(module), kind)) or "").split())
    assert text
    assert SOURCES.get(name, "") in text
