"""case-service: owns the child's case and plan, tells the others what they need to know, and nothing more."""

from __future__ import annotations

from case_service import api, jobs, queries, reactions
from case_service.tables import metadata
from ehcp_contracts.events import (
    CASES,
    REVIEWS,
    AmendmentDropped,
    AmendmentIssued,
    AmendmentNoticeSent,
    CaseFactsChanged,
    CeaseNotified,
    CouncilPolicyChanged,
    DateCorrected,
    PlacementChanged,
    PlanCeased,
    PlanContinued,
    PlanIssued,
    PlanRegistered,
    ReviewConcluded,
    ReviewCorrected,
    ReviewDecided,
    ReviewMeetingHeld,
)
from service_kit.jobs import daily
from service_kit.service import Service

service = Service(
    name="case-service",
    package="case_service",
    metadata=metadata,
    source="/case-service",
    topic=CASES,
    sends=[
        PlanRegistered,
        PlanIssued,
        AmendmentNoticeSent,
        AmendmentIssued,
        AmendmentDropped,
        PlacementChanged,
        CaseFactsChanged,
        DateCorrected,
        CeaseNotified,
        PlanCeased,
        PlanContinued,
    ],
    listens=[REVIEWS],
    reactions={
        ReviewMeetingHeld: reactions.on_review_meeting_held,
        ReviewDecided: reactions.on_review_decided,
        ReviewConcluded: reactions.on_review_concluded,
        ReviewCorrected: reactions.on_review_corrected,
        CouncilPolicyChanged: reactions.on_council_policy_changed,
    },
    routers=api.routers,
    scopes=queries.SCOPES,
    jobs=[
        daily("facts", jobs.refresh_facts),
        daily("end-plans", jobs.end_plans),
        daily("calendar", jobs.watch_calendar),
    ],
    paths=("/v1/cases", "/v1/imports", "/v1/sources", "/v1/returns"),
)
