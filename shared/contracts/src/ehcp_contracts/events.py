"""The domain events of the hub: what each service tells the others, thin and without personal data.

An event class names its wire type (``ehcp.plan-issued.v1``) and its topic; its fields are the ``data`` of the
CloudEvent. Who it is about (the opaque case id), the council and the order within the case stand in the
envelope. All dates are local dates in England; a "due" date is the last compliant day, itself included.

Readers are tolerant (unknown fields ignored); the writer's schema is closed (`schemas.closed`). String fields
have the tight types of `fields`, and every field name stands in `vocabulary.toml`.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, model_validator

from ehcp_contracts.fields import (
    AcademicYear,
    Citation,
    Count,
    Days,
    FailureCode,
    LaCode,
    Months,
    OdsCode,
    OpaqueRef,
    RuleId,
    Urn,
    WireType,
    YearGroup,
)

CASES = "ehcp.cases"
REVIEWS = "ehcp.reviews"
NOTIFICATIONS = "ehcp.notifications"
TOPICS = (CASES, REVIEWS, NOTIFICATIONS)


class Part(BaseModel):
    """A piece of an event's data."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Event(Part):
    """Base of all domain events. `wire_type` is API: it never changes meaning; a new meaning is a new
    version."""

    wire_type: ClassVar[str]
    topic: ClassVar[str]


class Setting(StrEnum):
    """Where a child is educated when not at an institution with a URN (SEN2 codes, items 4.7 and 5.7)."""

    ELECTIVE_HOME = "EHE"
    ARRANGED_BY_AUTHORITY = "OLA"
    ARRANGED_BY_PARENT = "OPA"
    EARLY_YEARS_PROVIDER = "EYP"
    NOT_IN_EDUCATION = "NEET"
    NOTICE_TO_CEASE = "NIEC"
    OTHER = "NIEO"


class Phase(StrEnum):
    """Phase transfers of SEND Regs 2014 reg 2(1) and 18."""

    EARLY_YEARS_TO_SCHOOL = "early_years_to_school"
    INFANT_TO_JUNIOR = "infant_to_junior"
    PRIMARY_TO_MIDDLE = "primary_to_middle"
    PRIMARY_TO_SECONDARY = "primary_to_secondary"
    MIDDLE_TO_SECONDARY = "middle_to_secondary"
    SECONDARY_TO_POST16 = "secondary_to_post16"


class ReviewKind(StrEnum):
    """Why a review is owed: CFA 2014 s.44(1), CoP 9.178 (policy), SEND Regs 2014 reg 18."""

    ANNUAL = "annual"
    UNDER5_INTERIM = "under5_interim"
    PHASE_TRANSFER = "phase_transfer"


class ReviewStage(StrEnum):
    """Stages at which a review due is announced, counted from the latest safe meeting day (`due`: the strict
    due date)."""

    PLAN = "plan"
    INVITE = "invite"
    LAST_CALL = "last_call"
    DUE = "due"


class Outcome(StrEnum):
    """Decision after a review (SEND Regs 2014 reg 20(10))."""

    MAINTAIN = "maintain"
    AMEND = "amend"
    CEASE = "cease"


class CeaseReason(StrEnum):
    """Why a plan ended (SEN2 item 4.6)."""

    MAXIMUM_AGE = "1"
    NEEDS_MET = "2"
    HIGHER_EDUCATION = "3"
    EMPLOYMENT = "4"
    OTHER_AUTHORITY = "5"
    NO_ENGAGEMENT = "6"
    LEFT_ENGLAND = "7"
    DECEASED = "8"
    OTHER = "9"


class Placement(Part):
    """Where the child is placed: an institution by URN, or a setting code; never both."""

    urn: Urn | None = None
    setting: Setting | None = None
    since: date | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Placement:
        if self.urn and self.setting:
            raise ValueError("a placement has a URN or a setting code, not both")
        return self


class Responsible(Part):
    """Who is responsible for the case: area routing of notices. `icb` is an ODS code, `social_care_team` and
    `officer` are opaque references of the council, never names."""

    responsible_la: LaCode
    administering_la: LaCode
    icb: OdsCode | None = None
    social_care_team: OpaqueRef | None = None
    officer: OpaqueRef | None = None


