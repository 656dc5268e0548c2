"""From events to items: who is counted where, by hand. Rules of sen2.md section 8 and statute.md section 9."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

import pytest

from ehcp_contracts.events import (
    AmendmentDropped,
    AmendmentIssued,
    CaseFactsChanged,
    CeaseReason,
    CorrectableDate,
    CorrectionReason,
    DateCorrected,
    Outcome,
    Phase,
    Placement,
    PlanCeased,
    PlanContinued,
    PlanRegistered,
    ReviewCorrected,
    ReviewKind,
    ReviewWithdrawn,
)
from reporting_service.items import Member, end_of_12_months, items
from reporting_service.story import Story, academic_year, fold


def told(log: Any) -> dict[str, list[Member]]:
    """The items of the one case in the log, by measure."""
    story = Story(log.said[0][0])
    for _, event in log.said:
        fold(story, event)
    found: dict[str, list[Member]] = {}
    for member in items(story):
        found.setdefault(member.measure, []).append(member)
    return found


def dates(member: Member) -> tuple[Any, ...]:
    return member.limit_on, member.done_on, member.state


def test_an_academic_year_begins_on_1_september() -> None:
    assert academic_year(date(2026, 8, 31)) == "2025/26"
    assert academic_year(date(2026, 9, 1)) == "2026/27"
    assert academic_year(date(2099, 9, 1)) == "2099/00"


def test_a_plan_with_an_open_review_is_one_plan_and_one_review_on_both_bases(log: Any) -> None:
    case = log.plan(last=date(2025, 11, 25))
    log.review(case, date(2026, 11, 24))
    found = told(log)
    assert sorted(found) == ["K6b", "K6b-anniversary", "plans", "reviewed-12m", "reviewed-12m-young"]
    assert dates(found["K6b"][0]) == (date(2026, 11, 24), None, "open")
    assert dates(found["K6b-anniversary"][0]) == (date(2026, 11, 25), None, "open")
    assert (found["K6b"][0].academic_year, found["K6b"][0].year_group) == ("2026/27", 4)


def test_a_review_counts_in_the_year_its_due_date_lies_in_with_the_year_group_of_that_year(log: Any) -> None:
    case = log.plan(year_group=4)  # in 2026/27
    log.review(case, date(2027, 9, 30))
    member = told(log)["K6b"][0]
    assert (member.academic_year, member.year_group) == ("2027/28", 5)


def test_the_year_group_told_for_a_year_wins_over_counting_on(log: Any) -> None:
    case = log.plan(year_group=4)
    log.review(case, date(2026, 11, 24))
    log.say(
        case, CaseFactsChanged(facts=log.facts(4, year="2027/28"), responsible=log.responsible())
    )  # held back
    log.review(case, date(2028, 1, 10))
    assert [m.year_group for m in told(log)["K6b"]] == [4, 4]


def test_concluded_on_the_due_date_is_in_time_and_the_day_after_is_late(log: Any) -> None:
    case = log.plan(last=date(2025, 11, 25))
    review = log.review(case, date(2026, 11, 24))
    log.maintained(case, review, met=date(2026, 11, 2), on=date(2026, 11, 24), due=date(2026, 11, 24))
    assert dates(told(log)["K6b"][0]) == (date(2026, 11, 24), date(2026, 11, 24), "met")

    late = log.new()
    case = late.plan(last=date(2025, 11, 25))
    review = late.review(case, date(2026, 11, 24))
    late.maintained(case, review, met=date(2026, 11, 2), on=date(2026, 11, 25), due=date(2026, 11, 24))
    found = told(late)
    assert dates(found["K6b"][0]) == (date(2026, 11, 24), date(2026, 11, 25), "late")
    assert found["K6b-anniversary"][0].state == "met"  # the common reading allows the anniversary itself


def test_a_decision_is_due_four_weeks_after_the_meeting_m1(log: Any) -> None:
    """Vector M1: meeting 1 November 2024, decision by 29 November, report by 15 November."""
    case = log.plan()
    review = log.review(case, date(2025, 4, 14))
    log.held(case, review, date(2024, 11, 1))
    log.report(case, review, date(2024, 11, 16))
    log.decided(case, review, Outcome.MAINTAIN, met=date(2024, 11, 1), on=date(2024, 11, 29))
    found = told(log)
    assert dates(found["K7"][0]) == (date(2024, 11, 29), date(2024, 11, 29), "met")
    assert dates(found["K10a"][0]) == (date(2024, 11, 15), date(2024, 11, 16), "late")


def test_a_report_never_recorded_is_unknown_once_the_decision_is_made(log: Any) -> None:
    case = log.plan()
    review = log.review(case, date(2025, 4, 14))
    log.held(case, review, date(2024, 11, 1))
    assert told(log)["K10a"][0].state == "open"
    log.decided(case, review, Outcome.MAINTAIN, met=date(2024, 11, 1), on=date(2024, 11, 20))
    member = told(log)["K10a"][0]
    assert (member.state, member.reason) == ("unknown", "no_end_date_but_closed")


def test_a_decision_before_its_meeting_is_unknown_not_met(log: Any) -> None:
    case = log.plan()
    review = log.review(case, date(2025, 4, 14))
    log.decided(case, review, Outcome.MAINTAIN, met=date(2024, 11, 1), on=date(2024, 10, 1))
    member = told(log)["K7"][0]
    assert (member.state, member.reason, member.done_on) == ("unknown", "dates_contradict", None)


@pytest.mark.parametrize(
    ("met", "sent", "limits"),
    [
        # N1: eight weeks bind; N2: both the same day; N3: notice 38 days late, twelve weeks bind.
        (date(2024, 11, 1), date(2024, 11, 25), (date(2025, 1, 20), date(2025, 1, 20), date(2025, 1, 24))),
        (date(2025, 10, 15), date(2025, 11, 12), (date(2026, 1, 7), date(2026, 1, 7), date(2026, 1, 7))),
        (date(2025, 10, 15), date(2025, 12, 20), (date(2026, 1, 7), date(2026, 2, 14), date(2026, 1, 7))),
    ],
)
def test_the_final_plan_has_two_limits_n1_to_n3(
    log: Any, met: date, sent: date, limits: tuple[date, date, date]
) -> None:
    case = log.plan()
    review = log.review(case, date(2026, 4, 14))
    log.held(case, review, met)
    log.decided(case, review, Outcome.AMEND, met=met, on=sent)
    log.notice(case, review, sent)
    found = told(log)
    assert tuple(found[measure][0].limit_on for measure in ("K9", "K9a", "K9b")) == limits


def test_a_notice_late_by_a_day_misses_k8_and_the_final_plan_is_judged_apart(log: Any) -> None:
    case = log.plan()
    review = log.review(case, date(2025, 4, 14))
    met = date(2024, 11, 1)
    log.held(case, review, met)
    log.decided(case, review, Outcome.AMEND, met=met, on=date(2024, 11, 29))
    assert told(log)["K8"][0].state == "open"
    notice = log.notice(case, review, date(2024, 11, 30))
    log.final(case, notice, review, date(2025, 1, 24))
    found = told(log)
    assert dates(found["K8"][0]) == (date(2024, 11, 29), date(2024, 11, 30), "late")
    assert [found[m][0].state for m in ("K9", "K9a", "K9b")] == ["met", "met", "met"]


def test_one_meeting_for_two_reviews_has_one_decision_and_one_notice(log: Any) -> None:
    """The scheduler tells the decision of a shared meeting once, and each review's conclusion."""
    case = log.plan(
        last=date(2025, 12, 20), year_group=6, phase=Phase.PRIMARY_TO_SECONDARY, due=date(2027, 2, 14)
    )
    annual = log.review(case, date(2026, 12, 19))
    phase = log.review(case, date(2027, 2, 14), ReviewKind.PHASE_TRANSFER)
    met, sent = date(2026, 11, 2), date(2026, 11, 30)
    log.held(case, annual, met)
    log.held(case, phase, met, ReviewKind.PHASE_TRANSFER)
    log.decided(case, annual, Outcome.AMEND, met=met, on=sent)
    notice = log.notice(case, annual, sent)
    log.concluded(case, annual, Outcome.AMEND, met=met, on=sent, due=date(2026, 12, 19))
    log.concluded(
        case, phase, Outcome.AMEND, met=met, on=sent, due=date(2027, 2, 14), kind=ReviewKind.PHASE_TRANSFER
    )
    log.final(case, notice, annual, date(2027, 1, 20))
    found = told(log)
    assert [m.state for m in found["K7"]] == ["met"]
    assert [m.state for m in found["K8"]] == ["met"]
    assert [dates(m) for m in found["K9"]] == [(date(2027, 1, 25), date(2027, 1, 20), "met")]
    assert [dates(m) for m in found["K11"]] == [(date(2027, 2, 14), date(2027, 1, 20), "met")]
    assert [m.state for m in found["K6b"]] == ["met"]


