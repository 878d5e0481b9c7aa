"""What depends on the broker, on each of them: the first events, and ``/cleanup`` with events on their way."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from recsys.stores.connect import vectors_folder
from tests.servers import RabbitServer, RedisServer, wait_until
from tests.service.rig import START_S, Rig, delete_queue, frozen, ids, repeated

GENRES: Final = ("Drama", "Comedy", "Horror", "Western")


@pytest.fixture(scope="module", params=["redis-streams", "rabbitmq"])
def idle(request: pytest.FixtureRequest, folder: Path, redis_server: RedisServer) -> Iterator[tuple[Rig, str]]:
    """A system that nobody has used, and what its pipeline has logged by the time it idles."""
    broker_url = redis_server.url
    if request.param == "rabbitmq":
        rabbit: RabbitServer = request.getfixturevalue("rabbit_server")
        delete_queue(rabbit.url)
        broker_url = rabbit.url
    rig = Rig(folder / request.param, redis_server.url, broker_url)
    with rig:
        wait_until(lambda: "epoch begun" in rig.pipeline.output, START_S, "the pipeline idles")
        # Time for some ticks and refreshes with nothing to do: a whole cycle through the broker.
        rig.react("nobody", likes=["nothing"])
        rig.wait_counted(likes=1)
        yield rig, rig.pipeline.output


@pytest.fixture
def rig(idle: tuple[Rig, str]) -> Rig:
    rig, _ = idle
    rig.cleanup()
    return rig


def test_a_pipeline_with_nothing_to_do_idles(idle: tuple[Rig, str]) -> None:
    rig, output = idle
    assert "pipeline started" in output
    for word in ("error", "warning", "Traceback", "Warning"):
        assert word not in output
    assert rig.pipeline.running


def test_the_first_reactions_change_the_next_lists(rig: Rig) -> None:
    """40 items of each genre: those who like 12 of one genre get more of the rest of it than fans of another one."""
    genre_of = {f"{genre}-{n}": genre for genre in GENRES for n in range(40)}
    rig.add(list(genre_of), [[genre] for genre in genre_of.values()])
    fans = {genre: ids(f"{genre}-fan", 8) for genre in ("Horror", "Western")}
    for genre, users in fans.items():
        for user in users:
            rig.react(user, likes=[f"{genre}-{n}" for n in range(12)], dislikes=["Drama-0", "Comedy-0"])
    rig.wait_counted(likes=192, dislikes=32, unknown_items=0)
    rig.wait_published()
    shown = {
        genre: Counter(genre_of[item] for user in users for _ in range(2) for item in rig.recs(user))
        for genre, users in fans.items()
    }
    for genre, other in (("Horror", "Western"), ("Western", "Horror")):
        assert shown[genre][genre] > 1.3 * shown[other][genre]
        assert shown[genre][genre] > 16 * 10 / len(GENRES)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_cleanup_leaves_nothing(rig: Rig, method: str) -> None:
    catalogue = ids("item", 30)
    rig.add(catalogue, [["Drama"]] * 30)
    first = rig.recs("u", k=10)
    rig.react("u", likes=first[:3], dislikes=first[3:10])
    rig.wait_counted(likes=3, dislikes=7, impressions=10)
    rig.wait_published()
    ended = rig.cleanup(method)
    second = rig.cleanup(method)
    assert rig.epoch() > second > ended

    assert rig.get("/recs/u").json() == {"item_ids": []}
    assert rig.catalogue() == {"items": 0, "genres": [], "epoch": rig.epoch()}
    assert rig.get("/top").json() == {"item_ids": []}
    assert rig.get("/similar/item-0").status_code == 404
    assert rig.counters() == {}
    assert rig.codes("u") == [b""]
    rig.add(catalogue)
    assert sorted(rig.recs("u", k=30)) == sorted(catalogue), "what u had seen and disliked is forgotten"

    logged = rig.log(ended)
    assert dict(zip(logged["item_id"], logged["kind"], strict=True)) == {
        item: "like" if n < 3 else "dislike" for n, item in enumerate(first)
    }
    collections = vectors_folder(rig.settings) / "collection"
    wait_until(
        lambda: (
            collections.is_dir()
            and {path.name for path in collections.iterdir()} == {f"{rig.settings.key_prefix}_{rig.epoch()}"}
        ),
        20,
        "only the vectors of this epoch are left",
    )


def test_events_queued_before_a_cleanup_do_not_count_after_it(rig: Rig) -> None:
    catalogue = ids("item", 20)
    rig.add(catalogue, [["Drama"]] * 20)
    with frozen(rig.pipeline):
        for user in ids("user", 15):
            rig.react(user, likes=catalogue[:5], dislikes=catalogue[5:10])
        shown = rig.recs("user-0", k=5)
        assert len(shown) == 5
        ended = rig.cleanup()
        rig.add(catalogue, [["Drama"]] * 20)
        rig.react("user-0", likes=[catalogue[19]])
    rig.wait_counted(likes=1)
    # The queue is in order: what came before that like has been dealt with.
    counted = rig.counters()
    assert (counted["likes"], counted["dislikes"], counted["impressions"], counted["applied"]) == (1, 0, 0, 1)
    assert sorted(rig.recs("user-0", k=19)) == sorted(catalogue[:19])
    assert sorted(rig.recs("user-1", k=20)) == sorted(catalogue)
    logged = rig.log(ended)
    assert logged.height == 150
    assert repeated(zip(logged["user_id"], logged["item_id"], strict=True)) == {}
    assert set(logged["user_id"]) == set(ids("user", 15))


def test_many_cleanups_at_once_all_succeed(rig: Rig) -> None:
    rig.add(ids("item", 10))
    answers: list[int] = []

    def cleanup() -> None:
        answers.append(rig.http.post(rig.recommendations.url + "/cleanup").status_code)

    threads = [threading.Thread(target=cleanup) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 8
    assert rig.recs("u") == []
    rig.add(["new"])
    assert rig.recs("u") == ["new"]
    rig.react("u", likes=["new"])
    rig.wait_counted(likes=1)
