"""The tables of case-service. The child's own data stands here and nowhere else."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from service_kit.tables import UtcDateTime, json_type, service_metadata

metadata = service_metadata()


class Base(SQLModel, registry=registry(metadata=metadata)):
    """Base of this service's tables."""

    metadata = metadata


OPEN = text("status <> 'ceased'")
"""A case that has not ended. As text, so that SQLite uses the partial indexes: it looks for the very same words."""


KEPT_FOR_ANOTHER = text("administering_la <> la_code")
"""A case that one council keeps for another: few, so that an index of these alone stays small."""


def _one_child(number: str) -> Index:
    """No two open cases that one council administers have the same number. The number first: by it they are found."""
    name = f"uq_cases_{number}_administering_la"
    return Index(name, number, "administering_la", unique=True, sqlite_where=OPEN, postgresql_where=OPEN)


class CaseRow(Base, table=True):
    """One child's case; the columns are those of `domain.case.Case`, which says what they mean."""

    __tablename__ = "cases"
    __table_args__ = (
        UniqueConstraint("source", "source_la", "source_ref"),
        CheckConstraint("urn IS NULL OR setting IS NULL", name="one_place"),
        CheckConstraint("version >= 1", name="version"),
        Index("ix_cases_updated_at_id", "updated_at", "id"),
        Index("uq_cases_source_line", "source_line", unique=True),
        _one_child("upn"),
        _one_child("nhs_number"),
        Index("ix_cases_la_code_updated_at_id", "la_code", "updated_at", "id"),
        Index(
            "ix_cases_administering_la_updated_at_id",
            "administering_la",
            "updated_at",
            "id",
            sqlite_where=KEPT_FOR_ANOTHER,
            postgresql_where=KEPT_FOR_ANOTHER,
        ),
    )

    id: UUID = Field(primary_key=True)
    version: int
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    la_code: str = Field(max_length=3)
    administering_la: str = Field(max_length=3, index=True)
    source: str | None = Field(default=None, max_length=40)
    source_la: str | None = Field(default=None, max_length=3)
    source_ref: str | None = Field(default=None, max_length=64)
    source_version: int | None = Field(default=None, sa_type=BigInteger)
    source_digest: str | None = Field(default=None, max_length=64)
    source_mapped: dict[str, Any] | None = Field(default=None, sa_type=json_type())
    source_line: bytes | None = Field(default=None, max_length=32)
    surname: str = Field(max_length=120)
    forename: str = Field(max_length=120)
    birth_date: date
    sex: str = Field(max_length=1)
    upn: str | None = Field(default=None, max_length=13)
    nhs_number: str | None = Field(default=None, max_length=10)
    postcode: str | None = Field(default=None, max_length=8)
    primary_need: str | None = Field(default=None, max_length=4)
    taught_year_group: int | None = None
    taught_in: str | None = Field(default=None, max_length=7)
    urn: str | None = Field(default=None, max_length=6, index=True)
    setting: str | None = Field(default=None, max_length=4)
    placed_since: date | None = None
    icb: str | None = Field(default=None, max_length=10)
    social_care_team: str | None = Field(default=None, max_length=64)
    officer: str | None = Field(default=None, max_length=64, index=True)
    status: str = Field(max_length=20)
    announced: bool
    plan_first_made: date | None = None
    plan_version: int
    last_concluded: date | None = None
    last_concluded_review_id: UUID | None = None
    meeting_review_id: UUID | None = None
    meeting_held_on: date | None = None
    cease_review_id: UUID | None = None
    cease_considered_on: date | None = None
    cease_notified_on: date | None = None
    in_force_to: date | None = Field(default=None, index=True)
    appeal_open: bool
    ceased_on: date | None = None
    cease_reason: str | None = Field(default=None, max_length=1)
    facts: dict[str, Any] | None = Field(default=None, sa_type=json_type())
    phase: str | None = Field(default=None, max_length=30)
    next_facts_change: date | None = Field(default=None, index=True)


