"""The events of a review, made from its row."""

from __future__ import annotations

from datetime import date
from typing import cast

from ehcp_contracts.events import (
    Event,
    Outcome,
    ReviewConcluded,
    ReviewCorrected,
    ReviewDecided,
    ReviewDue,
    ReviewKind,
    ReviewMeetingBooked,
    ReviewMeetingHeld,
    ReviewOverdue,
    ReviewReportReceived,
    ReviewScheduled,
    ReviewStage,
    ReviewWithdrawn,
)
from review_scheduler.domain.obligations import CorrectedBecause, WithdrawnBecause
from review_scheduler.domain.stages import Stage
from review_scheduler.domain.steps import decide_by
from review_scheduler.tables import Review


def scheduled(review: Review) -> ReviewScheduled:
    return ReviewScheduled(
        review_id=review.id,
        kind=ReviewKind(review.kind),
        due_on=review.due_on,
        alternative_due_on=review.alternative_due_on,
        latest_meeting_on=review.latest_meeting_on,
        rule_id=review.rule_id,
        citation=review.citation,
        counts_as_statutory=review.counts_as_statutory,
    )


def stage_reached(review: Review, stage: Stage) -> Event:
    """`ReviewDue` for the stages up to the due date, `ReviewOverdue` for the day after."""
    kind = ReviewKind(review.kind)
    if stage is Stage.OVERDUE:
        return ReviewOverdue(review_id=review.id, kind=kind, due_on=review.due_on)
    return ReviewDue(
        review_id=review.id,
        kind=kind,
        stage=ReviewStage(stage),
        due_on=review.due_on,
        latest_meeting_on=review.latest_meeting_on,
    )


def meeting_booked(review: Review, previous: date | None) -> ReviewMeetingBooked:
    return ReviewMeetingBooked(
        review_id=review.id,
        kind=ReviewKind(review.kind),
        meeting_on=_known(review.meeting_on),
        notice_due=_known(review.notice_due),
        advice_due=_known(review.advice_due),
        previous_meeting_on=previous,
    )


def meeting_held(review: Review) -> ReviewMeetingHeld:
    return ReviewMeetingHeld(
        review_id=review.id,
        kind=ReviewKind(review.kind),
        held_on=_known(review.held_on),
        report_due=_known(review.report_due),
        decision_due=_known(decide_by(review)),
    )


def report_received(review: Review) -> ReviewReportReceived:
    return ReviewReportReceived(
        review_id=review.id, kind=ReviewKind(review.kind), received_on=_known(review.report_received_on)
    )


def decided(review: Review) -> ReviewDecided:
    return ReviewDecided(
        review_id=review.id,
        kind=ReviewKind(review.kind),
        outcome=Outcome(review.outcome or ""),
        notified_on=_known(review.notified_on),
        meeting_on=review.held_on,
        decision_due=review.meeting_limb_due or review.due_on,
    )


def concluded(review: Review) -> ReviewConcluded:
    return ReviewConcluded(
        review_id=review.id,
        kind=ReviewKind(review.kind),
        outcome=Outcome(review.outcome or ""),
        concluded_on=_known(review.concluded_on),
        due_on=review.due_on,
        meeting_on=review.held_on,
        decision_due=review.meeting_limb_due or review.due_on,
        counts_as_statutory=review.counts_as_statutory,
    )


def withdrawn(review: Review, because: WithdrawnBecause) -> ReviewWithdrawn:
    return ReviewWithdrawn(
        review_id=review.id, kind=ReviewKind(review.kind), reason=because, satisfied_on=review.satisfied_on
    )


def corrected(review: Review, because: CorrectedBecause) -> ReviewCorrected:
    """How the review stands now, whatever was told of it before."""
    return ReviewCorrected(
        review_id=review.id,
        kind=ReviewKind(review.kind),
        reason=because,
        due_on=review.due_on,
        alternative_due_on=review.alternative_due_on,
        latest_meeting_on=review.latest_meeting_on,
        held_on=review.held_on,
        received_on=review.report_received_on,
        outcome=Outcome(review.outcome) if review.outcome else None,
        notified_on=review.notified_on,
        concluded_on=review.concluded_on,
        decision_due=review.meeting_limb_due,
        counts_as_statutory=review.counts_as_statutory,
        withdrawn=cast(WithdrawnBecause | None, review.withdrawn_because),
        satisfied_on=review.satisfied_on,
    )


def _known(day: date | None) -> date:
    if day is None:
        raise ValueError("this review has not come so far")
    return day
