"""What a council settles for itself: read, changed, kept, and followed by its open reviews from that day on. Reviews are due
on 1 March 2027, their last safe meeting day is 1 February."""

from datetime import date

import pytest

from review_scheduler import policies

NATIONAL = {
    "basis": "strict",
    "under5_interval_months": 6,
    "notice_clear_days": 1,
    "advice_request_days": 56,
    "lead_plan_days": 84,
    "lead_invite_days": 56,
    "lead_last_call_days": 14,
}


async def settle(desk, version=0, expect=200, role="manager", la="351", **settings):
    """Change the policy and let the open reviews follow."""
    caller = desk.app.as_(role, las=("351",))
    answer = await caller.put(f"/v1/policies/{la}", json=settings, headers={"If-Match": f'"{version}"'})
    assert answer.status_code == expect, answer.text
    await policies.replan(desk.app.hub)
    await desk.app.settle()
    return answer


async def dates(desk, review):
    answer = (await desk.app.as_("officer").get(f"/v1/reviews/{review['id']}/dates")).json()
    return {day["name"]: day for day in answer["dates"]}, {s["stage"]: s for s in answer["stages"]}


# --- reading and changing -----------------------------------------------------------------------------------------


async def test_a_council_that_has_settled_nothing_follows_the_national_defaults(desk):
    answer = await desk.app.as_("officer").get("/v1/policies/351")
    assert answer.json() == {"la_code": "351", "version": 0, "effective_on": None} | NATIONAL
    assert answer.headers["etag"] == '"0"'


async def test_a_change_is_kept_with_its_day_and_the_old_values_stay_on_record(desk):
    answer = await settle(desk, lead_plan_days=100, under5_interval_months=4)
    changed = NATIONAL | {"lead_plan_days": 100, "under5_interval_months": 4}
    assert answer.json() == {"la_code": "351", "version": 1, "effective_on": "2026-09-01"} | changed
    await desk.day(date(2026, 10, 5))
    await settle(desk, 1)  # everything left out: back to the national ones
    officer = desk.app.as_("officer")
    assert (await officer.get("/v1/policies/351")).json()["lead_plan_days"] == 84
    past = (await officer.get("/v1/policies/351/history")).json()["items"]
    assert [(p["version"], p["effective_on"], p["lead_plan_days"], p["who"]) for p in past] == [
        (1, "2026-09-01", 100, "manager:manager-x"),
        (2, "2026-10-05", 84, "manager:manager-x"),
    ]


async def test_it_is_told_once_for_each_change_and_about_no_case(desk):
    await settle(desk, under5_interval_months=4)
    await settle(desk, 1, under5_interval_months=4)  # the same again is no change
    (envelope,) = await desk.app.sent()
    assert (envelope.type, envelope.lacode, envelope.dataref) == (
        "ehcp.council-policy-changed.v1",
        "351",
        "/v1/policies/351",
    )
    assert envelope.data == NATIONAL | {
        "under5_interval_months": 4,
        "policy_version": 1,
        "effective_on": "2026-09-01",
    }


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"under5_interval_months": 12}, "/under5_interval_months"),
        ({"under5_interval_months": 2}, "/under5_interval_months"),
        ({"notice_clear_days": 29}, "/notice_clear_days"),
        ({"advice_request_days": 14}, "/advice_request_days"),
        ({"lead_invite_days": 85}, "/lead_invite_days"),
        ({"lead_invite_days": 14}, "/lead_invite_days"),
        ({"lead_last_call_days": 57}, "/lead_last_call_days"),
        ({"lead_plan_days": 366}, "/lead_plan_days"),
        ({"basis": "relaxed"}, "/basis"),
        ({"reassessment_resets": True}, "/reassessment_resets"),
    ],
)
async def test_what_law_or_sense_forbid_is_refused_and_not_echoed(desk, settings, pointer):
    answer = await settle(desk, expect=422, **settings)
    (found,) = answer.json()["errors"]
    assert found["pointer"] == pointer
    assert "relaxed" not in answer.text


async def test_only_a_manager_of_that_council_changes_it_and_only_what_was_read(desk):
    for role, las, path, expect in (
        ("officer", ("351",), "/v1/policies/351", 403),
        ("senior", ("351",), "/v1/policies/351", 403),
        ("manager", ("352",), "/v1/policies/351", 404),
    ):
        answer = await desk.app.as_(role, las=las).put(path, json={}, headers={"If-Match": '"0"'})
        assert answer.status_code == expect
    assert (await desk.app.as_("officer", las=("352",)).get("/v1/policies/351")).status_code == 404
    assert (await desk.app.as_("board").get("/v1/policies/351")).status_code == 403
    await settle(desk, lead_plan_days=100)
    await settle(desk, expect=412, lead_plan_days=90)
    unread = await desk.app.as_("manager").put("/v1/policies/351", json={})
    assert unread.status_code == 428


