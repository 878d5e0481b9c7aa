"""Worlds by name, as the command line takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import numpy as np

from grader.errors import GraderError
from grader.worlds.movielens import movielens_world
from grader.worlds.synthetic import synthetic_world
from grader.worlds.synthetic_config import TINY, SyntheticConfig
from grader.worlds.world import World

SYNTHETIC: Final = {"synthetic": SyntheticConfig(), "tiny": TINY}
CHOICES: Final = "movielens:FOLDER, synthetic, synthetic:NAME=NUMBER,NAME=NUMBER and tiny"
SAMPLE: Final = 4  # the random stream of the users' sample, beside those of the generated worlds


def open_world(spec: str, seed: int, users: int | None = None) -> World:
    """The world that ``spec`` names; ``users``: not more than that many of its users, generated or drawn at random.

    Specs: ``movielens:FOLDER``; ``synthetic`` or ``tiny`` as they are or with numbers of SyntheticConfig set, as in
    ``synthetic:items=5000,opinions=0.25``. ``users`` wins over a number of users in the spec. The same spec and seed
    give the same world. GraderError for a spec that names none.
    """
    world = read_spec(spec, users)(seed)
    return replace(world, parameters={"spec": spec, "seed": seed, **world.parameters})


def read_spec(spec: str, users: int | None = None) -> Callable[[int], World]:
    """What builds the world from a seed. GraderError for a spec that names none, before anything is built."""
    if users is not None and users < 1:
        raise GraderError(f"A world of {users} users has nobody to ask: give at least 1.")
    kind, colon, rest = spec.partition(":")
    if kind == "movielens":
        folder = _folder(rest)
        return lambda seed: _sample(movielens_world(folder), seed, users)
    if kind in SYNTHETIC:
        config = _configured(SYNTHETIC[kind], rest) if colon else SYNTHETIC[kind]
        sized = config if users is None else replace(config, users=users)
        return lambda seed: replace(synthetic_world(sized, seed), name=spec)
    raise GraderError(f"There is no world {spec!r}: choose from {CHOICES}.")


def _folder(path: str) -> Path:
    if not path:
        raise GraderError("movielens needs the folder of an unpacked MovieLens data set: movielens:FOLDER.")
    return Path(path).expanduser()


def _sample(world: World, seed: int, users: int | None) -> World:
    if users is None or users >= world.n_users:
        return world
    drawn = np.random.default_rng([seed, SAMPLE]).choice(world.n_users, size=users, replace=False)
    return world.subset(np.sort(drawn).astype(np.int32))


def _configured(config: SyntheticConfig, settings: str) -> SyntheticConfig:
    defaults = asdict(config)
    values: dict[str, int | float] = {}
    for setting in settings.split(","):
        name, equals, text = (part.strip() for part in setting.partition("="))
        if not equals or name not in defaults:
            names = ", ".join(defaults)
            raise GraderError(f"{setting!r} sets no number of a synthetic world: write NAME=NUMBER with {names}.")
        values[name] = _number(name, text, whole=isinstance(defaults[name], int))
    return replace(config, **values)  # type: ignore[arg-type]  # each has its field's type by now


def _number(name: str, text: str, whole: bool) -> int | float:
    try:
        return int(text) if whole else float(text)
    except ValueError:
        kind = "a whole number" if whole else "a number"
        raise GraderError(f"{name}={text} of a synthetic world must be {kind}.") from None
