"""A folder that cannot hold the data is refused before anything starts, with what is in the way."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from recsys.launch.data_folder import require_usable
from recsys.launch.errors import UsageError


def test_it_is_made(tmp_path: Path) -> None:
    require_usable(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_what_is_there_may_stay(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "webapp.sqlite").touch()
    (tmp_path / "somebody.elses").touch()
    require_usable(tmp_path)


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=f"^{tmp_path}/file is not a folder: move it away, or choose another"):
        require_usable(tmp_path / "file")
    with pytest.raises(UsageError, match=f"^{tmp_path}/file/below cannot be used: Not a directory. Choose another"):
        require_usable(tmp_path / "file" / "below")


@pytest.mark.parametrize("name", ["log", "logs", "redis", "vectors"])
def test_a_file_in_place_of_a_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(UsageError, match=f"^{tmp_path}/{name} is not a folder"):
        require_usable(tmp_path)


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "webapp.sqlite").mkdir()
    with pytest.raises(UsageError, match=r"webapp\.sqlite is a folder"):
        require_usable(tmp_path)


@pytest.mark.parametrize("name", ["", "log", "redis", "webapp-secret"])
def test_what_another_account_owns(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "webapp-secret").touch()
    for folder in ("log", "redis"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / name)  # root may write everywhere
    with pytest.raises(UsageError, match=f"^{tmp_path / name} cannot be written by this account"):
        require_usable(tmp_path)


def test_a_disk_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def usage(path: Path) -> SimpleNamespace:
        assert path == tmp_path
        return SimpleNamespace(free=3_500_000)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(UsageError, match=r"is on a disk with only 3\.3 MiB free, too little to start: make room"):
        require_usable(tmp_path)


def test_a_name_that_no_url_can_hold(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"/d\\udcff' is not UTF-8: choose another folder with --data-dir"):
        require_usable(tmp_path / os.fsdecode(b"d\xff"))
