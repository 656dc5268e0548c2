"""The operations that rules are made of: a name, a function, and the words an explanation uses for it.

An operation gets its arguments by name. Unless it `takes_none`, an argument that is not known (None) makes the
result not known, so that "no meeting yet" gives "no limit from the meeting yet" and never an invented date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from inspect import signature
from typing import Any, TypeGuard

from send_statute import ages, clock, counting
from send_statute.errors import MissingHolidayYear
from send_statute.holidays import BankHolidays
from send_statute.policy import check_under5_interval
from send_statute.terms import Closure, planning_day
from send_statute.wording import MONTHS, WEEKDAYS, counted, in_words, joined, month_in_words

Words = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True, slots=True)
class Operation:
    """One primitive. `words` says how the result was reached, given the arguments' values."""

    name: str
    run: Callable[..., Any]
    words: Words
    takes_none: bool = False
    needs_holidays: bool = False

    def refuses(self, names: Iterable[str]) -> str:
        """Why it cannot be run with arguments of these names; empty if it can."""
        calendar = (None,) if self.needs_holidays else ()
        try:
            signature(self.run).bind(*calendar, **dict.fromkeys(names))
        except TypeError as problem:
            return str(problem)
        return ""


OPERATIONS: dict[str, Operation] = {}


def _op(
    name: str,
    run: Callable[..., Any],
    words: Words | str,
    *,
    takes_none: bool = False,
    holidays: bool = False,
) -> None:
    template = words
    say: Words = (
        template
        if callable(template)
        else lambda args: template.format(**{k: in_words(v) for k, v in args.items()})
    )
    OPERATIONS[name] = Operation(name, run, say, takes_none, holidays)


# -- periods ---------------------------------------------------------------------------------------------------


def _cut_short(event: Any, months: Any, *, back: bool = False) -> str:
    """Says so where the month reached has no such day: " (there is no 31 February 2026)"."""
    if not is_day(event):
        return ""
    reached, exists = counting.corresponding_date(event, -months if back else months)
    return "" if exists else f" (there is no {event.day} {month_in_words(reached)})"


_op(
    "within_n_weeks_of",
    counting.within_n_weeks_of,
    lambda a: f"{counted(a['weeks'], 'week')} after {in_words(a['event'])}, not counting that day",
)
_op(
    "within_n_days_of",
    counting.within_n_days_of,
    lambda a: f"{counted(a['days'], 'day')} after {in_words(a['event'])}, not counting that day",
)
_op(
    "within_n_months_of",
    counting.within_n_months_of,
    lambda a: (
        f"{counted(a['months'], 'month')} after {in_words(a['event'])}{_cut_short(a['event'], a['months'])}"
    ),
)
_op(
    "n_days_beginning_with",
    counting.n_days_beginning_with,
    lambda a: f"{counted(a['days'], 'day')}, counting {in_words(a['event'])} as day 1",
)
_op(
    "period_months_starting_with",
    counting.period_months_starting_with,
    lambda a: (
        f"{counted(a['months'], 'month')} starting with {in_words(a['event'])}{_cut_short(a['event'], a['months'])}"
    ),
)
_op("before", counting.before, "the last day before {limit}")
_op("by", counting.by, "{limit}")
_op("same_day", counting.by, "{limit}")
_op(
    "at_least_n_days_before",
    counting.at_least_n_days_before,
    lambda a: f"at least {counted(a['days'], 'day')} before {in_words(a['target'])}",
)
_op(
    "at_least_n_months_before",
    counting.at_least_n_months_before,
    lambda a: (
        f"at least {counted(a['months'], 'month')} before {in_words(a['target'])}{_cut_short(a['target'], a['months'], back=True)}"
    ),
)
_op(
    "days_after",
    counting.days_after,
    lambda a: f"{counted(a['days'], 'day')} after {in_words(a['event'])}",
)
_op(
    "every_n_months",
    counting.every_n_months,
    lambda a: (
        f"every {counted(a['months'], 'month')} from {in_words(a['anchor'])}, in less than "
        f"{counted(a['below_months'], 'month')} and before {in_words(a['before_day'])}"
        if a["months"]
        else "switched off"
    ),
)


def _of_year(year: Any) -> str:
    return f" {year}" if isinstance(year, int) else f" of the {in_words(year)}"


