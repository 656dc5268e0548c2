"""Single answers that services ask for all the time, each by its rule in the pack."""

from __future__ import annotations

from datetime import date
from typing import Any

from send_statute.answers import evaluate


def _day(answer: dict[str, Any], name: str) -> date:
    return date.fromisoformat(answer[name])


def ncy(birth: date, year: str) -> int:
    """National curriculum year by age in an academic year such as "2026/27"; Reception is 0, may be negative."""
    return int(evaluate("ncy", {"date_of_birth": birth, "academic_year": year})["ncy"])


def birthday_at(birth: date, age: int) -> date:
    """The day on which an age is attained; born on 29 February, 1 March in a common year."""
    return _day(evaluate("age", {"date_of_birth": birth, "age": age}), "attained_on")


def fifth_birthday(birth: date) -> date:
    """The first day on which a child is no longer under five."""
    return birthday_at(birth, 5)


def compulsory_school_age(birth: date) -> tuple[date, date]:
    """First and last day of compulsory school age, both included (Education Act 1996 s.8)."""
    answer = evaluate("compulsory_school_age", {"date_of_birth": birth})
    return _day(answer, "starts"), _day(answer, "ends")


def young_person_from(birth: date) -> date:
    """First day on which notices go to the young person, capacity aside (Children and Families Act 2014 s.83(2))."""
    return _day(evaluate("compulsory_school_age", {"date_of_birth": birth}), "young_person_from")
