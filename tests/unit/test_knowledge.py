"""What a worker makes of its catalogue before anything is published."""

from __future__ import annotations

from dataclasses import replace

import pytest

from recommendations.knowledge import build_view
from recsys.catalogue import Catalogue
from recsys.contract import ItemRecord
from recsys.ranking.choose import DEFAULT, choose
from recsys.ranking.profiles import Ranking
from recsys.user_state import DISLIKE, LIKE, SHOWN
from tests.unit.by_hand import rng, user_of

FIRST = [(position, SHOWN) for position in range(10)]


@pytest.mark.parametrize(
    ("reactions", "genre"),
    [([(0, LIKE), (2, LIKE), (4, LIKE)], 0), ([(0, DISLIKE), (2, DISLIKE), (4, DISLIKE)], 1)],
    ids=["likes", "dislikes"],
)
def test_before_the_first_artifacts_lists_follow_reactions_by_genre(
    reactions: list[tuple[int, int]], genre: int
) -> None:
    catalogue = Catalogue()
    catalogue.extend(ItemRecord(id=str(n), genres=(("Drama", "Comedy")[n % 2],)) for n in range(200))
    view = build_view(catalogue, None, Ranking())
    config = replace(DEFAULT, noise=0.0, diversity=0.0)
    positions = choose(view, user_of(*FIRST, *reactions), 10, [], rng(), config).positions
    assert [position % 2 for position in positions] == [genre] * 10
