"""What the documents say is so: links lead somewhere, commands exist, the recommender that is shown can be played."""

from __future__ import annotations

import inspect
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pytest
import typer

from experiments.study import Study, Task, play_task
from experiments.system import Clock, System
from experiments.variants import recipe_of
from grader.ladder.simulate import simulate
from grader.metrics.lists import NOTHING
from grader.traffic import TrafficConfig, plan_traffic
from grader.worlds.spec import open_world, read_spec
from recsys.recommenders import port
from recsys.recommenders.interactions import Interactions
from recsys.recommenders.recipe import PROFILES, read_recipe
from recsys.recommenders.registry import BUILT_IN, TRAINED_BY, Spec, build, is_live
from recsys.settings import Settings
from recsys.user_state import DISLIKE, LIKE
from tests.servers import ROOT
from tests.unit.by_hand import data_of, items_of, log_of, query_of, rng, user_of

DOCUMENTS: Final = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
OWN: Final = ROOT / "docs" / "own-recommender.md"
SAVED_AS: Final = "my_recommender"
TINY: Final = "synthetic:items=60,users=40"
FENCED: Final = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def blocks(document: Path, language: str) -> list[str]:
    return [code for of, code in FENCED.findall(document.read_text()) if of == language]


# Links


def without_code(document: Path) -> str:
    return re.sub(r"`[^`\n]*`", "", FENCED.sub("", document.read_text()))


def links_in(document: Path) -> list[str]:
    """Addresses that are relative: of links, of pictures and of those that are written in HTML."""
    text = without_code(document)
    # A link's text may be code or hold a picture.
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"(?:src|href)=\"([^\"]+)\"", text)
    return [link for link in found if not re.match(r"[a-z]+:", link)]


