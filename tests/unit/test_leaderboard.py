"""The leaderboard: what is played and kept, the table and the page that are made of it, what is asked for wrongly."""

from __future__ import annotations

import io
import json
import math
import random
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from zlib import crc32

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

import experiments.__main__
from experiments import board_page, leaderboard
from experiments.board_page import COSTS, NOBODY, Measured, Table, markdown, measured, page, tables
from experiments.leaderboard import ALONE, BUILT_IN, EXPLORING, FIRST, PLAYS, Board, Entry, code_of, play, playable
from experiments.study import COLUMNS, STEPS, Played, Study, Task
from experiments.system import Clock
from grader.errors import GraderError
from recsys.recommenders import extras
from recsys.recommenders.registry import BUILT_IN as RECOMMENDERS
from recsys.recommenders.registry import read_specs

WORLDS: Final = ("tiny:users=30", "synthetic:items=60,users=40")
OWN: Final = "own_board:Mine"
COMMAND: Final = "python -m experiments leaderboard"


def board_of(
    folder: Path,
    recommenders: Sequence[str] = (FIRST, "popular"),
    worlds: Sequence[str] = WORLDS,
    seeds: Sequence[int] = (1, 2),
) -> Board:
    return Board(tuple(worlds), tuple(recommenders), tuple(seeds), 3.1, Clock(training_takes_time=True), folder)


def played_of(task: Task) -> Played:
    """Made up; the same for the same task."""
    rng = np.random.default_rng(crc32(repr(task).encode()))
    values = {name: float(value) for name, value in zip(COLUMNS, rng.random(len(COLUMNS)), strict=True)}
    values["points"] *= 40
    costs = {"training_s": float(rng.random()), "list_us": 1e4 * float(rng.random()), "model_mb": float(rng.random())}
    return Played(values, [0.1] * 5, [0.1, math.nan, math.nan], rng.random(STEPS).tolist(), costs)


