"""The policy table and the markers on routes: S10-S11, S18."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from shared.kit.tests.web.toy import assert_problem, bearer, settings, token
from sqlalchemy import Column, MetaData, String, Table, create_engine, insert, select

from service_kit.access import (
    Caller,
    Predicate,
    allow,
    authorise,
    check_routes,
    public,
    route_actions,
    visible,
)
from service_kit.api import router
from service_kit.policy import POLICY, ROLES
from service_kit.problems import Refusal

STAFF = ("officer", "senior", "manager")
PARTNERS = ("school", "icb", "social-care", "adapter")

# Written by hand from the brief, role by role: which actions it may do at all.
BY_ROLE: dict[str, set[str]] = {
    "school": {
        *("cases.list", "cases.read", "reviews.list", "reviews.read", "reviews.explain", "reviews.book"),
        *("reviews.hold", "reviews.report", "partners.read", "events.feed"),
        *("deliveries.list", "deliveries.read", "deliveries.replay"),
        *("subscriptions.create", "subscriptions.list", "subscriptions.read", "subscriptions.change"),
        *("subscriptions.delete", "subscriptions.rotate-secret"),
    },
    "icb": {
        *("reviews.list", "reviews.read", "reviews.explain", "partners.read", "events.feed"),
        *("deliveries.list", "deliveries.read", "deliveries.replay"),
        *("subscriptions.create", "subscriptions.list", "subscriptions.read", "subscriptions.change"),
        *("subscriptions.delete", "subscriptions.rotate-secret"),
    },
    "social-care": {
        *("reviews.list", "reviews.read", "reviews.explain", "partners.read", "events.feed"),
        *("deliveries.list", "deliveries.read", "deliveries.replay"),
        *("subscriptions.create", "subscriptions.list", "subscriptions.read", "subscriptions.change"),
        *("subscriptions.delete", "subscriptions.rotate-secret"),
    },
    "adapter": {
        *("cases.push", "cases.push-batch", "institutions.load", "partners.read", "events.feed"),
        *("deliveries.list", "deliveries.read", "deliveries.replay"),
        *("subscriptions.create", "subscriptions.list", "subscriptions.read", "subscriptions.change"),
        *("subscriptions.delete", "subscriptions.rotate-secret"),
    },
    "board": {"measures.read", "dashboard.view"},
    "reporting": {"measures.read"},
    "operator": {
        *(
            "institutions.load",
            "institutions.read",
            "deliveries.list",
            "deliveries.read",
            "deliveries.replay",
        ),
        *("clock.read", "clock.move"),
    },
    "auditor": set(),
} | {
    role: set(POLICY)
    - {"cases.push", "cases.push-batch", "events.feed"}
    - (set() if role == "manager" else {"policies.change"})
    for role in STAFF
}

OWN = {
    **dict.fromkeys((*STAFF, "board", "reporting"), Predicate.own_la),
    "school": Predicate.own_school,
    "icb": Predicate.own_area,
    "social-care": Predicate.own_team,
    "adapter": Predicate.own_source,
    "operator": Predicate.everyone,
}


def who(role: str, **changes: Any) -> Caller:
    return Caller(**({"subject": "x", "role": role, "org_id": None, "las": frozenset({"351"})} | changes))


def expected(role: str, action: str) -> Predicate:
    if action.startswith("clock."):
        return Predicate.everyone
    if role in PARTNERS and action.split(".")[0] in ("partners", "subscriptions", "deliveries", "events"):
        return Predicate.own_partner
    return OWN[role]


@pytest.mark.parametrize(("role", "action"), sorted(product(ROLES, POLICY)))
def test_s10_each_role_and_action_is_as_written_down(role: str, action: str) -> None:
    if action in BY_ROLE[role]:
        assert authorise(who(role), action) == expected(role, action)
    else:
        with pytest.raises(Refusal, match="forbidden"):
            authorise(who(role), action)


def test_the_table_names_only_roles_there_are() -> None:
    assert {role for row in POLICY.values() for role in row} <= ROLES
    assert all(POLICY.values())


@pytest.mark.parametrize("role", ["", "admin", "OFFICER", "officer ", "everyone", "__class__"])
def test_an_unknown_role_may_do_nothing(role: str) -> None:
    for action in POLICY:
        with pytest.raises(Refusal, match="forbidden"):
            authorise(who(role), action)


def test_an_unknown_action_is_forbidden_to_all() -> None:
    for role in ROLES:
        with pytest.raises(Refusal, match="forbidden"):
            authorise(who(role), "cases.anything")


# -- predicates in SQL -------------------------------------------------------------------------------------

metadata = MetaData()
CASES = Table(
    "cases", metadata, Column("id", String, primary_key=True), Column("la", String), Column("urn", String)
)
SCOPES = {
    CASES: {
        Predicate.own_la: lambda c: CASES.c.la.in_(c.las),
        Predicate.own_school: lambda c: CASES.c.urn == c.org_id,
    }
}
ROWS = [("a", "351", "900001"), ("b", "351", "900002"), ("c", "352", "900001"), ("d", "352", "900003")]


@pytest.mark.parametrize(
    ("caller", "ids"),
    [
        (who("officer"), ["a", "b"]),
        (who("officer", las=frozenset({"351", "352"})), ["a", "b", "c", "d"]),
        (who("officer", las=frozenset()), []),
        (who("officer", las=frozenset({"' OR 1=1 --"})), []),
        (who("school", org_id="900001", las=frozenset()), ["a", "c"]),
        (who("school", org_id=None), []),
        (who("school", org_id="900009"), []),
    ],
)
def test_s12_the_predicate_is_part_of_the_where(caller: Caller, ids: list[str]) -> None:
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        metadata.create_all(connection)
        connection.execute(insert(CASES), [dict(zip(("id", "la", "urn"), row, strict=True)) for row in ROWS])
        found = connection.execute(
            select(CASES.c.id).where(visible(caller, "cases.list", SCOPES, CASES)).order_by(CASES.c.id)
        )
        assert list(found.scalars()) == ids
    engine.dispose()


def test_a_predicate_without_a_scope_shows_nothing_but_fails() -> None:
    with pytest.raises(LookupError):
        visible(who("icb", org_id="QOP"), "reviews.list", SCOPES, CASES)
    with pytest.raises(Refusal, match="forbidden"):
        visible(who("school", org_id="900001"), "cases.issue-plan", SCOPES, CASES)


# -- routes ------------------------------------------------------------------------------------------------


async def test_a_role_that_may_never_do_a_thing_gets_403(client: httpx2.AsyncClient) -> None:
    for role in ("board", "auditor", "icb", "nobody"):
        answer = await client.get("/v1/cases", headers=bearer(token(role=role)))
        assert_problem(answer, 403, "forbidden")


async def test_403_comes_before_anything_about_the_body(client: httpx2.AsyncClient) -> None:
    answer = await client.post(
        "/v1/cases", content=b"{", headers=bearer(token(role="school", org_id="900001"))
    )
    assert_problem(answer, 403, "forbidden")


async def test_s11_foreign_and_missing_ids_answer_the_same_bytes(client: httpx2.AsyncClient) -> None:
    same = {"X-Correlation-ID": "4bf92f3577b34da6a3ce929d0e0e4736"}
    answers = [await client.get(f"/things/{uuid4()}", headers=same) for _ in range(3)]
    assert len({answer.content for answer in answers}) == 1
    assert len({str(sorted(answer.headers.items())) for answer in answers}) == 1


def routed(*routes: tuple[str, list[Any]], prefix: str = "", **include: Any) -> FastAPI:
    one: APIRouter = router()
    for path, dependencies in routes:
        one.get(path, dependencies=dependencies)(lambda: None)
    app = FastAPI()
    app.include_router(one, prefix=prefix, **include)
    return app


def test_s18_a_route_without_a_policy_stops_the_start() -> None:
    with pytest.raises(RuntimeError, match="GET /open: needs exactly one"):
        check_routes(routed(("/open", [])))
    with pytest.raises(RuntimeError, match=r"GET /x: action cases\.typo is not in the policy table"):
        check_routes(routed(("/x", [allow("cases.typo")])))
    with pytest.raises(RuntimeError, match="GET /both: needs exactly one"):
        check_routes(routed(("/both", [public(), allow("cases.list")])))


def test_s18_plain_routes_and_mounts_count_too() -> None:
    plain = FastAPI()
    plain.add_route("/plain", lambda request: None)
    mounted = FastAPI()
    mounted.mount("/files", FastAPI())
    direct = FastAPI()
    direct.get("/direct")(lambda: None)
    for app in (plain, mounted, direct):
        with pytest.raises(RuntimeError, match="needs exactly one"):
            check_routes(app)


def test_routes_and_their_actions_can_be_listed() -> None:
    app = routed(("/cases", [allow("cases.list")]), ("/health", [public()]), prefix="/v1")
    check_routes(app)
    assert route_actions(app) == {"GET /v1/cases": "cases.list", "GET /v1/health": None}


def test_a_marker_given_on_inclusion_counts() -> None:
    app = routed(("/cases", []), dependencies=[allow("cases.list")])
    check_routes(app)
    assert route_actions(app) == {"GET /cases": "cases.list"}


async def test_a_marker_given_on_inclusion_is_enforced(tmp_path: Path) -> None:
    from shared.kit.tests.web.toy import NOW, test_keys

    from service_kit.api import equip

    app = routed(("/cases", []), dependencies=[allow("cases.list")])
    equip(app, settings(tmp_path), test_keys())
    app.state.verifier.now = lambda: NOW
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="https://hub.test"
    ) as client:
        assert_problem(await client.get("/cases"), 401, "unauthenticated")
        assert_problem(await client.get("/cases", headers=bearer(token(role="board"))), 403, "forbidden")
        assert (await client.get("/cases", headers=bearer(token()))).status_code == 200


def test_the_api_description_names_the_scheme_the_action_and_the_problems(app: FastAPI) -> None:
    document = app.openapi()
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    register = document["paths"]["/v1/cases"]["post"]
    assert register["security"] == [{"bearer": []}]
    assert register["x-ehcp-action"] == "cases.register"
    assert [one["name"] for one in register["parameters"]] == ["Idempotency-Key"]
    assert register["responses"].keys() == {"200", "4XX", "5XX"}
    listed = document["paths"]["/things"]["get"]
    assert "security" not in listed
    assert "422" not in listed["responses"]
    assert "HTTPValidationError" not in document["components"]["schemas"]
