"""How plans arrive, and what their facts do to the open reviews."""

from datetime import date
from uuid import uuid4

import pytest

from ehcp_contracts.events import (
    CaseFactsChanged,
    CeaseNotified,
    CeaseReason,
    Placement,
    PlanCeased,
    PlanRegistered,
)


async def test_a_plan_issued_today_opens_its_annual_review(desk):
    case = await desk.issue(date(2026, 9, 1))
    review = await desk.review(case)
    assert (review["due_on"], review["alternative_due_on"], review["latest_meeting_on"]) == (
        "2027-08-31",
        "2027-09-01",
        "2027-08-03",
    )
    ((name, data),) = await desk.sent(case)
    assert name == "review-scheduled"
    assert data == {
        "review_id": review["id"],
        "kind": "annual",
        "due_on": "2027-08-31",
        "alternative_due_on": "2027-09-01",
        "latest_meeting_on": "2027-08-03",
        "rule_id": "review_annual",
        "citation": "Children and Families Act 2014 s.44(1)",
        "counts_as_statutory": True,
    }


async def test_the_event_links_to_the_review_and_names_the_responsible_council(desk):
    await desk.register(responsible_la="352", administering_la="351")
    (envelope,) = await desk.app.sent()
    review = (await desk.reviews())[0]
    assert (envelope.dataref, envelope.lacode) == (f"/v1/reviews/{review['id']}", "352")


async def test_an_event_that_comes_twice_does_its_work_once(desk):
    """F32, I5."""
    case = uuid4()
    envelope = await desk.tell(case, _registered(desk))
    for _ in range(3):
        await desk.app.deliver_raw("ehcp.cases", str(case), envelope.to_bytes())
    await desk.app.settle()
    assert len(await desk.reviews(case)) == 1
    assert await desk.names(case) == ["review-scheduled"]


async def test_facts_that_come_before_their_plan_wait_for_it(desk):
    """F33: the second event of a case is held until the first is there, then both are applied."""
    case = uuid4()
    await desk.app.deliver(
        CaseFactsChanged(facts=desk.year_6(), responsible=desk.responsible()), case=case, sequence=2
    )
    await desk.app.settle()
    assert await desk.reviews(case) == []
    envelope = await desk.app.deliver(_registered(desk), case=case, sequence=1)
    assert envelope.sequence == 1
    await desk.app.settle()
    assert {review["kind"] for review in await desk.reviews(case)} == {"annual", "phase_transfer"}
    assert await desk.app.parked() == {}


async def test_an_event_for_an_unknown_case_waits_and_harms_no_other(desk):
    """bad-inputs 4.13."""
    stray = uuid4()
    await desk.app.deliver(CaseFactsChanged(facts=desk.facts(), responsible=desk.responsible()), case=stray)
    case = await desk.register()
    assert len(await desk.reviews(case)) == 1
    assert await desk.app.parked() == {"waiting": 1}


async def test_a_batch_of_registered_plans_is_taken_as_one(desk):
    for _ in range(40):
        await desk.app.deliver(_registered(desk), case=uuid4())
    await desk.app.settle()
    assert len(await desk.reviews()) == 40
    assert await desk.names() == ["review-scheduled"] * 40


async def test_several_events_of_one_case_in_one_batch_are_applied_in_order(desk):
    case = uuid4()
    await desk.app.deliver(_registered(desk), case=case)
    await desk.app.deliver(CaseFactsChanged(facts=desk.year_6(), responsible=desk.responsible()), case=case)
    await desk.app.deliver(CaseFactsChanged(facts=desk.facts(), responsible=desk.responsible()), case=case)
    await desk.app.settle()
    assert [(r["kind"], r["status"]) for r in await desk.reviews(case)] == [
        ("phase_transfer", "withdrawn"),
        ("annual", "due"),
    ]
    assert await desk.names(case) == ["review-scheduled", "review-scheduled", "review-withdrawn"]


def _registered(desk):
    return PlanRegistered(
        plan_first_made=date(2020, 5, 4),
        last_concluded=date(2026, 3, 2),
        placement=Placement(urn="900001"),
        responsible=desk.responsible(),
        facts=desk.facts(),
    )


# --- nobody is flooded on day one ---------------------------------------------------------------------------------


