"""Dates that cannot be right, whoever sends them: in the future, before birth, before what they follow."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from send_statute import age_on, evaluate
from service_kit.problems import Fault, Refusal

MESSAGES = {
    "in-future": "This day has not come yet.",
    "before-birth": "This day is before the child was born.",
    "review-before-plan": "A review cannot end before the plan was made.",
    "meeting-before-plan": "A review meeting cannot be held before the plan was made.",
    "notice-before-meeting": "The notice cannot be sent before the review meeting.",
    "notice-before-plan": "A notice cannot be sent before the plan was made.",
    "served-before-sent": "A notice cannot be served before it was sent.",
    "final-before-notice": "The final plan cannot be issued before the notice was sent.",
    "drop-before-notice": "An amendment cannot be dropped before its notice was sent.",
    "ceased-before-plan": "A plan cannot end before it was made.",
    "cease-before-plan": "Ceasing cannot be considered before the plan was made.",
    "cease-before-consultation": "The decision to cease cannot be older than the consultation on it.",
    "certificate-before-notice": "The mediation certificate cannot be older than the notice.",
    "age25": "A plan ends with the academic year of the 25th birthday, at the latest before the 26th.",
    "taught-year": "Counted from that academic year, this is no year group today.",
    "before-part3": "There were no EHC plans before 1 September 2014.",
}


PART_3 = date(2014, 9, 1)


class Day(NamedTuple):
    """A day to be held against the calendar: where it stands in the input, and what it must not be before
    (without more, the day Part 3 of the CFA 2014 came into force)."""

    pointer: str
    on: date | None
    not_before: date | None = PART_3
    code: str = "before-part3"


def check(days: Iterable[Day], *, birth_date: date, today: date) -> None:
    """Refuse days that cannot be. Raises Refusal("validation") with one fault for each, by rule code."""
    found = (fault for day in days if day.on for fault in _faults(day, day.on, birth_date, today))
    if faults := dict.fromkeys(found):  # each once, in their order
        raise Refusal("validation", errors=faults)


def fault(pointer: str, code: str) -> Fault:
    """A fault with the message of its code."""
    return Fault(pointer, code, MESSAGES[code])


def too_old(birth_date: date, on: date) -> bool:
    """Whether no plan can be in force on a day any more; nobody under 25 need be asked about."""
    return age_on(birth_date, on) >= 25 and on > _last_day_possible(birth_date)


@lru_cache(maxsize=16_384)
def _last_day_possible(birth_date: date) -> date:
    """The last day on which any plan can be in force: the day before the 26th birthday (CFA 2014 s.46, reg 46)."""
    found = evaluate("age25", {"date_of_birth": birth_date, "setting": "fe"})
    return date.fromisoformat(found["day_before_26"])


def _faults(day: Day, on: date, birth_date: date, today: date) -> Iterable[Fault]:
    if on > today:
        yield fault(day.pointer, "in-future")
    elif on < birth_date:
        yield fault(day.pointer, "before-birth")
    elif day.not_before and on < day.not_before:
        yield fault(day.pointer, day.code)
    elif too_old(birth_date, on):
        yield fault(day.pointer, "age25")
