"""S10, S11: every role on every route, with its own object, another's and a missing one, against the policy table.

The expectations are read from the one table of the kit for the roles, and written by hand for the objects.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from flows.house import House
from flows.test_whole_story import institution, snapshot

from service_kit.access import route_actions
from service_kit.policy import POLICY, ROLES
from service_kit.service import ALL_PARTS

MISSING = str(uuid4())
# Who owns what in the two worlds: council, school, ICB, social care team.
HOME = {"la": "351", "school": "900001", "icb": "QOP", "social-care": "team-a", "adapter": "liquid-logic"}
AWAY = {"la": "352", "school": "900002", "icb": "QNX", "social-care": "team-b", "adapter": "other-system"}


@dataclass
class World:
    """One council's objects, by the name of the path parameter."""

    ids: dict[str, str]


def org(role: str, where: dict[str, str]) -> tuple[str | None, tuple[str, ...]]:
    """The organisation and councils of a caller in this role."""
    if role in ("school", "icb", "social-care", "adapter"):
        return where[role], ()
    return None, (where["la"],)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with House.open(lambda _: {"la_codes": ("351", "352")}, tmp_path, date(2026, 9, 1)) as house:
        yield house


async def build(house: House, where: dict[str, str], ref: str) -> World:
    """A case with its review, an amendment notice, and partners with a subscription and a delivery each."""
    async with house.as_("operator") as operator:
        await operator.post(
            "/v1/imports/institutions",
            content=json.dumps(institution(where["school"], 4, 11) | {"la_code": where["la"]}) + "\n",
            headers={"Content-Type": "application/x-ndjson"},
        )
    ids: dict[str, str] = {}
    async with house.as_("officer", las=(where["la"],)) as officer:
        for kind, ref_ in (
            ("school", where["school"]),
            ("icb", where["icb"]),
            ("social-care", where["social-care"]),
        ):
            partner = await officer.post(
                "/v1/partners",
                json={"kind": kind, "ref": ref_, "la_code": where["la"], "name": f"Partner {ref_}"},
            )
            ids[f"partner:{kind}"] = partner.raise_for_status().json()["id"]
            made = await officer.post(
                "/v1/subscriptions", json={"partner_id": ids[f"partner:{kind}"], "channel": "feed"}
            )
            ids[f"subscription:{kind}"] = made.raise_for_status().json()["id"]
        async with house.as_("adapter", org="liquid-logic", las=(where["la"],)) as adapter:
            pushed = await adapter.put(
                f"/v1/sources/liquid-logic/cases/{ref}",
                json=snapshot(
                    responsible_la=where["la"],
                    placement={"urn": where["school"]},
                    icb=where["icb"],
                    social_care_team=where["social-care"],
                ),
            )
        ids["case_id"] = pushed.raise_for_status().json()["case_id"]
        await house.quiet()
        notice = await officer.post(
            f"/v1/cases/{ids['case_id']}/amendment-notices", json={"sent_on": "2026-09-01"}
        )
        ids["notice_id"] = notice.raise_for_status().json()["id"]
        await house.quiet()
        reviews = await officer.get("/v1/reviews", params={"urn": where["school"]})
        ids["review_id"] = reviews.raise_for_status().json()["items"][0]["id"]
        for kind in ("school", "icb", "social-care"):
            found = await officer.get("/v1/deliveries", params={"partner": ids[f"partner:{kind}"]})
            ids[f"delivery:{kind}"] = found.raise_for_status().json()["items"][0]["id"]
    ids["urn"], ids["la"] = where["school"], where["la"]
    return World(ids)


def all_routes(house: House) -> dict[str, str | None]:
    routes: dict[str, str | None] = {}
    for one in house.running.values():
        routes |= route_actions(one.app(ALL_PARTS))
    return {
        name: action
        for name, action in routes.items()
        if not name.endswith(("/health", "/ready", "/metrics"))
    }


def filled(path: str, ids: dict[str, str], role: str = "school") -> str:
    """The path with the world's ids; partners, subscriptions and deliveries are those of the role's kind."""
    kind = role if role in ("icb", "social-care") else "school"
    names = {
        "case_id": ids["case_id"],
        "notice_id": ids["notice_id"],
        "review_id": ids["review_id"],
        "partner_id": ids[f"partner:{kind}"],
        "subscription_id": ids[f"subscription:{kind}"],
        "delivery_id": ids[f"delivery:{kind}"],
        "urn": ids["urn"],
        "la": ids["la"],
        "ref": "LL-none",
        "measure_id": "K6b",
    }
    return path.format(**names)


def missing(path: str, ids: dict[str, str]) -> str:
    return filled(path, dict.fromkeys(ids, MISSING) | {"urn": "999998", "la": "999"})