async def test_stages_past_on_arrival_are_shown_as_missed_and_not_sent(desk):
    case = await desk.register(last=date(2025, 11, 25))  # due 24 November 2026, latest meeting 27 October
    review = await desk.review(case)
    # L - 84 is 4 August, past; L - 56 is 1 September, today; the rest lies ahead
    assert review["missed_before_arrival"] == ["plan"]
    assert await desk.stages(case) == ["invite"]


async def test_a_review_overdue_on_arrival_is_shown_as_overdue_since_its_day_and_floods_nobody(desk):
    case = await desk.register(last=date(2025, 4, 10))  # due 9 April 2026
    await desk.day(date(2026, 9, 2))
    review = await desk.review(case, status="overdue")
    assert review["overdue_since"] == "2026-04-10"
    assert review["missed_before_arrival"] == ["plan", "invite", "last_call", "due", "overdue"]
    assert await desk.names(case) == ["review-scheduled"]


async def test_a_meeting_held_before_arrival_is_taken_over(desk):
    case = await desk.register(last=date(2025, 10, 6), held=date(2026, 8, 20))
    review = await desk.review(case)
    assert (review["status"], review["held_on"], review["report_due"], review["decision_due"]) == (
        "held",
        "2026-08-20",
        "2026-09-03",
        "2026-09-17",
    )
    assert await desk.names(case) == ["review-scheduled"]
    await desk.post(review, "decision", outcome="maintain", notified_on="2026-09-01")
    assert (await desk.review(case))["due_on"] == "2027-08-31"


async def test_a_meeting_that_belongs_to_a_concluded_review_is_not_an_open_step(desk):
    case = await desk.register(last=date(2026, 3, 2), held=date(2026, 2, 5), notice=date(2026, 3, 2))
    assert (await desk.review(case))["status"] == "due"


async def test_an_amendment_notice_sent_before_arrival_waits_for_its_decision(desk):
    case = await desk.register(last=date(2025, 10, 6), held=date(2026, 8, 3), notice=date(2026, 8, 27))
    review = await desk.review(case)
    assert (review["status"], review["notice_sent_on"]) == ("held", "2026-08-27")
    await desk.post(review, "decision", outcome="amend", notified_on="2026-08-25")
    closed = await desk.review(case, status="concluded")
    assert closed["concluded_on"] == "2026-08-27"


# --- facts change -------------------------------------------------------------------------------------------------


async def test_on_1_september_the_phase_review_of_year_6_opens(desk):
    case = await desk.register()
    await desk.change_facts(case, desk.year_6())
    review = await desk.review(case, "phase_transfer")
    assert (review["due_on"], review["alternative_due_on"], review["latest_meeting_on"]) == (
        "2027-02-14",
        "2027-02-15",
        "2026-11-22",
    )
    assert review["citation"].startswith("SEND Regs 2014 reg 18(1)(b)")


async def test_a_phase_review_no_longer_owed_is_withdrawn(desk):
    case = await desk.register(facts=desk.year_6())
    await desk.change_facts(case, desk.facts(year_group=5))
    closed = await desk.review(case, "phase_transfer", status="withdrawn")
    assert closed["withdrawn_because"] == "facts_changed"
    assert (await desk.sent(case))[-1][1]["reason"] == "facts_changed"


async def test_a_phase_review_missed_until_september_lapses_and_stays_a_breach(desk):
    """Year 6 in 2026/27, due 14 February 2027, never held; Year 7 on 1 September 2027, 199 days later. The annual review
    due 1 March 2027 goes on."""
    case = await desk.register(facts=desk.year_6())
    await desk.day(date(2027, 9, 1))
    await desk.change_facts(case, desk.facts(academic_year="2027/28", year_group=7))
    closed = await desk.review(case, "phase_transfer", status="withdrawn")
    assert (closed["withdrawn_because"], closed["closed_on"], closed["days_late"]) == (
        "lapsed",
        "2027-09-01",
        199,
    )
    assert closed["breaches"] == [
        {
            "code": "review-missed",
            "rule_id": closed["rule_id"],
            "force": "law",
            "due_on": "2027-02-14",
            "on": "2027-09-01",
            "days_late": 199,
        }
    ]
    name, data = (await desk.sent(case))[-1]
    assert (name, data["reason"]) == ("review-withdrawn", "lapsed")
    annual = await desk.review(case)
    assert (annual["due_on"], annual["overdue_since"]) == ("2027-03-01", "2027-03-02")


