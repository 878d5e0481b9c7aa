"""``python -m jobs``: the worker, and the models that jobs train."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from jobs.training import Progress as Training
from jobs.training import TrainingFailed, number_of, prune, train
from recsys.logs import configure_logs
from recsys.recommenders.extras import require
from recsys.recommenders.recipe import Recipe, read_recipe
from recsys.recommenders.registry import RecommenderError
from recsys.settings import Settings, read_settings
from recsys.stores.connect import State, open_models, open_state
from recsys.stores.ports import EpochOver, ModelStore, StoreError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
console = Console(emoji=False, markup=False, highlight=False)
console_error = Console(stderr=True, emoji=False, soft_wrap=True, markup=False, highlight=False)
Name = Annotated[str, typer.Argument(help="of a recommender that RECOMMENDER names, for example als")]


@app.command()
def worker() -> None:
    """Train the periodic recommenders of RECOMMENDER, again and again, until stopped."""
    settings = read_settings()
    configure_logs(settings, "jobs")
    with _one_sentence():
        recipe = read_recipe(**settings.recipe)
        require(recipe, to_train=True)
        if not recipe.periodic:
            _fail(f"RECOMMENDER={recipe.text!r} names no recommender that a job trains: nothing to do")
        from recsys.stores.job_queue import JobQueue

        jobs = JobQueue(settings)
        from jobs.worker import work

        work(settings, jobs, recipe.periodic)


@app.command("train")
def train_now(
    name: Name, full: Annotated[bool, typer.Option("--full", help="from nothing, not from the last model")] = False
) -> None:
    """Train one model in this process, now."""
    settings = read_settings()
    with _one_sentence():
        recipe = read_recipe(**settings.recipe)
        require(recipe, to_train=True)
        _require(recipe, name)
        console.print(asyncio.run(_with_bar(settings, name, full)))


async def _with_bar(settings: Settings, name: str, full: bool) -> str:
    training = Training()
    work = asyncio.create_task(train(settings, name, full=full, progress=training))
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[doing]}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        bar = bars.add_task(name, total=1.0, doing="")
        while not (await asyncio.wait({work}, timeout=0.2))[0]:
            bars.update(bar, completed=training.share, doing=training.doing)
        bars.update(bar, completed=1.0, doing="done")
    return await work


@app.command()
def models() -> None:
    """Print every version: rows, seconds, size, which is in force, and what is being trained."""
    with _one_sentence():
        console.print(asyncio.run(_models(read_settings())))


async def _models(settings: Settings) -> Table:
    async with _opened(settings) as (state, store, epoch):
        facts_of = await state.models.facts(epoch)
        files = await asyncio.to_thread(store.files, epoch)
        names = list(dict.fromkeys([*read_recipe(**settings.recipe).periodic, *(file.name for file in files)]))
        in_force = {name: facts.get("version", "") for name, facts in facts_of.items()}
        failed = {name: facts.get("error", "") for name, facts in facts_of.items()}
        under_way = await state.models.trainings(epoch, names)
    table = Table("model", "rows", "seconds", "MB", "trained", "", box=None)
    for file in files:
        facts, now = file.facts, str(file.version) == in_force.get(file.name)
        how = "" if not facts else "from nothing" if facts.get("full") else "further"
        state_of_it = "in force" if now else "" if facts else "damaged"
        rows, seconds = f"{facts.get('rows', 0):,}", f"{facts.get('seconds', 0):.1f}"
        table.add_row(f"{file.name}@{file.version}", rows, seconds, f"{file.size / 1e6:.1f}", how, state_of_it)
    for name in names:
        if progress := under_way.get(name):
            left = "" if progress["left_s"] is None else f", {progress['left_s']:.0f} s left"
            doing = f"{progress['share']:.0%}: {progress['doing']}{left}"
            table.add_row(name, f"{progress['rows']:,}", "", "", "under way", doing)
        elif not any(file.name == name for file in files):
            table.add_row(name, "", "", "", "", "no model yet")
        if failed.get(name):
            table.add_row(name, "", "", "", "failed", failed[name])
    return table


@app.command()
def use(version: Annotated[str, typer.Argument(metavar="NAME@VERSION", help="as models lists them")]) -> None:
    """Put another version in force. The next training goes on from it."""
    with _one_sentence():
        console.print(asyncio.run(_use(read_settings(), version)))


async def _use(settings: Settings, wanted: str) -> str:
    name, _, number = wanted.rpartition("@")
    if not name or not number.isdecimal():
        _fail(f"{wanted!r} is not NAME@VERSION, for example als@3")
    async with _opened(settings) as (state, store, epoch):
        facts, blob = await asyncio.to_thread(store.read, epoch, name, int(number))
        facts |= {"version": number, "bytes": len(blob), "published_at": int(time.time())}
        await state.models.publish(epoch, name, number, facts)
    return f"{name}@{number} is in force: {facts.get('rows', 0):,} rows"


@app.command("prune")
def prune_now() -> None:
    """Delete what is too old: versions beyond MODELS_KEPT, and models of epochs that are over."""
    with _one_sentence():
        console.print(f"{asyncio.run(_prune(read_settings()))} deleted")


async def _prune(settings: Settings) -> int:
    async with _opened(settings) as (state, store, epoch):
        deleted = await asyncio.to_thread(store.drop_all_but, epoch)
        for name in {file.name for file in await asyncio.to_thread(store.files, epoch)}:
            version, _ = await state.models.fetch(epoch, name)
            kept = settings.models_kept
            deleted += await asyncio.to_thread(prune, store, epoch, name, number_of(version), kept)
    return deleted


def _require(recipe: Recipe, name: str) -> None:
    if name not in (names := recipe.periodic):
        trained = f"those are {', '.join(names)}" if names else f"RECOMMENDER={recipe.text!r} names none"
        _fail(f"{name!r} is none of the recommenders that a job trains: {trained}")


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[State, ModelStore, int]]:
    """State, models, and the epoch in force."""
    state = open_state(settings)
    try:
        epoch = await state.epochs.current()
        yield state, await asyncio.to_thread(open_models, settings), epoch
    finally:
        await state.close()


@contextmanager
def _one_sentence() -> Iterator[None]:
    """What is wrong outside becomes one sentence and exit code 1; an interruption none."""
    try:
        yield
    except (StoreError, RecommenderError, TrainingFailed) as error:
        _fail(str(error))
    except EpochOver:
        _fail("a cleanup came: there is nothing to train on any more")
    except ModuleNotFoundError as error:
        _fail(f"{error.name} is not installed: pip install -r requirements-jobs.txt")
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _fail(reason: str) -> NoReturn:
    console_error.print(f"error: {reason}", style="red")
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
