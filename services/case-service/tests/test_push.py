"""Liquid Logic's snapshots, one by one (bad-inputs 3; S13, S16; F45)."""

from __future__ import annotations

from typing import Any

import pytest


def codes(response: Any) -> list[str]:
    return [error["code"] for error in response.json()["errors"]]


async def test_a_plan_from_before_go_live_is_registered_with_its_anchor(hub: Any, snapshot: Any) -> None:
    response = await hub.push(snapshot(plan={"meeting_held_on": "2026-08-20"}))
    assert (response.status_code, response.json()["status"]) == (201, "created")
    ((name, data),) = await hub.events()
    assert name == "plan-registered"
    assert data["plan_first_made"] == "2024-05-20"
    assert data["last_concluded"] == "2026-05-01"
    assert data["meeting_held_on"] == "2026-08-20"
    assert data["placement"] == {"urn": "900101", "since": "2021-09-06"}
    assert data["responsible"] == {
        "responsible_la": "351",
        "administering_la": "351",
        "icb": "QOP",
        "social_care_team": "team-a",
        "officer": "officer-3",
    }
    assert data["facts"]["year_group"] == 5


async def test_a_plan_since_go_live_is_issued(hub: Any, snapshot: Any) -> None:
    await hub.push(snapshot(plan={"first_made": "2026-09-01", "last_concluded": None}))
    ((name, data),) = await hub.events()
    assert (name, data["issued_on"]) == ("plan-issued", "2026-09-01")


async def test_a_young_plan_with_a_step_under_way_is_registered_so_that_the_step_is_told(
    hub: Any, snapshot: Any
) -> None:
    plan = {"first_made": "2026-09-01", "last_concluded": None, "meeting_held_on": "2026-09-10"}
    await hub.push(snapshot(plan=plan))
    ((name, data),) = await hub.events()
    assert (name, data["meeting_held_on"]) == ("plan-registered", "2026-09-10")


async def test_a_meeting_from_before_the_last_conclusion_is_no_open_step(hub: Any, snapshot: Any) -> None:
    await hub.push(snapshot(plan={"meeting_held_on": "2026-04-15"}))
    ((_, data),) = await hub.events()
    assert "meeting_held_on" not in data


async def test_a_plan_kept_for_another_council_names_both(hub: Any, snapshot: Any) -> None:
    """bad-inputs 2.15: 38 of Bury's plans belong to other authorities."""
    await hub.a_plan(snapshot(responsible_la="354", administering_la="351"))
    (envelope,) = await hub.app.sent()
    assert envelope.lacode == "354"
    assert envelope.data["responsible"]["administering_la"] == "351"


async def test_the_same_version_again_changes_nothing_and_sends_nothing(hub: Any, snapshot: Any) -> None:
    """bad-inputs 3.1."""
    first = (await hub.push(snapshot())).json()
    again = await hub.push(snapshot())
    assert again.status_code == 200
    assert again.json() == {**first, "status": "unchanged"}
    assert again.headers["ETag"] == '"1"'
    assert len(await hub.events()) == 1


