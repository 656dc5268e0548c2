"""What the reviews do to the case; re-delivery and odd order must not hurt (F32, F33)."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest

from ehcp_contracts.events import (
    Outcome,
    ReviewConcluded,
    ReviewCorrected,
    ReviewDecided,
    ReviewKind,
    ReviewMeetingHeld,
)

REVIEW = uuid4()


def decided(outcome: Outcome, review: UUID = REVIEW) -> ReviewDecided:
    """Meeting 1 September 2026, decision notified 10 September, due 29 September (M + 28)."""
    return ReviewDecided(
        review_id=review,
        kind=ReviewKind.ANNUAL,
        outcome=outcome,
        notified_on=date(2026, 9, 10),
        meeting_on=date(2026, 9, 1),
        decision_due=date(2026, 9, 29),
    )


def concluded(on: date, *, statutory: bool = True, review: UUID = REVIEW) -> ReviewConcluded:
    return ReviewConcluded(
        review_id=review,
        kind=ReviewKind.ANNUAL if statutory else ReviewKind.UNDER5_INTERIM,
        outcome=Outcome.MAINTAIN,
        concluded_on=on,
        due_on=date(2027, 4, 30),
        meeting_on=date(2026, 9, 1),
        decision_due=date(2026, 9, 29),
        counts_as_statutory=statutory,
    )


def held(on: date, review: UUID = REVIEW) -> ReviewMeetingHeld:
    return ReviewMeetingHeld(
        review_id=review,
        kind=ReviewKind.ANNUAL,
        held_on=on,
        report_due=date(2026, 9, 15),
        decision_due=date(2026, 9, 29),
    )


async def tell(hub: Any, case_id: str, *events: Any) -> None:
    for event in events:
        await hub.app.deliver(event, case=UUID(case_id))
    await hub.app.settle()
    assert not any((await hub.app.parked()).values())


async def notices(hub: Any, case_id: str) -> list[dict[str, Any]]:
    return list((await hub.officer.get(f"/v1/cases/{case_id}/amendment-notices")).json()["items"])


async def test_amend_opens_the_amendment_with_the_day_its_notice_is_due(hub: Any, snapshot: Any) -> None:
    """*Devon*: the notice goes with the decision, by M + 28 = 29 September."""
    case_id = await hub.a_plan(snapshot())
    await tell(hub, case_id, decided(Outcome.AMEND))
    assert (await hub.case(case_id))["status"] == "amending"
    (amendment,) = await notices(hub, case_id)
    assert (amendment["state"], amendment["notice_due"]) == ("decided", "2026-09-29")
    assert (amendment["meeting_on"], amendment["decided_on"]) == ("2026-09-01", "2026-09-10")
    assert (await hub.history(case_id))[-1]["who"] == "event:/review-scheduler"


async def test_the_notice_of_a_decided_review_takes_the_day_of_its_meeting(hub: Any, snapshot: Any) -> None:
    """Sent 14 September: + 56 is 9 November, before M + 84 = 24 November."""
    case_id = await hub.a_plan(snapshot())
    await tell(hub, case_id, decided(Outcome.AMEND))
    url = f"/v1/cases/{case_id}/amendment-notices"
    unnamed = await hub.post(url, {"sent_on": "2026-09-14"})
    assert (unnamed.status_code, unnamed.json()["errors"][0]["code"]) == (409, "review-waiting")
    sent = (await hub.post(url, {"sent_on": "2026-09-14", "review_id": str(REVIEW)})).json()
    (kept,) = await notices(hub, case_id)
    assert (sent["id"], sent["state"]) == (kept["id"], "open")
    assert (sent["final_due"], sent["review_id"]) == ("2026-11-09", str(REVIEW))
    assert (await hub.events())[-1][1]["review_id"] == str(REVIEW)


async def test_a_decision_that_arrives_after_its_notice_completes_it(hub: Any, snapshot: Any) -> None:
    """Odd order: the officer was quicker than the event."""
    case_id = await hub.a_plan(snapshot())
    body = {"sent_on": "2026-09-14", "review_id": str(REVIEW), "meeting_on": "2026-09-01"}
    await hub.post(f"/v1/cases/{case_id}/amendment-notices", body)
    await tell(hub, case_id, decided(Outcome.AMEND))
    (amendment,) = await notices(hub, case_id)
    assert (amendment["state"], amendment["decided_on"]) == ("open", "2026-09-10")
    assert amendment["final_due"] == "2026-11-09"


async def test_the_meeting_is_known_from_its_own_event_too(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    await tell(hub, case_id, held(date(2026, 6, 29)))
    body = {"sent_on": "2026-09-14", "review_id": str(REVIEW)}
    notice = (await hub.post(f"/v1/cases/{case_id}/amendment-notices", body)).json()
    assert (notice["meeting_on"], notice["final_due"], notice["conflict"]) == (
        "2026-06-29",
        "2026-09-21",
        True,
    )


async def test_an_older_meeting_does_not_replace_a_newer_one(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    await tell(hub, case_id, held(date(2026, 9, 1)), held(date(2026, 6, 29), uuid4()))
    body = {"sent_on": "2026-09-14", "review_id": str(REVIEW)}
    notice = (await hub.post(f"/v1/cases/{case_id}/amendment-notices", body)).json()
    assert notice["meeting_on"] == "2026-09-01"


async def test_the_same_decision_told_twice_opens_one_amendment(hub: Any, snapshot: Any) -> None:
    """F32: the same bytes again, and the same fact under a new event id."""
    case_id = await hub.a_plan(snapshot())
    envelope = await hub.app.deliver(decided(Outcome.AMEND), case=UUID(case_id))
    await hub.app.deliver_raw("ehcp.reviews", case_id, envelope.to_bytes())
    await tell(hub, case_id, decided(Outcome.AMEND))
    assert len(await notices(hub, case_id)) == 1
    assert (await hub.case(case_id))["version"] == 2


async def test_cease_opens_the_consultation_and_the_notice_names_the_review(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    await tell(hub, case_id, decided(Outcome.CEASE))
    case = await hub.case(case_id)
    assert (case["status"], case["plan"]["cease_considered_on"]) == ("cease_consult", "2026-09-10")
    await hub.post(f"/v1/cases/{case_id}/cease", {"notified_on": "2026-09-14", "reason": "2"})
    assert (await hub.events())[-1][1]["review_id"] == str(REVIEW)


async def test_maintain_changes_nothing_here(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    await tell(hub, case_id, decided(Outcome.MAINTAIN))
    assert (await hub.case(case_id))["version"] == 1


async def test_a_decision_on_a_plan_that_has_ended_is_recorded_without_effect(
    hub: Any, snapshot: Any
) -> None:
    """bad-inputs 4.17."""
    case_id = await hub.a_plan(snapshot())
    body = {"notified_on": "2026-09-12", "reason": "8", "effective_now": True}
    await hub.post(f"/v1/cases/{case_id}/cease", body)
    await tell(hub, case_id, decided(Outcome.AMEND))
    assert (await hub.history(case_id))[-1]["what"] == "review_decision_without_effect"
    assert (await hub.case(case_id))["status"] == "ceased"


async def test_a_concluded_review_moves_the_anchor_and_the_interims_with_it(hub: Any, snapshot: Any) -> None:
    """Under five: interim 1 November from the old anchor, 10 March from the new one."""
    child, placement = {"birth_date": "2023-02-01"}, {"since": "2026-01-05"}
    case_id = await hub.a_plan(snapshot(child=child, placement=placement))
    await tell(hub, case_id, concluded(date(2026, 9, 10)))
    case = await hub.case(case_id)
    assert case["plan"]["last_concluded"] == "2026-09-10"
    assert case["facts"]["under5_interims"] == ["2027-03-10"]
    assert [name for name, _ in await hub.events()] == ["plan-registered", "case-facts-changed"]


async def test_a_review_told_again_with_an_earlier_day_moves_the_anchor_back_and_the_facts_with_it(
    hub: Any, snapshot: Any
) -> None:
    """A notice date put right: concluded on 10 September, then on 8 August after all. Under five: interim 10 March, then
    8 February. Another review's older conclusion still leaves the anchor."""
    child = {"birth_date": "2023-03-01"}
    case_id = await hub.a_plan(snapshot(child=child, placement={"since": "2026-01-05"}))
    await tell(hub, case_id, concluded(date(2026, 9, 10)))
    assert (await hub.case(case_id))["facts"]["under5_interims"] == ["2027-03-10"]
    await tell(hub, case_id, concluded(date(2026, 8, 8)))
    await tell(hub, case_id, concluded(date(2026, 7, 1), review=uuid4()))
    case = await hub.case(case_id)
    assert case["plan"]["last_concluded"] == "2026-08-08"
    assert case["facts"]["under5_interims"] == ["2027-02-08"]
    assert [name for name, _ in await hub.events()] == ["plan-registered", *["case-facts-changed"] * 2]


