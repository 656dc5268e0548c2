"""What the API shows of reviews, their dates and officers."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Date, and_, bindparam, case, literal_column, select

from ehcp_contracts.events import Outcome, ReviewKind
from review_scheduler.domain.obligations import Status
from review_scheduler.domain.stages import ORDER, StageState
from review_scheduler.domain.steps import OverrideReason, next_step
from review_scheduler.tables import ReviewRow, StageRow
from service_kit.shape import Shape, constant, day_after, listed, quoted
from service_kit.strict import View

REVIEWS = ReviewRow.__table__.c  # type: ignore[attr-defined]
STAGES = StageRow.__table__.c  # type: ignore[attr-defined]

UNTOLD = {
    "school": ("icb", "social_care_team"),
    "icb": ("urn", "setting", "social_care_team"),
    "social-care": ("urn", "setting", "icb"),
}
"""What a role is not told of its own reviews: where a child goes to school is neither in a notice nor in a list of
health or social care (security.md, section 1), and a school does not learn who else works with the family."""


class Breach(View):
    """Something not done as it must be. `force` says by what: law or policy."""

    code: str
    rule_id: str
    force: str
    due_on: date | None
    on: date
    days_late: int | None


class NextStep(View):
    """What the review waits for, by when, and who is to do it."""

    what: str
    by: date | None
    who: str


class ReviewView(View):
    """A review with its dates. A due date is the last compliant day, itself included; `alternative_due_on` the other
    reading of the law; `overdue_since` the first day on which it was late, while it is open. `decision_due` is the
    earlier of the review's own due date and `meeting_limb_due`, four weeks after the meeting: both stand."""

    id: UUID
    case_id: UUID
    kind: ReviewKind
    status: str
    due_on: date
    alternative_due_on: date | None
    latest_meeting_on: date
    overdue_since: date | None
    rule_id: str
    citation: str
    counts_as_statutory: bool
    deadline_impossible: bool
    meeting_on: date | None
    notice_due: date | None
    advice_due: date | None
    held_on: date | None
    report_due: date | None
    report_received_on: date | None
    decision_due: date | None
    meeting_limb_due: date | None
    final_longstop: date | None
    outcome: Outcome | None
    notified_on: date | None
    override_reason: OverrideReason | None
    notice_sent_on: date | None
    amended_plan_issued_on: date | None
    amendment_dropped_on: date | None
    concluded_on: date | None
    days_late: int | None
    withdrawn_because: str | None
    satisfied_by: UUID | None
    satisfied_on: date | None
    breaches: list[Breach]
    missed_before_arrival: list[str]
    next_step: NextStep | None
    urn: str | None
    setting: str | None
    responsible_la: str
    administering_la: str
    icb: str | None
    social_care_team: str | None
    officer: str | None
    opened_on: date
    closed_on: date | None
    version: int
    updated_at: datetime


class AppliedPolicy(View):
    """The council's setting behind a day, and the version of its policy in force; version 0: the national default."""

    setting: str
    value: int | str
    version: int
    effective_on: date | None


class ReckonedDate(View):
    """One date, the rule it stands on, and what a lawyer could still read otherwise. `policy`: the council's setting it
    hangs on, if it is not law alone."""

    name: str
    on: date
    rule_id: str
    citation: str
    force: str
    text: str
    open_points: list[str]
    policy: AppliedPolicy | None = None


class StageView(View):
    """When a review is announced, or was: `pending`, `sent`, `cancelled`, or `missed_before_arrival`."""

    stage: str
    on: date
    state: str
    sent_on: date | None
    text: str
    policy: AppliedPolicy | None


class ReviewDates(View):
    """Every date of a review with its reason, and the days on which partners are told, in the order in which they fall."""

    review_id: UUID
    kind: ReviewKind
    dates: list[ReckonedDate]
    stages: list[StageView]


class CorrectionView(View):
    """A corrected day: what stood there, what stands there now, why, by whom."""

    id: UUID
    version: int
    field: str
    old: date | None
    new: date
    reason: str
    note: str | None
    who: str
    at: datetime


class OfficerView(View):
    """An officer's caseload; `officer` is null for what nobody has. `due_in_30_days` counts today and the next 30 days."""

    officer: str | None
    responsible_la: str
    plans: int
    open_reviews: int
    overdue: int
    due_in_30_days: int


REVIEW = Shape(ReviewView)
"""From a `Review`, or from the columns of `review`, which have the same names."""
NEXT_STEP = Shape(NextStep)


def review_view(review: Any, missed: list[str], today: date, *, role: str) -> ReviewView:
    """A `Review` as this role sees it, with the stages that it missed before it arrived here."""
    overdue = review.closed_on is None and review.due_on < today
    return REVIEW.view(
        review,
        hidden=UNTOLD.get(role, ()),
        overdue_since=date.fromordinal(review.due_on.toordinal() + 1) if overdue else None,
        missed_before_arrival=missed,
        next_step=next_step(review, today),
    )


# --- the same, written by the database ------------------------------------------------------------------------------

TODAY = bindparam("today", type_=Date)
MISSED = STAGES.state == constant(StageState.MISSED)  # a constant: so the small index of these is found


def review_json(role: str) -> ColumnElement[str]:
    """A row of `review` as this role sees it on the business date `today`."""
    overdue = and_(REVIEWS.closed_on.is_(None), REVIEWS.due_on < TODAY)
    return REVIEW.json(
        REVIEWS,
        hidden=UNTOLD.get(role, ()),
        overdue_since=case((overdue, day_after(REVIEWS.due_on))),
        missed_before_arrival=_missed(),
        next_step=_next_step(),
    )


def _missed() -> ColumnElement[str]:
    stages = select(STAGES.stage).where(STAGES.review_id == REVIEWS.id, MISSED)
    in_order = case(*((STAGES.stage == constant(name), literal_column(str(n))) for name, n in ORDER.items()))
    return listed(stages.order_by(in_order).correlate(ReviewRow))


def _next_step() -> ColumnElement[str]:
    """`domain.steps.next_step` as an expression; a test holds the two against each other."""
    council = quoted("council")
    organiser = case((REVIEWS.urn.is_(None), council), else_=quoted("school"))
    meeting_was_late = REVIEWS.decision_due < REVIEWS.held_on
    decide_by = case((meeting_was_late, REVIEWS.meeting_limb_due), else_=REVIEWS.decision_due)

    def step(status: Status, what: str, by: Any, who: Any, *also: Any) -> Any:
        waits = and_(REVIEWS.status == constant(status), *also)
        return waits, NEXT_STEP.json({"what": quoted(what), "by": by, "who": who})

    return case(
        step(Status.DUE, "book-meeting", REVIEWS.latest_meeting_on, organiser),
        step(Status.BOOKED, "send-notice", REVIEWS.notice_due, organiser, REVIEWS.notice_due >= TODAY),
        step(Status.BOOKED, "hold-meeting", REVIEWS.meeting_on, organiser),
        step(Status.HELD, "send-report", REVIEWS.report_due, organiser),
        step(Status.REPORTED, "decide", decide_by, council),
        step(Status.DECIDED, "send-amendment-notice", decide_by, council),
    )
