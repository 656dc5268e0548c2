"""Counting days, weeks and months the way English legislation does. Calendar time: nothing here skips a weekend.

Every function takes and returns local dates. "Due" and "last day" are the last compliant day, inclusive, to its
local midnight. Months are always counted from the date given, never from an earlier, clipped result.
"""

from __future__ import annotations

import calendar
from datetime import date, timedelta

_DAY = timedelta(days=1)


def within_n_days_of(event: date, days: int) -> date:
    """Last day of `days` days after `event`; the event day is not counted (day 1 is the morrow)."""
    return event + timedelta(days=days)


def within_n_weeks_of(event: date, weeks: int) -> date:
    """Last day of `weeks` weeks after `event`; the event day is not counted."""
    return event + timedelta(weeks=weeks)


def corresponding_date(event: date, months: int) -> tuple[date, bool]:
    """The same day number `months` later (earlier if negative), and whether that day exists.

    Where the month is too short the answer is its last day and False.
    """
    index = event.year * 12 + event.month - 1 + months
    year, month = divmod(index, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(event.day, last)), event.day <= last


def within_n_months_of(event: date, months: int) -> date:
    """The corresponding date, clipped to the month end (*Dodds v Walker* [1981]); event day not counted."""
    return corresponding_date(event, months)[0]


def n_days_beginning_with(event: date, days: int) -> date:
    """Last day of a period of `days` days of which `event` is the first (SEND Regs 2014 reg 13(1), 22(2)(c))."""
    return event + timedelta(days=days - 1)


def period_months_starting_with(event: date, months: int) -> date:
    """Last day of a period of `months` months of which `event` is the first day (CFA 2014 s.44(1), reg 15(5)).

    That is the day before the corresponding date; where the corresponding date does not exist, the last day of
    that month, with nothing more taken off.
    """
    corresponding, exists = corresponding_date(event, months)
    return corresponding - _DAY if exists else corresponding


def before(limit: date) -> date:
    """Last day that is before `limit`: the day before it (SEND Regs 2014 reg 18(1))."""
    return limit - _DAY


def by(limit: date) -> date:
    """Last day that is "by" `limit`: that day itself."""
    return limit


def at_least_n_days_before(target: date, days: int) -> date:
    """Last day that is at least `days` days before `target` (SEND Regs 2014 reg 20(3)-(4))."""
    return target - timedelta(days=days)


def at_least_n_months_before(target: date, months: int) -> date:
    """Last day at least `months` months before `target`, counted backwards and clipped (reg 18(2))."""
    return corresponding_date(target, -months)[0]


def days_after(event: date, days: int) -> date:
    """The day `days` after `event`: a first day open to act, not a limit."""
    return event + timedelta(days=days)


def day_in_year(year: int, month: int, day: int) -> date:
    """A fixed day of a year, such as 15 February."""
    return date(year, month, day)


def last_weekday_of_month(year: int, month: int, weekday: int) -> date:
    """The last `weekday` (Monday is 0) of a month, such as the last Friday of June."""
    last = date(year, month, calendar.monthrange(year, month)[1])
    return last - timedelta(days=(last.weekday() - weekday) % 7)


def first_of_days_on_or_after(event: date, month_days: tuple[tuple[int, int], ...]) -> date:
    """The first of some (month, day) pairs, in whatever year, that is on or after `event`."""
    return min(
        day
        for year in (event.year, event.year + 1)
        for m, d in month_days
        if (day := date(year, m, d)) >= event
    )


def overlap_days(first_from: date, first_to: date, second_from: date, second_to: date | None) -> int:
    """Days in both of two periods, all four ends included; no second end means that it has not ended."""
    end = first_to if second_to is None else min(first_to, second_to)
    return max(0, (end - max(first_from, second_from)).days + 1)


def every_n_months(anchor: date, months: int, below_months: int, before_day: date) -> list[date]:
    """The days `months`, 2 × `months`, … after `anchor` while under `below_months` and before `before_day`.

    Each is counted from `anchor` itself and clipped on its own. No months, no days.
    """
    if months == 0:
        return []
    days = (within_n_months_of(anchor, k) for k in range(months, below_months, months))
    return [day for day in days if day < before_day]
