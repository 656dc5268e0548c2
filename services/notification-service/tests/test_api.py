"""Partners, subscriptions and deliveries over HTTP: rights, refusals, and what is never shown."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from ehcp_contracts.events import Responsible
from service_kit.access import route_actions
from service_kit.policy import POLICY

ELM, OAK = "900123", "900456"
PARTNER = {"kind": "school", "ref": "900777", "name": "Birch Academy", "la_code": "351"}

EVERY_KIND = [("school", ELM), ("icb", "QOP"), ("social-care", "team-a"), ("case-system", "liquid-logic")]


def problem(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].split("/")[-1]


# --- partners --------------------------------------------------------------------------------------------------------


async def test_an_officer_registers_reads_and_renames_a_partner(quiet_town) -> None:
    created = await quiet_town.officer.post("/v1/partners", json=PARTNER)
    assert created.status_code == 201
    place = created.headers["location"]
    read = await quiet_town.officer.get(place)
    assert (read.json()["ref"], read.json()["la_code"], read.json()["alerts"]) == ("900777", "351", [])
    changed = await quiet_town.officer.patch(
        place, json={"name": "Birch Primary"}, headers={"If-Match": read.headers["etag"]}
    )
    assert changed.json()["name"] == "Birch Primary"
    stale = await quiet_town.officer.patch(
        place, json={"name": "x"}, headers={"If-Match": read.headers["etag"]}
    )
    assert problem(stale) == (412, "stale-version")
    assert problem(await quiet_town.officer.patch(place, json={"name": "x"})) == (
        428,
        "precondition-required",
    )


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"ref": "12345"}, "ref-format"),
        ({"kind": "icb", "ref": "qop"}, "ref-format"),
        ({"kind": "social-care", "ref": "Team A", "la_code": "351"}, "ref-format"),
        ({"kind": "parent"}, "choice"),
        ({"la_code": "352"}, "not-your-council"),
        ({"id": "0192f0c1-2b3c-7def-8000-0123456789ab"}, "unknown-field"),
    ],
)
async def test_a_partner_that_does_not_fit_is_refused(quiet_town, change: dict[str, str], code: str) -> None:
    """S13, bad-inputs 1.4."""
    answer = await quiet_town.officer.post("/v1/partners", json=PARTNER | change)
    assert problem(answer) == (422, "validation")
    assert answer.json()["errors"][0]["code"] == code


@pytest.mark.parametrize(("kind", "ref"), EVERY_KIND)
async def test_a_partner_without_its_council_is_refused(quiet_town, kind: str, ref: str) -> None:
    """Also when the caller acts for one council only: nothing is guessed about who may be told."""
    answer = await quiet_town.officer.post("/v1/partners", json={"kind": kind, "ref": ref, "name": "Birch"})
    assert problem(answer) == (422, "validation")
    assert answer.json()["errors"][0]["pointer"] == "/la_code"


@pytest.mark.parametrize(("kind", "ref"), EVERY_KIND)
async def test_a_partner_is_registered_once_in_each_council(quiet_town, kind: str, ref: str) -> None:
    await quiet_town.partner(kind, ref, hook=False)
    again = await quiet_town.officer.post("/v1/partners", json=PARTNER | {"kind": kind, "ref": ref})
    assert problem(again) == (409, "conflict")
    await quiet_town.partner(kind, ref, hook=False, la="352")


@pytest.mark.parametrize(("kind", "ref"), EVERY_KIND)
async def test_what_another_council_registers_hears_nothing_of_our_cases(
    quiet_town, kind: str, ref: str
) -> None:
    """S10: an address that another council chose for our school gets none of our notices, and ours still can be
    registered."""
    theirs = await quiet_town.partner(kind, ref, la="352")
    await quiet_town.issue()
    assert await quiet_town.send() == 0
    ours = await quiet_town.partner(kind, ref, la="351")
    case = await quiet_town.issue()
    assert await quiet_town.send() == 1
    everything = await quiet_town.app.as_("operator", las=()).get("/v1/deliveries?limit=200")
    told = {(d["partner_id"], d["case_id"]) for d in everything.json()["items"]}
    assert told == {(ours, str(case))}
    assert theirs != ours


async def test_a_case_of_two_councils_is_told_to_what_each_of_them_registered(quiet_town) -> None:
    """Responsible 352, administered by 351: both may tell the school, each at the address it approved."""
    ours = await quiet_town.partner("school", ELM, hook=False)
    theirs = await quiet_town.partner("school", ELM, hook=False, la="352")
    both = Responsible(responsible_la="352", administering_la="351")
    await quiet_town.issue(who=both)
    for la, partner in (("351", ours), ("352", theirs)):
        listed = await quiet_town.app.as_("officer", las=(la,)).get("/v1/deliveries")
        assert [d["partner_id"] for d in listed.json()["items"]] == [partner]


async def test_staff_of_another_council_cannot_touch_our_partner(town) -> None:
    """S11: it is as if it were not there, whatever they try, also for a case that both councils have to do with."""
    case = await town.issue(who=Responsible(responsible_la="351", administering_la="352"))
    await town.send()
    (push,) = await town.pushes(ELM)
    assert push["case_id"] == str(case)
    partner, hook = f"/v1/partners/{town.partners[ELM]}", f"/v1/subscriptions/{town.subscriptions[ELM]['id']}"
    delivery = f"/v1/deliveries/{push['id']}"
    mine = {"partner_id": town.partners[ELM], "channel": "webhook", "url": "https://mine.example/hook"}
    any_version = {"If-Match": "*"}
    for role in ("officer", "senior", "manager"):
        foreign = town.app.as_(role, las=("352",))
        answers = [
            await foreign.get(partner),
            await foreign.patch(partner, json={"active": False}, headers=any_version),
            await foreign.post(f"{partner}/replay"),
            await foreign.post("/v1/subscriptions", json=mine),
            await foreign.get(hook),
            await foreign.patch(hook, json={"url": "https://mine.example/hook"}, headers=any_version),
            await foreign.post(f"{hook}/rotate-secret"),
            await foreign.post(f"{hook}/approval", json={"url": "https://mine.example/hook"}),
            await foreign.delete(hook),
            await foreign.get(delivery),
            await foreign.post(f"{delivery}/replay"),
        ]
        assert [answer.status_code for answer in answers] == [404] * 11
        for place in ("partners", "subscriptions", "deliveries"):
            assert (await foreign.get(f"/v1/{place}")).json()["items"] == []


async def test_a_school_of_two_councils_manages_both_of_its_entries(quiet_town) -> None:
    for la in ("351", "352"):
        partner = await quiet_town.partner("school", ELM, la=la)
        await quiet_town.issue(who=Responsible(responsible_la=la, administering_la=la))
        school = quiet_town.app.as_("school", org=ELM, las=())
        assert (await school.get(f"/v1/partners/{partner}")).json()["la_code"] == la
    hooks = (await school.get("/v1/subscriptions")).json()["items"]
    sent = (await school.get("/v1/deliveries")).json()["items"]
    assert len({hook["partner_id"] for hook in hooks}) == len({d["partner_id"] for d in sent}) == 2


async def test_the_same_key_gives_the_same_partner(quiet_town) -> None:
    headers = {"Idempotency-Key": "one"}
    first = await quiet_town.officer.post("/v1/partners", json=PARTNER, headers=headers)
    second = await quiet_town.officer.post("/v1/partners", json=PARTNER, headers=headers)
    assert second.content == first.content


# --- subscriptions ---------------------------------------------------------------------------------------------------


async def test_the_secret_is_shown_once(town) -> None:
    subscription = town.subscriptions[ELM]
    assert subscription["secret"].startswith("whsec_")
    read = await town.officer.get(f"/v1/subscriptions/{subscription['id']}")
    listed = await town.officer.get("/v1/subscriptions")
    assert "secret" not in read.json()
    assert "whsec_" not in read.text + listed.text
    assert read.json()["event_types"] == "all entitled"


async def test_a_repeated_request_does_not_show_the_secret_again(quiet_town) -> None:
    """Nor is it kept anywhere but where it signs; whoever lost it rotates."""
    await quiet_town.partner("school", ELM, hook=False)
    body = {"partner_id": quiet_town.partners[ELM], "channel": "webhook", "url": "https://a.example/hook"}
    place, asked = "/v1/subscriptions", {"json": body}
    for key in ("made", "rotated"):
        headers = {"Idempotency-Key": key}
        first = await quiet_town.officer.post(place, headers=headers, **asked)
        again = await quiet_town.officer.post(place, headers=headers, **asked)
        assert first.json()["secret"].startswith("whsec_")
        assert again.json() == first.json() | {"secret": None}
        assert (again.status_code, again.headers["etag"]) == (first.status_code, first.headers["etag"])
        place, asked = f"/v1/subscriptions/{first.json()['id']}/rotate-secret", {}
    async with quiet_town.app.hub.db.read() as session:
        kept = (await session.execute(text("SELECT body FROM idempotency"))).scalars().all()
    assert len(kept) >= 3
    assert not any(b"whsec_" in one for one in kept)


@pytest.mark.parametrize(
    "url",
    [
        "http://partner.example/hook",
        "https://localhost/hook",
        "https://2130706433/",
        "https://user:pw@partner.example/",
        "https://partner.example:22/",
        "https://partner.example/" + "a" * 3000,
        "https://pаrtner.example/hook",
        "http://10.0.0.1/hook",
    ],
)
async def test_an_address_that_is_not_allowed_is_refused_without_repeating_it(quiet_town, url: str) -> None:
    """bad-inputs 1.20 (in the embedded and test environments only loopback is open besides)."""
    await quiet_town.partner("school", ELM, hook=False)
    body = {"partner_id": quiet_town.partners[ELM], "channel": "webhook", "url": url}
    answer = await quiet_town.officer.post("/v1/subscriptions", json=body)
    if url == "https://localhost/hook":  # a receiver on this machine
        assert answer.status_code == 201
        return
    assert problem(answer) == (422, "validation")
    assert answer.json()["errors"][0]["code"] == "url-not-allowed"
    assert "partner.example" not in answer.text


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"event_types": ["ehcp.case-facts-changed.v1"]}, "not-entitled"),
        ({"event_types": ["ehcp.no-such.v1"]}, "not-entitled"),
        ({"event_types": []}, "too-few"),
        ({"url": None}, "required"),
        ({"channel": "feed"}, "not-for-feed"),
        ({"channel": "carrier-pigeon"}, "choice"),
    ],
)
async def test_a_subscription_that_does_not_fit_is_refused(quiet_town, change, code: str) -> None:
    await quiet_town.partner("school", ELM, hook=False)
    body = {"partner_id": quiet_town.partners[ELM], "channel": "webhook", "url": "https://a.example/hook"}
    answer = await quiet_town.officer.post("/v1/subscriptions", json=body | change)
    assert problem(answer) == (422, "validation")
    assert answer.json()["errors"][0]["code"] == code


async def test_an_event_type_is_pushed_to_one_address_of_a_partner_only(quiet_town) -> None:
    await quiet_town.partner("school", ELM, event_types=["ehcp.review-due.v1"])
    body = {
        "partner_id": quiet_town.partners[ELM],
        "channel": "webhook",
        "url": "https://b.example/hook",
        "event_types": ["ehcp.review-due.v1", "ehcp.review-overdue.v1"],
    }
    assert problem(await quiet_town.officer.post("/v1/subscriptions", json=body)) == (409, "conflict")
    body["event_types"] = ["ehcp.review-overdue.v1"]
    assert (await quiet_town.officer.post("/v1/subscriptions", json=body)).status_code == 201


async def test_a_paused_subscription_keeps_its_notices(quiet_town) -> None:
    await quiet_town.partner("school", ELM)
    place = f"/v1/subscriptions/{quiet_town.subscriptions[ELM]['id']}"
    await quiet_town.officer.patch(place, json={"status": "disabled"}, headers={"If-Match": "*"})
    await quiet_town.issue()
    assert await quiet_town.send() == 0
    await quiet_town.officer.patch(place, json={"status": "active"}, headers={"If-Match": "*"})
    assert await quiet_town.send() == 1


async def test_a_partner_manages_its_own_subscription(quiet_town) -> None:
    await quiet_town.partner("school", ELM, hook=False)
    school = quiet_town.app.as_("school", org=ELM, las=())
    body = {"partner_id": quiet_town.partners[ELM], "channel": "webhook", "url": "https://a.example/hook"}
    created = await school.post("/v1/subscriptions", json=body)
    assert created.status_code == 201
    place = created.headers["location"]
    assert (await school.post(f"{place}/rotate-secret")).json()["secret"] != created.json()["secret"]
    assert (await school.delete(place)).status_code == 204
    assert problem(await school.get(place)) == (404, "not-found")


# --- rights ----------------------------------------------------------------------------------------------------------

ROLES: dict[str, dict] = {
    "officer": {"las": ("351",)},
    "foreign officer": {"las": ("352",)},
    "school": {"org": ELM, "las": ()},
    "foreign school": {"org": OAK, "las": ()},
    "icb": {"org": "QOP", "las": ()},
    "social-care": {"org": "team-a", "las": ()},
    "adapter": {"org": "liquid-logic", "las": ("351",)},
    "operator": {"las": ()},
    "board": {"las": ("351",)},
    "reporting": {"las": ("351",)},
    "auditor": {"las": ()},
}


@pytest.mark.parametrize("who", sorted(ROLES))
async def test_roles_against_own_and_foreign_objects(town, who: str) -> None:
    """S10, S11: a role that may never gets 403, a foreign object answers like a missing one."""
    await town.issue()
    role = who.removeprefix("foreign ")
    caller = town.app.as_(role, **ROLES[who])
    (delivery, *_) = await town.deliveries(partner=town.partners[ELM])
    own = who in ("officer", "school")
    reads = {
        f"/v1/partners/{town.partners[ELM]}": "partners.read",
        f"/v1/subscriptions/{town.subscriptions[ELM]['id']}": "subscriptions.read",
        f"/v1/deliveries/{delivery['id']}": "deliveries.read",
    }
    missing = "0192f0c1-2b3c-7def-8000-0123456789ab"
    for place, action in reads.items():
        answer = await caller.get(place)
        if role not in POLICY[action]:
            assert problem(answer) == (403, "forbidden")
        elif own or POLICY[action][role] == "everyone":
            assert answer.status_code == 200, (who, place, answer.text)
        else:
            absent = await caller.get(f"{place.rsplit('/', 1)[0]}/{missing}")
            shape = [
                {k: v for k, v in a.json().items() if k not in ("instance", "correlationId")}
                for a in (answer, absent)
            ]
            assert answer.status_code == 404
            assert shape[0] == shape[1]


async def test_lists_hold_own_rows_only(town) -> None:
    """S12."""
    await town.issue(urn=OAK)
    await town.issue()
    seen = {}
    for who, rights in ROLES.items():
        answer = await town.app.as_(who.removeprefix("foreign "), **rights).get("/v1/deliveries?limit=200")
        if answer.status_code == 200:
            seen[who] = {d["partner_id"] for d in answer.json()["items"]}
    everybody = set(town.partners.values())
    assert seen == {
        "officer": everybody,
        "foreign officer": set(),
        "school": {town.partners[ELM]},
        "foreign school": {town.partners[OAK]},
        "icb": {town.partners["QOP"]},
        "social-care": {town.partners["team-a"]},
        "adapter": {town.partners["liquid-logic"]},
        "operator": everybody,
    }


async def test_a_team_token_that_names_councils_is_held_to_them(quiet_town) -> None:
    await quiet_town.partner("social-care", "team-a", hook=False)
    place = f"/v1/partners/{quiet_town.partners['team-a']}"
    assert (await quiet_town.app.as_("social-care", org="team-a", las=("351",)).get(place)).status_code == 200
    assert (await quiet_town.app.as_("social-care", org="team-a", las=("352",)).get(place)).status_code == 404


async def test_an_operator_sees_no_payload_and_a_former_school_none_either(town) -> None:
    case = await town.issue()
    await town.send()
    delivered = next(d for d in await town.pushes(ELM) if d["case_id"] == str(case))
    place = f"/v1/deliveries/{delivered['id']}"
    school = town.app.as_("school", org=ELM, las=())
    operator = town.app.as_("operator", las=())
    assert (await town.officer.get(place)).json()["event"]["subject"] == str(case)
    assert (await school.get(place)).json()["event"]["subject"] == str(case)
    assert (await operator.get(place)).json()["event"] is None
    assert len((await operator.get(place)).json()["attempt_log"]) == 1
    await town.move(case, OAK)
    assert (await school.get(place)).json()["event"] is None


async def test_a_partner_sees_nothing_of_notices_that_were_withdrawn(town) -> None:
    """S14: not even that there was one and when; the council sees that it was withdrawn and why."""
    case = await town.issue()
    await town.due(case)
    await town.move(case, OAK)
    withdrawn = await town.deliveries(partner=town.partners[ELM], status="cancelled")
    assert {d["event_type"] for d in withdrawn} == {"ehcp.plan-issued.v1", "ehcp.review-due.v1"}
    school = town.app.as_("school", org=ELM, las=())
    shown = (await school.get("/v1/deliveries")).json()["items"]
    assert {d["event_type"] for d in shown} == {"ehcp.placement-changed.v1"}
    assert (await school.get("/v1/deliveries?status=cancelled")).json()["items"] == []
    for one in withdrawn:
        assert problem(await school.get(f"/v1/deliveries/{one['id']}")) == (404, "not-found")
        assert problem(await school.post(f"/v1/deliveries/{one['id']}/replay")) == (404, "not-found")


async def test_an_operator_replays_without_seeing(town) -> None:
    await town.issue()
    await town.send()
    (push, *_) = await town.pushes(ELM)
    operator = town.app.as_("operator", las=())
    assert (await operator.post(f"/v1/deliveries/{push['id']}/replay")).status_code == 202
    assert (await operator.post(f"/v1/partners/{town.partners[ELM]}/replay")).json() == {"replayed": 0}


async def test_every_route_is_in_the_policy_table(town) -> None:
    """S18."""
    actions = {action for action in route_actions(town.app.asgi).values() if action}
    assert actions <= set(POLICY)
    assert {
        name for name in POLICY if name.split(".")[0] in ("partners", "subscriptions", "deliveries", "events")
    } == actions


# --- lists -----------------------------------------------------------------------------------------------------------


async def test_deliveries_filter_and_page(town) -> None:
    first = await town.issue()
    await town.send()
    town.app.clock.pass_time(timedelta(hours=1))
    since = town.app.clock.now().isoformat().replace("+00:00", "Z")
    second = await town.issue()
    assert {d["case_id"] for d in await town.deliveries(updated_since=since)} == {str(second)}
    assert {d["case_id"] for d in await town.deliveries(status="delivered")} == {str(first)}
    assert {d["status"] for d in await town.deliveries(status="available")} == {"available"}
    paged: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await town.officer.get("/v1/deliveries", params={"limit": "3", **cursor})).json()
        paged += [d["id"] for d in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert paged == [d["id"] for d in await town.deliveries()]
    assert len(paged) == len(set(paged)) == 16


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "-1"},
        {"limit": "1000000000"},
        {"cursor": "abc"},
        {"status": "lost"},
        {"updated_since": "yesterday"},
        {"partner": "1"},
        {"sort": "name;drop"},
    ],
)
async def test_bad_parameters_are_400(quiet_town, query: dict[str, str]) -> None:
    """bad-inputs 1.16."""
    answer = await quiet_town.officer.get("/v1/deliveries", params=query)
    assert problem(answer) == (400, "bad-parameter")
