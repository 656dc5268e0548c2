"""The same service on PostgreSQL: its migration, its statements, and two workers at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from notification_service import knowledge, vault
from notification_service.claims import InFlight, claim
from notification_service.desk import open_directory
from notification_service.domain import Route
from notification_service.main import service
from notification_service.tables import Partner, Subscription, metadata
from service_kit import Clock, Settings, instant, migrate, uuid7
from service_kit.bus.log_bus import LogBus
from service_kit.testing import running

pytestmark = pytest.mark.postgres
ELM, OAK = "900123", "900456"
NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)


@pytest.fixture
async def database(tmp_path: Path, postgres: Any, quiet: Any) -> AsyncIterator[Any]:
    url = postgres.create_database(f"notices_{uuid7().hex}")
    built = service.build(
        Settings(environment="test", data_dir=tmp_path, database_url=url),
        bus=LogBus(tmp_path / "other.sqlite3"),
    )
    await built.migrate()
    await built.stop()
    async with running(service, tmp_path, settings=quiet | {"database_url": url}) as app:
        yield app


@pytest.fixture
async def people(database: Any, settle_in: Any) -> Any:
    return await settle_in(database)


async def test_the_migration_makes_exactly_the_tables_of_the_code(people: Any) -> None:
    assert await migrate.differences(people.app.hub.db, metadata) == []


async def test_from_the_event_to_the_new_school(people: Any) -> None:
    """Issue, push, move, hand-over, ledger, feed and replay: every statement once on PostgreSQL."""
    case = await people.issue()
    await people.send()
    review = await people.schedule(case)
    await people.due(case, review)
    await people.move(case, OAK)
    await people.send()
    assert people.heard(ELM) == ["plan-issued", "placement-changed"]
    assert people.heard(OAK) == ["placement-changed", "review-scheduled", "review-due"]
    school = people.app.as_("school", org=OAK, las=())
    events = (await school.get("/v1/events")).json()
    assert [event["type"].split(".")[1] for event in events] == people.heard(OAK)
    await school.get("/v1/events", params={"lastEventId": events[-1]["id"]})
    statuses = {d["status"] for d in await people.deliveries(partner=people.partners[OAK])}
    assert statuses == {"delivered"}
    (push, *_) = await people.pushes(OAK)
    assert (await people.officer.post(f"/v1/deliveries/{push['id']}/replay")).status_code == 202
    replay = f"/v1/partners/{people.partners[OAK]}/replay"
    assert (await people.officer.post(replay)).json() == {"replayed": 0}
    await people.send()
    await people.move(case, ELM, was=OAK)
    unread = await people.deliveries(partner=people.partners[ELM], status="available")
    assert "ehcp.plan-issued.v1" in {d["event_type"] for d in unread}
    returned = (await people.app.as_("school", org=ELM, las=()).get("/v1/events")).json()
    cursor = {"lastEventId": returned[0]["id"]}
    assert (
        await people.app.as_("school", org=ELM, las=()).get("/v1/events", params=cursor)
    ).status_code == 200


async def test_notices_wait_for_news_and_those_of_a_case_that_is_stuck_for_its_repair(people: Any) -> None:
    """The conditions of the claim in PostgreSQL's own types (ids, instants)."""
    stuck, other = await people.issue(), await people.issue()
    people.app.clock.pass_time(timedelta(seconds=21))
    assert await people.send_as_known() == 0
    assert await knowledge.held(people.app.hub) == 8
    await people.app.deliver_raw("ehcp.cases", str(stuck), b"{ this was a move")
    await people.app.settle()
    await people.send()
    assert {body["subject"] for body in people.received(ELM)} == {str(other)}
    assert {d["case_id"] for d in await people.deliveries() if d["held"]} == {str(stuck)}


async def test_two_workers_that_claim_at_once_share_and_never_double(people: Any) -> None:
    """F41: of two that chose the same rows, each row goes to one."""
    for _ in range(12):
        await people.issue()
    now = people.app.clock.now()

    async def worker() -> set[Any]:
        async with people.app.hub.db.write() as tx:
            return {one.id for one in await claim(tx, now, InFlight(), people.app.hub.settings)}

    shares = await asyncio.gather(*(worker() for _ in range(4)))
    assert sum(map(len, shares)) == len(set().union(*shares)) == 48


async def test_feed_positions_of_a_partner_are_given_once_by_two_consumers(people: Any) -> None:
    await asyncio.gather(*(people.issue() for _ in range(6)))
    async with people.app.hub.db.read() as session:
        query = text("SELECT partner_id, position FROM partner_copy")
        places = [tuple(row) for row in await session.execute(query)]
    assert len(places) == len(set(places)) == 24


async def test_two_consumers_hold_the_partners_of_their_batches_one_after_the_other(people: Any) -> None:
    """A batch with moves writes several times. Each of two held partners that the other wanted next, until PostgreSQL ended
    one of them, whose batch was taken once more in halves."""
    db, route = people.app.hub.db, Route("351", "351", ELM, None, None)

    async def second() -> None:
        async with db.write() as tx:
            await open_directory(tx, [route])

    async with db.write() as tx:
        await open_directory(tx, [route])
        waiting = asyncio.create_task(second())
        done, _ = await asyncio.wait({waiting}, timeout=0.5)
        assert not done
    await waiting


async def test_a_secret_is_rotated_while_a_batch_of_notices_is_being_written(people: Any) -> None:
    """It waited for the batch to end, longer than an API may: the row was locked with its key, to which notices refer."""
    subscription = people.subscriptions[ELM]["id"]
    async with people.app.hub.db.write() as tx:
        # What the foreign key of a delivery takes.
        await tx.execute(
            text("SELECT id FROM subscription WHERE id = :id FOR KEY SHARE"), {"id": UUID(subscription)}
        )
        rotation = people.officer.post(f"/v1/subscriptions/{subscription}/rotate-secret")
        answer = await asyncio.wait_for(rotation, 20)
    assert answer.status_code == 200


async def test_leases_are_held_against_the_database_s_clock(people: Any) -> None:
    """F30: a process whose clock is wrong does not matter; a clock that a test holds still does."""
    wrong = Clock(now=lambda: datetime(2001, 1, 1, tzinfo=UTC))
    async with people.app.hub.db.read() as session:
        assert (await instant(session, wrong)).year > 2001
        assert await instant(session, people.app.clock) == people.app.clock.now()


async def test_one_school_registered_twice_at_once_is_one_partner_and_a_conflict(people: Any) -> None:
    """Not a 500 from the unique index: the other one's insert is still open when ours looks for it."""
    body = {"kind": "school", "ref": "900777", "name": "Ash School (invented)", "la_code": "351"}
    other = Partner(kind="school", ref="900777", name="Ash", la_code="351", created_at=NOON, updated_at=NOON)
    async with people.app.hub.db.write() as tx:
        tx.add(other)
        await tx.flush()
        ours = asyncio.create_task(people.officer.post("/v1/partners", json=body))
        await asyncio.wait({ours}, timeout=0.5)
    assert (await ours).status_code == 409


async def test_of_secrets_rotated_at_once_each_signs(people: Any) -> None:
    url = f"/v1/subscriptions/{people.subscriptions[ELM]['id']}/rotate-secret"
    answers = await asyncio.gather(*(people.officer.post(url) for _ in range(4)))
    async with people.app.hub.db.read() as session:
        row = await session.get_one(Subscription, UUID(people.subscriptions[ELM]["id"]))
        kept = vault.opened(people.app.hub.settings, row.keys, row.id)
    assert {answer.json()["secret"] for answer in answers} < {key["secret"] for key in kept}
