"""Calls as shell lines that can be pasted: curl, with long bodies made by a line of Python."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from shlex import quote
from typing import Any

from grader.doctor.probe import Call

MAX_LITERAL_BODY = 400  # characters; longer ones are generated
MAX_LINES = 40  # of calls and their answers
_HEAD_LINES = 4
_MAX_PERIOD = 8
_NUMBERED = re.compile(r"(.*?)(0|[1-9][0-9]*)", re.DOTALL)


def shell_lines(calls: Sequence[Call]) -> tuple[str, ...]:
    """One line per call, in order; repeats become a loop and each is followed by its last answer as a comment."""
    lines = [line for group in _repeats(calls) for line in (_line(group), _answer(group))]
    left_out = len(lines) - MAX_LINES
    if left_out <= 0:
        return tuple(lines)
    note = f"# … {left_out // 2} calls left out …"
    return (*lines[:_HEAD_LINES], note, *lines[_HEAD_LINES + left_out :])


def _repeats(calls: Iterable[Call]) -> list[list[Call]]:
    groups: list[list[Call]] = []
    for call in sorted(calls, key=lambda c: c.started):
        if groups and _key(groups[-1][0]) == _key(call):
            groups[-1].append(call)
        else:
            groups.append([call])
    return groups


def _key(call: Call) -> tuple[str, str, int]:
    return call.method, call.url, id(call.sent)


def _answer(group: list[Call]) -> str:
    return f"# {'the last: ' if len(group) > 1 else ''}{group[-1].came_back}"


def _line(group: list[Call]) -> str:
    line = curl(group[0])
    if len(group) == 1:
        return line
    if any(later.started < earlier.ended for earlier, later in pairwise(group)):
        return f"for i in $(seq {len(group)}); do {line} & done; wait; echo"
    return f"for i in $(seq {len(group)}); do {line}; echo; done"


def curl(call: Call) -> str:
    """``curl -sS -i …``; a body over MAX_LITERAL_BODY characters comes from ``python3 -c '…' |``."""
    parts = ["curl -sS -i", "-X POST" if call.method == "POST" else "", quote(call.url)]
    if call.sent is None:
        return " ".join(filter(None, parts))
    parts.append("-H 'Content-Type: application/json'")
    text = call.sent.decode(errors="replace") if isinstance(call.sent, bytes) else json.dumps(call.sent)
    if len(text) <= MAX_LITERAL_BODY:
        return " ".join([*parts, "--data-binary", quote(text)])
    is_text = isinstance(call.sent, bytes)
    made = f"print({expression(text)})" if is_text else f"import json; print(json.dumps({expression(call.sent)}))"
    return f"python3 -c {quote(made)} | {' '.join([*parts, '--data-binary @-'])}"


def expression(value: Any) -> str:
    """A short Python expression for a JSON value; regular lists and long runs are written as such."""
    match value:
        case str():
            run = len(value) > 80 and len(set(value)) == 1
            return f"{json.dumps(value[0])} * {len(value)}" if run else json.dumps(value)
        case dict():
            return "{" + ", ".join(f"{json.dumps(k)}: {expression(v)}" for k, v in value.items()) + "}"
        case list():
            return _list_expression(value)
        case _:
            return repr(value)


def _list_expression(values: list[Any]) -> str:
    short = _numbered(values) or _periodic(values) if len(values) > 2 else None
    return short or "[" + ", ".join(expression(v) for v in values) + "]"


def _numbered(values: list[Any]) -> str | None:
    """Texts that differ in the number at their end."""
    matches = [_NUMBERED.fullmatch(v) for v in values if isinstance(v, str)]
    found = [(m[1], int(m[2])) for m in matches if m]
    if len(found) < len(values) or len({stem for stem, _ in found}) > 1 or '"' in found[0][0] or "%" in found[0][0]:
        return None
    numbers = [number for _, number in found]
    first, last = numbers[0], numbers[-1]
    span = f"range({first}, {last + 1})" if numbers == list(range(first, last + 1)) else str(numbers)
    return f"[{json.dumps(found[0][0] + '%d')} % i for i in {span}]"


def _periodic(values: list[Any]) -> str | None:
    for period in range(1, min(_MAX_PERIOD, len(values) // 2) + 1):
        if len(values) % period == 0 and values == values[:period] * (len(values) // period):
            return f"{_list_expression(values[:period])} * {len(values) // period}"
    return None
