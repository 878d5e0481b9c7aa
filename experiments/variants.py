"""What is played: recommenders as the settings name them, each with settings of its own."""

from __future__ import annotations

from typing import Any, Final

from grader.errors import GraderError
from recsys.recommenders.recipe import PROFILES, Recipe, read_recipe
from recsys.recommenders.registry import RecommenderError
from recsys.settings import Settings

# As in the running system, unless a variant says otherwise.
DEFAULTS: Final = {name: Settings.model_fields[name].default for name in ("half_life_days", "taste_interval_s")}
CHANGES: Final = ("explore", "diversity", "profile", "without", *DEFAULTS)


def recipe_of(variant: str) -> Recipe:
    """``als:factors=32,popular explore=off diversity=0.1``: what RECOMMENDER would hold, then other settings.

    Without sources it is what the profile has; the name of a profile alone stands for it. GraderError for what cannot
    be.
    """
    first, *words = variant.split() or [""]
    changes: dict[str, Any] = dict(DEFAULTS)
    if first in PROFILES:
        changes["profile"] = first
    elif first.partition("=")[0] in CHANGES:
        words.insert(0, first)
    else:
        changes["recommender"] = first
    try:
        for word in words:
            name, _, value = word.partition("=")
            if name not in CHANGES:
                raise RecommenderError(f"{word!r} is none of {', '.join(f'{change}=' for change in CHANGES)}")
            changes[name] = value if name in ("explore", "profile", "without") else float(value)
        if not first:
            raise RecommenderError("no recommender is named")
        return read_recipe(**changes)
    except (RecommenderError, ValueError) as error:
        raise GraderError(f"--recommender {variant!r}: {error}") from error
