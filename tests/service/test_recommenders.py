"""Recommenders of one's own: they fill lists, and whatever they do wrong costs nobody but themselves."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from recsys.recommenders.mix import EXPLORE, RANDOM
from recsys.user_state import LIKE
from tests.servers import ROOT, Child, RedisServer, wait_until
from tests.service import own_recommenders
from tests.service.rig import DRAIN_S, Rig, ids

OWN: Final = Path(own_recommenders.__file__)
WORKS, FIT_RAISES, ADD_RAISES = (f"{OWN.stem}:{name}" for name in ("Works", "FitRaises", "AddRaises"))
# What is wrong with each, as the log says it; Late is what the time limit says.
FAULTS: Final = {
    "Raises": "KeyError: ",
    "Unknown": "Rubbish: positions from ",
    "Negative": "Rubbish: positions from -1 ",
    "Repeated": "Rubbish: a position comes twice",
    "Seen": "Rubbish: a position that is not eligible",
    "Fractions": "Rubbish: positions must be whole numbers",
    "Unsure": "Rubbish: scores must be ",
    "Meddling": "ValueError: assignment destination is read-only",
    "Silent": "TypeError: ",
    "Unfinished": "AttributeError: ",
    "Sleeps": "Late: no answer within 5 s",
}
FAULTY: Final = {f"{OWN.stem}:{name}": why for name, why in FAULTS.items()}
LOST: Final = "a recommender lost its places in a list"
ABSTAINS: Final = f"{OWN.stem}:Abstains"
# What else a learner or its model may be asked in the pipeline, and what it raises then.
BESIDE: Final = {
    f"{OWN.stem}:SaveRaises": "RuntimeError: no checkpoint today",
    f"{OWN.stem}:CandidatesRaise": "RuntimeError: no candidates today",
    f"{OWN.stem}:OrderRaises": "RuntimeError: no order today",
    f"{OWN.stem}:FactorsRaise": "RuntimeError: no factors today",
}
SIMILAR_RAISES: Final = f"{OWN.stem}:SimilarRaises"
RECOVER_S: Final = 90.0  # the pauses between a learner's attempts grow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on the path of the services."""
    home = tmp_path_factory.mktemp("own")
    shutil.copy(OWN, home)
    (home / "broken_module.py").write_text("1 / 0\n")
    return home


def logged(child: Child, event: str) -> list[dict[str, Any]]:
    """Lines of a process about this; the last one may be half-written."""
    lines = [line for line in child.output.splitlines(keepends=True) if line.startswith("{") and line.endswith("}\n")]
    return [found for line in lines if (found := json.loads(line))["event"] == event]


# On the request path


@pytest.fixture(scope="module")
def misled(folder: Path, home: Path, redis_server: RedisServer) -> Iterator[Rig]:
    """All faults at once: every list asks each of these in turn, and none of them fills a place."""
    made = Rig(
        folder / "misled",
        redis_server.url,
        redis_server.url,
        PYTHONPATH=str(home),
        RECOMMENDER=",".join([*FAULTY, ABSTAINS]),
        RANK_TIMEOUT_MS="5000",  # a machine that stands still for a moment makes nobody late
        LOG_JSON="true",
    )
    made.tracebacks_allowed = True  # the logs say where somebody's own code failed
    with made:
        made.add(ids("item", 100), [["Drama"], ["Comedy"]] * 50)
        for name in (*FAULTY, ABSTAINS, EXPLORE):
            made.wait_published(name)
        made.get("/top")  # the worker holds all models
        yield made
    # Nobody had to kill it because of the one that hangs.
    assert made.recommendations._process is not None
    assert made.recommendations._process.returncode != -signal.SIGKILL


def failures(rig: Rig) -> dict[str, int]:
    """By source, as counted for monitoring."""
    text = rig.http.get(rig.recommendations.url + "/metrics").text
    found = re.findall(r'^source_failures_total\{source="([^"]+)"\} (\S+)$', text, re.MULTILINE)
    return {source: int(float(count)) for source, count in found}


def require_full_lists(rig: Rig, user: str, requests: int = 6) -> None:
    """Ten distinct known items that he was not shown before, each from where no source has a say."""
    seen: set[str] = set()
    for _ in range(requests):
        answer = rig.get(f"/recs/{user}", explain=True)
        assert answer.status_code == 200, answer.text
        listed, sources = answer.json()["item_ids"], answer.json()["sources"]
        assert len(set(listed)) == len(listed) == 10
        assert set(listed) <= set(ids("item", 100)) - seen
        assert set(sources) <= {RANDOM, EXPLORE}
        seen |= set(listed)


