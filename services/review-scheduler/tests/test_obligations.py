"""Which reviews a plan owes, and what a concluded review does to the others."""

from dataclasses import dataclass, field
from datetime import date
from uuid import UUID, uuid4

from ehcp_contracts.events import Facts, Phase, ReviewKind
from review_scheduler.domain.obligations import (
    Move,
    Open,
    PlanFacts,
    Withdraw,
    after_conclusion,
    owed,
    reconcile,
    same_meeting,
    satisfied_by,
)

ANNUAL, INTERIM, PHASE = ReviewKind.ANNUAL, ReviewKind.UNDER5_INTERIM, ReviewKind.PHASE_TRANSFER
TODAY = date(2026, 9, 1)
YEAR_6 = {
    "phase": Phase.PRIMARY_TO_SECONDARY,
    "transfer_on": date(2027, 9, 1),
    "phase_due": date(2027, 2, 14),
}


@dataclass
class Having:
    """An open review, as the rules see one."""

    kind: str = ANNUAL
    status: str = "due"
    counted_from: date = date(2026, 3, 2)
    due_on: date = date(2027, 3, 1)
    latest_meeting_on: date = date(2027, 2, 1)
    meeting_on: date | None = None
    held_on: date | None = None
    counts_as_statutory: bool = True
    id: UUID = field(default_factory=uuid4)


def plan(last: date | None = date(2026, 3, 2), **more: object) -> PlanFacts:
    facts = {"academic_year": "2026/27", "year_group": 3}
    for name in [n for n in more if n in Facts.model_fields]:
        facts[name] = more.pop(name)
    return PlanFacts(date(2020, 5, 4), Facts.model_validate(facts), last, **more)  # type: ignore[arg-type]


def kinds(plan: PlanFacts) -> dict[str, date]:
    return {o.kind.value: o.due_on for o in owed(plan)}


def test_every_plan_owes_an_annual_review_from_its_last_conclusion() -> None:
    assert kinds(plan()) == {"annual": date(2027, 3, 1)}


def test_a_plan_never_reviewed_counts_from_the_day_it_was_first_made() -> None:
    assert kinds(plan(last=None)) == {"annual": date(2021, 5, 3)}


def test_a_child_under_five_owes_the_next_interim_as_well() -> None:
    young = plan(under5_interims=(date(2026, 9, 2), date(2026, 12, 2)))
    assert kinds(young) == {"annual": date(2027, 3, 1), "under5_interim": date(2026, 9, 2)}


def test_interims_that_are_dealt_with_are_not_owed_again() -> None:
    young = plan(under5_interims=(date(2026, 9, 2), date(2026, 12, 2)), interims_done_to=date(2026, 9, 2))
    assert kinds(young)["under5_interim"] == date(2026, 12, 2)


def test_a_phase_transfer_is_owed_once_per_transfer() -> None:
    assert kinds(plan(**YEAR_6)) == {"annual": date(2027, 3, 1), "phase_transfer": date(2027, 2, 14)}
    assert "phase_transfer" not in kinds(plan(**YEAR_6, phase_done_for=date(2027, 9, 1)))


def test_a_plan_that_has_ended_owes_nothing() -> None:
    assert kinds(plan(**YEAR_6, ended=True)) == {}


# --- facts change -------------------------------------------------------------------------------------------------


def test_what_is_owed_and_not_there_is_opened() -> None:
    (change,) = reconcile(plan(), [], today=TODAY)
    assert isinstance(change, Open)
    assert change.owed.kind is ANNUAL


def test_nothing_changes_when_all_is_there() -> None:
    assert reconcile(plan(), [Having()], today=TODAY) == []


def test_a_review_no_longer_owed_is_withdrawn_unless_somebody_has_convened_it() -> None:
    due = Having(INTERIM, due_on=date(2026, 9, 2), latest_meeting_on=date(2026, 8, 5))
    booked = Having(INTERIM, "booked", due_on=date(2026, 9, 2), latest_meeting_on=date(2026, 8, 5))
    assert reconcile(plan(), [Having(), due], today=TODAY) == [Withdraw(due.id, "facts_changed")]
    assert (
        reconcile(plan(), [Having(), booked], today=TODAY) == []
    )  # review_turns_5: never cancel one already convened


