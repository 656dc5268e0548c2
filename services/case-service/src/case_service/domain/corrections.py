"""Correcting a recorded date with a reason: the old value stays, consumers are told, dependent dates follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from case_service.domain.amendments import with_dates
from case_service.domain.case import Amendment, Case, Change, Circumstances, Correction, Decision
from case_service.domain.plausible import Day, check
from case_service.domain.settle import settle
from ehcp_contracts.events import CorrectableDate, DateCorrected
from service_kit.problems import Fault, Refusal


def correct(
    case: Case, amendments: Sequence[Amendment], where: Circumstances, correction: Correction
) -> Decision:
    """Put one date right. `correction.old` is filled in here from the record.

    Raises Refusal: "validation" for an impossible day or the same one, "conflict" where there is no such date yet,
    "not-found" for an unknown notice.
    """
    if correction.field in (CorrectableDate.PLAN_FIRST_MADE, CorrectableDate.LAST_CONCLUDED):
        return _of_plan(case, where, correction)
    return _of_notice(case, amendments, where, correction)


def _of_plan(case: Case, where: Circumstances, correction: Correction) -> Decision:
    first_made = case.plan_first_made
    if first_made is None:
        raise _nothing_to_correct()
    old: date | None = first_made
    if correction.field is CorrectableDate.PLAN_FIRST_MADE:
        after = replace(case, plan_first_made=correction.new)
        days = [
            Day("/new", correction.new),
            Day("/new", case.last_concluded, correction.new, "review-before-plan"),
        ]
    else:
        old, after = case.last_concluded, replace(case, last_concluded=correction.new)
        days = [Day("/new", correction.new, first_made, "review-before-plan")]
    check(days, birth_date=case.birth_date, today=where.today)
    return _corrected(case, after, where, replace(correction, old=_other(old, correction), notice_id=None))


def _of_notice(
    case: Case, amendments: Sequence[Amendment], where: Circumstances, correction: Correction
) -> Decision:
    notice = _notice(amendments, correction)
    if correction.field is CorrectableDate.NOTICE_SENT:
        old, moved = notice.sent_on, replace(notice, sent_on=correction.new)
        days = [
            Day("/new", correction.new, notice.meeting_on or case.plan_first_made, "notice-before-meeting"),
            Day("/new", notice.issued_on, correction.new, "final-before-notice"),
        ]
    else:
        old, moved = notice.issued_on, replace(notice, issued_on=correction.new)
        days = [Day("/new", correction.new, notice.sent_on, "final-before-notice")]
    if old is None:
        raise _nothing_to_correct()
    check(days, birth_date=case.birth_date, today=where.today)
    return _corrected(
        case, case, where, replace(correction, old=_other(old, correction)), amendments=[with_dates(moved)]
    )


def _corrected(
    case: Case,
    after: Case,
    where: Circumstances,
    correction: Correction,
    amendments: Sequence[Amendment] = (),
) -> Decision:
    event = DateCorrected(
        field=correction.field,
        old=correction.old,
        new=correction.new,
        reason=correction.reason,
        notice_id=correction.notice_id,
    )
    change = Change("date_corrected", (correction.field.value,), event if case.announced else None)
    return settle(case, after, where, change, amendments=amendments, corrections=[correction])


def _notice(amendments: Sequence[Amendment], correction: Correction) -> Amendment:
    if correction.notice_id is None:
        fault = Fault("/notice_id", "required", "Say which notice the date belongs to.")
        raise Refusal("validation", errors=[fault])
    notice = next((a for a in amendments if a.id == correction.notice_id), None)
    if notice is None:
        raise Refusal("not-found")
    return notice


def _other(old: date | None, correction: Correction) -> date | None:
    if old == correction.new:
        fault = Fault("/new", "same-value", "This is the day already on record.")
        raise Refusal("validation", errors=[fault])
    return old


def _nothing_to_correct() -> Refusal:
    return Refusal("conflict", errors=[Fault("/field", "nothing-recorded", "No such date is on record yet.")])
