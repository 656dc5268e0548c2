"""The dashboard in a real browser: it draws, it works by keyboard and on a phone, its text is readable."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from service_kit.access import SESSION_COOKIE
from service_kit.testing import Harness, token

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists(), reason="no /usr/bin/chromium here: apt-get install -y chromium"
)

# Every element with text of its own: its contrast by WCAG 2.2 1.4.3 against the nearest painted background.
CONTRASTS = """() => {
  const rgb = (c) => c.match(/[0-9.]+/g).map(Number);
  const light = (c) => { const [r, g, b] = rgb(c).map((v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (rgb(c).length < 4 || rgb(c)[3] === 1) return c; } return "rgb(255, 255, 255)"; };
  return [...document.querySelectorAll("body *")].filter((e) => !e.closest("svg") && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())).map((e) => {
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
    return [(a + .05) / (b + .05), e.textContent.trim().slice(0, 40)];
  }).filter(([ratio]) => ratio < 4.5);
}"""


@pytest.fixture
async def address(hub: Harness) -> AsyncIterator[str]:
    """The service on a free port of this machine."""
    door = socket.socket()
    door.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(hub.asgi, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve([door]))
    try:
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


@pytest.fixture
async def tab(address: str) -> AsyncIterator[Any]:
    """A tab of a browser that is signed in as an officer; what it complains about ends up in `tab.complaints`."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        context = await browser.new_context(viewport={"width": 1200, "height": 900}, java_script_enabled=True)
        await context.add_cookies([{"name": SESSION_COOKIE, "value": token("officer"), "url": address}])
        page = await context.new_page()
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        yield page
        await browser.close()


async def test_the_dashboard_draws_without_complaint(tab: Any, address: str) -> None:
    await tab.goto(f"{address}/dashboard")
    assert await tab.title() == "Reviews of EHC plans: Bury – EHC-plan hub"
    assert await tab.locator(".tile-value").all_inner_texts() == ["6", "2", "2 of 4", "1", "2 of 4", "1 of 4"]
    for name in ("months", "backlog"):
        box = await tab.locator(f".chart-{name} svg").bounding_box()
        assert box["width"] > 300
        assert box["height"] > 80
    assert tab.complaints == []  # the content security policy, too, would complain here
    if folder := os.environ.get("HUB_SCREENSHOTS"):
        await tab.screenshot(path=f"{folder}/dashboard.png", full_page=True)


async def test_all_text_has_enough_contrast(tab: Any, address: str) -> None:
    for path in ("/dashboard", "/dashboard/measures/K12?academic_year=all"):
        await tab.goto(address + path)
        assert await tab.evaluate(CONTRASTS) == []


async def test_it_can_be_used_by_keyboard(tab: Any, address: str) -> None:
    await tab.goto(f"{address}/dashboard")
    await tab.keyboard.press("Tab")
    assert await tab.locator(".skip-link").is_visible()
    await tab.keyboard.press("Enter")
    assert tab.url.endswith("#main")
    summary = tab.locator("section:has(.chart-months) summary")
    await summary.focus()
    assert await summary.evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(255, 221, 0)"
    await tab.keyboard.press("Enter")
    assert await tab.get_by_role("row", name="November 2026 0 0 1 0 1").is_visible()


async def test_the_form_asks_for_another_year_and_a_number_opens_its_cases(tab: Any, address: str) -> None:
    await tab.goto(f"{address}/dashboard")
    await tab.get_by_label("Academic year").select_option("2027/28")
    await tab.get_by_role("button", name="Show").click()
    assert "Bury, academic year 2027/28" in await tab.locator("main").inner_text()
    await tab.goto(f"{address}/dashboard")
    await tab.get_by_role("link", name="Cases behind “Overdue now”").click()
    assert await tab.locator("h1").inner_text() == "Annual reviews overdue"
    assert await tab.locator("tbody tr").count() == 2


async def test_without_a_session_it_says_how_to_sign_in(tab: Any, address: str) -> None:
    await tab.context.clear_cookies()
    answer = await tab.goto(f"{address}/dashboard")
    assert answer.status == 401
    assert await tab.locator("h1").inner_text() == "Sign in to see this page"
    assert await tab.evaluate(CONTRASTS) == []


async def test_it_fits_a_phone(tab: Any, address: str) -> None:
    await tab.set_viewport_size({"width": 320, "height": 640})
    for path in ("/dashboard", "/dashboard/measures/K12?academic_year=all"):
        await tab.goto(address + path)
        assert await tab.evaluate("document.documentElement.scrollWidth") <= 320
