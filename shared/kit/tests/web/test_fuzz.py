"""Whatever is sent, nothing answers 5xx, every refusal is a whole problem, and no value comes back."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from shared.kit.tests.web import toy
from shared.kit.tests.web.toy import Seen, Thing, make_app

from service_kit.problems import Refusal
from service_kit.strict import Body, parse_json

FUZZ = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TEXT = st.text(alphabet=st.characters(codec=None), max_size=40)  # type: ignore[arg-type]
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.dates().map(str) | st.uuids().map(str)
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=8)
FIELDS = st.sampled_from(sorted(Thing.model_fields)) | TEXT
METHODS = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "FROB"])
PATHS = st.sampled_from(["/things", f"/things/{toy.ID}", "/small", "/maybe", "/lines", "/v1/cases", "/none"])
HEADERS = st.sampled_from(
    [
        "application/json",
        "application/x-ndjson",
        "text/plain",
        "application/json; charset=x",
        "",
        ";",
        "a/b;charset",
    ]
)


@pytest.fixture
def fuzzed(tmp_path: Path) -> FastAPI:
    return make_app(toy.settings(tmp_path), Seen())


def ask(app: FastAPI, method: str, path: str, **options: Any) -> httpx2.Response:
    async def one() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=True)
        async with httpx2.AsyncClient(transport=transport, base_url="https://hub.test") as client:
            return await client.request(method, path, **options)

    return asyncio.run(one())


def check(answer: httpx2.Response) -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400 and answer.request.method != "HEAD":
        assert answer.headers["content-type"] == "application/problem+json"
        document = answer.json()
        assert {"type", "title", "status", "detail", "instance", "correlationId"} <= document.keys()
        assert document.keys() <= {*document, "errors", "truncated"}


@FUZZ
@given(body=st.dictionaries(FIELDS, VALUES, max_size=5))
def test_no_json_value_yields_5xx(fuzzed: FastAPI, body: dict[str, Any]) -> None:
    raw = json.dumps(body).encode()
    check(ask(fuzzed, "POST", "/things", content=raw, headers={"Content-Type": "application/json"}))


@FUZZ
@given(method=METHODS, path=PATHS, media=HEADERS, raw=st.binary(max_size=200))
@example(method="POST", path="/lines", media="application/x-ndjson", raw=b"\n\n{\n\xff\n")
def test_no_bytes_yield_5xx(fuzzed: FastAPI, method: str, path: str, media: str, raw: bytes) -> None:
    check(ask(fuzzed, method, path, content=raw, headers={"Content-Type": media}))


@FUZZ
@given(method=METHODS, path=st.text(max_size=40), query=st.text(max_size=60))
def test_no_address_yields_5xx(fuzzed: FastAPI, method: str, path: str, query: str) -> None:
    address = f"/things/{quote(path, safe='/', errors='replace')}?{quote(query, safe='=&', errors='replace')}"
    check(ask(fuzzed, method, address))
    check(
        ask(
            fuzzed,
            method,
            f"/things?since={quote(query, errors='replace')}&limit={quote(path, errors='replace')}",
        )
    )


@FUZZ
@given(
    headers=st.dictionaries(
        st.sampled_from(
            ["Authorization", "Cookie", "traceparent", "X-Correlation-ID", "Content-Length", "Accept"]
        ),
        st.binary(max_size=80).filter(lambda value: not {0, 10, 13} & set(value)),
        max_size=4,
    )
)
def test_no_header_yields_5xx(fuzzed: FastAPI, headers: dict[str, bytes]) -> None:
    check(ask(fuzzed, "GET", "/v1/cases", headers=headers))


@given(st.binary(max_size=300))
@settings(max_examples=500, deadline=None)
def test_the_parser_only_ever_refuses(raw: bytes) -> None:
    try:
        value = parse_json(raw)
    except Refusal:
        return
    assert json.loads(raw) == value


@given(VALUES)
@settings(max_examples=300, deadline=None)
def test_what_the_parser_takes_survives_encoding(value: Any) -> None:
    """So no taken value can break an answer, a log line or a database driver."""
    try:
        taken = parse_json(json.dumps(value).encode())
    except Refusal:
        return
    json.dumps(taken, allow_nan=False, ensure_ascii=False).encode("utf-8")


def test_bodies_refuse_what_they_do_not_know() -> None:
    assert Body.model_config["extra"] == "forbid"
    assert Body.model_config["strict"] is True