async def test_a_newer_version_with_the_same_content_changes_nothing(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    assert (await hub.push(snapshot(version=2))).json()["status"] == "unchanged"
    case = await hub.case(case_id)
    assert (case["version"], case["source"]["version"]) == (1, 2)
    assert len(await hub.events()) == 1
    assert (await hub.push(snapshot(version=1))).status_code == 409


async def test_an_older_version_after_a_newer_one_is_refused_and_kept(hub: Any, snapshot: Any) -> None:
    """bad-inputs 3.2."""
    await hub.push(snapshot(version=5))
    response = await hub.push(snapshot(version=4, officer="officer-9"))
    assert (response.status_code, codes(response)) == (409, ["stale-snapshot"])
    kept = (await hub.officer.get("/v1/sources/liquid-logic/quarantine")).json()["items"]
    assert [(k["ref"], k["version"], k["code"], k["times"]) for k in kept] == [
        ("LL-1", 4, "stale-snapshot", 1)
    ]


async def test_the_same_version_with_other_content_is_refused(hub: Any, snapshot: Any) -> None:
    await hub.push(snapshot())
    response = await hub.push(snapshot(officer="officer-9"))
    assert (response.status_code, codes(response)) == (409, ["same-version-other-content"])
    assert len(await hub.events()) == 1


async def test_a_reference_reused_for_another_child_is_quarantined(hub: Any, snapshot: Any) -> None:
    """bad-inputs 3.4: birth date and surname both differ. Seen twice it is counted; a fitting snapshot settles it."""
    case_id = await hub.a_plan(snapshot())
    other = snapshot(version=2, child={"surname": "Nightjar", "birth_date": "2015-01-09"})
    for _ in range(2):
        response = await hub.push(other)
        assert (response.status_code, codes(response)) == (409, ["identity-clash"])
    (kept,) = (await hub.officer.get("/v1/sources/liquid-logic/quarantine")).json()["items"]
    assert (kept["code"], kept["case_id"], kept["times"]) == ("identity-clash", case_id, 2)
    assert "Nightjar" not in str(kept)
    assert (await hub.case(case_id))["child"]["surname"] == "Quillfeather"
    await hub.push(snapshot(version=3, officer="officer-4"))
    assert (await hub.officer.get("/v1/sources/liquid-logic/quarantine")).json()["items"] == []


async def test_a_new_surname_or_a_put_right_birth_date_alone_is_the_same_child(
    hub: Any, snapshot: Any
) -> None:
    case_id = await hub.a_plan(snapshot())
    await hub.push(snapshot(version=2, child={"surname": "Nightjar"}))
    response = await hub.push(snapshot(version=3, child={"surname": "Nightjar", "birth_date": "2016-03-02"}))
    assert response.json()["status"] == "updated"
    assert [name for name, _ in await hub.events()] == ["plan-registered", "case-facts-changed"]
    assert (await hub.events())[1][1]["facts"]["year_group"] == 6
    case = await hub.case(case_id)
    assert (case["version"], case["child"]["surname"]) == (4, "Nightjar")


@pytest.mark.parametrize("field", ["need_description", "diagnosis", "la_code", "id", "consent"])
async def test_a_field_that_is_not_mapped_is_refused(hub: Any, snapshot: Any, field: str) -> None:
    """S13, S16, bad-inputs 3.11: nothing of it is stored or repeated."""
    response = await hub.push(snapshot(**{field: "long free text about a child"}))
    assert (response.status_code, codes(response)) == (422, ["unknown-field"])
    assert "free text" not in response.text


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"primary_need": "speech and language"}, "choice"),
        ({"child": {"upn": "A351999920001"}}, "upn-check"),
        ({"child": {"nhs_number": "9990000001"}}, "nhs-number-check"),
        ({"child": {"birth_date": "02/03/2017"}}, "date-format"),
        ({"child": {"birth_date": "2026-09-15"}}, "in-future"),
        ({"child": {"birth_date": "2000-09-01"}, "plan": {"last_concluded": None}}, "age25"),
        ({"placement": {"urn": "999998"}}, "urn-not-in-register"),
        ({"placement": {"setting": "EHE"}}, "one-place"),
        ({"placement": {"since": "2016-09-01"}}, "before-birth"),
        ({"plan": {"first_made": "2026-10-01", "last_concluded": None}}, "in-future"),
        ({"plan": {"first_made": "2014-08-31"}}, "before-birth"),
        ({"plan": {"last_concluded": "2024-05-19"}}, "review-before-plan"),
        (
            {"plan": {"meeting_held_on": "2026-08-01", "notice_sent_on": "2026-07-31"}},
            "notice-before-meeting",
        ),
        ({"plan": {"status": "ceased"}}, "ceased-incomplete"),
        ({"plan": {"ceased_on": "2026-09-01", "cease_reason": "2"}}, "ceased-incomplete"),
        (
            {"plan": {"status": "ceased", "ceased_on": "2024-01-01", "cease_reason": "2"}},
            "ceased-before-plan",
        ),
        ({"version": "1"}, "whole-number"),
        ({"version": True}, "whole-number"),
        ({"taught_in": "2026/28"}, "academic-year-format"),
        ({"officer": "Mr Oak of the council"}, "ref-format"),
        # What no event can carry is refused here, not by the event.
        ({"officer": "o" * 41}, "too-long"),
        ({"social_care_team": "team.a"}, "ref-format"),
        ({"icb": "QOPQOPQ"}, "ods-code-format"),
        ({"taught_year_group": 5, "taught_in": "2099/00"}, "taught-year"),
        ({"taught_year_group": 21, "taught_in": "2014/15"}, "taught-year"),
    ],
)
async def test_what_cannot_be_right_is_refused_by_its_rule(
    hub: Any, snapshot: Any, changes: dict[str, Any], code: str
) -> None:
    """bad-inputs 1.5, 1.7, 1.10, 1.11."""
    response = await hub.push(snapshot(**changes))
    assert (response.status_code, code in codes(response)) == (422, True), response.text
    assert await hub.events() == []


