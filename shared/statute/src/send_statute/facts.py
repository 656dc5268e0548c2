"""Reading facts: ISO strings or values in, checked values out. A fact that is needed and absent is never guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from send_statute.ages import academic_year_start
from send_statute.clock import local_date
from send_statute.errors import BadFact, MissingFact
from send_statute.pack import Input, Rule
from send_statute.policy import Policy

_ISO_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def read_facts(rule: Rule, facts: Mapping[str, Any], policy: Policy) -> tuple[dict[str, Any], dict[str, str]]:
    """The values of a rule's inputs, and the meaning of each as given. Facts the rule does not take are left aside."""
    values: dict[str, Any] = {}
    meanings: dict[str, str] = {}
    for fact in rule.inputs:
        given, meanings[fact.name] = _given(fact, facts)
        values[fact.name] = None if given is None else _read(rule.id, fact, given)
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


def _given(fact: Input, facts: Mapping[str, Any]) -> tuple[Any, str]:
    if facts.get(fact.name) is not None:
        return facts[fact.name], fact.meaning
    for other, meaning in fact.also.items():
        if facts.get(other) is not None:
            return facts[other], meaning
    return None, fact.meaning


def _default(fact: Input, values: Mapping[str, Any], policy: Policy) -> Any:
    if isinstance(fact.default, str):
        if fact.default.startswith("policy."):
            return setting(policy, fact.default)
        return values[fact.default]
    if fact.default is None and fact.type in ("closures", "events"):
        return ()
    return fact.default


def _read(rule: str, fact: Input, given: Any) -> Any:
    try:
        value: Any = _READERS[fact.type](given)
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        raise BadFact(rule, fact.name, _problem(problem, given)) from None
    for word in (kind for kind, _ in value) if fact.type == "events" else (value,):
        if fact.choices and word not in fact.choices:
            raise BadFact(rule, fact.name, f"must be one of {', '.join(fact.choices)}, not {word!r}")
    if fact.least is not None and value < fact.least:
        raise BadFact(rule, fact.name, f"must be at least {fact.least}, not {value}")
    return value


def _problem(problem: Exception, given: Any) -> str:
    return f"lacks {problem}" if isinstance(problem, KeyError) else str(problem) or f"cannot read {given!r}"


def read_day(given: Any) -> date:
    """A day from a `date`, an aware `datetime` (its day in England) or YYYY-MM-DD."""
    if isinstance(given, datetime):
        return local_date(given)
    if isinstance(given, date):
        return given
    if isinstance(given, str) and _ISO_DAY.fullmatch(given):
        return date.fromisoformat(given)
    raise ValueError(f"must be a date such as 2025-11-24, not {given!r}")


def _instant(given: Any) -> datetime:
    """An instant from an aware `datetime` or ISO text; text without an offset is UTC, as the fact's name says."""
    if isinstance(given, str):
        read = datetime.fromisoformat(given)
        return read if read.tzinfo else read.replace(tzinfo=UTC)
    if isinstance(given, datetime) and given.tzinfo:
        return given
    raise ValueError(f"must be an instant such as 2026-06-30T23:30:00Z, not {given!r}")


def _whole(given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int | str):
        raise ValueError(f"must be a whole number, not {given!r}")
    return int(given)


_YES_NO = {"true": True, "yes": True, "false": False, "no": False}


def _yes_no(given: Any) -> bool:
    answer = given if isinstance(given, bool) else _YES_NO.get(given.lower())
    if answer is None:
        raise ValueError(f"must be true or false, not {given!r}")
    return answer


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise ValueError(f"must be text, not {given!r}")
    return given


def _academic_year(given: Any) -> str:
    academic_year_start(_text(given))
    return str(given)


def _closures(given: Any) -> tuple[tuple[date, date], ...]:
    read = tuple((read_day(item["from"]), read_day(item["to"])) for item in given)
    for first, last in read:
        if last < first:
            raise ValueError(f"a closure cannot end ({last}) before it begins ({first})")
    return read


def _events(given: Any) -> tuple[tuple[str, date], ...]:
    return tuple((_text(item["type"]), read_day(item["date"])) for item in given)


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
