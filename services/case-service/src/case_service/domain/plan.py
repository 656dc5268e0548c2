"""The plan itself: registering a case, issuing the first plan, moving the placement, keeping the facts up to date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from case_service.domain import steps
from case_service.domain.case import Case, CaseStatus, Change, Circumstances, Decision
from case_service.domain.plausible import Day, check
from case_service.domain.settle import settle, with_facts
from ehcp_contracts.events import Event, PlanIssued, PlanRegistered
from service_kit.problems import Fault, Refusal

MOVABLE = frozenset({"urn", "setting", "placed_since", "icb", "social_care_team", "officer"})


def register(case: Case, where: Circumstances) -> Decision:
    """Take a child's case into the register, before any plan. Nothing is told outside: there is no plan to review."""
    check([Day("/child/birth_date", case.birth_date, None)], birth_date=case.birth_date, today=where.today)
    check_placement(case, where, "/placement")
    stated = where.academic_year if case.taught_year_group is not None else None
    after = replace(case, version=1, taught_in=stated)
    return Decision(before=None, after=after, changes=(Change("registered"),))


def issue_plan(
    case: Case,
    where: Circumstances,
    *,
    issued_on: date,
    placement: Mapping[str, Any],
    draft_served_on: date | None,
    go_live: date,
) -> Decision:
    """Issue the first plan (SEND Regs 2014 reg 13(2)); its day is the anchor of the reviews.

    Raises Refusal("conflict") where a plan exists, or within the 15 days for comments on a draft (reg 13(1)).
    """
    days = [Day("/draft_served_on", draft_served_on), Day("/issued_on", issued_on)]
    check(days, birth_date=case.birth_date, today=where.today)
    status = steps.first_plan(case, issued_on, draft_served_on)
    after = replace(case, **placement, status=status, plan_first_made=issued_on, plan_version=1)
    check_placement(after, where, "/placement")
    after = with_facts(replace(after, announced=True), where)
    event = first_event(after, go_live)
    changed = ("plan_first_made", "status", *placement)
    done = settle(replace(case, **placement), after, where, Change(_NAMES[type(event)], changed, event))
    return replace(done, before=case)


def move(case: Case, where: Circumstances, changes: Mapping[str, Any]) -> Decision:
    """Change the placement, the ICB, the team or the officer. Fields left out stay as they are.

    Raises Refusal("conflict") for a plan that has ended.
    """
    if case.status is CaseStatus.CEASED:
        raise Refusal("conflict", errors=[Fault("", "plan-ended", "This plan has ended.")])
    after = replace(case, **{name: value for name, value in changes.items() if name in MOVABLE})
    check_placement(after, where, "/placement")
    return settle(case, after, where)


def refresh(case: Case, where: Circumstances) -> Decision:
    """Compute the facts of today; an event goes out only if they differ."""
    return settle(case, case, where)


def first_event(case: Case, go_live: date, *, notice_sent_on: date | None = None) -> Event:
    """How a plan becomes known outside: `PlanIssued` since the council's go-live, else `PlanRegistered`.

    A plan with a concluded review or an open step is registered even when it is younger: only that event can say so.
    """
    assert case.plan_first_made is not None
    assert case.facts is not None
    meeting_on = open_meeting(case)
    progressed = case.last_concluded or meeting_on or notice_sent_on
    if case.plan_first_made >= go_live and not progressed:
        return PlanIssued(
            issued_on=case.plan_first_made,
            placement=case.placement,
            responsible=case.responsible,
            facts=case.facts,
        )
    return PlanRegistered(
        plan_first_made=case.plan_first_made,
        last_concluded=case.last_concluded,
        meeting_held_on=meeting_on,
        notice_sent_on=notice_sent_on,
        placement=case.placement,
        responsible=case.responsible,
        facts=case.facts,
    )


def open_meeting(case: Case) -> date | None:
    """The meeting of a review that is not concluded yet; one before the last conclusion belongs to the past."""
    if case.meeting_held_on is None or case.last_concluded is None:
        return case.meeting_held_on
    return case.meeting_held_on if case.meeting_held_on > case.last_concluded else None


def announcement(event: Event) -> str:
    """The name in the history for the event that makes a plan known."""
    return _NAMES[type(event)]


def check_placement(case: Case, where: Circumstances, pointer: str) -> None:
    """An institution must be in the register, and a placement begins between birth and today."""
    if case.urn is not None and case.urn not in where.ages:
        fault = Fault(
            f"{pointer}/urn", "urn-not-in-register", "No institution with this URN is in the register."
        )
        raise Refusal("validation", errors=[fault])
    check([Day(f"{pointer}/since", case.placed_since, None)], birth_date=case.birth_date, today=where.today)


_NAMES: dict[type[Event], str] = {PlanIssued: "plan_issued", PlanRegistered: "plan_registered"}
