"""Worlds of real users: a folder with one of the MovieLens data sets of grouplens.org."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from grader.errors import GraderError
from grader.worlds.world import Bools, Floats, Ints, Longs, World
from recsys.movielens import (
    AGAIN,
    DISLIKE_UP_TO,
    LIKE_FROM,
    Flaw,
    Layout,
    MovieLensError,
    find_layout,
    flaw_of_rating,
    scan_ratings,
)


@dataclass(frozen=True)
class Catalogue:
    """ids (items,) ascending as the files have them; genres (items, len(genre_names)); names in alphabetical order."""

    ids: Longs
    genre_names: list[str]
    genres: Bools


@dataclass(frozen=True)
class Ratings:
    """Columns of the ratings file, (ratings,) each: ids as the file has them, stars from 0.5 to 5."""

    path: Path
    users: Ints
    movies: Ints
    stars: Floats
    first_line: int  # of row 0


def movielens_world(folder: Path) -> World:
    """The movies of ``folder``, rated or not, and the users who like or dislike at least one of them.

    Reads latest-small, 20M and 25M (ratings.csv, movies.csv), 1M and 10M (ratings.dat, movies.dat) and 100K (u.data,
    u.item). At least 4 stars is a like, at most 3 a dislike. The last rating of a movie by the same user counts.
    Items and users are in the order of their ids. GraderError, one sentence with file and line, for everything that
    is not as the data sets have it, a rating of a movie without an entry included: then the two files do not belong
    together.
    """
    try:
        layout = find_layout(folder)
        return _world(folder, _read_catalogue(folder, layout), _read_ratings(folder, layout))
    except MovieLensError as error:
        raise GraderError(str(error)) from error
    except OSError as error:
        raise GraderError(f"{error.filename or folder} cannot be read: {error.strerror or error}.") from error


def _refused(path: Path, flaw: Flaw) -> GraderError:
    return GraderError(f"{path}, line {flaw.line}: {flaw.problem}.")


def _read_catalogue(folder: Path, layout: Layout) -> Catalogue:
    """Every movie of the movies file. GraderError with the line that is cut off, has no number or repeats one."""
    path = folder / layout.movies_name
    found: dict[int, list[str]] = {}
    for movie in layout.movies(path):
        if isinstance(movie, Flaw):
            raise _refused(path, movie)
        if int(movie.id) in found:
            raise _refused(path, Flaw(movie.line, f"movie {movie.id} is there a second time; delete one of its lines"))
        found[int(movie.id)] = movie.genres
    if not found:
        raise GraderError(f"{path} has no movies: {AGAIN}.")
    ids = np.array(sorted(found), dtype=np.int64)
    names = sorted({g for genres in found.values() for g in genres})
    flags = np.array([[name in found[i] for name in names] for i in ids.tolist()], dtype=np.bool_)
    return Catalogue(ids, names, flags.reshape(len(ids), len(names)))


def _read_ratings(folder: Path, layout: Layout) -> Ratings:
    """Users, movies and stars of the ratings file; what the timestamp says does not matter.

    Reads 25 million lines in a few seconds. GraderError with the first line that is cut off or has a field that is
    not a number, and if there is no rating at all.
    """
    path = folder / layout.ratings_name
    lines = scan_ratings(path, layout, pl.Int32)
    try:
        read = lines.select("userId", "movieId", "rating", "good").collect(engine="streaming")
    except pl.exceptions.SchemaError:  # a first line, where there is no header, with another number of fields
        raise _refused(path, flaw_of_rating(path, layout, layout.first_line)) from None
    if not read.height:
        raise GraderError(f"{path} has no ratings: {AGAIN}.")
    if not read["good"].all():
        line = layout.first_line + int((~read["good"]).arg_max() or 0)
        raise _refused(path, flaw_of_rating(path, layout, line))
    users, movies, stars = (read[name].to_numpy() for name in ("userId", "movieId", "rating"))
    return Ratings(path, users, movies, stars, layout.first_line)


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
        raise _refused(ratings.path, Flaw(ratings.first_line + row, problem))
    return items.astype(np.int64)


def _last_of_pairs(users: Ints, items: Longs) -> Longs:
    """Rows sorted by user, then item; of rows with the same user and item only the last."""
    pairs = users * (items.max() + 1) + items
    order = np.argsort(pairs, kind="stable")  # rows of a pair stay in the order of the file
    pairs = pairs[order]
    rows: Longs = order[np.append(pairs[1:] != pairs[:-1], True)]
    return rows