async def test_a_review_whose_day_the_source_told_first_may_move_it_back_too(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())  # last concluded on 1 May
    await tell(hub, case_id, concluded(date(2026, 5, 1)))
    assert (await hub.case(case_id))["version"] == 1
    await tell(hub, case_id, concluded(date(2026, 4, 20)))
    assert (await hub.case(case_id))["plan"]["last_concluded"] == "2026-04-20"


async def test_a_review_overtaken_by_a_later_one_does_not_move_the_anchor_back(
    hub: Any, snapshot: Any
) -> None:
    case_id = await hub.a_plan(snapshot())
    await tell(hub, case_id, concluded(date(2026, 9, 1)), concluded(date(2026, 9, 10), review=uuid4()))
    await tell(hub, case_id, concluded(date(2026, 8, 8)))
    assert (await hub.case(case_id))["plan"]["last_concluded"] == "2026-09-10"


@pytest.mark.parametrize(
    "event", [concluded(date(2026, 4, 1)), concluded(date(2026, 9, 10), statutory=False)]
)
async def test_an_older_or_a_light_touch_conclusion_leaves_the_anchor(
    hub: Any, snapshot: Any, event: ReviewConcluded
) -> None:
    case_id = await hub.a_plan(snapshot())
    await tell(hub, case_id, event)
    case = await hub.case(case_id)
    assert (case["plan"]["last_concluded"], case["version"]) == ("2026-05-01", 1)


