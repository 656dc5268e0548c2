"""Amending a plan: the notice, the 15 days, the final plan or the decision not to amend (SEND Regs 2014 regs 22, 28).

After a review the final plan is due at the earlier of notice + 8 weeks and meeting + 12 weeks (*Devon*); without a
review (reg 28) only the 8 weeks run. All days come from `send_statute`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

from case_service.domain import steps
from case_service.domain.case import (
    Amendment,
    AmendmentState,
    Case,
    CaseStatus,
    Change,
    Circumstances,
    Decision,
)
from case_service.domain.plausible import Day, check, fault
from case_service.domain.settle import settle
from ehcp_contracts.events import AmendmentDropped, AmendmentIssued, AmendmentNoticeSent
from send_statute import Explanation, evaluate, explain
from service_kit.problems import Fault, Refusal

_AMENDING = CaseStatus.AMENDING
_MEETING_REQUIRED = "The meeting of this review is not known here yet: give its day."
_NAME_THE_REVIEW = "A review of this plan ended in 'amend' and waits for its notice: name it in review_id."


def send_notice(
    case: Case,
    amendments: Sequence[Amendment],
    where: Circumstances,
    *,
    notice_id: UUID,
    sent_on: date,
    served_on: date | None = None,
    review_id: UUID | None = None,
    meeting_on: date | None = None,
) -> Decision:
    """Send an amendment notice, for a review decided "amend" or without one.

    Raises Refusal: "conflict" when another notice is open, when a review waits for its notice and is not named, or
    when the plan's state forbids it; "validation" for impossible days or a review whose meeting is unknown
    (one decided without a meeting is known to have none: only the eight weeks run).
    """
    awaited = _awaited(amendments, review_id)
    meeting_on = meeting_on or (awaited.meeting_on if awaited else None) or _meeting_of(case, review_id)
    if review_id is not None and meeting_on is None and awaited is None:
        raise Refusal("validation", errors=[Fault("/meeting_on", "meeting-required", _MEETING_REQUIRED)])
    _check_notice(case, meeting_on, sent_on, served_on, where)
    status = steps.notice(case, sent_on, awaited=awaited is not None)
    notice = replace(
        awaited or Amendment(id=notice_id, case_id=case.id, state=AmendmentState.OPEN),
        state=AmendmentState.OPEN,
        review_id=review_id,
        meeting_on=meeting_on,
        sent_on=sent_on,
        served_on=served_on,
    )
    notice = with_dates(notice)
    after = replace(case, status=status)
    change = Change("amendment_notice_sent", ("status",), _told(notice) if case.announced else None)
    return settle(case, after, where, change, amendments=[notice])


def issue_final(
    case: Case, amendments: Sequence[Amendment], notice_id: UUID, where: Circumstances, *, issued_on: date
) -> Decision:
    """Issue the final amended plan. Raises Refusal("conflict") before the 15 days are over (reg 22(2)(c))."""
    notice = _open(amendments, notice_id)
    sent_on = notice.sent_on or issued_on
    check(
        [Day("/issued_on", issued_on, sent_on, "final-before-notice")],
        birth_date=case.birth_date,
        today=where.today,
    )
    steps.final_amendment(case, notice, issued_on)
    version = case.plan_version + 1
    done = replace(notice, state=AmendmentState.ISSUED, issued_on=issued_on, plan_version=version)
    after = replace(case, plan_version=version, status=_status_after(case, amendments, done))
    event = AmendmentIssued(
        notice_id=done.id, review_id=done.review_id, issued_on=issued_on, plan_version=version
    )
    return settle(
        case, after, where, Change("amendment_issued", ("plan_version", "status"), event), amendments=[done]
    )


def drop(
    case: Case,
    amendments: Sequence[Amendment],
    notice_id: UUID,
    where: Circumstances,
    *,
    decided_on: date,
    reasons: str,
) -> Decision:
    """Decide not to amend after all (reg 22(4)); appealable. The reasons are kept here and sent to nobody."""
    notice = _open(amendments, notice_id)
    check(
        [Day("/decided_on", decided_on, notice.sent_on, "drop-before-notice")],
        birth_date=case.birth_date,
        today=where.today,
    )
    steps.dropped_amendment(case, notice, decided_on, reasons)
    done = replace(notice, state=AmendmentState.DROPPED, dropped_on=decided_on, reasons=reasons)
    after = replace(case, status=_status_after(case, amendments, done))
    event = AmendmentDropped(notice_id=done.id, review_id=done.review_id, decided_on=decided_on)
    return settle(case, after, where, Change("amendment_dropped", ("status",), event), amendments=[done])


def with_dates(notice: Amendment) -> Amendment:
    """The notice with its days computed: comments close, earliest lawful final plan, final plan due."""
    rule, facts = _rule(notice)
    found = evaluate(rule, facts)
    return replace(
        notice,
        representations_close=date.fromisoformat(found["reps_close"]),
        earliest_final=date.fromisoformat(found["earliest_final"]),
        final_due=date.fromisoformat(found["final_due"]),
        conflict=bool(found.get("conflict", False)),
    )


def why(notice: Amendment) -> Explanation:
    """The rule, the citation and the steps behind each day of a notice that was sent."""
    rule, facts = _rule(notice)
    return explain(rule, facts)


def awaiting_notice(
    *, amendment_id: UUID, case_id: UUID, review_id: UUID, meeting_on: date | None, decided_on: date | None
) -> Amendment:
    """The amendment a review's decision opens: its notice is due with the decision, at M + 28 days (*Devon*); at once
    where it was decided without a meeting."""
    due = decided_on
    if meeting_on:
        due = date.fromisoformat(evaluate("review_meeting", {"meeting": meeting_on})["decision_due"])
    return Amendment(
        id=amendment_id,
        case_id=case_id,
        review_id=review_id,
        state=AmendmentState.DECIDED,
        meeting_on=meeting_on,
        decided_on=decided_on,
        notice_due=due,
    )


def _rule(notice: Amendment) -> tuple[str, Mapping[str, Any]]:
    if notice.meeting_on is None:
        return "amend_no_review", {"notice_sent": notice.sent_on, "notice_served": notice.served_on}
    facts = {"meeting": notice.meeting_on, "notice_sent": notice.sent_on, "notice_served": notice.served_on}
    return "review_amend", facts


def _told(notice: Amendment) -> AmendmentNoticeSent:
    assert notice.sent_on is not None
    assert notice.representations_close is not None
    assert notice.earliest_final is not None
    assert notice.final_due is not None
    return AmendmentNoticeSent(
        notice_id=notice.id,
        review_id=notice.review_id,
        sent_on=notice.sent_on,
        representations_close=notice.representations_close,
        earliest_final=notice.earliest_final,
        final_due=notice.final_due,
    )


def _awaited(amendments: Sequence[Amendment], review_id: UUID | None) -> Amendment | None:
    """The amendment of that review which still waits for its notice; a waiting review must be named."""
    waiting = [a for a in amendments if a.state is AmendmentState.DECIDED]
    if any(a.state is AmendmentState.OPEN for a in amendments):
        raise Refusal("conflict", errors=[Fault("", "notice-open", "Another amendment notice is open.")])
    if review_id is None and waiting:
        raise Refusal("conflict", errors=[Fault("/review_id", "review-waiting", _NAME_THE_REVIEW)])
    return next((a for a in waiting if a.review_id == review_id), None)


def _meeting_of(case: Case, review_id: UUID | None) -> date | None:
    return case.meeting_held_on if review_id is not None and case.meeting_review_id == review_id else None


def _check_notice(
    case: Case, meeting_on: date | None, sent_on: date, served_on: date | None, where: Circumstances
) -> None:
    days = [
        Day("/meeting_on", meeting_on, case.plan_first_made, "meeting-before-plan"),
        Day("/sent_on", sent_on, meeting_on, "notice-before-meeting"),
        Day("/sent_on", sent_on, case.plan_first_made, "notice-before-plan"),
    ]
    check(days, birth_date=case.birth_date, today=where.today)
    # Deemed service lies two working days ahead, so a day of service may well be still to come.
    if served_on is not None and served_on < sent_on:
        raise Refusal("validation", errors=[fault("/served_on", "served-before-sent")])


def _open(amendments: Sequence[Amendment], notice_id: UUID) -> Amendment:
    notice = next((a for a in amendments if a.id == notice_id), None)
    if notice is None:
        raise Refusal("not-found")
    if notice.state is not AmendmentState.OPEN:
        raise Refusal("conflict", errors=[Fault("", "notice-not-open", "This amendment is not open.")])
    return notice


def _status_after(case: Case, amendments: Sequence[Amendment], done: Amendment) -> CaseStatus:
    """Back to active, unless another amendment still runs or the plan is on its way out."""
    if case.status is not _AMENDING:
        return case.status
    others = any(a.running for a in amendments if a.id != done.id)
    return _AMENDING if others else CaseStatus.ACTIVE
