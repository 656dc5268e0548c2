"""What a partner's answer to a webhook means, and which channels an event takes to a partner."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from notification_service.domain import Reach
from notification_service.targets import Answer

ALL_TYPES = "*"
REFUSALS_BEFORE_ALERT = 3
LONGEST_ECHO = 200  # bytes; nothing longer is worth parsing


class Channel(StrEnum):
    WEBHOOK = "webhook"
    FEED = "feed"


class Status(StrEnum):
    """State of a delivery: `pending` waits to be pushed, `available` to be read from the feed."""

    PENDING = "pending"
    AVAILABLE = "available"
    DELIVERED = "delivered"
    QUARANTINED = "quarantined"
    CANCELLED = "cancelled"


class AddressState(StrEnum):
    """How far a new address has come; `confirmed` took it into use, `superseded` gave it up for another."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    SUPERSEDED = "superseded"


PROPOSALS = (AddressState.PROPOSED, AddressState.APPROVED, AddressState.FAILED)


class SubscriptionStatus(StrEnum):
    """`proposed`: it has no address yet that was approved and confirmed; what it is owed waits."""

    PROPOSED = "proposed"
    ACTIVE = "active"
    DISABLED = "disabled"
    DELETED = "deleted"


class AlertKind(StrEnum):
    """Why an officer must look: the partner's address is gone, turns our key or our requests away, notices gave up,
    a notice reached a school after its pupil had left, an address waits for a second person or did not echo."""

    GONE = "gone"
    CREDENTIALS = "credentials"
    REFUSED = "refused"
    QUARANTINED = "quarantined"
    TOLD_AFTER_MOVE = "told-after-move"
    APPROVAL_NEEDED = "approval-needed"
    ADDRESS_FAILED = "address-failed"


class Outcome(StrEnum):
    """Class of one attempt."""

    DELIVERED = "delivered"
    REDIRECT = "redirect"
    GONE = "gone"
    CREDENTIALS = "credentials"
    REFUSED = "refused"
    THROTTLED = "throttled"
    SERVER_ERROR = "server-error"
    TIMEOUT = "timeout"
    TLS = "tls"
    DNS = "dns"
    BLOCKED = "blocked-address"
    PROTOCOL = "protocol"
    NETWORK = "network"
    NO_ECHO = "no-echo"  # a new address answered, and not with the challenge
    NO_KEY = "no-key"  # ours: the secret to sign with cannot be read, and nothing goes out unsigned


SLOW_DOWN = frozenset({Outcome.TIMEOUT, Outcome.THROTTLED})
# Answers that only a person can mend; the officer is told after three in a row, and trying goes on.
REFUSALS = frozenset({Outcome.CREDENTIALS, Outcome.REFUSED})


def judge(answer: Answer) -> Outcome:
    """The outcome of an exchange (reliability.md section 5, bad-inputs.md section 5)."""
    status = answer.status
    if status is None:
        return Outcome(answer.failure or Outcome.NETWORK)
    if 200 <= status < 300:
        return Outcome.DELIVERED
    if 300 <= status < 400:
        return Outcome.REDIRECT
    match status:
        case 410:
            return Outcome.GONE
        case 401 | 403:
            return Outcome.CREDENTIALS
        case 408 | 425 | 429:
            return Outcome.THROTTLED
    return Outcome.REFUSED if 400 <= status < 500 else Outcome.SERVER_ERROR


def echoes(answer: Answer, challenge: str) -> bool:
    """Whether an answer is the challenge, bare or as `{"challenge": …}`, with a 2xx."""
    if judge(answer) is not Outcome.DELIVERED or len(answer.body) > LONGEST_ECHO:
        return False
    with contextlib.suppress(ValueError):
        text = answer.body.decode().strip()
        return text == challenge or json.loads(text) == {"challenge": challenge}
    return False


class Wish(Protocol):
    """A subscription, as far as routing is concerned."""

    @property
    def channel(self) -> str: ...
    @property
    def event_types(self) -> list[str]: ...


W = TypeVar("W", bound=Wish)


@dataclass(frozen=True)
class Routed(Generic[W]):
    """Where a notice goes: into the feed or not, and to which webhook."""

    feed: bool
    webhook: W | None


def wants(wish: Wish, event_type: str) -> bool:
    return ALL_TYPES in wish.event_types or event_type in wish.event_types


def overlap(one: Iterable[str], other: Iterable[str]) -> bool:
    """Whether two lists of event types share one (a partner hears an event at one address only)."""
    left, right = set(one), set(other)
    return ALL_TYPES in left or ALL_TYPES in right or bool(left & right)


def route(wishes: Iterable[W], event_type: str, reach: Reach) -> Routed[W]:
    """Every entitled partner has its feed; a feed subscription narrows it. A webhook gets what it asked for, unless
    the notice is for the feed only."""
    mine = list(wishes)
    feeds = [wish for wish in mine if wish.channel == Channel.FEED]
    hooks = [wish for wish in mine if wish.channel == Channel.WEBHOOK and wants(wish, event_type)]
    feed = not feeds or any(wants(wish, event_type) for wish in feeds)
    return Routed(feed, hooks[0] if hooks and reach is Reach.PUSH else None)
