"""Every error answer is an RFC 9457 problem that repeats nothing of the input: S101, S102, bad-inputs 1.16,
1.19."""

from __future__ import annotations

import errno
import io
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from shared.kit.tests.web.toy import ID, Seen, assert_problem, make_app, post_json, settings
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service_kit import problems
from service_kit.problems import (
    ADVICE,
    SLUGS,
    Fault,
    Refusal,
    from_exception,
    problem_document,
    problems_page,
)

CANARY = "Zqxcanary"


def test_the_slugs_are_api_and_map_to_one_status_each() -> None:
    assert {slug: status for slug, (status, _) in SLUGS.items()} == {
        "malformed-json": 400,
        "duplicate-key": 400,
        "bad-parameter": 400,
        "unauthenticated": 401,
        "forbidden": 403,
        "basis-required": 403,
        "not-found": 404,
        "method-not-allowed": 405,
        "conflict": 409,
        "in-progress": 409,
        "gone": 410,
        "stale-version": 412,
        "too-large": 413,
        "unsupported-media-type": 415,
        "validation": 422,
        "idempotency-mismatch": 422,
        "file-rejected": 422,
        "rows-rejected": 422,
        "precondition-required": 428,
        "rate-limited": 429,
        "headers-too-large": 431,
        "internal": 500,
        "unavailable": 503,
        "storage-full": 507,
    }


def test_every_slug_is_explained_on_the_page() -> None:
    page = problems_page()
    assert ADVICE.keys() == SLUGS.keys()
    assert all(f'id="{slug}"' in page for slug in SLUGS)


def test_a_slug_that_does_not_exist_cannot_be_raised() -> None:
    with pytest.raises(KeyError):
        Refusal("no-such-slug")


def test_a_document_has_its_faults_and_at_most_fifty() -> None:
    document = problem_document(
        Refusal("validation", errors=[Fault(f"/{n}", "c", "m") for n in range(51)]), "https://h/"
    )
    assert document["type"] == "https://h/problems/validation"
    assert len(document["errors"]) == 50
    assert document["truncated"] is True
    whole = problem_document(Refusal("validation", errors=[Fault("/x", "c", "m")]))
    assert whole["errors"] == [{"pointer": "/x", "code": "c", "message": "m"}]
    assert "truncated" not in whole


@pytest.mark.parametrize(
    "path", ["/missing", "/v0/cases", "/things/a/b", "/%00", "/" + "x" * 5000, "/things/"]
)
async def test_1_19_an_unknown_path_is_404_and_never_a_redirect(
    client: httpx2.AsyncClient, path: str
) -> None:
    answer = await client.get(path)
    assert_problem(answer, 404, "not-found")
    assert path.strip("/") not in answer.text


async def test_1_19_a_method_not_offered_is_405_and_names_those_that_are(client: httpx2.AsyncClient) -> None:
    """S110: TRACE and unknown methods 405. All routes of the path count, not only the first."""
    for method in ("TRACE", "PATCH", "DELETE", "FROB"):
        answer = await client.request(method, f"/things/{ID}")
        assert_problem(answer, 405, "method-not-allowed")
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS, PUT"


async def test_options_lists_the_methods_and_grants_no_other_origin_anything(
    client: httpx2.AsyncClient,
) -> None:
    headers = {"Origin": "https://elsewhere.test", "Access-Control-Request-Method": "POST"}
    answer = await client.options("/things", headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert not any(name.startswith("access-control") for name in answer.headers)
    assert_problem(await client.options("/nothing"), 404, "not-found")


async def test_head_answers_as_get_without_a_body(client: httpx2.AsyncClient) -> None:
    answer = await client.head(f"/things/{ID}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(f'{{"id":"{ID}"}}'))
    assert (await client.head("/nothing")).status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        *(
            "limit=-1",
            "limit=0",
            "limit=201",
            "limit=1e9",
            "limit=1000000000",
            "limit=",
            "limit=%20 5",
            "limit=5.0",
        ),
        *(
            "limit=٥",
            "limit=true",
            "cursor=x",
            "cursor=",
            "sort=dob;drop",
            "unknown=1",
            "limit=5&limit=6",
            "=1",
        ),
        *(
            "since=04/09/2024",
            "since=1725408000",
            "since=2024-02-30",
            "since=%00",
            "since=2024-09-04%0d%0aX:1",
        ),
        *(
            "top=0",
            "top=10",
            "top=1_0",
            "top=%2b1",
            "top=1.0",
            "open=yes",
            "open=1",
            "open=True",
            "since=%ff%fe",
        ),
    ],
)
async def test_1_16_a_bad_query_is_400(client: httpx2.AsyncClient, query: str) -> None:
    assert_problem(await client.get(f"/things?{query}"), 400, "bad-parameter")


