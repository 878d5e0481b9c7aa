"""What the page says about how a run was made: its settings, the command that repeats it, the feedback lag."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from typing import Any, Final, NamedTuple

from grader.grade import GradeConfig

OPTIONS: Final = {
    "world": "--world",
    "seed": "--seed",
    "users": "--users",
    "lists_per_user": "--lists",
    "requests_per_s": "--rate",
    "concurrency": "--concurrency",
    "speed": "--speed",
    "timeout_s": "--timeout",
    "salt": "--salt",
}
SWITCHES: Final = ("explain", "ladder", "lag")
ALWAYS: Final = ("world", "seed")
SHOWN_ELSEWHERE: Final = ("ladder", "lag", "add_items_s")


class Facts(NamedTuple):
    title: str
    rows: list[tuple[str, str]]


def command(facts: Mapping[str, Any], profile_name: str) -> str:
    """The lines that repeat the run, quoted for a shell. What was left at its default is left out."""
    settings, defaults = facts["settings"], asdict(GradeConfig())
    parts = [["python", "-m", "grader", "run"]]
    parts += [[f"--{name.replace('_', '-')}", str(value)] for name, value in facts["address"].items()]
    known = {name: value for name, value in settings.items() if value is not None}
    changed = {name: value for name, value in known.items() if name in ALWAYS or value != defaults.get(name)}
    parts += [[option, _exact(changed[name])] for name, option in OPTIONS.items() if name in changed]
    parts += [["--rung", name] for name in changed.get("rungs", ())]
    parts += [[f"--{'' if changed[name] else 'no-'}{name}"] for name in SWITCHES if name in changed]
    parts += [["--profile", profile_name]] * (profile_name != "standard")
    return " \\\n  ".join(map(shlex.join, parts))


def _exact(value: object) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def facts_tables(facts: Mapping[str, Any]) -> list[Facts]:
    """Everything else that is known of the run, whatever it is, and what the report was made with."""
    rest = {name: value for name, value in facts.items() if name not in SHOWN_ELSEWHERE}
    tables = [Facts("Run", [(name, _text(v)) for name, v in rest.items() if not isinstance(v, Mapping)])]
    tables += [Facts(name.capitalize(), list(_rows(v))) for name, v in rest.items() if isinstance(v, Mapping)]
    libraries = [(name, version(name)) for name in ("numpy", "polars", "matplotlib")]
    return [*tables, Facts("This report was made with", [("python", platform.python_version()), *libraries])]


def _rows(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _rows(value, f"{prefix}{name}, ")
        else:
            yield f"{prefix}{name}", _text(value)


def _text(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def moment(iso: str) -> str:
    """For people."""
    return f"{datetime.fromisoformat(iso):%Y-%m-%d %H:%M %Z}"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f}\N{NO-BREAK SPACE}s"


def catalogue_sentence(batches_s: Sequence[float]) -> str:
    """Empty if it is not known."""
    if not batches_s:
        return ""
    return (
        f"The catalogue was added in {len(batches_s)} requests: {duration(sum(batches_s))} in all, "
        f"the slowest {max(batches_s) * 1000:.0f} ms."
    )
