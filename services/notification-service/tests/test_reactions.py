"""From events to notices: who is owed a copy, what happens when a case changes hands, and what stays quiet."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import event as sql_event
from sqlalchemy import text

from ehcp_contracts.envelope import council_subject
from ehcp_contracts.events import (
    CaseFactsChanged,
    CeaseReason,
    CouncilPolicyChanged,
    Facts,
    Outcome,
    Placement,
    PlacementChanged,
    PlanCeased,
    PlanContinued,
    PlanIssued,
    Responsible,
    ReviewCorrected,
    ReviewDecided,
    ReviewDue,
    ReviewKind,
    ReviewStage,
    ReviewWithdrawn,
)

ELM, OAK = "900123", "900456"


async def test_each_entitled_partner_gets_one_delivery_per_channel_and_nobody_else_any(town) -> None:
    """I6: the other school and the other kinds' cells of the table."""
    case = await town.issue()
    owed = {(d["partner_id"], d["channel"]) for d in await town.deliveries(case=str(case))}
    entitled = [town.partners[ref] for ref in (ELM, "QOP", "team-a", "liquid-logic")]
    assert owed == {(partner, channel) for partner in entitled for channel in ("webhook", "feed")}


async def test_an_event_that_comes_twice_is_owed_once(town) -> None:
    """F32, I5."""
    case = await town.issue()
    envelope = await town.app.deliver(_withdrawn(uuid4()), case=case)
    await town.app.deliver_raw("ehcp.reviews", str(case), envelope.to_bytes())
    await town.app.settle()
    assert len([d for d in await town.pushes(ELM) if d["event_id"] == str(envelope.id)]) == 1


async def test_a_review_event_of_a_case_that_is_not_known_yet_waits_for_it(town) -> None:
    """bad-inputs 4.13: the topics are independent."""
    case, review = uuid4(), uuid4()
    await town.due(case, review)
    assert await town.app.parked() == {"waiting": 1}
    await town.issue()
    assert await town.app.parked() == {"waiting": 1}
    await town.hear(_issued(), case)
    assert await town.app.parked() == {}
    assert sorted(
        d["event_type"] for d in await town.deliveries(case=str(case), partner=town.partners[ELM])
    ) == [
        "ehcp.plan-issued.v1",
        "ehcp.plan-issued.v1",
        "ehcp.review-due.v1",
        "ehcp.review-due.v1",
    ]


async def test_a_partner_without_webhook_has_its_feed(quiet_town) -> None:
    await quiet_town.partner("school", ELM, hook=False)
    await quiet_town.issue()
    assert [(d["channel"], d["status"]) for d in await quiet_town.deliveries()] == [("feed", "available")]


async def test_a_subscription_to_some_event_types_gets_only_those_pushed(quiet_town) -> None:
    await quiet_town.partner("school", ELM, event_types=["ehcp.review-due.v1"])
    case = await quiet_town.issue()
    await quiet_town.due(case)
    pushed = [d["event_type"] for d in await quiet_town.deliveries() if d["channel"] == "webhook"]
    assert pushed == ["ehcp.review-due.v1"]


async def test_what_happens_while_a_partner_is_switched_off_is_kept_for_it(quiet_town) -> None:
    """In its feed as well, which it can read again when it is switched on."""
    place = f"/v1/partners/{await quiet_town.partner('school', ELM)}"
    school = quiet_town.app.as_("school", org=ELM, las=())
    await quiet_town.officer.patch(place, json={"active": False}, headers={"If-Match": "*"})
    case = await quiet_town.issue()
    owed = {(d["channel"], d["status"]) for d in await quiet_town.deliveries()}
    assert owed == {("feed", "available"), ("webhook", "pending")}
    assert (await school.get("/v1/events")).status_code == 404
    await quiet_town.officer.patch(place, json={"active": True}, headers={"If-Match": "*"})
    assert [event["subject"] for event in (await school.get("/v1/events")).json()] == [str(case)]


# --- quiet start -----------------------------------------------------------------------------------------------------


async def test_a_plan_from_before_the_hub_floods_nobody(town) -> None:
    """It waits in the feeds of school, ICB and team; the case system does not get its own snapshot back."""
    case = await town.register()
    assert {(d["partner_id"], d["channel"]) for d in await town.deliveries(case=str(case))} == {
        (town.partners[ref], "feed") for ref in (ELM, "QOP", "team-a")
    }


