"""Shell lines say exactly what was sent, and reproduce what came back."""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.doctor.curl import MAX_LINES, curl, expression, shell_lines
from grader.doctor.probe import Call
from grader.doctor.run import examine
from grader.doctor.service import Limits
from tests.grader.doctor.faulty import running
from tests.grader.doctor.reference import Fault

texts = st.text(st.characters(exclude_categories=["Cs"]))
numbered = st.builds(lambda stem, ns: [f"{stem}{n}" for n in ns], texts, st.lists(st.integers(0, 99)))
periodic = st.builds(lambda period: period * 4, st.lists(texts | st.lists(texts, max_size=2), max_size=3))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts | numbered | periodic,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


def call(sent: Any = None, *, at: float = 0, took: float = 1, url: str = "http://h/recs/u", status: int = 200) -> Call:
    method = "GET" if sent is None else "POST"
    return Call(method, url, sent, None, at, at + took, status=status, content=b"{}")


def body_of(line: str) -> str:
    """What the line's Python prints, or the literal that it sends."""
    maker, piped, _ = line.partition(" | curl ")
    if not piped:
        return shlex.split(line)[-1]
    command = [sys.executable, *shlex.split(maker)[1:]]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.rstrip("\n")


@given(values)
def test_an_expression_is_its_value(value: Any) -> None:
    assert json.loads(json.dumps(eval(expression(value)))) == value


@pytest.mark.parametrize(
    "sent",
    [
        {"item_ids": ["it's", 'a "b"', "$HOME `id`", "zoë"]},
        {"item_ids": [f"i-0a-{n}" for n in range(30_000)], "genres": [["Drama"], ["Comedy", "Crime"]] * 15_000},
        {"item_ids": [f"i-{n}" for n in range(3, 400, 7)], "actions": ["like"] * 57},
        {"item_ids": ["x" * 1_000, '"' * 1_000, "\\" * 1_000, "🎬" * 1_000]},
    ],
)
def test_a_line_sends_the_same_json(sent: Any) -> None:
    line = curl(call(sent))
    assert len(line) < 1_000
    assert json.loads(body_of(line)) == sent


def test_a_line_sends_the_same_bytes() -> None:
    assert body_of(curl(call(b"{not json"))) == "{not json"
    assert body_of(curl(call(b"x" * 100_000))) == "x" * 100_000


def test_the_same_call_again_and_again_is_one_line() -> None:
    lines = shell_lines([call(at=0), call(at=2, status=500)])
    assert lines == ("for i in $(seq 2); do curl -sS -i http://h/recs/u; echo; done", "# the last: 500 {}")


def test_calls_at_the_same_time_are_made_at_the_same_time() -> None:
    first, *_ = shell_lines([call(at=0, took=2), call(at=1)])
    assert first == "for i in $(seq 2); do curl -sS -i http://h/recs/u & done; wait; echo"


def test_a_long_story_keeps_its_beginning_and_its_end() -> None:
    lines = shell_lines([call(at=n, url=f"http://h/recs/{n}") for n in range(100)])
    assert len(lines) == MAX_LINES + 1
    assert "recs/0" in lines[0] and "recs/99" in lines[-2]
    assert lines[4] == "# … 80 calls left out …"


def test_what_came_back_is_one_printable_line() -> None:
    answer = Call("GET", "http://h/", None, None, 0, 1, status=200, content=b"\x1b[31mred\nline\xff" + b"y" * 5_000)
    assert answer.came_back.isprintable()
    assert len(answer.came_back) < 250


async def test_pasted_lines_reproduce_the_failure() -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    async with running(Fault.BAD_JSON_500) as urls:
        limits = Limits(timeout_s=5, patience_s=0.5)
        report = await examine(urls, only=["bad-interact"], limits=limits)
        assert "500" in await pasted(report.failed[0].curl)


async def pasted(lines: tuple[str, ...]) -> str:
    shell = await asyncio.create_subprocess_exec("sh", "-c", "\n".join(lines), stdout=subprocess.PIPE)
    output, _ = await shell.communicate()
    return output.decode()