def test_lists_are_full_whatever_the_sources_do(misled: Rig) -> None:
    before = failures(misled)
    for user in ids("stranger", 5):
        require_full_lists(misled, user)
    rows = len(misled.whole_log())
    misled.react("fan", likes=["item-1"], dislikes=["item-2"])
    wait_until(lambda: len(misled.whole_log()) > rows and len(misled.history("fan")) == 2, DRAIN_S, "it is known")
    require_full_lists(misled, "fan")
    counted = {source: count - before.get(source, 0) for source, count in failures(misled).items()}
    lists = 6 * 6
    # Of these it can only be told in lists of those who have seen something.
    has_history = {f"{OWN.stem}:Seen": lists - 5}
    # One that has not come back is not asked again.
    late = f"{OWN.stem}:Sleeps"
    assert failures(misled)[late] == 1
    counted.pop(late)
    assert counted == {source: has_history.get(source, lists) for source in FAULTY if source != late}
    assert misled.recommendations.running


@pytest.mark.parametrize("source", FAULTY)
def test_the_log_says_what_a_source_did_wrong(misled: Rig, source: str) -> None:
    require_full_lists(misled, source.replace(":", "-"), requests=2)
    told = [line["error"] for line in logged(misled.recommendations, LOST) if line["source"] == source]
    assert told
    assert [error for error in told if not error.startswith(FAULTY[source])] == []


def test_to_abstain_is_no_failure(misled: Rig) -> None:
    require_full_lists(misled, "nobody", requests=1)
    assert ABSTAINS not in failures(misled)
    assert ABSTAINS not in {line["source"] for line in logged(misled.recommendations, LOST)}


# In the pipeline


@pytest.fixture(scope="module")
def beside(folder: Path, home: Path, redis_server: RedisServer) -> Iterator[Rig]:
    """One that works, beside two learners that fail, before one of ours; nothing but them in the lists."""
    made = Rig(
        folder / "beside",
        redis_server.url,
        redis_server.url,
        PYTHONPATH=str(home),
        RECOMMENDER=f"{WORKS}:first=7,{FIT_RAISES},{ADD_RAISES},popular",
        EXPLORE="off",
        DIVERSITY="0",
        LOG_JSON="true",
    )
    made.tracebacks_allowed = True
    with made:
        yield made


@pytest.fixture
def rig(beside: Rig, home: Path) -> Rig:
    """Emptied, with two learners that fail from now on."""
    for name in ("fit_broken", "add_broken"):
        (home / name).touch()
    beside.cleanup()
    return beside


def explained(rig: Rig, user: str) -> dict[str, str]:
    """A list, each item with its source."""
    body = rig.get(f"/recs/{user}", explain=True).json()
    assert len(set(body["item_ids"])) == len(body["sources"]) == 10
    return dict(zip(body["item_ids"], body["sources"], strict=True))


def test_one_of_ones_own_fills_lists_with_what_it_learned(rig: Rig) -> None:
    rig.add(ids("item", 30))
    for n in range(3):
        rig.react(f"fan-{n}", likes=["item-20", "ghost", *["item-10"] * (n > 0)])
    rig.wait_counted(likes=8, unknown_items=3)
    rig.wait_published(WORKS)
    rig.wait_published("popular")
    rig.get("/top")  # the worker holds what is new
    listed = explained(rig, "u")
    assert list(listed)[:3] == ["item-7", "item-20", "item-10"]
    assert list(listed.values()) == [WORKS] * 3 + ["popular"] * 7
    rig.react("u", dislikes=["item-0"])
    rig.wait_counted(dislikes=1)
    again = explained(rig, "u")
    assert set(again.values()) == {"popular"}, "it was shown all that the first one knows"
    rig.wait_counted(impressions=20)
    shown = rig.whole_log().filter(kind="impression", user_id="u")
    assert dict(zip(shown["item_id"], shown["source"], strict=True)) == listed | again
    status = rig.get("/status").json()
    assert (status["recommender"], status["explore"]) == (rig.settings.recommender, 0)
    assert status["models"].keys() >= {WORKS, "popular"}
    assert "error" not in status["models"][WORKS]


def wait_for_error(rig: Rig, name: str) -> str:
    def error() -> str:
        return str(rig.get("/status").json()["models"].get(name, {}).get("error", ""))

    wait_until(lambda: bool(error()), DRAIN_S, f"the status says what is wrong with {name}")
    return error()