_op(
    "day_in_year",
    counting.day_in_year,
    lambda a: f"{a['day']} {MONTHS[a['month'] - 1]}{_of_year(a['year'])}",
)
_op(
    "last_weekday_of_month",
    counting.last_weekday_of_month,
    lambda a: f"the last {WEEKDAYS[a['weekday']]} of {MONTHS[a['month'] - 1]}{_of_year(a['year'])}",
)


def _days(month_days: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    return tuple((int(day[:2]), int(day[3:])) for day in month_days)


def _fixed_days(month_days: tuple[str, ...]) -> str:
    return joined([f"{day} {MONTHS[month - 1]}" for month, day in _days(month_days)], "or")


_op(
    "first_of_days_on_or_after",
    lambda event, month_days: counting.first_of_days_on_or_after(event, _days(month_days)),
    lambda a: f"the first {_fixed_days(a['month_days'])} on or after {in_words(a['event'])}",
)


def _window_end(day: date, start: date, end: date) -> date | None:
    return end if start <= day <= end else None


_op("end_if_within", _window_end, "the end of the days from {start} to {end}, if {day} is one of them")

# -- working days ----------------------------------------------------------------------------------------------

_op(
    "n_working_days_beginning_with",
    lambda holidays, event, days: holidays.n_working_days_beginning_with(event, days),
    lambda a: f"{counted(a['days'], 'working day')} beginning with {in_words(a['event'])}",
    holidays=True,
)
_op(
    "within_n_working_days_of",
    lambda holidays, event, days: holidays.within_n_working_days_of(event, days),
    lambda a: f"{counted(a['days'], 'working day')} after {in_words(a['event'])}, not counting that day",
    holidays=True,
)
_op(
    "working_days_from_to",
    lambda holidays, start, end: holidays.working_days_from_to(start, end),
    "working days from {start} to the day before {end}",
    holidays=True,
)
_op(
    "is_working_day",
    lambda holidays, day: holidays.is_working_day(day),
    "asking whether {day} is not a Saturday, Sunday or bank holiday",
    holidays=True,
)
_op(
    "first_working_day_on_or_after",
    lambda holidays, day: holidays.first_on_or_after(day),
    "the first working day on or after {day}",
    holidays=True,
)
_op(
    "bank_holidays_of",
    lambda holidays, year: holidays.of_year(year),
    "bank holidays of England and Wales in {year}",
    holidays=True,
)


def _planning_day(holidays: BankHolidays, due: date) -> date | None:
    try:
        return holidays.last_on_or_before(due)
    except MissingHolidayYear:
        return None  # only a planning date: the statutory date stands without it


_op("planning_day", _planning_day, "the last working day on or before {due}", holidays=True)
_op(
    "school_planning_day",
    lambda holidays, due, closures: planning_day(due, [Closure(a, b) for a, b in closures], holidays),
    "the last working day on or before {due} on which the school is open",
    holidays=True,
)

# -- instants, ages, years -------------------------------------------------------------------------------------

_op("local_date", clock.local_date, "the day in England at {instant}")
_op("end_of_day", clock.end_of_day, "the local midnight that ends {due}")
_op("attained_on", ages.birthday, "the day on which somebody born on {birth} is {age}")
_op("age_on", ages.age_on, "completed years on {on} of somebody born on {birth}")
_op("academic_year_of", ages.academic_year, "the school year of {on}")
_op("academic_year_start", ages.academic_year_start, "the year in which school year {year} starts")
_op("year_of", lambda day: day.year, "the calendar year of {day}")
_op("plus", lambda value, add: value + add, "{value} plus {add}")
_op("minus", lambda value, less: value - less, "{value} less {less}")

_op(
    "falls_on",
    lambda day, month, day_of_month: (day.month, day.day) == (month, day_of_month),
    lambda a: f"asking whether {in_words(a['day'])} falls on {a['day_of_month']} {MONTHS[a['month'] - 1]}",
)

# -- comparing and choosing ------------------------------------------------------------------------------------


def _earlier(of: tuple[Any, ...]) -> Any:
    known = [value for value in of if value is not None]
    return min(known) if known else None


def _later(of: tuple[Any, ...]) -> Any:
    known = [value for value in of if value is not None]
    return max(known) if known else None


def _one_of(which: str) -> Words:
    """ "the earlier of A and B"; where only one day is known, or both are the same, that day."""

    def words(args: Mapping[str, Any]) -> str:
        known = list(dict.fromkeys(in_words(value) for value in args["of"] if value is not None))
        return f"the {which} of {joined(known)}" if len(known) > 1 else joined(known)

    return words


_op("earlier_of", _earlier, _one_of("earlier"), takes_none=True)
_op("later_of", _later, _one_of("later"), takes_none=True)


def _known(words: str) -> Words:
    """Nothing to add where there is nothing."""
    return lambda args: "" if args["of"] is None else words.format(of=in_words(args["of"]))


_op(
    "first_known",
    lambda of: next((value for value in of if value is not None), None),
    lambda a: f"the first that is known of {joined([in_words(v) for v in a['of']])}",
    takes_none=True,
)
_op("is_known", lambda of: of is not None, _known("asking whether {of} is known"), takes_none=True)
_op("is_unknown", lambda of: of is None, _known("asking whether {of} is not known"), takes_none=True)
_op("is_before", lambda first, second: first < second, "asking whether {first} is before {second}")
_op(
    "is_on_or_before",
    lambda first, second: first <= second,
    "asking whether {first} is on or before {second}",
)
_op("is_after", lambda first, second: first > second, "asking whether {first} is after {second}")
_op("is_on_or_after", lambda first, second: first >= second, "asking whether {first} is on or after {second}")
_op("is_at_least", lambda value, least: value >= least, "asking whether {value} is at least {least}")
_op("is_at_most", lambda value, most: value <= most, "asking whether {value} is at most {most}")
_op("is_equal", lambda first, second: first == second, "asking whether {first} is {second}")
_op("is_not", lambda of: not of, "the opposite of {of}")
_op(
    "is_within",
    lambda day, start, end: start <= day <= end,
    "asking whether {day} lies from {start} to {end}, both included",
)
_op("if_so", lambda test, value: value if test else None, "{value}, if it applies: {test}")


def _all(of: tuple[bool | None, ...]) -> bool | None:
    if False in of:
        return False
    return None if None in of else True


def _any(of: tuple[bool | None, ...]) -> bool | None:
    if True in of:
        return True
    return None if None in of else False


_op("all_of", _all, lambda a: "all of: " + joined([in_words(v) for v in a["of"]]), takes_none=True)
_op("any_of", _any, lambda a: "any of: " + joined([in_words(v) for v in a["of"]], "or"), takes_none=True)
_op(
    "days_between",
    lambda start, end: (end - start).days,
    "days from {start} to the day before {end}",
)
_op("days_late", lambda due, done: max(0, (done - due).days), "days by which {done} is after {due}")


def _overlap(first_from: date, first_to: date, second_from: date, second_to: date | None) -> int:
    return counting.overlap_days(first_from, first_to, second_from, second_to)


_op(
    "overlap_days",
    _overlap,
    "days from {first_from} to {first_to} that are also from {second_from} to {second_to}, all ends included",
    takes_none=True,
)


def _choose(by: str, **options: Any) -> Any:
    return options[by]


_op("choose", _choose, lambda a: f"as chosen: {in_words(a['by'])}", takes_none=True)


def _decide(rows: tuple[Mapping[str, Any], ...], otherwise: Any = None, **names: Any) -> Any:
    """The `then` of the first row whose every other column holds: a value, or a list of values, of that name."""
    for row in rows:
        if all(
            names[column] in wanted if isinstance(wanted, list) else names[column] == wanted
            for column, wanted in row.items()
            if column != "then"
        ):
            return row.get("then")
    return otherwise


_op(
    "decide",
    _decide,
    lambda a: (
        "by the table, for "
        + joined(
            [f"{k.replace('_', ' ')} {in_words(v)}" for k, v in a.items() if k not in ("rows", "otherwise")]
        )
    ),
    takes_none=True,
)


def _last_of_events(first: date, events: tuple[tuple[str, date], ...], resets: tuple[str, ...]) -> date:
    return max([first, *(on for kind, on in events if kind in resets)])


_op(
    "last_of_events",
    _last_of_events,
    lambda a: (
        f"the last of {in_words(a['first'])} and every {joined([in_words(r) for r in a['resets']], 'or')}"
    ),
)


def _interval(months: int) -> int:
    check_under5_interval(months)
    return months


_op("under5_interval", _interval, "{months} months, within what the guidance leaves to the council")


def is_day(value: Any) -> TypeGuard[date]:
    """Whether a value is a plain day (an instant is a `date` to Python, but not to the law)."""
    return isinstance(value, date) and not isinstance(value, datetime)
