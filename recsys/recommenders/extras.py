"""What only some recommenders need beside requirements.txt."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final, NamedTuple

from recsys.recommenders.port import Live
from recsys.recommenders.recipe import Recipe
from recsys.recommenders.registry import TRAINED_BY, RecommenderError


class Extra(NamedTuple):
    """A file of requirements, and the modules that it installs."""

    file: str
    modules: tuple[str, ...]


JOBS: Final = Extra("requirements-jobs.txt", ("rq", "obstore"))
OF_LIBRARY: Final = {
    "implicit": Extra("requirements-als.txt", ("implicit",)),
    "lightfm": Extra("requirements-lightfm.txt", ("lightfm",)),
}


def missing(recipe: Recipe) -> list[Extra]:
    """What of it is not installed."""
    wanted: list[Extra] = []
    for name, learner in recipe.learners().items():
        if not isinstance(learner, Live):
            wanted.append(JOBS)
        if name in TRAINED_BY:
            wanted.append(OF_LIBRARY[TRAINED_BY[name]])
    return [extra for extra in dict.fromkeys(wanted) if any(find_spec(module) is None for module in extra.modules)]


def require(recipe: Recipe, *, to_train: bool) -> None:
    """RecommenderError, one sentence, unless all is there that is needed to serve it, and perhaps ``to_train`` it."""
    needed = [extra for extra in missing(recipe) if to_train or extra is JOBS]
    if needed:
        modules = ", ".join(module for extra in needed for module in extra.modules if find_spec(module) is None)
        files = " ".join(f"-r {extra.file}" for extra in needed)
        raise RecommenderError(f"RECOMMENDER={recipe.text!r} needs {modules}, not installed yet: pip install {files}")
