"""A case as reporting knows it, and what each event does to it. Pure: events in, facts out, no date of today.

The three topics arrive in any order relative to one another, so an event only ever touches what its own sender tells:
case events the plan and its notices, review events the reviews. Whatever needs both is worked out in `items`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any
from uuid import UUID

from ehcp_contracts import events as e
from ehcp_contracts.events import CorrectableDate, Event, Facts, Outcome, Placement, Responsible, ReviewKind

NO_PHASE = "none"


@dataclass(slots=True)
class Year:
    """The facts of a child in one academic year: the year group taught, and the transfer at its end, if any."""

    year_group: int
    phase: str = NO_PHASE
    due: date | None = None
    by: date | None = None
    impossible: bool = False


@dataclass(slots=True)
class PlanFacts:
    """A plan; fields as in the table `plan`."""

    case_id: UUID
    la: str
    administering_la: str
    first_made: date
    academic_year: str
    years: dict[str, Year] = field(default_factory=dict)
    last_concluded: date | None = None
    urn: str | None = None
    setting: str | None = None
    in_force_to: date | None = None
    ended_on: date | None = None
    end_reason: str | None = None

    def year(self, academic_year: str) -> Year:
        """What is known of the child in a year: exactly, or counted on from the nearest year known (no transfer then:
        which transfer a year ends with is only ever told)."""
        known = self.years.get(academic_year)
        if known is not None:
            return known
        nearest = min(self.years, key=lambda year: (abs(_start(year) - _start(academic_year)), year))
        return Year(self.years[nearest].year_group + _start(academic_year) - _start(nearest))


@dataclass(slots=True)
class ReviewFacts:
    """A review; fields as in the table `review`."""

    review_id: UUID
    case_id: UUID
    kind: str
    due_on: date | None = None
    alternative_due_on: date | None = None
    latest_meeting_on: date | None = None
    statutory: bool = True
    booked_for: date | None = None
    meeting_on: date | None = None
    report_on: date | None = None
    decision_due: date | None = None
    outcome: str | None = None
    notified_on: date | None = None
    concluded_on: date | None = None
    withdrawn: str | None = None


@dataclass(slots=True)
class NoticeFacts:
    """A notice of proposed amendments; fields as in the table `notice`."""

    notice_id: UUID
    case_id: UUID
    review_id: UUID | None = None
    sent_on: date | None = None
    final_on: date | None = None
    dropped_on: date | None = None
    registered: bool = False


@dataclass(slots=True)
class Story:
    """One case: its plan (None until the case event has come), reviews and notices."""

    case_id: UUID
    plan: PlanFacts | None = None
    reviews: dict[UUID, ReviewFacts] = field(default_factory=dict)
    notices: dict[UUID, NoticeFacts] = field(default_factory=dict)

    @property
    def concluded(self) -> list[date]:
        """The days on which full reviews were concluded, oldest first."""
        return sorted(r.concluded_on for r in self.reviews.values() if r.concluded_on and r.statutory)

    @property
    def anchor(self) -> date:
        """The day the running 12 months of CFA 2014 s.44(1) start with."""
        assert self.plan is not None
        days = [self.plan.last_concluded or self.plan.first_made, *self.concluded]
        return max(days)

    @property
    def ever_reviewed(self) -> bool:
        return bool(self.concluded or (self.plan and self.plan.last_concluded))


@lru_cache(maxsize=8192)
def academic_year(day: date) -> str:
    """The academic year, 1 September to 31 August, that a day lies in: "2026/27"."""
    start = day.year if day.month >= 9 else day.year - 1
    return f"{start}/{(start + 1) % 100:02}"


def _start(year: str) -> int:
    return int(year[:4])


def changes(event: Event) -> bool:
    """Whether an event changes a fact. Stages announced, which are most of what is sent, and deliveries do not."""
    return type(event) in _CHANGES


def fold(story: Story, event: Event) -> None:
    """Let one event happen to a case."""
    if changes(event):
        _CHANGES[type(event)](story, event)


def acted_on(event: Event) -> date | None:
    """The day on which what the event tells was done; None if nothing was."""
    if isinstance(event, e.PlanRegistered):
        return max(day for day in (event.plan_first_made, event.last_concluded) if day)
    name = _DAYS.get(type(event))
    return getattr(event, name) if name else None


# --- case events --------------------------------------------------------------------------------------------------


def _registered(story: Story, event: e.PlanRegistered) -> None:
    _begin(story, event.plan_first_made, event.placement, event.responsible, event.facts)
    assert story.plan is not None
    story.plan.last_concluded = event.last_concluded
    if event.notice_sent_on:
        # Its own id is not told; it stands under the case's until the final plan names it.
        story.notices[story.case_id] = NoticeFacts(
            story.case_id, story.case_id, sent_on=event.notice_sent_on, registered=True
        )


def _issued(story: Story, event: e.PlanIssued) -> None:
    _begin(story, event.issued_on, event.placement, event.responsible, event.facts)


def _begin(story: Story, made: date, placement: Placement, responsible: Responsible, facts: Facts) -> None:
    la, administering = responsible.responsible_la, responsible.administering_la
    story.plan = PlanFacts(story.case_id, la, administering, made, facts.academic_year)
    _placed(story.plan, placement)
    _faced(story.plan, facts)


def _placed(plan: PlanFacts, placement: Placement) -> None:
    plan.urn = placement.urn
    plan.setting = placement.setting.value if placement.setting else None


def _faced(plan: PlanFacts, facts: Facts) -> None:
    plan.academic_year = facts.academic_year
    plan.years[facts.academic_year] = Year(
        facts.year_group,
        facts.phase.value if facts.phase else NO_PHASE,
        facts.phase_due,
        facts.phase_by,
        facts.phase_deadline_impossible,
    )


def _routed(plan: PlanFacts, responsible: Responsible) -> None:
    plan.la, plan.administering_la = responsible.responsible_la, responsible.administering_la


def _moved(story: Story, event: e.PlacementChanged) -> None:
    if story.plan:
        _placed(story.plan, event.placement)
        _routed(story.plan, event.responsible)


def _facts_changed(story: Story, event: e.CaseFactsChanged) -> None:
    if story.plan:
        _faced(story.plan, event.facts)
        _routed(story.plan, event.responsible)


def _notice_sent(story: Story, event: e.AmendmentNoticeSent) -> None:
    notice = _notice(story, event.notice_id)
    notice.review_id, notice.sent_on = event.review_id, event.sent_on


def _final_issued(story: Story, event: e.AmendmentIssued) -> None:
    notice = _notice(story, event.notice_id)
    notice.review_id = event.review_id or notice.review_id
    notice.final_on = event.issued_on


def _dropped(story: Story, event: e.AmendmentDropped) -> None:
    notice = _notice(story, event.notice_id)
    notice.review_id = event.review_id or notice.review_id
    notice.dropped_on = event.decided_on


def _notice(story: Story, notice_id: UUID) -> NoticeFacts:
    """The notice of that id. A new id, while one sent before the hub is open, is that notice's real id."""
    if notice_id not in story.notices:
        before = story.notices.pop(story.case_id, None)
        story.notices[notice_id] = before or NoticeFacts(notice_id, story.case_id)
        story.notices[notice_id].notice_id = notice_id
    return story.notices[notice_id]


