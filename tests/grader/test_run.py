"""Runs as a folder."""

from __future__ import annotations

import json
import math
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from grader.assessment import Assessment, assess, figures
from grader.errors import GraderError
from grader.run import Run, load, prepare_folder, save, write_json
from tests.grader.runs import asked, run_of, told
from tests.grader.services import InOrder
from tests.grader.stages import graded, staged
from tests.grader.worlds import world_of

WORLD = world_of([{0: True, 1: False}, {2: True}], [{0}, set(), {1, 2}], n_genres=3)


@pytest.fixture
def run() -> Run:
    return run_of(WORLD, [asked(0, [0, 2]), told(0), asked(1, [-1, -1], problem="timeout", status=0)])


def same(one: Assessment, other: Assessment) -> None:
    assert one.measurements.keys() == other.measurements.keys()
    for name, measured in one.measurements.items():
        assert measured.repeats.tobytes() == other.measurements[name].repeats.tobytes(), name
    assert one.card.total.value == other.card.total.value
    assert one.faults == other.faults
    assert [b.title for b in one.breakdowns] == [b.title for b in other.breakdowns]
    assert one.warnings == other.warnings


async def test_a_saved_run_is_the_same_run(tmp_path: Path) -> None:
    run = await graded(InOrder(), staged(ladder=True))
    save(run, tmp_path / "new" / "folder")
    loaded = load(tmp_path / "new" / "folder")
    assert loaded.requests.equals(run.requests, null_equal=False)
    assert loaded.requests.schema == run.requests.schema
    assert loaded.facts == json.loads(json.dumps(run.facts))
    assert loaded.catalogue.genres.tolist() == run.catalogue.genres.tolist()
    assert loaded.catalogue.likes.tolist() == run.catalogue.likes.tolist()
    assert loaded.catalogue.opinions.tolist() == run.catalogue.opinions.tolist()
    assert list(loaded.catalogue.genre_names) == list(run.catalogue.genre_names)
    assert loaded.catalogue.n_users == run.catalogue.n_users
    same(assess(loaded), assess(run))


def test_a_full_disk_is_a_sentence(run: Run, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # bytes that a file may have
    try:
        with pytest.raises(GraderError, match="could not be saved"):
            save(run, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_run_saved_again_is_the_same_run_still(tmp_path: Path) -> None:
    run = await graded(InOrder(), staged())
    save(run, tmp_path)
    first = load(tmp_path)
    save(first, tmp_path)
    second = load(tmp_path)
    assert second.requests.equals(first.requests)
    assert second.facts == first.facts


def test_what_is_added_for_people_is_not_loaded(run: Run, tmp_path: Path) -> None:
    save(run, tmp_path)
    files = {path.name for path in tmp_path.iterdir()}
    write_json(run, tmp_path, note="for people")
    assert json.loads((tmp_path / "run.json").read_text())["note"] == "for people"
    assert {path.name for path in tmp_path.iterdir()} == files
    loaded = load(tmp_path)
    assert loaded.facts == run.facts
    assert loaded.requests.equals(run.requests)


def test_figures_are_those_of_the_assessment(run: Run) -> None:
    """As JSON that any reader takes: without NaN, which diversity is where no list has two items with genres."""
    assessment = assess(run, "published")
    found = json.loads(json.dumps(figures(assessment), allow_nan=False))
    assert found["profile"] == "published"
    assert found["points"]["value"] == assessment.card.quality.value
    assert [found["total"]["low"], found["total"]["high"]] == list(assessment.card.total.interval)
    assert {row: figure["value"] for row, figure in found["rows"].items()} == {
        scored.row.name: scored.points.value for scored in assessment.card.rows
    }
    assert found["rows"]["precision"]["metric"] == "hits_per_list"
    assert found["metrics"].keys() == assessment.measurements.keys()
    for name, measured in assessment.measurements.items():
        expected = [None if math.isnan(value) else value for value in (measured.value, *measured.interval)]
        assert list(found["metrics"][name].values()) == expected


async def test_rows_are_of_the_documented_columns(run: Run) -> None:
    real = await graded(InOrder(), staged())
    assert real.requests.schema == run.requests.schema


def test_a_folder_is_made_before_anything_is_saved_there(run: Run, tmp_path: Path) -> None:
    prepare_folder(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    save(run, tmp_path)
    prepare_folder(tmp_path)
    assert load(tmp_path).facts == run.facts


@pytest.mark.parametrize("folder", ["file", "file/below", "/proc", "/proc/below", "x" * 300])
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, folder: str) -> None:
    """Not even root may write below /proc."""
    (tmp_path / "file").write_text("kept")
    with pytest.raises(GraderError, match="cannot be used") as refused:
        prepare_folder(tmp_path / folder)
    assert str(tmp_path / folder) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert (tmp_path / "file").read_text() == "kept"


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path: Path) -> None:
    path.write_bytes(b"\xff\x00 no such thing")


@pytest.mark.parametrize("damage", [truncate, garble], ids=["truncated", "garbled"])
@pytest.mark.parametrize("name", ["run.json", "requests.parquet", "catalogue.parquet"])
def test_a_damaged_file_is_refused(run: Run, tmp_path: Path, name: str, damage: Callable[[Path], None]) -> None:
    save(run, tmp_path)
    damage(tmp_path / name)
    with pytest.raises(GraderError, match="is damaged") as refused:
        load(tmp_path)
    assert str(tmp_path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["run.json", "requests.parquet", "catalogue.parquet"])
def test_a_missing_file_is_named(run: Run, tmp_path: Path, name: str) -> None:
    save(run, tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(GraderError, match="is no saved run") as refused:
        load(tmp_path)
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("folder", ["absent", "run.json"])
def test_a_path_that_is_no_run_is_refused(run: Run, tmp_path: Path, folder: str) -> None:
    save(run, tmp_path)
    with pytest.raises(GraderError):
        load(tmp_path / folder)


@pytest.mark.parametrize(
    "text", ["[]", "null", "{}", '{"format": 1}', '{"format": 1, "genre_names": 3, "users": 1, "facts": {}}']
)
def test_json_of_something_else_is_refused(run: Run, tmp_path: Path, text: str) -> None:
    save(run, tmp_path)
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(GraderError, match="is damaged"):
        load(tmp_path)


@pytest.mark.parametrize("number", [0, 2, None])
def test_another_format_is_refused_with_what_can_be_read(run: Run, tmp_path: Path, number: int | None) -> None:
    save(run, tmp_path)
    known = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**known, "format": number}))
    with pytest.raises(GraderError, match=f"in format {number}, this version reads 1"):
        load(tmp_path)
