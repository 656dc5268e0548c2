"""What notification-service owns: partners, their subscriptions, whose case it is, copies, deliveries, attempts."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
    literal,
    text,
)
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel, col

from ehcp_contracts.events import PartnerKind
from notification_service.channels import AddressState, Channel, Status, SubscriptionStatus
from service_kit.ids import uuid7
from service_kit.tables import UtcDateTime, json_type, service_metadata

metadata = service_metadata()


class Base(SQLModel, registry=registry(metadata=metadata)):
    metadata = metadata


def _one_of(column: str, values: Any) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(str(v)) for v in values)})", name=f"{column}_known")


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


WAITING = "status = 'pending'"
UNREAD = "status = 'available'"


class Partner(Base, table=True):
    """Somebody whom a council has told of its cases. `ref`: URN, ODS code, team or system name. `la_code`: the council
    that keeps the entry and whose cases it hears; a school that takes children of two councils has two entries.
    `feed_position` counts its copies and is raised under the row's lock, so that positions become visible in order."""

    __tablename__ = "partner"
    __table_args__ = (
        _one_of("kind", PartnerKind),
        UniqueConstraint("kind", "ref", "la_code"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    kind: str = Field(sa_type=String(20))
    ref: str = Field(sa_type=String(60))
    la_code: str = Field(sa_type=String(3), index=True)
    name: str = Field(sa_type=String(120))
    active: bool = True
    feed_position: int = 0
    acknowledged: int = 0
    version: int = 1
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class Subscription(Base, table=True):
    """What a partner wants pushed to which address, or to find in its feed. `keys`: signing secrets, newest first.
    `refusals` counts answers in a row that only a person can mend; `failing_since` is empty while things go well."""

    __tablename__ = "subscription"
    __table_args__ = (_one_of("channel", Channel), _one_of("status", SubscriptionStatus))

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    partner_id: UUID = Field(sa_column_args=[ForeignKey("partner.id")], index=True)
    channel: str = Field(sa_type=String(10))
    url: str | None = Field(default=None, sa_type=String(2000))
    event_types: list[str] = Field(sa_type=json_type())
    keys: list[dict[str, Any]] = Field(sa_type=json_type(), repr=False)
    status: str = Field(default=SubscriptionStatus.ACTIVE, sa_type=String(10))
    disabled_reason: str | None = Field(default=None, sa_type=String(20))
    refusals: int = 0
    failing_since: datetime | None = Field(default=None, sa_type=UtcDateTime)
    version: int = 1
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class Address(Base, table=True):
    """An address that somebody proposed for a webhook, who approved it, and what became of it (`addresses`)."""

    __tablename__ = "address"
    __table_args__ = (
        _one_of("state", AddressState),
        Index("ix_address_subscription", "subscription_id", "id"),
        Index("ix_address_due", "next_try_at", **_where("state = 'approved'")),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    subscription_id: UUID = Field(sa_column_args=[ForeignKey("subscription.id")])
    url: str = Field(sa_type=String(2000))
    state: str = Field(sa_type=String(12))
    proposed_by: str = Field(sa_type=String(255))
    proposed_at: datetime = Field(sa_type=UtcDateTime)
    approved_by: str | None = Field(default=None, sa_type=String(255))
    approved_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    confirmed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    challenge: str = Field(sa_type=String(64), repr=False)
    tries: int = 0
    next_try_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    failure: str | None = Field(default=None, sa_type=String(20))


class Routing(SQLModel):
    """Whose case it is: councils (DfE codes), school (URN) or setting without one, ICB (ODS code), team."""

    la_code: str = Field(sa_type=String(3))
    administering_la: str = Field(sa_type=String(3))
    urn: str | None = Field(default=None, sa_type=String(6))
    setting: str | None = Field(default=None, sa_type=String(4))
    icb: str | None = Field(default=None, sa_type=String(10))
    team: str | None = Field(default=None, sa_type=String(100))


class CaseRoute(Base, Routing, table=True):
    """Where a case is now. `quiet`: a plan that existed before the hub, and nothing has happened to it yet."""

    __tablename__ = "case_route"

    case_id: UUID = Field(primary_key=True)
    quiet: bool = False
    ended_on: date | None = None
    since: datetime = Field(sa_type=UtcDateTime)


class CaseRouteChange(Base, Routing, table=True):
    """Where a case was from when: one row per change, `since` the time of the event that said so."""

    __tablename__ = "case_route_change"
    __table_args__ = (Index("ix_case_route_change_case", "case_id", "since"),)

    event_id: UUID = Field(primary_key=True)
    case_id: UUID
    since: datetime = Field(sa_type=UtcDateTime)


class Knowledge(Base, table=True):
    """Up to which instant all that was written to a topic has been consumed here, by the clock of its sender."""

    __tablename__ = "knowledge"

    topic: str = Field(primary_key=True, sa_type=String(100))
    known_until: datetime = Field(sa_type=UtcDateTime)


class OpenNotice(Base, table=True):
    """The latest event of each type about an open review: what a partner that gains the case is told."""

    __tablename__ = "open_notice"

    case_id: UUID = Field(primary_key=True)
    review_id: UUID = Field(primary_key=True)
    event_type: str = Field(primary_key=True, sa_type=String(80))
    sequence: int
    body: bytes = Field(sa_type=LargeBinary)


class PartnerCopy(Base, table=True):
    """A partner's own copy of an event: rendered once, sent unchanged on every attempt and channel. `event_id` is the id
    it carries, a new one where the partner is told anew (`reactions`); `position` its place in the partner's feed."""

    __tablename__ = "partner_copy"
    __table_args__ = (UniqueConstraint("event_id", "partner_id"), UniqueConstraint("partner_id", "position"))

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    event_id: UUID
    partner_id: UUID = Field(sa_column_args=[ForeignKey("partner.id")])
    case_id: UUID = Field(index=True)
    event_type: str = Field(sa_type=String(80))
    event_time: datetime = Field(sa_type=UtcDateTime)
    side: str = Field(sa_type=String(10))
    position: int
    body: bytes = Field(sa_type=LargeBinary)


class Delivery(Base, table=True):
    """One event for one partner on one channel: the row that is never lost. `tries` counts since the last replay and
    decides the next pause; `attempts` counts all. A lease (`lease_token`, `leased_until`) says who is sending it."""

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("event_id", "partner_id", "channel"),
        _one_of("channel", Channel),
        _one_of("status", Status),
        Index("ix_delivery_due", "next_attempt_at", **_where(WAITING)),
        Index("ix_delivery_order", "subscription_id", "case_id", "position", **_where(WAITING)),
        Index("ix_delivery_unread", "partner_id", "position", **_where(UNREAD)),
        Index("ix_delivery_partner", "partner_id", "updated_at", "id"),
        Index("ix_delivery_case", "case_id", "partner_id"),
        Index("ix_delivery_updated", "updated_at", "id"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    copy_id: UUID = Field(sa_column_args=[ForeignKey("partner_copy.id")])
    event_id: UUID
    partner_id: UUID = Field(sa_column_args=[ForeignKey("partner.id")])
    subscription_id: UUID | None = Field(default=None, sa_column_args=[ForeignKey("subscription.id")])
    channel: str = Field(sa_type=String(10))
    case_id: UUID
    la_code: str = Field(sa_type=String(3))
    event_type: str = Field(sa_type=String(80))
    side: str = Field(sa_type=String(10))
    position: int
    status: str = Field(default=Status.PENDING, sa_type=String(12))
    reason: str | None = Field(default=None, sa_type=String(30))
    tries: int = 0
    attempts: int = 0
    next_attempt_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    lease_token: UUID | None = None
    leased_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    delivered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class Attempt(Base, table=True):
    """One request to a partner. `late`: the sender had lost its lease, so the delivery was not marked by it."""

    __tablename__ = "attempt"

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    delivery_id: UUID = Field(sa_column_args=[ForeignKey("delivery.id")], index=True)
    started_at: datetime = Field(sa_type=UtcDateTime)
    duration_ms: int
    outcome: str = Field(sa_type=String(20))
    status_code: int | None = None
    note: str | None = Field(default=None, sa_type=String(20))
    late: bool = False


class Alert(Base, table=True):
    """Something an officer must look at; open until somebody or the next success clears it."""

    __tablename__ = "alert"
    __table_args__ = (
        Index(
            "uq_alert_open",
            "partner_id",
            "subscription_id",
            "kind",
            unique=True,
            **_where("cleared_at IS NULL"),
        ),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    partner_id: UUID = Field(sa_column_args=[ForeignKey("partner.id")])
    subscription_id: UUID | None = Field(default=None, sa_column_args=[ForeignKey("subscription.id")])
    delivery_id: UUID | None = None
    kind: str = Field(sa_type=String(20))
    raised_at: datetime = Field(sa_type=UtcDateTime)
    cleared_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


def has_status(delivery: type[Delivery], status: Status) -> ColumnElement[bool]:
    """`status = 'pending'` with the value written out: SQLite uses a partial index for nothing else."""
    return col(delivery.status) == literal(str(status), String(12), literal_execute=True)


def table_of(model: type[SQLModel]) -> Table:
    """The SQLAlchemy table of a model, for statements that write many rows."""
    table: Table = model.__table__  # type: ignore[attr-defined]
    return table