def _corrected(story: Story, event: e.DateCorrected) -> None:
    notice = story.notices.get(event.notice_id) if event.notice_id else None
    match event.field:
        case CorrectableDate.PLAN_FIRST_MADE if story.plan:
            story.plan.first_made = event.new
        case CorrectableDate.LAST_CONCLUDED if event.later_review:
            pass  # the review it stands for is corrected as well: that says what was concluded when
        case CorrectableDate.LAST_CONCLUDED if story.plan:
            story.plan.last_concluded = event.new
        case CorrectableDate.NOTICE_SENT if notice:
            notice.sent_on = event.new
        case CorrectableDate.AMENDED_PLAN_ISSUED if notice:
            notice.final_on = event.new


def _cease_notified(story: Story, event: e.CeaseNotified) -> None:
    if story.plan:
        story.plan.in_force_to = event.in_force_to


def _ceased(story: Story, event: e.PlanCeased) -> None:
    if story.plan:
        story.plan.ended_on, story.plan.end_reason = event.ceased_on, event.reason.value


def _continued(story: Story, event: e.PlanContinued) -> None:
    if story.plan:
        story.plan.in_force_to = event.in_force_to
        story.plan.ended_on = story.plan.end_reason = None


# --- review events ------------------------------------------------------------------------------------------------