class AmendmentRow(Base, table=True):
    """An amendment, from the review's decision or the notice to its end; one for each review."""

    __tablename__ = "amendments"
    __table_args__ = (UniqueConstraint("case_id", "review_id"),)

    id: UUID = Field(primary_key=True)
    case_id: UUID = Field(foreign_key="cases.id", index=True)
    review_id: UUID | None = None
    state: str = Field(max_length=10)
    meeting_on: date | None = None
    decided_on: date | None = None
    notice_due: date | None = None
    sent_on: date | None = None
    served_on: date | None = None
    representations_close: date | None = None
    earliest_final: date | None = None
    final_due: date | None = None
    conflict: bool
    issued_on: date | None = None
    plan_version: int | None = None
    dropped_on: date | None = None
    reasons: str | None = Field(default=None, max_length=4000)


class ChangeRow(Base, table=True):
    """The history: one row for each version of a case, from 1 without gap. `event_id` is empty where nothing was
    told outside. The names of the fields are kept, not their values."""

    __tablename__ = "changes"

    case_id: UUID = Field(primary_key=True, foreign_key="cases.id")
    version: int = Field(primary_key=True)
    what: str = Field(max_length=40)
    fields: list[str] = Field(sa_type=json_type())
    event_id: UUID | None = Field(default=None, unique=True)
    event_type: str | None = Field(default=None, max_length=80)
    who: str = Field(max_length=200)
    at: datetime = Field(sa_type=UtcDateTime)
    business_date: date


class CorrectionRow(Base, table=True):
    """A date that was wrong: what stood there, what stands there now, and why."""

    __tablename__ = "corrections"

    id: UUID = Field(primary_key=True)
    case_id: UUID = Field(foreign_key="cases.id", index=True)
    version: int
    field: str = Field(max_length=30)
    old: date | None = None
    new: date
    reason: str = Field(max_length=30)
    note: str = Field(max_length=1000)
    notice_id: UUID | None = None
    who: str = Field(max_length=200)
    at: datetime = Field(sa_type=UtcDateTime)


class InstitutionRow(Base, table=True):
    """The register of institutions, as last loaded."""

    __tablename__ = "institutions"

    urn: str = Field(primary_key=True, max_length=6)
    name: str = Field(max_length=200)
    kind: str = Field(max_length=30)
    low_age: int | None = None
    high_age: int | None = None
    la_code: str = Field(max_length=3, index=True)
    section20_12: bool
    loaded_at: datetime = Field(sa_type=UtcDateTime)


class IntervalRow(Base, table=True):
    """A council's interval between interim reviews under five, from a day on, as review-scheduler tells it."""

    __tablename__ = "under5_intervals"

    la_code: str = Field(primary_key=True, max_length=3)
    policy_version: int = Field(primary_key=True)
    effective_on: date
    months: int


class QuarantineRow(Base, table=True):
    """What a source said of a record and was not taken, with the first reason (`code`, and where: `pointer`); repeats are
    counted, not stacked. It is settled when the source has said something newer of that record."""

    __tablename__ = "quarantine"
    __table_args__ = (
        UniqueConstraint("source", "source_la", "ref", "version", "code", "digest"),
        Index("ix_quarantine_received_at_id", "received_at", "id"),
    )

    id: UUID = Field(primary_key=True)
    source: str = Field(max_length=40)
    source_la: str = Field(max_length=3)
    la_code: str = Field(max_length=3, index=True)
    ref: str = Field(max_length=64)
    version: int = Field(sa_type=BigInteger)
    code: str = Field(max_length=40)
    pointer: str = Field(default="", max_length=200)
    digest: str = Field(max_length=64)
    mapped: dict[str, Any] = Field(sa_type=json_type())
    case_id: UUID | None = Field(default=None, foreign_key="cases.id")
    times: int
    received_at: datetime = Field(sa_type=UtcDateTime)
    last_at: datetime = Field(sa_type=UtcDateTime)
    settled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
