"""The whole hub in one process on a free port: filled over HTTP, moved on, heard by a partner, started again."""

from __future__ import annotations

import asyncio
import base64
import io
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

import httpx2
import pytest
from rich.console import Console
from typer.testing import CliRunner

from ehcp_embedded.cli import app, settings_for
from ehcp_embedded.demo.life import Rates
from ehcp_embedded.running import Embedded
from ehcp_embedded.upkeep import parked_lines, rebuild_reporting, replay_case

PLANS = 60
START = date(2026, 9, 1)
DEADLINE = 60.0


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@asynccontextmanager
async def hub(
    data: Path, today: date | None = START, plans: int = PLANS, rates: Rates | None = None
) -> AsyncIterator[Embedded]:
    terminal = Console(file=io.StringIO(), width=200)
    embedded = Embedded(settings_for(data, free_port()), terminal, plans, rates)
    if today:
        embedded.host.set_first_day(today)
    running = asyncio.create_task(embedded.run())
    ready = asyncio.create_task(embedded.ready.wait())
    await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED, timeout=DEADLINE)
    if running.done():
        await running
    try:
        yield embedded
    finally:
        embedded.stop()
        await running


def as_(embedded: Embedded, role: str, org: str | None = None) -> httpx2.AsyncClient:
    bearer = embedded.host.issuer.mint(role, org, [] if org else ["351"])
    headers = {"Authorization": f"Bearer {bearer}"}
    return httpx2.AsyncClient(base_url=embedded.local, headers=headers, trust_env=False, timeout=30)


async def plans_in_force(embedded: Embedded) -> int:
    async with as_(embedded, "board") as board:
        measures = (await board.get("/v1/measures")).json()["measures"]
    return next(m["numerator"] for m in measures if m["id"] == "plans")


async def move(embedded: Embedded, until: date) -> None:
    async with as_(embedded, "officer") as officer:
        body = {"until": until.isoformat()}
        assert (await officer.put("/v1/clock", json=body)).status_code == 202
        task = embedded.host.mover._task
        assert task is not None
        await asyncio.wait_for(task, DEADLINE)
        assert (await officer.get("/v1/clock")).json()["today"] == until.isoformat()


async def test_the_hub_is_filled_moved_heard_and_started_again(tmp_path: Path) -> None:
    heard = asyncio.Event()
    async with hub(tmp_path) as first:
        assert await plans_in_force(first) == PLANS
        first.receivers.tell = lambda name, arrival: heard.set()
        await move(first, date(2026, 9, 29))
        await asyncio.wait_for(heard.wait(), DEADLINE)
        assert sum(first.receivers.counts.values()) >= 1
        report = first.console.file.getvalue()  # type: ignore[attr-defined]
        for role in ("officer 351", "board 351", "school 900123", "icb QOP", "social-care team-a"):
            assert role in report
    async with hub(tmp_path, today=None) as second:
        assert second.host.clock.today() == date(2026, 9, 29)
        assert await plans_in_force(second) == PLANS
        assert "Register of schools" not in second.console.file.getvalue()  # type: ignore[attr-defined]
        assert set(second.receivers.secrets) == {"school", "icb", "social-care"}
        heard.clear()  # on another port: the receivers were moved, so the partners still hear
        second.receivers.tell = lambda name, arrival: heard.set()
        await move(second, date(2026, 10, 20))
        await asyncio.wait_for(heard.wait(), DEADLINE)


async def test_a_fill_that_was_cut_off_is_taken_up_again_without_doubles(tmp_path: Path) -> None:
    async with hub(tmp_path) as first:
        first.host.remember(demo=())
    async with hub(tmp_path, today=None) as second:
        assert await plans_in_force(second) == PLANS
        async with as_(second, "officer") as officer:
            seen = (await officer.get("/v1/partners?limit=200")).json()
        assert len(seen["items"]) == 75
        assert seen["next"] is None


async def test_schools_and_officers_conclude_reviews_while_the_calendar_moves(tmp_path: Path) -> None:
    async with hub(tmp_path, rates=Rates(in_time=1, late=0)) as running:
        concluded: list[dict[str, Any]] = []
        async with as_(running, "officer") as officer:
            for day in (
                6,
                13,
                20,
                27,
            ):  # on a busy machine the invented people read their feeds a little later
                await move(running, date(2026, 11, day))
                concluded = (await officer.get("/v1/reviews?status=concluded&limit=200")).json()["items"]
                if concluded:
                    break
        assert len(concluded) >= 1
        assert all(review["concluded_on"] <= review["due_on"] for review in concluded)


