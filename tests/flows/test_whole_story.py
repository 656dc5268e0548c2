"""The main job from end to end: a plan is issued, its review falls due, every entitled partner hears, the figures move."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from flows.house import House, Partner

SCHOOL, OTHER_SCHOOL, NEXT_SCHOOL = "900001", "900002", "900003"


def institution(urn: str, low: int, high: int) -> dict[str, Any]:
    return {
        "urn": urn, "name": f"Invented School {urn}", "kind": "primary", "low_age": low, "high_age": high,
        "la_code": "351", "section20_12": True,
    }  # fmt: skip


def snapshot(version: int = 1, **changes: Any) -> dict[str, Any]:
    """A child born on 10 May 2017 (Year 5 in 2026/27), whose first plan was made on the day the hub went live."""
    return {
        "version": version,
        "child": {"surname": "Canaryworth", "forename": "Ida", "birth_date": "2017-05-10", "sex": "F"},
        "responsible_la": "351",
        "plan": {"first_made": "2026-09-01", "status": "active"},
        "placement": {"urn": SCHOOL},
        "primary_need": "SLCN",
        "icb": "QOP",
        "social_care_team": "team-a",
        "officer": "officer-3",
    } | changes


async def load_institutions(house: House) -> None:
    lines = [institution(SCHOOL, 4, 11), institution(OTHER_SCHOOL, 4, 11), institution(NEXT_SCHOOL, 4, 11)]
    async with house.as_("operator") as operator:
        answer = await operator.post(
            "/v1/imports/institutions",
            content="".join(json.dumps(line) + "\n" for line in lines),
            headers={"Content-Type": "application/x-ndjson"},
        )
    assert [json.loads(line)["status"] for line in answer.text.splitlines()] == ["created"] * 3


async def push(house: House, ref: str, body: dict[str, Any]) -> str:
    """A push as the Liquid Logic adapter makes it; returns the case id."""
    async with house.as_("adapter", org="liquid-logic") as adapter:
        answer = await adapter.put(f"/v1/sources/liquid-logic/cases/{ref}", json=body)
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["case_id"])


async def reviews_of(house: House, **filters: str) -> list[dict[str, Any]]:
    async with house.as_("officer") as officer:
        found = await officer.get("/v1/reviews", params=filters)
    items: list[dict[str, Any]] = found.raise_for_status().json()["items"]
    return items


async def act(house: House, role: str, org: str | None, path: str, body: dict[str, Any]) -> dict[str, Any]:
    async with house.as_(role, org=org) as client:
        answer = await client.post(path, json=body)
    assert answer.status_code in (200, 201), answer.text
    done: dict[str, Any] = answer.json()
    await house.quiet()
    return done


def stages(partner: Partner) -> list[tuple[str, str]]:
    return [(e["data"]["stage"], e["data"]["due_on"]) for e in partner.heard("ehcp.review-due.v1")]


async def test_from_the_push_of_a_plan_to_the_next_review_and_the_figures(house: House) -> None:
    await load_institutions(house)
    school = await house.partner("school", SCHOOL)
    icb = await house.partner("icb", "QOP")
    social_care = await house.partner("social-care", "team-a")
    strangers = [
        await house.partner("school", OTHER_SCHOOL),
        await house.partner("icb", "QNX"),
        await house.partner("social-care", "team-b"),
    ]

    # 1 September 2026: Liquid Logic pushes a plan first made today; the same push again changes nothing.
    case = await push(house, "LL-1", snapshot())
    assert await push(house, "LL-1", snapshot()) == case
    await house.quiet()
    (review,) = await reviews_of(house, urn=SCHOOL)
    assert (review["kind"], review["due_on"], review["alternative_due_on"]) == (
        "annual",
        "2027-08-31",
        "2027-09-01",
    )
    assert review["latest_meeting_on"] == "2027-08-03"
    async with house.as_("school", org=SCHOOL) as senco:
        dates = (await senco.get(f"/v1/reviews/{review['id']}/dates")).raise_for_status().json()["dates"]
    assert any("s.44(1)" in one["citation"] and one["on"] == "2027-08-31" for one in dates)
    assert [e["data"]["issued_on"] for e in school.heard("ehcp.plan-issued.v1")] == ["2026-09-01"]

    # The days pass. 84 days before the last safe meeting day, exactly the entitled three hear that it is time to plan.
    await house.go_to(date(2027, 5, 10))
    assert stages(school) == []
    await house.go_to(date(2027, 5, 11))
    for partner in (school, icb, social_care):
        assert stages(partner) == [("plan", "2027-08-31")]

    # The school books a meeting; 56 days before, the invitations are called for; the meeting is held.
    await act(house, "school", SCHOOL, f"/v1/reviews/{review['id']}/meeting", {"meeting_on": "2027-06-14"})
    await house.go_to(date(2027, 6, 14))
    assert stages(school) == [("plan", "2027-08-31"), ("invite", "2027-08-31")]
    (booked,) = icb.heard("ehcp.review-meeting-booked.v1")
    assert (booked["data"]["meeting_on"], booked["data"]["notice_due"]) == ("2027-06-14", "2027-05-31")
    held = await act(house, "school", SCHOOL, f"/v1/reviews/{review['id']}/held", {"held_on": "2027-06-14"})
    assert (held["report_due"], held["decision_due"]) == ("2027-06-28", "2027-07-12")
    await house.go_to(date(2027, 6, 21))
    await act(house, "school", SCHOOL, f"/v1/reviews/{review['id']}/report", {"received_on": "2027-06-21"})

    # The decision is to amend: the review is concluded only when the amendment notice has been sent as well.
    await house.go_to(date(2027, 6, 28))
    decided = await act(
        house,
        "officer",
        None,
        f"/v1/reviews/{review['id']}/decision",
        {"outcome": "amend", "notified_on": "2027-06-28"},
    )
    assert decided["status"] == "decided"
    notice = await act(
        house,
        "officer",
        None,
        f"/v1/cases/{case}/amendment-notices",
        {"sent_on": "2027-06-28", "review_id": review["id"]},
    )
    open_now = await reviews_of(house, urn=SCHOOL, status="open")
    assert [(r["kind"], r["due_on"]) for r in open_now] == [("annual", "2028-06-27")]
    async with house.as_("officer") as officer:
        done = (await officer.get(f"/v1/reviews/{review['id']}")).json()
    assert (done["status"], done["concluded_on"], done["days_late"]) == ("concluded", "2027-06-28", 0)

    # Three weeks later the amended plan is issued, after the family's 15 days.
    await house.go_to(date(2027, 7, 20))
    await act(
        house,
        "officer",
        None,
        f"/v1/cases/{case}/amendment-notices/{notice['id']}/final",
        {"issued_on": "2027-07-20"},
    )
    assert [e["data"]["issued_on"] for e in school.heard("ehcp.amendment-issued.v1")] == ["2027-07-20"]

    # Nobody else heard anything, nothing is stuck, and what went out names nobody.
    for stranger in strangers:
        assert stranger.requests == []
    for one in house.running.values():
        assert one.inbox is None or await one.inbox.parked() == {}
    for partner in (school, icb, social_care):
        assert partner.verified()
        for request in partner.requests:
            assert b"Canaryworth" not in request.body
            assert b"2017-05-10" not in request.body

    # The figures, counted by hand: one plan, one review due in 2026/27, concluded in time, decided in four weeks.
    async with house.as_("board") as board:
        answer = await board.get("/v1/measures", params={"la": "351", "academic_year": "2026/27"})
    figures = {m["id"]: m for m in answer.raise_for_status().json()["measures"]}
    assert figures["plans"]["numerator"] == 1
    assert (figures["K6b"]["numerator"], figures["K6b"]["denominator"], figures["K6b"]["unknown"]) == (
        1,
        1,
        0,
    )
    assert (figures["K7"]["numerator"], figures["K7"]["denominator"]) == (1, 1)
    assert (figures["K8"]["numerator"], figures["K8"]["denominator"]) == (1, 1)
    assert (figures["K9"]["numerator"], figures["K9"]["denominator"]) == (1, 1)
    assert figures["K12"]["numerator"] == 0


async def test_a_pupil_who_moves_is_heard_of_by_the_new_school_and_no_longer_by_the_old(house: House) -> None:
    await load_institutions(house)
    old, new = await house.partner("school", SCHOOL), await house.partner("school", NEXT_SCHOOL)
    case = await push(house, "LL-1", snapshot())
    await house.quiet()
    await house.go_to(date(2026, 11, 2))
    async with house.as_("school", org=SCHOOL) as senco:
        assert (await senco.get(f"/v1/cases/{case}")).status_code == 200

    await push(house, "LL-1", snapshot(2, placement={"urn": NEXT_SCHOOL, "since": "2026-11-02"}))
    async with house.as_("school", org=SCHOOL) as senco:  # S14: one request after the commit
        assert (await senco.get(f"/v1/cases/{case}")).status_code == 404
    await house.quiet()
    (leaving,) = old.heard("ehcp.placement-changed.v1")
    assert NEXT_SCHOOL not in json.dumps(leaving)
    (joining,) = new.heard("ehcp.placement-changed.v1")
    assert joining["id"] == leaving["id"]
    assert joining["data"]["placement"]["urn"] == NEXT_SCHOOL
    assert SCHOOL not in json.dumps(joining["data"])

    before = len(old.requests)
    await house.go_to(date(2027, 5, 11))
    assert stages(new) == [("plan", "2027-08-31")]
    assert len(old.requests) == before
    async with house.as_("school", org=SCHOOL) as senco:
        assert (await senco.get("/v1/reviews")).json()["items"] == []


async def test_a_partner_that_was_down_gets_the_same_notice_again_under_the_same_id(house: House) -> None:
    await load_institutions(house)
    school = await house.partner("school", SCHOOL)
    school.answers = [503]
    await push(house, "LL-1", snapshot())
    await house.quiet()
    first, again, later = school.verified()
    assert first.headers["webhook-id"] == again.headers["webhook-id"] != later.headers["webhook-id"]
    assert first.body == again.body
    assert (first.event["type"], later.event["type"]) == ("ehcp.plan-issued.v1", "ehcp.review-scheduled.v1")
    async with house.as_("officer") as officer:
        made = (
            (await officer.get("/v1/deliveries", params={"status": "delivered"}))
            .raise_for_status()
            .json()["items"]
        )
    assert [(one["event_type"], one["attempts"]) for one in made if one["channel"] == "webhook"] == [
        ("ehcp.plan-issued.v1", 2),
        ("ehcp.review-scheduled.v1", 1),
    ]


async def test_partners_without_an_endpoint_read_the_same_events_from_the_feed(house: House) -> None:
    await load_institutions(house)
    school = await house.partner("school", SCHOOL)
    await push(house, "LL-1", snapshot())
    await house.quiet()
    async with house.as_("school", org=SCHOOL) as senco:
        batch = (await senco.get("/v1/events", params={"limit": "50"})).raise_for_status().json()
    assert [(e["id"], e["type"]) for e in batch] == [
        (r.event["id"], r.event["type"]) for r in sorted(school.verified(), key=lambda r: r.event["id"])
    ]
    async with house.as_("school", org=OTHER_SCHOOL) as stranger:
        assert (await stranger.get("/v1/events")).status_code in (200, 403, 404)
