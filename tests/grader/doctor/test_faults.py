"""Each fault of the reference service is found by the check that is made for it; without one nothing is."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from grader.doctor import checks_reactions
from grader.doctor.outcome import Verdict
from grader.doctor.run import CHECKS, Report, examine
from grader.doctor.service import Limits
from tests.grader.doctor.faulty import running
from tests.grader.doctor.reference import Fault

QUICK = Limits(timeout_s=5, patience_s=0.5, load_s=0.3)

FAILED = {
    Fault.HEALTH_500: "health",
    Fault.NO_CLEANUP: "cleanup",
    Fault.GET_CLEANUP_405: "cleanup",
    Fault.SECOND_CLEANUP_FAILS: "cleanup",
    Fault.GENRES_REQUIRED: "genres-optional",
    Fault.NUMBERS_REFUSED: "numeric-ids",
    Fault.NUMBERS_COME_BACK: "numeric-ids",
    Fault.UPSERT_DUPLICATES: "upsert",
    Fault.BIG_CATALOGUE_REFUSED: "big-catalogue",
    Fault.NEW_ITEMS_LATE: "usable-at-once",
    Fault.EXTRA_KEY: "shapes",
    Fault.PLAIN_TEXT: "shapes",
    Fault.BARE_LIST: "shapes",
    Fault.K_IGNORED: "shapes",
    Fault.UNKNOWN_ITEMS: "known-items",
    Fault.REPEATS_IN_LIST: "no-repeats",
    Fault.REPEATS_SHOWN: "not-shown-again",
    Fault.SHORT_AT_THE_END: "catalogue-exhausted",
    Fault.LIKED_COME_BACK: "reacted-not-shown-again",
    Fault.SHARED_HISTORY: "users-at-once",
    Fault.TIMESTAMP_REQUIRED: "interact",
    Fault.LIKES_ADD_ITEMS: "unknown-likes",
    Fault.UNKNOWN_LIKE_500: "unknown-likes",
    Fault.SHOWS_DISLIKED: "dislikes-hold",
    Fault.DISLIKES_FOR_ALL: "reactions-per-user",
    Fault.REACTIONS_IGNORED: "reactions-change-lists",
    Fault.OLD_ITEMS_SURVIVE: "cleanup-forgets-items",
    Fault.SHOWN_SURVIVES: "cleanup-forgets-users",
    Fault.DISLIKES_SURVIVE: "cleanup-forgets-users",
    Fault.IN_FLIGHT_SURVIVES: "cleanup-in-flight",
    Fault.BAD_JSON_500: "bad-interact",
    Fault.ANY_ACTION: "bad-interact",
    Fault.LENGTHS_UNCHECKED: "bad-interact",
    Fault.GENRES_UNCHECKED: "bad-add-items",
    Fault.K_UNCHECKED: "bad-k",
    Fault.HUGE_BODY_500: "huge-body",
    Fault.DIES_OF_HUGE_BODY: "huge-body",
    Fault.UNICODE_USER_500: "odd-user-ids",
    Fault.ITEM_IDS_TRIMMED: "odd-item-ids",
    Fault.FAILS_UNDER_LOAD: "load",
}
WARNED = {
    Fault.BIG_CATALOGUE_CUT: "big-catalogue",
    Fault.NEWEST_COME_BACK: "catalogue-exhausted",
    Fault.SAME_USER_RACE: "same-user-at-once",
    Fault.EMPTY_CATALOGUE_500: "cleanup-forgets-items",
}
NO_BEGINNING = {Fault.HEALTH_HANGS, Fault.WEB_PAGE}  # see test_command


async def report_on(*faults: Fault, only: tuple[str, ...] = ()) -> Report:
    async with running(*faults) as urls:
        return await examine(urls, only=only, limits=QUICK)


def test_every_fault_is_looked_for_here() -> None:
    assert {*FAILED, *WARNED, *NO_BEGINNING} == set(Fault)


async def test_a_service_that_keeps_the_contract_passes_every_check() -> None:
    report = await report_on()
    assert [(o.name, o.verdict, o.seen) for o in report.outcomes if o.verdict is not Verdict.OK] == []
    assert [o.name for o in report.outcomes] == [check.name for check in CHECKS]


@pytest.mark.parametrize("fault", FAILED, ids=lambda fault: fault.name.lower())
async def test_a_fault_fails_its_check_with_lines_to_reproduce_it(
    fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks_reactions, "ALPHA", 1e-6)  # in one run of a thousand chance looks like an effect
    report = await report_on(fault, only=(FAILED[fault],))
    [outcome] = report.failed
    assert outcome.name == FAILED[fault]
    assert outcome.seen and outcome.wants
    assert any("curl " in line for line in outcome.curl)
    for line in outcome.curl:
        assert shlex.split(line, comments=True) or line.startswith("# ")


@pytest.mark.parametrize("fault", WARNED, ids=lambda fault: fault.name.lower())
async def test_what_the_contract_leaves_open_is_a_warning(fault: Fault) -> None:
    report = await report_on(fault, only=(WARNED[fault],))
    assert [outcome.verdict for outcome in report.outcomes] == [Verdict.WARNING]
    assert not report.failed


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (Fault.EXTRA_KEY, {"shapes"}),
        (Fault.GET_CLEANUP_405, {"cleanup"}),
        (Fault.DISLIKES_SURVIVE, {"cleanup-forgets-users", "cleanup-in-flight"}),
        (Fault.ANY_ACTION, {"bad-interact"}),
    ],
    ids=lambda value: value.name.lower() if isinstance(value, Fault) else "",
)
async def test_other_checks_do_not_mind_a_fault_that_is_not_theirs(fault: Fault, found: set[str]) -> None:
    report = await report_on(fault)
    assert {outcome.name for outcome in report.failed} == found


async def test_checks_after_the_death_of_the_service_are_skipped() -> None:
    report = await report_on(Fault.DIES_OF_HUGE_BODY, only=("huge-body", "load", "keeps-going"))
    assert [outcome.verdict for outcome in report.outcomes] == [Verdict.FAILED, Verdict.SKIPPED, Verdict.SKIPPED]
    assert "huge-body" in report.outcomes[1].seen


async def test_without_cleanup_nothing_else_is_tried() -> None:
    """As with the two URLs the wrong way round: one failure, not thirty."""
    report = await report_on(Fault.NO_CLEANUP)
    assert [outcome.name for outcome in report.failed] == ["cleanup"]
    skipped = [outcome.seen for outcome in report.outcomes if outcome.verdict is Verdict.SKIPPED]
    assert len(skipped) == len(CHECKS) - 2  # the other is health
    assert set(skipped) == {"cannot begin: POST /cleanup comes back with 404; is --recs-url right?"}


async def test_reactions_may_take_a_moment() -> None:
    async with running(apply_s=QUICK.patience_s / 4) as urls:
        only = ("dislikes-hold", "reactions-change-lists")
        report = await examine(urls, only=only, limits=QUICK)
    assert [outcome.verdict for outcome in report.outcomes] == [Verdict.OK, Verdict.OK]


async def test_every_user_comes_once_however_short_the_load() -> None:
    """A machine that stalls may have no time left when the first user comes."""
    async with running() as urls:
        report = await examine(urls, only=("load",), limits=replace(QUICK, load_s=0))
    assert [outcome.verdict for outcome in report.outcomes] == [Verdict.OK]
