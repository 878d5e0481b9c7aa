"""The log on disk: append, reopen, merge, crash."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recsys.schemas import CATALOGUE_SCHEMA, EVENT_SCHEMA
from recsys.stores import event_log
from recsys.stores.event_log import KEEP_REPLACED_S, EventLog, PartFolder, write_whole
from recsys.stores.ports import StoreMisconfigured, StoreUnavailable

SCHEMA = pl.Schema({"n": pl.Int64})


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "MERGE_AT_PARTS", 4)
    monkeypatch.setattr(event_log, "SMALL_PART_ROWS", 10)


def opened(folder: Path) -> PartFolder:
    return PartFolder(folder, SCHEMA)


def filled(folder: Path, *sizes: int) -> PartFolder:
    """A log of parts of these sizes; row n holds n."""
    log = opened(folder)
    for size in sizes:
        more(log, size)
    return log


def more(log: PartFolder, size: int) -> int:
    return log.append(pl.DataFrame({"n": range(log.rows, log.rows + size)}, schema=SCHEMA))


def numbers(log: PartFolder, start: int = 0) -> list[int]:
    return [n for frame in log.frames(start) for n in frame["n"]]


def sizes(log: PartFolder) -> list[int]:
    return [part.end - part.first for part in log.parts()]


def merge_and_crash(folder: Path, keep: slice) -> PartFolder:
    """Five parts merged, and some of them still there because the deletion did not get to them."""
    log = filled(folder, *[2] * 5)
    parts = [part.path for part in log.parts()]
    log.merge_small()
    for path in set(parts).difference(parts[keep]):
        path.unlink()
    return opened(folder)


@pytest.fixture
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was merged is deleted when the next merge looks."""
    monkeypatch.setattr(event_log, "KEEP_REPLACED_S", 0.0)


def test_a_new_log_is_empty(tmp_path: Path) -> None:
    log = opened(tmp_path / "a" / "b")
    assert (log.rows, log.parts(), numbers(log)) == (0, [], [])
    assert log.read().schema == SCHEMA


def test_append_returns_the_number_of_rows(tmp_path: Path) -> None:
    log = opened(tmp_path)
    assert [more(log, size) for size in (3, 1, 4)] == [3, 4, 8]


def test_an_empty_append_writes_nothing(tmp_path: Path) -> None:
    log = filled(tmp_path, 3)
    before = sorted(tmp_path.iterdir())
    assert more(log, 0) == 3
    assert sorted(tmp_path.iterdir()) == before


def test_a_reopened_log_continues(tmp_path: Path) -> None:
    filled(tmp_path, 3, 2)
    log = opened(tmp_path)
    assert log.rows == 5
    more(log, 2)
    assert numbers(log) == numbers(opened(tmp_path)) == log.read()["n"].to_list() == list(range(7))


@pytest.mark.parametrize("start", range(8))
def test_reading_starts_at_any_row(start: int, tmp_path: Path) -> None:
    assert numbers(filled(tmp_path, 3, 1, 3), start) == list(range(start, 7))


def test_only_wanted_rows_are_read(tmp_path: Path) -> None:
    log = filled(tmp_path, 3, 4)
    assert [frame["n"].to_list() for frame in log.frames(where=pl.col("n") % 2 == 0)] == [[0, 2], [4, 6]]


def test_columns_younger_than_the_log_are_null(tmp_path: Path) -> None:
    younger = pl.Schema([*SCHEMA.items(), ("note", pl.String())])
    filled(tmp_path, 1, 1)
    log = PartFolder(tmp_path, younger)
    for n in (2, 3, 4):
        log.append(pl.DataFrame({"n": [n], "note": ["x"]}, schema=younger))
    expected = [(0, None), (1, None), (2, "x"), (3, "x"), (4, "x")]
    assert log.read().rows() == expected
    assert [row for frame in log.frames_newest_first() for row in frame.rows()] == expected[::-1]
    log.merge_small()
    assert len(log.parts()) == 1
    assert log.read().rows() == expected