async def test_a_good_query_is_taken(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/things?limit=200&since=2024-09-04&top=9&open=false")
    assert (answer.status_code, answer.json()) == (200, {"limit": 200})
    assert (await client.get("/things")).json() == {"limit": 50}


@pytest.mark.parametrize(
    "value",
    [
        {CANARY: 1},
        {"name": CANARY * 50},
        {"on": CANARY},
        {"colour": CANARY},
        {"inner": {"on": CANARY}},
        {"many": [{"on": {CANARY: CANARY}}]},
        {"anything": CANARY + "\x00"},
        {"anything": {CANARY + "\x00": [1]}},
        {"upn": CANARY, "nhs": CANARY, "urn": CANARY, "la": CANARY, "id": CANARY, "at": CANARY},
    ],
    ids=lambda value: ascii(value)[:40],
)
async def test_no_part_of_a_refused_body_is_repeated_or_logged(
    client: httpx2.AsyncClient, logged: io.StringIO, value: dict[str, Any]
) -> None:
    answer = await post_json(client, "/things", value)
    assert_problem(answer, 422, "validation")
    assert CANARY not in answer.text + str(answer.headers) + logged.getvalue()


async def test_no_part_of_a_path_query_or_header_is_repeated_or_logged(
    client: httpx2.AsyncClient, logged: io.StringIO
) -> None:
    sent = [
        client.get(f"/{CANARY}"),
        client.get(f"/things/{CANARY}"),
        client.get(f"/things?{CANARY}=1"),
        client.get(f"/things?since={CANARY}"),
        client.get(f"/fail?how={CANARY}"),
        client.request(CANARY.upper(), "/things"),
        client.get("/v1/cases", headers={"Authorization": f"Bearer {CANARY}"}),
        client.get("/v1/cases", headers={"Cookie": f"ehcp_session={CANARY}"}),
        client.get(
            "/things", headers={"X-Correlation-ID": CANARY, "traceparent": CANARY, "User-Agent": CANARY}
        ),
        client.post("/things", content=b"{}", headers={"Content-Type": CANARY}),
    ]
    for answer in [await one for one in sent]:
        assert CANARY.lower() not in (answer.text + str(answer.headers)).lower()
    assert CANARY.lower() not in logged.getvalue().lower()


async def test_s102_an_unhandled_exception_is_a_500_problem_and_the_process_lives(
    client: httpx2.AsyncClient, logged: io.StringIO
) -> None:
    answer = await client.get("/fail")
    assert_problem(answer, 500, "internal")
    assert "SELECT" not in answer.text + logged.getvalue()
    assert '"error": "RuntimeError"' in logged.getvalue()
    assert "toy.py:" in logged.getvalue()
    assert (await client.get(f"/things/{ID}")).status_code == 200


async def test_security_headers_stand_on_errors_too(client: httpx2.AsyncClient) -> None:
    for path in ("/fail", "/nothing", "/v1/cases"):
        answer = await client.get(path)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


class _Lost(Exception):
    """Stands for a driver's error."""


@pytest.mark.parametrize(
    ("error", "slug"),
    [
        (RuntimeError("x"), "internal"),
        (KeyError("x"), "internal"),
        (IntegrityError("INSERT", {}, _Lost("UNIQUE")), "internal"),
        (OperationalError("SELECT", {}, _Lost("database is locked")), "unavailable"),
        (OperationalError("INSERT", {}, _Lost("database or disk is full")), "storage-full"),
        (InterfaceError("SELECT", {}, _Lost("connection is closed")), "unavailable"),
        (PoolTimeout(), "unavailable"),
        (ConnectionRefusedError(), "unavailable"),
        (OSError(errno.ENOSPC, "no space"), "storage-full"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_lost_database_is_503_and_a_full_disk_507(error: Exception, slug: str) -> None:
    """F25, F28, F29."""
    refusal = from_exception(error)
    assert refusal.slug == slug
    assert ("Retry-After" in refusal.headers) == (slug == "unavailable")


async def test_one_answer_that_breaks_off_does_not_pass_as_whole(tmp_path: Path) -> None:
    from starlette.responses import StreamingResponse

    from service_kit.access import public
    from service_kit.api import router

    app: FastAPI = make_app(settings(tmp_path), Seen())
    routes = router()

    @routes.get("/broken", dependencies=[public()])
    async def broken() -> StreamingResponse:
        async def parts() -> Any:
            yield b"first"
            raise RuntimeError("secret")

        return StreamingResponse(parts())

    app.include_router(routes)
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="https://hub.test"
    ) as client:
        with pytest.raises(problems.BrokenAnswer):
            await client.get("/broken")
        assert (await client.get(f"/things/{ID}")).status_code == 200
