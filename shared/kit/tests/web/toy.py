"""A toy service built with the kit's web modules, and tokens of its own issuer."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI, Request, Response

from service_kit.access import LocalKeys, allow, check_routes, public
from service_kit.api import Line, bulk, equip, ndjson, router
from service_kit.paging import Paging
from service_kit.problems import Refusal
from service_kit.settings import Settings
from service_kit.strict import (
    Body,
    BoundedInt,
    Id,
    Instant,
    IsoDate,
    LaCode,
    Name,
    NhsNumber,
    QueryBool,
    QueryInt,
    StrictEnum,
    Text,
    Upn,
    Urn,
)

ISSUER, AUDIENCE = "https://issuer.test", "ehcp"
NOW = 1_788_000_000.0  # a fixed instant: tokens of these tests are minted and checked at it
KEY = ec.generate_private_key(ec.SECP256R1())
ID = "0190aaaa-0000-7000-8000-000000000000"


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(Body):
    on: IsoDate


class Thing(Body):
    """Every shared type once; all optional, so that a test sends the one it is about."""

    on: IsoDate | None = None
    at: Instant | None = None
    count: Annotated[int, BoundedInt(0, 100)] | None = None
    number: int | None = None
    share: float | None = None
    flag: bool | None = None
    name: Name | None = None
    note: Annotated[str, Text(2000, lines=True)] | None = None
    colour: StrictEnum[Colour] | None = None
    id: Id | None = None
    urn: Urn | None = None
    la: LaCode | None = None
    upn: Upn | None = None
    nhs: NhsNumber | None = None
    inner: Inner | None = None
    many: list[Inner] | None = None
    anything: Any = None


class Seen:
    """What reached a handler: the proof that a refusal came first."""

    def __init__(self) -> None:
        self.calls: list[Any] = []


def make_app(settings: Settings, seen: Seen) -> FastAPI:
    routes = router()

    @routes.post("/things", dependencies=[public()])
    async def add(thing: Thing) -> dict[str, Any]:
        seen.calls.append(thing)
        return thing.model_dump(mode="json", exclude_none=True)

    @routes.put("/things/{thing_id}", dependencies=[public()])
    async def change(thing_id: Id, thing: Thing) -> dict[str, str]:
        seen.calls.append(thing_id)
        return {"id": str(thing_id)}

    @routes.get("/things/{thing_id}", dependencies=[public()])
    async def read(thing_id: Id) -> dict[str, str]:
        if str(thing_id) != ID:
            raise Refusal("not-found")
        return {"id": ID}

    @routes.get("/things", dependencies=[public()])
    async def many(
        page: Paging,
        since: IsoDate | None = None,
        top: Annotated[int, QueryInt(1, 9)] = 1,
        open: QueryBool = True,
    ) -> dict[str, int]:
        return {"limit": page.limit}

    @routes.post("/small", dependencies=[public()], max_body_size=100)
    async def small(thing: Thing) -> dict[str, bool]:
        return {"ok": True}

    @routes.post("/maybe", dependencies=[public()])
    async def maybe(thing: Thing | None = None) -> dict[str, bool]:
        return {"given": thing is not None}

    @routes.post("/lines", dependencies=[public(), bulk(limit=200_000)])
    async def lines(request: Request) -> list[list[Any]]:
        return [[line.number, _value(line)] async for line in ndjson(request)]

    @routes.get("/fail", dependencies=[public()])
    async def fail(how: Annotated[str, Text(100)] = "plain") -> Response:
        raise RuntimeError(f"SELECT secret FROM cases WHERE x = {how}")

    @routes.get("/v1/cases", dependencies=[allow("cases.list")])
    async def cases(request: Request) -> dict[str, str]:
        seen.calls.append(request.state.caller)
        return {"role": request.state.caller.role, "predicate": request.state.predicate}

    @routes.post("/v1/cases", dependencies=[allow("cases.register")])
    async def register(thing: Thing, request: Request) -> dict[str, str]:
        seen.calls.append(request.state.caller)
        return {"role": request.state.caller.role}

    app = FastAPI(docs_url=None, redoc_url=None, telemetry=None)
    equip(app, settings, test_keys())
    app.state.verifier.now = lambda: NOW
    app.include_router(routes)
    check_routes(app)
    return app


def jwks() -> dict[str, Any]:
    public_key = jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
    return {"keys": [{**public_key, "kid": "test", "alg": "ES256", "use": "sig"}]}


def test_keys() -> LocalKeys:
    return LocalKeys(jwks())


test_keys.__test__ = False  # type: ignore[attr-defined]


def claims(**changes: Any) -> dict[str, Any]:
    """Claims of a good token; a change to None leaves the claim out."""
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "officer-3",
        "exp": NOW + 600,
        "nbf": NOW,
        "jti": "one",
        "role": "officer",
        "las": ["351"],
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def token(
    *, key: Any = KEY, algorithm: str = "ES256", header: dict[str, Any] | None = None, **changes: Any
) -> str:
    headers = {"kid": "test", "typ": "at+jwt"} | (header or {})
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)


def bearer(value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}


def settings(tmp_path: Path, **changes: Any) -> Settings:
    options = {"environment": "test", "data_dir": tmp_path, "issuer": ISSUER, "audience": AUDIENCE}
    return Settings(**(options | {"public_url": "https://hub.test"} | changes))


async def post_json(client: httpx2.AsyncClient, path: str, value: Any) -> httpx2.Response:
    """POST any JSON value, lone surrogates included (as ASCII escapes)."""
    body = json.dumps(value).encode("ascii")
    return await client.post(path, content=body, headers={"Content-Type": "application/json"})


def assert_problem(answer: httpx2.Response, status: int, slug: str) -> dict[str, Any]:
    """The answer is a whole RFC 9457 problem of this kind (S101); gives the document."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["type"] == f"https://hub.test/problems/{slug}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert document["correlationId"] == answer.headers["x-correlation-id"]
    assert document["instance"].replace("-", "") == "urn:uuid:" + document["correlationId"]
    return document


def _value(line: Line) -> Any:
    try:
        return line.value()
    except Refusal as refusal:
        return refusal.slug
