"""Bank holidays of England and Wales, and the working days between them.

The days come from the copy of gov.uk/bank-holidays.json inside the `govuk-bank-holidays` distribution, read from
disk without importing that package (which would import an HTTP client). Proclaimed days can be added; a year
that is not loaded is reported, never worked out by formula (2022 and 2023 show why).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from send_statute.errors import MissingHolidayYear

DIVISION = "england-and-wales"
_DAY = timedelta(days=1)
_SATURDAY = 5


class BankHolidays:
    """An immutable set of bank holidays with the years it is complete for."""

    def __init__(self, days: Iterable[date], years: Iterable[int] | None = None) -> None:
        """`years` are the years for which `days` is the whole list; without it, the years that have a day."""
        self._days = frozenset(days)
        self._years = frozenset(years if years is not None else (day.year for day in self._days))

    @classmethod
    def from_govuk(cls, document: Mapping[str, Any]) -> BankHolidays:
        """From the document served at gov.uk/bank-holidays.json."""
        return cls(date.fromisoformat(event["date"]) for event in document[DIVISION]["events"])

    @classmethod
    def offline(cls) -> BankHolidays:
        """The copy that came with the installed `govuk-bank-holidays`."""
        return _offline()

    @property
    def years(self) -> frozenset[int]:
        """Years whose bank holidays are known in full."""
        return self._years

    def with_days(self, extra: Iterable[date]) -> BankHolidays:
        """The same calendar with one-off proclaimed days added (a coronation, a state funeral).

        Adding a day does not make its year known: the rest of that year is still missing.
        """
        return BankHolidays(self._days | frozenset(extra), self._years)

    def with_year(self, year: int, days: Iterable[date]) -> BankHolidays:
        """The same calendar with a whole year loaded, replacing what was known of it."""
        kept = (day for day in self._days if day.year != year)
        return BankHolidays({*kept, *(day for day in days if day.year == year)}, self._years | {year})

    def of_year(self, year: int) -> list[date]:
        """Bank holidays of a year in order, weekend days already replaced by their substitutes."""
        self._need(year)
        return sorted(day for day in self._days if day.year == year)

    def missing_years(self, today: date, ahead_days: int = 60) -> tuple[int, ...]:
        """Years needed from `today` to `today + ahead_days` (both included) that are not loaded."""
        last = today + timedelta(days=ahead_days)
        return tuple(year for year in range(today.year, last.year + 1) if year not in self._years)

    def is_working_day(self, day: date) -> bool:
        """Not a Saturday, a Sunday or a bank holiday in England and Wales."""
        self._need(day.year)
        return day.weekday() < _SATURDAY and day not in self._days

    def nth_working_day(self, first: date, n: int) -> date:
        """The `n`-th working day from `first` on; `first` counts if it is one. `n` is at least 1."""
        if n < 1:
            raise ValueError(f"cannot count to working day {n}: the first is 1")
        day = first - _DAY
        while n:
            day += _DAY
            n -= self.is_working_day(day)
        return day

    def n_working_days_beginning_with(self, event: date, days: int) -> date:
        """Last of `days` working days; the event day is the first if it is one (SEND Regs 2014 reg 15(2))."""
        return self.nth_working_day(event, days)

    def within_n_working_days_of(self, event: date, days: int) -> date:
        """Last of `days` working days after `event`; the event day never counts (reg 34, 39)."""
        return self.nth_working_day(event + _DAY, days)

    def working_days_from_to(self, first: date, end: date) -> int:
        """Working days from `first` (included) to `end` (not included); none if `end` is not later."""
        return sum(self.is_working_day(first + n * _DAY) for n in range((end - first).days))

    def last_on_or_before(self, day: date) -> date:
        """The last working day on or before `day`: a date to plan for, never a moved deadline."""
        while not self.is_working_day(day):
            day -= _DAY
        return day

    def first_on_or_after(self, day: date) -> date:
        """The first working day on or after `day`."""
        return self.nth_working_day(day, 1)

    def _need(self, year: int) -> None:
        if year not in self._years:
            raise MissingHolidayYear(year)


@cache
def _offline() -> BankHolidays:
    spec = find_spec("govuk_bank_holidays")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the distribution govuk-bank-holidays is not installed")
    text = Path(spec.origin).with_name("bank-holidays.json").read_text(encoding="utf-8")
    return BankHolidays.from_govuk(json.loads(text))
