"""Which recommenders fill the lists. What their names mean is known to ``recsys.recommenders`` alone."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, field_validator


class RecommendingSettings(BaseModel):
    recommender: str = Field(
        "", description="sources of the lists in their order, for example als:factors=32,popular; empty: the profile's"
    )
    explore: str = Field("", description="places for unknown items: auto, off or a share; empty: the profile's")
    diversity: float | None = Field(
        None, ge=0, le=1, description="weight of genre similarity in the order of a list; empty: the profile's"
    )
    ranking_profile: str = Field("balanced", description="what lists aim at")
    ranking_without: str = Field("", description="components of the bandit to leave out, comma separated: ablations")
    half_life_days: float = Field(7.0, ge=0.001, description="an interaction this old counts half in like rates")
    taste_interval_s: float = Field(10.0, gt=0, description="seconds between two fits of the bandit's factor model")
    rank_timeout_ms: float = Field(
        100.0, gt=0, description="a recommender of one's own that ranks longer than this loses its places"
    )
    seed: int = Field(0, ge=0, description="seed of all randomness in rankings")

    @property
    def recipe(self) -> dict[str, Any]:
        """What ``recsys.recommenders.recipe`` makes the lists' recipe of."""
        return {
            "recommender": self.recommender,
            "explore": self.explore,
            "diversity": self.diversity,
            "profile": self.ranking_profile,
            "without": self.ranking_without,
            "half_life_days": self.half_life_days,
            "taste_interval_s": self.taste_interval_s,
        }

    @field_validator("explore")
    @classmethod
    def _share(cls, explore: str) -> str:
        if explore in ("", "auto", "off"):
            return explore
        try:
            share = float(explore)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            raise ValueError("must be auto, off or a share from 0 to 1")
        return explore

    @field_validator("diversity", mode="before")
    @classmethod
    def _perhaps(cls, diversity: float | str | None) -> float | str | None:
        return None if diversity == "" else diversity
