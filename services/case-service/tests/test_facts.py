"""Facts from the birth date, computed by hand from the tables of CoP 9.178, SEND Regs 2014 reg 18 and CFA 2014 s.83."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from case_service.domain.case import NO_AGES, Ages, Case
from case_service.domain.facts import facts_of, next_change, taught_in_year
from ehcp_contracts.events import Phase
from send_statute import academic_year, evaluate, ncy

PRIMARY, INFANT, FIRST, SECONDARY = Ages(4, 11), Ages(4, 7), Ages(4, 9), Ages(11, 16)


def a_case(birth_date: date, **values: Any) -> Case:
    plan = {"plan_first_made": date(2024, 5, 20)} | values
    return Case(
        id=UUID(int=1),
        la_code="351",
        administering_la="351",
        surname="Quillfeather",
        forename="Ada",
        birth_date=birth_date,
        sex="F",
        **plan,
    )


def test_a_year_5_child_at_a_primary_school_has_no_transfer_ahead() -> None:
    facts = facts_of(a_case(date(2017, 3, 2)), PRIMARY, date(2026, 9, 14))
    assert (facts.academic_year, facts.year_group, facts.phase) == ("2026/27", 5, None)
    assert (facts.addressee, facts.adulthood_preparation, facts.under5_interims) == ("parent", False, ())


def test_year_6_at_a_primary_school_transfers_before_15_february() -> None:
    facts = facts_of(a_case(date(2015, 11, 20)), PRIMARY, date(2026, 9, 1))
    assert (facts.year_group, facts.phase) == (6, Phase.PRIMARY_TO_SECONDARY)
    assert (facts.transfer_on, facts.phase_due, facts.phase_by) == (
        date(2027, 9, 1),
        date(2027, 2, 14),
        date(2027, 2, 15),
    )


def test_year_11_transfers_before_31_march_and_prepares_for_adulthood() -> None:
    facts = facts_of(a_case(date(2011, 1, 5)), SECONDARY, date(2026, 10, 1))
    assert (facts.year_group, facts.phase, facts.phase_due) == (
        11,
        Phase.SECONDARY_TO_POST16,
        date(2027, 3, 30),
    )
    assert facts.adulthood_preparation


@pytest.mark.parametrize(
    ("ages", "born", "phase"),
    [
        (INFANT, date(2020, 5, 1), Phase.INFANT_TO_JUNIOR),  # Year 2 leaves an infant school
        (PRIMARY, date(2020, 5, 1), None),  # Year 2 of a through primary does not
        (FIRST, date(2018, 5, 1), Phase.PRIMARY_TO_MIDDLE),  # Year 4 leaves a first school at 9
        (NO_AGES, date(2016, 5, 1), Phase.PRIMARY_TO_SECONDARY),  # Year 6 of a school without ages on record
        (NO_AGES, date(2023, 5, 1), Phase.EARLY_YEARS_TO_SCHOOL),  # the year before Reception, wherever
    ],
)
def test_the_ages_of_the_school_decide_who_transfers_in_2027(
    ages: Ages, born: date, phase: Phase | None
) -> None:
    assert facts_of(a_case(born), ages, date(2026, 9, 14)).phase is phase


def test_the_year_taught_decides_and_moves_up_each_september() -> None:
    """Vectors P10 and P12: born 20 July 2015, taught one year below."""
    case = a_case(date(2015, 7, 20), taught_year_group=5, taught_in="2025/26")
    in_year_5, in_year_6 = (
        facts_of(case, PRIMARY, date(2026, 3, 1)),
        facts_of(case, PRIMARY, date(2026, 9, 1)),
    )
    assert (in_year_5.year_group, in_year_5.phase) == (5, None)
    assert (in_year_6.year_group, in_year_6.phase_due) == (6, date(2027, 2, 14))


def test_reception_is_a_year_group_and_not_a_missing_one() -> None:
    case = a_case(date(2021, 7, 1), taught_year_group=0, taught_in="2026/27")
    assert taught_in_year(case, date(2026, 9, 14)) == 0
    assert facts_of(case, PRIMARY, date(2026, 9, 14)).year_group == 0


def test_a_plan_made_too_late_for_the_transfer_is_marked() -> None:
    """`phase_late_plan`: issued after 14 February of the transfer year."""
    late = a_case(date(2015, 11, 20), plan_first_made=date(2027, 2, 15))
    binding = a_case(date(2015, 11, 20), plan_first_made=date(2027, 2, 14))
    assert facts_of(late, PRIMARY, date(2027, 3, 1)).phase_deadline_impossible
    assert not facts_of(binding, PRIMARY, date(2027, 3, 1)).phase_deadline_impossible


@pytest.mark.parametrize(
    ("born", "anchor", "interims"),
    [  # vectors U1, U3, U4
        (date(2021, 10, 10), date(2025, 9, 20), (date(2026, 3, 20),)),
        (date(2020, 12, 1), date(2025, 5, 31), (date(2025, 11, 30),)),
        (date(2020, 11, 5), date(2025, 6, 1), ()),
    ],
)
def test_under_five_the_interims_hang_on_the_last_conclusion(
    born: date, anchor: date, interims: tuple[date, ...]
) -> None:
    case = a_case(born, plan_first_made=date(2024, 9, 20), last_concluded=anchor)
    assert facts_of(case, PRIMARY, date(2025, 10, 1)).under5_interims == interims


def test_a_new_interval_holds_from_its_day_on_and_asks_for_nothing_in_the_past() -> None:
    """Anchor 2 March 2026. Every 6 months: 2 September. From 1 October every 3: 2 December, but not the past 2 June.
    From 1 November none at all: nothing from then on, and what was owed before stays owed."""
    case = a_case(date(2022, 5, 10), last_concluded=date(2026, 3, 2))
    every_six = ((date.min, 6),)
    every_three = (*every_six, (date(2026, 10, 1), 3))
    none = (*every_three, (date(2026, 11, 1), 0))
    for intervals, interims in (
        (every_six, (date(2026, 9, 2),)),
        (every_three, (date(2026, 9, 2), date(2026, 12, 2))),
        (none, (date(2026, 9, 2),)),
    ):
        assert facts_of(case, PRIMARY, date(2026, 10, 5), intervals).under5_interims == interims


def test_from_the_day_after_leaving_age_notices_go_to_the_young_person() -> None:
    """Vector Y11: born 10 October 2009; school-leaving day Friday 26 June 2026."""
    case = a_case(date(2009, 10, 10))
    assert facts_of(case, SECONDARY, date(2026, 6, 26)).addressee == "parent"
    assert facts_of(case, SECONDARY, date(2026, 6, 27)).addressee == "young_person"
    assert next_change(date(2009, 10, 10), date(2026, 6, 1)) == date(2026, 6, 27)
    assert next_change(date(2009, 10, 10), date(2026, 6, 27)) == date(2026, 9, 1)


def test_a_case_without_a_plan_has_no_facts() -> None:
    with pytest.raises(ValueError, match="without a plan"):
        facts_of(a_case(date(2017, 3, 2), plan_first_made=None), PRIMARY, date(2026, 9, 14))


@given(
    born=st.dates(date(2001, 9, 1), date(2025, 8, 31)),
    today=st.dates(date(2026, 1, 1), date(2027, 12, 31)),
    taught=st.none() | st.integers(-2, 14),
)
def test_nothing_changes_before_the_day_it_is_said_to_change(
    born: date, today: date, taught: int | None
) -> None:
    """The daily job looks only at cases whose day has come, so that day must never be too late."""
    case = a_case(born, taught_year_group=taught, taught_in="2025/26" if taught is not None else None)
    day_before = next_change(born, today) - timedelta(days=1)
    assert day_before >= today
    assert facts_of(case, PRIMARY, today) == facts_of(case, PRIMARY, day_before)


def test_a_plan_that_nobody_ended_stays_at_the_last_year_an_event_can_hold() -> None:
    """Born in May 1999: 27 on 31 August 2026, which would be year 23."""
    assert facts_of(a_case(date(1999, 5, 1)), NO_AGES, date(2026, 9, 14)).year_group == 22


@given(
    born=st.dates(date(1999, 9, 1), date(2026, 8, 31)),
    taught=st.none() | st.integers(-1, 1),
    ages=st.sampled_from([PRIMARY, INFANT, FIRST, SECONDARY, NO_AGES, Ages(3, 19), Ages(None, 13)]),
    anchor=st.dates(date(2014, 9, 1), date(2026, 9, 14)),
    today=st.sampled_from([date(2026, 8, 31), date(2026, 9, 1), date(2027, 2, 14)]),
)
@example(
    born=date(2010, 8, 31), taught=None, ages=SECONDARY, anchor=date(2026, 1, 9), today=date(2026, 8, 31)
)
@example(born=date(2010, 9, 1), taught=None, ages=SECONDARY, anchor=date(2026, 1, 9), today=date(2026, 8, 31))
@example(born=date(2010, 9, 1), taught=None, ages=SECONDARY, anchor=date(2026, 8, 31), today=date(2026, 9, 1))
@example(born=date(2010, 9, 1), taught=None, ages=SECONDARY, anchor=date(2027, 4, 5), today=date(2027, 8, 1))
@example(born=date(2020, 2, 29), taught=None, ages=PRIMARY, anchor=date(2025, 2, 28), today=date(2026, 9, 1))
def test_what_is_asked_once_for_many_children_is_what_the_statute_says_of_each(
    born: date, taught: int | None, ages: Ages, anchor: date, today: date
) -> None:
    """Each rule put to the statute with the facts of this one child."""
    year = academic_year(today)
    group = ncy(born, year) + taught if taught is not None else None
    child = {"date_of_birth": born, "taught_ncy": group}
    cohort = evaluate(
        "phase_cohort",
        {**child, "academic_year": year, "school_low_age": ages.low, "school_high_age": ages.high},
    )
    adulthood = evaluate("review_pfa", {**child, "meeting": date(int(year[:4]), 9, 1)})
    interims = evaluate("review_under5", {**child, "anchor": anchor})["interims"]
    grown = evaluate("compulsory_school_age", child)["young_person_from"]
    transfer = {"transfer_date": date(int(year[:4]) + 1, 9, 1), "plan_first_made": anchor}
    late = cohort["phase"] and evaluate("phase_late_plan", {"phase": cohort["phase"], **transfer})["status"]
    case = a_case(born, plan_first_made=anchor, taught_year_group=group, taught_in=year)
    facts = facts_of(case, ages, today).model_dump(mode="json")
    assert facts["year_group"] == max(-5, min(cohort["effective_ncy"], 22))
    assert (facts["phase"], facts["phase_due"]) == (cohort["phase"], cohort["strict_due"])
    assert facts["phase_by"] == cohort["by_due"]
    assert facts["phase_deadline_impossible"] == (late == "deadline_impossible")
    assert facts["adulthood_preparation"] == adulthood["pfa_required"]
    assert facts["under5_interims"] == interims
    assert facts["addressee"] == ("young_person" if today.isoformat() >= grown else "parent")
