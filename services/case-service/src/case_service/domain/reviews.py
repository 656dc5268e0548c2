"""What the reviews of review-scheduler do to the case: they open a procedure, conclude a year, or fix a meeting.

Nothing here refuses: an event is a fact. What no longer applies (the plan has ended) is recorded and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from uuid import UUID

from case_service.domain.amendments import awaiting_notice, with_dates
from case_service.domain.case import (
    Amendment,
    AmendmentState,
    Case,
    CaseStatus,
    Change,
    Circumstances,
    Decision,
)
from case_service.domain.settle import settle
from ehcp_contracts.events import (
    Outcome,
    ReviewConcluded,
    ReviewCorrected,
    ReviewDecided,
    ReviewMeetingHeld,
)


def decided(
    case: Case,
    amendments: Sequence[Amendment],
    where: Circumstances,
    event: ReviewDecided,
    *,
    amendment_id: UUID,
) -> Decision | None:
    """ "Amend" opens the amendment with the day its notice is due, "cease" the consultation; "maintain" nothing.

    None when there is nothing to do, such as a decision that is known already.
    """
    if event.outcome is Outcome.MAINTAIN:
        return None
    if case.status in (CaseStatus.CEASED, CaseStatus.REGISTERED):
        return settle(case, case, where, Change("review_decision_without_effect"))
    if event.outcome is Outcome.CEASE:
        return _consider_ceasing(case, where, event)
    return _amend(case, amendments, where, event, amendment_id)


def concluded(case: Case, where: Circumstances, event: ReviewConcluded) -> Decision | None:
    """A full review moves the anchor to its conclusion, forwards only; a light-touch interim leaves it. The review that
    set the anchor may move it back: its notice was sent earlier than recorded."""
    if not event.counts_as_statutory or case.plan_first_made is None:
        return None
    after = _concluded_on(case, event.review_id, event.concluded_on)
    if after == case:
        return None
    if after.last_concluded == case.last_concluded:
        return Decision(before=case, after=after, changes=())
    return settle(case, after, where, Change("review_concluded", ("last_concluded",)))


def _concluded_on(case: Case, review_id: UUID, on: date) -> Case:
    """The anchor of the 12 months, moved if this review moves it."""
    anchor = case.last_concluded or case.plan_first_made
    if anchor is None:
        return case
    if on == case.last_concluded and case.last_concluded_review_id is None:
        return replace(case, last_concluded_review_id=review_id)  # the source told the day first
    told_again = case.last_concluded_review_id == review_id
    if on == anchor or (on < anchor and not told_again):
        return case
    return replace(case, last_concluded=on, last_concluded_review_id=review_id)


def corrected(
    case: Case, amendments: Sequence[Amendment], where: Circumstances, event: ReviewCorrected
) -> Decision | None:
    """What was told of a review came late or was wrong: meeting, decision and conclusion are those told now, and the
    days of its amendment are counted anew. None where nothing of it is known here."""
    after = case
    if event.held_on and case.meeting_review_id == event.review_id:
        after = replace(after, meeting_held_on=event.held_on)
    if event.concluded_on and event.counts_as_statutory:
        after = _concluded_on(after, event.review_id, event.concluded_on)
    mine = [amendment for amendment in amendments if amendment.review_id == event.review_id]
    touched = [again for amendment in mine if (again := _told_anew(amendment, event)) != amendment]
    if after == case and not touched:
        return None
    if replace(after, last_concluded_review_id=case.last_concluded_review_id) == case and not touched:
        return Decision(before=case, after=after, changes=())
    change = Change("review_corrected", ("meeting_held_on", "last_concluded"))
    return settle(case, after, where, change, amendments=touched)


def _told_anew(amendment: Amendment, event: ReviewCorrected) -> Amendment:
    meeting_on = event.held_on or amendment.meeting_on
    decided_on = event.notified_on or amendment.decided_on
    if (meeting_on, decided_on) == (amendment.meeting_on, amendment.decided_on):
        return amendment
    opened = awaiting_notice(
        amendment_id=amendment.id,
        case_id=amendment.case_id,
        review_id=event.review_id,
        meeting_on=meeting_on,
        decided_on=decided_on,
    )
    return _completed(amendment, opened)


def meeting_held(case: Case, where: Circumstances, event: ReviewMeetingHeld) -> Decision | None:
    """The meeting starts the twelve weeks to the final amended plan (*Devon*); a later meeting replaces an older."""
    if case.meeting_review_id == event.review_id and case.meeting_held_on == event.held_on:
        return None
    if (
        case.meeting_review_id != event.review_id
        and case.meeting_held_on
        and case.meeting_held_on > event.held_on
    ):
        return None
    after = replace(case, meeting_review_id=event.review_id, meeting_held_on=event.held_on)
    return settle(case, after, where, Change("meeting_held", ("meeting_held_on",)))


def _consider_ceasing(case: Case, where: Circumstances, event: ReviewDecided) -> Decision | None:
    if case.status not in (CaseStatus.ACTIVE, CaseStatus.AMENDING):
        return None
    after = replace(
        case,
        status=CaseStatus.CEASE_CONSULT,
        cease_review_id=event.review_id,
        cease_considered_on=event.notified_on,
    )
    return settle(case, after, where, Change("cease_considered", ("status",)))


def _amend(
    case: Case,
    amendments: Sequence[Amendment],
    where: Circumstances,
    event: ReviewDecided,
    amendment_id: UUID,
) -> Decision | None:
    opened = awaiting_notice(
        amendment_id=amendment_id,
        case_id=case.id,
        review_id=event.review_id,
        meeting_on=event.meeting_on,
        decided_on=event.notified_on,
    )
    known = next((a for a in amendments if a.review_id == event.review_id), None)
    if known is not None:  # the officer sent the notice before the decision arrived here
        return _complete(case, where, known, opened)
    status = CaseStatus.AMENDING if case.status is CaseStatus.ACTIVE else case.status
    change = Change("amendment_decided", ("status",))
    return settle(case, replace(case, status=status), where, change, amendments=[opened])


def _completed(known: Amendment, opened: Amendment) -> Amendment:
    """An amendment with meeting and decision as the review tells them."""
    completed = replace(
        known, meeting_on=opened.meeting_on, decided_on=opened.decided_on, notice_due=opened.notice_due
    )
    return completed if completed.state is AmendmentState.DECIDED else with_dates(completed)


def _complete(case: Case, where: Circumstances, known: Amendment, opened: Amendment) -> Decision | None:
    completed = _completed(known, opened)
    if completed == known:
        return None
    return settle(case, case, where, Change("amendment_decided"), amendments=[completed])
