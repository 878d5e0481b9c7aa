"""The numbers of a generated world, each of which can be set in its spec."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Final

from grader.errors import GraderError
from grader.worlds.genres import GENRE_SHARES

EFFECTS: Final = (
    "popularity",
    "genre_taste",
    "factor_taste",
    "like_taste",
    "like_popularity",
    "like_item",
    "like_user",
)
STRONGEST: Final = 5.0  # of these: with more, weights leave the range of single precision


@dataclass(frozen=True)
class SyntheticConfig:
    """Defaults: catalogue and audience as large as those of the known grader. The rest was fitted to MovieLens
    latest-small at its size: popularity curve, genre affinity, precision of popular and personal lists, and how much
    better popular items are liked; docs/worlds.md has both side by side.

    "Logit" marks standard deviations and effects on the log odds that an opinion is a like, "log weight" those on the
    logarithm of how much an item draws a user. GraderError for a number that makes no world.
    """

    items: int = 24_500
    users: int = 18_000
    opinions: float = 1.0  # times the opinions per user; 0.25 is a quarter of them
    opinions_min: float = 18.0  # of a user; MovieLens has only users with 20 ratings, a tenth of them no opinion
    opinions_median: float = 65.0
    opinions_mean: float = 144.0  # above the median: the excess over the minimum is lognormal
    popularity: float = 1.5  # exponent of Zipf's law over the items' ranks; 0: all draw users equally
    popularity_head: float = 55.0  # ranks: Mandelbrot's shift, how many items at the top draw about equally
    genres: int = len(GENRE_SHARES)  # how many there are, most frequent first; 0: a catalogue without
    no_genre: float = 0.01  # share of the items without a genre although there are some
    genre_taste: float = 1.0  # log weight: how much users differ in the genres they choose
    factors: int = 3  # of hidden taste that no genre tells of
    factor_taste: float = 1.4  # log weight: how much users differ along them
    like_share: float = 0.55  # of the opinions
    like_taste: float = 0.4  # logit per log weight: how much better users like what draws them
    like_popularity: float = 0.3  # logit per log weight: how much better popular items are liked
    like_item: float = 0.5  # logit: quality beyond popularity
    like_user: float = 1.3  # logit: some users like most things, some few
    change: float = 0.0  # share of the items that swap popularity and quality when half the users have come

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            self._check(0 <= value < math.inf, f"{name}={value} is not a number from 0 on")
            self._check(name not in EFFECTS or value <= STRONGEST, f"{name}={value} is more than {STRONGEST:g}")
        self._check(self.items >= 2 and self.users >= 1, "it needs at least 2 items and 1 user")
        self._check(self.genres <= len(GENRE_SHARES), f"genres must be from 0 to {len(GENRE_SHARES)}")
        self._check(self.no_genre <= 1, "no_genre is a share from 0 to 1")
        self._check(self.change <= 1, "change is a share from 0 to 1")
        self._check(0 < self.like_share < 1, "like_share must be above 0 and below 1")
        self._check(self.opinions > 0, "opinions must be above 0, or nobody likes anything")
        self._check(self.popularity_head > 0, "popularity_head must be above 0")
        ordered = self.opinions_min < self.opinions_median <= self.opinions_mean
        self._check(ordered, "opinions_min must be below opinions_median, and that not above opinions_mean")

    @staticmethod
    def _check(condition: bool, problem: str) -> None:
        if not condition:
            raise GraderError(f"This synthetic world is not possible: {problem}.")


# For tests: built in a moment.
TINY = SyntheticConfig(items=300, users=200, opinions=0.4, popularity_head=10.0, factors=2, factor_taste=3.0)