async def test_an_operator_lists_replays_and_rebuilds_while_the_hub_runs(tmp_path: Path) -> None:
    async with hub(tmp_path) as running:
        settings = running.settings
        assert await parked_lines(settings) == []
        assert await replay_case(settings, "all", None) == 0
        assert await rebuild_reporting(settings) > PLANS
        assert await plans_in_force(running) == PLANS
        with pytest.raises(LookupError):
            await replay_case(settings, "all", "kitchen")


PUBLIC = {
    "/": "text/html",
    "/docs": "text/html",
    "/docs/start.js": "text/javascript",
    "/docs/swagger-ui-bundle.js": "text/javascript",
    "/openapi.json": "application/json",
    "/schemas": "text/html",
    "/schemas/ehcp.review-due.v1.json": "application/schema+json",
    "/asyncapi": "text/html",
    "/asyncapi.json": "application/json",
    "/asyncapi/case-service.json": "application/json",
    "/problems": "text/html",
    "/receivers": "text/html",
    "/health": "application/json",
    "/ready": "application/json",
    "/.well-known/jwks.json": "application/json",
}


async def test_one_address_answers_for_pages_services_and_nothing_else(tmp_path: Path) -> None:
    async with hub(tmp_path, plans=0) as running, as_(running, "officer") as officer:
        for path, media in PUBLIC.items():
            answer = await officer.get(path)
            assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, media), path
        for path in (
            "/v1/cases",
            "/v1/reviews",
            "/v1/partners",
            "/v1/deliveries",
            "/v1/measures",
            "/v1/clock",
        ):
            assert (await officer.get(path)).status_code == 200, path
        for path in (
            "/nothing",
            "/v1/nothing",
            "/v1/casesx",
            "/schemas/x",
            "/problems/x",
            "/docs/../hub.json",
        ):
            answer = await officer.get(path)
            assert answer.status_code == 404, path
            assert answer.headers["content-type"] == "application/problem+json"
        paths = (await officer.get("/openapi.json")).json()["paths"]
        owned = {path for service in running.host.services for path in service.service.paths}
        assert all(
            any(path.startswith(own) for path in paths) for own in owned - {"/v1/returns", "/dashboard"}
        )
        assert "/v1/clock" in paths
        assert (await officer.get("/problems/conflict")).headers["location"] == "/problems#conflict"


async def test_pages_allow_no_foreign_script_and_no_inline_style_but_their_own(tmp_path: Path) -> None:
    async with hub(tmp_path, plans=0) as running, as_(running, "officer") as officer:
        policy = (await officer.get("/schemas")).headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe-inline" not in policy
        assert "script-src 'self';" in (await officer.get("/docs")).headers["content-security-policy"]
        page = (await officer.get("/docs")).text
        assert "http" not in page


async def test_a_forged_webhook_is_refused_and_shown_nowhere(tmp_path: Path) -> None:
    async with hub(tmp_path, plans=0) as running, as_(running, "officer") as officer:
        running.receivers.secrets["icb"] = "whsec_" + base64.b64encode(b"x" * 32).decode()
        forged = {"webhook-id": "x", "webhook-timestamp": "1", "webhook-signature": "v1,x"}
        answer = await officer.post("/receivers/icb", content=b"{}", headers=forged)
        assert answer.status_code == 401
        assert (await officer.post("/receivers/other", content=b"{}")).status_code == 404
        assert running.receivers.counts["icb"] == 0


async def test_a_school_may_not_move_the_calendar(tmp_path: Path) -> None:
    async with hub(tmp_path, plans=0) as running, as_(running, "school", "900123") as school:
        answer = await school.put("/v1/clock", json={"until": "2026-10-01"})
        assert answer.status_code == 403


def test_the_port_of_another_process_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["run", "--port", port, "--data", str(tmp_path), "--no-demo"])
    assert result.exit_code == 2
    assert "cannot be used" in result.output