def test_learners_that_fail_cost_their_own_models_only(rig: Rig) -> None:
    rig.add(ids("item", 30))
    rig.wait_published(ADD_RAISES)  # nothing to add yet
    version, _ = rig.model(ADD_RAISES)
    for n in range(3):
        rig.react(f"fan-{n}", likes=["item-20"])
        rig.wait_counted(likes=n + 1)
    assert rig.history("fan-2") == {(20, LIKE)}
    rig.wait_published(WORKS)
    rig.wait_published("popular")
    rig.get("/top")
    listed = explained(rig, "u")
    assert list(listed)[:2] == ["item-7", "item-20"]
    assert list(listed.values()) == [WORKS] * 2 + ["popular"] * 8
    assert wait_for_error(rig, FIT_RAISES) == "RuntimeError: no fit today"
    assert wait_for_error(rig, ADD_RAISES) == "RuntimeError: no rows today"
    assert rig.model(FIT_RAISES) == ("", None)
    assert rig.model(ADD_RAISES)[0] == version, "what it had learned before stays in force"
    assert rig.models()[ADD_RAISES]["rows"] == 0
    assert rig.pipeline.running
    told = {line["model"]: line["error"] for line in logged(rig.pipeline, "a learner failed, trying again")}
    assert told == {FIT_RAISES: "RuntimeError: no fit today", ADD_RAISES: "RuntimeError: no rows today"}


def test_a_learner_that_recovers_has_missed_nothing_and_counted_nothing_twice(rig: Rig, home: Path) -> None:
    rig.add(ids("item", 30))
    for n in range(3):
        rig.react(f"fan-{n}", likes=["item-20"])
    rig.wait_counted(likes=3)
    for name in (FIT_RAISES, ADD_RAISES):
        wait_for_error(rig, name)
    for name in ("fit_broken", "add_broken"):
        (home / name).unlink()
    for name in (FIT_RAISES, ADD_RAISES):
        wait_until(lambda name=name: rig.models()[name].get("rows") == 3, RECOVER_S, f"{name} has recovered")
        assert json.loads(rig.model(name)[1] or b"") == {"20": 3}
        assert "error" not in rig.get("/status").json()["models"][name]


@pytest.fixture(scope="module")
def faulty(folder: Path, home: Path, redis_server: RedisServer) -> Iterator[Rig]:
    """Learners that can be fitted, and fail wherever else they are asked, before one that works."""
    made = Rig(
        folder / "faulty",
        redis_server.url,
        redis_server.url,
        PYTHONPATH=str(home),
        RECOMMENDER=",".join([*BESIDE, SIMILAR_RAISES, "popular"]),
        CHECKPOINT_INTERVAL_S="0.1",
        LOG_JSON="true",
    )
    made.tracebacks_allowed = True
    with made:
        yield made


def test_what_else_a_learner_raises_does_not_stop_the_pipeline(faulty: Rig) -> None:
    faulty.add(ids("item", 30), [["Drama"]] * 30)
    errors = {name: wait_for_error(faulty, name) for name in BESIDE}
    assert errors == BESIDE
    for n in range(3):
        faulty.react(f"fan-{n}", likes=["item-20"])
        faulty.wait_counted(likes=n + 1)
    faulty.wait_published("popular")
    faulty.get("/status")  # the worker holds what is new
    listed = explained(faulty, "u")
    assert set(listed.values()) <= {"popular", EXPLORE}
    assert faulty.get("/top").json()["item_ids"][0] == "item-20"
    assert faulty.get("/similar/item-1").json() == {"item_ids": []}
    assert faulty.pipeline.running
    assert faulty.recommendations.running


# Such as cannot be had


@pytest.mark.parametrize("module", ["recommendations", "regular_pipeline"])
@pytest.mark.parametrize(
    ("recommender", "sentence"),
    [
        ("clever", "there is no recommender 'clever': choose from bandit, "),
        (f"{OWN.stem}:Incomplete", f"{OWN.stem}:Incomplete lacks the method fit: see docs/own-recommender.md"),
        (f"{OWN.stem}:Missing", f"{OWN.stem}:Missing: there is no class 'Missing' in "),
        ("no_such_module:Mine", "no_such_module:Mine cannot be imported: ModuleNotFoundError: "),
        ("broken_module:Mine", "broken_module:Mine cannot be imported: ZeroDivisionError: "),
        (f"{WORKS}:frist=7", f"{WORKS}:frist=7: {WORKS} has no option 'frist'; it takes first"),
        (f"{WORKS}:first=seven", f"{WORKS}:first=seven: first=seven: "),
        ("popular:half_life=3", "popular:half_life=3: popular has no option 'half_life'; it takes half_life_days, "),
    ],
)
def test_a_recommender_that_cannot_be_had_ends_the_service_with_a_sentence(
    module: str, recommender: str, sentence: str, home: Path
) -> None:
    away = {"REDIS_URL": "redis://127.0.0.1:1/0", "BROKER_URL": "redis://127.0.0.1:1/0", "DATA_DIR": str(home / "data")}
    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env={**os.environ, **away, "RECOMMENDER": recommender, "PYTHONPATH": str(home), "COLUMNS": "1000"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: RECOMMENDER={recommender!r}: {sentence}")
