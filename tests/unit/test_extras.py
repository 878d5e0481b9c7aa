"""What only some recommenders need: which files of requirements, and what is said while they are not installed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

from recsys.launch import cli
from recsys.launch import extras as command
from recsys.launch.errors import LaunchError
from recsys.launch.services import MODULES
from recsys.recommenders import extras
from recsys.recommenders.extras import JOBS, OF_LIBRARY, missing, require
from recsys.recommenders.recipe import read_recipe
from recsys.recommenders.registry import BUILT_IN, TRAINED_BY, RecommenderError
from recsys.settings import ROOT, read_settings

Uninstall = Callable[..., None]
EVERYTHING = ("rq", "obstore", "implicit", "lightfm")
OWN = """
class Live:
    def add(self, rows): ...
    def fit(self, data, previous, rng): ...
    def load(self, blob, items): ...


class Periodic:
    def fit(self, data, previous, rng): ...
    def load(self, blob, items): ...
"""


@pytest.fixture
def uninstall(monkeypatch: pytest.MonkeyPatch) -> Uninstall:
    """Makes as if nothing but these were missing."""

    def without(*modules: str) -> None:
        monkeypatch.setattr(extras, "find_spec", lambda name: None if name in modules else object())

    return without


@pytest.fixture(autouse=True)
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "somebodys_extras.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


FILES = [
    ("bandit", []),
    ("popular", []),
    ("random", []),
    ("item-knn", []),
    ("bandit,popular,item-knn,random", []),
    ("als", ["requirements-jobs.txt", "requirements-als.txt"]),
    ("bpr", ["requirements-jobs.txt", "requirements-als.txt"]),
    ("lightfm", ["requirements-jobs.txt", "requirements-lightfm.txt"]),
    ("ease", ["requirements-jobs.txt"]),
    ("als:factors=8,iterations=3,bandit", ["requirements-jobs.txt", "requirements-als.txt"]),
    ("popular,als,bpr", ["requirements-jobs.txt", "requirements-als.txt"]),
    ("ease,lightfm,als", ["requirements-jobs.txt", "requirements-lightfm.txt", "requirements-als.txt"]),
    ("somebodys_extras:Live", []),
    ("somebodys_extras:Periodic", ["requirements-jobs.txt"]),
    ("somebodys_extras:Periodic,als", ["requirements-jobs.txt", "requirements-als.txt"]),
]  # fmt: skip
each_recommender = pytest.mark.parametrize(("recommender", "files"), FILES, ids=[name for name, _ in FILES])


@each_recommender
def test_what_is_missing_of_a_recommender(recommender: str, files: list[str], uninstall: Uninstall) -> None:
    uninstall(*EVERYTHING)
    assert [extra.file for extra in missing(read_recipe(recommender))] == files
    uninstall()
    assert missing(read_recipe(recommender)) == []


def test_one_missing_module_of_a_file_is_enough(uninstall: Uninstall) -> None:
    uninstall("obstore")
    assert missing(read_recipe("ease")) == [JOBS]
    uninstall("lightfm")
    assert missing(read_recipe("als,ease")) == []


@each_recommender
def test_the_command_prints_the_files(
    recommender: str,
    files: list[str],
    uninstall: Uninstall,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    uninstall(*EVERYTHING)
    monkeypatch.setenv("RECOMMENDER", recommender)
    command.main()
    assert capsys.readouterr().out.split() == files


def test_the_command_prints_nothing_where_nothing_is_chosen(
    uninstall: Uninstall, capsys: pytest.CaptureFixture[str]
) -> None:
    uninstall(*EVERYTHING)
    command.main()
    assert capsys.readouterr().out.strip() == ""


@pytest.mark.parametrize("recommender", ["clever", "als:factor=3", "no_such_module:Mine"])
def test_the_command_ends_with_a_sentence_for_what_cannot_be_had(
    recommender: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOMMENDER", recommender)
    with pytest.raises(SystemExit) as ended:
        command.main()
    sentence = str(ended.value.code)
    assert sentence.startswith(f"RECOMMENDER={recommender!r}: ")
    assert "\n" not in sentence


def test_as_run_all_calls_it(tmp_path: Path) -> None:
    """With a module of one's own on the path that run_all.sh gives, and whatever is installed here."""
    for recommender, code in (("somebodys_extras:Live", 0), ("clever", 1)):
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "recsys.launch.extras"],
            cwd=tmp_path,
            env={"RECOMMENDER": recommender, "PYTHONPATH": f"{ROOT}:{tmp_path}"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == code, ended.stderr
        assert ended.stdout.strip() == ""
        assert len(ended.stderr.splitlines()) == code


# what is said


@pytest.mark.parametrize(
    ("recommender", "gone", "modules", "files"),
    [
        ("als", EVERYTHING, "rq, obstore, implicit", "-r requirements-jobs.txt -r requirements-als.txt"),
        ("als", ("implicit",), "implicit", "-r requirements-als.txt"),
        ("bpr", ("implicit",), "implicit", "-r requirements-als.txt"),
        ("lightfm,popular", ("lightfm",), "lightfm", "-r requirements-lightfm.txt"),
        ("ease", ("rq",), "rq", "-r requirements-jobs.txt"),
    ],
)
def test_who_trains_needs_all_of_it(
    recommender: str, gone: tuple[str, ...], modules: str, files: str, uninstall: Uninstall
) -> None:
    uninstall(*gone)
    with pytest.raises(RecommenderError) as refused:
        require(read_recipe(recommender), to_train=True)
    needs = f"needs {modules}, not installed yet: pip install {files}"
    assert str(refused.value) == f"RECOMMENDER={recommender!r} {needs}"


def test_who_serves_needs_no_library_that_trains(uninstall: Uninstall) -> None:
    uninstall("implicit", "lightfm")
    require(read_recipe("als,bpr,lightfm"), to_train=False)
    uninstall(*EVERYTHING)
    with pytest.raises(RecommenderError, match=r"needs rq, obstore, not installed yet: .*-r requirements-jobs\.txt$"):
        require(read_recipe("als"), to_train=False)
    require(read_recipe("bandit"), to_train=False)


def test_the_launcher_says_it_too(uninstall: Uninstall, monkeypatch: pytest.MonkeyPatch) -> None:
    uninstall("implicit")
    monkeypatch.setenv("RECOMMENDER", "als")
    with pytest.raises(LaunchError, match=r"needs implicit, not installed yet: pip install -r requirements-als\.txt$"):
        cli.has_to_train(read_settings())
    ended = CliRunner().invoke(cli.app, [])
    assert ended.exit_code == 1
    assert "requirements-als.txt" in " ".join(ended.output.split())
    monkeypatch.setenv("RECOMMENDER", "item-knn")
    assert cli.has_to_train(read_settings()) is False
    monkeypatch.setenv("RECOMMENDER", "als,popular")
    uninstall()
    assert cli.has_to_train(read_settings()) is True


# the lists


def test_every_library_has_a_file_that_installs_it() -> None:
    assert TRAINED_BY.keys() <= BUILT_IN.keys()
    assert set(TRAINED_BY.values()) == OF_LIBRARY.keys()
    for extra in (JOBS, *OF_LIBRARY.values()):
        text = (ROOT / extra.file).read_text()
        installed = re.findall(r"^[A-Za-z0-9-]+", text, re.MULTILINE)
        assert all(any(name.endswith(module) for name in installed) for module in extra.modules), extra
        assert extra is JOBS or f"-r {JOBS.file}" in text, "who is trained needs a worker"


def imports_of(path: Path) -> set[str]:
    """All modules that a file imports, wherever."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return {name.partition(".")[0] for name in found}


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_imports_the_library_that_it_says(name: str) -> None:
    module = import_module(BUILT_IN[name].partition(":")[0])
    used = imports_of(Path(module.__file__ or "")) & set(TRAINED_BY.values())
    assert used == ({TRAINED_BY[name]} if name in TRAINED_BY else set())


def test_the_worker_is_a_service_of_the_launcher() -> None:
    assert "jobs" in MODULES
