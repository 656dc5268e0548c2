"""Reading facts: ISO strings or values in, checked values out. A fact that is needed and absent is never guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from reprlib import repr as shortened
from typing import Any

from send_statute.ages import academic_year_start
from send_statute.clock import local_date
from send_statute.errors import BadFact, MissingFact
from send_statute.pack import Input, Rule
from send_statute.policy import Policy

_ISO_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,4}", re.ASCII)

# Days outside these years and longer counts are slips of the finger; within them no reckoning leaves the calendar.
FIRST_YEAR, LAST_YEAR, LARGEST = 1900, 2199, 5000


def read_facts(rule: Rule, facts: Mapping[str, Any], policy: Policy) -> tuple[dict[str, Any], dict[str, str]]:
    """The values of a rule's inputs, and the meaning of each as given. Facts the rule does not take are left aside."""
    if not isinstance(facts, Mapping):
        raise BadFact(rule.id, "facts", f"must be names with values, not {shortened(facts)}")
    values: dict[str, Any] = {}
    meanings: dict[str, str] = {}
    for fact in rule.inputs:
        name, meanings[fact.name] = _given(fact, facts)
        values[fact.name] = None if facts.get(name) is None else _read(rule.id, name, fact, facts[name])
    for fact in rule.inputs:
        if values[fact.name] is None:
            values[fact.name] = _default(fact, values, policy)
        if values[fact.name] is None and not fact.optional:
            raise MissingFact(rule.id, fact.name)
    if rule.needs_one_of and all(values[name] is None for name in rule.needs_one_of):
        raise MissingFact(rule.id, " or ".join(rule.needs_one_of))
    return values, meanings


def setting(policy: Policy, name: str) -> Any:
    """The policy setting behind a name such as "policy.basis"."""
    return getattr(policy, name.removeprefix("policy."))


def _given(fact: Input, facts: Mapping[str, Any]) -> tuple[str, str]:
    """The name under which a fact is given, its own unless only another has a value, and what that name means."""
    if facts.get(fact.name) is None:
        for other, meaning in fact.also.items():
            if facts.get(other) is not None:
                return other, meaning
    return fact.name, fact.meaning


def _default(fact: Input, values: Mapping[str, Any], policy: Policy) -> Any:
    if isinstance(fact.default, str):
        if fact.default.startswith("policy."):
            return setting(policy, fact.default)
        return values[fact.default]
    if fact.default is None and fact.type in ("closures", "events"):
        return ()
    return fact.default


def _read(rule: str, name: str, fact: Input, given: Any) -> Any:
    try:
        value: Any = _READERS[fact.type](given)
    except KeyError as lacking:
        raise BadFact(rule, name, f"lacks {lacking}") from None
    except (ValueError, TypeError, OverflowError) as problem:
        raise BadFact(rule, name, str(problem)) from None
    for word in (kind for kind, _ in value) if fact.type == "events" else (value,):
        if fact.choices and word not in fact.choices:
            raise BadFact(rule, name, f"must be one of {', '.join(fact.choices)}, not {shortened(word)}")
    if fact.least is not None and value < fact.least:
        raise BadFact(rule, name, f"must be at least {fact.least}, not {value}")
    return value


def read_day(given: Any) -> date:
    """A day from a `date`, an aware `datetime` (its day in England) or YYYY-MM-DD, in the years 1900 to 2199."""
    if isinstance(given, datetime):
        day = local_date(given)
    elif isinstance(given, date):
        day = given
    elif isinstance(given, str) and _ISO_DAY.fullmatch(given):
        day = _day_of_calendar(given)
    else:
        raise ValueError(f"must be a date such as 2025-11-24, not {shortened(given)}")
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError(f"must be a date in the years {FIRST_YEAR} to {LAST_YEAR}, not {day}")
    return day


def _day_of_calendar(given: str) -> date:
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise ValueError(f"must be a date such as 2025-11-24; there is no {given}") from None


def _instant(given: Any) -> datetime:
    """An instant from an aware `datetime` or ISO text; text without an offset is UTC, as the fact's name says."""
    if isinstance(given, str) and _ISO_DAY.match(given):
        read = datetime.fromisoformat(given)
        instant = read if read.tzinfo else read.replace(tzinfo=UTC)
    elif isinstance(given, datetime) and given.tzinfo:
        instant = given
    else:
        raise ValueError(f"must be an instant such as 2026-06-30T23:30:00Z, not {shortened(given)}")
    read_day(instant)
    return instant


def _whole(given: Any) -> int:
    if isinstance(given, str) and _WHOLE.fullmatch(given):
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int):
        raise ValueError(f"must be a whole number, not {shortened(given)}")
    if abs(given) > LARGEST:
        raise ValueError(f"must be a whole number of at most {LARGEST}, not {shortened(given)}")
    return given


_YES_NO = {"true": True, "yes": True, "false": False, "no": False}


def _yes_no(given: Any) -> bool:
    answer = _YES_NO.get(given.lower()) if isinstance(given, str) else given
    if not isinstance(answer, bool):
        raise ValueError(f"must be true or false, not {shortened(given)}")
    return answer


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise ValueError(f"must be text, not {shortened(given)}")
    return given


def _academic_year(given: Any) -> str:
    if not FIRST_YEAR <= academic_year_start(_text(given)) <= LAST_YEAR:
        raise ValueError(f"must start in the years {FIRST_YEAR} to {LAST_YEAR}, not {given}")
    return str(given)


def _rows(given: Any) -> list[Mapping[str, Any]]:
    if not isinstance(given, list | tuple) or not all(isinstance(row, Mapping) for row in given):
        raise ValueError(f"must be a list of objects, not {shortened(given)}")
    return list(given)


def _closures(given: Any) -> tuple[tuple[date, date], ...]:
    read = tuple((read_day(row["from"]), read_day(row["to"])) for row in _rows(given))
    for first, last in read:
        if last < first:
            raise ValueError(f"a closure cannot end ({last}) before it begins ({first})")
    return read


def _events(given: Any) -> tuple[tuple[str, date], ...]:
    return tuple((_text(row["type"]), read_day(row["date"])) for row in _rows(given))


_READERS = {
    "date": read_day,
    "instant": _instant,
    "int": _whole,
    "bool": _yes_no,
    "text": _text,
    "academic_year": _academic_year,
    "closures": _closures,
    "events": _events,
}
