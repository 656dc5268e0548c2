"""What reporting-service owns: plans, reviews and notices as told by events, the items of each measure, and counters.

Nothing here is entered by hand and nothing comes from a clock or a counter of the database: all of it is a fold over
the log, so that a rebuilt database equals the live one bit for bit (reliability I9).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, String, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from service_kit.tables import UtcDateTime, json_type, service_metadata

metadata = service_metadata()

UNSTATED = -99
"""Year group of a counter that has none (it is part of a key, so it cannot be NULL)."""


class Base(SQLModel, registry=registry(metadata=metadata)):
    metadata = metadata


class Plan(Base, table=True):
    """A plan as case events tell it. `la` is responsible, `administering_la` does the work. `years` holds the facts of
    each academic year seen; `anchor` the day the running 12 months start with; `status` in_force, ceasing or ended."""

    __tablename__ = "plan"

    case_id: UUID = Field(primary_key=True)
    la: str = Field(sa_type=String(3), index=True)
    administering_la: str = Field(sa_type=String(3))
    first_made: date
    last_concluded: date | None = None
    anchor: date
    academic_year: str = Field(sa_type=String(7))
    year_group: int
    phase: str = Field(sa_type=String(30))
    years: dict[str, Any] = Field(sa_type=json_type())
    urn: str | None = Field(default=None, sa_type=String(6))
    setting: str | None = Field(default=None, sa_type=String(4))
    status: str = Field(sa_type=String(10))
    in_force_to: date | None = None
    ended_on: date | None = None
    end_reason: str | None = Field(default=None, sa_type=String(1))


class Review(Base, table=True):
    """A review that is or was owed, with what has happened to it."""

    __tablename__ = "review"

    review_id: UUID = Field(primary_key=True)
    case_id: UUID = Field(index=True)
    kind: str = Field(sa_type=String(20))
    due_on: date | None = None
    alternative_due_on: date | None = None
    latest_meeting_on: date | None = None
    statutory: bool = True
    booked_for: date | None = None
    meeting_on: date | None = None
    report_on: date | None = None
    decision_due: date | None = None
    outcome: str | None = Field(default=None, sa_type=String(10))
    notified_on: date | None = None
    concluded_on: date | None = None
    withdrawn: str | None = Field(default=None, sa_type=String(20))


class Notice(Base, table=True):
    """A notice of proposed amendments and how it ended. `registered`: it was sent before the hub."""

    __tablename__ = "notice"

    notice_id: UUID = Field(primary_key=True)
    case_id: UUID = Field(index=True)
    review_id: UUID | None = None
    sent_on: date | None = None
    final_on: date | None = None
    dropped_on: date | None = None
    registered: bool = False


class Item(Base, table=True):
    """One member of the denominator of a measure: what is owed, its last compliant day (`limit_on`), when it was done.

    `state`: open, met, late (done after the limit), ended (never done, and will not be) or unknown, with a `reason`.
    None of these depends on today: whether an open item is overdue is a question of `limit_on` alone.
    """

    __tablename__ = "item"
    __table_args__ = (
        Index("ix_item_la", "la", "measure", "academic_year"),
        Index("ix_item_administering", "administering_la", "measure", "academic_year"),
    )

    key: str = Field(primary_key=True, sa_type=String(48))
    measure: str = Field(primary_key=True, sa_type=String(20))
    case_id: UUID = Field(index=True)
    la: str = Field(sa_type=String(3))
    administering_la: str = Field(sa_type=String(3))
    academic_year: str = Field(sa_type=String(7))
    year_group: int
    phase: str = Field(sa_type=String(30))
    opened_on: date | None = None
    limit_on: date | None = None
    done_on: date | None = None
    state: str = Field(sa_type=String(10))
    reason: str | None = Field(default=None, sa_type=String(30))


class Counter(Base, table=True):
    """How many items are alike. The key begins with the council, so that a council's page reads its own part only,
    however many there are. `state` as in `Item`, with the reason in place of "unknown"; `falls` is the last
    compliant day of open items, and for closed ones the start of the month or week that a chart shows."""

    __tablename__ = "counter"
    __table_args__ = (
        Index("ix_counter_administering", "administering_la", "academic_year"),
        Index("ix_counter_empty", "n", sqlite_where=text("n = 0"), postgresql_where=text("n = 0")),
    )

    la: str = Field(primary_key=True, sa_type=String(3))
    academic_year: str = Field(primary_key=True, sa_type=String(7))
    measure: str = Field(primary_key=True, sa_type=String(20))
    administering_la: str = Field(primary_key=True, sa_type=String(3))
    year_group: int = Field(primary_key=True)
    phase: str = Field(primary_key=True, sa_type=String(30))
    state: str = Field(primary_key=True, sa_type=String(30))
    falls: date = Field(primary_key=True)
    n: int


class Progress(Base, table=True):
    """One row: how far the figures go. `horizon` is the latest day on which anything recorded was done; for that day
    and later the counters are right as they stand."""

    __tablename__ = "progress"

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    last_event_at: datetime = Field(sa_type=UtcDateTime)
    events: int
    horizon: date


BUSINESS_TABLES = tuple(
    metadata.tables[name] for name in ("plan", "review", "notice", "item", "counter", "progress")
)
"""The tables that the fingerprint covers and a rebuild replaces, in order."""
