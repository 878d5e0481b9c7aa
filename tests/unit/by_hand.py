"""Statistics and histories written out, for tests of what is chosen from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from recsys.ranking.choose import DEFAULT, ChooseConfig, View
from recsys.user_state import SHOWN, UserState, encode

NOBODY = UserState(b"")


def view_of(mean: Any, genres: Any = None, sd: Any = 0.0, config: ChooseConfig = DEFAULT, **known: Any) -> View:
    rates = np.asarray(mean, dtype=np.float32)
    n = len(rates)
    membership = np.zeros((n, 0), dtype=bool) if genres is None else np.asarray(genres, dtype=bool)
    order = np.argsort(-rates, kind="stable")
    return View.of(rates, np.full(n, sd, dtype=np.float32), order, membership, config, **known)


def falling(n: int, explore_share: float = 0.0) -> View:
    """n items without genres, each certain and a little worse than the one before."""
    return view_of(np.linspace(0.5, 0.1, n), explore_share=explore_share)


def user_of(*history: tuple[int, int]) -> UserState:
    return UserState(b"".join(encode([position], mark) for position, mark in history))


def shown(*positions: int) -> UserState:
    return UserState(encode(positions, SHOWN))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)
