"""Reasons in words, and what the site measures of itself."""

from __future__ import annotations

import pytest

from recsys.settings import SHIPPED_CATALOGUE
from webapp.catalogue import Film, read_catalogue
from webapp.gauges import WAITING_KEPT, Lags, Rate
from webapp.reasons import Taste, reason_for


class TestReasons:
    CATALOGUE = read_catalogue(SHIPPED_CATALOGUE)
    HORROR = next(film for film in CATALOGUE.films.values() if film.genres == ("Horror",))
    DRAMA = next(film for film in CATALOGUE.films.values() if film.genres == ("Drama",))
    BOTH = next(film for film in CATALOGUE.films.values() if {"Drama", "Horror"} <= set(film.genres))

    @pytest.mark.parametrize(
        ("source", "new", "fan"),
        [
            ("bandit", "popular", "because"),
            ("popular", "popular", "popular"),
            ("my_module:Mine", "other", "because"),
            ("genre", "other", "because"),
            ("never heard of", "other", "because"),
            ("explore", "explore", "explore"),
            ("again", "again", "again"),
            ("random", "random", "random"),
        ],
    )
    def test_follow_source_and_taste(self, source: str, new: str, fan: str) -> None:
        nothing, horror = (Taste(self.CATALOGUE, liked) for liked in ({}, {self.HORROR.id: "like", "unheard": "like"}))
        assert [reason_for(source, self.HORROR, taste).kind for taste in (nothing, horror)] == [new, fan]

    def test_name_what_was_liked(self) -> None:
        taste = Taste(self.CATALOGUE, {self.HORROR.id: "like"})
        assert self.HORROR.title in reason_for("bandit", self.BOTH, taste).text
        assert reason_for("bandit", self.DRAMA, taste).text == "Popular in Drama"
        assert reason_for("bandit", Film("1", "A"), taste).text == "Popular"

    def test_the_latest_of_equals_is_named(self) -> None:
        others = [film for film in self.CATALOGUE.films.values() if film.genres == ("Horror",)][1:3]
        taste = Taste(self.CATALOGUE, {film.id: "like" for film in others})
        assert taste.nearest(self.HORROR) == others[0]

    def test_what_is_everywhere_says_least(self) -> None:
        taste = Taste(self.CATALOGUE, {self.BOTH.id: "like"})
        assert taste.genres["Horror"] > taste.genres["Drama"]
        assert reason_for("bandit", self.DRAMA, taste).text == "More Drama, which you liked"

    def test_dislikes_and_hidden_films_give_none(self) -> None:
        taste = Taste(self.CATALOGUE, {self.HORROR.id: "dislike", self.BOTH.id: "hide"})
        assert taste.genres == {}
        assert taste.nearest(self.HORROR) is None


class TestGauges:
    def test_rate_is_over_the_last_minute(self) -> None:
        rate = Rate()
        assert [rate.of(count, now) for count, now in ((0, 0.0), (50, 5.0), (100, 55.0), (400, 65.0))] == [
            None,
            10.0,
            pytest.approx(100 / 55),
            pytest.approx(350 / 60),
        ]

    def test_rate_begins_anew_with_the_counter(self) -> None:
        rate = Rate()
        assert [rate.of(count, now) for count, now in ((900, 0.0), (10, 5.0), (30, 6.0))] == [None, None, 20.0]

    def test_lag_of_whoever_waits_longest_is_forgotten(self) -> None:
        lags = Lags()
        for number in range(WAITING_KEPT + 1):
            lags.reacted(str(number), 0)
        lags.listed("0", 1)
        assert lags.summary() is None
        lags.listed("1", 1)
        assert lags.summary() is not None

    def test_lag_is_from_the_first_reaction_to_the_next_list(self) -> None:
        lags = Lags()
        assert lags.summary() is None
        for begin in range(0, 100, 10):
            lags.reacted("ann", begin)
            lags.reacted("ann", begin + 0.3)
            lags.listed("ann", begin + 0.5)
            lags.listed("ann", begin + 4)
        lags.reacted("bob", 0)
        lags.listed("bob", 60)  # went away for a minute
        summary = lags.summary()
        assert summary is not None
        assert (summary.median_s, summary.p95_s) == (0.5, 0.5)
