"""The hidden truth of a run: a catalogue with genres, and what each user likes and dislikes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]


class TasteModel(Protocol):
    """What a generated world knows about its users beyond the opinions that were drawn."""

    def like_probability(self, users: Ints) -> Floats:
        """The probability that each of ``users`` (n,) likes each item, before anything was drawn: (n, items)."""
        ...


@dataclass(frozen=True)
class Catalogue:
    """What of a world is needed to measure lists that are already judged.

    genres: (items, len(genre_names)) bool. likes, opinions: (items,) how many of the ``n_users`` have one.
    """

    genre_names: Sequence[str]
    genres: Bools
    likes: Ints
    opinions: Ints
    n_users: int


@dataclass(frozen=True)
class World:
    """Items and users are numbered from 0; the ids that a service sees are made anew for every run.

    genres: (items, len(genre_names)) bool; a row may be all False.
    indptr: (users + 1,) int64 and opinion_items: (opinions,) int32, liked: (opinions,) bool. User u has opinions about
    ``opinion_items[indptr[u]:indptr[u + 1]]``, ascending and without repeats; to all others he will not react.
    parameters: what made this world, for the report: spec, seed and the numbers behind it.
    """

    name: str
    genre_names: Sequence[str]
    genres: Bools
    indptr: Longs
    opinion_items: Ints
    liked: Bools
    parameters: Mapping[str, object]
    taste: TasteModel | None = None

    @property
    def n_items(self) -> int:
        return len(self.genres)

    @property
    def n_users(self) -> int:
        return len(self.indptr) - 1

    @cached_property
    def opinion_users(self) -> Ints:
        """(opinions,): whose opinion each is."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), np.diff(self.indptr))

    @cached_property
    def likes_per_user(self) -> Ints:
        return np.bincount(self.opinion_users[self.liked], minlength=self.n_users).astype(np.int32)

    @cached_property
    def likes_per_item(self) -> Ints:
        """How many users like each item: its popularity."""
        return np.bincount(self.opinion_items[self.liked], minlength=self.n_items).astype(np.int32)

    @cached_property
    def opinions_per_item(self) -> Ints:
        return np.bincount(self.opinion_items, minlength=self.n_items).astype(np.int32)

    @property
    def catalogue(self) -> Catalogue:
        return Catalogue(self.genre_names, self.genres, self.likes_per_item, self.opinions_per_item, self.n_users)

    def genre_lists(self) -> list[list[str]]:
        """The genres of each item by name, as ``/add_items`` takes them."""
        names = list(self.genre_names)
        return [[names[g] for g in np.flatnonzero(row)] for row in self.genres]

    def subset(self, users: Ints) -> World:
        """The same catalogue with only these users (distinct), renumbered in the order given."""
        lengths = np.diff(self.indptr)[users]
        starts = self.indptr[:-1][users]
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        picked = np.repeat(starts - indptr[:-1], lengths) + np.arange(indptr[-1])
        taste = None if self.taste is None else _SubsetTaste(self.taste, users)
        return World(
            name=self.name,
            genre_names=self.genre_names,
            genres=self.genres,
            indptr=indptr,
            opinion_items=self.opinion_items[picked],
            liked=self.liked[picked],
            parameters=self.parameters,
            taste=taste,
        )


@dataclass(frozen=True)
class _SubsetTaste:
    """The same model, asked by the new numbers of the users."""

    model: TasteModel
    users: Ints

    def like_probability(self, users: Ints) -> Floats:
        return self.model.like_probability(self.users[users])
