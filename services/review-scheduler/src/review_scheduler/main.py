"""review-scheduler: every review of every plan, its statutory dates and its meeting chain."""

from __future__ import annotations

from ehcp_contracts.events import (
    CASES,
    REVIEWS,
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
from review_scheduler import api, clock, queries, reactions
from review_scheduler.tables import metadata
from service_kit import Service, daily

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
    ],
    listens=[CASES],
    reactions=reactions.apply,
    routers=[api.router],
    scopes=queries.SCOPES,
    jobs=[daily("stages", clock.tick)],
    paths=("/v1/reviews", "/v1/officers"),
)
