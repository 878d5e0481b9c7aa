"""Load for the recommendations service and the event collector, in the browser or headless:

    locust -f load_tests/locustfile.py                                             then open http://localhost:8089
    locust -f load_tests/locustfile.py GraderUser --headless -u 50 -r 10 -t 60s --max-p95-ms 100

The exit code is 1 if a limit was broken. Where the services are: --recommendations-url and --collector-url, or --host
for both of them on one machine; limits and addresses can also be given as environment variables (see --help).
"""

from __future__ import annotations

import json
import logging
import random
import uuid
from typing import Any, Final
from urllib.parse import urlsplit

from locust import constant, events, task
from locust.argument_parser import LocustArgumentParser
from locust.contrib.fasthttp import FastHttpUser
from locust.env import Environment

from grader.traffic import LOOK, PATTERNS, TrafficConfig

K: Final = 10
LIKE_SHARE: Final = 0.1
KNOWN_USERS: Final = 1_000
TRAFFIC: Final = TrafficConfig()
PORTS: Final = {"recommendations": 5001, "collector": 5000}

log = logging.getLogger(__name__)


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_options(parser: LocustArgumentParser) -> None:
    group = parser.add_argument_group("Services and limits")
    for service, port in PORTS.items():
        group.add_argument(
            f"--{service}-url",
            env_var=f"{service.upper()}_URL",
            default="",
            help=f"default: that of --host, else http://localhost; port {port} unless given",
        )
    limit = {"type": float, "default": 0.0}
    group.add_argument("--max-error-share", env_var="MAX_ERROR_SHARE", type=float, default=0.01, help="of all requests")
    group.add_argument("--max-p95-ms", env_var="MAX_P95_MS", **limit, help="of all requests; 0: any")
    group.add_argument("--min-per-second", env_var="MIN_PER_SECOND", **limit, help="requests per second; 0: any")


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def judge(environment: Environment, **_: Any) -> None:
    """Set the exit code by the limits."""
    total = environment.stats.total
    limits: Any = environment.parsed_options
    p95_ms = total.get_response_time_percentile(0.95) or 0
    broken = []
    if not total.num_requests:
        broken.append("no request was answered")
    if total.fail_ratio > limits.max_error_share:
        broken.append(f"{total.fail_ratio:.2%} errors, at most {limits.max_error_share:.2%} allowed")
    if 0 < limits.max_p95_ms < p95_ms:
        broken.append(f"p95 is {p95_ms:.0f} ms, at most {limits.max_p95_ms:g} ms allowed")
    if total.total_rps < limits.min_per_second:
        broken.append(f"{total.total_rps:.1f} requests/s, at least {limits.min_per_second:g} wanted")
    for sentence in broken:
        log.error("limit broken: %s", sentence)
    environment.process_exit_code = 1 if broken else 0


def address(environment: Environment, service: str) -> str:
    """The URL given for the service, else that of --host; the service's own port where none is given."""
    given = getattr(environment.parsed_options, f"{service}_url") or environment.host or "http://localhost"
    url = given if "://" in given else f"http://{given}"
    return url.rstrip("/") if urlsplit(url).port else f"{url.rstrip('/')}:{PORTS[service]}"


def ids_in(body: bytes) -> list[str] | None:
    """The list in the answer; None if there is none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    ids = found.get("item_ids") if isinstance(found, dict) else None
    return ids if isinstance(ids, list) and all(isinstance(item, str) for item in ids) else None


class ServiceUser(FastHttpUser):
    """Knows both services."""

    abstract = True
    host = ""  # --host is optional

    def on_start(self) -> None:
        self.recommendations = address(self.environment, "recommendations")
        self.collector = address(self.environment, "collector")

    def look(self, user_id: str) -> list[str]:
        """The list shown to the user; empty after a wrong answer."""
        with self.client.get(
            f"{self.recommendations}/recs/{user_id}", name="/recs/[user]", catch_response=True
        ) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
                return []
            item_ids = ids_in(answer.content)
            if item_ids is None:
                answer.failure("the body is no JSON object with a list of strings as item_ids")
                return []
            if len(set(item_ids)) != K:
                answer.failure(f"{len(set(item_ids))} different items instead of {K}")
            return item_ids

    def react(self, user_id: str, item_ids: list[str]) -> None:
        actions = ["like" if random.random() < LIKE_SHARE else "dislike" for _ in item_ids]
        body = {"user_id": user_id, "item_ids": item_ids, "actions": actions}
        self.client.post(f"{self.collector}/interact", json=body, name="/interact")


class GraderUser(ServiceUser):
    """One visitor after the other, each new, who looks at lists, reacts to what was just shown, and pauses."""

    def wait_time(self) -> float:
        long = random.random() < TRAFFIC.long_pause_share
        return random.uniform(*(TRAFFIC.long_pause_s if long else TRAFFIC.short_pause_s))

    @task
    def visit(self) -> None:
        user_id = f"visitor-{uuid.uuid4().hex}"
        shown: list[str] = []
        (pattern,) = random.choices(list(PATTERNS), list(PATTERNS.values()))
        for number, step in enumerate(pattern):
            if number:
                self.wait()  # type: ignore[no-untyped-call]
            if step == LOOK:
                shown = self.look(user_id)
            elif shown:
                self.react(user_id, shown)


class RecsUser(ServiceUser):
    """Lists only, for a thousand users, as fast as they come."""

    wait_time = constant(0)

    @task
    def recs(self) -> None:
        self.look(f"user-{random.randrange(KNOWN_USERS)}")


class InteractUser(ServiceUser):
    """Reactions only, to items of the demo catalogue, as fast as they are accepted."""

    wait_time = constant(0)

    @task
    def interact(self) -> None:
        self.react(f"user-{random.randrange(KNOWN_USERS)}", [str(i) for i in random.sample(range(1, 10_000), K)])