def test_parts_can_be_read_from_the_last_back(tmp_path: Path) -> None:
    frames = filled(tmp_path, 2, 1, 3).frames_newest_first()
    assert [frame["n"].to_list() for frame in frames] == [[3, 4, 5], [2], [0, 1]]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], []),
        ([1, 1, 1], [1, 1, 1]),
        ([1, 1, 1, 1], [4]),
        ([3, 2, 4, 1, 5], [15]),
        ([12, 1, 1, 1, 1], [12, 4]),
        ([1, 1, 12, 1, 1, 1, 1], [1, 1, 12, 4]),
        ([1, 1, 1, 1, 12], [1, 1, 1, 1, 12]),
        ([10, 1, 1, 1], [10, 1, 1, 1]),
    ],
    ids=str,
)
def test_many_small_parts_at_the_end_become_one(before: list[int], after: list[int], tmp_path: Path) -> None:
    log = filled(tmp_path, *before)
    log.merge_small()
    assert sizes(log) == sizes(opened(tmp_path)) == after
    assert numbers(log) == list(range(sum(before)))


def test_what_was_merged_is_kept_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may have listed it and be about to read it."""
    log = filled(tmp_path, *[1] * 4)
    before = {part.path for part in log.parts()}
    log.merge_small()
    (merged,) = log.parts()
    for _ in range(3):
        assert set(tmp_path.iterdir()) == before | {merged.path}
        log.merge_small()
    monkeypatch.setattr(event_log, "KEEP_REPLACED_S", 0.0)
    log.merge_small()
    assert list(tmp_path.iterdir()) == [merged.path]
    assert numbers(log) == [0, 1, 2, 3]


@pytest.mark.usefixtures("nothing_kept")
def test_what_somebody_else_deleted_is_no_matter(tmp_path: Path) -> None:
    log = filled(tmp_path, *[1] * 4)
    log.merge_small()
    log.discard_leftovers()
    log.merge_small()
    assert numbers(log) == [0, 1, 2, 3]


CRASHES = pytest.mark.parametrize(
    "keep", [slice(0, 5), slice(0, 1), slice(4, 5), slice(2, 5)], ids=["all", "first", "last", "some"]
)


@CRASHES
def test_parts_that_a_merged_one_replaces_are_ignored(keep: slice, tmp_path: Path) -> None:
    log = merge_and_crash(tmp_path, keep)
    assert (log.rows, sizes(log)) == (10, [10])
    assert numbers(log) == log.read()["n"].to_list() == list(range(10))
    more(log, 3)
    assert numbers(log, 9) == [9, 10, 11, 12]


@CRASHES
def test_leftovers_are_discarded_and_nothing_else(keep: slice, tmp_path: Path) -> None:
    log = merge_and_crash(tmp_path, keep)
    (tmp_path / "part-000000000010-000000000012.tmp").write_bytes(b"half a part")
    (tmp_path / "notes.txt").write_text("keep me")
    log.discard_leftovers()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", log.parts()[0].path.name]
    assert numbers(opened(tmp_path)) == list(range(10))


def test_a_half_written_part_does_not_exist(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    (tmp_path / "part-000000000002-000000000005.tmp").write_bytes(b"half a part")
    log = opened(tmp_path)
    more(log, 1)
    assert numbers(log) == [0, 1, 2]


def test_rows_appended_during_a_merge_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = filled(tmp_path, 1, 1, 1, 1)
    concat = pl.concat

    def append_meanwhile(frames: list[pl.DataFrame]) -> pl.DataFrame:
        more(log, 2)
        return concat(frames)

    monkeypatch.setattr("recsys.stores.event_log.pl.concat", append_meanwhile)
    log.merge_small()
    assert (sizes(log), log.rows, numbers(log)) == ([4, 2], 6, list(range(6)))


@pytest.mark.parametrize("kept_s", [0.0, KEEP_REPLACED_S])
@settings(deadline=None, max_examples=25)
@given(st.lists(st.one_of(st.integers(0, 12), st.sampled_from(["merge", "crash in merge", "reopen", "discard"]))))
@example([1, 1, 1, 1, "crash in merge", 2, "discard"])
@example([1, 1, 1, 1, "merge", 1, 1, 1, "merge", "discard", 1, "merge"])
def test_any_history_reads_as_all_rows_in_order(kept_s: float, history: list[int | str]) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_log, "KEEP_REPLACED_S", kept_s)
        log = opened(Path(name))
        for step in history:
            match step:
                case int():
                    more(log, step)
                case "merge":
                    log.merge_small()
                case "crash in merge":
                    with patch.context() as crash:
                        crash.setattr(Path, "unlink", lambda *_, **__: None)
                        log.merge_small()
                case "discard":
                    log.discard_leftovers()
            if step in ("crash in merge", "reopen"):
                log = opened(Path(name))
        rows = sum(step for step in history if isinstance(step, int))
        assert (log.rows, numbers(log)) == (rows, list(range(rows)))


def full_disk(folder: Path, _: pytest.MonkeyPatch) -> Callable[[], None]:
    """The next part cannot be written: its temporary file leads to a device that is always full."""
    (folder / "part-000000000002-000000000005.tmp").symlink_to("/dev/full")
    return lambda: None


def failing_sync(folder: Path, patch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The directory cannot be synced: the file is in place already, but not for good."""
    sync = os.fsync

    def fail_on_folders(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").resolve() == folder:
            raise OSError(errno.EIO, "input/output error")
        sync(descriptor)

    patch.setattr("recsys.stores.event_log.os.fsync", fail_on_folders)
    return lambda: patch.setattr("recsys.stores.event_log.os.fsync", sync)


@pytest.mark.parametrize(
    "fault",
    [full_disk, failing_sync],
)
def test_after_a_failed_append_nothing_was_added(
    fault: Callable[[Path, pytest.MonkeyPatch], Callable[[], None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = filled(tmp_path, 2)
    repair = fault(tmp_path, monkeypatch)
    with pytest.raises(StoreUnavailable, match="cannot write"):
        more(log, 3)
    repair()
    assert (log.rows, numbers(log), opened(tmp_path).rows) == (2, [0, 1], 2)
    more(log, 1)
    more(log, 3)
    assert (log.rows, numbers(log)) == (6, list(range(6)))


def test_a_file_is_whole_on_disk_before_it_is_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[str, Path, bytes]] = []
    sync, replace = os.fsync, Path.replace

    def noted_sync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        steps.append(("synced", path, b"" if path.is_dir() else path.read_bytes()))
        sync(descriptor)

    def noted_replace(path: Path, target: Path) -> None:
        steps.append(("in place", target, path.read_bytes()))
        replace(path, target)

    monkeypatch.setattr("recsys.stores.event_log.os.fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    target, content = tmp_path / "file", b"whole" * 10_000
    write_whole(target, lambda file: file.write(content))
    assert steps == [
        ("synced", tmp_path / "file.tmp", content),
        ("in place", target, content),
        ("synced", tmp_path, b""),
    ]


def test_a_lost_folder_is_unavailable(tmp_path: Path) -> None:
    log = filled(tmp_path / "log", 1)
    shutil.rmtree(tmp_path / "log")
    with pytest.raises(StoreUnavailable, match="cannot write"):
        more(log, 1)


@pytest.mark.parametrize("deleted", [False, True])
def test_a_reader_that_began_before_a_merge_reads_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deleted: bool
) -> None:
    log = filled(tmp_path, *[1] * 5)
    frames = log.frames()
    found = next(frames)["n"].to_list()
    merge(log, monkeypatch, deleted)
    found += [n for frame in frames for n in frame["n"]]
    assert found == list(range(5))


@pytest.mark.parametrize("deleted", [False, True])
def test_a_reader_from_the_last_part_back_reads_on_after_a_merge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deleted: bool
) -> None:
    log = filled(tmp_path, *[1] * 5)
    frames = log.frames_newest_first()
    found = next(frames)["n"].to_list()
    merge(log, monkeypatch, deleted)
    found += [n for frame in frames for n in reversed(frame["n"].to_list())]
    assert found == [4, 3, 2, 1, 0]


def merge(log: PartFolder, patch: pytest.MonkeyPatch, deleted: bool) -> None:
    """Merge the small parts; perhaps so long ago that they are gone."""
    patch.setattr(event_log, "KEEP_REPLACED_S", 0.0 if deleted else KEEP_REPLACED_S)
    for _ in range(2):
        log.merge_small()
    assert len(list(log.folder.iterdir())) == (1 if deleted else 6)


@pytest.mark.parametrize("rows", range(9))
def test_the_first_rows_can_be_scanned(tmp_path: Path, rows: int) -> None:
    scanned = filled(tmp_path, 3, 1, 3).scan(rows)
    assert scanned.collect_schema() == SCHEMA
    assert scanned.collect()["n"].to_list() == list(range(min(rows, 7)))


def test_a_scan_is_of_its_moment_whatever_is_logged_or_merged_after_it(tmp_path: Path) -> None:
    log = filled(tmp_path, 1, 1, 1)
    scanned = log.scan(2)
    more(log, 5)
    log.merge_small()
    assert sizes(log) == [8]
    assert scanned.collect()["n"].to_list() == [0, 1]
    assert log.scan(3).filter(pl.col("n") > 0).collect()["n"].to_list() == [1, 2]


def test_in_a_scan_columns_younger_than_the_log_are_null(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    younger = PartFolder(tmp_path, pl.Schema([*SCHEMA.items(), ("note", pl.String())]))
    assert younger.scan(9).collect().rows() == [(0, None), (1, None)]


def test_a_part_that_cannot_be_read_is_unavailable(tmp_path: Path) -> None:
    log = filled(tmp_path, 2, 2)
    log.parts()[0].path.write_bytes(b"unreadable")
    assert numbers(log, 2) == [2, 3]
    for read in (log.frames, log.frames_newest_first):
        with pytest.raises(StoreUnavailable, match="cannot read"):
            list(read())


# EventLog


def test_epochs_with_rows_are_listed_oldest_first(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    item = pl.DataFrame({"item_id": ["a"], "genres": [["x"]]}, schema=CATALOGUE_SCHEMA)
    for epoch in (10, 9, 100):
        log.catalogue(epoch).append(item)
    log.events(11)  # opened, nothing written
    for name in ("epoch-x", "epoch-12-old", "other"):
        (tmp_path / name).mkdir()
    assert log.epochs() == [9, 10, 100]


def test_a_missing_folder_has_no_epochs(tmp_path: Path) -> None:
    assert EventLog(tmp_path / "none").epochs() == []


def test_epochs_and_kinds_are_kept_apart(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.catalogue(1).append(pl.DataFrame({"item_id": ["a"], "genres": [[]]}, schema=CATALOGUE_SCHEMA))
    assert [log.catalogue(1).rows, log.events(1).rows, log.catalogue(2).rows] == [1, 0, 0]
    assert log.catalogue(1).read().rows() == [("a", [])]
    assert log.catalogue(1).read().schema == CATALOGUE_SCHEMA
    assert log.events(1).read().schema == EVENT_SCHEMA


def test_a_second_writer_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    with EventLog(tmp_path / "log").lock(), pytest.raises(StoreMisconfigured, match="DATA_DIR"):
        EventLog(tmp_path / "log").lock()
    EventLog(tmp_path / "log").lock().close()
