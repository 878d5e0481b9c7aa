"""What fills the lists: which sources in which order, how much is explored, how diverse a list is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from recsys.recommenders.port import ExplorationShare, Explored, Exploring, Learner, Live, Model
from recsys.recommenders.registry import RecommenderError, Spec, build, read_specs

BANDIT: Final = "bandit"
# Who fills the exploration queue where no source does: what the bandit knows of the items, without users' tastes.
EXPLORER: Final = "explore"


@dataclass(frozen=True)
class Profile:
    """A ready-made recipe."""

    recommender: str
    explore: str = "auto"
    diversity: float = 0.0
    constants: Mapping[str, str] | None = None  # of the bandit, wherever it has a part in the lists


PROFILES: Final[Mapping[str, Profile]] = {
    "balanced": Profile(BANDIT, diversity=0.15),
    "relevance": Profile(
        BANDIT,
        constants={"explore.least": "0.1", "explore.unknown": "0.4", "explore.looks": "0.05", "rank.noise": "0.5"},
    ),
    "discovery": Profile(
        BANDIT,
        diversity=0.4,
        constants={"explore.least": "0.4", "explore.unknown": "0.6", "explore.looks": "0.3"},
    ),
    # Two baselines to compare with.
    "popular": Profile("popular", explore="off"),
    "random": Profile("random", explore="off"),
}
# Components that are no part of the bandit but of every list.
OF_LISTS: Final = ("explore", "diversity")


@dataclass(frozen=True)
class Recipe:
    """``explore`` is a share of the places, or None: as the learner that fills the exploration queue says."""

    sources: tuple[Spec, ...]
    explore: float | None = None
    diversity: float = 0.0
    explorer: Spec = field(default_factory=lambda: Spec(BANDIT))
    defaults: tuple[tuple[str, Any], ...] = ()  # of options that several learners have

    def learners(self) -> dict[str, Learner]:
        """A new learner of each source, by its name, and of whoever fills the exploration queue if no source does.

        RecommenderError for one that cannot be had.
        """
        learners = {spec.name: self._built(spec) for spec in self.sources}
        if self.explore != 0 and not any(isinstance(learner, Exploring) for learner in learners.values()):
            learners[EXPLORER] = self._built(self.explorer)
        return learners

    @property
    def periodic(self) -> list[str]:
        """Names of the sources that jobs train."""
        return [spec.name for spec in self.sources if not isinstance(self._built(spec), Live)]

    def learner(self, name: str) -> Learner:
        """A new one, of the source of this name or of whoever fills the exploration queue."""
        return self._built(self._spec(name))

    def live_learner(self, name: str) -> Live:
        """The same, of one that follows the log."""
        learner = self.learner(name)
        assert isinstance(learner, Live)
        return learner

    def made_by(self, name: str) -> str:
        """Learner and options as text: what was made by others is of no use to it."""
        return f"{self._spec(name)} {dict(self.defaults)}"

    def _spec(self, name: str) -> Spec:
        return next((spec for spec in self.sources if spec.name == name), self.explorer)

    def _built(self, spec: Spec) -> Learner:
        return build(spec, dict(self.defaults))

    def exploration(self, models: Mapping[str, Model]) -> ExplorationShare:
        """How many places of a list explore, by the first of the models in force that says so; else none."""
        if self.explore is not None:
            return ExplorationShare(self.explore, self.explore)
        return next(filter(None, map(_exploration, models.values())), ExplorationShare(0.0, 0.0))

    @property
    def text(self) -> str:
        """As RECOMMENDER names it."""
        return ",".join(map(str, self.sources))


def _exploration(model: Model) -> ExplorationShare | None:
    """What the model says of it; None if it says nothing that can be."""
    try:
        share = model.exploration if isinstance(model, Explored) else None
        return share if share is not None and 0 <= share.known_user <= share.new_user <= 1 else None
    except Exception:  # it may be somebody's own code
        return None


def read_recipe(
    recommender: str = "",
    explore: str = "",
    diversity: float | None = None,
    profile: str = "balanced",
    without: str = "",
    **defaults: Any,
) -> Recipe:
    """What these settings ask for; what is empty is as the profile has it.

    ``without``: components to leave out, comma separated. ``defaults``: of options that several learners have.
    RecommenderError, with the name of the setting that is wrong.
    """
    if profile not in PROFILES:
        there_are = f"there is no profile {profile!r}: choose from {', '.join(PROFILES)}"
        raise RecommenderError(f"RANKING_PROFILE={profile!r}: {there_are}")
    chosen = PROFILES[profile]
    explore = explore or chosen.explore
    share = {"auto": None, "off": 0.0}[explore] if explore in ("auto", "off") else _share(explore, "EXPLORE")
    left_out = [part.strip() for part in without.split(",") if part.strip()]
    if "explore" in left_out:
        share = 0.0
    if "diversity" in left_out:
        diversity = 0.0
    of_bandit = "+".join(name for name in left_out if name not in OF_LISTS)
    constants = dict(chosen.constants or {})
    try:
        sources = read_specs(recommender or chosen.recommender)
        if not sources:
            raise RecommenderError("no recommender is named")
        recipe = Recipe(
            tuple(_of_profile(spec, constants, of_bandit) for spec in sources),
            share,
            chosen.diversity if diversity is None else _share(diversity, "DIVERSITY"),
            Spec(BANDIT, (*constants.items(), ("without", "taste+factors"))),
            tuple(defaults.items()),
        )
        recipe.learners()  # what cannot be had is told now
    except RecommenderError as error:
        given = {"RECOMMENDER": recommender, "RANKING_WITHOUT": without}
        named = ", ".join(f"{name}={value!r}" for name, value in given.items() if value)
        more = f", {', '.join(OF_LISTS)}" if "to leave out" in str(error) else ""
        raise RecommenderError(f"{named}: {error}{more}" if named else str(error)) from error
    if of_bandit and not any(spec.name == BANDIT for spec in sources):
        raise RecommenderError(f"RANKING_WITHOUT={without!r}: RECOMMENDER has no {BANDIT} to leave {of_bandit} out of")
    return recipe


def _share(value: float | str, name: str) -> float:
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        either = "auto, off or " if name == "EXPLORE" else ""
        raise RecommenderError(f"{name}={value!r}: must be {either}a share from 0 to 1")
    return share


def _of_profile(spec: Spec, constants: Mapping[str, str], without: str) -> Spec:
    if spec.name != BANDIT:
        return spec
    return spec.having(**constants, **({"without": without} if without else {}))
