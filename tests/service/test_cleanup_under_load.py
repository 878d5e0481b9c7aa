"""``/cleanup`` with two workers while many ask for lists: nothing of the old catalogue after it has answered."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.servers import RedisServer
from tests.service.rig import Rig, ids

THREADS: Final = 6
ROUNDS: Final = 8
SIZE: Final = 40


@pytest.fixture(scope="module")
def rig(folder: Path, redis_server: RedisServer) -> Iterator[Rig]:
    made = Rig(folder, redis_server.url, redis_server.url, RECOMMENDATIONS_WORKERS="2")
    with made:
        yield made


class ServerErrorsError(AssertionError):
    """Some lists were answered with a 5xx."""


# How often depends on the moment, so not strict; test_moments.py has each race by itself, strictly.


class Readers:
    """Threads that ask for lists all the time, each on a connection of its own, so that both workers get some."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._read, args=(n,), daemon=True) for n in range(THREADS)]
        self.answers: list[tuple[float, int, list[str]]] = []  # when the request began, its status, the list

    def _read(self, number: int) -> None:
        rng = random.Random(number)
        while not self._stop.is_set():
            # A new connection now and then: the kernel gives it to either worker.
            with httpx.Client(timeout=60, trust_env=False) as client:
                for _ in range(25):
                    if self._stop.is_set():
                        return
                    user = f"user-{rng.randrange(20)}"
                    began = time.monotonic()
                    try:
                        answer = client.get(f"{self._url}/recs/{user}")
                    except httpx.TransportError:
                        # uvicorn closes the connection after a 500: the next request on it may find it so.
                        self.answers.append((began, 0, []))
                        break
                    listed = answer.json()["item_ids"] if answer.status_code == 200 else []
                    self.answers.append((began, answer.status_code, listed))

    @contextmanager
    def running(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()

    def require_no_server_error(self) -> None:
        failed = [status for _, status, _ in self.answers if status != 200]
        if failed:
            raise ServerErrorsError(f"{len(failed)} of {len(self.answers)} requests: {set(failed)}")

    def wait_for_more(self, count: int = 40) -> None:
        """Until that many requests that begin from now on have been answered."""
        now = time.monotonic()
        deadline = now + 60
        while sum(began > now for began, _, _ in self.answers[-10 * count :]) < count:
            assert time.monotonic() < deadline, "lists are answered"
            time.sleep(0.005)


@pytest.mark.parametrize("new_catalogue", [False, True], ids=["nothing follows", "a new catalogue follows at once"])
def test_no_list_holds_an_item_of_the_old_catalogue(rig: Rig, new_catalogue: bool) -> None:
    readers = Readers(rig.recommendations.url)
    cleaned: list[tuple[float, str]] = []  # when the cleanup had answered, and the prefix of what came after it
    generation = f"first{new_catalogue}"
    rig.cleanup()
    rig.add(ids(generation, SIZE), [["Drama"]] * SIZE)
    with readers.running():
        for number in range(ROUNDS):
            readers.wait_for_more()
            rig.cleanup("GET" if number % 2 else "POST")
            generation = f"generation{number}{new_catalogue}"
            cleaned.append((time.monotonic(), generation))
            if not new_catalogue:
                readers.wait_for_more()
            rig.add(ids(generation, SIZE), [["Comedy"]] * SIZE)
            added = time.monotonic()
        readers.wait_for_more()
    for began, _, listed in readers.answers:
        current = [prefix for since, prefix in cleaned if since < began][-1:]
        prefixes = {item.rpartition("-")[0] for item in listed}
        # A request may span later cleanups, never earlier ones.
        later = {prefix for since, prefix in cleaned if since >= began}
        assert prefixes <= {*current, *later} or not current
        assert len(listed) == len(set(listed))
    last = [listed for began, status, listed in readers.answers if began > added and status == 200]
    assert last
    assert all(len(listed) == 10 for listed in last)
    readers.require_no_server_error()


def test_items_arrive_and_epochs_end_while_lists_are_read(rig: Rig) -> None:
    """Every answer is a list: no moment between two epochs or two catalogues is an error."""
    readers = Readers(rig.recommendations.url)
    stop = threading.Event()
    statuses: list[int] = []

    def add() -> None:
        with httpx.Client(timeout=60, trust_env=False) as client:
            number = 0
            while not stop.is_set():
                body = {"item_ids": ids(f"batch{number % 50}", 30)}
                statuses.append(client.post(rig.recommendations.url + "/add_items", json=body).status_code)
                number += 1

    adder = threading.Thread(target=add)
    with readers.running():
        adder.start()
        try:
            for _ in range(2 * ROUNDS):
                readers.wait_for_more(20)
                rig.cleanup()
        finally:
            stop.set()
            adder.join()
    assert set(statuses) == {200}
    readers.require_no_server_error()


def test_both_workers_know_a_new_item_and_a_reaction(rig: Rig) -> None:
    rig.cleanup()
    for size in range(1, 11):
        rig.add([f"item-{size - 1}"])
        for attempt in range(4):
            # A connection of its own for every request: either worker may answer.
            url = f"{rig.recommendations.url}/recs/{size}-{attempt}"
            listed = httpx.get(url, params={"k": size}, timeout=60, trust_env=False).json()["item_ids"]
            assert sorted(listed) == sorted(ids("item", size))
    rig.react("u", dislikes=ids("item", 9))
    rig.wait_counted(dislikes=9)
    for _ in range(6):
        answer = httpx.get(f"{rig.recommendations.url}/recs/u", timeout=60, trust_env=False)
        assert answer.json() == {"item_ids": ["item-9"]}


def test_one_user_never_sees_an_item_twice_whoever_answers(rig: Rig) -> None:
    rig.cleanup()
    rig.add(ids("item", 200))
    seen: list[str] = []
    for _ in range(20):
        answer = httpx.get(f"{rig.recommendations.url}/recs/u", timeout=60, trust_env=False)
        seen += answer.json()["item_ids"]
    assert sorted(seen) == sorted(ids("item", 200))
