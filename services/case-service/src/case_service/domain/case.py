"""What the rules know of a case: plain values, and what a decision does to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any
from uuid import UUID

from ehcp_contracts.events import (
    CorrectableDate,
    CorrectionReason,
    Event,
    Facts,
    Placement,
    Responsible,
    Setting,
)
from send_statute import DEFAULT_POLICY, academic_year


class CaseStatus(StrEnum):
    """Where a case stands: before its plan, or in one of the states of the plan (SEND Regs 2014 regs 13, 22, 31)."""

    REGISTERED = "registered"
    ACTIVE = "active"
    AMENDING = "amending"
    CEASE_CONSULT = "cease_consult"
    CEASE_NOTIFIED = "cease_notified"
    CEASED = "ceased"


class AmendmentState(StrEnum):
    """`decided`: a review ended in "amend", its notice is still to be sent; `open`: the notice is out."""

    DECIDED = "decided"
    OPEN = "open"
    ISSUED = "issued"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Ages:
    """Statutory ages of an institution, as the register of institutions has them."""

    low: int | None
    high: int | None


NO_AGES = Ages(None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One child's case and plan. Dates are local dates in England.

    `la_code` is responsible, `administering_la` does the work (the same council but for a few plans kept for
    others). `taught_year_group` is the year taught in the academic year `taught_in`; without a new statement the
    child moves up each September. `source_mapped` is the last snapshot of the source, against which the next is
    compared, and `source_line` the fingerprint of the line it came in, if it did. `last_concluded_review_id` is the review that `last_concluded` came from, if it came from one here;
    a correction of the day leaves it. `announced` says whether the plan is known outside this service.
    """

    id: UUID
    version: int = 0
    la_code: str
    administering_la: str
    source: str | None = None
    source_la: str | None = None
    source_ref: str | None = None
    source_version: int | None = None
    source_digest: str | None = None
    source_mapped: dict[str, Any] | None = None
    source_line: bytes | None = None
    surname: str
    forename: str
    birth_date: date
    sex: str
    upn: str | None = None
    nhs_number: str | None = None
    postcode: str | None = None
    primary_need: str | None = None
    taught_year_group: int | None = None
    taught_in: str | None = None
    urn: str | None = None
    setting: str | None = None
    placed_since: date | None = None
    icb: str | None = None
    social_care_team: str | None = None
    officer: str | None = None
    status: CaseStatus = CaseStatus.REGISTERED
    announced: bool = False
    plan_first_made: date | None = None
    plan_version: int = 0
    last_concluded: date | None = None
    last_concluded_review_id: UUID | None = None
    meeting_review_id: UUID | None = None
    meeting_held_on: date | None = None
    cease_review_id: UUID | None = None
    cease_considered_on: date | None = None
    cease_notified_on: date | None = None
    in_force_to: date | None = None
    appeal_open: bool = False
    ceased_on: date | None = None
    cease_reason: str | None = None
    facts: Facts | None = None
    phase: str | None = None
    next_facts_change: date | None = None

    @property
    def placement(self) -> Placement:
        return Placement(
            urn=self.urn, setting=Setting(self.setting) if self.setting else None, since=self.placed_since
        )

    @property
    def responsible(self) -> Responsible:
        return Responsible(
            responsible_la=self.la_code,
            administering_la=self.administering_la,
            icb=self.icb,
            social_care_team=self.social_care_team,
            officer=self.officer,
        )

    @property
    def anchor(self) -> date | None:
        """The day the running 12 months of CFA 2014 s.44(1) start with."""
        return self.last_concluded or self.plan_first_made


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """An amendment of a plan, from the decision or the notice to the final plan (SEND Regs 2014 regs 22 and 28).

    `meeting_on` is the review meeting (none for reg 28); the days from `representations_close` on are computed from
    the notice. The reasons for dropping it stay in this service.
    """

    id: UUID
    case_id: UUID
    review_id: UUID | None = None
    state: AmendmentState
    meeting_on: date | None = None
    decided_on: date | None = None
    notice_due: date | None = None
    sent_on: date | None = None
    served_on: date | None = None
    representations_close: date | None = None
    earliest_final: date | None = None
    final_due: date | None = None
    conflict: bool = False
    issued_on: date | None = None
    plan_version: int | None = None
    dropped_on: date | None = None
    reasons: str | None = None

    @property
    def running(self) -> bool:
        return self.state in (AmendmentState.DECIDED, AmendmentState.OPEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A recorded date that was wrong: the old value stays on record, with the reason and a note."""

    field: CorrectableDate
    old: date | None
    new: date
    reason: CorrectionReason
    note: str
    notice_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a case's history, one version of the case: what happened, which fields, what is told outside."""

    what: str
    fields: tuple[str, ...] = ()
    event: Event | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is to be stored and sent, all in one transaction. `before` is None for a new case."""

    before: Case | None
    after: Case
    changes: tuple[Change, ...]
    amendments: tuple[Amendment, ...] = ()
    corrections: tuple[Correction, ...] = ()

    @property
    def events(self) -> Sequence[Event]:
        return [change.event for change in self.changes if change.event is not None]


Intervals = tuple[tuple[date, int], ...]
"""A council's months between interim reviews under five, each from a day on, oldest first; 0 is none."""
NATIONAL_INTERVALS: Intervals = ((date.min, DEFAULT_POLICY.under5_interval_months),)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a decision depends on besides the case: the business date, the ages of the institutions concerned, and the
    intervals of councils that have settled their own."""

    today: date
    ages: dict[str, Ages] = field(default_factory=dict)
    intervals: dict[str, Intervals] = field(default_factory=dict)

    @property
    def academic_year(self) -> str:
        """The academic year of today, such as "2026/27"."""
        return academic_year(self.today)

    def intervals_of(self, la_code: str) -> Intervals:
        """The intervals of the council that does the work."""
        return NATIONAL_INTERVALS + self.intervals.get(la_code, ())

    def ages_at(self, urn: str | None) -> Ages:
        return self.ages.get(urn, NO_AGES) if urn else NO_AGES