def test_an_amendment_dropped_closes_its_eight_weeks_and_leaves_the_final_plan_measures(log: Any) -> None:
    case = log.plan()
    review = log.review(case, date(2025, 4, 14))
    log.decided(case, review, Outcome.AMEND, met=date(2024, 11, 1), on=date(2024, 11, 20))
    notice = log.notice(case, review, date(2024, 11, 20))
    log.say(case, AmendmentDropped(notice_id=notice, review_id=review, decided_on=date(2025, 1, 16)))
    found = told(log)
    assert dates(found["K9a"][0]) == (date(2025, 1, 15), date(2025, 1, 16), "late")
    assert "K9" not in found
    assert "K9b" not in found


def test_a_notice_sent_before_the_hub_is_the_one_its_final_plan_names(log: Any) -> None:
    case = UUID(int=1)
    log.say(
        case,
        PlanRegistered(
            plan_first_made=date(2024, 4, 15),
            notice_sent_on=date(2026, 8, 20),
            placement=Placement(urn="900123"),
            responsible=log.responsible(),
            facts=log.facts(4),
        ),
    )
    assert dates(told(log)["K9a"][0]) == (date(2026, 10, 15), None, "open")
    log.say(case, AmendmentIssued(notice_id=UUID(int=99), issued_on=date(2026, 10, 1), plan_version=2))
    (member,) = told(log)["K9a"]
    assert dates(member) == (date(2026, 10, 15), date(2026, 10, 1), "met")
    assert member.key == str(UUID(int=99))