def _review(story: Story, review_id: UUID, kind: ReviewKind) -> ReviewFacts:
    if review_id not in story.reviews:
        story.reviews[review_id] = ReviewFacts(review_id, story.case_id, kind.value)
    return story.reviews[review_id]


def _scheduled(story: Story, event: e.ReviewScheduled) -> None:
    review = _review(story, event.review_id, event.kind)
    review.due_on, review.alternative_due_on = event.due_on, event.alternative_due_on
    review.latest_meeting_on, review.statutory = event.latest_meeting_on, event.counts_as_statutory


def _booked(story: Story, event: e.ReviewMeetingBooked) -> None:
    _review(story, event.review_id, event.kind).booked_for = event.meeting_on


def _held(story: Story, event: e.ReviewMeetingHeld) -> None:
    review = _review(story, event.review_id, event.kind)
    review.meeting_on, review.decision_due = event.held_on, event.decision_due


def _reported(story: Story, event: e.ReviewReportReceived) -> None:
    _review(story, event.review_id, event.kind).report_on = event.received_on


def _decided(story: Story, event: e.ReviewDecided) -> None:
    review = _review(story, event.review_id, event.kind)
    review.outcome, review.notified_on = event.outcome.value, event.notified_on
    review.meeting_on, review.decision_due = event.meeting_on, event.decision_due


def _concluded(story: Story, event: e.ReviewConcluded) -> None:
    review = _review(story, event.review_id, event.kind)
    review.outcome, review.concluded_on, review.due_on = event.outcome.value, event.concluded_on, event.due_on
    review.meeting_on, review.decision_due = event.meeting_on, event.decision_due
    review.statutory = event.counts_as_statutory
    if event.outcome is not Outcome.AMEND and review.notified_on is None:
        review.notified_on = event.concluded_on


def _withdrawn(story: Story, event: e.ReviewWithdrawn) -> None:
    review = _review(story, event.review_id, event.kind)
    review.withdrawn, review.concluded_on = event.reason, event.satisfied_on


def _corrected_review(story: Story, event: e.ReviewCorrected) -> None:
    """The review is what is told of it now."""
    story.reviews[event.review_id] = ReviewFacts(
        event.review_id,
        story.case_id,
        event.kind.value,
        due_on=event.due_on,
        alternative_due_on=event.alternative_due_on,
        latest_meeting_on=event.latest_meeting_on,
        statutory=event.counts_as_statutory,
        booked_for=_review(story, event.review_id, event.kind).booked_for,
        meeting_on=event.held_on,
        report_on=event.received_on,
        decision_due=event.decision_due,
        outcome=event.outcome.value if event.outcome else None,
        notified_on=event.notified_on,
        concluded_on=event.concluded_on or event.satisfied_on,
        withdrawn=event.withdrawn,
    )


_CHANGES: dict[type[Event], Callable[[Story, Any], None]] = {
    e.PlanRegistered: _registered,
    e.PlanIssued: _issued,
    e.PlacementChanged: _moved,
    e.CaseFactsChanged: _facts_changed,
    e.AmendmentNoticeSent: _notice_sent,
    e.AmendmentIssued: _final_issued,
    e.AmendmentDropped: _dropped,
    e.DateCorrected: _corrected,
    e.CeaseNotified: _cease_notified,
    e.PlanCeased: _ceased,
    e.PlanContinued: _continued,
    e.ReviewScheduled: _scheduled,
    e.ReviewMeetingBooked: _booked,
    e.ReviewMeetingHeld: _held,
    e.ReviewReportReceived: _reported,
    e.ReviewDecided: _decided,
    e.ReviewConcluded: _concluded,
    e.ReviewWithdrawn: _withdrawn,
    e.ReviewCorrected: _corrected_review,
}

_DAYS: dict[type[Event], str] = {
    e.PlanIssued: "issued_on",
    e.AmendmentNoticeSent: "sent_on",
    e.AmendmentIssued: "issued_on",
    e.AmendmentDropped: "decided_on",
    e.DateCorrected: "new",
    e.PlanCeased: "ceased_on",
    e.ReviewMeetingHeld: "held_on",
    e.ReviewReportReceived: "received_on",
    e.ReviewDecided: "notified_on",
    e.ReviewConcluded: "concluded_on",
}
