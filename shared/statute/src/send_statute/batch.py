"""The next dates of a whole register in one call: columns in, columns out, the same answers as one by one.

Plans are many but days are few: 640,000 plans have some 700 anchors and 8,000 birth dates. Each distinct value goes
through the rules once and the columns are filled by looking up, so the cost per plan is a few dictionary reads.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import compress, repeat
from operator import itemgetter
from typing import Any, Generic, TypeVar

from send_statute.ages import academic_year
from send_statute.errors import StatuteError
from send_statute.holidays import BankHolidays
from send_statute.interpret import Setting, run_typed
from send_statute.pack import Pack, load_pack
from send_statute.policy import DEFAULT_POLICY, Policy

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class NextDates:
    """Columns as long as the input. None means that there is no such date for the plan."""

    annual_due: list[date | None]
    """Last day of the 12 months (strict reading), which may be past: then the review is overdue."""
    latest_meeting: list[date | None]
    """Latest safe meeting for it, by the policy's basis."""
    interim_due: list[date | None]
    """Next interim review of a child under five, on or after the day asked about."""
    phase: list[str | None]
    """Phase of the transfer at the end of the academic year asked about."""
    phase_due: list[date | None]
    """Last day (strict reading) for that phase transfer."""
    problems: dict[int, str] = field(default_factory=dict)
    """Rows with a fact no rule can take (an anchor before Part 3, say), and why; their dates are None."""


class _Memo(dict[K, V], Generic[K, V]):
    """A table that works out what it does not hold yet."""

    __slots__ = ("_work_out",)

    def __init__(self, work_out: Callable[[K], V]) -> None:
        super().__init__()
        self._work_out = work_out

    def __missing__(self, key: K) -> V:
        value = self[key] = self._work_out(key)
        return value


_Review = tuple[date | None, date | None, date | None]
_Key = tuple[int, int | None, int | None, int | None]
_NOTHING: _Review = (None, None, None)

# Year groups are held as bytes, one per plan, which is quick to search: year group + 100, so Reception is 100.
_SHIFT, _UNKNOWN = 100, 0
_LONG_AGO = timedelta(days=36525)  # nobody with a plan was born a century before the day asked about


def next_dates(
    anchors: Sequence[date | None],
    births: Sequence[date | None],
    *,
    on: date,
    taught_ncys: Sequence[int | None] | None = None,
    school_low_ages: Sequence[int | None] | None = None,
    school_high_ages: Sequence[int | None] | None = None,
    policy: Policy = DEFAULT_POLICY,
    pack: Pack | None = None,
    holidays: BankHolidays | None = None,
) -> NextDates:
    """The next dates of every plan as they stand on the day `on`. All columns given must be of one length."""
    for column in (births, taught_ncys, school_low_ages, school_high_ages):
        if column is not None and len(column) != len(anchors):
            raise ValueError(f"columns of different lengths: {len(anchors)} and {len(column)}")
    within = Setting(pack or load_pack(), policy, holidays or BankHolidays.offline())
    tables = _tables(on, within)

    reviews = list(map(tables.review.__getitem__, anchors))
    years = bytes(map(tables.year.__getitem__, births))
    keys = zip(years, _column(taught_ncys), _column(school_low_ages), _column(school_high_ages), strict=False)
    phases = list(map(tables.phase.__getitem__, keys))
    return NextDates(
        annual_due=list(map(itemgetter(0), reviews)),
        latest_meeting=list(map(itemgetter(1), reviews)),
        interim_due=_interims(tables, reviews, births, years),
        phase=list(map(itemgetter(0), phases)),
        phase_due=list(map(itemgetter(1), phases)),
        problems=tables.problems_of(anchors),
    )


_KEPT = 4
_recent: list[tuple[date, Setting, _Tables]] = []


def _tables(on: date, within: Setting) -> _Tables:
    """The tables for a day and a setting; those of the last few calls are kept, since simulations ask again."""
    for kept_on, kept_within, tables in tuple(_recent):
        if kept_on == on and kept_within.same_as(within):
            return tables
    fresh = _Tables(on, within)
    _recent.append((on, within, fresh))
    del _recent[:-_KEPT]
    return fresh


def forget() -> None:
    """Drop the kept tables, as a benchmark of a first call needs."""
    _recent.clear()


def _column(values: Sequence[int | None] | None) -> Iterable[int | None]:
    return repeat(None) if values is None else values