def test_a_final_plan_without_a_known_notice_is_unknown_not_lost(log: Any) -> None:
    case = log.plan()
    log.say(case, AmendmentIssued(notice_id=UUID(int=99), issued_on=date(2026, 10, 1), plan_version=2))
    member = told(log)["K9a"][0]
    assert (member.state, member.reason, member.academic_year) == ("unknown", "no_start_date", "2026/27")


def test_a_plan_without_any_annual_review_is_unknown_not_lost(log: Any) -> None:
    case = log.plan()
    member = told(log)["K6b"][0]
    assert (member.state, member.reason) == ("unknown", "no_start_date")
    log.review(case, date(2027, 4, 14))
    assert [m.state for m in told(log)["K6b"]] == ["open"]


def test_a_phase_review_concludes_the_years_annual_review_p9(log: Any) -> None:
    """Vector P9: phase review concluded 25 November; the annual one due in April counts as held, in time."""
    case = log.plan(
        last=date(2024, 4, 15),
        year_group=6,
        phase=Phase.PRIMARY_TO_SECONDARY,
        due=date(2025, 2, 14),
        year="2024/25",
    )
    annual = log.review(case, date(2025, 4, 14))
    phase = log.review(case, date(2025, 2, 14), ReviewKind.PHASE_TRANSFER)
    met, sent = date(2024, 11, 1), date(2024, 11, 25)
    log.held(case, phase, met, ReviewKind.PHASE_TRANSFER)
    log.decided(case, phase, Outcome.AMEND, met=met, on=sent, kind=ReviewKind.PHASE_TRANSFER)
    notice = log.notice(case, phase, sent)
    log.concluded(
        case, phase, Outcome.AMEND, met=met, on=sent, due=date(2025, 2, 14), kind=ReviewKind.PHASE_TRANSFER
    )
    log.say(
        case,
        ReviewWithdrawn(review_id=annual, kind=ReviewKind.ANNUAL, reason="satisfied", satisfied_on=sent),
    )
    log.review(case, date(2025, 11, 24))
    log.final(case, notice, phase, date(2025, 1, 20))
    found = told(log)
    assert [dates(m) for m in found["K6b"]] == [
        (date(2025, 4, 14), date(2024, 11, 25), "met"),
        (date(2025, 11, 24), None, "open"),
    ]
    assert dates(found["K11"][0]) == (date(2025, 2, 14), date(2025, 1, 20), "met")
    assert found["K11"][0].phase == "primary_to_secondary"


