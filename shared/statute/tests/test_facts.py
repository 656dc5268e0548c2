"""Facts that are absent, of the wrong type, impossible or too many: a refusal that names the fact, never a traceback."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statute_cases import golden

from send_statute import (
    BadFact,
    MissingFact,
    MissingHolidayYear,
    NotInForce,
    PolicyOutsideLaw,
    Rule,
    evaluate,
    explain,
    rules,
)

COMPUTING = [rule for rule in rules() if rule.inputs]
GIVEN = {case.rule: case.given for case in golden() if not case.refused}

NOT_A_DATE = [
    "",
    "2025-02-29",
    "2025-13-01",
    "2025-06-31",
    "0000-01-01",
    "1899-12-31",
    "2200-01-01",
    "9999-12-31",
    "20250601",
    "2025-6-1",
    "01/06/2025",
    " 2025-06-01",
    "2025-06-01\n",
    "2025-06-01T00:00:00Z",
    "2025-W23-1",
    "٢٠٢٥-٠٦-٠١",
    "today",
    20250601,
    1.5,
    True,
    [],
    {},
    b"2025-06-01",
    date.min,
    date.max,
    datetime(2025, 6, 1),  # noqa: DTZ001
    datetime.min.replace(tzinfo=UTC),
    datetime.max.replace(tzinfo=UTC),
]
NOT_A_NUMBER = ["six", "6.0", "1_0", "٦", "9" * 5000, 6.0, float("nan"), True, [], 5001, -5001, 10**30]


@pytest.mark.parametrize("value", NOT_A_DATE, ids=repr)
def test_what_is_no_day_is_refused_and_the_fact_named(value: Any) -> None:
    with pytest.raises(BadFact, match=r"^rule 'report_2w', fact 'meeting': ") as refusal:
        evaluate("report_2w", {"meeting": value})
    assert (refusal.value.rule, refusal.value.fact) == ("report_2w", "meeting")
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("value", NOT_A_NUMBER, ids=lambda value: repr(value)[:20])
def test_what_is_no_whole_number_in_reach_is_refused_and_the_fact_named(value: Any) -> None:
    with pytest.raises(BadFact, match=r"^rule 'within_n_weeks_of', fact 'weeks': ") as refusal:
        evaluate("within_n_weeks_of", {"event": "2026-01-01", "weeks": value})
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("value", ["maybe", 1, 0, [], "2025-06-01"])
def test_what_is_neither_true_nor_false_is_refused(value: Any) -> None:
    with pytest.raises(BadFact, match="'health_only': must be true or false"):
        evaluate("mediation_30d", {"la_informed": "2025-10-20", "health_only": value})


@pytest.mark.parametrize(
    "value", ["2025", "2025-26", "2025/27", "1899/00", "2200/01", 2025, date(2025, 9, 1)]
)
def test_what_is_no_academic_year_is_refused(value: Any) -> None:
    with pytest.raises(BadFact, match="'ncy', fact 'academic_year': must "):
        evaluate("ncy", {"date_of_birth": "2015-08-31", "academic_year": value})


@pytest.mark.parametrize(
    "value",
    ["soon", 5, {"type": "review_concluded"}, ["x"], [{"type": "la_transfer"}], [{"date": "2025-01-01"}]],
)
def test_events_that_lack_something_are_refused(value: Any) -> None:
    with pytest.raises(BadFact, match=r"'review_anchor', fact 'events': (must be a list|lacks)"):
        evaluate("review_anchor", {"plan_first_made": "2024-01-15", "events": value})


def test_a_fact_given_under_another_name_is_refused_under_that_name() -> None:
    with pytest.raises(
        BadFact, match="fact 'last_reviewed': must be a date such as 2025-11-24; there is no 2025-02-30"
    ):
        evaluate("review_annual", {"last_reviewed": "2025-02-30"})


@pytest.mark.parametrize("facts", [None, [], "anchor", 5])
def test_facts_that_are_no_names_with_values_are_refused(facts: Any) -> None:
    with pytest.raises(BadFact, match="'facts': must be names with values"):
        evaluate("review_annual", facts)


def test_facts_that_a_rule_does_not_take_change_nothing() -> None:
    facts = {"meeting": "2025-10-15", "anchor": "not even a date", "colour": object(), 7: None}
    assert evaluate("report_2w", facts) == {"due": "2025-10-29"}


def test_an_instant_may_carry_any_offset_and_is_utc_without_one() -> None:
    for text in (
        "2026-06-30T23:30:00Z",
        "2026-07-01T00:30:00+01:00",
        "2026-06-30T23:30:00",
        "2026-06-30T23:30Z",
    ):
        assert evaluate("clock_local_date", {"event_utc": text}) == {"local_date": "2026-07-01"}


@pytest.mark.parametrize("rule", COMPUTING, ids=[rule.id for rule in COMPUTING])
def test_every_fact_that_is_needed_is_named_when_it_is_absent_or_null(rule: Rule) -> None:
    known = dict(GIVEN.get(rule.id, rule.example))
    for fact in rule.inputs:
        if fact.optional or not set(known) & {fact.name, *fact.also}:
            continue
        for nothing in ({}, {fact.name: None}):
            left = {name: value for name, value in known.items() if name not in (fact.name, *fact.also)}
            with pytest.raises(MissingFact) as refusal:
                evaluate(rule.id, left | nothing)
            assert refusal.value.fact == fact.name
            assert f"needs the fact '{fact.name}'" in str(refusal.value)


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.binary(max_size=4),
    st.dates().map(date.isoformat),
    st.dates(),
    st.datetimes(timezones=st.none() | st.just(UTC)),
    st.sampled_from(
        ["2025/26", "fe", "other", "assess", "primary_to_secondary", "cease", "yes", "2025-06-01T10:00:00Z"]
    ),
    st.lists(
        st.dictionaries(st.sampled_from(["type", "date", "from", "to"]), st.text(max_size=10) | st.dates()),
        max_size=3,
    ),
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(COMPUTING), st.data())
def test_whatever_is_given_there_is_an_answer_in_json_or_a_refusal_that_names_a_fact(
    rule: Rule, data: st.DataObject
) -> None:
    changed = data.draw(st.sets(st.sampled_from([fact.name for fact in rule.inputs]), min_size=1))
    facts = {**rule.example, **{name: data.draw(anything) for name in sorted(changed)}}
    answer = answered(rule, facts)
    assert answer == answered(rule, facts)
    if isinstance(answer, dict):
        assert json.loads(json.dumps(answer, allow_nan=False)) == answer
        assert list(answer) == [name for name in rule.results if name in answer]
        json.dumps(explain(rule.id, facts).to_dict(), allow_nan=False)
    else:
        names = {name for fact in rule.inputs for name in (fact.name, *fact.also)}
        assert answer in names | {" or ".join(rule.needs_one_of), "another refusal"}


def answered(rule: Rule, facts: dict[str, Any]) -> dict[str, Any] | str:
    """What a rule answers: results, or the fact that the refusal names (others name the day, the year, the setting)."""
    try:
        return evaluate(rule.id, facts)
    except (BadFact, MissingFact) as refusal:
        return refusal.fact
    except (NotInForce, MissingHolidayYear, PolicyOutsideLaw):
        return "another refusal"
