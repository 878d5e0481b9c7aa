"""Every constant of the bandit, and what it is without one of its components: for ablations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from recsys.recommenders.bandit.exploration import ExploreConfig
from recsys.recommenders.bandit.posterior import PosteriorConfig
from recsys.recommenders.bandit.taste import TasteConfig
from recsys.recommenders.bandit.view import RankConfig


@dataclass(frozen=True)
class BanditConfig:
    """What other values are worth: docs/tried.md."""

    posterior: PosteriorConfig = field(default_factory=PosteriorConfig)
    explore: ExploreConfig = field(default_factory=ExploreConfig)
    taste: TasteConfig = field(default_factory=TasteConfig)
    rank: RankConfig = field(default_factory=RankConfig)
    answers: bool = True  # lists without a reaction may not have been looked at
    factors: bool = True  # learn item factors, and how much tastes for genres vary


COMPONENTS: Final[Mapping[str, Callable[[BanditConfig], BanditConfig]]] = {
    "looks": lambda c: replace(c, explore=replace(c.explore, looks=0.0, interleave=0.0)),
    "adaptive": lambda c: replace(c, explore=replace(c.explore, least=0.3, unknown=0.0)),
    "answers": lambda c: replace(c, answers=False),
    "genres": lambda c: replace(c, posterior=replace(c.posterior, genre_items=1e9)),
    "noise": lambda c: replace(c, rank=replace(c.rank, noise=0.0)),
    "taste": lambda c: replace(c, rank=replace(c.rank, taste=False)),
    "factors": lambda c: replace(c, factors=False),
}


def configured(without: str, constants: Mapping[str, float | str]) -> BanditConfig:
    """The bandit without the components named (``noise+taste``) and with these constants (``explore.looks``).

    ValueError for a name there is not, or a value that cannot be.
    """
    config = BanditConfig()
    for name, value in constants.items():
        config = _changed(config, name, value)
    for name in filter(None, without.split("+")):
        if name not in COMPONENTS:
            raise ValueError(f"there is no component {name!r} to leave out: choose from {', '.join(COMPONENTS)}")
        config = COMPONENTS[name](config)
    return config


def _changed(config: BanditConfig, name: str, value: float | str) -> BanditConfig:
    parts = {part: of for part, of in asdict(config).items() if isinstance(of, dict)}
    known = sorted(f"{part}.{constant}" for part, of in parts.items() for constant in of)
    if name not in known:
        raise ValueError(f"there is no constant {name!r}: choose from {', '.join(known)}")
    part, _, constant = name.partition(".")
    kind = type(parts[part][constant])
    try:
        number: Any = int(value) if kind is int else kind(float(value))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a {'whole ' if kind is int else ''}number, not {value!r}")
    return replace(config, **{part: replace(getattr(config, part), **{constant: number})})
