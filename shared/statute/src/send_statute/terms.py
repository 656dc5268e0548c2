"""School closures per institution, falling back to the council's, and the terms a council publishes.

There is no national calendar: academies, voluntary-aided schools and colleges set their own days.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from send_statute.holidays import BankHolidays


@dataclass(frozen=True, slots=True, order=True)
class Closure:
    """Days on which a school is shut, both ends included."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"a closure cannot end ({self.last}) before it begins ({self.first})")

    def covers(self, day: date) -> bool:
        """Whether the school is shut on `day` for this closure."""
        return self.first <= day <= self.last


@dataclass(frozen=True, slots=True, order=True)
class Term:
    """A school term: first and last day, both included, and what people call it."""

    starts: date
    ends: date
    name: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.ends < self.starts:
            raise ValueError(f"a term cannot end ({self.ends}) before it starts ({self.starts})")


class MissingTerms(ValueError):
    """Neither the institution nor the council has published the term that is asked for."""


@dataclass(frozen=True)
class SchoolTerms:
    """Terms and closures by institution (a URN, say), with the council's for every institution without its own."""

    council_terms: tuple[Term, ...] = ()
    council_closures: tuple[Closure, ...] = ()
    terms: Mapping[str, tuple[Term, ...]] = field(default_factory=dict)
    closures: Mapping[str, tuple[Closure, ...]] = field(default_factory=dict)

    def terms_of(self, institution: str | None = None) -> tuple[Term, ...]:
        """Terms of an institution in order; the council's if it has none of its own."""
        return tuple(sorted(self.terms.get(institution or "", self.council_terms)))

    def closures_of(self, institution: str | None = None) -> tuple[Closure, ...]:
        """Closures of an institution in order; the council's if it has none of its own."""
        return tuple(sorted(self.closures.get(institution or "", self.council_closures)))

    def term_on(self, day: date, institution: str | None = None) -> Term | None:
        """The term a day lies in, or None in the holidays."""
        return next((t for t in self.terms_of(institution) if t.starts <= day <= t.ends), None)

    def next_term(self, after: date, institution: str | None = None) -> Term:
        """The first term that starts after a day. Raises `MissingTerms` where none is published."""
        found = next((t for t in self.terms_of(institution) if t.starts > after), None)
        if found is None:
            raise MissingTerms(f"no term is published after {after} for {institution or 'the council'}")
        return found

    def is_missing(self, today: date, institution: str | None = None, ahead_days: int = 60) -> bool:
        """Whether the published terms run out within `ahead_days` of `today`: time to ask for the next list."""
        terms = self.terms_of(institution)
        return not terms or terms[-1].ends < today + timedelta(days=ahead_days)


def planning_day(due: date, closures: Iterable[Closure], holidays: BankHolidays) -> date:
    """Last working day on or before `due` on which no closure holds: when to plan for, if a school must act."""
    shut = tuple(closures)
    day = holidays.last_on_or_before(due)
    while any(closure.covers(day) for closure in shut):
        day = holidays.last_on_or_before(day - timedelta(days=1))
    return day