# --- the open reviews follow --------------------------------------------------------------------------------------


async def test_stages_still_ahead_move_and_those_sent_are_not_sent_again(desk):
    case = await desk.register()
    await desk.day(date(2026, 11, 9))  # 84 days before 1 February
    assert await desk.stages(case) == ["plan"]
    await settle(desk, lead_plan_days=120, lead_invite_days=80, lead_last_call_days=20)
    # "plan" was sent; "invite" would have been 14 November, 80 days before: it waits for its day.
    assert await desk.stages(case) == ["plan"]
    await desk.day(date(2026, 11, 13))
    assert await desk.stages(case) == ["plan", "invite"]
    _, stages = await dates(desk, await desk.review(case))
    assert (stages["last_call"]["on"], stages["last_call"]["state"]) == ("2027-01-12", "pending")
    assert (stages["plan"]["on"], stages["plan"]["sent_on"]) == ("2026-11-09", "2026-11-09")


async def test_a_stage_whose_day_has_come_by_the_new_lead_time_is_announced_now_once(desk):
    case = await desk.register()
    await desk.day(date(2026, 10, 20))
    await settle(desk, lead_plan_days=110)  # 14 October: known here then, and nobody was told
    assert await desk.stages(case) == ["plan"]
    await desk.day(date(2026, 11, 9))
    assert await desk.stages(case) == ["plan"]


async def test_the_anniversary_reading_moves_what_is_planned_and_no_due_date(desk):
    case = await desk.register()
    review = await desk.review(case)
    await desk.post(review, "meeting", meeting_on="2026-11-05")
    await settle(desk, basis="anniversary", notice_clear_days=3, advice_request_days=70)
    after = await desk.review(case)
    assert (after["due_on"], after["alternative_due_on"], after["latest_meeting_on"]) == (
        "2027-03-01",
        "2027-03-02",
        "2027-02-02",
    )
    told = [data["latest_meeting_on"] for name, data in await desk.sent(case) if name == "review-scheduled"]
    assert told == ["2027-02-01", "2027-02-02"]
    found, _ = await dates(desk, after)
    assert (found["notice_due"]["on"], found["notice_plan"]["on"], found["advice_request_by"]["on"]) == (
        "2026-10-22",
        "2026-10-19",
        "2026-08-27",
    )


async def test_each_date_names_the_policy_behind_it_and_law_names_none(desk):
    await settle(desk, notice_clear_days=3)
    case = await desk.register()
    review = await desk.post(await desk.review(case), "meeting", meeting_on="2026-11-05")
    found, stages = await dates(desk, review)
    assert found["notice_plan"]["policy"] == {
        "setting": "notice_clear_days",
        "value": 3,
        "version": 1,
        "effective_on": "2026-09-01",
    }
    assert found["latest_meeting_on"]["policy"]["value"] == "strict"
    assert found["due_on"]["policy"] is found["notice_due"]["policy"] is None
    assert stages["plan"]["policy"]["setting"] == "lead_plan_days"
    assert stages["due"]["policy"] is None
    assert "1 February 2027" in stages["plan"]["text"]


async def test_what_was_held_or_belongs_to_another_council_is_left_alone(desk):
    held = await desk.register(last=date(2025, 10, 5))
    await desk.post(await desk.review(held), "held", held_on="2026-08-31")
    kept = await desk.register(administering_la="352")  # kept by 352 for 351: 352 plans
    before = [await desk.review(held), await desk.review(kept)]
    await settle(desk, basis="anniversary")
    assert [await desk.review(held), await desk.review(kept)] == before


async def test_a_large_council_is_followed_in_portions(desk, monkeypatch):
    monkeypatch.setattr(policies, "AT_ONCE", 2)
    cases = [await desk.register() for _ in range(5)]
    await settle(desk, basis="anniversary")
    assert {(await desk.review(case))["latest_meeting_on"] for case in cases} == {"2027-02-02"}
    before = [await desk.review(case) for case in cases]
    await policies.replan(desk.app.hub)  # nothing is left to do
    assert [await desk.review(case) for case in cases] == before


async def test_an_interim_moves_when_case_service_has_reckoned_it_anew(desk):
    case = await desk.register(facts=desk.facts(under5_interims=(date(2026, 9, 2),)))
    await settle(desk, under5_interval_months=9)
    await desk.change_facts(case, desk.facts(under5_interims=(date(2026, 12, 2),)))
    interim = await desk.review(case, "under5_interim")
    assert interim["due_on"] == "2026-12-02"
    found, _ = await dates(desk, interim)
    assert found["due_on"]["policy"] == {
        "setting": "under5_interval_months",
        "value": 9,
        "version": 1,
        "effective_on": "2026-09-01",
    }
