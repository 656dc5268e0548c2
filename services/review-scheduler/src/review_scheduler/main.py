"""review-scheduler: every review of every plan, its statutory dates and its meeting chain."""

from __future__ import annotations

from ehcp_contracts.events import (
    CASES,
    REVIEWS,
    CouncilPolicyChanged,
    ReviewConcluded,
    ReviewCorrected,
    ReviewDecided,
    ReviewDue,
    ReviewMeetingBooked,
    ReviewMeetingHeld,
    ReviewOverdue,
    ReviewReportReceived,
    ReviewScheduled,
    ReviewWithdrawn,
)
from review_scheduler import api, calendar_api, calendars, clock, policies, policy_api, queries, reactions
from review_scheduler.tables import metadata
from service_kit import Service, daily, every

service = Service(
    name="review-scheduler",
    package="review_scheduler",
    metadata=metadata,
    source="/review-scheduler",
    topic=REVIEWS,
    sends=[
        ReviewScheduled,
        ReviewDue,
        ReviewOverdue,
        ReviewMeetingBooked,
        ReviewMeetingHeld,
        ReviewReportReceived,
        ReviewDecided,
        ReviewConcluded,
        ReviewWithdrawn,
        ReviewCorrected,
        CouncilPolicyChanged,
    ],
    listens=[CASES],
    reactions=reactions.apply,
    routers=[api.router, policy_api.router, calendar_api.router],
    scopes=queries.SCOPES,
    jobs=[
        daily("stages", clock.tick),
        daily("calendars", calendars.watch),
        every(2.0, "policies", policies.replan),
    ],
    paths=("/v1/reviews", "/v1/officers", "/v1/policies", "/v1/calendars"),
)
