"""The calendar: 1 September, coming of age, the end of a plan. Each day once, however often it is run."""

from __future__ import annotations

from datetime import date
from typing import Any

import structlog
from sqlmodel import select

from case_service import bulk, jobs
from case_service.domain import plan
from case_service.tables import CaseRow


async def changed(hub: Any) -> list[dict[str, Any]]:
    return [data["facts"] for name, data in await hub.events() if name == "case-facts-changed"]


async def run(hub: Any, day: date) -> None:
    hub.app.clock.set(day)
    await hub.app.run_daily()


async def test_on_1_september_everybody_moves_up_once(hub: Any, snapshot: Any) -> None:
    await hub.batch([snapshot("A"), snapshot("B", child={"birth_date": "2016-10-01"})])
    await run(hub, date(2027, 8, 31))
    assert await changed(hub) == []
    for _ in range(2):
        await run(hub, date(2027, 9, 1))
    facts = await changed(hub)
    assert [(f["academic_year"], f["year_group"], f["phase"]) for f in facts] == [
        ("2027/28", 6, "primary_to_secondary")
    ] * 2
    assert (facts[0]["phase_due"], facts[0]["transfer_on"]) == ("2028-02-14", "2028-09-01")


async def test_days_on_which_the_service_was_down_are_made_up(hub: Any, snapshot: Any) -> None:
    await hub.a_plan(snapshot())
    await run(hub, date(2026, 9, 14))
    await run(hub, date(2028, 10, 1))
    assert [f["academic_year"] for f in await changed(hub)] == ["2027/28", "2028/29"]


async def test_coming_of_age_changes_who_is_addressed(hub: Any, snapshot: Any) -> None:
    """Born 10 May 2011: compulsory school age ends on Friday 25 June 2027."""
    child = {"birth_date": "2011-05-10"}
    await hub.a_plan(snapshot(child=child, placement={"urn": "900103"}))
    await run(hub, date(2027, 6, 25))
    assert await changed(hub) == []
    await run(hub, date(2027, 6, 26))
    assert [f["addressee"] for f in await changed(hub)] == ["young_person"]


async def test_the_job_touches_only_the_cases_whose_day_has_come(hub: Any, snapshot: Any) -> None:
    """Cost follows what changes: on an ordinary day no row is even loaded."""
    await hub.batch([snapshot(f"A-{n}") for n in range(5)])
    async with hub.app.hub.db.read() as session:
        due = (await session.exec(select(CaseRow.next_facts_change).distinct())).all()
    assert due == [date(2027, 9, 1)]
    before = [case["updated_at"] for case in (await hub.officer.get("/v1/cases")).json()["items"]]
    await run(hub, date(2026, 12, 25))
    assert [case["updated_at"] for case in (await hub.officer.get("/v1/cases")).json()["items"]] == before


async def test_a_plan_that_has_ended_has_no_facts_to_change(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    body = {"notified_on": "2026-09-12", "reason": "8", "effective_now": True}
    await hub.post(f"/v1/cases/{case_id}/cease", body)
    await run(hub, date(2027, 9, 1))
    assert await changed(hub) == []


async def test_many_plans_end_in_pieces_and_each_once(hub: Any, snapshot: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(bulk, "CHUNK", 2)
    out = await hub.batch([snapshot(f"A-{n}") for n in range(5)])
    for line in out:
        url = f"/v1/cases/{line['case_id']}/cease"
        await hub.post(url, {"stage": "consult", "notified_on": "2026-09-01"})
        await hub.post(url, {"notified_on": "2026-09-14", "reason": "2"})
    await run(hub, date(2026, 11, 17))
    await jobs.end_plans(hub.app.hub, date(2026, 11, 17))
    ended = [name for name, _ in await hub.events() if name == "plan-ceased"]
    assert len(ended) == 5


async def test_a_case_that_a_rule_fails_on_harms_no_other(hub: Any, snapshot: Any) -> None:
    await hub.batch([snapshot("A"), snapshot("B"), snapshot("C")])
    ids = [case["id"] for case in (await hub.officer.get("/v1/cases")).json()["items"]]

    def decide(case: Any, where: Any) -> Any:
        if str(case.id) == ids[1]:
            raise ValueError("a rule without an answer")
        return plan.refresh(case, where)

    async with hub.app.hub.db.write() as tx:
        await bulk.decide_all(tx, CaseRow.la_code == "351", date(2027, 9, 1), decide, who="test")  # type: ignore[arg-type]
    years = {case["id"]: case["facts"]["academic_year"] for case in [await hub.case(i) for i in ids]}
    assert years == {ids[0]: "2027/28", ids[1]: "2026/27", ids[2]: "2027/28"}


async def test_bank_holidays_that_will_be_missing_are_reported_every_day(hub: Any) -> None:
    """Whatever is published, 2098 is not; 2026 is."""
    with structlog.testing.capture_logs() as logs:
        for day in (date(2026, 6, 1), date(2098, 6, 1), date(2098, 11, 2)):
            await jobs.watch_calendar(hub.app.hub, day)
    assert [(line["log_level"], line["years"]) for line in logs] == [
        ("warning", (2098,)),
        ("warning", (2098, 2099)),
    ]
