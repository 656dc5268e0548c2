"""Facts that come from the birth date: published, so that the birth date itself never leaves this service."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Any

from case_service.domain.case import NATIONAL_INTERVALS, NO_AGES, Ages, Case, Intervals
from ehcp_contracts.events import Facts, Phase
from send_statute import academic_year, age_on, evaluate, young_person_from

SEPTEMBER = 9
FIRST_YEAR, LAST_YEAR = -5, 22
"""The year groups that an event can hold (`ehcp_contracts.fields.YearGroup`)."""


def facts_of(case: Case, ages: Ages, today: date, intervals: Intervals = NATIONAL_INTERVALS) -> Facts:
    """The facts of a case on a day.

    `intervals` are the council's for interim reviews under five: an interim falls as the interval of its own day has
    it, so that a new one asks for nothing in the past. `ages` are those of the present institution (they decide a phase transfer). Raises ValueError
    for a case without a plan: its under-5 interims and its transfer hang on the plan's dates.
    """
    if case.plan_first_made is None or case.anchor is None:
        raise ValueError("a case without a plan has no facts")
    year, taught, born = academic_year(today), taught_in_year(case, today), _born_in_year_of(case.birth_date)
    cohort = _phase_cohort(born, taught, year, ages)
    transfer_on = date(_start(year) + 1, SEPTEMBER, 1) if cohort["phase"] else None
    return Facts(
        academic_year=year,
        # A plan that nobody ended goes on ageing: it stays at the last year, and stops no other case.
        year_group=max(FIRST_YEAR, min(cohort["effective_ncy"], LAST_YEAR)),
        phase=Phase(cohort["phase"]) if cohort["phase"] else None,
        transfer_on=transfer_on,
        phase_due=_day(cohort["strict_due"]),
        phase_by=_day(cohort["by_due"]),
        phase_deadline_impossible=_impossible(cohort["phase"], transfer_on, case.plan_first_made),
        under5_interims=_interims(case.birth_date, case.anchor, intervals),
        adulthood_preparation=_adulthood(born, taught, year),
        addressee="young_person" if today >= _young_person_from(born) else "parent",
    )


def next_change(birth_date: date, today: date) -> date:
    """The next day after `today` on which facts may differ: 1 September, or the day the child becomes the addressee.

    The facts' other dates hang on the plan, and are computed anew whenever the plan changes.
    """
    september = date(_start(academic_year(today)) + 1, SEPTEMBER, 1)
    young_person = _young_person_from(_born_in_year_of(birth_date))
    return young_person if today < young_person < september else september


def taught_in_year(case: Case, today: date) -> int | None:
    """The year group taught on a day: as stated, and one up for each September since. Reception is 0, not missing."""
    if case.taught_year_group is None:
        return None
    stated_in = case.taught_in or academic_year(today)
    return case.taught_year_group + _start(academic_year(today)) - _start(stated_in)


def _start(year: str) -> int:
    return int(year[:4])


def _day(iso: str | None) -> date | None:
    return date.fromisoformat(iso) if iso else None


# Many children share a school year, a school's ages or a plan's date: each question is put to the statute once. Year
# groups and compulsory school age hang on the school year of the birth, so they are asked of its first day.


def _born_in_year_of(birth_date: date) -> date:
    return date(_start(academic_year(birth_date)), SEPTEMBER, 1)


@lru_cache(maxsize=4_096)
def _phase_cohort(born: date, taught: int | None, year: str, ages: Ages = NO_AGES) -> dict[str, Any]:
    facts = {
        "date_of_birth": born,
        "taught_ncy": taught,
        "academic_year": year,
        "school_low_age": ages.low,
        "school_high_age": ages.high,
    }
    return evaluate("phase_cohort", facts)


@lru_cache(maxsize=4_096)
def _impossible(phase: str | None, transfer_on: date | None, first_made: date) -> bool:
    if phase is None or transfer_on is None or first_made < date(transfer_on.year - 1, SEPTEMBER, 1):
        return False  # the rule is about plans first made in the year of the transfer
    facts = {"phase": phase, "transfer_date": transfer_on, "plan_first_made": first_made}
    return bool(evaluate("phase_late_plan", facts)["status"] == "deadline_impossible")


def _interims(birth_date: date, anchor: date, intervals: Intervals) -> tuple[date, ...]:
    if age_on(birth_date, anchor) >= 5:
        return ()
    until = [begins for begins, _ in intervals[1:]] + [date.max]
    return tuple(
        day
        for (begins, months), ends in zip(intervals, until, strict=True)
        for day in _every(birth_date, anchor, months)
        if begins <= day < ends
    )


@lru_cache(maxsize=16_384)
def _every(birth_date: date, anchor: date, months: int) -> tuple[date, ...]:
    facts = {"date_of_birth": birth_date, "anchor": anchor, "interval_months": months}
    return tuple(date.fromisoformat(day) for day in evaluate("review_under5", facts)["interims"])


@lru_cache(maxsize=4_096)
def _adulthood(born: date, taught: int | None, year: str) -> bool:
    """Whether a meeting held in this academic year must look to adulthood: the year group decides, not the day."""
    facts = {"date_of_birth": born, "taught_ncy": taught, "meeting": date(_start(year), SEPTEMBER, 1)}
    return bool(evaluate("review_pfa", facts)["pfa_required"])


_young_person_from = lru_cache(maxsize=256)(young_person_from)
