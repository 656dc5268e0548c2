"""Ceasing a plan in two stages, consultation and decision (SEND Regs 2014 reg 31), and what ends it at once.

After the decision the plan stays in force until the time to appeal is over, and while an appeal runs (CFA 2014
s.45(4)). Death, a move out of England or to another authority, and the maximum age end it without that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Literal
from uuid import UUID

from case_service.domain import steps
from case_service.domain.case import Amendment, Case, CaseStatus, Change, Circumstances, Decision
from case_service.domain.plausible import Day, check
from case_service.domain.settle import settle
from ehcp_contracts.events import CeaseNotified, CeaseReason, PlanCeased, PlanContinued
from send_statute import MissingHolidayYear, evaluate
from service_kit.problems import Fault, Refusal

Why = Literal["cease_withdrawn", "appeal_allowed", "appeal_lodged", "certificate_issued", "ended_in_error"]
"""Why a plan goes on (`PlanContinued.reason`)."""


def consider(case: Case, where: Circumstances, *, told_on: date, review_id: UUID | None = None) -> Decision:
    """Stage 1: the family and the institution are told that ceasing is considered (reg 31(1))."""
    _check(case, where, told_on, case.plan_first_made, "cease-before-plan")
    status = steps.consider_cease(case, told_on)
    after = replace(case, status=status, cease_considered_on=told_on, cease_review_id=review_id)
    return settle(case, after, where, Change("cease_considered", ("status",)))


def notify(
    case: Case,
    where: Circumstances,
    *,
    notified_on: date,
    reason: CeaseReason,
) -> Decision:
    """Stage 2: the decision is notified (reg 31(2)) and the time to appeal runs; until then the plan stays in force.

    Raises Refusal("conflict") without a consultation.
    """
    _check(case, where, notified_on, case.cease_considered_on, "cease-before-consultation")
    status = steps.determine_cease(case, notified_on)
    in_force_to = _in_force_to(notified_on, None)
    after = replace(
        case,
        status=status,
        cease_notified_on=notified_on,
        in_force_to=in_force_to,
        cease_reason=reason.value,
    )
    event = CeaseNotified(
        notified_on=notified_on, in_force_to=in_force_to, reason=reason, review_id=case.cease_review_id
    )
    return settle(case, after, where, Change("cease_notified", ("status", "in_force_to"), event))


def certify(case: Case, where: Circumstances, *, certificate_on: date) -> Decision:
    """A mediation certificate was issued: the time to appeal is counted anew (FTT Rules 2008 r.20(1)(c)), also where the
    plan was thought to have ended because nobody had recorded it."""
    notified_on = _notified_on(case)
    _check(case, where, certificate_on, notified_on, "certificate-before-notice")
    in_force_to = _in_force_to(notified_on, certificate_on)
    after = replace(case, status=CaseStatus.CEASE_NOTIFIED, in_force_to=in_force_to, ceased_on=None)
    return _continued(case, after, where, "certificate_issued", "certificate_issued")


def appeal(case: Case, where: Circumstances) -> Decision:
    """An appeal was lodged in time: the plan cannot end until it is determined (CFA 2014 s.45(4)), also where that was
    not recorded before it was thought to have ended."""
    _notified_on(case)
    after = replace(case, status=CaseStatus.CEASE_NOTIFIED, appeal_open=True, ceased_on=None)
    return _continued(case, after, where, "appeal_lodged", "appeal_lodged")


def withdraw(
    case: Case, amendments: Sequence[Amendment], where: Circumstances, *, allowed: bool = False
) -> Decision:
    """The decision was withdrawn or an appeal allowed: the plan goes on, and its clock never stopped. An end that was
    recorded in error is taken back in the same way."""
    reason: Why = "appeal_allowed" if allowed else "cease_withdrawn"
    if case.status is CaseStatus.CEASED and not _ended_by_time(case):
        if case.plan_first_made is None or not case.announced:
            raise steps.plan_ended()
        reason = "ended_in_error"
    elif case.status is not CaseStatus.CEASED:
        steps.withdraw_cease(case, where.today, allowed=allowed)
    running = any(amendment.running for amendment in amendments)
    after = replace(
        case,
        status=CaseStatus.AMENDING if running else CaseStatus.ACTIVE,
        cease_considered_on=None,
        cease_notified_on=None,
        cease_review_id=None,
        cease_reason=None,
        in_force_to=None,
        ceased_on=None,
        appeal_open=False,
    )
    return _continued(case, after, where, "cease_withdrawn", reason)


def end_at_once(case: Case, where: Circumstances, *, ended_on: date, reason: CeaseReason) -> Decision:
    """The plan ends on a day: at once for the reasons that allow it, or because an appeal was dismissed.

    Raises Refusal("conflict") for any other reason while the time to appeal is not over.
    """
    _check(case, where, ended_on, case.plan_first_made, "ceased-before-plan")
    steps.end_plan(case, ended_on, reason)
    return end(case, where, ceased_on=ended_on, reason=reason)


def end_if_due(case: Case, where: Circumstances) -> Decision | None:
    """The end of a plan whose appeal time is over, on the first day it is no longer in force; None before it. What is
    recorded later (an appeal, a certificate) takes it back."""
    due = case.status is CaseStatus.CEASE_NOTIFIED and case.in_force_to and not case.appeal_open
    if not due or case.in_force_to is None or case.in_force_to >= where.today:
        return None
    reason = CeaseReason(case.cease_reason or CeaseReason.OTHER)
    return end(case, where, ceased_on=case.in_force_to + timedelta(days=1), reason=reason)


def end(case: Case, where: Circumstances, *, ceased_on: date, reason: CeaseReason) -> Decision:
    """Record the end of a plan; outside it is told only if the plan was known there."""
    after = replace(
        case, status=CaseStatus.CEASED, ceased_on=ceased_on, cease_reason=reason.value, appeal_open=False
    )
    event = PlanCeased(ceased_on=ceased_on, reason=reason) if case.announced else None
    return settle(case, after, where, Change("plan_ceased", ("status", "ceased_on", "cease_reason"), event))


def _continued(case: Case, after: Case, where: Circumstances, what: str, reason: Why) -> Decision:
    """Told outside where an end was told before."""
    told = case.announced and case.status in (CaseStatus.CEASE_NOTIFIED, CaseStatus.CEASED)
    in_force_to = None if after.appeal_open else after.in_force_to
    event = PlanContinued(reason=reason, in_force_to=in_force_to) if told else None
    return settle(case, after, where, Change(what, ("status", "in_force_to", "appeal_open"), event))


def _notified_on(case: Case) -> date:
    """The day of the decision to cease whose time to appeal runs, or was thought to have run out."""
    running = case.status is CaseStatus.CEASE_NOTIFIED or _ended_by_time(case)
    if not running or case.cease_notified_on is None:
        message = "No decision to cease has been notified."
        raise Refusal("conflict", errors=[Fault("", "not-notified", message)])
    return case.cease_notified_on


def _ended_by_time(case: Case) -> bool:
    """Whether a plan ended because nobody was known to have appealed."""
    return case.in_force_to is not None and case.ceased_on == case.in_force_to + timedelta(days=1)


def _in_force_to(notified_on: date, certificate_on: date | None) -> date:
    facts = {"notice_sent": notified_on, "mediation_certificate": certificate_on}
    try:
        return date.fromisoformat(evaluate("cease_effective", facts)["in_force_to"])
    except MissingHolidayYear:
        raise steps.calendar_missing("/notified_on") from None


def _check(case: Case, where: Circumstances, on: date, not_before: date | None, code: str) -> None:
    check([Day("/notified_on", on, not_before, code)], birth_date=case.birth_date, today=where.today)