def test_a_phase_review_overdue_when_the_facts_change_lapses_and_one_not_yet_due_was_never_owed() -> None:
    """Due 14 February 2027: on that day still in time."""
    phase = Having(PHASE, due_on=date(2027, 2, 14), counted_from=date(2027, 9, 1))
    for today, reason in ((date(2027, 2, 14), "facts_changed"), (date(2027, 2, 15), "lapsed")):
        assert reconcile(plan(), [Having(), phase], today=today) == [Withdraw(phase.id, reason)]


def test_an_overdue_phase_review_does_not_move_on_to_another_transfer() -> None:
    """The child repeats Year 6: due 14 February 2027 was missed, and 14 February 2028 is owed as well."""
    again = YEAR_6 | {"transfer_on": date(2028, 9, 1), "phase_due": date(2028, 2, 14)}
    missed = Having(PHASE, due_on=date(2027, 2, 14), counted_from=date(2027, 9, 1))
    lapse, opened = reconcile(plan(**again), [Having(), missed], today=date(2027, 9, 1))
    assert lapse == Withdraw(missed.id, "lapsed")
    assert isinstance(opened, Open)
    assert opened.owed.due_on == date(2028, 2, 14)
    missed.status, missed.meeting_on = "booked", date(2027, 9, 10)  # convened: it is held first
    assert reconcile(plan(**again), [Having(), missed], today=date(2027, 9, 1)) == []


def test_an_overdue_interim_reckoned_from_an_anchor_that_was_wrong_was_never_owed() -> None:
    right = Having(INTERIM, due_on=date(2026, 8, 2), counted_from=date(2026, 3, 2))
    wrong = Having(INTERIM, due_on=date(2026, 8, 2), counted_from=date(2026, 2, 2))
    for interim, reason in ((right, "lapsed"), (wrong, "facts_changed")):
        assert reconcile(plan(), [Having(), interim], today=TODAY) == [Withdraw(interim.id, reason)]


def test_dates_move_until_the_meeting_is_held() -> None:
    earlier = Having(due_on=date(2026, 12, 31), latest_meeting_on=date(2026, 12, 3))
    (change,) = reconcile(plan(), [earlier], today=TODAY)
    assert isinstance(change, Move)
    assert (change.review_id, change.owed.due_on) == (earlier.id, date(2027, 3, 1))
    earlier.status, earlier.held_on = "held", date(2026, 12, 1)
    assert reconcile(plan(), [earlier], today=TODAY) == []


def test_a_corrected_date_moves_even_a_review_whose_meeting_was_held() -> None:
    held = Having(status="held", due_on=date(2026, 12, 31), held_on=date(2026, 12, 1))
    (change,) = reconcile(plan(), [held], corrected=True, today=TODAY)
    assert isinstance(change, Move)


def test_when_the_plan_has_ended_every_open_review_falls_away() -> None:
    reviews = [Having(), Having(PHASE, "booked"), Having(INTERIM, "held")]
    assert [
        c.reason for c in reconcile(plan(ended=True), reviews, today=TODAY) if isinstance(c, Withdraw)
    ] == ["plan_ended"] * 3


# --- one meeting, several reviews ---------------------------------------------------------------------------------


def test_reviews_with_the_same_meeting_day_belong_together() -> None:
    first, second, other = (Having(held_on=date(2026, 11, 5)), Having(PHASE, "held"), Having(INTERIM, "held"))
    second.held_on, other.held_on = date(2026, 11, 5), date(2026, 10, 1)
    assert same_meeting(first, [first, second, other]) == [first, second]


def test_a_review_without_a_meeting_stands_alone() -> None:
    first, second = Having(), Having(PHASE)
    assert same_meeting(first, [first, second]) == [first]


def test_a_concluded_phase_review_satisfies_the_annual_one_that_was_not_held() -> None:
    phase, annual, interim = Having(PHASE, "decided"), Having(), Having(INTERIM)
    assert satisfied_by([phase], [phase, annual, interim], date(2026, 11, 25)) == [annual, interim]