class Facts(Part):
    """Facts that come from the birth date, computed in case-service so that the birth date itself never
    leaves.

    `academic_year` is the year the facts hold for ("2026/27"); `year_group` the national curriculum year
    actually taught (Reception 0); `phase`, `transfer_on`, `phase_due` (strict, last compliant day) and
    `phase_by` (the common reading) are set in the academic year before a transfer; `under5_interims` are the
    policy interim dates before the fifth birthday; `addressee` is who notices go to.
    """

    academic_year: AcademicYear
    year_group: YearGroup
    phase: Phase | None = None
    transfer_on: date | None = None
    phase_due: date | None = None
    phase_by: date | None = None
    phase_deadline_impossible: bool = False
    under5_interims: tuple[date, ...] = ()
    adulthood_preparation: bool = False
    addressee: Literal["parent", "young_person"] = "parent"


# --- ehcp.cases, sent by case-service -----------------------------------------------------------------------


class PlanRegistered(Event):
    """A plan that existed before the hub. `last_concluded` is the day the last review's decision was
    notified; `meeting_held_on` and `notice_sent_on` describe a step open at the time of registration."""

    wire_type = "ehcp.plan-registered.v1"
    topic = CASES
    origin: Literal["import"] = "import"
    plan_first_made: date
    last_concluded: date | None = None
    meeting_held_on: date | None = None
    notice_sent_on: date | None = None
    placement: Placement
    responsible: Responsible
    facts: Facts


class PlanIssued(Event):
    """A first plan was issued (SEND Regs 2014 reg 13(2)); `issued_on` is the anchor of CFA 2014 s.44(1)."""

    wire_type = "ehcp.plan-issued.v1"
    topic = CASES
    issued_on: date
    placement: Placement
    responsible: Responsible
    facts: Facts


class AmendmentNoticeSent(Event):
    """Notice of proposed amendments (SEND Regs 2014 reg 22(2)). `review_id` is empty for an amendment without
    review (reg 28). Dates: representations close, earliest lawful final plan, final plan due."""

    wire_type = "ehcp.amendment-notice-sent.v1"
    topic = CASES
    notice_id: UUID
    review_id: UUID | None = None
    sent_on: date
    representations_close: date
    earliest_final: date
    final_due: date


class AmendmentIssued(Event):
    """The final amended plan was issued (SEND Regs 2014 reg 22(3))."""

    wire_type = "ehcp.amendment-issued.v1"
    topic = CASES
    notice_id: UUID
    review_id: UUID | None = None
    issued_on: date
    plan_version: Count


class AmendmentDropped(Event):
    """The authority decided not to amend after all (SEND Regs 2014 reg 22(4)); appealable."""

    wire_type = "ehcp.amendment-dropped.v1"
    topic = CASES
    notice_id: UUID
    review_id: UUID | None = None
    decided_on: date


class PlacementChanged(Event):
    """The placement, or who is responsible for the area it lies in, changed. A partner's copy holds only its
    own side: the old school never learns the new one."""

    wire_type = "ehcp.placement-changed.v1"
    topic = CASES
    placement: Placement
    previous: Placement
    responsible: Responsible


class CaseFactsChanged(Event):
    """Facts from the birth date, or the routing of the case, changed: a birthday, 1 September, a concluded
    review, or a new officer, team or ICB from the source."""

    wire_type = "ehcp.case-facts-changed.v1"
    topic = CASES
    facts: Facts
    responsible: Responsible


class CorrectableDate(StrEnum):
    """Dates of the register that may be corrected with a reason."""

    PLAN_FIRST_MADE = "plan_first_made"
    LAST_CONCLUDED = "last_concluded"
    NOTICE_SENT = "notice_sent"
    AMENDED_PLAN_ISSUED = "amended_plan_issued"


class CorrectionReason(StrEnum):
    """Why a date was corrected (coded: free text never leaves case-service)."""

    KEYING_ERROR = "keying_error"
    SOURCE_ERROR = "source_error"
    EVIDENCE_FOUND = "evidence_found"
    TRIBUNAL = "tribunal"


