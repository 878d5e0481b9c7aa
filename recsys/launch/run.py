"""One run, from the choice of backends to the last process stopped."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from recsys.launch import STARTED
from recsys.launch.backends import VARIABLES, Backends, Kind, choose_backends, needs_private_redis
from recsys.launch.backends_file import published
from recsys.launch.embedded_redis import REDIS, reserve
from recsys.launch.errors import LaunchError
from recsys.launch.http import unhealthy
from recsys.launch.probes import look_for_servers
from recsys.launch.report import Report, short
from recsys.launch.seed import Catalogue, seed
from recsys.launch.services import MODULES, Service
from recsys.launch.supervisor import Child, Program, Supervisor
from recsys.settings import BACKENDS_FILE, ROOT

REDIS_POLL_S: Final = 0.01
HEALTH_POLL_S: Final = 0.05
HEALTHY_WITHIN_S: Final = 60.0
# A program that ends this often before everything is up will not come up by itself.
MAX_CRASHES_AT_START: Final = 3


@dataclass(frozen=True)
class Options:
    services: Sequence[Service]
    data_dir: Path
    catalogue: Catalogue
    probe_standard_ports: bool
    environment: Mapping[str, str]  # of the services, but for the backends
    history: Path | None = None  # ratings that are to be imported

    @property
    def log_folder(self) -> Path:
        return self.data_dir / "logs"

    def log(self, name: str) -> Path:
        return self.log_folder / f"{name}.log"

    def configured(self) -> dict[Kind, str]:
        return {kind: url for kind, name in VARIABLES.items() if (url := self.environment.get(name))}


async def run(options: Options, report: Report) -> int:
    """Returns the exit code. No child is left, however it ends."""
    supervisor = Supervisor(report)
    stop = _stop_on_signals(supervisor, report)
    with ExitStack() as resources:
        starting = asyncio.create_task(_start(options, report, supervisor, resources))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not stop.is_set():
                starting.result()
                await stopping
            return 0
        except LaunchError as error:
            report.fail(str(error))
            return error.exit_code
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await supervisor.stop()


def _stop_on_signals(supervisor: Supervisor, report: Report) -> asyncio.Event:
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            supervisor.kill()
            return
        stop.set()
        report.say("Stopping everything; once more kills at once.")

    def on_hangup() -> None:
        report.console.quiet = True  # the terminal is gone
        on_signal()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, on_signal)
    loop.add_signal_handler(signal.SIGTERM, on_signal)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup ignores it, and then so do we
        loop.add_signal_handler(signal.SIGHUP, on_hangup)
    return stop


async def _start(options: Options, report: Report, supervisor: Supervisor, resources: ExitStack) -> None:
    backends = await _open_backends(options, supervisor, resources)
    joinable = backends.environment() | {"DATA_DIR": str(options.data_dir)}
    unpublished = resources.enter_context(published(BACKENDS_FILE, joinable))
    # While a history is imported there must be no pipeline, which owns the log.
    later = [service for service in options.services if options.history and service.name == "pipeline"]
    for service in options.services:
        if service not in later:
            supervisor.start(_program(service, options, joinable))
    await _until_healthy(options.services, supervisor, report)
    filled = await _fill_catalogue(options)
    if options.history is not None:
        await _import(options.history, options, joinable)
        for service in later:
            supervisor.start(_program(service, options, joinable))
        await _until_healthy(options.services, supervisor, report)
    notes = [
        f"Catalogue: {filled}",
        f"Data and logs: {short(options.data_dir)}, {short(options.log_folder)}",
        f"Ready after {time.monotonic() - STARTED:.1f} s. Ctrl-C stops everything.",
    ]
    if unpublished:
        notes.insert(0, f"{short(BACKENDS_FILE)} {unpublished}.")
    report.ready(options.services, supervisor.children, backends, notes)


async def _open_backends(options: Options, supervisor: Supervisor, resources: ExitStack) -> Backends:
    """The choice, with the private Redis ready if that is part of it."""
    configured = options.configured()
    found = await look_for_servers(configured, standard_ports=options.probe_standard_ports)
    if not needs_private_redis(configured, found):
        return choose_backends(configured, found, "")
    redis = resources.enter_context(reserve(options.data_dir))
    backends = choose_backends(configured, found, redis.url)
    child = supervisor.start(redis.program(options.log(REDIS)))
    while not await redis.answers():
        _give_up_on_repeated_crashes([child])
        await asyncio.sleep(REDIS_POLL_S)
    return backends


def _program(service: Service, options: Options, joinable: Mapping[str, str]) -> Program:
    return Program(
        service.name,
        service.command,
        {**options.environment, **joinable, "PYTHONUNBUFFERED": "1"},
        ROOT,
        options.log(service.name),
        service.stop_stage,
    )


async def _until_healthy(services: Sequence[Service], supervisor: Supervisor, report: Report) -> None:
    urls = {service.name: service.health_url for service in services if service.health_url}
    deadline = time.monotonic() + HEALTHY_WITHIN_S
    with report.waiting("Waiting for the services"):
        while ailing := await unhealthy(urls) | _not_running(supervisor):
            _give_up_on_repeated_crashes(supervisor.children.values())
            if time.monotonic() > deadline:
                answers = "; ".join(f"{name}: {answer}" for name, answer in ailing.items())
                raise LaunchError(f"Not healthy within {HEALTHY_WITHIN_S:g} s: {answers}")
            await asyncio.sleep(HEALTH_POLL_S)


def _not_running(supervisor: Supervisor) -> dict[str, str]:
    return {name: "not running" for name, child in supervisor.children.items() if child.pid is None}


def _give_up_on_repeated_crashes(children: Iterable[Child]) -> None:
    for child in children:
        if child.crashes >= MAX_CRASHES_AT_START:
            log = short(child.program.log)
            raise LaunchError(f"{child.program.name} ended {child.crashes} times while starting; its log is {log}")


async def _import(history: Path, options: Options, joinable: Mapping[str, str]) -> None:
    """In front of the person, who sees how far it has come. LaunchError if it fails."""
    command = (sys.executable, "-m", MODULES["pipeline"], "import", str(history))
    process = await asyncio.create_subprocess_exec(*command, env={**options.environment, **joinable}, cwd=ROOT)
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise
    if code:
        raise LaunchError(f"The history {short(history)} was not imported (see above).")


async def _fill_catalogue(options: Options) -> str:
    recommendations = next((s for s in options.services if s.name == "recommendations"), None)
    if recommendations is None or recommendations.url is None:
        return "left alone, as recommendations is not part of this run"
    try:
        return await asyncio.to_thread(seed, recommendations.url, options.catalogue)
    except LaunchError as error:
        return f"could not be filled: {error}"