def test_a_review_satisfied_late_is_late_though_its_twelve_months_began_with_a_review_of_the_hub(
    log: Any,
) -> None:
    """Concluded 10 October 2026; the annual review due on 9 October 2027 is satisfied by a phase review of December."""
    case = log.plan()
    first = log.review(case, date(2027, 4, 14))
    log.concluded(
        case, first, Outcome.MAINTAIN, met=date(2026, 9, 14), on=date(2026, 10, 10), due=date(2027, 4, 14)
    )
    second = log.review(case, date(2027, 10, 9))
    phase = log.review(case, date(2028, 2, 14), ReviewKind.PHASE_TRANSFER)
    on = date(2027, 12, 1)
    log.concluded(
        case,
        phase,
        Outcome.MAINTAIN,
        met=date(2027, 11, 8),
        on=on,
        due=date(2028, 2, 14),
        kind=ReviewKind.PHASE_TRANSFER,
    )
    log.say(
        case,
        ReviewWithdrawn(review_id=second, kind=ReviewKind.ANNUAL, reason="satisfied", satisfied_on=on),
    )
    assert dates(told(log)["K6b"][1]) == (date(2027, 10, 9), on, "late")


def test_a_corrected_review_is_what_is_told_of_it_now(log: Any) -> None:
    """Lapsed, then its meeting of August is entered in October and its decision after that."""
    case = log.plan(last=date(2026, 4, 15))
    annual = log.review(case, date(2027, 4, 14))
    log.say(case, ReviewWithdrawn(review_id=annual, kind=ReviewKind.ANNUAL, reason="plan_ended"))
    again = ReviewCorrected(
        review_id=annual,
        kind=ReviewKind.ANNUAL,
        reason="recorded_late",
        due_on=date(2027, 4, 14),
        alternative_due_on=date(2027, 4, 15),
        latest_meeting_on=date(2027, 3, 17),
    )
    log.say(case, again)
    assert [m.state for m in told(log)["K6b"]] == ["open"]
    days = {"held_on": date(2027, 4, 1), "notified_on": date(2027, 4, 20), "outcome": Outcome.MAINTAIN}
    log.say(case, again.model_copy(update=days | {"concluded_on": date(2027, 4, 20)}))
    found = told(log)
    assert dates(found["K6b"][0]) == (date(2027, 4, 14), date(2027, 4, 20), "late")
    assert dates(found["K7"][0]) == (date(2027, 4, 29), date(2027, 4, 20), "met")
    log.say(
        case, again.model_copy(update=days | {"due_on": date(2027, 4, 24), "concluded_on": date(2027, 4, 20)})
    )
    assert dates(told(log)["K6b"][0]) == (date(2027, 4, 24), date(2027, 4, 20), "met")


def test_a_plan_that_goes_on_is_in_force_again(log: Any) -> None:
    case = log.plan()
    log.review(case, date(2027, 4, 14))
    log.say(case, PlanCeased(ceased_on=date(2026, 11, 24), reason=CeaseReason.NEEDS_MET))
    assert "K6b" not in told(log)
    log.say(case, PlanContinued(reason="appeal_lodged"))
    found = told(log)
    assert ([m.state for m in found["plans"]], [m.state for m in found["K6b"]]) == (["open"], ["open"])