class DateCorrected(Event):
    """A recorded date was wrong. `old` (empty if there was none) stays on record; consumers recompute from
    `new`. `later_review`: the last conclusion did not move, another full review was concluded since, in the source."""

    wire_type = "ehcp.date-corrected.v1"
    topic = CASES
    field: CorrectableDate
    old: date | None = None
    new: date
    reason: CorrectionReason
    notice_id: UUID | None = None
    later_review: bool | None = None


class CeaseNotified(Event):
    """The family, institution and ICB were told that the plan ceases (SEND Regs 2014 reg 31(2)). The plan
    stays in force to `in_force_to` (CFA 2014 s.45(4)); reviews go on until then."""

    wire_type = "ehcp.cease-notified.v1"
    topic = CASES
    notified_on: date
    in_force_to: date
    reason: CeaseReason
    review_id: UUID | None = None


class PlanCeased(Event):
    """The plan has ended. `ceased_on` is the first day on which it is no longer in force."""

    wire_type = "ehcp.plan-ceased.v1"
    topic = CASES
    ceased_on: date
    reason: CeaseReason


class PlanContinued(Event):
    """The plan does not end as was told: the decision to cease was withdrawn, an appeal against it was lodged or
    allowed, a mediation certificate gives more time (CFA 2014 s.45(4)), or its end was recorded in error. It corrects
    a `PlanCeased` that was sent before this was known. `in_force_to` is the last day in force as far as known; empty
    while no end is in sight."""

    wire_type = "ehcp.plan-continued.v1"
    topic = CASES
    reason: Literal[
        "cease_withdrawn", "appeal_allowed", "appeal_lodged", "certificate_issued", "ended_in_error"
    ]
    in_force_to: date | None = None


# --- ehcp.reviews, sent by review-scheduler -----------------------------------------------------------------


class ReviewScheduled(Event):
    """A review is owed, or its dates moved. `due_on` is the strict date, `alternative_due_on` the other
    reading (anniversary, "by" date); `latest_meeting_on` the last day a meeting can be held and still be
    decided in time."""

    wire_type = "ehcp.review-scheduled.v1"
    topic = REVIEWS
    review_id: UUID
    kind: ReviewKind
    due_on: date
    alternative_due_on: date | None = None
    latest_meeting_on: date
    rule_id: RuleId
    citation: Citation
    counts_as_statutory: bool = True


class ReviewDue(Event):
    """A review reached a stage: time to plan, invite, call for the last time, or it is due today."""

    wire_type = "ehcp.review-due.v1"
    topic = REVIEWS
    review_id: UUID
    kind: ReviewKind
    stage: ReviewStage
    due_on: date
    latest_meeting_on: date


class ReviewOverdue(Event):
    """The strict due date passed without the review being concluded."""

    wire_type = "ehcp.review-overdue.v1"
    topic = REVIEWS
    review_id: UUID
    kind: ReviewKind
    due_on: date


class ReviewMeetingBooked(Event):
    """A meeting date was set or moved; notice and advice are due two weeks before (SEND Regs 2014 reg
    20(3)-(4))."""

    wire_type = "ehcp.review-meeting-booked.v1"
    topic = REVIEWS
    review_id: UUID
    kind: ReviewKind
    meeting_on: date
    notice_due: date
    advice_due: date
    previous_meeting_on: date | None = None


class ReviewMeetingHeld(Event):
    """The review meeting was held; the report is due in two weeks, the decision in four (reg 20(7)-(10))."""

    wire_type = "ehcp.review-meeting-held.v1"
    topic = REVIEWS
    review_id: UUID
    kind: ReviewKind
    held_on: date
    report_due: date
    decision_due: date


class ReviewReportReceived(Event):
    """The report of the meeting reached the authority (reg 20(7)-(9))."""

    wire_type = "ehcp.review-report-received.v1"
    topic = REVIEWS
    review_id: UUID
    kind: ReviewKind
    received_on: date


class ReviewDecided(Event):
    """The decision was notified (reg 20(10)-(11)). "Amend" opens the amendment, "cease" the cease procedure
    in case-service. `decision_due` is M + 28 days, the meeting on day M."""

    wire_type = "ehcp.review-decided.v1"
    topic = REVIEWS
    review_id: UUID
    kind: ReviewKind
    outcome: Outcome
    notified_on: date
    meeting_on: date | None = None
    decision_due: date


