"""Who may do what to which case (S10, S11, S12, S13, S14, S16)."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from case_service.main import service
from service_kit.policy import POLICY, ROLES

NDJSON = {"Content-Type": "application/x-ndjson"}
OWN_SCHOOL, OTHER_SCHOOL = "900101", "900104"
ORGS = {"school": OWN_SCHOOL, "icb": "QOP", "social-care": "team-a", "adapter": "liquid-logic"}
NOTICE = uuid4()

CORRECTION = {"field": "last_concluded", "new": "2026-05-04", "reason": "keying_error", "note": "Seen."}
DROP = {"decided_on": "2026-09-14", "reasons": "Seen."}
ON_A_CASE: list[tuple[str, str, str, dict[str, Any] | None]] = [
    ("cases.read", "GET", "", None),
    ("cases.read", "GET", "/history", None),
    ("cases.read", "GET", "/amendment-notices", None),
    ("cases.correct-date", "GET", "/corrections", None),
    ("cases.issue-plan", "POST", "/plan", {"issued_on": "2026-09-10", "placement": {}}),
    ("cases.send-amendment-notice", "POST", "/amendment-notices", {"sent_on": "2026-08-20"}),
    ("cases.issue-amended-plan", "POST", f"/amendment-notices/{NOTICE}/final", {"issued_on": "2026-09-10"}),
    ("cases.drop-amendment", "POST", f"/amendment-notices/{NOTICE}/drop", DROP),
    ("cases.cease", "POST", "/cease", {"stage": "consult", "notified_on": "2026-09-10"}),
    ("cases.correct-date", "POST", "/corrections", CORRECTION),
    ("cases.change-placement", "POST", "/placement", {"officer": "officer-9"}),
]


def client(hub: Any, role: str) -> Any:
    las = () if role in ("school", "icb", "social-care") else ("351",)
    return hub.app.as_(role, org=ORGS.get(role), las=las)


async def send(client: Any, method: str, path: str, body: Any) -> Any:
    return await client.request(method, path, json=body) if body is not None else await client.get(path)


async def own_and_foreign(hub: Any, snapshot: Any) -> tuple[str, str]:
    """A case of council 351 at the own school, and one of council 354 at another."""
    own = await hub.a_plan(snapshot())
    rochdale = hub.app.as_("adapter", org="liquid-logic", las=("354",))
    body = snapshot(responsible_la="354", placement={"urn": OTHER_SCHOOL})
    del body["ref"]
    foreign = await rochdale.put("/v1/sources/liquid-logic/cases/LL-2", json=body)
    return own, str(foreign.json()["case_id"])


@pytest.mark.parametrize("role", sorted(ROLES))
async def test_every_role_meets_the_policy_table_on_every_case_route(
    hub: Any, snapshot: Any, role: str
) -> None:
    """S10: 403 for a role that may never, 404 for a case that is not its own, else an answer about the case."""
    own, foreign = await own_and_foreign(hub, snapshot)
    asking = client(hub, role)
    wrong = []
    for action, method, tail, body in ON_A_CASE:
        ours = (await send(asking, method, f"/v1/cases/{own}{tail}", body)).status_code
        theirs = (await send(asking, method, f"/v1/cases/{foreign}{tail}", body)).status_code
        known_notice = str(NOTICE) not in tail
        if role not in POLICY[action]:
            expected = ours == theirs == 403
        elif known_notice:
            expected = ours in (200, 201, 409) and theirs == 404
        else:
            expected = ours == theirs == 404
        if not expected:
            wrong.append((action, tail, ours, theirs))
    assert wrong == []


@pytest.mark.parametrize("role", sorted(ROLES))
async def test_every_role_meets_the_policy_table_on_every_other_route(
    hub: Any, snapshot: Any, role: str
) -> None:
    asking = client(hub, role)
    child = {"surname": "A", "forename": "B", "birth_date": "2017-03-02", "sex": "F"}
    push = snapshot()
    del push["ref"]
    bulk = {"content": b"", "headers": NDJSON}
    asked = {
        "cases.list": await asking.get("/v1/cases"),
        "cases.register": await asking.post("/v1/cases", json={"child": child, "responsible_la": "351"}),
        "cases.push": await asking.put("/v1/sources/liquid-logic/cases/LL-1", json=push),
        "cases.push-batch": await asking.post("/v1/sources/liquid-logic/batches", **bulk),
        "institutions.load": await asking.post("/v1/imports/institutions", **bulk),
        "institutions.read": await asking.get("/v1/imports/institutions/900101"),
    }
    answers = {action: answer.status_code for action, answer in asked.items()}
    assert {a for a, status in answers.items() if status == 403} == {
        a for a in asked if role not in POLICY[a]
    }
    assert all(status in (200, 201, 403) for status in answers.values()), answers


async def test_nobody_gets_anywhere_without_a_token(hub: Any) -> None:
    for method, path in (("GET", "/v1/cases"), ("GET", f"/v1/cases/{uuid4()}"), ("POST", "/v1/cases")):
        assert (await hub.app.client.request(method, path)).status_code == 401


@pytest.mark.parametrize("role", ["officer", "school"])
async def test_a_foreign_case_and_a_missing_one_answer_the_same(hub: Any, snapshot: Any, role: str) -> None:
    """S11, bad-inputs 1.15: the same but for the id of the occurrence."""
    _, foreign = await own_and_foreign(hub, snapshot)
    asking = client(hub, role)
    bodies = []
    for case_id in (foreign, str(uuid4()), "not-an-id", "1'%20or%20'1'='1"):
        answer = await asking.get(f"/v1/cases/{case_id}")
        body = answer.json()
        del body["instance"], body["correlationId"]
        bodies.append((answer.status_code, body))
    assert all(body == bodies[0] for body in bodies)
    assert bodies[0][0] == 404


@pytest.mark.parametrize(
    "query", ["", "?la=354", f"?urn={OTHER_SCHOOL}", "?status=active", "?officer=officer-3", "?limit=1"]
)
async def test_no_filter_lists_a_foreign_case(hub: Any, snapshot: Any, query: str) -> None:
    """S12."""
    own, _ = await own_and_foreign(hub, snapshot)
    for role in ("officer", "school"):
        items = (await client(hub, role).get(f"/v1/cases{query}")).json()["items"]
        assert {case["id"] for case in items} <= {own}


async def test_a_case_kept_for_another_council_is_seen_by_both(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot(responsible_la="354", administering_la="351"))
    for la, status in (("351", 200), ("354", 200), ("350", 404)):
        assert (await hub.app.as_("officer", las=(la,)).get(f"/v1/cases/{case_id}")).status_code == status


async def test_after_a_move_the_old_school_sees_nothing_with_its_next_call(hub: Any, snapshot: Any) -> None:
    """S14."""
    case_id = await hub.a_plan(snapshot())
    old, new = (hub.app.as_("school", org=urn, las=()) for urn in (OWN_SCHOOL, OTHER_SCHOOL))
    assert (await old.get(f"/v1/cases/{case_id}")).status_code == 200
    assert (await new.get(f"/v1/cases/{case_id}")).status_code == 404
    await hub.post(f"/v1/cases/{case_id}/placement", {"placement": {"urn": OTHER_SCHOOL}})
    for tail in ("", "/history", "/amendment-notices"):
        assert (await old.get(f"/v1/cases/{case_id}{tail}")).status_code == 404
    assert (await old.get("/v1/cases")).json()["items"] == []
    assert (await new.get(f"/v1/cases/{case_id}")).status_code == 200


async def test_a_school_sees_the_minimum_of_its_own_pupils(hub: Any, snapshot: Any) -> None:
    child = {"postcode": "BL9 0SW", "nhs_number": "9990000018"}
    case_id = await hub.a_plan(snapshot(child=child))
    school = hub.app.as_("school", org=OWN_SCHOOL, las=())
    seen, full = (await school.get(f"/v1/cases/{case_id}")).json(), await hub.case(case_id)
    hidden = [seen["child"]["postcode"], seen["child"]["nhs_number"], seen["primary_need"], seen["source"]]
    assert hidden == [None] * 4
    assert full["child"]["postcode"] == "BL9 0SW"
    history = (await school.get(f"/v1/cases/{case_id}/history")).json()["items"]
    assert [entry["who"] for entry in history] == [None]


async def test_the_adapter_writes_and_never_reads(hub: Any, snapshot: Any) -> None:
    """S16."""
    case_id = await hub.a_plan(snapshot())
    for path in (f"/v1/cases/{case_id}", "/v1/cases", "/v1/sources/liquid-logic/quarantine"):
        assert (await hub.adapter.get(path)).status_code == 403


async def test_the_quarantine_of_another_council_is_not_listed(hub: Any, snapshot: Any) -> None:
    await hub.push(snapshot(version=2))
    await hub.push(snapshot(version=1))
    url = "/v1/sources/liquid-logic/quarantine"
    assert len((await hub.officer.get(url)).json()["items"]) == 1
    assert (await hub.app.as_("officer", las=("354",)).get(url)).json()["items"] == []


def test_every_path_of_this_service_stands_under_its_prefixes() -> None:
    paths = [route.path for router in service.routers for route in router.routes]  # type: ignore[attr-defined]
    assert len(paths) >= 17
    assert all(path.startswith(tuple(service.paths)) for path in paths)


async def test_a_school_does_not_learn_which_care_team_works_with_the_family(hub: Any, snapshot: Any) -> None:
    """As in its notices: neither the team nor that it changed."""
    case_id = await hub.a_plan(snapshot())
    await hub.push(snapshot(version=2, social_care_team="team-b"))
    school = hub.app.as_("school", org=OWN_SCHOOL, las=())
    (listed,) = (await school.get("/v1/cases")).json()["items"]
    read = (await school.get(f"/v1/cases/{case_id}")).json()
    for seen in (listed["responsible"], read["responsible"]):
        assert (seen["social_care_team"], seen["icb"], seen["officer"]) == (None, None, "officer-3")
    history = (await school.get(f"/v1/cases/{case_id}/history")).json()["items"]
    assert [entry["fields"] for entry in history][1:] == [[]]
    assert (await hub.case(case_id))["responsible"]["social_care_team"] == "team-b"