async def test_a_plan_from_before_part_3_of_the_act_cannot_be(hub: Any, snapshot: Any) -> None:
    born = {"birth_date": "2010-03-02"}
    response = await hub.push(snapshot(child=born, plan={"first_made": "2014-08-31"}))
    assert codes(response) == ["before-part3"]


async def test_a_move_to_another_school_is_told_with_old_and_new(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    await hub.push(
        snapshot(version=2, placement={"urn": "900104", "since": "2026-09-07"}, officer="officer-5")
    )
    name, data = (await hub.events())[1]
    assert name == "placement-changed"
    assert data["placement"] == {"urn": "900104", "since": "2026-09-07"}
    assert data["previous"] == {"urn": "900101", "since": "2021-09-06"}
    assert data["responsible"]["officer"] == "officer-5"
    assert (await hub.case(case_id))["version"] == 2, "one event tells it all"


async def test_a_new_officer_alone_is_a_change_of_routing(hub: Any, snapshot: Any) -> None:
    await hub.a_plan(snapshot())
    await hub.push(snapshot(version=2, officer="officer-5", social_care_team=None))
    name, data = (await hub.events())[1]
    assert name == "case-facts-changed"
    assert data["responsible"]["officer"] == "officer-5"
    assert "social_care_team" not in data["responsible"]


async def test_a_detail_that_concerns_nobody_outside_is_history_only(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    await hub.push(snapshot(version=2, child={"postcode": "BL9 0SW"}, primary_need="ASD"))
    assert len(await hub.events()) == 1
    last = (await hub.history(case_id))[-1]
    assert (last["version"], last["what"], last["event_type"]) == (2, "details_changed", None)
    assert last["fields"] == ["postcode", "primary_need"]
    assert last["who"] == "adapter:adapter-liquid-logic"


async def test_a_date_the_source_puts_right_goes_out_as_a_correction(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    await hub.push(snapshot(version=2, plan={"first_made": "2024-05-21", "last_concluded": "2026-08-03"}))
    corrected = [data for name, data in await hub.events() if name == "date-corrected"]
    assert corrected == [
        {"field": "plan_first_made", "old": "2024-05-20", "new": "2024-05-21", "reason": "source_error"},
        {"field": "last_concluded", "old": "2026-05-01", "new": "2026-08-03", "reason": "evidence_found"},
    ]
    kept = (await hub.officer.get(f"/v1/cases/{case_id}/corrections")).json()["items"]
    assert [(k["old"], k["new"], k["note"]) for k in kept] == [
        ("2024-05-20", "2024-05-21", "liquid-logic, version 2"),
        ("2026-05-01", "2026-08-03", "liquid-logic, version 2"),
    ]


async def test_what_the_source_did_not_change_stays_as_the_hub_has_it(hub: Any, snapshot: Any) -> None:
    """Three-way: the officer moved the child here; a snapshot about something else does not move it back."""
    case_id = await hub.a_plan(snapshot())
    await hub.post(f"/v1/cases/{case_id}/placement", {"placement": {"urn": "900104", "since": "2026-09-07"}})
    await hub.push(snapshot(version=2, officer="officer-5"))
    case = await hub.case(case_id)
    assert (case["placement"]["urn"], case["responsible"]["officer"]) == ("900104", "officer-5")


async def test_a_date_both_sides_moved_differently_is_a_conflict(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    body = {
        "field": "last_concluded",
        "new": "2026-05-08",
        "reason": "evidence_found",
        "note": "Letter found.",
    }
    await hub.post(f"/v1/cases/{case_id}/corrections", body)
    agreeing = await hub.push(snapshot(version=2, plan={"last_concluded": "2026-05-08"}))
    assert agreeing.json()["status"] == "unchanged"
    await hub.post(f"/v1/cases/{case_id}/corrections", {**body, "new": "2026-05-11"})
    differing = await hub.push(snapshot(version=3, plan={"last_concluded": "2026-05-05"}))
    assert (differing.status_code, codes(differing)) == (409, ["contradicts-hub"])


async def test_a_date_left_out_does_not_take_back_what_is_on_record(hub: Any, snapshot: Any) -> None:
    await hub.a_plan(snapshot())
    response = await hub.push(snapshot(version=2, plan={"last_concluded": None}))
    assert codes(response) == ["date-removed"]


async def test_another_responsible_authority_is_a_transfer_and_not_an_update(hub: Any, snapshot: Any) -> None:
    await hub.a_plan(snapshot(administering_la="351"))
    response = await hub.push(snapshot(version=2, responsible_la="354", administering_la="351"))
    assert codes(response) == ["authority-changed"]


async def test_a_notice_open_in_the_source_is_an_amendment_here(hub: Any, snapshot: Any) -> None:
    """Registered with its step; the final plan can be issued here. Vector N2: 2025-10-15, 2025-11-12."""
    plan = {"last_concluded": None, "meeting_held_on": "2026-07-15", "notice_sent_on": "2026-08-12"}
    case_id = await hub.a_plan(snapshot(plan=plan))
    assert (await hub.case(case_id))["status"] == "amending"
    (notice,) = (await hub.officer.get(f"/v1/cases/{case_id}/amendment-notices")).json()["items"]
    assert (notice["sent_on"], notice["representations_close"]) == ("2026-08-12", "2026-08-26")
    assert notice["final_due"] == "2026-10-07"
    done = await hub.post(
        f"/v1/cases/{case_id}/amendment-notices/{notice['id']}/final", {"issued_on": "2026-09-14"}
    )
    assert done.status_code == 200
    assert [name for name, _ in await hub.events()] == ["plan-registered", "amendment-issued"]
    closed = await hub.push(snapshot(version=2, plan={**plan, "notice_sent_on": None}))
    assert closed.json()["status"] == "unchanged"


async def test_a_notice_the_source_sends_later_opens_the_amendment(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    await hub.push(snapshot(version=2, plan={"notice_sent_on": "2026-09-10"}))
    name, data = (await hub.events())[1]
    assert (name, data["sent_on"], data["final_due"]) == ("amendment-notice-sent", "2026-09-10", "2026-11-05")
    await hub.push(snapshot(version=3, plan={"notice_sent_on": "2026-09-09"}))
    name, data = (await hub.events())[2]
    assert (name, data["field"], data["old"]) == ("date-corrected", "notice_sent", "2026-09-10")
    (notice,) = (await hub.officer.get(f"/v1/cases/{case_id}/amendment-notices")).json()["items"]
    assert (notice["sent_on"], notice["final_due"]) == ("2026-09-09", "2026-11-04")


async def test_a_plan_that_ended_in_the_source_ends_here(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    ended = {"status": "ceased", "ceased_on": "2026-09-01", "cease_reason": "7"}
    await hub.push(snapshot(version=2, plan=ended))
    assert (await hub.events())[1:] == [("plan-ceased", {"ceased_on": "2026-09-01", "reason": "7"})]
    assert (await hub.case(case_id))["status"] == "ceased"
    response = await hub.push(snapshot(version=3))
    assert codes(response) == ["reopened"]


async def test_a_plan_that_ended_here_stays_so_while_the_source_says_nothing_of_it(
    hub: Any, snapshot: Any
) -> None:
    """The source goes on sending an active plan, and later an end that was taken back here: neither is news."""
    case_id = await hub.a_plan(snapshot())
    url = f"/v1/cases/{case_id}/cease"
    await hub.post(url, {"notified_on": "2026-09-12", "reason": "8", "effective_now": True})
    assert (await hub.push(snapshot(version=2, officer="officer-5"))).status_code == 200
    assert (await hub.case(case_id))["status"] == "ceased"
    ended = {"status": "ceased", "ceased_on": "2026-09-12", "cease_reason": "8"}
    await hub.push(snapshot(version=3, plan=ended))
    await hub.post(url, {"stage": "withdraw"})
    await hub.push(snapshot(version=4, plan=ended, officer="officer-6"))
    assert (await hub.case(case_id))["status"] == "active"


@pytest.mark.parametrize(
    ("told", "later"),
    [("2026-09-10", True), ("2026-08-31", None), ("2026-05-15", None)],
    ids=["since the go-live", "before it", "within two weeks"],
)
async def test_a_later_conclusion_in_the_source_is_another_review_or_a_better_day(
    hub: Any, snapshot: Any, told: str, later: bool | None
) -> None:
    """Go-live 1 September 2026; last concluded 1 May. No second review is concluded within the two weeks' notice that
    its meeting needs, and what happened before the go-live is no news."""
    await hub.a_plan(snapshot())
    await hub.push(snapshot(version=2, plan={"last_concluded": told}))
    assert (await hub.events())[1][1].get("later_review") is later


async def test_a_plan_that_ended_before_it_came_here_is_told_to_nobody(hub: Any, snapshot: Any) -> None:
    ended = {"status": "ceased", "ceased_on": "2026-03-01", "cease_reason": "2", "last_concluded": None}
    case_id = await hub.a_plan(snapshot(plan=ended))
    assert await hub.events() == []
    assert (await hub.case(case_id))["plan"]["ceased_on"] == "2026-03-01"


async def test_the_source_cannot_end_a_plan_whose_appeal_time_runs_here(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    for stage in ("consult", "notify"):
        body = {"stage": stage, "notified_on": "2026-09-14", "reason": "2"}
        assert (await hub.post(f"/v1/cases/{case_id}/cease", body)).status_code == 200
    ended = {"status": "ceased", "ceased_on": "2026-09-14", "cease_reason": "2"}
    assert codes(await hub.push(snapshot(version=2, plan=ended))) == ["ceasing-in-hub"]


async def test_the_reference_in_the_body_must_be_the_one_in_the_address(hub: Any, snapshot: Any) -> None:
    response = await hub.adapter.put("/v1/sources/liquid-logic/cases/LL-1", json=snapshot("LL-2"))
    assert codes(response) == ["ref-mismatch"]


async def test_two_councils_may_use_the_same_reference(hub: Any, snapshot: Any) -> None:
    bury = await hub.a_plan(snapshot())
    rochdale_adapter = hub.app.as_("adapter", org="liquid-logic", las=("354",))
    body = {k: v for k, v in snapshot(responsible_la="354").items() if k != "ref"}
    response = await rochdale_adapter.put("/v1/sources/liquid-logic/cases/LL-1", json=body)
    assert (response.status_code, response.json()["case_id"] == bury) == (201, False)


async def test_a_system_takes_no_reference_of_another_council(hub: Any, snapshot: Any) -> None:
    """351 may keep a case for 354, not put one into 354's care under a number that 354 has not used yet."""
    body = {k: v for k, v in snapshot().items() if k != "ref"}
    url = "/v1/sources/liquid-logic/cases/LL-7"
    foreign = await hub.adapter.put(url, json={**body, "administering_la": "354"})
    assert (foreign.status_code, "case_id" in foreign.json()) == (403, False)
    (line,) = await hub.batch([snapshot("LL-7", administering_la="354")])
    assert (line["status"], line["problem"]["status"]) == ("rejected", 403)
    assert await hub.events() == []
    rochdale = hub.app.as_("adapter", org="liquid-logic", las=("354",))
    assert (await rochdale.put(url, json={**body, "responsible_la": "354"})).status_code == 201
    kept = {**body, "responsible_la": "350", "administering_la": "351"}
    assert (await hub.adapter.put(url, json=kept)).status_code == 201


async def test_a_system_whose_token_names_no_council_pushes_for_any(hub: Any, snapshot: Any) -> None:
    body = {k: v for k, v in snapshot(administering_la="354").items() if k != "ref"}
    unbound = hub.app.as_("adapter", org="liquid-logic", las=())
    assert (await unbound.put("/v1/sources/liquid-logic/cases/LL-7", json=body)).status_code == 201


async def test_a_system_pushes_for_its_own_council_and_under_its_own_name(hub: Any, snapshot: Any) -> None:
    body = {k: v for k, v in snapshot().items() if k != "ref"}
    url = "/v1/sources/liquid-logic/cases/LL-1"
    assert (
        await hub.app.as_("adapter", org="liquid-logic", las=("354",)).put(url, json=body)
    ).status_code == 403
    assert (await hub.app.as_("adapter", org="other-system").put(url, json=body)).status_code == 404
    assert (await hub.app.as_("school", org="900101", las=()).put(url, json=body)).status_code == 403