async def test_the_first_dates_of_such_a_plan_are_pushed_to_the_case_system_only(town) -> None:
    case = await town.register()
    await town.schedule(case)
    pushed = [d["partner_id"] for d in await town.deliveries(case=str(case)) if d["channel"] == "webhook"]
    assert pushed == [town.partners["liquid-logic"]]


async def test_once_something_happens_to_it_it_is_a_case_like_any_other(town) -> None:
    case = await town.register()
    await town.due(case)
    await town.schedule(case)
    await town.send()
    assert town.heard(ELM) == ["review-due", "review-scheduled"]


# --- moves -----------------------------------------------------------------------------------------------------------


async def test_a_pupil_moves_and_each_school_hears_its_own_side(town) -> None:
    case = await town.issue()
    await town.move(case, OAK)
    await town.send()
    (left,) = [body for body in town.received(ELM) if body["type"] == "ehcp.placement-changed.v1"]
    (joined,) = [body for body in town.received(OAK) if body["type"] == "ehcp.placement-changed.v1"]
    assert left["id"] == joined["id"]
    assert OAK not in json.dumps(left)
    assert ELM not in json.dumps(joined)


async def test_a_notice_that_waits_when_the_pupil_moves_goes_to_the_new_school_instead(town) -> None:
    """F46, I8: the old school gets the leaving copy and nothing more, the new one its own notice."""
    case = await town.issue()
    await town.send()
    await town.due(case)
    await town.move(case, OAK)
    await town.send()
    assert town.heard(ELM) == ["plan-issued", "placement-changed"]
    assert town.heard(OAK) == ["placement-changed", "review-due"]
    (withdrawn,) = [d for d in await town.pushes(ELM) if d["status"] == "cancelled"]
    assert withdrawn["reason"] == "no-longer-entitled"


async def test_a_notice_made_after_the_move_that_went_out_before_it_was_known_is_admitted(town) -> None:
    """What remains of the race is not hidden: an alert names the delivery, and the new school still hears."""
    case = await town.issue()
    moved_at = town.app.clock.now()
    town.app.clock.pass_time(_seconds(5))
    await town.due(case)
    await town.send_after(1)
    assert town.heard(ELM) == ["plan-issued", "review-due"]
    town.app.clock.instant = moved_at
    await town.move(case, OAK)
    assert await town.alerts(ELM) == ["told-after-move"]
    await town.send_after(60)
    assert "review-due" in town.heard(OAK)


async def test_a_notice_from_before_the_move_is_no_incident(town) -> None:
    case = await town.issue()
    await town.due(case)
    await town.send_after(1)
    town.app.clock.pass_time(_seconds(60))
    await town.move(case, OAK)
    assert await town.alerts(ELM) == []


async def test_the_new_school_is_told_of_the_open_reviews_and_of_no_closed_one(town) -> None:
    """The next setting is told (Suffolk's inspection finding)."""
    case = await town.issue()
    open_review = await town.schedule(case)
    closed = await town.schedule(case)
    await town.hear(_withdrawn(closed), case)
    await town.move(case, OAK)
    await town.send()
    told = [body for body in town.received(OAK) if body["type"] == "ehcp.review-scheduled.v1"]
    assert [body["data"]["review_id"] for body in told] == [str(open_review)]


async def test_a_pupil_who_comes_back_brings_the_withheld_notice_back(town) -> None:
    case = await town.issue()
    await town.due(case)
    await town.move(case, OAK)
    await town.move(case, ELM, was=OAK)
    await town.send()
    assert town.heard(ELM).count("review-due") == 1
    assert town.heard(OAK).count("review-due") == 0


async def test_a_school_that_was_told_of_a_review_before_hears_of_it_again_with_the_pupil(town) -> None:
    """It has put it away when the pupil left. The notice is a new one: it would take the old id for a repeat."""
    case = await town.issue()
    await town.due(case)
    await town.send()
    await town.move(case, OAK)
    await town.move(case, ELM, was=OAK)
    await town.send()
    first, again = [body for body in town.received(ELM) if body["type"] == "ehcp.review-due.v1"]
    assert again["id"] != first["id"]
    assert again["data"] == first["data"]
    notices = [r.headers["webhook-id"] for r in town.requests if r.url.host == f"{ELM}.example"]
    assert len(set(notices)) == len(notices)


