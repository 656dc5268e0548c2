"""The same service on PostgreSQL: bulk, jobs, reactions, and two writers at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlmodel import col, select

from case_service.main import service
from case_service.tables import ChangeRow
from ehcp_contracts.events import Outcome, ReviewDecided, ReviewKind
from service_kit import migrate
from service_kit.database import Database
from service_kit.testing import Harness, test_keys

pytestmark = pytest.mark.postgres
on_postgres = pytest.mark.parametrize("hub", ["postgres"], indirect=True)


@on_postgres
async def test_a_batch_a_year_and_a_decision_run_as_on_sqlite(hub: Any, snapshot: Any) -> None:
    lines = [snapshot(f"B-{n}") for n in range(620)]
    assert Counter(line["status"] for line in await hub.batch(lines)) == {"created": 620}
    assert {line["status"] for line in await hub.batch(lines)} == {"unchanged"}
    for line in lines:
        line |= {"version": 2, "officer": "officer-9"}
    out = await hub.batch(lines)
    assert {line["status"] for line in out} == {"updated"}
    hub.app.clock.set(date(2027, 9, 1))
    await hub.app.run_daily()
    names = Counter(name for name, _ in await hub.events())
    assert names == {"plan-registered": 620, "case-facts-changed": 1240}
    case_id = out[0]["case_id"]
    decided = ReviewDecided(
        review_id=uuid4(),
        kind=ReviewKind.ANNUAL,
        outcome=Outcome.AMEND,
        notified_on=date(2027, 9, 1),
        meeting_on=date(2027, 8, 2),
        decision_due=date(2027, 8, 30),
    )
    await hub.app.deliver(decided, case=UUID(case_id))
    await hub.app.settle()
    body = {"sent_on": "2027-09-01", "review_id": str(decided.review_id)}
    notice = await hub.post(f"/v1/cases/{case_id}/amendment-notices", body)
    assert (notice.status_code, notice.json()["final_due"]) == (201, "2027-10-25")
    page = (await hub.officer.get("/v1/cases?limit=200&officer=officer-9")).json()
    assert len(page["items"]) == 200
    following = await hub.officer.get(f"/v1/cases?limit=200&officer=officer-9&cursor={page['next']}")
    assert not {c["id"] for c in page["items"]} & {c["id"] for c in following.json()["items"]}


@on_postgres
async def test_changes_of_one_case_at_once_leave_no_gap(hub: Any, snapshot: Any) -> None:
    """I2 with two writers: the row is the lock."""
    case_id = await hub.a_plan(snapshot())
    url = f"/v1/cases/{case_id}/placement"
    answers = await asyncio.gather(*(hub.post(url, {"officer": f"officer-{n + 10}"}) for n in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    async with hub.app.hub.db.read() as session:
        rows = (await session.exec(select(ChangeRow).order_by(col(ChangeRow.version)))).all()
    assert [row.version for row in rows] == list(range(1, 10))
    assert [row.event_id for row in rows] == [e.id for e in await hub.app.sent()]


@on_postgres
async def test_f02_the_same_request_at_two_replicas_at_once_has_one_effect_and_one_answer(
    hub: Any, snapshot: Any
) -> None:
    case_id = await hub.a_plan(snapshot())
    app: Harness = hub.app
    second = service.build(app.running.settings, clock=app.clock, bus=app.bus, keys=test_keys())
    replicas = (app, Harness(second, app.clock, app.bus, second.app(frozenset())))
    answers = await asyncio.gather(
        *(
            replica.as_("officer").post(
                f"/v1/cases/{case_id}/placement",
                json={"officer": "officer-10"},
                headers={"Idempotency-Key": "k1"},
            )
            for replica in replicas
        )
    )
    await second.hub.db.close()
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    assert sorted("idempotent-replayed" in answer.headers for answer in answers) == [False, True]
    assert [name for name, _ in await hub.events()] == ["plan-registered", "case-facts-changed"]


@on_postgres
async def test_the_same_new_reference_pushed_twice_at_once_is_one_case(hub: Any, snapshot: Any) -> None:
    """bad-inputs 3.12."""
    answers = await asyncio.gather(*(hub.push(snapshot()) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert len({answer.json()["case_id"] for answer in answers}) == 1
    assert len(await hub.events()) == 1


@on_postgres
async def test_two_batches_at_once_with_the_same_records_take_each_once(hub: Any, snapshot: Any) -> None:
    """bad-inputs 3.12: whoever is second finds what the first has stored; nobody waits for the other's end."""
    lines = [snapshot(f"B-{n}") for n in range(1200)]
    out = await asyncio.gather(hub.batch(lines), hub.batch(reversed(lines)))
    statuses = Counter(line["status"] for results in out for line in results)
    assert statuses == {"created": 1200, "unchanged": 1200}
    assert len(await hub.events()) == 1200


async def test_the_revisions_make_exactly_the_tables_of_the_code(postgres: Any, tmp_path: Path) -> None:
    db = Database(postgres.create_database(f"case_{uuid4().hex}"), service.metadata)
    await migrate.upgrade(db, service.package, service.metadata)
    assert await migrate.differences(db, service.metadata) == []
    await migrate.downgrade(db, service.package, service.metadata, "base")
    await db.close()