async def test_a_child_who_repeats_year_6_owes_both_phase_reviews(desk):
    case = await desk.register(facts=desk.year_6())
    await desk.day(date(2027, 9, 1))
    again = desk.year_6().model_copy(
        update={
            "academic_year": "2027/28",
            "transfer_on": date(2028, 9, 1),
            "phase_due": date(2028, 2, 14),
            "phase_by": date(2028, 2, 15),
        }
    )
    await desk.change_facts(case, again)
    assert (await desk.review(case, "phase_transfer", status="withdrawn"))["withdrawn_because"] == "lapsed"
    assert (await desk.review(case, "phase_transfer"))["due_on"] == "2028-02-14"


async def test_a_meeting_convened_for_a_child_who_turns_five_is_not_cancelled(desk):
    """review_turns_5."""
    case = await desk.register(facts=desk.facts(under5_interims=(date(2026, 10, 2),)))
    interim = await desk.review(case, "under5_interim")
    await desk.post(interim, "meeting", meeting_on="2026-09-28")
    await desk.change_facts(case, desk.facts())
    assert (await desk.review(case, "under5_interim"))["status"] == "booked"


async def test_an_interim_moves_with_its_anchor_while_nobody_has_convened_it(desk):
    case = await desk.register(facts=desk.facts(under5_interims=(date(2026, 10, 2),)))
    await desk.change_facts(case, desk.facts(under5_interims=(date(2026, 11, 2),)))
    assert (await desk.review(case, "under5_interim"))["due_on"] == "2026-11-02"
    assert await desk.names(case) == ["review-scheduled"] * 3


async def test_a_placement_change_moves_who_may_see_but_not_the_dates(desk):
    case = await desk.register()
    before = await desk.review(case)
    await desk.move(case, "900002", icb="QWE")
    after = await desk.review(case)
    assert (after["urn"], after["icb"], after["due_on"]) == ("900002", "QWE", before["due_on"])
    assert after["version"] == before["version"] + 1
    assert await desk.names(case) == ["review-scheduled"]


async def test_a_new_officer_is_seen_in_the_open_reviews(desk):
    case = await desk.register()
    await desk.change_facts(case, desk.facts(), officer="officer-9")
    assert [r["officer"] for r in await desk.reviews(case)] == ["officer-9"]


# --- the end of a plan --------------------------------------------------------------------------------------------


async def test_reviews_go_on_until_a_ceased_plan_has_ended(desk):
    case = await desk.register()
    await desk.tell(
        case,
        CeaseNotified(
            notified_on=date(2026, 9, 1), in_force_to=date(2026, 11, 2), reason=CeaseReason.NEEDS_MET
        ),
    )
    assert (await desk.review(case))["status"] == "due"
    await desk.tell(case, PlanCeased(ceased_on=date(2026, 11, 3), reason=CeaseReason.NEEDS_MET))
    assert await desk.reviews(case, status="open") == []
    assert (await desk.sent(case))[-1] == (
        "review-withdrawn",
        {
            "review_id": (await desk.reviews(case))[0]["id"],
            "kind": "annual",
            "reason": "plan_ended",
        },
    )


async def test_an_ended_plan_is_announced_no_more(desk):
    case = await desk.register(last=date(2025, 12, 1))
    await desk.tell(case, PlanCeased(ceased_on=date(2026, 9, 1), reason=CeaseReason.MAXIMUM_AGE))
    await desk.day(date(2027, 1, 15))
    assert await desk.stages(case) == []


async def test_facts_of_an_ended_plan_open_nothing(desk):
    """bad-inputs 4.17."""
    case = await desk.register()
    await desk.tell(case, PlanCeased(ceased_on=date(2026, 9, 1), reason=CeaseReason.MAXIMUM_AGE))
    await desk.change_facts(case, desk.year_6())
    assert await desk.reviews(case, status="open") == []
    assert await desk.app.parked() == {}


@pytest.mark.parametrize("step", ["meeting", "held", "report", "decision"])
async def test_nothing_can_be_recorded_on_a_withdrawn_review(desk, step):
    case = await desk.register()
    review = await desk.review(case)
    await desk.tell(case, PlanCeased(ceased_on=date(2026, 9, 1), reason=CeaseReason.DECEASED))
    body = {
        "meeting": {"meeting_on": "2026-10-01"},
        "held": {"held_on": "2026-09-01"},
        "report": {"received_on": "2026-09-01"},
        "decision": {"outcome": "maintain", "notified_on": "2026-09-01"},
    }[step]
    problem = await desk.post(review, step, expect=409, **body)
    assert problem["type"].endswith("/conflict")
