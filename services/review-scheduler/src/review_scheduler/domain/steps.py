"""The steps of a review: book, hold, report, decide. What each asks for, and which breach it leaves on record.

A step that the law forbids is refused (`conflict`); a date that cannot be is refused (`validation`); what the law only
calls a breach is recorded as one and done.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, Protocol

from ehcp_contracts.events import Outcome, ReviewKind
from review_scheduler.domain.obligations import Status
from send_statute import IllegalStep, NotInForce, evaluate, machine
from service_kit.problems import Fault, Refusal

LATEST_BOOKING = timedelta(days=366)
"""A meeting more than a year ahead is a slip of the pen: no review waits so long."""
PHASE_WINDOW_RULE = "phase_window"
_NO_PLAN_YET = "The plan was made later. If that day is wrong, correct it first."


class OverrideReason(StrEnum):
    """Why a decision stands without a meeting. It is a breach of reg 20(1) all the same, and on record."""

    MEETING_NOT_POSSIBLE = "meeting_not_possible"
    FAMILY_DECLINED = "family_declined"
    MEETING_NOT_RECORDED = "meeting_not_recorded"


@dataclass(frozen=True, slots=True)
class Breach:
    """What was not done as it must be. `force` says by what: law, or a council's policy; `days_late` where it is a
    matter of days."""

    code: str
    rule_id: str
    due_on: date | None
    on: date
    force: str = "law"

    @property
    def days_late(self) -> int | None:
        return (self.on - self.due_on).days if self.due_on else None

    def to_json(self) -> dict[str, Any]:
        """As stored with the review and shown by the API."""
        return {
            "code": self.code,
            "rule_id": self.rule_id,
            "force": self.force,
            "due_on": self.due_on.isoformat() if self.due_on else None,
            "on": self.on.isoformat(),
            "days_late": self.days_late,
        }


class UnderReview(Protocol):
    """What the steps look at in a review."""

    @property
    def kind(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def counted_from(self) -> date: ...
    @property
    def due_on(self) -> date: ...
    @property
    def rule_id(self) -> str: ...
    @property
    def deadline_impossible(self) -> bool: ...
    @property
    def meeting_on(self) -> date | None: ...
    @property
    def held_on(self) -> date | None: ...
    @property
    def notice_due(self) -> date | None: ...
    @property
    def report_due(self) -> date | None: ...
    @property
    def report_received_on(self) -> date | None: ...
    @property
    def meeting_limb_due(self) -> date | None: ...
    @property
    def outcome(self) -> str | None: ...
    @property
    def notified_on(self) -> date | None: ...
    @property
    def notice_sent_on(self) -> date | None: ...
    @property
    def withdrawn_because(self) -> str | None: ...


# --- what may follow what -----------------------------------------------------------------------------------------


class Recorded(StrEnum):
    """Days on record of a review that may be corrected with a reason."""

    HELD_ON = "held_on"
    REPORT_RECEIVED_ON = "report_received_on"
    NOTIFIED_ON = "notified_on"


class Step(StrEnum):
    """What a caller does with a review."""

    BOOK = "book"
    HOLD = "hold"
    REPORT = "report"
    DECIDE = "decide"


def take_step(
    review: UnderReview,
    step: Step,
    on: date,
    *,
    outcome: Outcome | None = None,
    override: OverrideReason | None = None,
) -> None:
    """Hold a step against the review machine of `send_statute`. Raises `Refusal` conflict, naming the clause that the
    step would offend. Breaches that do not stop a step are found by the functions below."""
    state = _state(review)
    facts = {
        "on": on,
        "override_reason": override,
        "notice_sent": review.notice_sent_on,
        "advice_circulated": True,
    }
    legal = machine("review")
    try:
        if step is Step.HOLD and state == "DUE":
            # Held without having been booked here: whoever held it invited to it.
            state = legal.step(state, "invite", {"on": on}).to
        event = _event(review, step, outcome)
        if event == "decide_amend" and review.notice_sent_on is None:
            # Decided without a meeting: the review waits for the notice all the same.
            facts["notice_sent"] = on
        legal.step(state, event, facts)
    except IllegalStep as refused:
        raise Refusal(
            "conflict", errors=[Fault("", refused.clause, f"{refused.reason}.".capitalize())]
        ) from None
    except NotInForce:
        raise Refusal(
            "validation", errors=[Fault("", "before-the-law", "No rule was in force on this day.")]
        ) from None


_STATES = {
    Status.DUE: "DUE",
    Status.BOOKED: "INVITED",
    Status.HELD: "MEETING_HELD",
    Status.REPORTED: "REPORT_SENT",
    Status.DECIDED: "NOTICE_IN_PREPARATION",
}


def _state(review: UnderReview) -> str:
    """Where the review stands in the machine."""
    if review.status == Status.CONCLUDED:
        return "AN_SENT" if review.outcome == Outcome.AMEND else "DECIDED"
    if review.status == Status.WITHDRAWN:
        return "MERGED" if review.withdrawn_because == "satisfied" else "CLOSED"
    return _STATES[Status(review.status)]


def _event(review: UnderReview, step: Step, outcome: Outcome | None) -> str:
    match step:
        case Step.BOOK:
            return "reschedule" if review.status == Status.BOOKED else "invite"
        case Step.HOLD:
            return "hold_meeting"
        case Step.REPORT:
            return "send_report"
        case Step.DECIDE:
            prepares = review.notice_sent_on is None and (review.held_on or review.status == Status.DECIDED)
            return "prepare_amendment" if outcome is Outcome.AMEND and prepares else f"decide_{outcome}"


# --- what is recorded late ----------------------------------------------------------------------------------------


def check_owed(review: UnderReview, on: date, last_owed: date, pointer: str) -> None:
    """Refuse what was done only after a review had fallen away. What was done while it was still owed belongs to it,
    whenever it is entered. Raises `Refusal` conflict."""
    if on > last_owed:
        clause = "CFA 2014 s.44(1)"
        message = "This review was no longer owed on that day: enter it under the review that was open then."
        raise Refusal("conflict", errors=[Fault(pointer, clause, message)])


def status_of(review: UnderReview) -> Status:
    """How far a review had come, from what is on record of it."""
    if review.notified_on:
        return Status.DECIDED
    if review.report_received_on:
        return Status.REPORTED
    if review.held_on:
        return Status.HELD
    return Status.BOOKED if review.meeting_on else Status.DUE


# --- book, hold, report, decide -----------------------------------------------------------------------------------

OF_THE_BOOKING = ("short-notice", "meeting-in-the-past", "meeting-after-due")
"""Breaches of a booking that fall away when the meeting is moved: the new day is judged anew."""


def check_booking(meeting_on: date, notice_given_on: date, plan_first_made: date, today: date) -> None:
    """Refuse a meeting day that cannot be, or a notice of it that cannot have been given then."""
    faults = _not_before(meeting_on, plan_first_made, "/meeting_on", "before-plan", _NO_PLAN_YET)
    if meeting_on > today + LATEST_BOOKING:
        faults.append(Fault("/meeting_on", "too-far-ahead", "This is more than a year ahead."))
    faults += _not_after(notice_given_on, today, "/notice_given_on")
    if notice_given_on > meeting_on and notice_given_on != today:
        faults.append(Fault("/notice_given_on", "after-meeting", "The meeting was before this day."))
    _refuse(faults)


def booking_breaches(review: UnderReview, meeting_on: date, notice_given_on: date) -> list[Breach]:
    """What is already too late on the day that everybody was told of the meeting: the two weeks' notice, or the review
    itself."""
    found = _if_late("short-notice", "notice_2w", review.notice_due, notice_given_on)
    if meeting_on < notice_given_on:
        found.append(Breach("meeting-in-the-past", "notice_2w", None, meeting_on))
    return found + _after_due(review, meeting_on)


def check_held(review: UnderReview, held_on: date, plan_first_made: date, today: date) -> None:
    """Refuse a day on which the meeting of this review cannot have been held."""
    faults = _not_after(held_on, today, "/held_on")
    faults += _not_before(held_on, plan_first_made, "/held_on", "before-plan", _NO_PLAN_YET)
    if not faults and review.kind == ReviewKind.PHASE_TRANSFER:
        opens = _phase_window_opens(review.counted_from)
        message = "A phase transfer review is held in the 12 months before the transfer."
        faults += _not_before(held_on, opens, "/held_on", PHASE_WINDOW_RULE, message)
    elif not faults:
        message = (
            "The 12 months of this review start later: that meeting belongs to an earlier review. If the register does "
            "not have it, enter it by itself (POST /v1/reviews)."
        )
        faults += _not_before(held_on, review.counted_from, "/held_on", "before-anchor", message)
    _refuse(faults)


def _phase_window_opens(transfer_on: date) -> date:
    """The first day of the 12 months before a transfer (SEND Regs 2014 reg 18(1))."""
    answer = evaluate("at_least_n_months_before", {"target": transfer_on, "months": 12})
    return date.fromisoformat(answer["last_day"])


def check_before_what_followed(review: UnderReview, held_on: date) -> None:
    """Refuse a meeting after the decision or the report that came of it."""
    followed = {
        "The decision was notified before this day.": review.notified_on,
        "The report was received before this day.": review.report_received_on,
    }
    late = [message for message, day in followed.items() if day is not None and day < held_on]
    _refuse(Fault("/held_on", "after-what-followed", message) for message in late)


def check_report(review: UnderReview, received_on: date, today: date) -> None:
    """Refuse a report from the future, or from before the meeting."""
    faults = _not_after(received_on, today, "/received_on")
    if review.held_on:
        message = "The meeting was held later."
        faults += _not_before(received_on, review.held_on, "/received_on", "before-meeting", message)
    _refuse(faults)


def report_breaches(review: UnderReview, received_on: date) -> list[Breach]:
    """A report more than two weeks after the meeting (reg 20(7)-(9))."""
    return _if_late("report-late", "report_2w", review.report_due, received_on)


def check_decision(review: UnderReview, notified_on: date, plan_first_made: date, today: date) -> None:
    """Refuse a decision from the future, from before the meeting, or from before the plan."""
    faults = _not_after(notified_on, today, "/notified_on")
    if review.held_on:
        message = "The meeting was held later."
        faults += _not_before(notified_on, review.held_on, "/notified_on", "before-meeting", message)
    faults += _not_before(notified_on, plan_first_made, "/notified_on", "before-plan", _NO_PLAN_YET)
    _refuse(faults)


def decision_breaches(review: UnderReview, notified_on: date) -> list[Breach]:
    """A decision more than four weeks after the meeting, or one without any meeting."""
    if review.held_on is None:
        return [Breach("decision-without-meeting", "meeting_required", None, notified_on)]
    return _if_late("decision-late", "decision_4w", review.meeting_limb_due, notified_on)


def notice_breaches(review: UnderReview, sent_on: date) -> list[Breach]:
    """An amendment notice more than four weeks after the meeting (reg 22(2); *Devon*)."""
    return _if_late("notice-late", "decision_amend_AN", review.meeting_limb_due, sent_on)


def late_review(review: UnderReview, ended_on: date) -> list[Breach]:
    """A review concluded after its due date; for an under-five interim that is the council's policy, not law. Where the
    plan came only after the deadline, nobody could have kept it (`phase_late_plan`)."""
    if review.deadline_impossible:
        return []
    force = "policy" if review.kind == ReviewKind.UNDER5_INTERIM else "law"
    return _if_late("review-late", review.rule_id, review.due_on, ended_on, force)


def missed_review(review: UnderReview, lapsed_on: date) -> list[Breach]:
    """A review that was never held and lapsed after its due date: days late up to then. Force and exception as above."""
    return [replace(breach, code="review-missed") for breach in late_review(review, lapsed_on)]


OF_WHAT_WAS_DONE = (
    "meeting-after-due",
    "report-late",
    "decision-late",
    "decision-without-meeting",
    "notice-late",
    "review-late",
    "review-missed",
)
"""Breaches that follow from the recorded days alone, and are judged anew when one of these days changes."""


def breaches_of(review: UnderReview, ended_on: date | None) -> list[Breach]:
    """What the days on record say was not done as it must be. `ended_on`: the day the review was concluded, or
    satisfied by another."""
    found: list[Breach] = []
    if meeting := review.held_on or review.meeting_on:
        found += _after_due(review, meeting)
    if review.report_received_on:
        found += report_breaches(review, review.report_received_on)
    if review.notified_on and review.outcome:
        found += decision_breaches(review, review.notified_on)
    if review.notice_sent_on:
        found += notice_breaches(review, review.notice_sent_on)
    return found + (late_review(review, ended_on) if ended_on else [])


def _after_due(review: UnderReview, meeting: date) -> list[Breach]:
    if review.kind == ReviewKind.UNDER5_INTERIM or review.deadline_impossible:
        return []
    return _if_late("meeting-after-due", review.rule_id, review.due_on, meeting)


def _if_late(code: str, rule_id: str, due_on: date | None, on: date, force: str = "law") -> list[Breach]:
    return [Breach(code, rule_id, due_on, on, force)] if due_on and on > due_on else []


def _not_after(day: date, today: date, pointer: str) -> list[Fault]:
    return [Fault(pointer, "in-the-future", "This day has not come yet.")] if day > today else []


def _not_before(day: date, first: date, pointer: str, code: str, message: str) -> list[Fault]:
    return [Fault(pointer, code, message)] if day < first else []


def _refuse(faults: Iterable[Fault]) -> None:
    found = list(faults)
    if found:
        raise Refusal("validation", errors=found)


# --- who has the ball ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NextStep:
    """What a review waits for, by when, and who is to do it."""

    what: str
    by: date | None
    who: str


class Waiting(UnderReview, Protocol):
    """What `next_step` looks at."""

    @property
    def latest_meeting_on(self) -> date: ...
    @property
    def decision_due(self) -> date | None: ...
    @property
    def urn(self) -> str | None: ...


def next_step(review: Waiting, today: date) -> NextStep | None:
    """What an open review waits for now; None once it is closed. Without a school the council does it all (reg 21)."""
    organiser = "school" if review.urn else "council"
    match review.status:
        case Status.DUE:
            return NextStep("book-meeting", review.latest_meeting_on, organiser)
        case Status.BOOKED if review.notice_due and today <= review.notice_due:
            return NextStep("send-notice", review.notice_due, organiser)
        case Status.BOOKED:
            return NextStep("hold-meeting", review.meeting_on, organiser)
        case Status.HELD:
            return NextStep("send-report", review.report_due, organiser)
        case Status.REPORTED:
            return NextStep("decide", decide_by(review), "council")
        case Status.DECIDED:
            return NextStep("send-amendment-notice", decide_by(review), "council")
        case _:
            return None


def decide_by(review: Waiting) -> date | None:
    """The day by which the decision of a meeting is still to be notified: with the review itself, or, where that was due
    before the meeting, four weeks after it (both limbs stand)."""
    if review.held_on and review.decision_due and review.decision_due < review.held_on:
        return review.meeting_limb_due
    return review.decision_due
