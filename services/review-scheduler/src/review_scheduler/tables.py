"""The tables of review-scheduler: plans as far as reviews need them, reviews, their stages, and councils' settings."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, String, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from review_scheduler.domain.obligations import OPEN, Status
from service_kit.tables import UtcDateTime, json_type, service_metadata

metadata = service_metadata()

STILL_OPEN = "closed_on IS NULL"
KEPT_FOR_ANOTHER = "administering_la <> responsible_la"
"""A plan that one council keeps for another: few, so that an index of these alone stays small."""
PENDING = "state = 'pending'"
MISSED = "state = 'missed_before_arrival'"
_STATUSES = ", ".join(f"'{status}'" for status in Status)
_OPEN = ", ".join(f"'{status}'" for status in OPEN)


def _where(condition: str) -> dict[str, Any]:
    """The condition of a partial index, on both databases."""
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}


class Base(SQLModel, registry=registry(metadata=metadata)):
    metadata = metadata


class Routed(SQLModel):
    """Who may see a row: the responsible and the administering council (DfE code), the school (URN) or the setting
    without one, the ICB (ODS code), the social care team and the officer (opaque references)."""

    responsible_la: str = Field(sa_type=String(3))
    administering_la: str = Field(sa_type=String(3))
    urn: str | None = Field(default=None, sa_type=String(6))
    setting: str | None = Field(default=None, sa_type=String(4))
    icb: str | None = Field(default=None, sa_type=String(10))
    social_care_team: str | None = Field(default=None, sa_type=String(100))
    officer: str | None = Field(default=None, sa_type=String(100))


ROUTING = tuple(Routed.model_fields)


class Plan(Routed):
    """What is known of a plan from the events of its case. `facts` is `ehcp_contracts.events.Facts` as JSON."""

    case_id: UUID = Field(primary_key=True)
    plan_first_made: date
    last_concluded: date | None = None
    facts: dict[str, Any] = Field(sa_type=json_type())
    interims_done_to: date | None = None
    phase_done_for: date | None = None
    in_force_to: date | None = None
    ceased_on: date | None = None
    known_since: date
    updated_at: datetime = Field(sa_type=UtcDateTime)


class PlanRow(Base, Plan, table=True):
    """A plan as stored; in hand (on a docket) it is a `Plan`, which costs a tenth of a row that watches itself."""

    __tablename__ = "plan"
    __table_args__ = (
        Index("ix_plan_officer", "responsible_la", "officer"),
        Index("ix_plan_administering_la", "administering_la", **_where(KEPT_FOR_ANOTHER)),
    )


class Review(Routed):
    """A review that a plan owes or owed, with its dates. Routing is repeated here so that a list reads one table.

    `counted_from` is the day its rule counts from; `closed_on` the business date on which it was concluded or
    withdrawn, empty while it is open. `dates` are the reckoned dates with rule, citation and text; `breaches` what
    the law calls a breach, with days late: both stay on record.
    """

    id: UUID = Field(primary_key=True)
    case_id: UUID = Field(foreign_key="plan.case_id")
    kind: str = Field(sa_type=String(20))
    status: str = Field(sa_type=String(10))
    opened_on: date
    counted_from: date
    due_on: date
    alternative_due_on: date | None = None
    latest_meeting_on: date
    rule_id: str = Field(sa_type=String(60))
    citation: str = Field(sa_type=String(200))
    counts_as_statutory: bool
    deadline_impossible: bool = False

    meeting_on: date | None = None
    notice_due: date | None = None
    advice_due: date | None = None
    held_on: date | None = None
    report_due: date | None = None
    report_received_on: date | None = None
    meeting_limb_due: date | None = None
    decision_due: date | None = None
    final_longstop: date | None = None
    outcome: str | None = Field(default=None, sa_type=String(10))
    notified_on: date | None = None
    override_reason: str | None = Field(default=None, sa_type=String(40))
    notice_id: UUID | None = None
    notice_sent_on: date | None = None
    amended_plan_issued_on: date | None = None
    amendment_dropped_on: date | None = None
    concluded_on: date | None = None
    days_late: int | None = None
    withdrawn_because: str | None = Field(default=None, sa_type=String(20))
    satisfied_by: UUID | None = None
    satisfied_on: date | None = None
    closed_on: date | None = None

    breaches: list[dict[str, Any]] = Field(default_factory=list, sa_type=json_type())
    dates: list[dict[str, Any]] = Field(default_factory=list, sa_type=json_type())
    version: int = 1
    updated_at: datetime = Field(sa_type=UtcDateTime)


class ReviewRow(Base, Review, table=True):
    """A review as stored."""

    __tablename__ = "review"
    __table_args__ = (
        CheckConstraint(f"status IN ({_STATUSES})", name="status_known"),
        CheckConstraint(f"(status IN ({_OPEN})) = (closed_on IS NULL)", name="open_or_closed"),
        CheckConstraint(
            "status <> 'concluded' OR (outcome IS NOT NULL AND notified_on IS NOT NULL AND concluded_on IS NOT NULL)",
            name="never_concluded_without_decision",
        ),
        Index("uq_review_one_open", "case_id", "kind", "due_on", unique=True, **_where(STILL_OPEN)),
        Index("ix_review_responsible_open", "responsible_la", "due_on", "id", **_where(STILL_OPEN)),
        Index("ix_review_responsible_la", "responsible_la", "due_on", "id"),
        Index("ix_review_administering_la", "administering_la", "due_on", "id", **_where(KEPT_FOR_ANOTHER)),
        Index("ix_review_urn", "urn", "due_on", "id"),
        Index("ix_review_icb_open", "icb", "due_on", "id", **_where(STILL_OPEN)),
        Index("ix_review_icb", "icb", "due_on", "id"),
        Index("ix_review_social_care_team", "social_care_team", "due_on", "id"),
        Index("ix_review_updated_at", "updated_at", "id"),
        Index("ix_review_case_id", "case_id"),
    )


class StageRow(Base, table=True):
    """One announcement of a review: at most one row, and one event, per review and stage."""

    __tablename__ = "stage"
    __table_args__ = (
        Index("ix_stage_pending", "on", "review_id", "stage", **_where(PENDING)),
        Index("ix_stage_missed", "review_id", "stage", **_where(MISSED)),
    )

    review_id: UUID = Field(primary_key=True, foreign_key="review.id")
    stage: str = Field(primary_key=True, sa_type=String(10))
    on: date
    state: str = Field(sa_type=String(21))
    sent_on: date | None = None


class CorrectionRow(Base, table=True):
    """A recorded day of a review that was wrong, or came late: what stood there, what stands there now, and why. The
    note stays here."""

    __tablename__ = "correction"

    id: UUID = Field(primary_key=True)
    review_id: UUID = Field(foreign_key="review.id", index=True)
    version: int
    field: str = Field(sa_type=String(20))
    old: date | None = None
    new: date
    reason: str = Field(sa_type=String(20))
    note: str | None = Field(default=None, sa_type=String(1000))
    who: str = Field(sa_type=String(200))
    at: datetime = Field(sa_type=UtcDateTime)


class CouncilPolicy(Base, table=True):
    """What a council has settled for itself: settings of `send_statute.Policy` that differ from the national ones.
    `replan_from`: while its open reviews are being reckoned anew, the plan that was last; empty once all are."""

    __tablename__ = "council_policy"

    la_code: str = Field(primary_key=True, sa_type=String(3))
    settings: dict[str, Any] = Field(default_factory=dict, sa_type=json_type())
    version: int = 1
    effective_on: date
    replan_from: UUID | None = None


class PolicyVersion(Base, table=True):
    """Every policy a council has had: its settings, from which business date, by whom."""

    __tablename__ = "policy_version"

    la_code: str = Field(primary_key=True, sa_type=String(3))
    version: int = Field(primary_key=True)
    settings: dict[str, Any] = Field(sa_type=json_type())
    effective_on: date
    who: str = Field(sa_type=String(200))
    at: datetime = Field(sa_type=UtcDateTime)


class CalendarRow(Base, table=True):
    """When schools are open: a council's calendar (`urn` empty), and a school's own where it has one. Terms and closures
    with first and last day included."""

    __tablename__ = "calendar"

    la_code: str = Field(primary_key=True, sa_type=String(3))
    urn: str = Field(primary_key=True, sa_type=String(6))
    terms: list[dict[str, Any]] = Field(default_factory=list, sa_type=json_type())
    closures: list[dict[str, Any]] = Field(default_factory=list, sa_type=json_type())
    closed_days: list[str] = Field(default_factory=list, sa_type=json_type())
    version: int
    who: str = Field(sa_type=String(200))
    updated_at: datetime = Field(sa_type=UtcDateTime)