@lru_cache
def anchors_of(document: Path) -> list[str]:
    """Of its headings, as GitHub names them."""
    found: list[str] = []
    for heading in re.findall(r"^#{1,6} +(.+?)\s*$", FENCED.sub("", document.read_text()), re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        same = found.count(name)
        found.append(f"{name}-{same}" if same else name)
    return found


def is_broken(document: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (document.parent / path).resolve() if path else document
    return not target.exists() or not target.is_relative_to(ROOT) or bool(anchor and anchor not in anchors_of(target))


@each_document
def test_every_link_leads_somewhere(document: Path) -> None:
    assert [link for link in links_in(document) if is_broken(document, link)] == []


def test_a_broken_link_would_be_found(tmp_path: Path) -> None:
    page = ROOT / "docs" / "page.md"  # is not there, and needs not be
    assert [is_broken(page, link) for link in ("none.md", "../../elsewhere", "settings.md#none")] == [True] * 3
    assert [is_broken(page, link) for link in ("../README.md", "settings.md#servers-of-your-own")] == [False] * 2
    written = tmp_path / "page.md"
    written.write_text('# A `b`, c\n# A b c\n[x](y.md) ![p](q.png) [`z`](http://z)\n`[no](link)`\n<img src="i.png">\n')
    assert links_in(written) == ["y.md", "q.png", "i.png"]
    assert anchors_of(written) == ["a-b-c", "a-b-c-1"]


@pytest.mark.parametrize("document", DOCUMENTS[2:], ids=lambda path: path.name)
def test_every_document_is_in_the_index(document: Path) -> None:
    index = ROOT / "docs" / "index.md"
    assert document == index or document.name in links_in(index)


# Commands


class Command(NamedTuple):
    """A line of a document that somebody may type."""

    document: str
    environment: tuple[tuple[str, str], ...]
    program: str  # the module, or the script
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.document}: {' '.join((self.program, *self.arguments))}"[:90]


MODULES: Final = {
    "experiments": "experiments.__main__",
    "grader": "grader.cli",
    "jobs": "jobs.__main__",
    "regular_pipeline": "regular_pipeline.__main__",
    "load_tests.benchmark": "load_tests.benchmark",
    "load_tests.webapp_figures": "load_tests.webapp_figures",
    "./run_all.sh": "recsys.launch.cli",
}
SET: Final = re.compile(r"([A-Z][A-Z0-9_]+)=(.*)", re.DOTALL)
BEGINS: Final = re.compile(r"(?:[A-Z_0-9]+=\S* +)*(?:\./run_all\.sh|(?:\S*/)?python3? -m)\b")
# Of other programs, which have no options of ours.
NOT_OURS: Final = {"venv", "pip", "load_tests.benchmark_ratio"}


def commands_in(document: Path) -> Iterator[Command]:
    """Those that are written out: in a block of their own, or in a sentence. What has "…" or [ is not whole."""
    text = document.read_text()
    lines = [line.strip().removeprefix("$ ") for line in text.splitlines()]
    inline = re.findall(r"`([^`\n]+)`", FENCED.sub("", text))
    for line in filter(BEGINS.match, dict.fromkeys([*lines, *inline])):
        if set(line) & {"…", "["}:
            continue
        words = list(takewhile(lambda word: word not in ("&&", "|", ">"), shlex.split(line, comments=True)))
        environment = [SET.fullmatch(word) for word in takewhile(SET.fullmatch, words)]
        _, *arguments = words[len(environment) :]
        program = "./run_all.sh"
        if "run_all.sh" not in words[len(environment)]:
            _, program, *arguments = arguments
        if program not in NOT_OURS:
            of = tuple((found[1], found[2]) for found in environment if found)
            yield Command(document.name, of, program, tuple("1" if word == "N" else word for word in arguments))


COMMANDS: Final = list(dict.fromkeys(command for document in DOCUMENTS for command in commands_in(document)))


def parsed(command: Command) -> tuple[int, dict[str, Any]]:
    """The exit code of the program, and the values that it would work with."""
    app: typer.Typer = import_module(MODULES[command.program]).app
    program = typer.main.get_command(app)
    values: dict[str, Any] = {}
    for one in (program, *getattr(program, "commands", {}).values()):
        one.callback = lambda **of: values.update(of)
    with pytest.raises(SystemExit) as ended:
        program.main([*command.arguments], command.program)
    assert isinstance(ended.value.code, int)
    return ended.value.code, values


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The recommender of the document, saved as it says and found by name."""
    (tmp_path / f"{SAVED_AS}.py").write_text(blocks(OWN, "python")[0])
    monkeypatch.syspath_prepend(tmp_path)
    yield f"{SAVED_AS}:GenreFan"
    sys.modules.pop(SAVED_AS, None)


@pytest.mark.parametrize("command", COMMANDS, ids=str)
@pytest.mark.usefixtures("own")
def test_every_command_is_taken_by_its_program(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    known = {name.upper() for name in Settings.model_fields}
    assert {name for name, _ in command.environment} <= known
    chosen = {name.lower(): value for name, value in command.environment}
    recommending = {"recommender": "recommender", "explore": "explore", "ranking_profile": "profile"}
    read_recipe(**{recommending[name]: value for name, value in chosen.items() if name in recommending})
    code, values = parsed(command)
    assert code == 0, capsys.readouterr().err
    if command.program == "experiments":
        for variant in values.get("recommender") or ():
            recipe_of(variant)
        for world in values.get("world") or ():
            read_spec(world)


def test_commands_are_found_and_wrong_ones_refused(tmp_path: Path) -> None:
    assert len({command.program for command in COMMANDS}) == len(MODULES)
    page = tmp_path / "page.md"
    page.write_text("    SEED=3 python -m experiments --sedes 3  # no such option\n`python -m jobs trian als`\n")
    mistyped, unknown = commands_in(page)
    assert mistyped == Command("page.md", (("SEED", "3"),), "experiments", ("--sedes", "3"))
    assert [parsed(command)[0] for command in (mistyped, unknown)] == [2, 2]


@each_document
def test_every_address_that_is_asked_is_answered(document: Path) -> None:
    interface = (ROOT / "docs" / "api.md").read_text()
    asked = re.findall(r"curl [^`\n]*localhost:\d+/(\w+)", document.read_text())
    assert [
        path for path in asked if not re.search(rf"`(?:GET|POST|`GET` or `POST`)[^|\n]* /{path}\b", interface)
    ] == []


@each_document
def test_every_test_that_is_named_is_there(document: Path) -> None:
    named = re.findall(r"run_tests\.sh (tests/[\w/.]+)", document.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


# A recommender of one's own


def test_the_file_is_the_example_and_short() -> None:
    file, _ = blocks(OWN, "python")
    assert file == (ROOT / "examples" / "genre_fan.py").read_text().partition("\n\n")[2]
    assert len((ROOT / "examples" / "genre_fan.py").read_text().splitlines()) <= 40


def test_the_file_is_played(own: str) -> None:
    world = open_world(TINY, 1)
    plan = plan_traffic(world.n_users, TrafficConfig(lists_per_user=3.1), 1)
    system = System(world, recipe_of(f"{own} explore=off"), 1)
    replay = simulate(world, plan, system, 10)
    assert replay.lists.shape == (len(plan.lists), 10)
    assert (replay.lists != NOTHING).all()
    assert all(len(set(shown)) == 10 for shown in replay.lists.tolist())
    rows = system._scan().filter(kind="impression").collect()
    assert {own} <= set(rows["source"]) <= {own, "random"}  # at random before there is a model
    assert (rows["source"] == own).mean() > 0.5


@pytest.mark.parametrize("settings", ["explore=off", "explore=auto"])
def test_the_file_is_judged_beside_others(own: str, settings: str) -> None:
    study = Study((TINY,), (f"{own} {settings}",), (1,), 3.1, Clock())
    values = play_task(study, Task(TINY, f"{own} {settings}", 1)).values
    assert 0 < values["precision"] <= 1
    assert values["points"] > 0


def genres() -> Any:
    return np.eye(3, dtype=bool)[[0, 0, 1, 1, 2, 2]]


@pytest.fixture
def fan(own: str) -> Any:
    return build(Spec(own, (("weight", "0.5"),)))


def ranking(model: Any, *history: tuple[int, int]) -> list[int]:
    """Of six items of three genres, for a user who said this."""
    return list(model.rank(query_of(user_of(*history)), np.ones(6, bool), 6, rng()).positions)


def test_it_likes_what_many_like_and_more_of_the_genres_that_the_user_likes(fan: Any) -> None:
    assert is_live(fan)
    fan.add(log_of(("ann", "like", 4), ("bob", "like", 4), ("bob", "dislike", 0), ("cleo", "like", 2)))
    model = fan.fit(data_of(items_of(6, genres())), None, rng())
    assert ranking(model)[:2] == [4, 2]
    assert ranking(model)[-1] == 5
    assert ranking(model, (5, LIKE))[:3] == [4, 2, 5]
    assert ranking(model, (0, DISLIKE))[-2:] == [0, 1]


def test_its_weight_is_an_option(fan: Any) -> None:
    assert fan.weight == 0.5


def test_its_model_is_loaded_for_a_catalogue_that_has_grown(fan: Any) -> None:
    fan.add(log_of(("ann", "like", 3)))
    blob = fan.fit(data_of(items_of(4, genres()[:4])), None, rng()).dump()
    loaded = fan.load(blob, items_of(6, genres()))
    assert list(loaded.likes) == [0, 0, 0, 1, 0, 0]
    assert ranking(loaded)[0] == 3
    assert sorted(ranking(loaded)) == list(range(6))


def test_the_fit_of_a_periodic_learner_is_shown_as_it_is() -> None:
    _, fit = blocks(OWN, "python")
    names: dict[str, Any] = {}
    exec(f"from recsys.recommenders.interactions import interactions\n{fit}    return said\n", names)
    told: list[tuple[float, str]] = []
    data = data_of(4, log_of(("ann", "like", 3), ("ann", "dislike", 3), ("bob", "like", 1)))
    told_of = replace(data, progress=lambda share, doing: told.append((share, doing)))
    said = names["fit"](None, told_of, None, rng())
    assert isinstance(said, Interactions)
    assert sorted(zip(said.item.tolist(), said.liked.tolist(), strict=True)) == [(1, True), (3, False)]
    assert told[-1] == (0.5, "half of it")


def test_the_methods_are_those_of_the_port() -> None:
    named = re.findall(r"^\| `(\w+)\(([\w, ]*)\)`", OWN.read_text(), re.MULTILINE)
    classes = (port.Learner, port.Model, port.Live)
    for name, arguments in named:
        kind = next(kind for kind in classes if name in vars(kind))
        assert ["self", *filter(None, arguments.split(", "))] == list(inspect.signature(vars(kind)[name]).parameters)
    assert [name for name, _ in named] == ["add", "fit", "load", "rank", "dump"]


def test_what_else_a_model_can_say_is_in_the_port() -> None:
    last = OWN.read_text().rpartition("\n\n")[2]
    found = set(re.findall(r"`(\w+)[`(]", last))
    assert found == {"save", "resume", "scores", "similar", "order", "item_factors"}
    kinds = (port.Resumable, port.Scoring, port.Similar, port.Ordered, port.Embedding)
    assert found <= {name for kind in kinds for name in vars(kind)}
    assert "`resume(saved, row)`" in last
    assert list(inspect.signature(port.Resumable.resume).parameters) == ["self", "saved", "row"]


# Recommenders, profiles and settings


def rows_of(document: str, columns: int) -> list[list[str]]:
    """Of its tables with so many columns, without code marks."""
    lines = (ROOT / "docs" / document).read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [row for row in rows if len(row) == columns]


def test_every_recommender_is_described() -> None:
    found = {
        name.strip("`"): (method, kind, installs) for name, method, kind, installs in rows_of("recommenders.md", 4)
    }
    assert found.keys() >= BUILT_IN.keys() | {"module:Class"}
    assert [name for name in found if name not in BUILT_IN] == ["name", "---", "module:Class"]
    for name in BUILT_IN:
        method, kind, installs = found[name]
        assert method
        assert kind == ("live" if is_live(build(Spec(name))) else "periodic")
        assert installs.lower().startswith(TRAINED_BY.get(name, ""))
        assert bool(installs) == (name in TRAINED_BY)


def test_the_readme_names_every_recommender() -> None:
    text = (ROOT / "README.md").read_text()
    for kind, live in (("live", True), ("periodic", False)):
        (row,) = re.findall(rf"^\| \*\*{kind}\*\*.*\| ([^|]*) \|$", text, re.MULTILINE)
        assert set(re.findall(r"`([\w-]+)`", row)) == {name for name in BUILT_IN if is_live(build(Spec(name))) is live}


def test_every_profile_is_described_as_it_is() -> None:
    rows = {row[0].strip("`"): row[2:] for row in rows_of("recommenders.md", 5)[2:]}
    assert rows.keys() == PROFILES.keys()
    for name, (recommender, explore, diversity) in rows.items():
        profile = PROFILES[name]
        assert recommender == f"`{profile.recommender}`" + (" with other constants" if profile.constants else "")
        assert (explore.strip("`"), float(diversity)) == (profile.explore, profile.diversity)


def test_every_setting_is_documented_with_its_default() -> None:
    """That every setting is there at all is a test of the architecture."""
    fields = Settings.model_fields
    elsewhere = {"DATA_DIR", "CATALOGUE"}  # paths below the folder of the project
    for name, default, _ in rows_of("settings.md", 3)[2:]:
        field = fields[name.strip("`").lower()]
        if name.strip("`") not in elsewhere:
            assert default.strip("`") == ("" if field.default is None else str(field.default)), name
