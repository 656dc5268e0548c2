"""Tokens: the S01 list, S04 clock skew, and F49 an endpoint for keys that is down."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from shared.kit.tests.web.toy import (
    AUDIENCE,
    ISSUER,
    KEY,
    NOW,
    Seen,
    assert_problem,
    bearer,
    claims,
    jwks,
    token,
)

from service_kit.access import RemoteKeys
from service_kit.problems import Refusal
from service_kit.tokens import LocalKeys, Verifier, read_jwks

OTHER = ec.generate_private_key(ec.SECP256R1())
PUBLIC_PEM = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def unsigned(**header: Any) -> str:
    return f"{part({'alg': 'none', 'typ': 'at+jwt', 'kid': 'test'} | header)}.{part(claims())}."


def hmac_with_public_key() -> str:
    import hashlib
    import hmac

    head = f"{part({'alg': 'HS256', 'typ': 'at+jwt', 'kid': 'test'})}.{part(claims())}"
    signature = hmac.new(PUBLIC_PEM, head.encode(), hashlib.sha256).digest()
    return f"{head}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def altered() -> str:
    head, _, signature = token().split(".")
    return f"{head}.{part(claims(role='manager'))}.{signature}"


BAD = {
    "expired": token(exp=NOW - 31),
    "no-exp": token(exp=None),
    "exp-true": token(exp=True),
    "exp-text": token(exp="soon"),
    "exp-huge-text": token(exp="9" * 20),
    "nbf-in-future": token(nbf=NOW + 31),
    "nbf-text": token(nbf="now"),
    "wrong-aud": token(aud="other"),
    "no-aud": token(aud=None),
    "aud-list-without-us": token(aud=["a", "b"]),
    "wrong-iss": token(iss="https://issuer.test.evil"),
    "no-iss": token(iss=None),
    "no-sub": token(sub=None),
    "empty-sub": token(sub=""),
    "no-jti": token(jti=None),
    "no-role": token(role=None),
    "role-list": token(role=["officer"]),
    "las-text": token(las="351"),
    "las-number": token(las=[351]),
    "las-star": token(las=["*"]),
    "org-object": token(org_id={"a": 1}),
    "other-key": token(key=OTHER),
    "none": unsigned(),
    "None": unsigned(alg="None"),
    "hs256-public-key": hmac_with_public_key(),
    "hs256": token(key="x" * 64, algorithm="HS256"),
    "altered": altered(),
    "unknown-kid": token(header={"kid": "other"}),
    "kid-traversal": token(header={"kid": "../../../../dev/null"}),
    "kid-sql": token(header={"kid": "x' UNION SELECT 'k'--"}),
    "kid-empty": token(header={"kid": ""}),
    "no-kid": jwt.encode(claims(), KEY, algorithm="ES256", headers={"typ": "at+jwt"}),
    "jku": token(header={"jku": "https://evil.test/jwks"}),
    "jwk": token(
        key=OTHER, header={"jwk": jwt.algorithms.ECAlgorithm.to_jwk(OTHER.public_key(), as_dict=True)}
    ),
    "x5u": token(header={"x5u": "https://evil.test/cert"}),
    "x5c": token(header={"x5c": ["MIIB"]}),
    "crit": token(header={"crit": ["exp"]}),
    "id-token": token(header={"typ": "JWT"}),
    "no-typ": token(header={"typ": None}),
    "too-long": token(padding="x" * 9000),
    "not-a-token": "abc",
    "empty-parts": "..",
    "not-json": "YWJj.YWJj.YWJj",
    "deep-header": base64.urlsafe_b64encode(b"[" * 5000).decode() + ".e30.e30",
    "array-header": "W10.e30.e30",
    "array-claims": f"{part({'alg': 'ES256', 'typ': 'at+jwt', 'kid': 'test'})}.W10.e30",
}


@pytest.mark.parametrize("sent", BAD.values(), ids=BAD.keys())
async def test_s01_a_token_that_does_not_hold_is_401(
    client: httpx2.AsyncClient, seen: Seen, sent: str
) -> None:
    answer = await client.post("/v1/cases", json={}, headers=bearer(sent))
    assert_problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == 'Bearer realm="ehcp", error="invalid_token"'
    assert seen.calls == []


async def test_s01_no_token_is_401_before_the_body_is_looked_at(
    client: httpx2.AsyncClient, seen: Seen
) -> None:
    answer = await client.post("/v1/cases", content=b"{" * 100, headers={"Content-Type": "text/plain"})
    assert_problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == 'Bearer realm="ehcp"'
    assert seen.calls == []


@pytest.mark.parametrize(
    "value",
    ["Basic b2ZmaWNlcjp4", "Bearer", "Bearer ", "bearer", "Token x", token(), f"Bearer  {token()} x", ""],
)
async def test_another_authorization_header_is_401(client: httpx2.AsyncClient, value: str) -> None:
    assert_problem(await client.get("/v1/cases", headers={"Authorization": value}), 401, "unauthenticated")


async def test_two_authorization_headers_are_401(client: httpx2.AsyncClient) -> None:
    headers = [("Authorization", f"Bearer {token()}"), ("Authorization", f"Bearer {token(role='manager')}")]
    assert_problem(await client.get("/v1/cases", headers=headers), 401, "unauthenticated")


async def test_a_good_token_names_its_caller(client: httpx2.AsyncClient, seen: Seen) -> None:
    answer = await client.get(
        "/v1/cases", headers=bearer(token(aud=["x", AUDIENCE], client_id="app", nbf=None))
    )
    assert answer.json() == {"role": "officer", "predicate": "own_la"}
    who = seen.calls[0]
    assert (who.subject, who.role, who.org_id, who.las) == ("officer-3", "officer", None, frozenset({"351"}))
    assert who.client_id == "app"


@pytest.mark.parametrize(
    ("changes", "status"), [({"exp": NOW - 29}, 200), ({"nbf": NOW + 30}, 200), ({"exp": NOW - 120}, 401)]
)
async def test_s04_thirty_seconds_of_skew_are_accepted(
    client: httpx2.AsyncClient, changes: dict[str, Any], status: int
) -> None:
    assert (await client.get("/v1/cases", headers=bearer(token(**changes)))).status_code == status


async def test_1_18_identity_headers_of_a_proxy_are_ignored(client: httpx2.AsyncClient) -> None:
    spoofed = {
        "X-User-Id": "officer-3",
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-User": "admin",
        "X-Role": "officer",
    }
    assert_problem(await client.get("/v1/cases", headers=spoofed), 401, "unauthenticated")


async def test_the_session_cookie_counts_on_get_only(client: httpx2.AsyncClient) -> None:
    cookie = {"Cookie": f"ehcp_session={token()}"}
    assert (await client.get("/v1/cases", headers=cookie)).status_code == 200
    assert (await client.head("/v1/cases", headers=cookie)).status_code == 200
    assert_problem(await client.post("/v1/cases", json={}, headers=cookie), 401, "unauthenticated")
    both = cookie | {"Authorization": "Bearer broken"}
    assert_problem(await client.get("/v1/cases", headers=both), 401, "unauthenticated")


# -- key sets ----------------------------------------------------------------------------------------------


def rsa_and_ed() -> tuple[Any, Any, dict[str, Any]]:
    one, two = rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()
    documents = [
        {**jwt.algorithms.RSAAlgorithm.to_jwk(one.public_key(), as_dict=True), "kid": "rsa"},
        {**jwt.algorithms.OKPAlgorithm.to_jwk(two.public_key(), as_dict=True), "kid": "ed", "use": "sig"},
    ]
    return one, two, {"keys": documents}


async def test_rs256_and_eddsa_are_accepted_and_only_if_configured() -> None:
    one, two, document = rsa_and_ed()
    both = Verifier(LocalKeys(document), issuer=ISSUER, audience=AUDIENCE, now=lambda: NOW)
    only_es = Verifier(
        LocalKeys(document), issuer=ISSUER, audience=AUDIENCE, algorithms=["ES256"], now=lambda: NOW
    )
    for key, algorithm, kid in ((one, "RS256", "rsa"), (two, "EdDSA", "ed")):
        sent = token(key=key, algorithm=algorithm, header={"kid": kid})
        assert (await both.caller(sent)).role == "officer"
        with pytest.raises(Refusal, match="unauthenticated"):
            await only_es.caller(sent)


async def test_the_algorithm_comes_from_the_key_not_from_the_token() -> None:
    one, _, document = rsa_and_ed()
    verifier = Verifier(LocalKeys(document), issuer=ISSUER, audience=AUDIENCE, now=lambda: NOW)
    for sent in (token(key=one, algorithm="PS256", header={"kid": "rsa"}), token(header={"kid": "rsa"})):
        with pytest.raises(Refusal, match="unauthenticated"):
            await verifier.caller(sent)


def test_unusable_keys_are_left_out_of_a_key_set() -> None:
    good = jwks()["keys"][0]
    secret = jwt.algorithms.ECAlgorithm.to_jwk(KEY, as_dict=True)
    short = rsa.generate_private_key(65537, 1024)
    documents: list[Any] = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "oct", "alg": "HS256"},
        {**good, "kid": "enc", "use": "enc"},
        {**good, "kid": "hs", "alg": "HS256"},
        {**secret, "kid": "private"},
        {**good, "kid": None},
        {**good, "kid": "broken", "x": "AA"},
        {"kty": "EC", "crv": ["P-256"], "kid": "list"},
        {**jwt.algorithms.RSAAlgorithm.to_jwk(short.public_key(), as_dict=True), "kid": "short"},
        *("x", 1, None, []),
    ]
    assert read_jwks({"keys": documents}) == {}
    assert list(read_jwks({"keys": [*documents, good]})) == ["test"]
    for nothing in ({}, [], "x", None, {"keys": {}}, {"keys": None}):
        assert read_jwks(nothing) == {}


class Provider:
    """A key set endpoint that can be taken down and that counts its visitors."""

    def __init__(self) -> None:
        self.document: Any = jwks()
        self.status = 200
        self.down = False
        self.asked = 0
        self.time = 1000.0
        self.keys = RemoteKeys(
            "https://issuer.test/jwks", clock=lambda: self.time, transport=httpx2.MockTransport(self.answer)
        )

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        if self.down:
            raise httpx2.ConnectError("down")
        return httpx2.Response(self.status, json=self.document, headers={"Location": "https://evil.test/"})


async def test_f49_cached_keys_work_for_a_day_while_the_endpoint_is_down() -> None:
    provider = Provider()
    assert await provider.keys.get("test") is not None
    provider.down = True
    provider.time += 24 * 3600
    assert await provider.keys.get("test") is not None
    provider.time += 1
    with pytest.raises(Refusal, match="unavailable"):
        await provider.keys.get("test")
    provider.down = False
    provider.time += 60
    assert await provider.keys.get("test") is not None


async def test_f49_an_unknown_key_id_asks_at_most_once_a_minute() -> None:
    provider = Provider()
    for n in range(50):
        assert await provider.keys.get(f"unknown-{n}") is None
    assert provider.asked == 1
    provider.document = {"keys": [{**jwks()["keys"][0], "kid": "rotated"}]}
    provider.time += 60
    assert await provider.keys.get("rotated") is not None
    assert provider.asked == 2
    assert await provider.keys.get("test") is None


@pytest.mark.parametrize(
    ("status", "document"), [(302, jwks()), (500, jwks()), (200, {}), (200, []), (200, "x" * 300_000)]
)
async def test_an_answer_that_is_no_key_set_does_not_replace_the_cache(status: int, document: Any) -> None:
    provider = Provider()
    await provider.keys.get("test")
    provider.status, provider.document = status, document
    provider.time += 3600
    assert await provider.keys.get("test") is not None
    assert provider.asked == 2


async def test_with_no_keys_at_all_the_answer_is_503_not_401() -> None:
    provider = Provider()
    provider.down = True
    with pytest.raises(Refusal, match="unavailable"):
        await provider.keys.get("test")


async def test_a_token_seen_before_still_expires_and_ends_with_its_key() -> None:
    one, two, document = rsa_and_ed()
    instant = [NOW]
    keys = LocalKeys(document)
    verifier = Verifier(keys, issuer=ISSUER, audience=AUDIENCE, now=lambda: instant[0])
    sent = token(key=one, algorithm="RS256", header={"kid": "rsa"}, exp=NOW + 60)
    other = token(key=two, algorithm="EdDSA", header={"kid": "ed"}, exp=NOW + 600)
    assert await verifier.caller(sent) == await verifier.caller(sent)
    assert (await verifier.caller(other)).role == "officer"
    instant[0] = NOW + 91
    with pytest.raises(Refusal, match="unauthenticated"):
        await verifier.caller(sent)
    verifier.keys = LocalKeys({"keys": []})
    with pytest.raises(Refusal, match="unauthenticated"):
        await verifier.caller(other)