async def test_nothing_is_told_when_no_fact_hangs_on_the_anchor(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    await tell(hub, case_id, concluded(date(2026, 9, 10)))
    assert len(await hub.events()) == 1
    assert (await hub.history(case_id))[-1]["what"] == "review_concluded"


async def test_the_sources_older_date_does_not_undo_a_review_concluded_here(hub: Any, snapshot: Any) -> None:
    """The source has not heard of the conclusion yet: its unchanged date is no statement."""
    case_id = await hub.a_plan(snapshot())
    await tell(hub, case_id, concluded(date(2026, 9, 10)))
    await hub.push(snapshot(version=2, officer="officer-9"))
    assert (await hub.case(case_id))["plan"]["last_concluded"] == "2026-09-10"


async def test_an_event_for_a_case_that_is_not_known_yet_waits(hub: Any) -> None:
    """bad-inputs 4.13."""
    await hub.app.deliver(decided(Outcome.AMEND), case=uuid4())
    await hub.app.settle()
    assert (await hub.app.parked())["waiting"] == 1


# -- what is recorded late or corrected ----------------------------------------------------------------------------


def corrected(**more: Any) -> ReviewCorrected:
    """Meeting 1 September 2026, decided 10 September; the fields given are those that were wrong."""
    known = {"held_on": date(2026, 9, 1), "notified_on": date(2026, 9, 10), "reason": "keying_error"}
    return ReviewCorrected(
        **{
            "review_id": REVIEW,
            "kind": ReviewKind.ANNUAL,
            "due_on": date(2027, 4, 30),
            "latest_meeting_on": date(2027, 4, 2),
            **known,
            **more,
        }
    )


async def test_a_corrected_meeting_moves_the_days_of_its_amendment(hub: Any, snapshot: Any) -> None:
    """Notice 14 September: + 56 is 9 November; a meeting on 11 August puts M + 84 on 3 November before it."""
    case_id = await hub.a_plan(snapshot())
    await tell(hub, case_id, decided(Outcome.AMEND))
    body = {"sent_on": "2026-09-14", "review_id": str(REVIEW)}
    await hub.post(f"/v1/cases/{case_id}/amendment-notices", body)
    await tell(hub, case_id, corrected(held_on=date(2026, 8, 11)))
    (amendment,) = await notices(hub, case_id)
    assert (amendment["meeting_on"], amendment["notice_due"]) == ("2026-08-11", "2026-09-08")
    assert (amendment["final_due"], amendment["state"]) == ("2026-11-03", "open")
    assert (await hub.history(case_id))[-1]["what"] == "review_corrected"


async def test_a_meeting_entered_after_a_decision_without_one_starts_the_twelve_weeks(
    hub: Any, snapshot: Any
) -> None:
    case_id = await hub.a_plan(snapshot())
    await tell(hub, case_id, decided(Outcome.AMEND).model_copy(update={"meeting_on": None}))
    (amendment,) = await notices(hub, case_id)
    assert (amendment["meeting_on"], amendment["notice_due"]) == (None, "2026-09-10")
    await tell(hub, case_id, held(date(2026, 9, 1)), corrected(reason="recorded_late"))
    (amendment,) = await notices(hub, case_id)
    assert (amendment["meeting_on"], amendment["notice_due"]) == ("2026-09-01", "2026-09-29")


async def test_a_corrected_conclusion_moves_the_anchor_back_with_the_review_that_set_it(
    hub: Any, snapshot: Any
) -> None:
    case_id = await hub.a_plan(snapshot())
    await tell(hub, case_id, concluded(date(2026, 9, 10)))
    other = corrected(review_id=uuid4(), concluded_on=date(2026, 9, 3))
    await tell(hub, case_id, other)  # an earlier review, recorded late: the later one stays the last
    assert (await hub.case(case_id))["plan"]["last_concluded"] == "2026-09-10"
    await tell(hub, case_id, corrected(concluded_on=date(2026, 9, 8)))
    assert (await hub.case(case_id))["plan"]["last_concluded"] == "2026-09-08"


async def test_a_correction_of_what_is_not_known_here_changes_nothing(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    before = await hub.case(case_id)
    await tell(hub, case_id, corrected(), corrected(withdrawn="satisfied", held_on=None))
    assert await hub.case(case_id) == before