async def test_an_icb_that_takes_over_is_told_and_the_old_one_hears_no_more(town) -> None:
    await town.partner("icb", "QWE")
    case = await town.issue()
    await town.send()
    changed = CaseFactsChanged(facts=_facts(), responsible=_who(icb="QWE"))
    await town.hear(changed, case)
    await town.due(case)
    await town.send()
    assert town.heard("QOP") == ["plan-issued", "case-facts-changed"]
    assert town.heard("QWE") == ["case-facts-changed", "review-due"]
    assert "QWE" not in json.dumps(town.received("QOP"))


async def test_a_birthday_is_told_to_the_case_system_only(town) -> None:
    case = await town.issue()
    await town.send()
    before = len(town.requests)
    await town.hear(CaseFactsChanged(facts=_facts(), responsible=_who()), case)
    await town.send()
    assert len(town.requests) == before + 1
    assert town.heard("liquid-logic")[-1] == "case-facts-changed"


async def test_a_case_goes_to_another_council_and_its_systems_change(town) -> None:
    await town.partner("case-system", "mosaic", la="352")
    case = await town.issue()
    await town.send()
    await town.move(case, OAK, who=_who("352", team=None))
    await town.send()
    assert town.heard("liquid-logic") == ["plan-issued", "placement-changed"]
    assert OAK not in json.dumps(town.received("liquid-logic"))
    assert town.heard("mosaic") == ["placement-changed"]


async def test_the_routing_table_keeps_its_history(town) -> None:
    case = await town.issue()
    await town.move(case, OAK)
    async with town.app.hub.db.read() as session:
        query = text("SELECT urn FROM case_route_change WHERE case_id = :case ORDER BY rowid")
        rows = (await session.execute(query, {"case": case.hex})).scalars().all()
    assert rows == [ELM, OAK]


# --- the end ---------------------------------------------------------------------------------------------------------


async def test_when_the_plan_has_ended_waiting_reminders_are_withdrawn_and_the_ending_is_told(town) -> None:
    case = await town.issue()
    await town.send()
    await town.due(case)
    await town.hear(PlanCeased(ceased_on=date(2026, 9, 1), reason=CeaseReason.DECEASED), case)
    await town.send()
    assert town.heard(ELM) == ["plan-issued", "plan-ceased"]
    assert {d["reason"] for d in await town.pushes(ELM) if d["status"] == "cancelled"} == {"plan-ended"}


async def test_a_reminder_that_comes_after_the_end_is_not_sent(town) -> None:
    case = await town.issue()
    await town.hear(PlanCeased(ceased_on=date(2026, 9, 1), reason=CeaseReason.NEEDS_MET), case)
    await town.due(case)
    await town.send()
    assert "review-due" not in town.heard(ELM)


async def test_a_plan_that_goes_on_after_all_is_reminded_of_again(town) -> None:
    case = await town.issue()
    await town.hear(PlanCeased(ceased_on=date(2026, 9, 1), reason=CeaseReason.NEEDS_MET), case)
    await town.hear(PlanContinued(reason="appeal_lodged"), case)
    await town.due(case)
    await town.send()
    assert town.heard(ELM)[-3:] == ["plan-ceased", "plan-continued", "review-due"]


async def test_a_new_school_hears_of_a_review_that_was_taken_up_again_and_not_of_one_corrected_and_over(
    town,
) -> None:
    case, review, over = await town.issue(), uuid4(), uuid4()
    await town.hear(_withdrawn(review), case)
    await town.hear(_corrected(review), case)
    await town.hear(_corrected(over, withdrawn="satisfied"), case)
    await town.send()
    await town.move(case, OAK)
    await town.send()
    assert town.heard(OAK) == ["placement-changed", "review-corrected"]


async def test_a_councils_policy_concerns_no_partner_and_waits_for_no_case(town) -> None:
    policy = CouncilPolicyChanged(
        policy_version=1,
        effective_on=date(2026, 9, 1),
        basis="strict",
        under5_interval_months=4,
        notice_clear_days=1,
        advice_request_days=56,
        lead_plan_days=84,
        lead_invite_days=56,
        lead_last_call_days=14,
    )
    await town.hear(policy, council_subject("351"))
    await town.send()
    assert town.requests == []
    assert await town.app.parked() == {}


