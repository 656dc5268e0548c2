"""HTTP: who sees what, lists and cursors, ETags, idempotency, and what is refused."""

from datetime import date
from uuid import uuid4

import pytest

from ehcp_contracts.events import CeaseReason, PlanCeased
from review_scheduler.main import service
from service_kit.access import route_actions

OWN = {
    "officer": {"las": ("351",)},
    "senior": {"las": ("351",)},
    "manager": {"las": ("351",)},
    "school": {"org": "900001", "las": ()},
    "icb": {"org": "QOP", "las": ()},
    "social-care": {"org": "team-a", "las": ()},
}
FOREIGN = {
    "officer": {"las": ("999",)},
    "senior": {"las": ()},
    "manager": {"las": ("352",)},
    "school": {"org": "900002", "las": ("351",)},
    "icb": {"org": "QWE", "las": ("351",)},
    "social-care": {"org": "team-b", "las": ("351",)},
}
READING = ["officer", "senior", "manager", "school", "icb", "social-care"]
RECORDING = ["officer", "senior", "manager", "school"]
DECIDING = ["officer", "senior", "manager"]
NEVER = ["board", "adapter", "reporting", "operator", "auditor"]
STEPS = {
    "meeting": ({"meeting_on": "2026-11-05"}, RECORDING),
    "held": ({"held_on": "2026-08-28"}, RECORDING),
    "report": ({"received_on": "2026-09-01"}, RECORDING),
    "decision": ({"outcome": "maintain", "notified_on": "2026-09-01"}, DECIDING),
}


async def ready_for(desk, step):
    """A review that has come so far that the step is the next one."""
    case = await desk.register()
    review = await desk.review(case)
    if step in ("report", "decision"):
        await desk.post(review, "held", held_on="2026-08-28")
    return review


# --- who sees what ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "shown"),
    [
        ("officer", {"urn": "900001", "icb": "QOP", "social_care_team": "team-a"}),
        ("school", {"urn": "900001", "icb": None, "social_care_team": None}),
        ("icb", {"urn": None, "icb": "QOP", "social_care_team": None}),
        ("social-care", {"urn": None, "icb": None, "social_care_team": "team-a"}),
    ],
)
async def test_health_and_social_care_never_learn_the_school_nor_the_school_who_else_is_there(
    desk, role, shown
):
    """security.md section 1: school and address never in notices or lists."""
    await desk.register()
    client = desk.app.as_(role, **OWN[role])
    (listed,) = (await client.get("/v1/reviews")).json()["items"]
    read = (await client.get(f"/v1/reviews/{listed['id']}")).json()
    assert {name: listed[name] for name in shown} == {name: read[name] for name in shown} == shown