def test_a_final_plan_on_15_february_is_late_strictly_and_in_time_by_the_day(log: Any) -> None:
    case = log.plan(year_group=6, phase=Phase.PRIMARY_TO_SECONDARY, due=date(2027, 2, 14))
    phase = log.review(case, date(2027, 2, 14), ReviewKind.PHASE_TRANSFER)
    met = date(2026, 12, 10)
    log.decided(case, phase, Outcome.AMEND, met=met, on=date(2027, 1, 4), kind=ReviewKind.PHASE_TRANSFER)
    log.final(case, log.notice(case, phase, date(2027, 1, 4)), phase, date(2027, 2, 15))
    found = told(log)
    assert dates(found["K11"][0]) == (date(2027, 2, 14), date(2027, 2, 15), "late")
    assert dates(found["K11-by"][0]) == (date(2027, 2, 15), date(2027, 2, 15), "met")


def test_a_plan_first_made_after_the_date_is_listed_apart(log: Any) -> None:
    log.plan(made=date(2027, 3, 1), year_group=6, phase=Phase.PRIMARY_TO_SECONDARY, due=date(2027, 2, 14))
    found = told(log)
    assert "K11" not in found
    assert len(found["K11-late-plan"]) == 1


def test_a_phase_review_without_a_known_cohort_is_unknown(log: Any) -> None:
    case = log.plan(year_group=6)
    log.review(case, date(2027, 2, 14), ReviewKind.PHASE_TRANSFER)
    member = told(log)["K11"][0]
    assert (member.state, member.reason, member.academic_year) == ("unknown", "cohort_unknown", "2026/27")


def test_an_under_five_interim_is_never_mixed_into_the_annual_reviews(log: Any) -> None:
    case = log.plan(year_group=-1)
    log.review(case, date(2027, 4, 14))
    interim = log.review(case, date(2026, 10, 15), ReviewKind.UNDER5_INTERIM, statutory=False)
    log.held(case, interim, date(2026, 10, 16), ReviewKind.UNDER5_INTERIM)
    found = told(log)
    assert [m.limit_on for m in found["K6b"]] == [date(2027, 4, 14)]
    assert dates(found["K6c"][0]) == (date(2026, 10, 15), date(2026, 10, 16), "late")
    assert "K7" not in found


def test_what_a_plan_owed_after_its_end_was_not_missed_and_what_it_owed_before_was(log: Any) -> None:
    case = log.plan(last=date(2025, 11, 25))
    log.review(case, date(2026, 11, 24))
    early, late = log.fork(), log.fork()
    early.say(case, PlanCeased(ceased_on=date(2026, 11, 24), reason=CeaseReason.NEEDS_MET))
    late.say(case, PlanCeased(ceased_on=date(2026, 11, 25), reason=CeaseReason.NEEDS_MET))
    assert "K6b" not in told(early)
    assert dates(told(late)["K6b"][0]) == (date(2026, 11, 24), date(2026, 11, 25), "ended")
    assert dates(told(late)["plans"][0]) == (None, date(2026, 11, 25), "ended")


def test_a_plan_never_reviewed_stands_apart_in_the_backlog_until_its_first_review(log: Any) -> None:
    case = log.plan(made=date(2025, 9, 10))
    review = log.review(case, date(2026, 9, 9))
    assert len(told(log)["K12-first"]) == 1
    log.maintained(case, review, met=date(2026, 9, 20), on=date(2026, 9, 30), due=date(2026, 9, 9))
    log.review(case, date(2027, 9, 29))
    assert "K12-first" not in told(log)


def clocks(found: dict[str, list[Member]]) -> list[tuple[Any, ...]]:
    return [(m.opened_on, *dates(m), m.reason) for m in found["reviewed-12m"]]