# A valid body for each route that changes an object, so that only the object decides the answer.
BODIES: dict[str, dict[str, Any]] = {
    "POST /v1/cases/{case_id}/plan": {"issued_on": "2026-09-01", "placement": {"urn": "900001"}},
    "POST /v1/cases/{case_id}/amendment-notices": {"sent_on": "2026-09-01"},
    "POST /v1/cases/{case_id}/amendment-notices/{notice_id}/final": {"issued_on": "2026-09-01"},
    "POST /v1/cases/{case_id}/amendment-notices/{notice_id}/drop": {"decided_on": "2026-09-01", "reasons": "None."},
    "POST /v1/cases/{case_id}/cease": {"stage": "consult", "notified_on": "2026-09-01"},
    "POST /v1/cases/{case_id}/corrections": {
        "field": "plan_first_made", "new": "2026-08-31", "reason": "keying_error", "note": "Typed wrongly.",
    },
    "POST /v1/cases/{case_id}/placement": {"officer": "officer-9"},
    "POST /v1/reviews/{review_id}/meeting": {"meeting_on": "2026-10-05"},
    "POST /v1/reviews/{review_id}/held": {"held_on": "2026-09-01"},
    "POST /v1/reviews/{review_id}/report": {"received_on": "2026-09-01"},
    "POST /v1/reviews/{review_id}/decision": {"outcome": "maintain", "notified_on": "2026-09-01"},
    "POST /v1/reviews/{review_id}/corrections": {
        "field": "held_on", "new": "2026-08-31", "reason": "keying_error", "note": "Typed wrongly.",
    },
    "PUT /v1/policies/{la}": {"lead_plan_days": 90},
    "PUT /v1/calendars/{la}": {"closed_days": ["2027-05-07"]},
    "PUT /v1/calendars/{la}/schools/{urn}": {"closures": [{"first": "2026-10-26", "last": "2026-10-30"}]},
    "PATCH /v1/partners/{partner_id}": {"name": "New name"},
    "PATCH /v1/subscriptions/{subscription_id}": {"event_types": ["ehcp.review-due.v1"]},
    "POST /v1/subscriptions/{subscription_id}/approval": {"url": "https://hooks.partner.example/ehcp"},
}  # fmt: skip
BODYLESS = {
    "POST /v1/partners/{partner_id}/replay",
    "POST /v1/subscriptions/{subscription_id}/rotate-secret",
    "POST /v1/deliveries/{delivery_id}/replay",
    "DELETE /v1/subscriptions/{subscription_id}",
    "DELETE /v1/calendars/{la}/schools/{urn}",
}
# Objects that belong to nobody in particular, or whose id is the caller's own choice.
NO_OWNER = {
    "GET /v1/imports/institutions/{urn}",
    "PUT /v1/sources/liquid-logic/cases/{ref}",
    "DELETE /v1/sources/liquid-logic/cases/{ref}",
    "GET /v1/measures/{measure_id}/cases",
    "GET /dashboard/measures/{measure_id}",
}


async def call(house: House, role: str, where: dict[str, str], route: str, path: str) -> httpx2.Response:
    method = route.split(" ")[0]
    org_id, las = org(role, where)
    headers = {"If-Match": "*"} if method in ("PUT", "PATCH", "DELETE") else {}
    async with house.as_(role, org=org_id, las=las) as client:
        return await client.request(method, path, json=BODIES.get(route), headers=headers)


async def test_a_role_that_may_never_do_a_thing_gets_403_and_nobody_gets_in_without_a_token(
    house: House,
) -> None:
    routes = all_routes(house)
    assert len(routes) > 40
    wrong: list[str] = []
    ids = dict.fromkeys((*HOME, "case_id", "notice_id", "review_id", "urn"), MISSING)
    ids |= {
        f"{thing}:{kind}": MISSING
        for thing in ("partner", "subscription", "delivery")
        for kind in ("school", "icb", "social-care")
    }
    for route, action in routes.items():
        method, path = route.split(" ")
        target = filled(path, ids | {"urn": "999998", "la": "999"})
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=house.gateway), base_url="http://hub.test"
        ) as nobody:
            if action is not None and (answer := await nobody.request(method, target)).status_code != 401:
                wrong.append(f"nobody {route}: {answer.status_code}")
        for role in sorted(ROLES):
            if action is None or role in POLICY[action]:
                continue
            answer = await call(house, role, HOME, route, target)
            if answer.status_code != 403:
                wrong.append(f"{role} {route}: {answer.status_code}, not 403")
    assert wrong == []


async def test_a_foreign_object_and_a_missing_one_get_the_same_404_and_ones_own_does_not(
    house: House,
) -> None:
    home, away = await build(house, HOME, "LL-1"), await build(house, AWAY, "LL-2")
    routes = {r: a for r, a in all_routes(house).items() if "{" in r and a is not None and r not in NO_OWNER}
    assert {r for r in routes if not r.startswith("GET")} == set(BODIES) | BODYLESS
    wrong: list[str] = []
    deleted: set[str] = set()
    # Reads first, and deletions last: what one call changes must not decide the next.
    for route, action in sorted(
        routes.items(), key=lambda item: (not item[0].startswith("GET"), item[0].startswith("DELETE"))
    ):
        path = route.split(" ")[1]
        for role in sorted(POLICY[action or ""]):
            if role in ("adapter", "operator"):
                continue
            foreign = await call(house, role, HOME, route, filled(path, away.ids, role))
            absent = await call(house, role, HOME, route, missing(path, home.ids))
            if foreign.status_code != 404 or _same(foreign) != _same(absent):
                wrong.append(f"{role} {route}: foreign {foreign.status_code}, missing {absent.status_code}")
            if (target := filled(path, home.ids, role)) in deleted:
                continue
            own = await call(house, role, HOME, route, target)
            deleted |= {target} if route.startswith("DELETE") else set()
            if own.status_code in (401, 403, 404) or own.status_code >= 500:
                wrong.append(f"{role} {route}: own {own.status_code} {own.text[:200]}")
    assert wrong == []


def _same(answer: httpx2.Response) -> dict[str, Any]:
    """The problem without what names this occurrence."""
    return {k: v for k, v in answer.json().items() if k not in ("instance", "correlationId")}
