"""A council reviews its under-fives at other intervals: from that day on, and partners hear of the reviews that follow."""

from __future__ import annotations

import asyncio
from datetime import date

from flows.house import House
from flows.test_whole_story import SCHOOL, load_institutions, push, reviews_of, snapshot


async def test_a_shorter_interval_opens_the_interim_that_now_comes_first(house: House) -> None:
    """Born 10 May 2023, last reviewed 1 June 2026: every 6 months is 1 December, every 4 is 1 October."""
    await load_institutions(house)
    school = await house.partner("school", SCHOOL)
    child = {"surname": "Canaryworth", "forename": "Ida", "birth_date": "2023-05-10", "sex": "F"}
    plan = {"first_made": "2025-05-20", "last_concluded": "2026-06-01", "status": "active"}
    await push(house, "LL-1", snapshot(child=child, plan=plan))
    await house.quiet()
    interims = [r["due_on"] for r in await reviews_of(house, kind="under5_interim", status="open")]
    assert interims == ["2026-12-01"]

    await house.go_to(date(2026, 9, 7))
    async with house.as_("manager") as manager:
        read = await manager.get("/v1/policies/351")
        changed = await manager.put(
            "/v1/policies/351",
            json={"under5_interval_months": 4},
            headers={"If-Match": read.headers["etag"]},
        )
    assert changed.status_code == 200, changed.text
    await house.quiet()
    async with asyncio.timeout(60):
        while interims == ["2026-12-01"]:
            await asyncio.sleep(0.02)
            interims = [r["due_on"] for r in await reviews_of(house, kind="under5_interim", status="open")]
    assert interims == ["2026-10-01"]
    await house.quiet()
    told = [e["data"]["due_on"] for e in school.heard("ehcp.review-due.v1")]
    assert set(told) <= {
        "2026-10-01"
    }  # what has come to pass since the day it was owed, of that review alone
    for one in house.running.values():
        assert one.inbox is None or await one.inbox.parked() == {}