def _interims(
    tables: _Tables, reviews: list[_Review], births: Sequence[date | None], years: bytes
) -> list[date | None]:
    """The next interim review, if it comes before the fifth birthday. Few rows are young enough to be looked at."""
    interims: list[date | None] = [None] * len(births)
    fifth = tables.fifth
    young = years.translate(bytes(year in tables.young_years for year in range(256)))
    for row in compress(range(len(births)), young):
        day = reviews[row][2]
        if day is not None and day < fifth[births[row]]:
            interims[row] = day
    return interims


class _Tables:
    """The rules behind the columns, each distinct value worked out once."""

    def __init__(self, on: date, within: Setting) -> None:
        self._on = on
        self._within = within
        self._academic_year = academic_year(on)
        self._bad_anchors: dict[date, str] = {}
        self.young_years: set[int] = set()
        """Year groups, shifted, in which some child is not yet five on the day asked about."""
        self.review = _Memo(self._review)
        self.year = _Memo(self._year)
        self.fifth = _Memo(self._fifth)
        self.phase = _Memo(self._phase)
        self._cohort = _Memo(self._phase_of_year)
        self._born_first = _Memo(self._first_birth)
        # Later births turn five later, so those not yet five on the day are all the births from one day on.
        oldest = on - _LONG_AGO
        self._under_five_from = oldest + timedelta(
            days=bisect_left(
                range(_LONG_AGO.days), True, key=lambda n: on < self._fifth(oldest + timedelta(days=n))
            )
        )

    def _run(self, rule: str, facts: dict[str, Any]) -> dict[str, Any]:
        return run_typed(rule, facts, self._within).values

    def _review(self, anchor: date | None) -> _Review:
        if anchor is None:
            return _NOTHING
        try:
            annual = self._run("review_annual", {"anchor": anchor})
            # Of a child born on the anchor the fifth birthday cuts nothing off; `_interims` does that row by row.
            interims = self._run("review_under5", {"anchor": anchor, "date_of_birth": anchor})["interims"]
        except StatuteError as problem:
            self._bad_anchors[anchor] = str(problem)
            return _NOTHING
        coming = next((day for day in interims if day >= self._on), None)
        return annual["strict_due"], annual["latest_meeting"], coming

    def _year(self, birth: date | None) -> int:
        """The year group by age, shifted.

        The later born, the lower the year group (a property that is tested), so between the first and the last
        birth of a calendar year there is one day on which the year group changes, and only that day is looked for.
        """
        if birth is None:
            return _UNKNOWN
        before, changes, after = self._born_first[birth.year]
        year = before if birth < changes else after
        if birth >= self._under_five_from:
            self.young_years.add(year + _SHIFT)
        return year + _SHIFT

    def _first_birth(self, year: int) -> tuple[int, date, int]:
        """Of a calendar year of births: the year group of the first, the day it changes, the year group from then."""
        first, last = date(year, 1, 1), date(year, 12, 31)
        before, after = self._ncy(first), self._ncy(last)
        days = (last - first).days
        changed = bisect_left(range(days), True, key=lambda n: self._ncy(first + timedelta(days=n)) != before)
        return before, first + timedelta(days=changed), after

    def _ncy(self, birth: date) -> int:
        ncy: int = self._run("ncy", {"date_of_birth": birth, "academic_year": self._academic_year})["ncy"]
        return ncy

    def _fifth(self, birth: date | None) -> date:
        fifth: date = self._run("age", {"date_of_birth": birth, "age": 5})["attained_on"]
        return fifth

    def _phase(self, key: _Key) -> tuple[str | None, date | None]:
        year, taught, low, high = key
        if year == _UNKNOWN:
            return None, None
        return self._cohort[year - _SHIFT if taught is None else taught, low, high]

    def _phase_of_year(self, key: tuple[int, int | None, int | None]) -> tuple[str | None, date | None]:
        # The cohort goes by the year group that counts; given as the one taught, it makes the birth date irrelevant.
        taught, low, high = key
        facts = {"date_of_birth": self._on, "taught_ncy": taught, "academic_year": self._academic_year}
        answer = self._run("phase_cohort", {**facts, "school_low_age": low, "school_high_age": high})
        return answer["phase"], answer["strict_due"]

    def problems_of(self, anchors: Sequence[date | None]) -> dict[int, str]:
        """Rows whose anchor no rule takes."""
        bad = self._bad_anchors
        if not bad:
            return {}
        return {
            row: bad[anchor] for row, anchor in enumerate(anchors) if anchor is not None and anchor in bad
        }
