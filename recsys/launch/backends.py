"""Which Redis, broker and Qdrant a run uses: a pure decision on what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from recsys.launch.errors import LaunchError
from recsys.settings import masked, url_problem

Kind = Literal["Redis", "broker", "Qdrant"]
VARIABLES: Final[Mapping[Kind, str]] = {"Redis": "REDIS_URL", "broker": "BROKER_URL", "Qdrant": "QDRANT_URL"}
STANDARD_URLS: Final[Mapping[Kind, str]] = {
    "Redis": "redis://127.0.0.1:6379/0",
    "broker": "amqp://guest:guest@127.0.0.1:5672/",
    "Qdrant": "http://127.0.0.1:6333",
}
STANDARD_PORTS: Final[Mapping[Kind, int]] = {"Redis": 6379, "broker": 5672, "Qdrant": 6333}
EMBEDDED: Final[Mapping[Kind, str]] = {
    "Redis": "private redis-server",
    "broker": "Redis Streams on the Redis above",
    "Qdrant": "local folder",
}
OLDEST_REDIS: Final = (6, 2)
NOT_APPEND_ONLY: Final = (
    "its appendonly is off, so accepted events survive a crash of our services but not of that Redis"
)


@dataclass(frozen=True)
class Finding:
    """What one look at one server gave. ``problem`` continues "that server", or "it" for a malformed URL."""

    url: str
    outcome: Literal["usable", "silent", "unusable", "malformed", "not asked"]
    problem: str = ""
    append_only: bool = True


@dataclass(frozen=True)
class Choice:
    """An empty URL stands for the embedded default where that has none."""

    url: str
    reason: str


@dataclass(frozen=True)
class Backends:
    redis: Choice
    broker: Choice
    qdrant: Choice

    def environment(self) -> dict[str, str]:
        return {"REDIS_URL": self.redis.url, "BROKER_URL": self.broker.url, "QDRANT_URL": self.qdrant.url}


def needs_private_redis(configured: Mapping[Kind, str], found: Mapping[Kind, Finding]) -> bool:
    return "Redis" not in configured and found["Redis"].outcome != "usable"


def choose_backends(configured: Mapping[Kind, str], found: Mapping[Kind, Finding], private_redis_url: str) -> Backends:
    """``configured`` holds the URLs set in the environment, ``found`` what answered there or else on standard ports.

    Raises LaunchError for a configured server that cannot be used.
    """
    if problems := [_refusal(kind, found[kind]) for kind in configured if found[kind].outcome != "usable"]:
        raise LaunchError("\n".join(problems))
    redis = _choose("Redis", configured, found["Redis"], private_redis_url)
    broker = _choose("broker", configured, found["broker"], redis.url)
    broker_found = found["broker"] if found["broker"].outcome == "usable" else found["Redis"]
    if broker_found.outcome == "usable" and not broker_found.append_only:
        broker = Choice(broker.url, f"{broker.reason}; {NOT_APPEND_ONLY}")
    return Backends(redis, broker, _choose("Qdrant", configured, found["Qdrant"], ""))


def url_finding(kind: Kind, url: str) -> Finding | None:
    """What is wrong with a URL before anybody is asked; None if nothing is."""
    problem = url_problem(VARIABLES[kind].lower(), url)
    return Finding(url, "malformed", problem) if problem else None


def redis_finding(url: str, facts: Mapping[str, Any]) -> Finding:
    """``facts`` as INFO names them; what is not among them is taken to be right."""
    if problem := _redis_problem(facts):
        return Finding(url, "unusable", problem)
    return Finding(url, "usable", append_only=bool(facts.get("aof_enabled", True)))


def _redis_problem(facts: Mapping[str, Any]) -> str:
    version, policy = str(facts.get("redis_version", "9.9")), str(facts.get("maxmemory_policy", ""))
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        return f"is version {version}, too old (at least {'.'.join(map(str, OLDEST_REDIS))} is needed)"
    if facts.get("redis_mode") == "cluster":
        return "is part of a cluster, but all keys have to be on one server"
    if facts.get("role") == "slave":
        return f"is a read-only replica of {facts.get('master_host')}:{facts.get('master_port')}: name that one"
    if facts.get("maxmemory") and policy.startswith("allkeys"):
        return f"has the maxmemory-policy {policy}, which deletes accepted events when memory is full: set noeviction"
    return ""


def _choose(kind: Kind, configured: Mapping[Kind, str], found: Finding, embedded_url: str) -> Choice:
    if kind in configured:
        return Choice(found.url, f"{VARIABLES[kind]} is set")
    port = STANDARD_PORTS[kind]
    if found.outcome == "usable":
        return Choice(found.url, f"answers on port {port}")
    if found.outcome == "not asked":
        reason = "--embedded"
    elif found.outcome == "unusable":
        reason = f"server on {port} {found.problem} (set {VARIABLES[kind]} to use another)"
    else:
        reason = f"{'what listens does not answer' if found.problem else 'no server found'} on port {port}"
    return Choice(embedded_url, f"{reason}: {EMBEDDED[kind]}")


def _refusal(kind: Kind, found: Finding) -> str:
    name = f"{VARIABLES[kind]} is set to {masked(found.url)}, but"
    match found.outcome:
        case "malformed":
            return f"{name} it {found.problem}."
        case "unusable":
            return f"{name} that server {found.problem}."
        case _:
            return f"{name} no server answers there: {found.problem}"
