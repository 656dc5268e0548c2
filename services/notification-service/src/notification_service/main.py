"""notification-service: partners, their subscriptions and entitlements, deliveries, and the proof of notification."""

from __future__ import annotations

from ehcp_contracts.events import CASES, NOTIFICATIONS, REVIEWS, NotificationDelivered, NotificationFailed
from notification_service import api, knowledge, queries, reactions, sender, vault
from notification_service.tables import metadata
from service_kit import Metric, Service, every, forever

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
    jobs=[
        forever("knowledge", knowledge.keep),
        forever("sender", sender.run),
        forever("addresses", sender.confirm_addresses),
        every(3600.0, "seal secrets anew", vault.seal_anew),
    ],
    metrics=[
        Metric("knowledge_age_seconds", "How old is what is known of cases", knowledge.age),
        Metric("notices_held", "Notices that are due and wait for news of their cases", knowledge.held),
    ],
    seals=True,
    paths=("/v1/partners", "/v1/subscriptions", "/v1/deliveries", "/v1/events"),
)
