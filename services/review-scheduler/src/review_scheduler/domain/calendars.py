"""When schools are open, as far as somebody has said so: a council's terms, and a school's own where it has any.

There is no national calendar (statute.md section 0). Only a day to plan for looks at it; no statutory day does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

from review_scheduler.domain.dates import Reckoned
from send_statute import BankHolidays, Closure, MissingHolidayYear, Term, explain
from service_kit.problems import Fault, Refusal

AHEAD = timedelta(days=60)
"""How long before the last known term ends somebody is asked for the next."""
_UNKNOWN = (
    "the school's terms for that time are not on record, so only weekends and bank holidays are left out"
)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Terms and closures (such as half-terms), first and last day included, and one-off closed days of everybody: a
    proclaimed bank holiday that is not on the published list yet."""

    terms: tuple[Term, ...] = ()
    closures: tuple[Closure, ...] = ()
    closed_days: tuple[date, ...] = ()

    @property
    def known_to(self) -> date | None:
        """The last day of the last term on record."""
        return max((term.ends for term in self.terms), default=None)

    def knows(self, day: date) -> bool:
        """Whether the terms on record reach over a day."""
        starts = min((term.starts for term in self.terms), default=None)
        return starts is not None and self.known_to is not None and starts <= day <= self.known_to

    def runs_out(self, today: date) -> bool:
        """Whether the terms on record end within 60 days: time to ask for the next list."""
        return self.known_to is not None and self.known_to < today + AHEAD

    @property
    def shut(self) -> list[Closure]:
        """The closures, and the holidays between the terms."""
        gaps = [
            Closure(before.ends + timedelta(days=1), after.starts - timedelta(days=1))
            for before, after in pairwise(sorted(self.terms))
            if after.starts - before.ends > timedelta(days=1)
        ]
        return [*self.closures, *gaps]


def check_calendar(calendar: Calendar) -> None:
    """Refuse terms that overlap. Raises `Refusal` validation."""
    in_order = sorted(calendar.terms)
    if any(after.starts <= before.ends for before, after in pairwise(in_order)):
        fault = Fault("/terms", "terms-overlap", "A term must end before the next one starts.")
        raise Refusal("validation", errors=[fault])


def plan_meeting_by(latest_meeting_on: date, calendar: Calendar, *, at_school: bool) -> Reckoned | None:
    """The day to plan a meeting for: the last working day on or before the latest safe one and, where a school must
    act, the last day on which it is open. None where the bank holidays of that year are not known."""
    known = at_school and calendar.knows(latest_meeting_on)
    closures = [{"from": closure.first, "to": closure.last} for closure in calendar.shut] if known else []
    holidays = BankHolidays.offline().with_days(calendar.closed_days)
    try:
        why = explain("plan_date", {"due": latest_meeting_on, "closures": closures}, holidays=holidays)
    except MissingHolidayYear:
        return None
    cited = why.cited["plan_date"]
    return Reckoned(
        name="plan_meeting_by",
        on=cited.date,
        rule_id=cited.rule_id,
        citation=cited.citation,
        force=cited.force,
        text=why.text,
        open_points=(_UNKNOWN,) if at_school and not known else (),
    )


def falling_back(own: Calendar | None, council: Calendar) -> Calendar:
    """A school's own terms and closures, or the council's; closed days are everybody's."""
    if own is None:
        return council
    return Calendar(own.terms, own.closures, council.closed_days)


def running_out(calendars: Iterable[tuple[str, Calendar]], today: date) -> list[str]:
    """Whose terms end soon."""
    return [name for name, calendar in calendars if calendar.runs_out(today)]
