"""The local issuer: its key, its tokens, and sign-in links that work once."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from fastapi import FastAPI, Request

from ehcp_embedded.issuer import TICKET_SECONDS, Issuer
from service_kit.access import allow, check_routes
from service_kit.api import equip, router
from service_kit.policy import ROLES
from service_kit.problems import Refusal
from service_kit.settings import Environment, Settings
from service_kit.tokens import Verifier

HUB = "http://hub.test"


class Hand:
    """An instant that a test moves."""

    def __init__(self) -> None:
        self.time = 1_788_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def now() -> Hand:
    return Hand()


@pytest.fixture
def issuer(tmp_path: Path, now: Hand) -> Issuer:
    return Issuer(tmp_path, issuer=HUB, audience="ehcp", now=now)


@pytest.fixture
async def client(tmp_path: Path, issuer: Issuer, now: Hand) -> AsyncIterator[httpx2.AsyncClient]:
    pages = router()

    @pages.get("/dashboard", dependencies=[allow("dashboard.view")])
    async def dashboard(request: Request) -> dict[str, Any]:
        return {"role": request.state.caller.role, "las": sorted(request.state.caller.las)}

    @pages.post("/dashboard", dependencies=[allow("clock.move")])
    async def move() -> dict[str, bool]:
        return {"moved": True}

    app = FastAPI(docs_url=None, redoc_url=None, telemetry=None)
    settings = Settings(environment=Environment.test, data_dir=tmp_path, public_url=HUB)
    equip(app, settings, issuer.keys())
    app.state.verifier.now = now
    app.include_router(pages)
    app.include_router(issuer.router())
    check_routes(app)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=HUB) as one:
        yield one


def test_the_key_is_made_once_and_readable_by_its_owner_only(tmp_path: Path, issuer: Issuer) -> None:
    assert stat.S_IMODE((tmp_path / "issuer.pem").stat().st_mode) == 0o600
    again = Issuer(tmp_path, issuer=HUB, audience="ehcp")
    assert again.jwks() == issuer.jwks()
    assert Issuer(tmp_path / "other", issuer=HUB, audience="ehcp").kid != issuer.kid


def test_a_key_that_others_may_read_is_refused(tmp_path: Path, issuer: Issuer) -> None:
    """S61."""
    (tmp_path / "issuer.pem").chmod(0o640)
    with pytest.raises(PermissionError, match=r"issuer\.pem may be read by others"):
        Issuer(tmp_path, issuer=HUB, audience="ehcp")


def test_the_key_set_holds_no_private_part(issuer: Issuer) -> None:
    (key,) = issuer.jwks()["keys"]
    assert key.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}


def test_production_has_no_local_issuer() -> None:
    settings = Settings.model_construct(environment=Environment.production)
    with pytest.raises(RuntimeError, match="embedded mode only"):
        Issuer.of(settings)


async def test_a_minted_token_holds_before_every_check(issuer: Issuer, now: Hand) -> None:
    verifier = Verifier(issuer.keys(), issuer=HUB, audience="ehcp", now=now)
    for role in ROLES:
        who = await verifier.caller(issuer.mint(role, "900123", ["351"], 600))
        assert (who.subject, who.role, who.org_id, who.las) == (
            f"{role}:900123",
            role,
            "900123",
            frozenset({"351"}),
        )
    who = await verifier.caller(issuer.mint("officer", las=["351"], subject="officer-3"))
    assert (who.subject, who.org_id) == ("officer-3", None)


async def test_a_token_ends_with_its_time_and_no_two_are_the_same(issuer: Issuer, now: Hand) -> None:
    verifier = Verifier(issuer.keys(), issuer=HUB, audience="ehcp", now=now)
    token = issuer.mint("officer", ttl=60)
    ids = {jwt.decode(issuer.mint("officer"), options={"verify_signature": False})["jti"] for _ in range(5)}
    assert len(ids) == 5
    now.time += 91
    with pytest.raises(Refusal, match="unauthenticated"):
        await verifier.caller(token)


def test_there_is_no_token_or_ticket_for_a_role_that_does_not_exist(issuer: Issuer) -> None:
    for make in (issuer.mint, issuer.ticket, issuer.link):
        with pytest.raises(ValueError, match="the roles are adapter, auditor, board"):
            make("admin")


async def test_a_link_signs_in_and_goes_to_the_first_page(client: httpx2.AsyncClient, issuer: Issuer) -> None:
    link = issuer.link("board", las=["351"])
    assert link.startswith(f"{HUB}/sign-in?ticket=")
    answer = await client.get(link)
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("ehcp_session=eyJ")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/" in cookie
    assert "Secure" not in cookie
    assert answer.headers["referrer-policy"] == "no-referrer"
    page = await client.get("/dashboard")
    assert page.json() == {"role": "board", "las": ["351"]}


def test_the_cookie_is_secure_where_the_hub_is_https(tmp_path: Path) -> None:
    issuer = Issuer(tmp_path, issuer="https://hub.test", audience="ehcp")
    grant = issuer.redeem(issuer.ticket("board"))
    assert grant is not None
    assert "Secure" in issuer._session(grant).headers["set-cookie"]


async def test_a_link_works_once(client: httpx2.AsyncClient, issuer: Issuer) -> None:
    link = issuer.link("officer", las=["351"])
    assert (await client.head(link)).status_code == 204  # a preview does not use it up
    assert (await client.get(link)).status_code == 303
    client.cookies.clear()
    answer = await client.get(link)
    assert (answer.status_code, answer.json()["type"]) == (410, f"{HUB}/problems/gone")
    assert "set-cookie" not in answer.headers


async def test_a_link_works_once_also_if_opened_many_times_at_once(issuer: Issuer) -> None:
    ticket = issuer.ticket("officer")
    with ThreadPoolExecutor(8) as pool:
        grants = list(pool.map(lambda _: issuer.redeem(ticket), range(32)))
    assert len([grant for grant in grants if grant]) == 1


def test_a_ticket_outlives_a_restart_but_not_a_day(tmp_path: Path, issuer: Issuer, now: Hand) -> None:
    kept, late = issuer.ticket("school", "900123"), issuer.ticket("school", "900123")
    after_restart = Issuer(tmp_path, issuer=HUB, audience="ehcp", now=now)
    grant = after_restart.redeem(kept)
    assert grant is not None
    assert (grant.role, grant.org, grant.las, grant.start) == ("school", "900123", (), "/docs")
    assert issuer.redeem(kept) is None
    now.time += TICKET_SECONDS
    assert issuer.redeem(late) is None


def test_the_data_directory_holds_no_ticket_only_its_hash(tmp_path: Path, issuer: Issuer) -> None:
    ticket = issuer.ticket("officer")
    (file,) = (tmp_path / "tickets").iterdir()
    assert ticket not in file.name
    assert ticket not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "ticket", ["", "x", "../issuer", "..%2Fissuer.pem", "a" * 43, "a" * 300, "%00", "' OR 1=1", "٣" * 43]
)
async def test_a_made_up_ticket_signs_nobody_in(
    client: httpx2.AsyncClient, tmp_path: Path, ticket: str
) -> None:
    answer = await client.get(f"/sign-in?ticket={ticket}")
    assert answer.status_code in (400, 410)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "set-cookie" not in answer.headers
    assert (tmp_path / "issuer.pem").exists()


async def test_the_session_cookie_changes_nothing(client: httpx2.AsyncClient, issuer: Issuer) -> None:
    """A page of another site could at most make the browser send a POST: that needs a bearer token."""
    await client.get(issuer.link("officer", las=["351"]))
    assert (await client.get("/dashboard")).status_code == 200
    assert (await client.post("/dashboard")).status_code == 401


async def test_the_key_set_is_public(client: httpx2.AsyncClient, issuer: Issuer) -> None:
    answer = await client.get("/.well-known/jwks.json")
    assert (answer.status_code, answer.json()) == (200, issuer.jwks())
