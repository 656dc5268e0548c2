"""Birthdays and academic years: the arithmetic under the rules of ages and year groups (the rules are in the pack)."""

from __future__ import annotations

import re
from datetime import date
from reprlib import repr as shortened

_ACADEMIC_YEAR = re.compile(r"(\d{4})/(\d{2})", re.ASCII)
_SEPTEMBER = 9


def birthday(birth: date, age: int) -> date:
    """The day on which `age` is attained: the birthday, or 1 March if born on 29 February and there is none."""
    try:
        return birth.replace(year=birth.year + age)
    except ValueError:
        return date(birth.year + age, 3, 1)


def age_on(birth: date, on: date) -> int:
    """Completed years on the day `on`; negative before birth."""
    years = on.year - birth.year
    # Born on 29 February counts as 1 March in a common year, and (3, 1) > (2, 28) says just that.
    return years if (on.month, on.day) >= (birth.month, birth.day) else years - 1


def academic_year(on: date) -> str:
    """The academic year of a day, 1 September to 31 August, written "2026/27"."""
    start = on.year if on.month >= _SEPTEMBER else on.year - 1
    return f"{start}/{(start + 1) % 100:02d}"


def academic_year_start(year: str) -> int:
    """The calendar year in which an academic year such as "2026/27" starts."""
    match = _ACADEMIC_YEAR.fullmatch(year)
    if not match or (int(match[1]) + 1) % 100 != int(match[2]):
        raise ValueError(f"must be an academic year such as 2026/27, not {shortened(year)}")
    return int(match[1])
