"""The same service on PostgreSQL: its migration, its statements, and two writers at once."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from ehcp_contracts.events import Placement, PlanRegistered
from review_scheduler import clock
from review_scheduler.docket import Docket
from review_scheduler.domain.stages import Planned, Stage, StageState
from review_scheduler.main import service
from review_scheduler.tables import metadata
from service_kit import Settings, uuid7
from service_kit.bus.log_bus import LogBus
from service_kit.database import COPIED
from service_kit.migrate import differences
from service_kit.testing import running

pytestmark = pytest.mark.postgres


@pytest.fixture
async def desk(tmp_path: Path, postgres: Any, make_desk: Any) -> AsyncIterator[Any]:
    url = postgres.create_database(f"reviews_{uuid7().hex}")
    bus = LogBus(tmp_path / "other.sqlite3")
    built = service.build(Settings(environment="test", data_dir=tmp_path, database_url=url), bus=bus)
    await built.migrate()
    await built.stop()
    async with running(service, tmp_path, today=date(2026, 9, 1), settings={"database_url": url}) as app:
        yield make_desk(app)


async def test_the_migration_gives_the_tables_of_the_code(desk):
    assert await differences(desk.app.hub.db, metadata) == []


async def test_from_arrival_to_the_next_review(desk):
    case = await desk.register(facts=desk.year_6())
    phase = await desk.review(case, "phase_transfer")
    await desk.day(date(2026, 11, 9))
    await desk.post(phase, "meeting", meeting_on="2026-11-25", covers=["annual"])
    await desk.day(date(2026, 12, 1))
    await desk.post(phase, "held", held_on="2026-11-25")
    await desk.post(phase, "decision", outcome="maintain", notified_on="2026-12-01")
    assert [(r["kind"], r["due_on"]) for r in await desk.reviews(case, status="open")] == [
        ("annual", "2027-11-30")
    ]
    assert [r["due_on"] for r in await desk.reviews(case, updated_since="2026-12-01T00:00:00Z")]
    officers = (await desk.app.as_("officer").get("/v1/officers")).json()["items"]
    assert [(row["officer"], row["plans"], row["open_reviews"]) for row in officers] == [("officer-1", 1, 1)]


async def test_two_ticks_at_once_announce_each_stage_once(desk):
    """F41."""
    cases = [await desk.register() for _ in range(30)]
    await asyncio.gather(*(clock.tick(desk.app.hub, date(2026, 11, 9)) for _ in range(3)))
    assert [await desk.stages(case) for case in cases] == [["plan"]] * 30


async def test_two_decisions_at_once_on_one_review_end_with_one(desk):
    case = await desk.register()
    review = await desk.review(case)
    await desk.post(review, "held", held_on="2026-08-20")
    client = desk.app.as_("officer")
    path, body = f"/v1/reviews/{review['id']}/decision", {"outcome": "maintain", "notified_on": "2026-09-01"}
    answers = await asyncio.gather(*(client.post(path, json=body) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert (await desk.names(case)).count("review-concluded") == 1


async def test_a_plan_that_arrives_among_many_gets_what_one_alone_gets(desk):
    """Row by row: what is new in a large batch is written by COPY."""
    alone, many = await desk.register(), [uuid4() for _ in range(2 * COPIED)]
    registered = PlanRegistered(
        plan_first_made=date(2020, 5, 4),
        last_concluded=date(2026, 3, 2),
        placement=Placement(urn="900001"),
        responsible=desk.responsible(),
        facts=desk.facts(),
    )
    for case in many:
        await desk.app.deliver(registered, case=case)
    await desk.app.settle()
    found = await _all_of_each_plan(desk.app.hub)
    assert {len(rows) for rows in found.values()} == {1 + 1 + 5}
    assert [case for case in many if found[case] != found[alone]] == []
    assert await desk.names() == ["review-scheduled"] * (1 + len(many))


async def _all_of_each_plan(hub):
    """The rows of each plan, its review and its stages, without their ids."""
    found = defaultdict(list)
    async with hub.db.read() as session:
        for case_of in ("plan r", "review r", "stage r JOIN review ON review.id = r.review_id"):
            query = f"SELECT to_jsonb(r) - 'id' - 'case_id' - 'review_id' - 'updated_at' AS row, case_id FROM {case_of}"
            for row, case in await session.execute(text(f"{query} ORDER BY 1")):
                found[case].append(row)
    return found


async def test_a_tick_waits_for_a_stage_that_is_being_moved(desk):
    """A stage moved ahead while the tick looks at it is not sent: the tick sees the new day."""
    case = await desk.register()
    hub, other_day = desk.app.hub, date(2026, 12, 9)
    async with hub.db.write() as tx:
        docket = await Docket.load(tx, [case], today=date(2026, 11, 9), now=hub.clock.now())
        running_tick = asyncio.create_task(clock.tick(hub, date(2026, 11, 9)))
        await _until_blocked(hub)
        (review,) = docket.open_of(docket.plans[case])
        docket._keep(review, Planned(Stage.PLAN, other_day, StageState.CANCELLED))
        await docket.save()
    await running_tick
    assert await desk.stages(case) == []


async def _until_blocked(hub):
    """Wait until a session waits for a lock of another."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    async with hub.db.read() as session:
        while not (await session.execute(query)).scalar_one():
            await asyncio.sleep(0)
