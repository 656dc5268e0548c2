"""The statutory dates of a review, each with the rule it stands on, from `send_statute`.

All dates are local dates in England and the last compliant day, included. The same day asked for twice is reckoned
once: the rules are pure, and a caseload has far fewer distinct days than plans.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property, lru_cache
from typing import Any

from ehcp_contracts.events import Phase, ReviewKind
from review_scheduler.domain.policy import NATIONAL, Policy
from send_statute import Explanation, explain, load_pack

DECISION_WINDOW = timedelta(days=28)
"""What the latest safe meeting leaves for the decision (SEND Regs 2014 reg 20(10))."""


@dataclass(frozen=True, slots=True)
class Reckoned:
    """One date and why it is that date. `force` is law, guidance or policy; `open_points` is what a lawyer could
    still read otherwise."""

    name: str
    on: date
    rule_id: str
    citation: str
    force: str
    text: str
    open_points: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As stored with the review and shown by the API."""
        return {
            "name": self.name,
            "on": self.on.isoformat(),
            "rule_id": self.rule_id,
            "citation": self.citation,
            "force": self.force,
            "text": self.text,
            "open_points": list(self.open_points),
        }


@dataclass(frozen=True)
class Owed:
    """A review that a plan owes: its kind, its dates and the rule they stand on.

    `counted_from` is the day the rule counts from: the anchor of CFA 2014 s.44(1), or the day of the phase transfer.
    """

    kind: ReviewKind
    counted_from: date
    due_on: date
    alternative_due_on: date | None
    latest_meeting_on: date
    rule_id: str
    citation: str
    counts_as_statutory: bool
    dates: tuple[Reckoned, ...]

    @cached_property
    def dates_as_json(self) -> tuple[dict[str, Any], ...]:
        """`dates` as stored, put into words once for all the plans that owe the same."""
        return tuple(day.to_json() for day in self.dates)


@lru_cache(maxsize=8192)
def annual(anchor: date, policy: Policy = NATIONAL) -> Owed:
    """The review owed within the 12 months that start with `anchor` (CFA 2014 s.44(1)), strict reading."""
    why = explain("review_annual", {"anchor": anchor}, policy=policy)
    names = {
        "strict_due": "due_on",
        "anniversary_due": "alternative_due_on",
        "latest_meeting": "latest_meeting_on",
        "latest_meeting_working_day": "plan_meeting_by",
    }
    return _owed(ReviewKind.ANNUAL, anchor, why, names)


@lru_cache(maxsize=512)
def phase_transfer(phase: Phase, transfer_on: date, policy: Policy = NATIONAL) -> Owed:
    """The review and amendment owed before a phase transfer (SEND Regs 2014 reg 18), strict reading of "before"."""
    why = explain("phase_transfer", {"phase": phase.value, "transfer_date": transfer_on}, policy=policy)
    names = {
        "strict_due": "due_on",
        "by_due": "alternative_due_on",
        "latest_meeting": "latest_meeting_on",
        "latest_meeting_working_day": "plan_meeting_by",
        "window_opens": "not_before",
    }
    return _owed(ReviewKind.PHASE_TRANSFER, transfer_on, why, names)


def _owed(kind: ReviewKind, counted_from: date, why: Explanation, names: dict[str, str]) -> Owed:
    found = {name: _reckoned(why, result, name) for result, name in names.items() if result in why.cited}
    found["due_on"] = due = replace(found["due_on"], text=why.text, open_points=tuple(why.open_points))
    return Owed(
        kind=kind,
        counted_from=counted_from,
        due_on=due.on,
        alternative_due_on=found["alternative_due_on"].on,
        latest_meeting_on=found["latest_meeting_on"].on,
        rule_id=due.rule_id,
        citation=due.citation,
        counts_as_statutory=True,
        dates=tuple(found.values()),
    )


_INTERIM_OPEN = "an interim review counts under s.44 only if the full process of regs 19 and 20 was run"


