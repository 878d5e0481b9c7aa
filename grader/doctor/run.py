"""One examination: every check in turn, and the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from typing import Any, Final

from grader.doctor import checks_basics, checks_cleanup, checks_input, checks_lists, checks_load, checks_reactions
from grader.doctor.curl import shell_lines
from grader.doctor.outcome import Check, CheckFailed, Outcome, Verdict
from grader.doctor.probe import Call, Probe
from grader.doctor.service import Limits, Service
from grader.errors import GraderError
from grader.service import Address, encodable

CHECKS: tuple[Check, ...] = (
    *checks_basics.CHECKS,
    *checks_lists.CHECKS,
    *checks_reactions.CHECKS,
    *checks_cleanup.CHECKS,
    *checks_input.CHECKS,
    *checks_load.CHECKS,
)
NO_SUCH_CALL: Final = (404, 405)


@dataclass(frozen=True)
class Report:
    recs_url: str
    interact_url: str
    outcomes: tuple[Outcome, ...]
    seconds: float

    @property
    def failed(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.verdict is Verdict.FAILED)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "passed": not self.failed}


def chosen(names: Collection[str]) -> tuple[Check, ...]:
    """The checks of these names in their own order, all of them without names; GraderError for one that is none."""
    known = [check.name for check in CHECKS]
    if unknown := [name for name in names if name not in known]:
        raise GraderError(f"There is no check named {unknown[0]!r}; choose from {', '.join(known)}.")
    return tuple(check for check in CHECKS if not names or check.name in names)


async def examine(
    address: Address,
    *,
    only: Collection[str] = (),
    limits: Limits | None = None,
    starting: Callable[[Check], None] = lambda check: None,
) -> Report:
    """Run the checks, which ERASES the state of the service again and again.

    ``starting`` is told of each check before it runs. GraderError: a check of that name does not exist, or the address
    does not answer like such a service, so that there is nothing to examine.
    """
    checks, limits = chosen(only), limits or Limits()
    began = time.perf_counter()
    outcomes: list[Outcome] = []
    async with Probe(limits.timeout_s) as probe:
        await _must_answer(probe, "--recs-url", address.recs_url)
        await _must_answer(probe, "--interact-url", address.interact_url)
        service = Service(probe, address, limits)
        obstacle = ""
        for check in checks:
            starting(check)
            if obstacle:
                outcomes.append(Outcome(check.name, check.wants, Verdict.SKIPPED, obstacle))
                continue
            outcomes.append(await _outcome(check, service))
            if outcomes[-1].verdict is Verdict.FAILED:
                obstacle = await _obstacle(service, check)
    return Report(address.recs_url, address.interact_url, tuple(outcomes), time.perf_counter() - began)


async def _outcome(check: Check, service: Service) -> Outcome:
    service.probe.calls.clear()
    began = time.perf_counter()
    try:
        seen = await check.run(service)
    except CheckFailed as failure:
        curl = shell_lines(failure.calls or _calls_of(failure.user, service))
        seconds = time.perf_counter() - began
        return Outcome(check.name, check.wants, failure.verdict, encodable(failure.seen), curl, seconds)
    return Outcome(check.name, check.wants, Verdict.OK, seen, seconds=time.perf_counter() - began)


def _calls_of(user: str | None, service: Service) -> list[Call]:
    return service.probe.calls if user is None else service.calls_of(user)


async def _obstacle(service: Service, failed: Check) -> str:
    """Why no further check can begin; empty if one can."""
    if any(call.status == 0 for call in await service.health()):
        return f"no longer answers since {failed.name}"
    cleanup = await service.call_cleanup()
    if cleanup.status in NO_SUCH_CALL:
        return f"cannot begin: POST /cleanup comes back with {cleanup.status}; is --recs-url right?"
    return ""


async def _must_answer(probe: Probe, option: str, url: str) -> None:
    call = await probe.call("GET", f"{url}/healthcheck")
    if not call.status:
        raise GraderError(f"{call.url}: {call.failure}; start the service, or correct {option}.")
    if call.status < 500 and call.content.lstrip()[:5].lower() in (b"<!doc", b"<html"):
        raise GraderError(f"{call.url} answers with a web page, not as such a service: correct {option}.")