async def test_moves_of_many_cases_in_one_batch_cost_each_partner_one_write_of_its_feed(town) -> None:
    """Everything was written anew at each move: after a broker outage of a minute a batch took longer than it may."""
    cases = [await town.issue() for _ in range(8)]
    for case in cases:
        await town.app.deliver(_moved(), case=case)
    statements: list[str] = []
    sql_event.listen(
        town.app.hub.db.engine.sync_engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_: statements.append(statement),
    )
    await town.app.settle()
    raised = [
        statement for statement in statements if statement.startswith("UPDATE partner SET feed_position")
    ]
    assert 1 < len(raised) <= len(town.partners)
    assert len([d for d in await town.pushes(OAK) if d["event_type"] == "ehcp.placement-changed.v1"]) == 8


async def test_a_batch_of_events_is_taken_in_order(town) -> None:
    """Issue, due, move, decision in one batch: the same as one by one."""
    case, review = uuid4(), uuid4()
    for event in (_issued(), _due(review), _moved(), _decided(review)):
        await town.app.deliver(event, case=case)
    await town.app.settle()
    await town.send()
    assert town.heard(ELM) == ["placement-changed"]
    assert town.heard(OAK) == ["placement-changed", "review-due", "review-decided"]


async def test_the_copies_hold_nothing_but_what_the_events_may_hold(town) -> None:
    """S20, I10: a canary slipped into an event reaches no copy, no request and no event of ours."""
    case = await town.issue()
    honest = await town.app.deliver(_due(uuid4()), case=await town.issue())
    smuggled = json.loads(honest.to_bytes())
    smuggled |= {"id": str(uuid4()), "subject": str(case), "partitionkey": str(case), "label": "Zebrafinch"}
    smuggled["data"]["label"] = "Zebrafinch"
    await town.app.deliver_raw("ehcp.reviews", str(case), json.dumps(smuggled).encode())
    await town.app.settle()
    assert await town.app.parked() == {}
    await town.send()
    async with town.app.hub.db.read() as session:
        bodies = (
            await session.execute(text("SELECT body FROM partner_copy UNION SELECT body FROM outbox"))
        ).scalars()
        assert not any(b"Zebrafinch" in body for body in bodies)
    assert town.heard(ELM).count("review-due") == 2
    assert not any(b"Zebrafinch" in request.content for request in town.requests)


def _seconds(count: int) -> timedelta:
    return timedelta(seconds=count)


def _who(la: str = "351", *, icb: str | None = "QOP", team: str | None = "team-a") -> Responsible:
    return Responsible(responsible_la=la, administering_la=la, icb=icb, social_care_team=team)


def _facts() -> Facts:
    return Facts(academic_year="2026/27", year_group=6)


def _issued() -> PlanIssued:
    placement = Placement(urn=ELM)
    return PlanIssued(issued_on=date(2026, 9, 1), placement=placement, responsible=_who(), facts=_facts())


def _moved() -> PlacementChanged:
    return PlacementChanged(placement=Placement(urn=OAK), previous=Placement(urn=ELM), responsible=_who())


def _due(review: UUID) -> ReviewDue:
    return ReviewDue(
        review_id=review,
        kind=ReviewKind.ANNUAL,
        stage=ReviewStage.PLAN,
        due_on=date(2027, 3, 1),
        latest_meeting_on=date(2027, 2, 1),
    )


def _decided(review: UUID) -> ReviewDecided:
    return ReviewDecided(
        review_id=review,
        kind=ReviewKind.ANNUAL,
        outcome=Outcome.MAINTAIN,
        notified_on=date(2027, 2, 20),
        meeting_on=date(2027, 2, 1),
        decision_due=date(2027, 3, 1),
    )


def _corrected(review: UUID, **more: Any) -> ReviewCorrected:
    return ReviewCorrected(
        review_id=review,
        kind=ReviewKind.ANNUAL,
        reason="recorded_late",
        due_on=date(2027, 3, 1),
        latest_meeting_on=date(2027, 2, 1),
        **more,
    )


def _withdrawn(review: UUID) -> ReviewWithdrawn:
    return ReviewWithdrawn(review_id=review, kind=ReviewKind.ANNUAL, reason="facts_changed")
