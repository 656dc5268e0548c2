"""The state machines of `send_statute`, in the words of this service. A step that is not open is refused by its clause."""

from __future__ import annotations

from datetime import date
from typing import Any

from case_service.domain.case import Amendment, Case, CaseStatus
from ehcp_contracts.events import CeaseReason
from send_statute import IllegalStep, MissingHolidayYear, machine
from service_kit.problems import Fault, Refusal

_STATES = {
    CaseStatus.ACTIVE: "ACTIVE",
    CaseStatus.AMENDING: "AMENDING",
    CaseStatus.CEASE_CONSULT: "CEASE_CONSULT",
    CaseStatus.CEASE_NOTIFIED: "CEASE_NOTIFIED",
    CaseStatus.CEASED: "CEASED",
}
# A plan handed to another authority has ended here; the final plan of a case is a plan in force.
_STATUSES = {state: status for status, state in _STATES.items()} | {
    "TRANSFERRED_OUT": CaseStatus.CEASED,
    "FINAL": CaseStatus.ACTIVE,
}

ENDS_AT_ONCE = {
    CeaseReason.DECEASED: "die",
    CeaseReason.LEFT_ENGLAND: "leave_england",
    CeaseReason.OTHER_AUTHORITY: "confirm_move",
    CeaseReason.MAXIMUM_AGE: "reach_max_age",
}


def first_plan(case: Case, issued_on: date, draft_served_on: date | None) -> CaseStatus:
    """The first plan. Where the day the draft was served is not recorded, its 15 days cannot be checked."""
    if case.status is not CaseStatus.REGISTERED:
        clause, message = "Children and Families Act 2014 s.44(2)", "There is a plan already: amend it."
        raise Refusal("conflict", errors=[Fault("", clause, message)])
    facts = {"on": issued_on, "draft_served": draft_served_on, "waiver": draft_served_on is None}
    return _take("case", "REPS_OPEN", "finalise", "/issued_on", facts)


def notice(case: Case, sent_on: date, *, awaited: bool) -> CaseStatus:
    """An amendment notice; for a review already decided "amend" it is the step that decision opened. One sent before
    ceasing was considered leaves the plan where it is now."""
    earlier = _before_ceasing(case, sent_on)
    state = "ACTIVE" if earlier or (awaited and case.status is CaseStatus.AMENDING) else _state(case)
    reached = _take("plan", state, "send_notice", "/sent_on", {"on": sent_on, "served": sent_on})
    return case.status if earlier else reached


def final_amendment(case: Case, notice: Amendment, issued_on: date) -> None:
    """The final amended plan, not before the family's 15 days are over."""
    facts = {
        "on": issued_on,
        "notice_sent": notice.sent_on,
        "notice_served": notice.served_on,
        "meeting": notice.meeting_on,
    }
    _take("plan", _amending(case, issued_on), "finalise", "/issued_on", facts)


def dropped_amendment(case: Case, notice: Amendment, decided_on: date, reasons: str) -> None:
    """The decision not to amend after all."""
    facts = {"on": decided_on, "notice_sent": notice.sent_on, "reason": reasons}
    _take("plan", _amending(case, decided_on), "drop", "/decided_on", facts)


def consider_cease(case: Case, on: date) -> CaseStatus:
    """Stage 1 of ceasing."""
    return _take("plan", _state(case), "consider_cease", "", {"on": on})


def determine_cease(case: Case, on: date) -> CaseStatus:
    """Stage 2 of ceasing."""
    return _take("plan", _state(case), "determine_cease", "", {"on": on})


def withdraw_cease(case: Case, on: date, *, allowed: bool) -> None:
    """The plan goes on: the decision was withdrawn, or the appeal against it allowed."""
    _take("plan", _state(case), "appeal_allowed" if allowed else "withdraw_cease", "", {"on": on})


def end_plan(case: Case, on: date, reason: CeaseReason) -> CaseStatus:
    """The end: at once for some reasons, by a dismissed appeal, else only when the time to appeal is over."""
    event = ENDS_AT_ONCE.get(reason) or ("appeal_dismissed" if case.appeal_open else "appeal_period_over")
    facts = {
        "on": on,
        "notice_sent": case.cease_notified_on,
        "date_of_birth": case.birth_date,
        "age_limit": 25,
    }
    return _take("plan", _state(case), event, "/reason", facts)


def _state(case: Case) -> str:
    if case.status is CaseStatus.REGISTERED:
        clause = "Children and Families Act 2014 s.37"
        raise Refusal("conflict", errors=[Fault("", clause, "There is no plan yet.")])
    return _STATES[case.status]


def _amending(case: Case, on: date) -> str:
    """The state of a plan whose amendment ends on that day: entered late, it was amended before it began to cease."""
    return "AMENDING" if _before_ceasing(case, on) else _state(case)


def _before_ceasing(case: Case, on: date) -> bool:
    """Whether that day lies before ceasing was first considered, or before the plan ended without that."""
    if case.status in (CaseStatus.REGISTERED, CaseStatus.ACTIVE, CaseStatus.AMENDING):
        return False
    began = case.cease_considered_on or case.ceased_on
    return began is not None and on < began


def plan_ended() -> Refusal:
    """The refusal of a step for a plan that had ended before it came here."""
    return Refusal("conflict", errors=[Fault("", "plan-ended", "This plan has ended.")])


def _take(name: str, state: str, event: str, pointer: str, facts: dict[str, Any]) -> CaseStatus:
    try:
        reached = machine(name).step(state, event, facts).to
    except IllegalStep as step:
        raise Refusal("conflict", errors=[Fault(pointer, step.clause, _sentence(step.reason))]) from None
    except MissingHolidayYear:
        raise calendar_missing(pointer) from None
    return _STATUSES[reached]


def calendar_missing(pointer: str) -> Refusal:
    """The refusal of a step whose days need bank holidays that are not known yet."""
    message = "The bank holidays of that year are not loaded, so the time to appeal cannot be counted."
    return Refusal("conflict", errors=[Fault(pointer, "calendar-missing", message)])


def _sentence(reason: str) -> str:
    return reason[:1].upper() + reason[1:] + "."
