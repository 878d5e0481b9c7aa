"""The recommender without its processes: the same counts, refresh and choice, driven by a clock that the plan sets."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import polars as pl

from grader.metrics.lists import NOTHING
from grader.session import opinions_of
from grader.traffic import Plan
from grader.worlds.world import Ints, World
from recommendations.knowledge import build_view
from recsys.catalogue import Catalogue
from recsys.contract import EVENT_SCHEMA, ItemRecord
from recsys.ranking.choose import View, choose
from recsys.ranking.exploration import Hand
from recsys.ranking.profiles import Ranking
from recsys.ranking.taste import TasteModel
from recsys.user_state import MARKS, UserState, encode
from regular_pipeline.counts import Counts
from regular_pipeline.refresh import Snapshot, compute, deck_size, learn_taste

Row = tuple[str, str, int, int, float]


class System:
    """One catalogue, from its first request on. Reactions are in a user's next list; the rest waits for a refresh."""

    def __init__(self, world: World, ranking: Ranking, seed: int, refresh_s: float, learn_s: float) -> None:
        self._ranking, self._seed = ranking, seed
        self._refresh_s, self._learn_s = refresh_s, learn_s
        self._catalogue = Catalogue()
        self._catalogue.extend(
            ItemRecord(id=str(n), genres=tuple(names)) for n, names in enumerate(world.genre_lists())
        )
        self._counts = Counts(7.0)
        self._taste = TasteModel.untrained(world.n_items, ranking.taste)
        self._rng = np.random.default_rng(seed)
        self._codes: defaultdict[int, bytes] = defaultdict(bytes)
        self._rows: list[Row] = []
        self._deck: Hand[int] = Hand()
        self._dealt = 0
        self._next_refresh = self._next_lesson = 0.0
        self._view: View

    def recommend(self, user: int, k: int, at: float) -> list[int]:
        self._catch_up(at)
        cards = self._deck.offer(self._view.cards([k]))
        state = UserState(self._codes[user])
        chosen = choose(self._view, state, k, cards, self._rng, self._ranking.choose).positions
        self._deck.take_back([card for card in cards if card not in chosen])
        self._dealt += len(set(cards) & set(chosen))
        self._log(user, "impression", chosen, at)
        return chosen

    def react(self, user: int, opinions: dict[int, bool], at: float) -> None:
        for kind, meant in (("like", True), ("dislike", False)):
            self._log(user, kind, [item for item, liked in opinions.items() if liked is meant], at)

    def _log(self, user: int, kind: str, items: list[int], at: float) -> None:
        event = f"{kind}{len(self._rows)}"
        self._rows += [(event, kind, user, item, at) for item in items]
        self._codes[user] += encode(items, MARKS[kind])

    def _catch_up(self, at: float) -> None:
        while at >= self._next_refresh:
            self._refresh(self._next_refresh)
            # A pause of many intervals changes nothing after the first.
            self._next_refresh = max(self._next_refresh + self._refresh_s, at - self._refresh_s)

    def _refresh(self, at: float) -> None:
        if self._rows:
            self._counts.add(_frame(self._rows))
            self._rows = []
        snapshot = Snapshot.take(1, self._catalogue, self._counts, self._taste, self._ranking)
        refreshed = compute(snapshot, self._seed)
        made = refreshed.artifacts
        self._view = build_view(self._catalogue, made, self._ranking)
        self._deck = Hand(refreshed.deck(snapshot, deck_size(self._dealt), self._rng).tolist())
        self._dealt = 0
        if self._ranking.factors and at >= self._next_lesson:
            self._next_lesson = at + self._learn_s
            self._taste = learn_taste(snapshot, self._counts.slates.lessons(), made.mean, self._seed)


def _frame(rows: list[Row]) -> pl.DataFrame:
    event, kind, user, item, at = zip(*rows, strict=True)
    return pl.DataFrame(
        {
            "event_id": event,
            "kind": kind,
            "user_id": [str(u) for u in user],
            "item_index": item,
            "received_at": [1.0 + when for when in at],
            "undone_at": [None] * len(rows),
        },
        schema_overrides={name: EVENT_SCHEMA[name] for name in ("item_index", "received_at", "undone_at")},
    )


def play(world: World, plan: Plan, system: System, k: int) -> Ints:
    """(lists, k): what the system shows in the order of ``plan.lists``, NOTHING where a list is short."""
    lists = np.full((len(plan.lists), k), NOTHING, np.int32)
    last: dict[int, list[int]] = {}
    said: defaultdict[int, set[int]] = defaultdict(set)
    number = 0
    for step in plan.order.tolist():
        user = int(plan.step_user[step])
        if plan.looks[step]:
            items = last[user] = system.recommend(user, k, float(plan.due_s[step]))
            lists[number, : len(items)] = items
            number += 1
        else:
            opinions = opinions_of(world, user, [item for item in last[user] if item not in said[user]])
            said[user].update(opinions)
            system.react(user, opinions, float(plan.due_s[step]))
    return lists
