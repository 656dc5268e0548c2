"""notification-service: partners, their subscriptions and entitlements, deliveries, and the proof of notification."""

from __future__ import annotations

from ehcp_contracts.events import CASES, NOTIFICATIONS, REVIEWS, NotificationDelivered, NotificationFailed
from notification_service import api, queries, reactions, sender
from notification_service.tables import metadata
from service_kit import Service, forever

service = Service(
    name="notification-service",
    package="notification_service",
    metadata=metadata,
    source="/notification-service",
    topic=NOTIFICATIONS,
    sends=[NotificationDelivered, NotificationFailed],
    listens=[CASES, REVIEWS],
    reactions=reactions.apply,
    routers=[api.router],
    scopes=queries.SCOPES,
    jobs=[forever("sender", sender.run)],
    paths=("/v1/partners", "/v1/subscriptions", "/v1/deliveries", "/v1/events"),
)
