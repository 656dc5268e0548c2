"""One example of every event, with invented values: school 900123, plans that never were.

They tell one story each; the dates agree within an example, and the published documents show them.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from uuid import UUID

from ehcp_contracts import events as e
from ehcp_contracts.catalogue import sender
from ehcp_contracts.envelope import Envelope

CASE = UUID("3f0c6d1e-8b7a-4c52-9e41-d2a5b6c7f801")
REVIEW = UUID("01990d3a-5c10-7b21-8a44-6f1e2d3c4b5a")
NOTICE = UUID("01990d3b-1f20-7c31-9b55-7a2f3e4d5c6b")
DELIVERY = UUID("01990d3c-2a30-7d41-8c66-8b3a4f5e6d7c")
PARTNER = UUID("01990d3d-3b40-7e51-9d77-9c4b5a6f7e8d")
EVENT = UUID("01990d3e-4c50-7f61-8e88-ad5c6b7a8f9e")

AT_SCHOOL = e.Placement(urn="900123", since=date(2024, 9, 2))
BURY = e.Responsible(
    responsible_la="351", administering_la="351", icb="QOP", social_care_team="team-a", officer="officer-3"
)
YEAR_6 = e.Facts(
    academic_year="2026/27",
    year_group=6,
    phase=e.Phase.PRIMARY_TO_SECONDARY,
    transfer_on=date(2027, 9, 1),
    phase_due=date(2027, 2, 14),
    phase_by=date(2027, 2, 15),
)
RECEPTION = e.Facts(academic_year="2026/27", year_group=0, under5_interims=(date(2027, 1, 12),))
ANNUAL = e.ReviewKind.ANNUAL

_ALL: tuple[e.Event, ...] = (
    e.PlanRegistered(
        plan_first_made=date(2022, 3, 18),
        last_concluded=date(2026, 2, 27),
        placement=AT_SCHOOL,
        responsible=BURY,
        facts=YEAR_6,
    ),
    e.PlanIssued(issued_on=date(2026, 7, 13), placement=AT_SCHOOL, responsible=BURY, facts=RECEPTION),
    e.AmendmentNoticeSent(
        notice_id=NOTICE,
        review_id=REVIEW,
        sent_on=date(2026, 10, 28),
        representations_close=date(2026, 11, 12),
        earliest_final=date(2026, 11, 13),
        final_due=date(2026, 12, 23),
    ),
    e.AmendmentIssued(notice_id=NOTICE, review_id=REVIEW, issued_on=date(2026, 12, 9), plan_version=4),
    e.AmendmentDropped(notice_id=NOTICE, review_id=REVIEW, decided_on=date(2026, 12, 9)),
    e.PlacementChanged(
        placement=e.Placement(urn="900456", since=date(2026, 11, 2)), previous=AT_SCHOOL, responsible=BURY
    ),
    e.CaseFactsChanged(facts=YEAR_6, responsible=BURY),
    e.DateCorrected(
        field=e.CorrectableDate.LAST_CONCLUDED,
        old=date(2026, 2, 27),
        new=date(2026, 2, 20),
        reason=e.CorrectionReason.KEYING_ERROR,
    ),
    e.CeaseNotified(
        notified_on=date(2026, 10, 30),
        in_force_to=date(2026, 12, 30),
        reason=e.CeaseReason.NEEDS_MET,
        review_id=REVIEW,
    ),
    e.PlanCeased(ceased_on=date(2026, 12, 31), reason=e.CeaseReason.NEEDS_MET),
    e.PlanContinued(reason="appeal_lodged"),
    e.ReviewScheduled(
        review_id=REVIEW,
        kind=ANNUAL,
        due_on=date(2027, 2, 26),
        alternative_due_on=date(2027, 2, 27),
        latest_meeting_on=date(2027, 1, 29),
        rule_id="review_annual",
        citation="Children and Families Act 2014 s.44(1)",
    ),
    e.ReviewDue(
        review_id=REVIEW,
        kind=ANNUAL,
        stage=e.ReviewStage.INVITE,
        due_on=date(2027, 2, 26),
        latest_meeting_on=date(2027, 1, 29),
    ),
    e.ReviewOverdue(review_id=REVIEW, kind=ANNUAL, due_on=date(2027, 2, 26)),
    e.ReviewMeetingBooked(
        review_id=REVIEW,
        kind=ANNUAL,
        meeting_on=date(2027, 1, 20),
        notice_due=date(2027, 1, 6),
        advice_due=date(2027, 1, 6),
    ),
    e.ReviewMeetingHeld(
        review_id=REVIEW,
        kind=ANNUAL,
        held_on=date(2027, 1, 20),
        report_due=date(2027, 2, 3),
        decision_due=date(2027, 2, 17),
    ),
    e.ReviewReportReceived(review_id=REVIEW, kind=ANNUAL, received_on=date(2027, 2, 1)),
    e.ReviewDecided(
        review_id=REVIEW,
        kind=ANNUAL,
        outcome=e.Outcome.AMEND,
        notified_on=date(2027, 2, 12),
        meeting_on=date(2027, 1, 20),
        decision_due=date(2027, 2, 17),
    ),
    e.ReviewConcluded(
        review_id=REVIEW,
        kind=ANNUAL,
        outcome=e.Outcome.AMEND,
        concluded_on=date(2027, 2, 15),
        due_on=date(2027, 2, 26),
        meeting_on=date(2027, 1, 20),
        decision_due=date(2027, 2, 17),
    ),
    e.ReviewWithdrawn(review_id=REVIEW, kind=e.ReviewKind.UNDER5_INTERIM, reason="facts_changed"),
    e.ReviewCorrected(
        review_id=REVIEW,
        kind=ANNUAL,
        reason="recorded_late",
        due_on=date(2027, 2, 26),
        alternative_due_on=date(2027, 2, 27),
        latest_meeting_on=date(2027, 1, 29),
        held_on=date(2027, 1, 20),
        outcome=e.Outcome.MAINTAIN,
        notified_on=date(2027, 2, 12),
        concluded_on=date(2027, 2, 12),
        decision_due=date(2027, 2, 17),
    ),
    e.CouncilPolicyChanged(
        policy_version=1,
        effective_on=date(2026, 11, 23),
        basis="strict",
        under5_interval_months=4,
        notice_clear_days=1,
        advice_request_days=56,
        lead_plan_days=84,
        lead_invite_days=56,
        lead_last_call_days=14,
    ),
    e.NotificationDelivered(
        delivery_id=DELIVERY,
        event_id=EVENT,
        event_type="ehcp.review-due.v1",
        partner_id=PARTNER,
        partner_kind=e.PartnerKind.SCHOOL,
        channel="webhook",
        attempts=2,
    ),
    e.NotificationFailed(
        delivery_id=DELIVERY,
        event_id=EVENT,
        event_type="ehcp.review-due.v1",
        partner_id=PARTNER,
        partner_kind=e.PartnerKind.ICB,
        channel="webhook",
        attempts=9,
        failure="schedule-spent",
    ),
)

EXAMPLES: dict[str, e.Event] = {example.wire_type: example for example in _ALL}


def example_document(wire_type: str) -> dict[str, object]:
    """The example as it stands on the wire, envelope and all."""
    example = EXAMPLES[wire_type]
    envelope = Envelope(
        id=EVENT,
        source=f"/{sender(type(example)).name}",
        type=wire_type,
        subject=str(CASE),
        time=datetime(2026, 11, 23, 8, 30, tzinfo=UTC),
        dataschema=f"/schemas/{wire_type}.json",
        sequence=7,
        partitionkey=str(CASE),
        dataref=f"/v1/cases/{CASE}",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        lacode="351",
        data=example.model_dump(mode="json", exclude_none=True),
    )
    return envelope.model_dump(mode="json", exclude_none=True)