def test_an_annual_review_with_a_meeting_of_its_own_goes_on() -> None:
    phase, annual = Having(PHASE, "decided"), Having(status="held", held_on=date(2026, 10, 1))
    assert satisfied_by([phase], [phase, annual], date(2026, 11, 25)) == []


def test_an_annual_review_does_not_satisfy_the_phase_transfer() -> None:
    annual, phase = Having(status="decided"), Having(PHASE)
    assert satisfied_by([annual], [annual, phase], date(2026, 11, 25)) == []


def test_a_light_interim_satisfies_nothing_and_a_full_one_the_annual_review() -> None:
    annual, light = Having(), Having(INTERIM, "decided", counts_as_statutory=False)
    full = Having(INTERIM, "decided", counts_as_statutory=True)
    assert satisfied_by([light], [light, annual], date(2026, 11, 25)) == []
    assert satisfied_by([full], [full, annual], date(2026, 11, 25)) == [annual]


def test_a_review_whose_twelve_months_start_later_is_not_satisfied_by_what_was_concluded_before() -> None:
    phase, annual = Having(PHASE, "decided"), Having(counted_from=date(2026, 11, 25))
    assert satisfied_by([phase], [phase, annual], date(2026, 11, 24)) == []


# --- the clock ----------------------------------------------------------------------------------------------------


def test_an_early_review_brings_the_twelve_months_forward() -> None:
    before = plan(last=date(2025, 1, 20))  # R12
    after = after_conclusion(before, [Having()], date(2025, 6, 30))
    assert (kinds(before)["annual"], kinds(after)["annual"]) == (date(2026, 1, 19), date(2026, 6, 29))


def test_a_late_review_starts_the_next_twelve_months_on_its_own_day() -> None:
    after = after_conclusion(plan(last=date(2024, 4, 15)), [Having()], date(2025, 5, 29))  # R14
    assert kinds(after)["annual"] == date(2026, 5, 28)


def test_a_phase_review_restarts_the_annual_clock_and_is_done_for_this_transfer() -> None:
    phase = Having(PHASE, counted_from=date(2025, 9, 1))
    year_6 = plan(
        last=date(2024, 4, 15),
        phase=Phase.PRIMARY_TO_SECONDARY,
        transfer_on=date(2025, 9, 1),
        phase_due=date(2025, 2, 14),
    )
    after = after_conclusion(year_6, [phase], date(2024, 11, 25))  # P9: November, not April
    assert kinds(after) == {"annual": date(2025, 11, 24)}


def test_a_light_interim_does_not_restart_the_clock_and_the_next_one_is_owed() -> None:
    young = plan(under5_interims=(date(2026, 6, 2), date(2026, 9, 2), date(2026, 12, 2)))
    light = Having(INTERIM, due_on=date(2026, 6, 2), counts_as_statutory=False)
    after = after_conclusion(young, [light], date(2026, 6, 20))
    assert kinds(after) == {"annual": date(2027, 3, 1), "under5_interim": date(2026, 9, 2)}


def test_an_interim_held_so_late_that_the_next_has_passed_serves_for_both() -> None:
    young = plan(under5_interims=(date(2026, 6, 2), date(2026, 9, 2), date(2026, 12, 2)))
    light = Having(INTERIM, due_on=date(2026, 6, 2), counts_as_statutory=False)
    after = after_conclusion(young, [light], date(2026, 9, 15))
    assert kinds(after)["under5_interim"] == date(2026, 12, 2)


def test_a_full_review_voids_the_interims_that_hung_on_the_old_anchor() -> None:
    young = plan(under5_interims=(date(2026, 9, 2),))
    after = after_conclusion(young, [Having()], date(2026, 7, 1))
    assert kinds(after) == {"annual": date(2027, 6, 30)}


def test_a_phase_review_recorded_late_does_not_undo_that_of_a_later_transfer() -> None:
    earlier = Having(PHASE, counted_from=date(2025, 9, 1))
    after = after_conclusion(plan(phase_done_for=date(2026, 9, 1)), [earlier], date(2025, 1, 20))
    assert after.phase_done_for == date(2026, 9, 1)


def test_the_anchor_never_goes_back() -> None:
    after = after_conclusion(plan(last=date(2026, 3, 2)), [Having()], date(2026, 2, 1))
    assert after.last_concluded == date(2026, 3, 2)
