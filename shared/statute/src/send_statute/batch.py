"""The next dates of a whole register in one call: columns in, columns out, the same answers as one by one.

Plans are many but days are few: 640,000 plans have some 700 anchors and 8,000 birth dates. Each distinct value goes
through the rules once and the columns are filled by looking up, so the cost per plan is a few dictionary reads.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import compress, repeat
from operator import itemgetter
from typing import Any, Generic, TypeVar

from send_statute.ages import academic_year
from send_statute.errors import StatuteError
from send_statute.holidays import BankHolidays
from send_statute.interpret import Setting, run_rule
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
_NOTHING: _Review = (None, None, None)


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
    size = len(anchors)
    for column in (births, taught_ncys, school_low_ages, school_high_ages):
        if column is not None and len(column) != size:
            raise ValueError(f"columns of different lengths: {size} and {len(column)}")
    rules = _Rules(on, Setting(pack or load_pack(), policy, holidays or BankHolidays.offline()))

    reviews = list(map(rules.review.__getitem__, anchors))
    by_birth = rules.years_of(set(births))
    years = list(map(by_birth.__getitem__, births))
    taught = _effective(years, taught_ncys)
    phases = list(
        map(
            rules.phase.__getitem__,
            zip(taught, _column(school_low_ages), _column(school_high_ages), strict=False),
        )
    )
    return NextDates(
        annual_due=list(map(itemgetter(0), reviews)),
        latest_meeting=list(map(itemgetter(1), reviews)),
        interim_due=_interims(rules, reviews, births, years),
        phase=list(map(itemgetter(0), phases)),
        phase_due=list(map(itemgetter(1), phases)),
        problems=rules.problems_of(anchors),
    )


def _column(values: Sequence[int | None] | None) -> Iterable[int | None]:
    return repeat(None) if values is None else values


def _effective(years: list[int | None], taught: Sequence[int | None] | None) -> list[int | None]:
    """The year group that counts: as taught where that is recorded, by age otherwise; none without a birth date."""
    if taught is None or taught.count(None) == len(taught):
        return years
    return [y if t is None or y is None else t for y, t in zip(years, taught, strict=True)]


def _interims(
    rules: _Rules, reviews: list[_Review], births: Sequence[date | None], years: list[int | None]
) -> list[date | None]:
    """The next interim review, if it comes before the fifth birthday. Few rows are young enough to be looked at."""
    interims: list[date | None] = [None] * len(births)
    for row in compress(range(len(births)), map(rules.young_years.__contains__, years)):
        day = reviews[row][2]
        if day is not None and day < rules.fifth[births[row]]:
            interims[row] = day
    return interims


class _Rules:
    """The rules behind the columns, each distinct value worked out once."""

    def __init__(self, on: date, within: Setting) -> None:
        self._on = on
        self._within = within
        self._year = academic_year(on)
        self._bad_anchors: dict[date, str] = {}
        self.young_years: set[int | None] = set()
        """Year groups in which some child is not yet five on the day asked about."""
        self.review = _Memo(self._review)
        self.fifth = _Memo(self._fifth)
        self.phase = _Memo(self._phase)

    def _run(self, rule: str, facts: dict[str, Any]) -> dict[str, Any]:
        return run_rule(rule, facts, self._within).results()

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

    def years_of(self, births: set[date | None]) -> dict[date | None, int | None]:
        """The year group by age of every birth date.

        The later born, the lower the year group, so between two births of one year group all are of it: only the
        ends of each year group go through the rule.
        """
        ordered = sorted(birth for birth in births if birth is not None)
        years: dict[date | None, int | None] = {None: None}
        spans = [(0, len(ordered) - 1)] if ordered else []
        while spans:
            first, last = spans.pop()
            low, high = self._ncy(ordered[last]), self._ncy(ordered[first])
            if low == high:
                years.update(dict.fromkeys(ordered[first : last + 1], low))
            else:
                middle = (first + last) // 2
                spans += [(first, middle), (middle + 1, last)]
        young = bisect_left(ordered, True, key=lambda birth: self._on < self.fifth[birth])
        self.young_years = {years[birth] for birth in ordered[young:]}
        return years

    def _ncy(self, birth: date) -> int:
        ncy: int = self._run("ncy", {"date_of_birth": birth, "academic_year": self._year})["ncy"]
        return ncy

    def _fifth(self, birth: date | None) -> date:
        fifth: date = self._run("age", {"date_of_birth": birth, "age": 5})["attained_on"]
        return fifth

    def _phase(self, key: tuple[int | None, int | None, int | None]) -> tuple[str | None, date | None]:
        taught, low, high = key
        if taught is None:
            return None, None
        # The cohort goes by the year group that counts; given as the one taught, it makes the birth date irrelevant.
        facts = {"date_of_birth": self._on, "taught_ncy": taught, "academic_year": self._year}
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
