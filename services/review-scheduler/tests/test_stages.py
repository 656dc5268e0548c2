"""When a review is announced. L = the latest safe meeting day."""

from datetime import date

from review_scheduler.domain.policy import policy_from
from review_scheduler.domain.stages import Planned, Stage, StageState, plan_stages, stage_days

DUE, LATEST = date(2026, 11, 24), date(2026, 10, 27)
DAYS = {
    Stage.PLAN: date(2026, 8, 4),
    Stage.INVITE: date(2026, 9, 1),
    Stage.LAST_CALL: date(2026, 10, 13),
    Stage.DUE: date(2026, 11, 24),
    Stage.OVERDUE: date(2026, 11, 25),
}


def states(planned: list[Planned]) -> dict[str, str]:
    return {p.stage.value: p.state.value for p in planned}


def now(planned: list[Planned]) -> list[str]:
    return [p.stage.value for p in planned if p.now]


def test_stages_are_84_56_and_14_days_before_the_latest_meeting_then_the_due_day_and_the_day_after() -> None:
    assert stage_days(DUE, LATEST) == DAYS


def test_a_council_may_set_its_own_lead_times() -> None:
    days = stage_days(DUE, LATEST, policy_from({"lead_plan_days": 100, "lead_invite_days": 60}))
    assert (days[Stage.PLAN], days[Stage.INVITE]) == (date(2026, 7, 19), date(2026, 8, 28))
    assert days[Stage.DUE] == DUE


def test_stages_before_a_leap_day_count_it() -> None:
    days = stage_days(date(2028, 3, 28), date(2028, 2, 29))
    assert days[Stage.LAST_CALL] == date(2028, 2, 15)
    assert days[Stage.OVERDUE] == date(2028, 3, 29)


def test_a_new_review_waits_for_what_lies_ahead_and_nothing_is_sent() -> None:
    planned = plan_stages(DAYS, known_since=date(2026, 7, 1), today=date(2026, 7, 1))
    assert set(states(planned).values()) == {"pending"}
    assert now(planned) == []


def test_what_lay_in_the_past_on_arrival_is_missed_and_never_sent() -> None:
    planned = plan_stages(DAYS, known_since=date(2026, 10, 20), today=date(2026, 10, 20))
    assert states(planned) == {
        "plan": "missed_before_arrival",
        "invite": "missed_before_arrival",
        "last_call": "missed_before_arrival",
        "due": "pending",
        "overdue": "pending",
    }
    assert now(planned) == []


def test_a_review_overdue_on_arrival_sends_nothing() -> None:
    planned = plan_stages(DAYS, known_since=date(2027, 1, 5), today=date(2027, 1, 5))
    assert set(states(planned).values()) == {"missed_before_arrival"}
    assert now(planned) == []


def test_a_stage_that_falls_on_the_day_of_arrival_is_sent_that_day() -> None:
    planned = plan_stages(DAYS, known_since=date(2026, 9, 1), today=date(2026, 9, 1))
    assert now(planned) == ["invite"]
    assert states(planned)["plan"] == "missed_before_arrival"


def test_sent_and_cancelled_stages_stay_as_they_are_when_dates_move() -> None:
    before = {
        Stage.PLAN: StageState.SENT,
        Stage.INVITE: StageState.CANCELLED,
        Stage.LAST_CALL: StageState.PENDING,
    }
    planned = plan_stages(DAYS, known_since=date(2026, 7, 1), today=date(2026, 8, 10), before=before)
    assert {p.stage for p in planned} == {Stage.LAST_CALL, Stage.DUE, Stage.OVERDUE}


def test_a_date_that_moves_into_the_past_is_sent_at_once_if_the_review_was_known_then() -> None:
    before = dict.fromkeys(Stage, StageState.PENDING)
    planned = plan_stages(DAYS, known_since=date(2026, 8, 1), today=date(2026, 9, 10), before=before)
    assert now(planned) == ["plan", "invite"]


def test_a_date_that_moves_before_the_review_was_known_is_missed() -> None:
    before = dict.fromkeys(Stage, StageState.PENDING)
    planned = plan_stages(DAYS, known_since=date(2026, 8, 20), today=date(2026, 9, 10), before=before)
    assert now(planned) == ["invite"]
    assert states(planned)["plan"] == "missed_before_arrival"


def test_a_missed_stage_whose_date_moves_ahead_waits_for_the_tick() -> None:
    before = dict.fromkeys(Stage, StageState.MISSED)
    planned = plan_stages(DAYS, known_since=date(2026, 7, 1), today=date(2026, 7, 1), before=before)
    assert set(states(planned).values()) == {"pending"}


def test_nobody_is_asked_to_plan_a_meeting_that_was_held() -> None:
    planned = plan_stages(DAYS, known_since=date(2026, 9, 1), today=date(2026, 9, 10), meeting_held=True)
    assert states(planned) == {
        "plan": "missed_before_arrival",
        "invite": "missed_before_arrival",
        "last_call": "cancelled",
        "due": "pending",
        "overdue": "pending",
    }
    assert now(planned) == []
