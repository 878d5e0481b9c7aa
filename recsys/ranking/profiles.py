"""Ready-made rankings, and what each is without one of its components: for settings and for ablations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from recsys.ranking.choose import ChooseConfig
from recsys.ranking.exploration import ExploreConfig
from recsys.ranking.posterior import PosteriorConfig
from recsys.ranking.taste import TasteConfig


@dataclass(frozen=True)
class Ranking:
    """Every constant of the recommender, with the experiment that chose it in docs/quality.md."""

    posterior: PosteriorConfig = field(default_factory=PosteriorConfig)
    explore: ExploreConfig = field(default_factory=ExploreConfig)
    taste: TasteConfig = field(default_factory=TasteConfig)
    choose: ChooseConfig = field(default_factory=ChooseConfig)
    answers: bool = True  # lists without a reaction may not have been looked at
    factors: bool = True  # learn loadings, and how much tastes for genres vary


NOTHING_NEW: Final = ExploreConfig(least=0.0, unknown=0.0, looks=0.0)
PROFILES: Final[Mapping[str, Ranking]] = {
    "balanced": Ranking(),
    "relevance": Ranking(
        explore=ExploreConfig(least=0.1, unknown=0.4, looks=0.05),
        choose=ChooseConfig(diversity=0.0, noise=0.5),
    ),
    "discovery": Ranking(
        explore=ExploreConfig(least=0.4, unknown=0.6, looks=0.3),
        choose=ChooseConfig(diversity=0.4),
    ),
    # Two baselines to compare with.
    "popular": Ranking(
        explore=NOTHING_NEW,
        choose=ChooseConfig(noise=0.0, diversity=0.0, taste=False),
        posterior=PosteriorConfig(genre_items=1e9),
        answers=False,
        factors=False,
    ),
    "random": Ranking(explore=NOTHING_NEW, choose=ChooseConfig(uniform=True), factors=False),
}
COMPONENTS: Final[Mapping[str, Callable[[Ranking], Ranking]]] = {
    "explore": lambda r: replace(r, explore=NOTHING_NEW),
    "looks": lambda r: replace(r, explore=replace(r.explore, looks=0.0, interleave=0.0)),
    "adaptive": lambda r: replace(r, explore=replace(r.explore, least=0.3, unknown=0.0)) if r.explore.least else r,
    "answers": lambda r: replace(r, answers=False),
    "genres": lambda r: replace(r, posterior=replace(r.posterior, genre_items=1e9)),
    "noise": lambda r: replace(r, choose=replace(r.choose, noise=0.0)),
    "taste": lambda r: replace(r, choose=replace(r.choose, taste=False)),
    "factors": lambda r: replace(r, factors=False),
    "diversity": lambda r: replace(r, choose=replace(r.choose, diversity=0.0)),
}


def ranking(profile: str, without: str = "") -> Ranking:
    """The profile of this name, without the components named, comma separated. ValueError for a name there is not."""
    if profile not in PROFILES:
        raise ValueError(f"there is no profile {profile!r}: choose from {', '.join(PROFILES)}")
    chosen = PROFILES[profile]
    for name in filter(None, (part.strip() for part in without.split(","))):
        if name not in COMPONENTS:
            raise ValueError(f"there is no component {name!r} to leave out: choose from {', '.join(COMPONENTS)}")
        chosen = COMPONENTS[name](chosen)
    return chosen