class ReviewConcluded(Event):
    """The review ended: the decision was notified and, for "amend", the amendment notice was sent as well.
    `concluded_on` is the next anchor of CFA 2014 s.44(1) when `counts_as_statutory`."""

    wire_type = "ehcp.review-concluded.v1"
    topic = REVIEWS
    review_id: UUID
    kind: ReviewKind
    outcome: Outcome
    concluded_on: date
    due_on: date
    meeting_on: date | None = None
    decision_due: date
    counts_as_statutory: bool = True


class ReviewWithdrawn(Event):
    """A review is no longer owed: another review satisfied it (concluded on `satisfied_on`), the facts changed before
    it was due, or the plan ended. `lapsed`: its due date had passed, and then the facts changed (a phase review missed until the transfer):
    it was owed and never held, and stays a breach."""

    wire_type = "ehcp.review-withdrawn.v1"
    topic = REVIEWS
    review_id: UUID
    kind: ReviewKind
    reason: Literal["satisfied", "facts_changed", "plan_ended", "lapsed"]
    satisfied_on: date | None = None


class ReviewCorrected(Event):
    """What was told of a review came late or was wrong: this is how it stands now, and it takes the place of whatever
    was told of it before. `recorded_late`: something done before was entered only now; a review that was withdrawn
    (`withdrawn` is empty now) is owed after all. `held_on`, `received_on` (the report), `notified_on` and
    `concluded_on` are empty for what has not happened."""

    wire_type = "ehcp.review-corrected.v1"
    topic = REVIEWS
    review_id: UUID
    kind: ReviewKind
    reason: Literal["recorded_late", "keying_error", "source_error", "evidence_found", "tribunal"]
    due_on: date
    alternative_due_on: date | None = None
    latest_meeting_on: date
    held_on: date | None = None
    received_on: date | None = None
    outcome: Outcome | None = None
    notified_on: date | None = None
    concluded_on: date | None = None
    decision_due: date | None = None
    counts_as_statutory: bool = True
    withdrawn: Literal["satisfied", "facts_changed", "plan_ended", "lapsed"] | None = None
    satisfied_on: date | None = None


class CouncilPolicyChanged(Event):
    """A council settled for itself what law leaves to it: how it plans reviews, and how often it reviews a child under
    five (CoP 9.178). From `effective_on` on; what was owed before is not judged by it. The council is that of the
    envelope; the event is about no case (`envelope.council_subject`)."""

    wire_type = "ehcp.council-policy-changed.v1"
    topic = REVIEWS
    policy_version: Count
    effective_on: date
    basis: Literal["strict", "anniversary"]
    under5_interval_months: Months
    notice_clear_days: Days
    advice_request_days: Days
    lead_plan_days: Days
    lead_invite_days: Days
    lead_last_call_days: Days


# --- ehcp.notifications, sent by notification-service -------------------------------------------------------


class PartnerKind(StrEnum):
    """Kinds of partner that may be told."""

    SCHOOL = "school"
    ICB = "icb"
    SOCIAL_CARE = "social-care"
    CASE_SYSTEM = "case-system"


class NotificationDelivered(Event):
    """A partner has received an event (2xx to a webhook, or the feed was read past it)."""

    wire_type = "ehcp.notification-delivered.v1"
    topic = NOTIFICATIONS
    delivery_id: UUID
    event_id: UUID
    event_type: WireType
    partner_id: UUID
    partner_kind: PartnerKind
    channel: Literal["webhook", "feed"]
    attempts: Count


class NotificationFailed(Event):
    """A delivery spent its schedule or was refused for good; an officer must look."""

    wire_type = "ehcp.notification-failed.v1"
    topic = NOTIFICATIONS
    delivery_id: UUID
    event_id: UUID
    event_type: WireType
    partner_id: UUID
    partner_kind: PartnerKind
    channel: Literal["webhook", "feed"]
    attempts: Count
    failure: FailureCode


EVENTS: dict[str, type[Event]] = {cls.wire_type: cls for cls in Event.__subclasses__()}
