"""Headers: S110, and bounds on what a request may carry (bad-inputs 1.17)."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from shared.kit.tests.web.toy import ID, Seen, assert_problem, make_app, settings
from starlette.responses import HTMLResponse

from service_kit.access import public
from service_kit.api import router


@pytest.mark.parametrize("path", [f"/things/{ID}", "/nothing", "/fail", "/v1/cases"])
async def test_s110_every_answer_carries_the_security_headers(client: httpx2.AsyncClient, path: str) -> None:
    headers = (await client.get(path, headers={"Origin": "https://elsewhere.test"})).headers
    assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers


async def test_hsts_is_not_sent_where_the_hub_is_plain_http(tmp_path: Path) -> None:
    app = make_app(settings(tmp_path, public_url="http://localhost:8000"), Seen())
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://localhost:8000"
    ) as client:
        assert "strict-transport-security" not in (await client.get(f"/things/{ID}")).headers


async def test_a_page_may_set_its_own_policy_but_not_lose_nosniff(tmp_path: Path) -> None:
    app = make_app(settings(tmp_path), Seen())
    pages = router()

    @pages.get("/page", dependencies=[public()])
    async def page() -> HTMLResponse:
        own = {
            "Content-Security-Policy": "default-src 'self'",
            "X-Content-Type-Options": "",
            "Server": "x/1.2",
        }
        return HTMLResponse("<p>", headers=own)

    app.include_router(pages)
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="https://hub.test"
    ) as client:
        headers = (await client.get("/page")).headers
    assert headers["content-security-policy"] == "default-src 'self'"
    assert headers["x-content-type-options"] == "nosniff"
    assert "server" not in headers


@pytest.mark.parametrize(
    "headers",
    [
        {"x-large": "a" * 65_536},
        {f"x-{n}": "a" for n in range(500)},
        {f"x-{n}": "a" * 1000 for n in range(40)},
    ],
    ids=["one of 64 KB", "500 headers", "40 KB in all"],
)
async def test_1_17_too_many_or_too_large_headers_are_431(
    client: httpx2.AsyncClient, headers: dict[str, str]
) -> None:
    answer = await client.get(f"/things/{ID}", headers=headers)
    assert_problem(answer, 431, "headers-too-large")
    assert answer.headers["connection"] == "close"


async def test_an_overlong_address_is_refused(client: httpx2.AsyncClient) -> None:
    assert_problem(await client.get("/things?since=" + "1" * 9000), 431, "headers-too-large")


@pytest.mark.parametrize("length", ["-1", "abc", "1e3", "9" * 30, "0x10", "٥"])
async def test_1_17_a_content_length_that_is_no_number_is_400(
    client: httpx2.AsyncClient, length: str
) -> None:
    headers = {"Content-Type": "application/json", "Content-Length": length.encode()}
    answer = await client.post("/things", content=b"{}", headers=headers)
    assert_problem(answer, 400, "bad-parameter")
