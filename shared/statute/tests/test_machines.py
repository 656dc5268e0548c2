"""The life of a case, a plan and a review: what may follow what, what is refused, and under which clause."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from send_statute import BadFact, IllegalStep, MissingFact, StatuteError, machine, who_is_told

NAMES = ("case", "plan", "review")
NOTICE = {"notice_sent": "2026-04-07"}


def walk(name: str, *steps: tuple[str, dict[str, Any]]) -> list[str]:
    """The states gone through."""
    read = machine(name)
    states = [read.start]
    for event, facts in steps:
        states.append(read.step(states[-1], event, facts).to)
    return states


def test_a_request_becomes_a_plan() -> None:
    assert walk(
        "case",
        ("request", {"on": "2026-01-20"}),
        ("decide_yes", {"on": "2026-03-03", "day0": "2026-01-20"}),
        ("decide_plan", {"on": "2026-05-10"}),
        ("serve", {"on": "2026-05-11"}),
        ("finalise", {"on": "2026-05-26", "draft_served": "2026-05-11", "day0": "2026-01-20"}),
    ) == ["NONE", "REQUESTED", "ASSESSING", "DRAFT_SENT", "REPS_OPEN", "FINAL"]


def test_a_review_goes_from_due_to_an_amended_plan() -> None:
    assert walk(
        "review",
        ("list", {"on": "2025-12-20", "term_start": "2026-01-05"}),
        ("invite", {"on": "2026-02-20", "meeting": "2026-03-10"}),
        ("circulate", {"on": "2026-02-24", "meeting": "2026-03-10"}),
        ("hold_meeting", {"on": "2026-03-10"}),
        ("send_report", {"on": "2026-03-24", "meeting": "2026-03-10"}),
        ("decide_amend", {"on": "2026-04-07", "meeting": "2026-03-10", **NOTICE}),
        ("serve", {"on": "2026-04-07"}),
        ("finalise", {"on": "2026-04-22", "meeting": "2026-03-10", **NOTICE}),
    ) == [
        "DUE",
        "LISTED",
        "INVITED",
        "ADVICE_CIRCULATED",
        "MEETING_HELD",
        "REPORT_SENT",
        "AN_SENT",
        "REPS_OPEN",
        "FINAL_AMENDED",
    ]


def test_a_plan_ceases_only_when_the_time_to_appeal_is_over() -> None:
    plan = machine("plan")
    noticed = plan.step("CEASE_CONSULT", "determine_cease", {"on": "2025-06-20"})
    assert {timer.name: timer.due for timer in noticed.timers}["cease_effective"] == date(2025, 9, 2)
    sent = {"notice_sent": "2025-06-20"}
    with pytest.raises(IllegalStep, match="time to appeal") as refusal:
        plan.step("CEASE_NOTIFIED", "appeal_period_over", {"on": "2025-09-01", **sent})
    assert refusal.value.clause == "Children and Families Act 2014 s.45(4)"
    assert plan.step("CEASE_NOTIFIED", "appeal_period_over", {"on": "2025-09-02", **sent}).to == "CEASED"
    with pytest.raises(IllegalStep, match="appeal is pending"):
        plan.step(
            "CEASE_NOTIFIED", "appeal_period_over", {"on": "2026-09-02", "appeal_pending": True, **sent}
        )


ILLEGAL = [
    ("case", "REPS_OPEN", "finalise", {"on": "2026-05-25", "draft_served": "2026-05-11"}, "reg 13(1)(a)"),
    ("case", "DRAFT_SENT", "finalise", {}, "reg 13(1)(a)"),
    ("case", "ASSESSING", "decide_plan", {"school_named_in_draft": True}, "s.38"),
    ("case", "NONE", "request", {"on": "2026-01-20", "last_assessed": "2025-10-01"}, "s.36"),
    ("case", "NONE", "request", {"on": "2026-01-20", "has_plan": True}, "s.44(2)"),
    ("case", "REQUESTED", "withdraw", {}, "SEN2"),
    ("plan", "AMENDING", "finalise", {"on": "2026-04-21", **NOTICE}, "reg 22(2)(c)"),
    ("plan", "AMENDING", "drop", {"on": "2026-04-21", **NOTICE}, "reg 22(4)"),
    ("plan", "ACTIVE", "consider_cease", {"ground": "custody"}, "s.74"),
    ("plan", "SUSPENDED_DETAINED", "consider_cease", {}, "s.74"),
    ("plan", "ACTIVE", "consider_cease", {"under_18_not_attending": True}, "reg 29"),
    ("plan", "ACTIVE", "consider_cease", {"stopped_attending_unreviewed": True}, "reg 30"),
    ("plan", "ACTIVE", "determine_cease", {}, "reg 31(1)"),
    ("plan", "ACTIVE", "appeal_period_over", {}, "s.45(4)"),
    (
        "plan",
        "ACTIVE",
        "reach_max_age",
        {"on": "2026-01-01", "date_of_birth": "2001-02-01", "age_limit": 25},
        "s.46",
    ),
    ("review", "REPORT_SENT", "decide_amend", {"on": "2026-04-07"}, "reg 22(2)"),
    ("review", "DUE", "decide_maintain", {"on": "2026-04-07"}, "reg 20(1)"),
    ("review", "INVITED", "decide_cease", {"on": "2026-04-07", "override_reason": " "}, "reg 20(1)"),
    ("review", "REPORT_SENT", "decide_cease", {"under_18_not_attending": True}, "reg 29"),
    ("review", "MEETING_HELD", "decide_cease", {"stopped_attending_unreviewed": True}, "reg 30"),
    (
        "review",
        "LISTED",
        "decide_cease",
        {"override_reason": "moved", "under_18_not_attending": True},
        "reg 29",
    ),
    ("review", "REPS_OPEN", "finalise", {"on": "2026-04-21", **NOTICE}, "reg 22(2)(c)"),
    ("review", "AN_SENT", "finalise", {}, "reg 22(2)(c)"),
    ("review", "MEETING_HELD", "finalise", {}, "reg 22(2)"),
    ("review", "MEETING_HELD", "end_with_plan", {"plan_state": "ACTIVE"}, "s.44(1)"),
    ("review", "DUE", "merge", {}, "s.44(1)"),
    ("review", "DECIDED", "list", {}, "9.172"),
    ("review", "LISTED", "invite", {"roles_missing": True}, "reg 20(2)"),
]


@pytest.mark.parametrize(("name", "state", "event", "facts", "clause"), ILLEGAL)
def test_an_illegal_step_is_refused_with_the_clause_it_offends(
    name: str, state: str, event: str, facts: dict[str, Any], clause: str
) -> None:
    with pytest.raises(IllegalStep) as refusal:
        machine(name).step(state, event, facts)
    assert clause in refusal.value.clause
    assert refusal.value.reason
    assert (refusal.value.state, refusal.value.event) == (state, event)


APPEALABLE = {
    ("case", "REQUESTED", "decide_no"): "s.51(2)(a)",
    ("case", "ASSESSING", "decide_no_plan"): "s.51(2)(b)",
    ("case", "REPS_OPEN", "finalise"): "s.51(2)(c)",
    ("plan", "AMENDING", "finalise"): "s.51(2)(c)",
    ("plan", "AMENDING", "drop"): "s.51(2)(e)",
    ("plan", "CEASE_CONSULT", "determine_cease"): "s.51(2)(f)",
    ("plan", "REASSESS_PENDING", "refuse_reassessment"): "s.51(2)(d)",
    ("plan", "REASSESSING", "finalise_reassessment"): "s.51(2)(c)",
    ("plan", "REASSESSING", "no_change_after_reassessment"): "s.51(2)(e)",
    **{
        ("review", state, "decide_maintain"): "s.51(2)(e)"
        for state in ("DUE", "LISTED", "INVITED", "ADVICE_CIRCULATED", "MEETING_HELD", "REPORT_SENT")
    },
    ("review", "REPS_OPEN", "finalise"): "s.51(2)(c)",
    ("review", "REPS_OPEN", "drop"): "s.51(2)(e)",
}


def test_exactly_these_decisions_may_be_appealed() -> None:
    found = {
        (name, state, step["event"]): step["appealable"]
        for name in NAMES
        for step in machine(name).steps
        for state in step["from"]
        if "appealable" in step
    }
    assert found == APPEALABLE


@pytest.mark.parametrize("name", NAMES)
def test_every_state_is_reached_and_only_ends_have_no_way_on(name: str) -> None:
    read = machine(name)
    reached = {read.start} | {step["to"] for step in read.steps}
    assert reached == set(read.states)
    for state in read.states:
        onward = [s for s in read.steps if state in s["from"] and s["to"] != state]
        assert bool(onward) == (state not in read.ends), state


@pytest.mark.parametrize("name", NAMES)
def test_no_state_has_the_same_event_twice(name: str) -> None:
    pairs = [(state, step["event"]) for step in machine(name).steps for state in step["from"]]
    assert len(pairs) == len(set(pairs))


@pytest.mark.parametrize("name", NAMES)
def test_every_step_that_is_not_listed_is_refused(name: str) -> None:
    read = machine(name)
    for state in read.states:
        for event in set(read.events()) - set(read.legal(state)):
            with pytest.raises(IllegalStep):
                read.step(state, event, {})


@pytest.mark.parametrize(("state", "event"), [("NOWHERE", "list"), ("DUE", "dance")])
def test_an_unknown_state_or_event_is_refused(state: str, event: str) -> None:
    with pytest.raises(IllegalStep, match="there is no"):
        machine("review").step(state, event)


def test_a_late_decision_is_taken_and_the_breach_said() -> None:
    facts = {"on": "2026-06-20", "meeting": "2026-03-10", "anchor": "2025-06-15"}
    decided = machine("review").step("MEETING_HELD", "decide_maintain", facts)
    assert decided.to == "DECIDED"
    assert decided.concludes
    assert [breach.clause for breach in decided.breaches] == [
        "SEND Regs 2014 reg 20(10), 21(9)",
        "Children and Families Act 2014 s.44(1)",
    ]
    assert {timer.name: timer.due for timer in decided.timers}["review"] == date(2027, 6, 19)


def test_a_timely_decision_breaks_nothing() -> None:
    facts = {"on": "2026-04-07", "meeting": "2026-03-10", "anchor": "2025-06-15"}
    assert machine("review").step("REPORT_SENT", "decide_maintain", facts).breaches == ()


def test_a_decision_without_a_meeting_needs_a_reason_and_stays_a_breach() -> None:
    facts = {"on": "2026-04-07", "override_reason": "family declined to meet"}
    decided = machine("review").step("LISTED", "decide_maintain", facts)
    assert [breach.reason for breach in decided.breaches] == ["decided without a meeting"]


def test_a_waiver_lets_the_council_finish_before_the_fifteen_days() -> None:
    facts = {"on": "2026-05-20", "draft_served": "2026-05-11", "waiver": "letter of 19 May"}
    assert machine("case").step("REPS_OPEN", "finalise", facts).starts == {"plan": "ACTIVE"}


def test_a_guard_that_cannot_be_checked_names_the_fact_it_needs() -> None:
    with pytest.raises(MissingFact, match="notice_sent"):
        machine("review").step("REPS_OPEN", "finalise", {"on": "2026-05-20"})


@pytest.mark.parametrize("fact", ["on", "draft_served", "day0"])
@pytest.mark.parametrize("value", ["soon", "2026-02-30", 20260520, datetime.min.replace(tzinfo=UTC)])
def test_a_fact_that_cannot_be_read_is_named(fact: str, value: Any) -> None:
    facts = {"on": "2026-06-20", "draft_served": "2026-05-11", "day0": "2026-03-01", fact: value}
    with pytest.raises(BadFact) as refusal:
        machine("case").step("REPS_OPEN", "finalise", facts)
    assert refusal.value.fact == fact


def test_a_new_meeting_day_moves_the_timers_that_hang_on_it() -> None:
    moved = machine("review").step(
        "ADVICE_CIRCULATED", "reschedule", {"on": "2026-03-01", "meeting": "2026-03-24"}
    )
    assert moved.to == "INVITED"
    assert {timer.name: timer.due for timer in moved.timers} == {
        "notice": date(2026, 3, 10),
        "advice": date(2026, 3, 10),
    }


def test_a_timer_whose_fact_is_not_known_has_no_date_but_its_citation() -> None:
    timer = machine("review").step("DUE", "invite").timers[1]
    assert (timer.rule_id, timer.citation, timer.due) == (
        "notice_2w",
        "SEND Regs 2014 reg 20(3), 21(3)",
        None,
    )


MATRIX = {
    "considering_assessment": "must must must must must -",
    "assess_decision": "must must must must must -",
    "no_plan_decision": "must must must policy must -",
    "final_plan": "must must must policy must -",
    "amended_plan": "must must must policy must -",
    "termly_list": "- guidance guidance guidance policy -",
    "review_invitation": "must must must must must policy",
    "review_report": "must must must must must -",
    "review_decision": "must must policy policy must -",
    "amendment_notice": "must must policy policy must -",
    "considering_cease": "must must - policy must -",
    "ceased": "must must must policy must -",
    "review_alert": "- policy policy policy policy -",
}
ROLES = ("family", "school", "icb", "social_care", "la_sen_officer", "youth_justice")


@pytest.mark.parametrize(("event", "levels"), MATRIX.items())
def test_who_is_told_and_how_binding_it_is(event: str, levels: str) -> None:
    told = who_is_told(event)
    assert [told.get(role, "-") for role in ROLES] == levels.split()


def test_custody_is_told_of_detained_people_only() -> None:
    assert "youth_justice" not in who_is_told("final_plan")
    assert who_is_told("final_plan", detained=True)["youth_justice"] == "must"


def test_domain_events_and_machine_events_find_their_row() -> None:
    assert who_is_told("PlanIssued") == who_is_told("final_plan")
    assert who_is_told("determine_cease") == who_is_told("ceased")
    with pytest.raises(StatuteError, match="no such event"):
        who_is_told("FireAlarm")
