from __future__ import annotations

from pathlib import Path

import pytest

from grader.doctor.outcome import Check
from grader.doctor.run import CHECKS

PAGE = (Path(__file__).parents[3] / "docs" / "doctor.md").read_text()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_check_is_documented(check: Check) -> None:
    assert f"`{check.name}`" in PAGE


def test_names_are_unique() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
