"""What ``/status`` of the recommendations service says, and what follows from it. Older services say less."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

# A model that no recommender asks for by this name: it finds unknown items that are worth a place.
EXPLORER: Final = "explore"
EXPLORING: Final = "bandit"  # a source that does that itself
LARGEST: Final = 1e15  # what is above it is no amount of anything here
LAST_MOMENT: Final = 2.5e11  # in the year 9892

Share = float | Literal["auto"] | None  # of the places; auto: as many as seem worth while; None: not known


@dataclass(frozen=True)
class ModelStatus:
    """What is known of a model; None or empty where nothing is."""

    name: str
    version: str = ""  # in force
    rows: int | None = None  # of the event log, from which it learned
    made_at: float | None = None  # Unix seconds: trained, or published if it is live
    published_at: float | None = None
    seconds: float | None = None  # that it took
    size: int | None = None  # bytes
    error: str = ""  # of the last attempt to make one
    wanted: bool = True  # by the recommender in force; else it is of an earlier one
    instead: str = ""  # what takes its places while there is none: next, random or sources

    @property
    def explores(self) -> bool:
        return self.name == EXPLORER


@dataclass(frozen=True)
class Refresh:
    at: float  # Unix seconds
    rows: int  # of the event log
    model: str = ""  # empty where there is only one


@dataclass(frozen=True)
class ServiceStatus:
    rows: int  # of the event log
    refresh: Refresh | None  # the last one of the lists
    likes: int
    dislikes: int
    backends: Mapping[str, str]
    recommender: str = ""
    explore: Share = None
    models: tuple[ModelStatus, ...] = ()  # sources first, in their order


def read_status(body: Mapping[str, Any]) -> ServiceStatus:
    """KeyError, TypeError, ValueError or AttributeError for what is none."""
    events = body["log"]
    recommender = str(body.get("recommender") or "")
    explore: Share = "auto" if body.get("explore") == "auto" else _amount(body.get("explore"))
    models = tuple(_models(body.get("models"), _sources(recommender), explore))
    return ServiceStatus(
        rows=int(events["rows"]),
        refresh=_last_refresh(models) or _refresh(body["refresh"]),
        likes=int(events.get("likes", 0)),
        dislikes=int(events.get("dislikes", 0)),
        backends={str(name): str(url) for name, url in body["backends"].items()},
        recommender=recommender,
        explore=explore,
        models=models,
    )


def _sources(recommender: str) -> list[str]:
    """Names in ``als:factors=32,iterations=8,my_module:Mine:depth=3``; recsys.recommenders.registry reads the rest."""
    names = []
    for part in filter(None, (part.strip() for part in recommender.split(","))):
        before, equals, _ = part.partition("=")
        name, colon, _ = before.rpartition(":")
        if colon or not equals:  # else it is one more option
            names.append(name if equals else part)
    return names


def _models(body: object, sources: list[str], explore: Share) -> Iterator[ModelStatus]:
    """Those of the sources, whether they are there yet or not, and all others that are there."""
    if not isinstance(body, Mapping):
        return
    facts = {str(name): of for name, of in body.items() if isinstance(of, Mapping)}
    for name in dict.fromkeys([*sources, *facts]):
        found = _model(name, facts.get(name, {}))
        if name in sources:
            yield replace(found, instead="random" if name == sources[-1] else "next")
        elif name == EXPLORER:
            yield replace(found, instead="sources", wanted=explore != 0 and EXPLORING not in sources)
        else:
            yield replace(found, wanted=not sources)


def _model(name: str, facts: Mapping[str, Any]) -> ModelStatus:
    published_at = _moment(facts.get("published_at"))
    trained_at = _moment(facts.get("trained_at"))
    return ModelStatus(
        name,
        version=str(facts.get("version") or ""),
        rows=_whole(facts.get("rows")),
        made_at=published_at if trained_at is None else trained_at,
        published_at=published_at,
        seconds=_amount(facts.get("seconds")),
        size=_whole(facts.get("bytes")),
        error=str(facts.get("error") or ""),
    )


def _last_refresh(models: tuple[ModelStatus, ...]) -> Refresh | None:
    """Of all models that have a part in the lists: one that is trained now and then is not the only one."""
    found = [
        Refresh(model.published_at, model.rows, model.name)
        for model in models
        if model.wanted and model.version and model.published_at is not None and model.rows is not None
    ]
    last = max(found, key=lambda refresh: (refresh.at, refresh.rows), default=None)
    return last if last is None or len(models) > 1 else replace(last, model="")


def _refresh(body: Mapping[str, Any]) -> Refresh | None:
    at, rows = _moment(body["published_at"]), _whole(body["rows"])
    return None if at is None or rows is None else Refresh(at, rows)


def _amount(value: object) -> float | None:
    """None for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LARGEST:
        return None
    return float(value)


def _whole(value: object) -> int | None:
    return None if (amount := _amount(value)) is None else int(amount)


def _moment(value: object) -> float | None:
    return None if (amount := _amount(value)) is None or amount > LAST_MOMENT else amount
