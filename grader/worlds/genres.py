"""The genres of MovieLens 1M and 100K."""

from __future__ import annotations

from typing import Final

# By name in alphabetical order: share of the movies of MovieLens latest-small (2018) that have the genre.
GENRE_SHARES: Final = {
    "Action": 0.188,
    "Adventure": 0.130,
    "Animation": 0.063,
    "Children's": 0.068,
    "Comedy": 0.386,
    "Crime": 0.123,
    "Documentary": 0.045,
    "Drama": 0.448,
    "Fantasy": 0.080,
    "Film-Noir": 0.009,
    "Horror": 0.100,
    "Musical": 0.034,
    "Mystery": 0.059,
    "Romance": 0.164,
    "Sci-Fi": 0.101,
    "Thriller": 0.194,
    "War": 0.039,
    "Western": 0.017,
}
