"""Worlds of real users: a folder with one of the MovieLens data sets of grouplens.org."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from grader.errors import GraderError
from grader.worlds.movielens_files import Catalogue, Ratings, fail, find_layout, read_catalogue, read_ratings
from grader.worlds.world import Ints, Longs, World

LIKE_FROM = 4.0  # stars; the scale's word for 4 is "good"
DISLIKE_UP_TO = 3.0  # stars; what lies between is no opinion


def movielens_world(folder: Path) -> World:
    """The movies of ``folder``, rated or not, and the users who like or dislike at least one of them.

    Reads latest-small, 20M and 25M (ratings.csv, movies.csv), 1M and 10M (ratings.dat, movies.dat) and 100K (u.data,
    u.item). At least 4 stars is a like, at most 3 a dislike. The last rating of a movie by the same user counts.
    Items and users are in the order of their ids. GraderError, one sentence with file and line, for everything that
    is not as the data sets have it, a rating of a movie without an entry included: then the two files do not belong
    together.
    """
    layout = find_layout(folder)
    try:
        catalogue = read_catalogue(folder, layout)
        ratings = read_ratings(folder, layout)
    except OSError as error:
        raise GraderError(f"{error.filename or folder} cannot be read: {error.strerror or error}.") from error
    return _world(folder, catalogue, ratings)


def _world(folder: Path, catalogue: Catalogue, ratings: Ratings) -> World:
    items = _item_numbers(catalogue, ratings)
    last = _last_of_pairs(ratings.users, items)
    stars = ratings.stars[last]
    opinions = last[(stars >= LIKE_FROM) | (stars <= DISLIKE_UP_TO)]
    if not len(opinions):
        raise GraderError(f"{ratings.path} has no likes or dislikes: every rating is between 3 and 4 stars.")
    _, lengths = np.unique(ratings.users[opinions], return_counts=True)
    return World(
        name=f"movielens:{folder.resolve().name}",
        genre_names=catalogue.genre_names,
        genres=catalogue.genres,
        indptr=np.concatenate([[0], np.cumsum(lengths)]),
        opinion_items=items[opinions].astype(np.int32),
        liked=ratings.stars[opinions] >= LIKE_FROM,
        parameters={"ratings": len(ratings.stars), "like_from_stars": LIKE_FROM, "dislike_up_to_stars": DISLIKE_UP_TO},
    )


def _item_numbers(catalogue: Catalogue, ratings: Ratings) -> Longs:
    """(ratings,): the position in the catalogue of what was rated."""
    items = np.searchsorted(catalogue.ids, ratings.movies).clip(max=len(catalogue.ids) - 1)
    unknown = catalogue.ids[items] != ratings.movies
    if unknown.any():
        row = int(unknown.argmax())
        problem = f"movie {ratings.movies[row]} is not in the movies file; take both files from the same data set"
        fail(ratings.path, ratings.first_line + row, problem)
    return items.astype(np.int64)


def _last_of_pairs(users: Ints, items: Longs) -> Longs:
    """Rows sorted by user, then item; of rows with the same user and item only the last."""
    pairs = users * (items.max() + 1) + items
    order = np.argsort(pairs, kind="stable")  # rows of a pair stay in the order of the file
    pairs = pairs[order]
    rows: Longs = order[np.append(pairs[1:] != pairs[:-1], True)]
    return rows