@lru_cache(maxsize=8192)
def under5_interim(anchor: date, on: date) -> Owed:
    """The interim review of a child under five that falls on `on` (CoP 9.178, council policy).

    The day comes from case-service, which alone knows the birth date; here it is only put into words. The review is
    light-touch and does not restart the 12 months unless the full process is run.
    """
    rule = load_pack().rule("review_under5")
    latest_on = on - DECISION_WINDOW
    due = Reckoned(
        name="due_on",
        on=on,
        rule_id=rule.id,
        citation=rule.citation,
        force=rule.force,
        text=f"Interim review of a child under five by {in_words(on)}{_interval(anchor, on)}, as the council's policy "
        f"sets it ({rule.citation}). The 12-month duty stands beside it.",
        open_points=(_INTERIM_OPEN,),
    )
    latest = replace(
        due,
        name="latest_meeting_on",
        on=latest_on,
        text=f"Hold the meeting by: {in_words(latest_on)}, at least 28 days before {in_words(on)} (council policy).",
        open_points=(),
    )
    return Owed(
        kind=ReviewKind.UNDER5_INTERIM,
        counted_from=anchor,
        due_on=on,
        alternative_due_on=None,
        latest_meeting_on=latest_on,
        rule_id=rule.id,
        citation=rule.citation,
        counts_as_statutory=False,
        dates=(due, latest),
    )


def _interval(anchor: date, on: date) -> str:
    months = (on.year - anchor.year) * 12 + on.month - anchor.month
    return f", {months} months after {in_words(anchor)}" if months > 0 else ""


@dataclass(frozen=True, slots=True)
class Chain:
    """The dates that hang on a meeting. `meeting_limb_due` is four weeks after it; `decision_due` the earlier of that
    and the review's own due date. `dates` are these and the days planned for, each with its reason."""

    notice_due: date
    advice_due: date
    report_due: date
    meeting_limb_due: date
    decision_due: date
    final_longstop: date
    dates: tuple[Reckoned, ...]


_CHAIN = ("advice_request_by", "notice_plan", "notice_due", "advice_due", "report_due", "final_longstop")


@lru_cache(maxsize=8192)
def meeting_chain(meeting: date, due_on: date, kind: ReviewKind, policy: Policy = NATIONAL) -> Chain:
    """What follows from a meeting on `meeting` of a review due on `due_on`.

    The decision is due four weeks after the meeting and never after the review itself (CoP 9.169). The policy date of
    an under-five interim is no such limit: a policy does not shorten what the law gives.
    """
    why = explain("review_meeting", {"meeting": meeting}, policy=policy)
    found = {name: _reckoned(why, name) for name in _CHAIN}
    found["notice_due"] = replace(found["notice_due"], open_points=tuple(why.open_points))
    limb = _reckoned(why, "decision_due", "meeting_limb_due")
    decision = replace(limb, name="decision_due")
    if kind is not ReviewKind.UNDER5_INTERIM and due_on < limb.on:
        decision = _governed_by_due_date(decision, due_on)
    dates = (*found.values(), limb, decision)
    return Chain(
        notice_due=found["notice_due"].on,
        advice_due=found["advice_due"].on,
        report_due=found["report_due"].on,
        meeting_limb_due=limb.on,
        decision_due=decision.on,
        final_longstop=found["final_longstop"].on,
        dates=tuple(sorted(dates, key=lambda day: (day.on, day.name))),
    )


def _governed_by_due_date(decision: Reckoned, due_on: date) -> Reckoned:
    rule = load_pack().rule("review_decision_due")
    text = (
        f"Decision notified by: {in_words(due_on)}, when the review itself is due, which is earlier than 4 weeks after "
        f"the meeting, {in_words(decision.on)} ({rule.citation})."
    )
    return replace(decision, on=due_on, rule_id=rule.id, citation=rule.citation, text=text)


def _reckoned(why: Explanation, result: str, name: str = "") -> Reckoned:
    cited = why.cited[result]
    return Reckoned(name or result, cited.date, cited.rule_id, cited.citation, cited.force, cited.text)


_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]


def in_words(day: date) -> str:
    """A day as gov.uk writes it: 25 November 2024."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"