def test_each_decision_starts_12_months_in_which_the_plan_counts_as_reviewed(log: Any) -> None:
    case = log.plan(made=date(2024, 4, 15), last=date(2025, 3, 3))
    first, second = log.review(case, date(2026, 3, 2)), log.review(case, date(2026, 3, 2))
    log.maintained(case, first, met=date(2026, 2, 2), on=date(2026, 3, 2), due=date(2026, 3, 2))
    log.maintained(case, second, met=date(2027, 2, 22), on=date(2027, 3, 2), due=date(2027, 3, 1))
    found = told(log)
    assert clocks(found) == [
        (date(2024, 4, 15), date(2025, 4, 14), date(2025, 3, 3), "met", None),
        (date(2025, 3, 3), date(2026, 3, 2), date(2026, 3, 2), "met", None),  # decided on the last day
        (date(2026, 3, 2), date(2027, 3, 1), date(2027, 3, 2), "late", None),  # and a day after it
        (date(2027, 3, 2), date(2028, 3, 1), None, "open", None),
    ]
    assert [dates(m) for m in found["reviewed-12m-young"]] == [(date(2025, 4, 14), None, "open")]
    assert {m.academic_year for m in found["reviewed-12m"]} == {""}


def test_what_was_decided_before_the_last_review_before_the_hub_is_unknown(log: Any) -> None:
    log.plan(made=date(2020, 2, 29), last=date(2026, 1, 10))
    assert clocks(told(log)) == [
        (date(2020, 2, 29), date(2021, 2, 28), date(2021, 3, 1), "late", None),
        (date(2021, 3, 1), date(2022, 2, 28), date(2026, 1, 10), "late", "not_migrated"),
        (date(2026, 1, 10), date(2027, 1, 9), None, "open", None),
    ]


@pytest.mark.parametrize(
    ("start", "last"),
    [
        (date(2024, 2, 29), date(2025, 2, 28)),
        (date(2023, 2, 28), date(2024, 2, 27)),
        (date(2023, 3, 1), date(2024, 2, 29)),
        (date(2024, 3, 1), date(2025, 2, 28)),
        (date(2025, 1, 1), date(2025, 12, 31)),
    ],
)
def test_12_months_end_the_day_before_the_anniversary(start: date, last: date) -> None:
    assert end_of_12_months(start) == last


def test_an_under_five_interim_is_no_review_of_the_last_12_months(log: Any) -> None:
    case = log.plan(made=date(2026, 1, 15), year_group=-1)
    interim = log.review(case, date(2026, 7, 14), ReviewKind.UNDER5_INTERIM, statutory=False)
    met, kind = date(2026, 7, 1), ReviewKind.UNDER5_INTERIM
    log.held(case, interim, met, kind)
    log.decided(case, interim, Outcome.MAINTAIN, met=met, on=date(2026, 7, 10), kind=kind)
    assert clocks(told(log)) == [(date(2026, 1, 15), date(2027, 1, 14), None, "open", None)]


def test_a_plan_whose_decision_contradicts_its_dates_is_unknown_until_it_ends(log: Any) -> None:
    case = log.plan(made=date(2024, 4, 15))
    review = log.review(case, date(2025, 4, 14))
    log.decided(case, review, Outcome.MAINTAIN, met=date(2025, 3, 1), on=date(2025, 2, 1))
    found = told(log)
    assert clocks(found) == [(date(2024, 4, 15), None, None, "unknown", "dates_contradict")]
    assert "reviewed-12m-young" not in found
    log.say(case, PlanCeased(ceased_on=date(2026, 11, 24), reason=CeaseReason.NEEDS_MET))
    assert "reviewed-12m" not in told(log)

    before = log.new()
    before.plan(made=date(2024, 4, 15), last=date(2024, 4, 14))
    assert told(before)["reviewed-12m"][0].reason == "dates_contradict"


def test_a_plan_that_ended_is_no_plan_to_be_reviewed_any_more(log: Any) -> None:
    case = log.plan(made=date(2024, 4, 15), last=date(2025, 11, 25))
    log.say(case, PlanCeased(ceased_on=date(2026, 12, 24), reason=CeaseReason.NEEDS_MET))
    found = told(log)
    assert clocks(found)[-1] == (date(2025, 11, 25), date(2026, 11, 24), date(2026, 12, 24), "ended", None)
    assert [m.state for m in found["reviewed-12m-young"]] == ["ended"]


