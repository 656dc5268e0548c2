"""Issue, amend, cease, correct, move: through the API, with expected days counted by hand (today: 14 September 2026)."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlmodel import col, select

from case_service.tables import ChangeRow
from ehcp_contracts.events import Outcome, ReviewDecided, ReviewKind

CHILD = {"surname": "Quillfeather", "forename": "Ada", "birth_date": "2021-03-02", "sex": "F"}
PLACED = {"urn": "900101", "since": "2026-09-01"}


def codes(response: Any) -> list[str]:
    return [error["code"] for error in response.json()["errors"]]


async def registered(hub: Any) -> str:
    body = {"child": CHILD, "responsible_la": "351", "officer": "officer-3", "icb": "QOP"}
    return str((await hub.post("/v1/cases", body)).json()["id"])


# -- the first plan ----------------------------------------------------------------------------------------------


async def test_the_first_plan_is_issued_and_told_with_its_facts(hub: Any) -> None:
    case_id = await registered(hub)
    response = await hub.post(f"/v1/cases/{case_id}/plan", {"issued_on": "2026-09-10", "placement": PLACED})
    assert response.status_code == 201, response.text
    assert (response.json()["status"], response.json()["plan"]["version"]) == ("active", 1)
    ((name, data),) = await hub.events()
    assert (name, data["issued_on"], data["placement"]) == ("plan-issued", "2026-09-10", PLACED)
    assert data["facts"]["academic_year"] == "2026/27"
    assert data["facts"]["year_group"] == 1
    assert response.headers["ETag"] == '"2"'


async def test_an_old_plan_entered_by_hand_is_registered_and_not_issued(hub: Any) -> None:
    case_id = await registered(hub)
    await hub.post(f"/v1/cases/{case_id}/plan", {"issued_on": "2026-08-31", "placement": {"setting": "EYP"}})
    assert [name for name, _ in await hub.events()] == ["plan-registered"]


async def test_a_plan_within_the_15_days_on_its_draft_is_refused_with_the_clause(hub: Any) -> None:
    """Served 31 August: closes 14 September, earliest final 15 September."""
    case_id = await registered(hub)
    body = {"issued_on": "2026-09-14", "placement": PLACED, "draft_served_on": "2026-08-31"}
    response = await hub.post(f"/v1/cases/{case_id}/plan", body)
    assert (response.status_code, codes(response)) == (409, ["SEND Regs 2014 reg 13(1)(a)"])
    assert await hub.events() == []
    body["draft_served_on"] = "2026-08-30"
    assert (await hub.post(f"/v1/cases/{case_id}/plan", body)).status_code == 201


async def test_a_second_first_plan_is_refused(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    response = await hub.post(f"/v1/cases/{case_id}/plan", {"issued_on": "2026-09-10", "placement": PLACED})
    assert (response.status_code, codes(response)) == (409, ["Children and Families Act 2014 s.44(2)"])


@pytest.mark.parametrize(
    ("issued_on", "code"),
    [("2026-09-15", "in-future"), ("2021-03-01", "before-birth"), ("14/09/2026", "date-format")],
)
async def test_a_plan_on_an_impossible_day_is_refused(hub: Any, issued_on: str, code: str) -> None:
    case_id = await registered(hub)
    response = await hub.post(f"/v1/cases/{case_id}/plan", {"issued_on": issued_on, "placement": PLACED})
    assert (response.status_code, codes(response)[0]) == (422, code)


async def test_nothing_can_be_amended_or_ceased_before_there_is_a_plan(hub: Any) -> None:
    case_id = await registered(hub)
    for path, body in (
        ("amendment-notices", {"sent_on": "2026-09-10"}),
        ("cease", {"stage": "consult", "notified_on": "2026-09-10"}),
    ):
        assert codes(await hub.post(f"/v1/cases/{case_id}/{path}", body)) == [
            "Children and Families Act 2014 s.37"
        ]


# -- amendments --------------------------------------------------------------------------------------------------


async def test_a_notice_without_review_has_its_days_with_rule_and_citation(hub: Any, snapshot: Any) -> None:
    """Reg 28: comments to sent + 14, final from + 15, due at + 56; no twelve-week limb."""
    case_id = await hub.a_plan(snapshot())
    response = await hub.post(f"/v1/cases/{case_id}/amendment-notices", {"sent_on": "2026-08-20"})
    assert response.status_code == 201, response.text
    notice = response.json()
    assert notice["representations_close"] == "2026-09-03"
    assert notice["earliest_final"] == "2026-09-04"
    assert notice["final_due"] == "2026-10-15"
    assert (notice["conflict"], notice["state"]) == (False, "open")
    why = {w["name"]: w for w in notice["why"]}
    assert why["final_due"]["rule_id"] == "amend_final_8w"
    assert "reg 22(3)" in why["final_due"]["citation"]
    assert why["final_due"]["date"] == "2026-10-15"
    name, data = (await hub.events())[-1]
    assert name == "amendment-notice-sent"
    assert data == {
        "notice_id": notice["id"],
        "sent_on": "2026-08-20",
        "representations_close": "2026-09-03",
        "earliest_final": "2026-09-04",
        "final_due": "2026-10-15",
    }
    assert (await hub.case(case_id))["status"] == "amending"


async def test_after_a_review_the_earlier_of_eight_and_twelve_weeks_binds(hub: Any, snapshot: Any) -> None:
    """Meeting 1 July: + 84 is 23 September. Notice sent 5 August: + 56 is 30 September."""
    case_id = await hub.a_plan(snapshot())
    review = str(uuid4())
    body = {"sent_on": "2026-08-05", "review_id": review, "meeting_on": "2026-07-01"}
    notice = (await hub.post(f"/v1/cases/{case_id}/amendment-notices", body)).json()
    assert (notice["final_due"], notice["review_id"], notice["conflict"]) == ("2026-09-23", review, False)


async def test_a_notice_too_late_to_be_finished_lawfully_says_so(hub: Any, snapshot: Any) -> None:
    """Like vector N5. Meeting 15 June: + 84 is 7 September. Served 3 September: earliest final 18 September."""
    case_id = await hub.a_plan(snapshot())
    body = {
        "sent_on": "2026-09-01",
        "served_on": "2026-09-03",
        "review_id": str(uuid4()),
        "meeting_on": "2026-06-15",
    }
    notice = (await hub.post(f"/v1/cases/{case_id}/amendment-notices", body)).json()
    assert (notice["earliest_final"], notice["final_due"], notice["conflict"]) == (
        "2026-09-18",
        "2026-09-07",
        True,
    )


async def test_the_final_plan_waits_for_the_15_days_and_raises_the_version(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    notice = (await hub.post(f"/v1/cases/{case_id}/amendment-notices", {"sent_on": "2026-08-20"})).json()
    url = f"/v1/cases/{case_id}/amendment-notices/{notice['id']}/final"
    early = await hub.post(url, {"issued_on": "2026-09-03"})
    assert (early.status_code, codes(early)) == (409, ["SEND Regs 2014 reg 22(2)(c)"])
    done = await hub.post(url, {"issued_on": "2026-09-04"})
    assert (done.status_code, done.json()["state"], done.json()["plan_version"]) == (200, "issued", 2)
    name, data = (await hub.events())[-1]
    assert (name, data) == (
        "amendment-issued",
        {"notice_id": notice["id"], "issued_on": "2026-09-04", "plan_version": 2},
    )
    assert (await hub.case(case_id))["status"] == "active"
    again = await hub.post(url, {"issued_on": "2026-09-04"})
    assert (again.status_code, codes(again)) == (409, ["notice-not-open"])


async def test_dropping_an_amendment_keeps_the_reasons_at_home(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    notice = (await hub.post(f"/v1/cases/{case_id}/amendment-notices", {"sent_on": "2026-08-20"})).json()
    url = f"/v1/cases/{case_id}/amendment-notices/{notice['id']}/drop"
    reasons = "The family asked us to keep the plan.\nAgreed by telephone."
    done = await hub.post(url, {"decided_on": "2026-09-14", "reasons": reasons})
    assert (done.json()["state"], done.json()["reasons"]) == ("dropped", reasons)
    assert (await hub.events())[-1] == (
        "amendment-dropped",
        {"notice_id": notice["id"], "decided_on": "2026-09-14"},
    )
    school = hub.app.as_("school", org="900101", las=())
    (seen,) = (await school.get(f"/v1/cases/{case_id}/amendment-notices")).json()["items"]
    assert (seen["state"], seen["reasons"]) == ("dropped", None)


async def test_a_review_decided_without_a_meeting_gets_its_notice_without_one(
    hub: Any, snapshot: Any
) -> None:
    """Reg 22(3): eight weeks from the notice; the twelve weeks of a meeting never began."""
    case_id, review = await hub.a_plan(snapshot()), uuid4()
    decided = ReviewDecided(
        review_id=review,
        kind=ReviewKind.ANNUAL,
        outcome=Outcome.AMEND,
        notified_on=date(2026, 9, 1),
        decision_due=date(2027, 4, 30),
    )
    await hub.app.deliver(decided, case=UUID(case_id), la="351", source="/review-scheduler")
    await hub.app.settle()
    body = {"sent_on": "2026-09-02", "review_id": str(review)}
    sent = await hub.post(f"/v1/cases/{case_id}/amendment-notices", body)
    assert sent.status_code == 201, sent.text
    assert (sent.json()["meeting_on"], sent.json()["final_due"]) == (None, "2026-10-28")


async def test_a_second_notice_while_one_is_open_is_refused(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    url = f"/v1/cases/{case_id}/amendment-notices"
    await hub.post(url, {"sent_on": "2026-08-20"})
    assert codes(await hub.post(url, {"sent_on": "2026-09-01"})) == ["notice-open"]


async def test_a_notice_for_a_review_nobody_knows_needs_the_day_of_its_meeting(
    hub: Any, snapshot: Any
) -> None:
    case_id = await hub.a_plan(snapshot())
    body = {"sent_on": "2026-08-20", "review_id": str(uuid4())}
    response = await hub.post(f"/v1/cases/{case_id}/amendment-notices", body)
    assert (response.status_code, codes(response)) == (422, ["meeting-required"])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"sent_on": "2026-09-15"}, "in-future"),
        ({"sent_on": "2024-05-19"}, "notice-before-plan"),
        ({"sent_on": "2026-08-20", "served_on": "2026-08-19"}, "served-before-sent"),
        ({"sent_on": "2026-08-20", "meeting_on": "2026-08-21"}, "notice-before-meeting"),
    ],
)
async def test_a_notice_on_an_impossible_day_is_refused(
    hub: Any, snapshot: Any, body: dict[str, Any], code: str
) -> None:
    case_id = await hub.a_plan(snapshot())
    response = await hub.post(f"/v1/cases/{case_id}/amendment-notices", body)
    assert (response.status_code, codes(response)) == (422, [code])


async def test_a_notice_of_another_case_is_not_found(hub: Any, snapshot: Any) -> None:
    first, second = await hub.a_plan(snapshot("LL-1")), await hub.a_plan(snapshot("LL-2"))
    notice = (await hub.post(f"/v1/cases/{first}/amendment-notices", {"sent_on": "2026-08-20"})).json()
    url = f"/v1/cases/{second}/amendment-notices/{notice['id']}/final"
    assert (await hub.post(url, {"issued_on": "2026-09-14"})).status_code == 404


# -- ceasing -----------------------------------------------------------------------------------------------------


async def test_a_decision_whose_time_to_appeal_cannot_be_counted_yet_is_refused(
    hub: Any, snapshot: Any
) -> None:
    """The bank holidays of 2029 are not published: a refusal that says so, not a 500."""
    case_id = await hub.a_plan(snapshot())
    hub.app.clock.set(date(2028, 11, 20))
    url = f"/v1/cases/{case_id}/cease"
    await hub.post(url, {"stage": "consult", "notified_on": "2028-11-01"})
    refused = await hub.post(url, {"notified_on": "2028-11-20", "reason": "2"})
    assert (refused.status_code, codes(refused)) == (409, ["calendar-missing"])


async def test_a_plan_ceases_in_two_stages_and_only_when_the_time_to_appeal_is_over(
    hub: Any, snapshot: Any
) -> None:
    """Notified 14 September: two months end on Saturday 14 November, so appeals run to Monday the 16th."""
    case_id = await hub.a_plan(snapshot())
    url = f"/v1/cases/{case_id}/cease"
    decision = {"stage": "notify", "notified_on": "2026-09-14", "reason": "2"}
    first = await hub.post(url, decision)
    assert (first.status_code, codes(first)) == (409, ["SEND Regs 2014 reg 31(1)"])
    await hub.post(url, {"stage": "consult", "notified_on": "2026-09-01"})
    notified = (await hub.post(url, decision)).json()
    assert (notified["status"], notified["plan"]["in_force_to"]) == ("cease_notified", "2026-11-16")
    assert (await hub.events())[-1] == (
        "cease-notified",
        {"notified_on": "2026-09-14", "in_force_to": "2026-11-16", "reason": "2"},
    )
    hub.app.clock.set(date(2026, 11, 16))
    await hub.app.run_daily()
    assert (await hub.case(case_id))["status"] == "cease_notified"
    hub.app.clock.set(date(2026, 11, 17))
    await hub.app.run_daily()
    assert (await hub.events())[-1] == ("plan-ceased", {"ceased_on": "2026-11-17", "reason": "2"})
    assert (await hub.case(case_id))["status"] == "ceased"


async def test_a_mediation_certificate_moves_the_end(hub: Any, snapshot: Any) -> None:
    """Certificate 30 October: one month is Monday 30 November, later than 14 November."""
    case_id = await hub.a_plan(snapshot())
    url = f"/v1/cases/{case_id}/cease"
    await hub.post(url, {"stage": "consult", "notified_on": "2026-09-01"})
    await hub.post(url, {"notified_on": "2026-09-14", "reason": "2"})
    hub.app.clock.set(date(2026, 10, 30))
    moved = await hub.post(url, {"stage": "certificate", "notified_on": "2026-10-30"})
    assert moved.json()["plan"]["in_force_to"] == "2026-11-30"
    assert (await hub.events())[-1][1]["in_force_to"] == "2026-11-30"


async def test_an_open_appeal_keeps_the_plan_in_force(hub: Any, snapshot: Any) -> None:
    """CFA 2014 s.45(4)."""
    case_id = await hub.a_plan(snapshot())
    url = f"/v1/cases/{case_id}/cease"
    await hub.post(url, {"stage": "consult", "notified_on": "2026-09-01"})
    await hub.post(url, {"notified_on": "2026-09-14", "reason": "2"})
    await hub.post(url, {"stage": "appeal"})
    hub.app.clock.set(date(2027, 1, 4))
    await hub.app.run_daily()
    assert (await hub.case(case_id))["status"] == "cease_notified"
    dismissed = await hub.post(url, {"notified_on": "2027-01-04", "reason": "2", "effective_now": True})
    assert dismissed.json()["plan"]["ceased_on"] == "2027-01-04"


async def test_a_withdrawn_decision_lets_the_plan_go_on(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    url = f"/v1/cases/{case_id}/cease"
    await hub.post(url, {"stage": "consult", "notified_on": "2026-09-01"})
    await hub.post(url, {"notified_on": "2026-09-14", "reason": "2"})
    case = (await hub.post(url, {"stage": "withdraw"})).json()
    assert (case["status"], case["plan"]["in_force_to"]) == ("active", None)


async def ceasing(hub: Any, case_id: str) -> str:
    """Notified 14 September, so appeals run to 16 November 2026; returns the address of the next step."""
    url = f"/v1/cases/{case_id}/cease"
    await hub.post(url, {"stage": "consult", "notified_on": "2026-09-01"})
    await hub.post(url, {"notified_on": "2026-09-14", "reason": "2"})
    return url


@pytest.mark.parametrize(
    ("stage", "reason"), [("withdraw", "cease_withdrawn"), ("appeal_allowed", "appeal_allowed")]
)
async def test_whoever_was_told_that_a_plan_ends_is_told_that_it_goes_on(
    hub: Any, snapshot: Any, stage: str, reason: str
) -> None:
    case_id = await hub.a_plan(snapshot())
    url = await ceasing(hub, case_id)
    await hub.post(url, {"stage": "appeal"})
    assert (await hub.events())[-1] == ("plan-continued", {"reason": "appeal_lodged"})
    case = (await hub.post(url, {"stage": stage})).json()
    assert (case["status"], case["plan"]["appeal_open"]) == ("active", False)
    assert (await hub.events())[-1] == ("plan-continued", {"reason": reason})


async def test_a_consultation_that_comes_to_nothing_is_told_to_nobody(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    await hub.post(f"/v1/cases/{case_id}/cease", {"stage": "consult", "notified_on": "2026-09-01"})
    await hub.post(f"/v1/cases/{case_id}/cease", {"stage": "withdraw"})
    assert [name for name, _ in await hub.events()] == ["plan-registered"]


async def test_a_certificate_that_moves_the_end_is_told_as_such(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    url = await ceasing(hub, case_id)
    hub.app.clock.set(date(2026, 10, 30))
    await hub.post(url, {"stage": "certificate", "notified_on": "2026-10-30"})
    told = ("plan-continued", {"reason": "certificate_issued", "in_force_to": "2026-11-30"})
    assert (await hub.events())[-1] == told


async def test_an_appeal_entered_after_the_plan_was_thought_to_have_ended_takes_the_end_back(
    hub: Any, snapshot: Any
) -> None:
    """CFA 2014 s.45(4): lodged in time, it kept the plan in force all along."""
    case_id = await hub.a_plan(snapshot())
    url = await ceasing(hub, case_id)
    hub.app.clock.set(date(2026, 11, 20))
    await hub.app.run_daily()
    assert (await hub.case(case_id))["status"] == "ceased"
    case = (await hub.post(url, {"stage": "appeal"})).json()
    assert (case["status"], case["plan"]["ceased_on"]) == ("cease_notified", None)
    assert [name for name, _ in await hub.events()][-2:] == ["plan-ceased", "plan-continued"]
    await hub.app.run_daily()
    assert (await hub.case(case_id))["status"] == "cease_notified"


async def test_a_certificate_entered_late_gives_the_plan_the_days_it_was_due(hub: Any, snapshot: Any) -> None:
    """Certificate 30 October, so to 30 November; entered on 20 November, three days after the plan had ended."""
    case_id = await hub.a_plan(snapshot())
    url = await ceasing(hub, case_id)
    hub.app.clock.set(date(2026, 11, 20))
    await hub.app.run_daily()
    case = (await hub.post(url, {"stage": "certificate", "notified_on": "2026-10-30"})).json()
    assert (case["status"], case["plan"]["in_force_to"]) == ("cease_notified", "2026-11-30")
    hub.app.clock.set(date(2026, 12, 1))
    await hub.app.run_daily()
    assert (await hub.events())[-1] == ("plan-ceased", {"ceased_on": "2026-12-01", "reason": "2"})


async def test_an_end_recorded_in_error_is_taken_back(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    url = f"/v1/cases/{case_id}/cease"
    await hub.post(url, {"notified_on": "2026-09-12", "reason": "8", "effective_now": True})
    assert codes(await hub.post(url, {"stage": "appeal"})) == ["not-notified"]
    case = (await hub.post(url, {"stage": "withdraw"})).json()
    assert (case["status"], case["plan"]["ceased_on"], case["plan"]["cease_reason"]) == ("active", None, None)
    assert (await hub.events())[-1] == ("plan-continued", {"reason": "ended_in_error"})


async def test_an_end_is_not_taken_back_while_the_child_has_another_open_case(
    hub: Any, snapshot: Any
) -> None:
    case_id = await hub.a_plan(snapshot(child={"upn": "B351999921001"}))
    url = f"/v1/cases/{case_id}/cease"
    await hub.post(url, {"notified_on": "2026-09-12", "reason": "8", "effective_now": True})
    assert (await hub.push(snapshot("LL-2", child={"upn": "B351999921001"}))).status_code == 201
    assert (await hub.post(url, {"stage": "withdraw"})).status_code == 409


async def test_an_amendment_made_before_a_plan_began_to_cease_is_entered_afterwards(
    hub: Any, snapshot: Any
) -> None:
    """Notice 3 August, final plan 24 August, ceasing considered on 1 September: entered in the other order."""
    case_id = await hub.a_plan(snapshot())
    await ceasing(hub, case_id)
    url = f"/v1/cases/{case_id}/amendment-notices"
    refused = await hub.post(url, {"sent_on": "2026-09-01"})
    assert refused.status_code == 409
    notice = (await hub.post(url, {"sent_on": "2026-08-03"})).json()
    issued = await hub.post(f"{url}/{notice['id']}/final", {"issued_on": "2026-08-24"})
    assert (issued.status_code, issued.json()["state"]) == (200, "issued")
    assert (await hub.case(case_id))["status"] == "cease_notified"
    assert (await hub.events())[-1][0] == "amendment-issued"


async def test_a_final_plan_issued_before_a_plan_ended_is_entered_afterwards(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    url = f"/v1/cases/{case_id}/amendment-notices"
    notice = (await hub.post(url, {"sent_on": "2026-08-03"})).json()
    ended = {"notified_on": "2026-09-12", "reason": "5", "effective_now": True}
    await hub.post(f"/v1/cases/{case_id}/cease", ended)
    late = await hub.post(f"{url}/{notice['id']}/final", {"issued_on": "2026-09-12"})
    assert late.status_code == 409
    issued = await hub.post(f"{url}/{notice['id']}/final", {"issued_on": "2026-09-11"})
    assert issued.status_code == 200, issued.text
    assert (await hub.case(case_id))["status"] == "ceased"


@pytest.mark.parametrize("reason", ["5", "7", "8"])
async def test_death_and_leaving_end_a_plan_at_once(hub: Any, snapshot: Any, reason: str) -> None:
    case_id = await hub.a_plan(snapshot())
    body = {"notified_on": "2026-09-12", "reason": reason, "effective_now": True}
    assert (await hub.post(f"/v1/cases/{case_id}/cease", body)).json()["status"] == "ceased"
    assert (await hub.events())[-1] == ("plan-ceased", {"ceased_on": "2026-09-12", "reason": reason})
    after = await hub.post(f"/v1/cases/{case_id}/placement", {"officer": "officer-9"})
    assert codes(after) == ["plan-ended"]


async def test_needs_met_never_ends_a_plan_at_once(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    body = {"notified_on": "2026-09-12", "reason": "2", "effective_now": True}
    response = await hub.post(f"/v1/cases/{case_id}/cease", body)
    assert (response.status_code, codes(response)) == (409, ["Children and Families Act 2014 s.45(4)"])


async def test_the_maximum_age_must_have_been_reached(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    body = {"notified_on": "2026-09-12", "reason": "1", "effective_now": True}
    assert codes(await hub.post(f"/v1/cases/{case_id}/cease", body)) == [
        "Children and Families Act 2014 s.46"
    ]
    grown = await hub.a_plan(snapshot("LL-2", child={"birth_date": "2001-09-10"}, placement={"urn": None}))
    assert (await hub.post(f"/v1/cases/{grown}/cease", body)).status_code == 200


async def test_a_step_without_its_day_or_reason_is_refused(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    url = f"/v1/cases/{case_id}/cease"
    assert codes(await hub.post(url, {"stage": "consult"})) == ["day-required"]
    assert codes(await hub.post(url, {"notified_on": "2026-09-14"})) == ["reason-required"]
    body = {"stage": "appeal", "effective_now": True}
    assert codes(await hub.post(url, body)) == ["stage-mismatch"]


# -- corrections -------------------------------------------------------------------------------------------------


async def test_a_corrected_date_keeps_the_old_value_and_moves_what_hangs_on_it(
    hub: Any, snapshot: Any
) -> None:
    """S53. Under five: the interim hangs on the anchor, 1 May + 6 months, then 1 June + 6 months."""
    child = {"birth_date": "2023-02-01"}
    case_id = await hub.a_plan(snapshot(child=child, placement={"since": "2026-01-05"}))
    assert (await hub.case(case_id))["facts"]["under5_interims"] == ["2026-11-01"]
    body = {
        "field": "last_concluded",
        "new": "2026-06-01",
        "reason": "keying_error",
        "note": "Letter of 1 June.",
    }
    response = await hub.post(f"/v1/cases/{case_id}/corrections", body)
    assert response.status_code == 201
    assert response.json()["facts"]["under5_interims"] == ["2026-12-01"]
    events = await hub.events()
    assert events[1] == (
        "date-corrected",
        {"field": "last_concluded", "old": "2026-05-01", "new": "2026-06-01", "reason": "keying_error"},
    )
    assert events[2][0] == "case-facts-changed"
    (kept,) = (await hub.officer.get(f"/v1/cases/{case_id}/corrections")).json()["items"]
    assert (kept["old"], kept["note"], kept["who"]) == (
        "2026-05-01",
        "Letter of 1 June.",
        "officer:officer-x",
    )
    assert "Letter" not in str([e.data for e in await hub.app.sent()])


async def test_a_corrected_notice_date_moves_its_days(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    url = f"/v1/cases/{case_id}/amendment-notices"
    notice = (await hub.post(url, {"sent_on": "2026-08-20"})).json()
    body = {
        "field": "notice_sent",
        "new": "2026-08-24",
        "reason": "evidence_found",
        "note": "Postmark.",
        "notice_id": notice["id"],
    }
    assert (await hub.post(f"/v1/cases/{case_id}/corrections", body)).status_code == 201
    assert (await hub.events())[-1][1]["notice_id"] == notice["id"]
    (moved,) = (await hub.officer.get(url)).json()["items"]
    assert (moved["earliest_final"], moved["final_due"]) == ("2026-09-08", "2026-10-19")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"field": "last_concluded", "new": "2026-05-01"}, 422, "same-value"),
        ({"field": "last_concluded", "new": "2024-05-19"}, 422, "review-before-plan"),
        ({"field": "plan_first_made", "new": "2026-05-02"}, 422, "review-before-plan"),
        ({"field": "plan_first_made", "new": "2026-09-15"}, 422, "in-future"),
        ({"field": "notice_sent", "new": "2026-09-01"}, 422, "required"),
        ({"field": "birth_date", "new": "2017-03-03"}, 422, "choice"),
    ],
)
async def test_a_correction_that_cannot_be_right_is_refused(
    hub: Any, snapshot: Any, body: dict[str, Any], status: int, code: str
) -> None:
    case_id = await hub.a_plan(snapshot())
    full = {**body, "reason": "keying_error", "note": "Seen in the file."}
    response = await hub.post(f"/v1/cases/{case_id}/corrections", full)
    assert (response.status_code, codes(response)[0]) == (status, code)
    assert len(await hub.events()) == 1


async def test_a_date_that_is_not_recorded_yet_cannot_be_corrected(hub: Any) -> None:
    case_id = await registered(hub)
    body = {"field": "plan_first_made", "new": "2026-09-01", "reason": "keying_error", "note": "?"}
    assert codes(await hub.post(f"/v1/cases/{case_id}/corrections", body)) == ["nothing-recorded"]


# -- placement and routing ---------------------------------------------------------------------------------------


async def test_a_move_is_told_with_old_and_new_and_facts_follow_the_school(hub: Any, snapshot: Any) -> None:
    """A Year 4 child moves to a first school that ends at 9: a transfer lies ahead."""
    case_id = await hub.a_plan(snapshot(child={"birth_date": "2018-05-01"}))
    response = await hub.post(
        f"/v1/cases/{case_id}/placement", {"placement": {"urn": "900104", "since": "2026-09-07"}}
    )
    assert response.json()["facts"]["phase"] == "primary_to_middle"
    names = [name for name, _ in await hub.events()]
    assert names == ["plan-registered", "placement-changed", "case-facts-changed"]
    assert response.json()["version"] == 3


async def test_a_field_left_out_stays_and_null_takes_it_away(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    case = (await hub.post(f"/v1/cases/{case_id}/placement", {"social_care_team": None})).json()
    assert case["responsible"]["social_care_team"] is None
    assert case["responsible"]["officer"] == "officer-3"
    assert codes(await hub.post(f"/v1/cases/{case_id}/placement", {})) == ["nothing-to-change"]


async def test_the_same_routing_again_changes_nothing(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    response = await hub.post(f"/v1/cases/{case_id}/placement", {"officer": "officer-3"})
    assert (response.status_code, response.headers["ETag"]) == (200, '"1"')
    assert len(await hub.events()) == 1


async def test_an_old_etag_is_refused_where_it_is_sent(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    url = f"/v1/cases/{case_id}/placement"
    assert (await hub.post(url, {"officer": "officer-7"}, **{"If-Match": '"1"'})).status_code == 200
    late = await hub.post(url, {"officer": "officer-8"}, **{"If-Match": '"1"'})
    assert late.status_code == 412


# -- history -----------------------------------------------------------------------------------------------------


async def test_versions_have_no_gap_and_each_event_has_its_change(hub: Any, snapshot: Any) -> None:
    """I2: changes are 1…version without gap; changes that are told and outbox rows are one to one, in order."""
    case_id = await hub.a_plan(snapshot(child={"birth_date": "2018-05-01"}))
    await hub.push(snapshot(version=2, child={"birth_date": "2018-05-01", "postcode": "BL9 0SW"}))
    await hub.post(f"/v1/cases/{case_id}/placement", {"placement": {"urn": "900104"}})
    notice = (await hub.post(f"/v1/cases/{case_id}/amendment-notices", {"sent_on": "2026-08-20"})).json()
    await hub.post(f"/v1/cases/{case_id}/amendment-notices/{notice['id']}/final", {"issued_on": "2026-09-10"})
    await hub.post(f"/v1/cases/{case_id}/cease", {"stage": "consult", "notified_on": "2026-09-10"})
    async with hub.app.hub.db.read() as session:
        rows = (await session.exec(select(ChangeRow).order_by(col(ChangeRow.version)))).all()
    case = await hub.case(case_id)
    assert [row.version for row in rows] == list(range(1, case["version"] + 1))
    sent = await hub.app.sent()
    assert [row.event_id for row in rows if row.event_id] == [e.id for e in sent]
    assert [e.sequence for e in sent] == list(range(1, len(sent) + 1))
    assert [row.what for row in rows] == [
        "plan_registered",
        "details_changed",
        "placement_changed",
        "facts_changed",
        "amendment_notice_sent",
        "amendment_issued",
        "cease_considered",
    ]
