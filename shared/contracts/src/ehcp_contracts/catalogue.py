"""Who sends and who reads: the services of the hub as the published documents describe them."""

from __future__ import annotations

from dataclasses import dataclass

from ehcp_contracts.events import (
    CASES,
    EVENTS,
    NOTIFICATIONS,
    REVIEWS,
    CouncilPolicyChanged,
    Event,
    ReviewConcluded,
    ReviewCorrected,
    ReviewDecided,
    ReviewMeetingHeld,
)


@dataclass(frozen=True)
class ServiceEntry:
    """A service: what it owns, the topic it sends on (None: it sends nothing) and the events it reacts to."""

    name: str
    owns: str
    topic: str | None
    reads: tuple[type[Event], ...]

    @property
    def sends(self) -> tuple[type[Event], ...]:
        return on_topic(self.topic) if self.topic else ()


def on_topic(topic: str) -> tuple[type[Event], ...]:
    """The events of a topic, in the order of the catalogue."""
    return tuple(event for event in EVENTS.values() if event.topic == topic)


TOPIC_PURPOSES = {
    CASES: "What happens to a case and its plan.",
    REVIEWS: "What is owed, booked, held, decided and concluded in reviews.",
    NOTIFICATIONS: "Who has been told, and who could not be.",
}

SERVICES = (
    ServiceEntry(
        "case-service",
        "the child's case: the plan and its versions, amendment notices, placement, ceasing",
        CASES,
        (ReviewMeetingHeld, ReviewDecided, ReviewConcluded, ReviewCorrected, CouncilPolicyChanged),
    ),
    ServiceEntry(
        "review-scheduler",
        "every review of every plan, its statutory dates, its meeting and its decision",
        REVIEWS,
        on_topic(CASES),
    ),
    ServiceEntry(
        "notification-service",
        "partners, their subscriptions, and the deliveries made to them",
        NOTIFICATIONS,
        on_topic(CASES) + on_topic(REVIEWS),
    ),
    ServiceEntry(
        "reporting-service",
        "measures and the dashboard, built from events alone",
        None,
        on_topic(CASES) + on_topic(REVIEWS) + on_topic(NOTIFICATIONS),
    ),
)


def sender(event: type[Event]) -> ServiceEntry:
    """The one service that sends an event."""
    return next(service for service in SERVICES if service.topic == event.topic)


def readers(event: type[Event]) -> tuple[ServiceEntry, ...]:
    """The services that react to an event."""
    return tuple(service for service in SERVICES if event in service.reads)


def title(event: type[Event]) -> str:
    """The event in words: "Review meeting booked"."""
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in event.__name__).strip()
    return words[0].upper() + words[1:]


def summary(event: type[Event]) -> str:
    """What the event means: the docstring of its class, on one line."""
    return " ".join((event.__doc__ or "").split())
