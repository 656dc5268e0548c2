"""The dates of a review and what they rest on. Expected dates are those of the published vectors R, P, U and M, which
were worked out by hand; here they are checked as this service hands them out."""

from datetime import date

import pytest

from ehcp_contracts.events import Phase, ReviewKind
from review_scheduler.domain.dates import annual, meeting_chain, phase_transfer, under5_interim
from review_scheduler.domain.policy import policy_from

ANNUAL = [
    ("R1", date(2024, 4, 15), date(2025, 4, 14), date(2025, 4, 15), date(2025, 3, 17)),
    ("R2", date(2024, 11, 25), date(2025, 11, 24), date(2025, 11, 25), date(2025, 10, 27)),
    ("R3", date(2024, 2, 29), date(2025, 2, 28), date(2025, 2, 28), date(2025, 1, 31)),
    ("R4", date(2024, 2, 28), date(2025, 2, 27), date(2025, 2, 28), date(2025, 1, 30)),
    ("R5", date(2024, 3, 1), date(2025, 2, 28), date(2025, 3, 1), date(2025, 1, 31)),
    ("R6", date(2023, 3, 1), date(2024, 2, 29), date(2024, 3, 1), date(2024, 2, 1)),
    ("R7", date(2027, 2, 28), date(2028, 2, 27), date(2028, 2, 28), date(2028, 1, 30)),
    ("R8", date(2025, 9, 1), date(2026, 8, 31), date(2026, 9, 1), date(2026, 8, 3)),
    ("R12", date(2025, 6, 30), date(2026, 6, 29), date(2026, 6, 30), date(2026, 6, 1)),
    ("R13", date(2022, 7, 1), date(2023, 6, 30), date(2023, 7, 1), date(2023, 6, 2)),
]


@pytest.mark.parametrize(("vector", "anchor", "strict", "anniversary", "latest"), ANNUAL)
def test_an_annual_review_is_due_within_the_twelve_months(
    vector: str, anchor: date, strict: date, anniversary: date, latest: date
) -> None:
    owed = annual(anchor)
    assert (owed.due_on, owed.alternative_due_on, owed.latest_meeting_on) == (strict, anniversary, latest), (
        vector
    )


PHASES = [
    (
        "P1",
        Phase.PRIMARY_TO_SECONDARY,
        date(2025, 9, 1),
        date(2025, 2, 14),
        date(2025, 2, 15),
        date(2024, 11, 22),
    ),
    (
        "P2",
        Phase.PRIMARY_TO_SECONDARY,
        date(2026, 9, 1),
        date(2026, 2, 14),
        date(2026, 2, 15),
        date(2025, 11, 22),
    ),
    (
        "P3",
        Phase.PRIMARY_TO_SECONDARY,
        date(2027, 9, 1),
        date(2027, 2, 14),
        date(2027, 2, 15),
        date(2026, 11, 22),
    ),
    (
        "P4",
        Phase.SECONDARY_TO_POST16,
        date(2025, 9, 1),
        date(2025, 3, 30),
        date(2025, 3, 31),
        date(2025, 1, 5),
    ),
    (
        "P5",
        Phase.SECONDARY_TO_POST16,
        date(2026, 9, 1),
        date(2026, 3, 30),
        date(2026, 3, 31),
        date(2026, 1, 5),
    ),
]


@pytest.mark.parametrize(("vector", "phase", "transfer", "strict", "by", "latest"), PHASES)
def test_a_phase_review_is_due_before_the_middle_of_february_or_the_end_of_march(
    vector: str, phase: Phase, transfer: date, strict: date, by: date, latest: date
) -> None:
    owed = phase_transfer(phase, transfer)
    assert (owed.due_on, owed.alternative_due_on, owed.latest_meeting_on) == (strict, by, latest), vector
    assert owed.counts_as_statutory


MEETINGS = [
    ("M1", (2024, 11, 1), (2024, 10, 18), (2024, 11, 15), (2024, 11, 29), (2025, 1, 24)),
    ("M2", (2025, 10, 15), (2025, 10, 1), (2025, 10, 29), (2025, 11, 12), (2026, 1, 7)),
    ("M3", (2025, 12, 10), (2025, 11, 26), (2025, 12, 24), (2026, 1, 7), (2026, 3, 4)),
    ("M4", (2024, 2, 1), (2024, 1, 18), (2024, 2, 15), (2024, 2, 29), (2024, 4, 25)),
    ("M5", (2025, 3, 31), (2025, 3, 17), (2025, 4, 14), (2025, 4, 28), (2025, 6, 23)),
]