def test_a_review_whose_dates_move_is_one_review_and_one_withdrawn_by_facts_is_none(log: Any) -> None:
    case = log.plan()
    review = log.review(case, date(2026, 11, 24))
    log.say(case, log.scheduled(review, date(2026, 12, 1)))
    assert [m.limit_on for m in told(log)["K6b"]] == [date(2026, 12, 1)]
    interim = log.review(case, date(2026, 10, 15), ReviewKind.UNDER5_INTERIM, statutory=False)
    log.say(case, ReviewWithdrawn(review_id=interim, kind=ReviewKind.UNDER5_INTERIM, reason="facts_changed"))
    assert "K6c" not in told(log)


@pytest.mark.parametrize("year", ["2027/28", "2026/27"])
def test_a_review_that_lapsed_was_owed_and_stays_missed(log: Any, year: str) -> None:
    """Due 14 February 2027, never held, then no transfer any more: from the next September, or (a child put down a year)
    within the same academic year."""
    case = log.plan(year_group=6, phase=Phase.PRIMARY_TO_SECONDARY, due=date(2027, 2, 14))
    log.review(case, date(2027, 4, 14))
    phase = log.review(case, date(2027, 2, 14), ReviewKind.PHASE_TRANSFER)
    interim = log.review(case, date(2026, 10, 15), ReviewKind.UNDER5_INTERIM, statutory=False)
    group = 7 if year == "2027/28" else 5
    log.say(case, CaseFactsChanged(facts=log.facts(group, year=year), responsible=log.responsible()))
    for review, kind in ((phase, ReviewKind.PHASE_TRANSFER), (interim, ReviewKind.UNDER5_INTERIM)):
        log.say(case, ReviewWithdrawn(review_id=review, kind=kind, reason="lapsed"))
    found = told(log)
    assert [(dates(m), m.academic_year) for m in found["K11"]] == [
        ((date(2027, 2, 14), None, "open"), "2026/27")
    ]
    assert [dates(m) for m in found["K11-by"]] == [(date(2027, 2, 15), None, "open")]
    assert [dates(m) for m in found["K6c"]] == [(date(2026, 10, 15), None, "open")]
    assert [dates(m) for m in found["K6b"]] == [(date(2027, 4, 14), None, "open")]


def test_of_a_lapsed_phase_review_and_one_owed_again_in_the_year_the_latter_counts(log: Any) -> None:
    case = log.plan(year_group=6, phase=Phase.PRIMARY_TO_SECONDARY, due=date(2027, 2, 14))
    kind, met = ReviewKind.PHASE_TRANSFER, date(2027, 3, 1)
    again, lapsed = log.review(case, date(2027, 2, 14), kind), log.review(case, date(2027, 2, 14), kind)
    log.say(case, ReviewWithdrawn(review_id=lapsed, kind=kind, reason="lapsed"))
    log.decided(case, again, Outcome.MAINTAIN, met=met, on=date(2027, 3, 20), kind=kind)
    assert [dates(m) for m in told(log)["K11"]] == [(date(2027, 2, 14), date(2027, 3, 20), "late")]


def test_corrected_dates_move_what_hangs_on_them(log: Any) -> None:
    case = log.plan(made=date(2024, 4, 15))
    notice = log.notice(case, None, date(2026, 10, 1))
    log.say(
        case,
        DateCorrected(
            field=CorrectableDate.PLAN_FIRST_MADE,
            old=date(2024, 4, 15),
            new=date(2024, 5, 15),
            reason=CorrectionReason.KEYING_ERROR,
        ),
        DateCorrected(
            field=CorrectableDate.NOTICE_SENT,
            old=date(2026, 10, 1),
            new=date(2026, 10, 8),
            reason=CorrectionReason.KEYING_ERROR,
            notice_id=notice,
        ),
    )
    found = told(log)
    assert found["plans"][0].opened_on == date(2024, 5, 15)
    assert found["K9a"][0].limit_on == date(2026, 12, 3)
