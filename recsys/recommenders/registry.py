"""From the text of a setting to learners: ``als:factors=32,iterations=8,popular`` or ``my_module:Mine:depth=3``.

Sources are separated by commas, and so are the options of a source: a part with "=" goes on with the options of the
source before it. ``module:Class`` names a class of one's own, found on the path like any module.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, get_type_hints

from pydantic import TypeAdapter, ValidationError

from recsys.recommenders.port import Learner, Live

BUILT_IN: Final[Mapping[str, str]] = {
    "bandit": "recsys.recommenders.bandit.learner:Bandit",
    "popular": "recsys.recommenders.popularity:Popular",
    "item-knn": "recsys.recommenders.item_knn:ItemKnn",
    "als": "recsys.recommenders.als:Als",
    "bpr": "recsys.recommenders.bpr:Bpr",
    "lightfm": "recsys.recommenders.lightfm:LightFm",
    "ease": "recsys.recommenders.ease:Ease",
    "random": "recsys.recommenders.random:Random",
}
# Libraries that only some need, by name.
TRAINED_BY: Final[Mapping[str, str]] = {"als": "implicit", "bpr": "implicit", "lightfm": "lightfm"}


class RecommenderError(Exception):
    """A recommender that cannot be had like this. The message says what to change."""


@dataclass(frozen=True)
class Spec:
    """One source: a built-in name or ``module:Class``, and its options as text."""

    name: str
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        options = ",".join(f"{name}={value}" for name, value in self.options)
        return f"{self.name}:{options}" if options else self.name

    @property
    def own(self) -> bool:
        """Whether it is somebody's own code."""
        return self.name not in BUILT_IN

    def having(self, **options: str) -> Spec:
        """With these options where it has none of that name."""
        return Spec(self.name, tuple((options | dict(self.options)).items()))


def read_specs(text: str) -> tuple[Spec, ...]:
    """The sources that the text names, in its order; RecommenderError for a text that cannot be read."""
    found: list[tuple[str, list[tuple[str, str]]]] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        before, equals, value = part.partition("=")
        # Of module:Class:option=value the option is what follows the last colon.
        name, colon, option = before.rpartition(":") if equals else (part, "", "")
        if colon or not equals:
            found.append((name, [(option.strip(), value.strip())] if colon else []))
        elif found:
            found[-1][1].append((before.strip(), value.strip()))
        else:
            raise RecommenderError(f"{part!r} is an option, but no recommender stands before it")
    specs = tuple(Spec(name, tuple(options)) for name, options in found)
    names = [spec.name for spec in specs]
    if repeated := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise RecommenderError(f"{repeated[0]} is named twice")
    return specs


def build(spec: Spec, defaults: Mapping[str, Any] | None = None) -> Learner:
    """A new learner. ``defaults`` are the values of options that are not given, where there are such options.

    RecommenderError, one sentence, for a name, an option or a class that cannot be.
    """
    kind = _class_of(spec)
    try:
        parameters = inspect.signature(kind).parameters
        options = {name: value for name, value in (defaults or {}).items() if name in parameters}
        learner = kind(**options | dict(_converted(spec, kind, parameters)))
    except RecommenderError:
        raise
    except Exception as error:  # whatever somebody's own class does when it is made
        kind_of_error = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise RecommenderError(f"{spec}: {kind_of_error}{error}") from error
    if missing := [name for name in ("fit", "load") if not callable(getattr(learner, name, None))]:
        raise RecommenderError(f"{spec.name} lacks the method {' and '.join(missing)}: see docs/own-recommender.md")
    return learner  # type: ignore[no-any-return]


def is_live(learner: Learner) -> bool:
    """Whether it follows the log in the pipeline; else a job trains it."""
    return isinstance(learner, Live)


def _class_of(spec: Spec) -> Any:
    place = BUILT_IN.get(spec.name, spec.name)
    module_name, colon, class_name = place.partition(":")
    if not colon:
        raise RecommenderError(
            f"there is no recommender {spec.name!r}: choose from {', '.join(BUILT_IN)}, or name your own as "
            "module:Class"
        )
    try:
        module = import_module(module_name)
    except Exception as error:  # whatever happens while somebody's own module is imported
        raise RecommenderError(f"{spec.name} cannot be imported: {type(error).__name__}: {error}") from error
    kind = getattr(module, class_name, None)
    if not inspect.isclass(kind):
        raise RecommenderError(f"{spec.name}: there is no class {class_name!r} in {module.__file__}")
    return kind


def _converted(spec: Spec, kind: Any, parameters: Mapping[str, inspect.Parameter]) -> Iterator[tuple[str, Any]]:
    """The options as the constructor's annotations say, by name."""
    hints = _hints(kind)
    others = next((p.name for p in parameters.values() if p.kind is p.VAR_KEYWORD), None)
    known = [p.name for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for name, text in spec.options:
        if name not in known and others is None:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise RecommenderError(f"{spec}: {spec.name} has no option {name!r}; {takes}")
        default = parameters[name].default if name in known else inspect.Parameter.empty
        wanted = hints.get(name if name in known else others or "", type(default))
        try:
            value = TypeAdapter(str if wanted in (type, type(None)) else wanted).validate_strings(text)
        except ValidationError as error:
            raise RecommenderError(f"{spec}: {name}={text}: {error.errors()[0]['msg']}") from error
        if isinstance(value, float) and not math.isfinite(value):
            raise RecommenderError(f"{spec}: {name}={text}: must be a finite number")
        yield name, value


def _hints(kind: Any) -> dict[str, Any]:
    """None where the annotations name what is there for a type checker alone."""
    try:
        return get_type_hints(kind.__init__)
    except NameError:
        return {}
