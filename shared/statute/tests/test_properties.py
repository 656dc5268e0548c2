"""What must hold whatever the dates: order of the stages, monotony, leap years, month ends, both clock changes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from send_statute import (
    BankHolidays,
    academic_year,
    age_on,
    birthday_at,
    compulsory_school_age,
    end_of_day,
    evaluate,
    explain,
    fifth_birthday,
    load_pack,
    local_date,
    ncy,
    next_dates,
    young_person_from,
)
from send_statute.counting import corresponding_date, period_months_starting_with, within_n_months_of

DAY = timedelta(days=1)
days = st.dates(date(2015, 1, 1), date(2027, 6, 30))
working_years = st.dates(date(2015, 1, 1), date(2027, 12, 1))
births = st.dates(date(1998, 1, 1), date(2026, 6, 30))


def due(rule: str, result: str, facts: dict[str, Any]) -> date:
    return date.fromisoformat(evaluate(rule, facts)[result])


# Every rule that counts from one day: a later start never gives an earlier end.
ONE_DAY_RULES = [
    (rule.id, rule.inputs[0].name, result)
    for rule in load_pack().rules()
    if [fact.type for fact in rule.inputs] == ["date"] and rule.valid_to is None
    for result in rule.results
    if result not in ("adjusted", "working_day", "young_person_from")
]


@pytest.mark.parametrize(("rule", "fact", "result"), ONE_DAY_RULES)
def test_a_later_start_never_gives_an_earlier_end(rule: str, fact: str, result: str) -> None:
    start = date(2023, 12, 25)
    answers = [evaluate(rule, {fact: start + n * DAY})[result] for n in range(800)]
    assert all(a <= b for a, b in pairwise(answers))


@given(days)
def test_the_stages_of_an_assessment_come_in_order(start: date) -> None:
    line = evaluate("assessment_timeline", {"request_received": start})
    order = ["day0", "decision_due", "no_plan_due", "draft_latest", "final_due"]
    assert [line[name] for name in order] == sorted(line[name] for name in order)


@given(days)
def test_a_draft_served_on_its_latest_day_leaves_the_family_its_time(start: date) -> None:
    line = evaluate("assessment_timeline", {"request_received": start})
    window = evaluate("draft_reps_15d", {"draft_served": line["draft_latest"]})
    assert window["earliest_final"] == line["final_due"]


@given(days)
def test_the_stages_around_a_meeting_come_in_order(meeting: date) -> None:
    chain = evaluate("review_meeting", {"meeting": meeting}) | {"meeting": meeting.isoformat()}
    order = [
        "advice_request_by",
        "notice_plan",
        "notice_due",
        "meeting",
        "report_due",
        "decision_due",
        "final_longstop",
    ]
    assert [chain[name] for name in order] == sorted(chain[name] for name in order)


@given(days)
def test_a_meeting_on_the_latest_safe_day_gives_its_four_weeks_to_the_decision(anchor: date) -> None:
    review = evaluate("review_annual", {"anchor": anchor})
    decision = evaluate("review_decision_due", {"anchor": anchor, "meeting": review["latest_meeting"]})
    assert decision["decision_due"] == review["strict_due"] == decision["meeting_limb_due"]


@given(days, st.integers(0, 400))
def test_a_decision_is_never_due_after_the_review(anchor: date, later: int) -> None:
    decision = evaluate("review_decision_due", {"anchor": anchor, "meeting": anchor + later * DAY})
    assert decision["decision_due"] <= decision["review_due"]
    assert decision["decision_due"] <= decision["meeting_limb_due"]


@given(days, st.integers(0, 120))
def test_the_final_amended_plan_is_due_by_the_earlier_limb_and_conflict_says_when_it_cannot_be(
    meeting: date, later: int
) -> None:
    amend = evaluate("review_amend", {"meeting": meeting, "notice_sent": meeting + later * DAY})
    assert amend["final_due"] == min(amend["eight_week_due"], amend["twelve_week_due"])
    assert amend["conflict"] == (amend["earliest_final"] > amend["final_due"])
    assert amend["reps_close"] < amend["earliest_final"]


@given(days)
@example(date(2024, 2, 29))
@example(date(2023, 3, 1))
def test_twelve_months_are_the_anniversary_less_a_day_unless_it_does_not_exist(anchor: date) -> None:
    review = evaluate("review_annual", {"anchor": anchor})
    strict, anniversary = (date.fromisoformat(review[name]) for name in ("strict_due", "anniversary_due"))
    leap = (anchor.month, anchor.day) == (2, 29)
    assert anniversary - strict == (timedelta() if leap else DAY)
    assert (strict - anchor).days in (364, 365)
    assert date.fromisoformat(review["latest_meeting"]) < strict


@given(days, st.integers(-60, 60))
def test_months_are_clipped_to_the_month_end_and_counted_from_the_day_itself(
    event: date, months: int
) -> None:
    reached, exists = corresponding_date(event, months)
    assert (reached.year * 12 + reached.month) - (event.year * 12 + event.month) == months
    assert reached.day == event.day if exists else (reached + DAY).day == 1
    assert reached.day <= event.day


@given(days, st.integers(1, 24))
def test_a_period_of_months_ends_at_most_a_day_before_the_corresponding_date(
    event: date, months: int
) -> None:
    assert within_n_months_of(event, months) - period_months_starting_with(event, months) in (
        timedelta(),
        DAY,
    )


@given(st.dates(date(2000, 1, 1), date(2037, 12, 31)))
@example(date(2026, 3, 29))
@example(date(2026, 10, 25))
def test_every_instant_of_a_day_in_england_belongs_to_it_also_when_the_clocks_change(day: date) -> None:
    ends = end_of_day(day)
    assert local_date(ends) == day + DAY
    assert local_date(ends - timedelta(microseconds=1)) == day
    assert local_date(end_of_day(day - DAY)) == day


def test_the_day_the_clocks_go_forward_has_23_hours_and_the_day_they_go_back_25() -> None:
    assert end_of_day(date(2026, 3, 29)) - end_of_day(date(2026, 3, 28)) == timedelta(hours=23)
    assert end_of_day(date(2026, 10, 25)) - end_of_day(date(2026, 10, 24)) == timedelta(hours=25)


def test_an_instant_without_an_offset_has_no_day() -> None:
    with pytest.raises(ValueError, match="offset"):
        local_date(datetime(2026, 1, 1, 12))  # noqa: DTZ001


@given(st.datetimes(datetime(2020, 1, 1), datetime(2027, 1, 1)))  # noqa: DTZ001
def test_the_local_day_is_the_utc_day_or_the_next(instant: datetime) -> None:
    aware = instant.replace(tzinfo=UTC)
    assert local_date(aware) - aware.date() in (timedelta(), DAY)


@given(births, st.integers(0, 30))
def test_an_age_is_attained_on_the_first_day_it_is_completed(birth: date, age: int) -> None:
    attained = birthday_at(birth, age)
    assert age_on(birth, attained) == age
    assert age_on(birth, attained - DAY) == age - 1


@given(births, st.integers(2015, 2040))
@example(date(2016, 2, 29), 2025)
def test_the_year_group_is_the_age_at_31_august_less_four(birth: date, start: int) -> None:
    year = f"{start}/{(start + 1) % 100:02d}"
    assert ncy(birth, year) == age_on(birth, date(start, 8, 31)) - 4
    assert ncy(birth, f"{start + 1}/{(start + 2) % 100:02d}") == ncy(birth, year) + 1
    assert ncy(birth + DAY, year) - ncy(birth, year) == (-1 if (birth.month, birth.day) == (8, 31) else 0)


@given(days)
def test_an_academic_year_begins_on_1_september(on: date) -> None:
    start = int(academic_year(on)[:4])
    assert date(start, 9, 1) <= on <= date(start + 1, 8, 31)


@given(births)
def test_compulsory_school_age_starts_after_five_and_ends_on_a_friday_in_the_last_week_of_june(
    birth: date,
) -> None:
    starts, ends = compulsory_school_age(birth)
    assert timedelta() <= starts - fifth_birthday(birth) < timedelta(days=154)
    assert (ends.weekday(), ends.month) == (4, 6)
    assert ends.day >= 24
    assert young_person_from(birth) == ends + DAY


@given(working_years, st.integers(1, 20))
def test_working_days_end_on_a_working_day_and_count_as_many(event: date, count: int) -> None:
    calendar = BankHolidays.offline()
    counted = calendar.n_working_days_beginning_with(event, count)
    assert calendar.is_working_day(counted)
    assert calendar.working_days_from_to(event, counted + DAY) == count
    after = calendar.within_n_working_days_of(event, count)
    assert calendar.working_days_from_to(event + DAY, after + DAY) == count


@given(working_years, st.one_of(st.none(), st.integers(0, 120)))
def test_the_appeal_deadline_is_a_working_day_outside_the_excluded_days_and_never_before_the_raw_date(
    sent: date, certificate_after: int | None
) -> None:
    certificate = None if certificate_after is None else sent + certificate_after * DAY
    if max(sent, certificate or sent) > date(2027, 10, 1):
        return
    appeal = evaluate("appeal_deadline", {"notice_sent": sent, "mediation_certificate": certificate})
    raw, deadline = date.fromisoformat(appeal["raw"]), date.fromisoformat(appeal["deadline"])
    assert raw <= deadline
    assert BankHolidays.offline().is_working_day(deadline)
    assert (appeal["adjusted"] == "none") == (raw == deadline)
    if appeal["adjusted"] == "august":
        assert (raw.month, deadline.month) == (8, 9)
    if appeal["adjusted"] == "christmas":
        assert deadline.month == 1


@given(births, days, st.sampled_from([0, 3, 4, 5, 6, 7, 8, 9, 10, 11]))
def test_interim_reviews_lie_within_the_year_and_before_the_fifth_birthday(
    birth: date, anchor: date, months: int
) -> None:
    answer = evaluate("review_under5", {"date_of_birth": birth, "anchor": anchor, "interval_months": months})
    assert answer["interims"] == sorted(answer["interims"])
    assert all(anchor.isoformat() < day <= answer["annual_due"] for day in answer["interims"])
    assert all(day < answer["fifth_birthday"] for day in answer["interims"])
    assert len(answer["interims"]) <= (0 if months == 0 else 11 // months)


@given(days)
def test_explaining_gives_the_same_dates_as_evaluating(anchor: date) -> None:
    told = explain("review_annual", {"anchor": anchor})
    assert told.to_dict()["results"] == evaluate("review_annual", {"anchor": anchor})
    assert {name: cited.date for name, cited in told.cited.items()} == dict(told.results)


# -- the batch --------------------------------------------------------------------------------------------------

ages_of_school = st.one_of(st.none(), st.integers(2, 19))
plans = st.tuples(
    st.one_of(st.none(), st.dates(date(2014, 6, 1), date(2028, 6, 1))),
    st.one_of(st.none(), st.dates(date(1999, 1, 1), date(2026, 9, 1))),
    st.one_of(st.none(), st.integers(-2, 20)),
    ages_of_school,
    ages_of_school,
)


@settings(deadline=None)  # the first call works out its tables
@given(st.lists(plans, max_size=30), st.dates(date(2024, 1, 1), date(2027, 12, 31)))
@example([(date(2026, 5, 1), date(2022, 2, 28), None, None, None)], date(2026, 11, 1))
@example([(date(2026, 5, 1), date(2021, 11, 1), 0, 4, 11)], date(2026, 11, 1))
def test_the_batch_answers_as_the_rules_do_one_by_one(rows: list[Any], on: date) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], [], [], []]
    anchors, born, taught, low, high = columns
    batch = next_dates(anchors, born, on=on, taught_ncys=taught, school_low_ages=low, school_high_ages=high)
    for row, plan in enumerate(rows):
        told = (
            batch.annual_due[row],
            batch.latest_meeting[row],
            batch.interim_due[row],
            batch.phase[row],
            batch.phase_due[row],
        )
        assert told == one_by_one(plan, on)
        assert (row in batch.problems) == (plan[0] is not None and plan[0] < date(2014, 9, 1))


def one_by_one(plan: Any, on: date) -> tuple[Any, ...]:
    anchor, birth, taught, low, high = plan
    annual = meeting = interim = phase = phase_due = None
    if anchor is not None and anchor >= date(2014, 9, 1):
        review = explain("review_annual", {"anchor": anchor}).results
        annual, meeting = review["strict_due"], review["latest_meeting"]
        if birth is not None:
            young = explain("review_under5", {"anchor": anchor, "date_of_birth": birth}).results
            interim = next((day for day in young["interims"] if day >= on), None)
    if birth is not None:
        facts = {"date_of_birth": birth, "taught_ncy": taught, "academic_year": academic_year(on)}
        cohort = explain("phase_cohort", {**facts, "school_low_age": low, "school_high_age": high}).results
        phase, phase_due = cohort["phase"], cohort["strict_due"]
    return annual, meeting, interim, phase, phase_due


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="different lengths"):
        next_dates([date(2025, 1, 1)], [], on=date(2026, 1, 1))