@pytest.mark.parametrize(("vector", "meeting", "notice", "report", "decision", "longstop"), MEETINGS)
def test_the_chain_hangs_on_the_meeting_and_no_holiday_moves_it(
    vector: str,
    meeting: tuple[int, int, int],
    notice: tuple[int, int, int],
    report: tuple[int, int, int],
    decision: tuple[int, int, int],
    longstop: tuple[int, int, int],
) -> None:
    chain = meeting_chain(date(*meeting), date(2030, 1, 1), ReviewKind.ANNUAL)
    assert chain.notice_due == chain.advice_due == date(*notice), vector
    assert chain.report_due == date(*report)
    assert chain.decision_due == chain.meeting_limb_due == date(*decision)
    assert chain.final_longstop == date(*longstop)


@pytest.mark.parametrize(
    ("vector", "due_on", "meeting", "limb", "decision"),
    [
        ("R9", date(2025, 11, 24), date(2025, 11, 10), date(2025, 12, 8), date(2025, 11, 24)),
        ("R10", date(2025, 11, 24), date(2025, 10, 20), date(2025, 11, 17), date(2025, 11, 17)),
        ("R11", date(2025, 4, 14), date(2025, 5, 1), date(2025, 5, 29), date(2025, 4, 14)),
    ],
)
def test_the_decision_is_due_four_weeks_after_the_meeting_but_never_after_the_review(
    vector: str, due_on: date, meeting: date, limb: date, decision: date
) -> None:
    chain = meeting_chain(meeting, due_on, ReviewKind.ANNUAL)
    assert (chain.meeting_limb_due, chain.decision_due) == (limb, decision), vector


def test_both_limbs_are_among_the_explained_dates() -> None:
    chain = meeting_chain(date(2025, 5, 1), date(2025, 4, 14), ReviewKind.ANNUAL)
    by_name = {day.name: day for day in chain.dates}
    assert by_name["meeting_limb_due"].on == date(2025, 5, 29)
    assert by_name["decision_due"].on == date(2025, 4, 14)
    assert "s.44(1)" in by_name["decision_due"].citation
    assert "14 April 2025" in by_name["decision_due"].text
    assert "29 May 2025" in by_name["decision_due"].text


def test_a_policy_date_does_not_shorten_the_four_weeks_of_the_law() -> None:
    chain = meeting_chain(date(2026, 3, 10), date(2026, 3, 20), ReviewKind.UNDER5_INTERIM)
    assert chain.decision_due == date(2026, 4, 7)


def test_an_under_five_interim_says_that_it_is_policy_and_does_not_count_as_statutory() -> None:
    owed = under5_interim(date(2025, 9, 20), date(2026, 3, 20))  # U1
    assert (owed.due_on, owed.alternative_due_on, owed.latest_meeting_on) == (
        date(2026, 3, 20),
        None,
        date(2026, 2, 20),
    )
    assert not owed.counts_as_statutory
    due = owed.dates[0]
    assert (due.rule_id, due.citation, due.force) == ("review_under5", "CoP 9.178", "policy")
    assert "20 March 2026, 6 months after 20 September 2025" in due.text


def test_every_date_of_an_annual_review_says_why() -> None:
    owed = annual(date(2024, 11, 25))
    by_name = {day.name: day for day in owed.dates}
    assert set(by_name) == {"due_on", "alternative_due_on", "latest_meeting_on", "plan_meeting_by"}
    due = by_name["due_on"]
    assert (due.rule_id, due.citation, due.force) == (
        "review_annual",
        "Children and Families Act 2014 s.44(1)",
        "law",
    )
    assert due.text.startswith("The review must be concluded by 24 November 2025: 12 months starting with")
    assert due.open_points == ("strict reading; the anniversary would give 25 November 2025",)
    assert by_name["alternative_due_on"].citation == "CoP 9.169"


def test_a_phase_review_cites_its_own_limb_and_the_day_its_window_opens() -> None:
    february = phase_transfer(Phase.PRIMARY_TO_SECONDARY, date(2026, 9, 1))
    march = phase_transfer(Phase.SECONDARY_TO_POST16, date(2026, 9, 1))
    assert february.citation.startswith("SEND Regs 2014 reg 18(1)(b)")
    assert march.citation.startswith("SEND Regs 2014 reg 18(1)(a)")
    opens = next(day for day in february.dates if day.name == "not_before")
    assert opens.on == date(2025, 9, 1)


def test_the_working_day_to_plan_for_is_shown_but_the_statutory_day_stands() -> None:
    owed = annual(date(2027, 2, 28))  # R7: the latest meeting falls on a Sunday
    by_name = {day.name: day.on for day in owed.dates}
    assert owed.latest_meeting_on == date(2028, 1, 30)
    assert by_name["plan_meeting_by"] == date(2028, 1, 28)


def test_a_council_may_plan_by_the_anniversary_while_the_due_date_stays_strict() -> None:
    owed = annual(date(2024, 11, 25), policy_from({"basis": "anniversary"}))
    assert owed.due_on == date(2025, 11, 24)
    assert owed.latest_meeting_on == date(2025, 10, 28)


def test_a_setting_that_is_not_the_councils_to_make_is_refused() -> None:
    with pytest.raises(ValueError, match="not a council's to set"):
        policy_from({"annual_months": 18})