class Players:
    """Play in this process, and note what. ``fails_at``: the number of the play that is interrupted."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.fails_at = -1

    def play(self, study: Study, task: Task) -> Played:
        if len(self.tasks) == self.fails_at:
            raise InterruptedError
        self.tasks.append(task)
        return played_of(task)

    def again(self, board: Board, processes: int = 1) -> list[Entry]:
        """Only what is played from here on is noted."""
        self.tasks.clear()
        return play(Console(file=io.StringIO()), board, processes)


@pytest.fixture
def players(monkeypatch: pytest.MonkeyPatch) -> Players:
    found = Players()
    monkeypatch.setattr(leaderboard, "play_task", found.play)
    monkeypatch.setattr(
        leaderboard, "multiprocessing", SimpleNamespace(get_context=lambda kind: SimpleNamespace(Pool=ThreadPool))
    )
    return found


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a recommender of one's own, which can be found by name."""
    path = tmp_path / "own_board.py"
    path.write_text(
        "from recsys.recommenders.random import Random\n"
        "class Mine(Random):\n    def __init__(self, label: str = ''):\n        pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield path
    sys.modules.pop("own_board", None)


# What is played


def test_each_is_played_as_the_system_has_it_and_alone() -> None:
    variants = board_of(Path(), [FIRST, "als:factors=8,popular"]).variants
    assert variants == (
        FIRST + EXPLORING,
        FIRST + ALONE,
        *(f"als:factors=8,popular{how}" for how in (EXPLORING, ALONE)),
    )


def test_one_with_settings_of_its_own_is_played_as_it_is() -> None:
    assert board_of(Path(), ["popular", "bandit explore=0.2"]).variants[2:] == ("bandit explore=0.2",)


def test_what_is_played_is_every_world_seed_and_variant_once() -> None:
    board = board_of(Path(), seeds=(3, 4, 5))
    expected = {(world, variant, seed) for world in WORLDS for variant in board.variants for seed in (3, 4, 5)}
    assert len(board.tasks) == len(expected) == 2 * 4 * 3
    assert set(board.tasks) == expected


def test_every_built_in_recommender_is_on_it() -> None:
    assert {spec.name for text in BUILT_IN for spec in read_specs(text)} == set(RECOMMENDERS)
    assert BUILT_IN[0] == FIRST


# What can be played


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make it so that these modules are not installed, and all others are."""

    def remove(*modules: str) -> None:
        monkeypatch.setattr(extras, "find_spec", lambda module: None if module in modules else object())

    return remove


def test_all_can_be_played_where_all_is_installed(without: Callable[..., None]) -> None:
    without()
    assert playable(BUILT_IN) == ([*BUILT_IN], [])


@pytest.mark.parametrize(
    ("modules", "left_out"),
    [
        (["lightfm"], {"lightfm,popular": "requirements-lightfm.txt"}),
        (["implicit"], {"als,popular": "requirements-als.txt", "bpr,popular": "requirements-als.txt"}),
        (
            ["rq", "obstore", "implicit", "lightfm"],
            {
                "als,popular": "requirements-als.txt",
                "bpr,popular": "requirements-als.txt",
                "lightfm,popular": "requirements-lightfm.txt",
                "ease,popular": "requirements-jobs.txt",
            },
        ),
    ],
)
def test_what_is_not_installed_is_left_out_with_a_sentence(
    without: Callable[..., None], modules: list[str], left_out: dict[str, str]
) -> None:
    without(*modules)
    found, sentences = playable(BUILT_IN)
    assert found == [name for name in BUILT_IN if name not in left_out]
    assert sentences == [f"{name} is left out: pip install -r {file}" for name, file in left_out.items()]


def test_who_does_not_exist_is_no_matter_of_installing() -> None:
    with pytest.raises(GraderError, match="there is no recommender 'clever'"):
        playable(["popular", "clever"])


# What is kept


def test_plays_that_are_kept_are_not_played_again(players: Players, tmp_path: Path) -> None:
    board = board_of(tmp_path)
    first = players.again(board)
    assert sorted(players.tasks) == sorted(board.tasks)
    assert [(entry.world, entry.variant) for entry in first] == [(w, v) for w in WORLDS for v in board.variants]
    assert first[0].runs[1].values == played_of(Task(WORLDS[0], board.variants[0], 2)).values
    again = players.again(board)
    assert players.tasks == []
    assert repr(again) == repr(first)  # NaN is not equal to itself


def test_an_interrupted_board_goes_on_where_it_was(players: Players, tmp_path: Path) -> None:
    board = board_of(tmp_path)
    players.fails_at = 5
    with pytest.raises(InterruptedError):
        players.again(board)
    kept = list(players.tasks)
    players.fails_at = -1
    players.again(board)
    assert len(kept) == 5
    assert sorted([*kept, *players.tasks]) == sorted(board.tasks)


def test_a_line_that_was_cut_off_is_played_again(players: Players, tmp_path: Path) -> None:
    board = board_of(tmp_path)
    first = players.again(board)
    path = tmp_path / PLAYS
    path.write_text(path.read_text()[:-40])
    last = players.tasks[-1]
    again = players.again(board)
    assert players.tasks == [last]
    assert repr(again) == repr(first)


def test_what_is_played_after_a_line_that_was_cut_off_is_kept(players: Players, tmp_path: Path) -> None:
    board = board_of(tmp_path)
    players.again(board)
    path = tmp_path / PLAYS
    path.write_text(path.read_text()[:-40])
    players.again(board)
    players.again(board)
    assert players.tasks == []


@pytest.mark.parametrize("line", ["", "{}", "[]", '{"played": {}}', '{"played": {"values": 1, "luck": 2}}'])
def test_lines_of_something_else_are_left_out(players: Players, tmp_path: Path, line: str) -> None:
    board = board_of(tmp_path)
    players.again(board)
    path = tmp_path / PLAYS
    path.write_text(f"{line}\n{path.read_text()}")
    players.again(board)
    assert players.tasks == []


def test_more_seeds_or_recommenders_are_played_beside_what_is_kept(players: Players, tmp_path: Path) -> None:
    players.again(board_of(tmp_path))
    more = board_of(tmp_path, [FIRST, "popular", "random"], seeds=(1, 2, 3))
    players.again(more)
    assert sorted(players.tasks) == sorted(
        task for task in more.tasks if task.seed == 3 or task.variant.startswith("random")
    )


@pytest.mark.parametrize(
    "changed", [{"lists": 4.0}, {"clock": Clock()}, {"clock": Clock(2.0, training_takes_time=True)}]
)
def test_plays_of_other_settings_are_others(players: Players, tmp_path: Path, changed: dict[str, Any]) -> None:
    board = board_of(tmp_path)
    players.again(board)
    players.again(replace(board, **changed))
    assert len(players.tasks) == len(board.tasks)
    players.again(board)
    assert players.tasks == [], "those of before are still kept"


def test_plays_of_other_code_are_played_again(
    players: Players, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = board_of(tmp_path)
    players.again(board)
    monkeypatch.setattr(leaderboard, "_own_code", lambda: "another digest")
    players.again(board)
    assert sorted(players.tasks) == sorted(board.tasks)


def test_only_ones_own_recommender_is_played_again_after_it_was_changed(
    players: Players, tmp_path: Path, own: Path
) -> None:
    board = board_of(tmp_path, ["popular", f"{OWN},popular"])
    players.again(board)
    own.write_text(own.read_text() + "# better\n")
    players.again(board)
    assert sorted(players.tasks) == sorted(task for task in board.tasks if task.variant.startswith(OWN))


def test_the_digest_is_of_all_code_that_plays(own: Path) -> None:
    ours = leaderboard._own_code()
    assert code_of("popular") == code_of("random explore=off") != code_of(OWN)
    leaderboard._own_code.cache_clear()
    assert leaderboard._own_code() == ours


# The table and the page


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    class Noon(board_page.datetime):  # type: ignore[name-defined,misc]
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls(2026, 1, 2, 12, 0, tzinfo=tz)

    monkeypatch.setattr(board_page, "datetime", Noon)


def entries_of(board: Board) -> list[Entry]:
    return [
        Entry(world, variant, [played_of(Task(world, variant, seed)) for seed in board.seeds])
        for world in board.worlds
        for variant in board.variants
    ]


def tables_of(board: Board) -> list[Table]:
    return tables(board, entries_of(board))


def table_rows(text: str) -> list[list[list[str]]]:
    """Cells of each Markdown table, without its head."""
    found: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        elif found[-1]:
            found.append([])
    return [rows[2:] for rows in found if rows]


def test_the_markdown_has_every_recommender_of_every_world() -> None:
    board = board_of(Path())
    text = markdown(board, tables_of(board), COMMAND)
    found = table_rows(text)
    assert len(found) == len(WORLDS)
    for world, rows in zip(WORLDS, found, strict=True):
        assert f"## {world}, 2 seeds" in text
        assert {(row[0], row[1]) for row in rows} == {
            (f"`{n}`", how) for n in board.recommenders for how in ("yes", "no")
        }
        assert {len(row) for row in rows} == {2 + len(COLUMNS) + 2 + len(COSTS)}
    assert f"    {COMMAND}\n" in text


class Reader(HTMLParser):
    """What a browser would show, and the ids that it would know."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        told = dict(attrs)
        self.ids += [told["id"] or ""] if "id" in told else []
        self.addresses += [told[name] or "" for name in ("href", "src", "xlink:href") if name in told]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def shown(self) -> str:
        return " ".join("".join(self.words).split())


def test_the_page_has_every_recommender_of_every_world() -> None:
    board = board_of(Path())
    read = Reader(page(board, tables_of(board), COMMAND))
    for name in board.recommenders:
        assert len(re.findall(rf"\d\. {name}\b", read.shown)) == 2 * len(WORLDS)
    assert all(world in read.shown for world in WORLDS)
    assert COMMAND in read.shown
    assert len(set(read.ids)) == len(read.ids)
    assert {address[1:] for address in read.addresses if address.startswith("#")} <= set(read.ids)
    assert [address for address in read.addresses if not address.startswith(("#", "data:"))] == []


@pytest.mark.usefixtures("own", "at_noon")
def test_names_are_escaped() -> None:
    hostile = "<img src=x onerror=alert(1)> & <script>"
    name = f"{OWN}:label={hostile.replace(' ', '')}"
    board = board_of(Path(), [FIRST, name], ["movielens:/data/<script>"])
    read = Reader(page(board, tables_of(board), f"{COMMAND} --recommender '{name}'"))
    assert not {"script", "img"} & read.tags
    assert name in read.shown
    assert "movielens:/data/<script>" in read.shown


@pytest.mark.usefixtures("at_noon")
def test_the_same_plays_make_the_same_table_and_page_whatever_their_order(players: Players, tmp_path: Path) -> None:
    board = board_of(tmp_path)
    entries = players.again(board)

    def made(entries: Sequence[Entry]) -> tuple[str, str]:
        found = tables(board, entries)
        return markdown(board, found, COMMAND), page(board, found, COMMAND)

    first = made(entries)
    path = tmp_path / PLAYS
    lines = path.read_text().splitlines()
    random.Random(1).shuffle(lines)
    path.write_text("\n".join(lines) + "\n")
    assert made(players.again(board, 2)) == first == made(entries)


def points_of(board: Board, *points: Sequence[float]) -> list[Entry]:
    """Of each variant, by seed; precision is a hundredth of them. Nothing else differs."""
    found = []
    for entry, own_points in zip(entries_of(board), points, strict=True):
        runs = [
            run._replace(values={**dict.fromkeys(COLUMNS, 0.5), "points": of, "precision": of / 100})
            for run, of in zip(entry.runs, own_points, strict=True)
        ]
        found.append(entry._replace(runs=runs))
    return found


def test_the_best_stands_first_and_differences_are_paired_by_seed() -> None:
    board = board_of(Path(), worlds=WORLDS[:1])
    # Bandit as the system has it and alone, popular likewise.
    entries = points_of(board, (10.0, 20.0), (9.0, 18.0), (12.0, 22.5), (10.0, 20.0))
    (table,) = tables(board, entries)
    assert [(row.name, row.explores) for row in table.rows[:1]] == [("popular", True)]
    assert table.rows[-1].name == FIRST
    assert not table.rows[-1].explores
    beside = {(row.name, row.explores): row.points_beside for row in table.rows}
    assert beside[FIRST, True] is None
    assert str(beside["popular", True]) == "2.2 ± 3.2"  # of 2 and 2.5: 12.706 times half the difference
    assert str(beside["popular", False]) == "0.0 ± 0.0"
    assert [row.place for row in table.rows] == [1, 2, 3, 4]


def test_who_is_better_by_an_interval_is_told_in_words() -> None:
    board = board_of(Path(), worlds=WORLDS[:1], seeds=(1, 2, 3))
    same = (10.0, 20.0, 30.0)
    better = tuple(points + 5 for points in same)
    noisy = (9.0, 30.0, 31.0)
    (table,) = tables(board, points_of(board, same, better, noisy, same))
    assert table.better == [
        f"`{FIRST}` alone has 5.0 ± 0.0 points more than `{FIRST}`.",
        f"`{FIRST}` alone finds 25.0 ± 0.0 % more than `{FIRST}`.",
    ]
    text = markdown(board, [table], COMMAND)
    assert all(f"- {sentence}" in text for sentence in table.better)
    assert NOBODY not in text


def test_where_nobody_is_better_that_is_told() -> None:
    board = board_of(Path(), worlds=WORLDS[:1])
    found = tables(board, points_of(board, *[(10.0, 20.0)] * 4))
    assert f"- {NOBODY}" in markdown(board, found, COMMAND)
    assert NOBODY.replace("`", "") in Reader(page(board, found, COMMAND)).shown


def test_a_single_seed_has_no_interval_and_proves_nothing() -> None:
    board = board_of(Path(), worlds=WORLDS[:1], seeds=(1,))
    (table,) = tables(board, points_of(board, (10.0,), (30.0,), (20.0,), (5.0,)))
    assert table.better == []
    assert "±" not in "".join(str(row.points_beside) for row in table.rows)
    assert "30.0" in markdown(board, [table], COMMAND)


def test_intervals_are_those_of_student() -> None:
    assert str(measured([1.0, 2.0, 3.0], 3)) == "2.000 ± 2.484"  # 4.303 · 1 / √3
    assert measured([1.5], 1) == Measured(1.5, None, 1)


@pytest.mark.parametrize(
    ("points", "track"),
    [((20.0,), (50.0, 50.0, 0.0)), ((40.0, 40.0), (100.0, 100.0, 0.0)), ((0.0, 40.0), (50.0, 0.0, 100.0))],
)
def test_where_points_lie_of_all_there_are(points: Sequence[float], track: tuple[float, float, float]) -> None:
    board = board_of(Path(), [FIRST], WORLDS[:1], range(1, len(points) + 1))
    (table,) = tables(board, points_of(board, points, points))
    assert table.rows[0].track == pytest.approx(track)


@pytest.mark.parametrize("settings", ["explore=off", "explore=0", "profile=popular"])
def test_one_that_does_not_explore_by_its_own_settings_is_not_said_to(settings: str) -> None:
    board = board_of(Path(), [FIRST, f"popular {settings}"], WORLDS[:1])
    (rows,) = table_rows(markdown(board, tables_of(board), COMMAND))
    assert [row[1] for row in rows if row[0] == f"`popular {settings}`"] == ["no"]


@pytest.mark.usefixtures("own")
def test_a_bar_in_a_name_is_no_end_of_a_cell() -> None:
    board = board_of(Path(), [FIRST, f"{OWN}:label=a|b"], WORLDS[:1])
    (rows,) = table_rows(markdown(board, tables_of(board), COMMAND).replace(r"\|", "/"))
    assert len({len(row) for row in rows}) == 1


# The command


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Any]:
    """``python -m experiments leaderboard`` with these arguments in an empty folder: exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["experiments", "leaderboard", *arguments])
        with pytest.raises(SystemExit) as ended:
            experiments.__main__.run()
        output, errors = capsys.readouterr()
        return int(ended.value.code or 0), output, errors

    return call


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--world", "nonsense"], "There is no world 'nonsense': choose from movielens:FOLDER, synthetic"),
        (["--world", "tiny", "--world", "synthetic:luck=3"], "'luck=3' sets no number of a synthetic world"),
        (["--recommender", "clever"], "there is no recommender 'clever': choose from bandit, popular"),
        (["--recommender", "no_such_module:Mine"], "no_such_module:Mine cannot be imported: ModuleNotFoundError"),
        (["--recommender", "popular luck=1"], "'luck=1' is none of explore=, diversity="),
        (["--recommender", "popular explore=much"], "EXPLORE='much': must be auto, off or a share"),
        (["--recommender", "popular:depth=3"], "popular has no option 'depth'; it takes half_life_days, shrinkage"),
    ],
)
def test_what_there_is_not_is_one_sentence_before_anything_is_played(
    command: Callable[..., Any], players: Players, tmp_path: Path, arguments: list[str], message: str
) -> None:
    code, _, errors = command("--no-built-in", *arguments)
    assert code == 2
    assert message in errors
    assert errors.startswith("error: ")
    assert len(errors.strip().splitlines()) == 1
    assert players.tasks == []
    assert not (tmp_path / "leaderboard").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["--seeds", "0"], "--seeds"), (["--lists", "1"], "--lists"), (["--lists", "inf"], "inf is no finite number"),
     (["--training-time", "long"], "--training-time"), (["--sedes", "3"], "No such option: --sedes")],
)  # fmt: skip
def test_a_wrong_option_is_named(command: Callable[..., Any], arguments: list[str], named: str) -> None:
    code, _, errors = command(*arguments)
    assert code == 2
    assert named in errors


def test_every_option_reaches_the_board(
    command: Callable[..., Any], players: Players, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boards: list[Board] = []

    def noted(console: Console, board: Board, processes: int) -> list[Entry]:
        boards.append(board)
        return play(console, board, processes)

    monkeypatch.setattr(experiments.__main__, "play", noted)
    asked = [
        "--no-built-in",
        "--recommender",
        "random explore=0.1",
        "--seeds",
        "2",
        "--first-seed",
        "7",
        "--lists",
        "4",
    ]
    code, output, _ = command(*asked, "--world", "tiny", "--training-time", "0", "--output", "here", "--processes", "1")
    assert code == 0
    assert boards == [Board(("tiny",), (FIRST, "random explore=0.1"), (7, 8), 4.0, Clock(), Path("here"))]
    assert len(players.tasks) == 6
    text = (tmp_path / "here" / "leaderboard.md").read_text()
    assert "`random explore=0.1`" in text
    assert "--world tiny" in text  # the command that made it
    assert text in output
    assert "random explore=0.1" in (tmp_path / "here" / "leaderboard.html").read_text()


def test_by_default_trainings_take_their_time_and_all_built_in_ones_are_played(
    command: Callable[..., Any], players: Players, without: Callable[..., None], tmp_path: Path
) -> None:
    without("lightfm")
    code, output, _ = command("--world", "tiny", "--seeds", "1", "--processes", "1")
    assert code == 0
    assert "lightfm,popular is left out: pip install -r requirements-lightfm.txt" in output
    assert {task.variant.removesuffix(ALONE).removesuffix(EXPLORING) for task in players.tasks} == {
        name for name in BUILT_IN if name != "lightfm,popular"
    }
    kept = [json.loads(line) for line in (tmp_path / "leaderboard" / PLAYS).read_text().splitlines()]
    assert all(line["clock"]["training_takes_time"] for line in kept)


def test_one_that_is_named_twice_is_listed_once(command: Callable[..., Any], players: Players, tmp_path: Path) -> None:
    code, _, _ = command("--no-built-in", "--recommender", FIRST, "--world", "tiny", "--seeds", "1", "--processes", "1")
    assert code == 0
    assert len(players.tasks) == 2
    assert len(table_rows((tmp_path / "leaderboard" / "leaderboard.md").read_text())[0]) == 2


@pytest.mark.usefixtures("own")
def test_a_board_is_played_by_processes_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is made up here."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # they look there too
    board = board_of(tmp_path, ["random", f"{OWN},popular"], [WORLDS[1]], [1])
    entries = play(Console(file=io.StringIO()), board, 2)
    assert [entry.variant for entry in entries] == list(board.variants)
    for entry in entries:
        (run,) = entry.runs
        assert 0 < run.values["points"] <= 40
        assert len(run.along) == STEPS
        assert run.costs["list_us"] > 0
    found = tables(board, entries)
    assert f"`{OWN},popular`" in markdown(board, found, COMMAND)
    assert f"{OWN},popular" in page(board, found, COMMAND)


def test_options_before_the_command_are_refused() -> None:
    ended = CliRunner().invoke(experiments.__main__.app, ["--seeds", "2", "leaderboard"])
    assert ended.exit_code == 2
    assert "--seeds comes after leaderboard" in ended.output