@pytest.mark.parametrize("role", ["icb", "social-care"])
async def test_a_filter_does_not_tell_the_school_that_the_answer_leaves_out(desk, role):
    await desk.register()
    answer = await desk.app.as_(role, **OWN[role]).get("/v1/reviews", params={"urn": "900001"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/urn")


async def test_a_team_of_the_same_name_in_another_council_sees_nothing(desk):
    """Two councils may both have a `team-a`."""
    await desk.register(responsible_la="352", administering_la="352")
    client = desk.app.as_("social-care", org="team-a", las=("351",))
    assert (await client.get("/v1/reviews")).json()["items"] == []
    assert (
        len((await desk.app.as_("social-care", org="team-a", las=()).get("/v1/reviews")).json()["items"]) == 1
    )


@pytest.mark.parametrize("role", READING)
async def test_everyone_sees_only_their_own_in_the_list(desk, role):
    mine = await desk.register()
    await desk.register(
        urn="900009", responsible_la="888", administering_la="888", icb="Q99", social_care_team="x"
    )
    answer = await desk.app.as_(role, **OWN[role]).get("/v1/reviews")
    assert [item["case_id"] for item in answer.json()["items"]] == [str(mine)]
    assert (await desk.app.as_(role, **FOREIGN[role]).get("/v1/reviews")).json()["items"] == []


@pytest.mark.parametrize("role", READING)
@pytest.mark.parametrize("path", ["", "/dates"])
async def test_a_foreign_review_answers_exactly_like_one_that_does_not_exist(desk, role, path):
    case = await desk.register()
    review = await desk.review(case)
    assert (await desk.app.as_(role, **OWN[role]).get(f"/v1/reviews/{review['id']}{path}")).status_code == 200
    foreign = await desk.app.as_(role, **FOREIGN[role]).get(f"/v1/reviews/{review['id']}{path}")
    missing = await desk.app.as_(role, **OWN[role]).get(f"/v1/reviews/{uuid4()}{path}")
    assert foreign.status_code == missing.status_code == 404
    hidden = ("instance", "correlationId")
    assert {k: v for k, v in foreign.json().items() if k not in hidden} == {
        k: v for k, v in missing.json().items() if k not in hidden
    }


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("role", READING)
async def test_a_step_is_open_to_its_roles_on_their_own_reviews_only(desk, step, role):
    body, allowed = STEPS[step]
    review = await ready_for(desk, step)
    path = f"/v1/reviews/{review['id']}/{step}"
    foreign = await desk.app.as_(role, **FOREIGN[role]).post(path, json=body)
    own = await desk.app.as_(role, **OWN[role]).post(path, json=body)
    assert (foreign.status_code, own.status_code) == ((404, 200) if role in allowed else (403, 403))


@pytest.mark.parametrize("role", NEVER)
async def test_roles_that_have_no_part_in_reviews_are_forbidden(desk, role):
    review = await ready_for(desk, "meeting")
    client = desk.app.as_(role, org="liquid-logic")
    for path in (
        "/v1/reviews",
        f"/v1/reviews/{review['id']}",
        f"/v1/reviews/{review['id']}/dates",
        "/v1/officers",
    ):
        assert (await client.get(path)).status_code == 403
    for step, (body, _) in STEPS.items():
        assert (await client.post(f"/v1/reviews/{review['id']}/{step}", json=body)).status_code == 403


async def test_nobody_gets_in_without_a_token(desk):
    assert (await desk.app.client.get("/v1/reviews")).status_code == 401


async def test_a_caller_without_an_organisation_does_not_own_children_without_a_school(desk):
    await desk.register(urn=None)
    for role in ("school", "icb", "social-care"):
        answer = await desk.app.as_(role, org=None, las=()).get("/v1/reviews")
        assert answer.status_code in (401, 403) or answer.json()["items"] == []


async def test_both_the_responsible_and_the_administering_council_see_a_plan_kept_for_another(desk):
    case = await desk.register(responsible_la="352", administering_la="351")
    for las in (("351",), ("352",)):
        answer = await desk.app.as_("officer", las=las).get("/v1/reviews")
        assert [item["case_id"] for item in answer.json()["items"]] == [str(case)]


async def test_when_a_pupil_moves_the_old_school_sees_nothing_any_more_and_the_new_one_all(desk):
    """F46, I8."""
    case = await desk.register()
    first = await desk.review(case)
    await desk.post(first, "held", held_on="2026-08-25")
    await desk.post(first, "decision", outcome="maintain", notified_on="2026-09-01")
    await desk.move(case, "900002")
    old = await desk.app.as_("school", org="900001", las=()).get("/v1/reviews")
    new = await desk.app.as_("school", org="900002", las=()).get("/v1/reviews")
    assert (len(old.json()["items"]), len(new.json()["items"])) == (0, 2)
    assert (
        await desk.app.as_("school", org="900001", las=()).get(f"/v1/reviews/{first['id']}")
    ).status_code == 404


def test_every_route_names_its_action():
    from fastapi import FastAPI

    app = FastAPI()
    for router in service.routers:
        app.include_router(router)
    assert route_actions(app) == {
        "GET /v1/reviews": "reviews.list",
        "GET /v1/reviews/{review_id}": "reviews.read",
        "GET /v1/reviews/{review_id}/dates": "reviews.explain",
        "POST /v1/reviews": "reviews.enter",
        "GET /v1/reviews/{review_id}/corrections": "reviews.correct-date",
        "POST /v1/reviews/{review_id}/corrections": "reviews.correct-date",
        "POST /v1/reviews/{review_id}/meeting": "reviews.book",
        "POST /v1/reviews/{review_id}/held": "reviews.hold",
        "POST /v1/reviews/{review_id}/report": "reviews.report",
        "POST /v1/reviews/{review_id}/decision": "reviews.decide",
        "GET /v1/officers": "officers.list",
        "GET /v1/calendars/{la}": "calendars.read",
        "PUT /v1/calendars/{la}": "calendars.change",
        "GET /v1/calendars/{la}/schools/{urn}": "calendars.read",
        "PUT /v1/calendars/{la}/schools/{urn}": "calendars.change",
        "DELETE /v1/calendars/{la}/schools/{urn}": "calendars.change",
        "GET /v1/policies/{la}": "policies.read",
        "PUT /v1/policies/{la}": "policies.change",
        "GET /v1/policies/{la}/history": "policies.read",
    }


# --- lists --------------------------------------------------------------------------------------------------------


async def test_the_reviews_of_one_child_and_those_of_which_nobody_was_told(desk):
    """Due 15 October 2026, so "plan" (25 June) and "invite" (23 July) were past when the plan came on 1 September."""
    late = await desk.register(last=date(2025, 10, 16))
    early = await desk.register(facts=desk.year_6())
    assert {r["kind"] for r in await desk.reviews(early)} == {"annual", "phase_transfer"}
    for stage, expected in (("invite", [str(late)]), ("last_call", [])):
        assert [r["case_id"] for r in await desk.reviews(missed=stage)] == expected


async def test_the_list_is_by_due_date_and_can_be_filtered(desk):
    oak = await desk.register(last=date(2026, 3, 2), officer="officer-1")
    elm = await desk.register(last=date(2025, 6, 1), urn="900002", officer="officer-2")
    late = (await desk.reviews(elm))[0]
    assert [r["case_id"] for r in await desk.reviews()] == [str(elm), str(oak)]
    for query, expected in (
        ({"urn": "900002"}, [elm]),
        ({"la": "351"}, [elm, oak]),
        ({"la": "352"}, []),
        ({"officer": "officer-1"}, [oak]),
        ({"status": "due"}, [elm, oak]),
        ({"status": "overdue"}, [elm]),
        ({"status": "concluded"}, []),
        ({"kind": "annual"}, [elm, oak]),
        ({"kind": "phase_transfer"}, []),
        ({"due_before": "2026-06-01"}, [elm]),
        ({"due_before": "2026-05-31"}, []),
    ):
        found = [r["case_id"] for r in await desk.reviews(**query)]
        assert found == [str(case) for case in expected], query
    assert late["due_on"] == "2026-05-31"


async def test_a_review_is_overdue_from_the_day_after_its_due_date(desk):
    case = await desk.register(last=date(2025, 9, 2))  # due 1 September 2026
    assert (await desk.review(case))["overdue_since"] is None
    assert await desk.reviews(status="overdue") == []
    desk.app.clock.set(date(2026, 9, 2))
    assert (await desk.review(case, status="overdue"))["overdue_since"] == "2026-09-02"


async def test_pages_follow_one_another_without_gap_or_repetition(desk):
    cases = [await desk.register(last=date(2026, 1, 1 + n % 3)) for n in range(7)]
    client, seen, cursor = desk.app.as_("officer"), [], None
    while True:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/v1/reviews", params=query)).json()
        seen += [item["case_id"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert sorted(seen) == sorted(map(str, cases))


async def test_updated_since_gives_what_changed_in_the_order_of_change(desk):
    first = await desk.register()
    await desk.register()
    desk.app.clock.set(date(2026, 9, 5))
    await desk.post(await desk.review(first), "meeting", meeting_on="2026-11-05")
    changed = await desk.reviews(updated_since="2026-09-05T00:00:00Z")
    assert [r["case_id"] for r in changed] == [str(first)]
    assert len(await desk.reviews(updated_since="2026-09-01T00:00:00Z")) == 2


async def test_a_closed_review_is_in_the_list_of_changes(desk):
    case = await desk.register()
    desk.app.clock.set(date(2026, 9, 5))
    await desk.tell(case, PlanCeased(ceased_on=date(2026, 9, 5), reason=CeaseReason.DECEASED))
    assert [r["status"] for r in await desk.reviews(updated_since="2026-09-05T00:00:00Z")] == ["withdrawn"]


async def test_a_cursor_of_one_order_does_not_continue_the_other(desk):
    for _ in range(3):
        await desk.register()
    client = desk.app.as_("officer")
    cursor = (await client.get("/v1/reviews?limit=1")).json()["next"]
    query = {"cursor": cursor, "updated_since": "2026-01-01T00:00:00Z"}
    answer = await client.get("/v1/reviews", params=query)
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (400, "bad-parameter")


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=1e9",
        "limit=201",
        "cursor=abc",
        "urn=12345",
        "urn=90000A",
        "la=35",
        "status=late",
        "kind=all",
        "due_before=01/09/2026",
        "due_before=2026-02-30",
        "updated_since=2026-09-01",
        "updated_since=2026-09-01T00:00:00",
        "sort=dob;drop",
        "urn=900001&urn=900002",
        "officer=%00",
    ],
)
async def test_a_bad_parameter_is_refused_and_not_echoed(desk, query):
    """bad-inputs 1.16."""
    answer = await desk.app.as_("officer").get(f"/v1/reviews?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[2] not in answer.text or len(query.partition("=")[2]) < 4


# --- one review ---------------------------------------------------------------------------------------------------


async def test_a_review_carries_its_version_as_etag_and_a_step_may_insist_on_it(desk):
    """bad-inputs 1.12."""
    case = await desk.register()
    review = await desk.review(case)
    client = desk.app.as_("officer")
    path = f"/v1/reviews/{review['id']}"
    assert (await client.get(path)).headers["ETag"] == '"1"'
    stale = {"If-Match": '"7"'}
    body = {"meeting_on": "2026-11-05"}
    assert (await client.post(f"{path}/meeting", json=body, headers=stale)).status_code == 412
    answer = await client.post(f"{path}/meeting", json=body, headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.headers["ETag"]) == (200, '"2"')


async def test_every_date_is_explained_with_its_rule(desk):
    case = await desk.register()
    review = await desk.review(case)
    await desk.post(review, "meeting", meeting_on="2026-11-05")
    answer = (
        await desk.app.as_("school", org="900001", las=()).get(f"/v1/reviews/{review['id']}/dates")
    ).json()
    assert {day["name"]: day["on"] for day in answer["dates"]} == {
        "advice_request_by": "2026-09-10",
        "notice_plan": "2026-10-21",
        "notice_due": "2026-10-22",
        "advice_due": "2026-10-22",
        "report_due": "2026-11-19",
        "decision_due": "2026-12-03",
        "meeting_limb_due": "2026-12-03",
        "final_longstop": "2027-01-28",
        "plan_meeting_by": "2027-02-01",
        "latest_meeting_on": "2027-02-01",
        "due_on": "2027-03-01",
        "alternative_due_on": "2027-03-02",
    }
    due = next(day for day in answer["dates"] if day["name"] == "due_on")
    assert due["citation"] == "Children and Families Act 2014 s.44(1)"
    assert "1 March 2027" in due["text"]
    assert due["open_points"] == ["strict reading; the anniversary would give 2 March 2027"]
    assert all(
        day["text"] and day["rule_id"] and day["force"] in ("law", "guidance", "policy")
        for day in answer["dates"]
    )


async def test_a_step_repeated_with_its_key_gives_the_stored_answer_and_no_second_event(desk):
    """I1, bad-inputs 1.13."""
    case = await desk.register()
    review = await desk.review(case)
    client, path = desk.app.as_("officer"), f"/v1/reviews/{review['id']}/held"
    key = {"Idempotency-Key": "once-and-only-once"}
    first = await client.post(path, json={"held_on": "2026-08-28"}, headers=key)
    again = await client.post(path, json={"held_on": "2026-08-28"}, headers=key)
    other = await client.post(path, json={"held_on": "2026-08-27"}, headers=key)
    assert (first.status_code, again.status_code, other.status_code) == (200, 200, 422)
    assert first.content == again.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (await desk.names(case)).count("review-meeting-held") == 1


@pytest.mark.parametrize(
    ("step", "body"),
    [
        ("meeting", {}),
        ("meeting", {"meeting_on": "05/11/2026"}),
        ("meeting", {"meeting_on": 45539}),
        ("meeting", {"meeting_on": "2026-11-05T00:00:00Z"}),
        ("meeting", {"meeting_on": "2026-02-30"}),
        ("meeting", {"meeting_on": "9999-12-31"}),
        ("meeting", {"meeting_on": "2026-11-05", "room": "B2"}),
        ("meeting", {"meeting_on": "2026-11-05", "covers": "annual"}),
        ("meeting", {"meeting_on": "2026-11-05", "covers": ["party"]}),
        ("held", {"held_on": None}),
        ("report", {"received_on": ["2026-09-01"]}),
        ("decision", {"outcome": "keep", "notified_on": "2026-09-01"}),
        ("decision", {"outcome": "maintain"}),
        ("decision", {"outcome": "maintain", "notified_on": "2026-09-01", "override_reason": "because"}),
        ("decision", {"outcome": "maintain", "notified_on": "2026-09-01", "full_process": "yes"}),
    ],
)
async def test_a_bad_body_is_refused_without_repeating_it(desk, step, body):
    """bad-inputs 1.4, 1.5, 1.7."""
    review = await ready_for(desk, "meeting")
    answer = await desk.app.as_("officer").post(f"/v1/reviews/{review['id']}/{step}", json=body)
    assert answer.status_code == 422, answer.text
    for value in body.values():
        if isinstance(value, str) and value not in ("maintain", "2026-09-01", "2026-11-05"):
            assert value not in answer.text


@pytest.mark.parametrize("bad_id", ["1", "not-a-uuid", "..%2f", "'%20OR%201=1"])
async def test_an_id_that_is_none_is_not_found(desk, bad_id):
    """bad-inputs 1.15."""
    assert (await desk.app.as_("officer").get(f"/v1/reviews/{bad_id}")).status_code == 404


# --- officers -----------------------------------------------------------------------------------------------------


async def test_the_caseload_of_each_officer_is_counted(desk):
    await desk.register(officer="officer-1", last=date(2025, 6, 1))  # overdue
    await desk.register(officer="officer-1", last=date(2025, 9, 2))  # due today
    await desk.register(
        officer="officer-1", last=date(2025, 10, 2), facts=desk.year_6()
    )  # due in 30 days, and phase
    await desk.register(officer="officer-2", last=date(2025, 10, 3))  # due in 31 days
    await desk.register(officer=None)
    ended = await desk.register(officer="officer-2")
    await desk.tell(ended, PlanCeased(ceased_on=date(2026, 9, 1), reason=CeaseReason.DECEASED))
    await desk.register(officer="officer-7", responsible_la="888", administering_la="888")
    answer = (await desk.app.as_("manager").get("/v1/officers")).json()
    counted = [
        (row["officer"], row["plans"], row["open_reviews"], row["overdue"], row["due_in_30_days"])
        for row in answer["items"]
    ]
    assert counted == [(None, 1, 1, 0, 0), ("officer-1", 3, 4, 1, 2), ("officer-2", 1, 1, 0, 0)]
    assert answer["next"] is None


async def test_the_officers_are_paged(desk):
    for name in ("officer-1", "officer-2", "officer-3"):
        await desk.register(officer=name)
    client = desk.app.as_("officer")
    first = (await client.get("/v1/officers?limit=2")).json()
    second = (await client.get("/v1/officers", params={"limit": "2", "cursor": first["next"]})).json()
    assert [row["officer"] for row in first["items"] + second["items"]] == [
        "officer-1",
        "officer-2",
        "officer-3",
    ]
    assert second["next"] is None
