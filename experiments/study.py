"""Many plays, and what they say of the variants: paired by seed, with Student's intervals."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import resource_tracker
from multiprocessing.pool import Pool
from typing import Final, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from scipy import stats

from experiments.ideal import Ideal
from experiments.system import Clock, System
from experiments.variants import recipe_of
from grader.grade import usual_lists
from grader.ladder.rungs import play_rungs
from grader.ladder.simulate import Replay, simulate
from grader.metrics.lists import judge
from grader.scoring import PROFILES, measure_lists, score
from grader.traffic import Plan, TrafficConfig, plan_traffic
from grader.worlds.spec import open_world
from grader.worlds.world import Ints, World

K: Final = 10
CHECKPOINTS: Final = (1_000, 3_000, 10_000)  # reactions seen
FIFTHS: Final = 5
STEPS: Final = 20
IDEAL: Final = 8  # names the random stream
STOPPING: Final = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Study:
    worlds: tuple[str, ...]
    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    lists: float | None
    clock: Clock
    rungs: tuple[str, ...] = ()  # of the grader's ladder
    ideals: tuple[str, ...] = ()  # what an ideal learner knows


class Task(NamedTuple):
    world: str
    variant: str
    seed: int


class Played(NamedTuple):
    """Metrics of one play; ``fifths`` and ``at`` are precision along the run and around CHECKPOINTS reactions.

    ``along`` is precision in finer steps; costs are those of ``experiments.system.Costs``, none for who is no system.
    """

    values: dict[str, float]
    fifths: list[float]
    at: list[float]
    along: list[float] = []  # noqa: RUF012  # never changed
    costs: dict[str, float] = {}  # noqa: RUF012


def run_study(console: Console, study: Study, processes: int) -> dict[Task, Played]:
    """One play for each world, variant and seed. Plays of one world and seed share a process, which builds it once."""
    tasks = [Task(world, variant, seed) for world in study.worlds for seed in study.seeds for variant in study.variants]
    jobs = [(study, tasks[n : n + len(study.variants)]) for n in range(0, len(tasks), len(study.variants))]
    played: dict[Task, Played] = {}
    with ExitStack() as stack:
        with stopping_later():
            pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(min(processes, len(jobs))))
        for results in track(pool.imap_unordered(play_tasks, jobs), "playing", len(jobs), console=console):
            played |= results
        end(pool)
    return played


def end(pool: Pool) -> None:
    """Players that are ended, not left to be killed, take their semaphores with them."""
    pool.close()
    pool.join()


@contextmanager
def stopping_later() -> Iterator[None]:
    """Whoever wants to stop this process waits for the end of the block. Processes begun in it never see Ctrl-C.

    A pool that is left half started, and players that are told by two, would print tracebacks.
    """
    came: list[int] = []
    handlers = {one: signal.signal(one, lambda number, _: came.append(number)) for one in STOPPING}
    resource_tracker.ensure_running()  # it would unblock the signal
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        for one, handler in handlers.items():
            signal.signal(one, handler)
    if came:
        raise KeyboardInterrupt


def play_tasks(job: tuple[Study, Sequence[Task]]) -> dict[Task, Played]:
    """Tasks of one world and seed; ideal learners and rungs of the ladder on the same stage."""
    study, tasks = job
    played = {task: play_task(study, task) for task in tasks}
    spec, _, seed = tasks[0]
    world, plan = _stage(spec, seed, study.lists)
    for knows in study.ideals:
        replay = simulate(world, plan, Ideal(world, knows, np.random.default_rng([seed, IDEAL])), K)
        played[Task(spec, f"ideal: {knows}", seed)] = _judged(world, plan, replay, seed)
    if study.rungs:
        for rung, replay in play_rungs(world, plan, K, seed, study.rungs):
            played[Task(spec, f"ladder: {rung.name}", seed)] = _judged(world, plan, replay, seed)
    return played


@lru_cache(maxsize=1)
def _stage(spec: str, seed: int, lists: float | None) -> tuple[World, Plan]:
    world = open_world(spec, seed)
    traffic = TrafficConfig(lists_per_user=lists or usual_lists(world))
    return world, plan_traffic(world.n_users, traffic, seed)


def play_task(study: Study, task: Task) -> Played:
    """What the variant achieves in this world with this seed."""
    world, plan = _stage(task.world, task.seed, study.lists)
    system = System(world, recipe_of(task.variant), task.seed, study.clock)
    played = _judged(world, plan, simulate(world, plan, system, K), task.seed)
    return played._replace(costs=system.costs._asdict())


def _judged(world: World, plan: Plan, replay: Replay, seed: int) -> Played:
    lists = judge(world, plan.step_user[plan.lists], replay.lists)
    measured = measure_lists(world.catalogue, lists, seed)
    values = {name: one.value for name, one in measured.items()}
    values["points"] = score(measured, PROFILES["standard"]).quality.value
    hits = lists.hits.mean(axis=1)
    fifths = [float(part.mean()) for part in np.array_split(hits, FIFTHS)]
    at = [around(replay.reactions, hits, count) for count in CHECKPOINTS]
    return Played(values, fifths, at, [float(part.mean()) for part in np.array_split(hits, STEPS)])


def around(before: Ints, hits: np.ndarray, count: int) -> float:
    """Mean precision of the hundred lists that follow the ``count``-th reaction; NaN if it never came."""
    first = int(np.searchsorted(before, count))
    return float(hits[first : first + 100].mean()) if first < len(hits) else float("nan")


COLUMNS: Final = {
    "points": "points",
    "precision": "precision",
    "ndcg_remaining": "nDCG",
    "intra_list_diversity": "diversity",
    "catalogue_coverage": "coverage",
}


def show(console: Console, study: Study, played: dict[Task, Played]) -> None:
    """A Markdown table for each world: means with 95 % intervals over seeds, and differences to the first variant."""
    beside = ("precision beside the first", "points beside the first")
    heads = ("variant", *COLUMNS.values(), *beside, "by fifth", "after 1k, 3k, 10k reactions")
    for world in study.worlds:
        names = list(dict.fromkeys(task.variant for task in played if task.world == world))
        rows = [heads, ("---",) * len(heads)]
        for name in names:
            runs, first = ([played[Task(world, of, seed)] for seed in study.seeds] for of in (name, names[0]))
            rows.append((name, *_cells(runs, first, name == names[0])))
        text = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        console.print(f"\n{world}, {len(study.seeds)} seeds\n\n{text}", soft_wrap=True, markup=False, highlight=False)


def _cells(runs: Sequence[Played], first: Sequence[Played], is_first: bool) -> Iterator[str]:
    for name in COLUMNS:
        values = _values(runs, name)
        yield "" if np.isnan(values).all() else interval(values, 1 if name == "points" else 3)
    precision = relative(_values(runs, "precision"), _values(first, "precision"))
    points = _values(runs, "points") - _values(first, "points")
    yield "" if is_first else f"{interval(100 * precision, 1)} %"
    yield "" if is_first else interval(points, 2)
    yield _along([run.fifths for run in runs])
    yield _along([run.at for run in runs])


def _values(runs: Sequence[Played], name: str) -> np.ndarray:
    return np.array([run.values.get(name, np.nan) for run in runs])


def _along(of_runs: Sequence[Sequence[float]]) -> str:
    """Means; a dash where a run did not come so far."""
    return " ".join("-" if np.isnan(value) else f"{value:.3f}" for value in np.mean(of_runs, axis=0))


def relative(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Differences (s,) of runs paired by seed, as shares of the mean of ``theirs``; NaN or infinite if that is 0.

    Not each as a share of its own run: what is divided by is noise too, and the mean of such ratios says that ours are
    better where both are equal (by the square of the coefficient of variation, which is 1.4 % on MovieLens).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((ours - theirs) / theirs.mean())


def interval(values: np.ndarray, digits: int) -> str:
    """Mean and half width of Student's 95 % interval over the seeds; one seed has no interval."""
    if len(values) < 2:
        return f"{values.mean():.{digits}f}"
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.{digits}f} ± {half:.{digits}f}"
