"""``run_all.sh`` and ``run_tests.sh`` in odd surroundings, with a stand-in for Python that notes what it is asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from recsys.settings import ROOT

NOBODY = 65534
# Makes environments that hold itself, and is asked to install by pip, without doing it.
PYTHON = f"""#!/usr/bin/env bash
echo "$*" >>"$NOTES"
case "$*" in
    "-m venv "*) mkdir -p "${{@: -1}}/bin" && cp "$0" "${{@: -1}}/bin/python" ;;
    "-m pip --version") [[ ! -e $NO_PIP ]] ;;
    "-m ensurepip") rm "$NO_PIP" ;;
    "-m pip install "*) echo "PIP_USER=$PIP_USER" >>"$NOTES"; eval "$PIP" ;;
    "-m ruff "* | "-m mypy" | "-m pytest "*) ;;
    "-P -m recsys.launch"*) echo "launched with: ${{*:4}}" ;;
    *) exec "{sys.executable}" "$@" ;;
esac
"""


class Copy:
    """A copy of the scripts, whose ``python3`` is the stand-in."""

    def __init__(self, folder: Path, tools: Path) -> None:
        self.folder, self.tools = folder, tools
        self.notes = tools / "notes"
        self.script = folder / "run_all.sh"
        self.environment = folder / ".venv"
        for path in (folder, tools):
            path.mkdir(parents=True)
        for name in ("run_all.sh", "environment.sh", "requirements.txt"):
            shutil.copy(ROOT / name, folder)
        self.put_python(tools / "python3")

    def put_python(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PYTHON)
        path.chmod(0o755)

    def command(
        self, *words: str | Path, cwd: Path | None = None, env: Mapping[str, str] = {}, user: int | None = None
    ) -> subprocess.Popen[str]:
        given = {"PATH": f"{self.tools}:{os.environ['PATH']}", "NOTES": str(self.notes), "PIP": "", "NO_PIP": "/none"}
        inherited = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        return subprocess.Popen(
            words or (self.script,),
            cwd=cwd or self.folder,
            env={**inherited, **given, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            user=user,
        )

    def run(self, *words: str | Path, cwd: Path | None = None, env: Mapping[str, str] = {}) -> tuple[int, str]:
        process = self.command(*words, cwd=cwd, env=env)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output

    def asked(self, beginning: str) -> int:
        """How often the stand-in was asked for something."""
        return sum(line.startswith(beginning) for line in self.notes.read_text().splitlines())


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path / "a b'c\"ü$x;*" / "bench", tmp_path / "tools")


def test_a_first_start_installs_and_a_second_does_not(copy: Copy) -> None:
    code, output = copy.run(copy.script, "--only", "a b")
    assert code == 0
    assert "Creating .venv" in output
    assert output.endswith("launched with: --only a b\n")
    assert copy.run() == (0, "launched with: \n")
    assert copy.asked("-m pip install") == 1


def test_a_change_of_the_requirements_is_installed(copy: Copy) -> None:
    copy.run()
    with (copy.folder / "requirements.txt").open("a") as file:
        file.write("# changed\n")
    code, output = copy.run()
    assert code == 0
    assert "Installing requirements.txt" in output
    assert "Creating" not in output


def test_by_a_link_from_another_folder(copy: Copy, tmp_path: Path) -> None:
    link = tmp_path / "link.sh"
    link.symlink_to(copy.script)
    assert copy.run(link, cwd=tmp_path)[1].endswith("launched with: \n")


@pytest.mark.parametrize("shell", [["sh"], ["bash", "-e"], ["bash", "--posix"]])
def test_by_another_shell(copy: Copy, shell: list[str]) -> None:
    code, output = copy.run(*shell, "run_all.sh", "--only", "a b")
    assert output.endswith("launched with: --only a b\n")
    assert code == 0


def test_the_tests_start_by_another_shell_too(copy: Copy, tmp_path: Path) -> None:
    for name in ("run_tests.sh", "requirements-dev.txt"):
        shutil.copy(ROOT / name, copy.folder)
    link = tmp_path / "link.sh"
    link.symlink_to(copy.folder / "run_tests.sh")
    code, output = copy.run("sh", link, "tests/a b", cwd=tmp_path)
    assert code == 0, output
    assert [copy.asked(f"-m {tool}") for tool in ("ruff check .", "mypy", "pytest tests/a b")] == [1, 1, 1]


def test_cdpath_does_not_matter(copy: Copy) -> None:
    relative = Path(copy.folder.name, "run_all.sh")
    code, _ = copy.run("bash", relative, cwd=copy.folder.parent, env={"CDPATH": str(copy.folder.parent)})
    assert code == 0


def test_a_colon_in_the_path(tmp_path: Path) -> None:
    copy = Copy(tmp_path / "c:d", tmp_path / "tools")
    code, output = copy.run()
    assert code == 1
    assert (
        output == f"run_all.sh: Python cannot work in {copy.folder}, because of the colon: move the folder elsewhere.\n"
    )


def test_from_a_folder_that_was_deleted(copy: Copy, tmp_path: Path) -> None:
    script = f"mkdir '{tmp_path}/gone' && cd '{tmp_path}/gone' && rmdir '{tmp_path}/gone' && exec \"$0\""
    code, output = copy.run("bash", "-c", script, copy.script)
    assert code == 1
    assert output.splitlines()[-1] == "run_all.sh: the folder that you are in has been deleted: go to another."


def test_an_installation_that_did_not_end_is_done_afresh(copy: Copy) -> None:
    copy.run(env={"PIP": "kill -9 $PPID $$"})
    (copy.environment / "half").touch()
    copy.run(env={"PIP": "[[ ! -e half ]]"})
    assert copy.asked("-m venv --clear") == 2
    assert copy.run() == (0, "launched with: \n")


def test_a_failed_installation_ends_with_a_sentence(copy: Copy) -> None:
    code, output = copy.run(env={"PIP": "echo no network >&2; exit 1"})
    assert code == 1
    assert output.endswith(
        "no network\nrun_all.sh: not everything in requirements.txt could be installed (see above): "
        "start again once the reason is gone.\n"
    )


@pytest.mark.skipif(shutil.which("flock") is None, reason="needs flock")
def test_two_first_starts_at_once_install_once(copy: Copy, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    first = copy.command(env={"PIP": f"read <'{gate}'"})
    with gate.open("w") as go:  # opens as soon as the installation has begun
        second = copy.command()
        assert second.stdout is not None
        assert second.stdout.readline() == f"Waiting for another installation into {copy.environment}\n"
        go.write("on\n")
    assert first.communicate(timeout=60)[0].endswith("launched with: \n")
    assert second.communicate(timeout=60)[0] == "launched with: \n"
    assert copy.asked("-m pip install") == 1


def test_an_active_environment_is_used(copy: Copy, tmp_path: Path) -> None:
    copy.put_python(tmp_path / "own" / "bin" / "python")
    code, output = copy.run(env={"VIRTUAL_ENV": str(tmp_path / "own")})
    assert code == 0
    assert output.endswith("launched with: \n")
    assert not copy.environment.exists()


def test_an_environment_without_pip_gets_it(copy: Copy, tmp_path: Path) -> None:
    copy.put_python(tmp_path / "own" / "bin" / "python")
    (tmp_path / "no-pip").touch()
    code, output = copy.run(env={"VIRTUAL_ENV": str(tmp_path / "own"), "NO_PIP": str(tmp_path / "no-pip")})
    assert code == 0, output
    assert copy.asked("-m ensurepip") == 1


def test_an_active_environment_that_is_gone(copy: Copy, tmp_path: Path) -> None:
    code, output = copy.run(env={"VIRTUAL_ENV": str(tmp_path / "gone")})
    assert code == 1
    assert output == (
        f"run_all.sh: the virtual environment in {tmp_path}/gone has no Python 3.11 or newer: "
        "deactivate it, or activate another.\n"
    )


def test_settings_of_the_account_do_not_matter(copy: Copy) -> None:
    code, output = copy.run(env={"PIP_USER": "1", "PYTHONHOME": "/none"})
    assert code == 0, output
    assert copy.asked("PIP_USER=0") == 1


def test_a_folder_of_somebody_else() -> None:
    """Root may write everywhere, so root asks as nobody, who cannot reach the usual folders of tests."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        copy = Copy(Path(folder, "bench"), Path(folder, "tools"))
        copy.folder.chmod(0o555)
        process = copy.command(user=NOBODY if os.geteuid() == 0 else None)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output.startswith(f"run_all.sh: {copy.folder} is not writable, so nothing can be installed there: ")


def test_without_a_python_that_is_new_enough(copy: Copy) -> None:
    for name in ("python3", "python3.14", "python3.13", "python3.12", "python3.11"):
        stand_in = copy.tools / name
        stand_in.write_text("#!/bin/sh\nexit 1\n")
        stand_in.chmod(0o755)
    code, output = copy.run()
    assert code == 1
    assert output == (
        "run_all.sh: needs Python 3.11 or newer with venv "
        "(apt install python3-venv, or python3.11-venv where python3 is older).\n"
    )
