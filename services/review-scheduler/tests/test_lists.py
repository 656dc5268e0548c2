"""A list is written by the database, a single review by Python: nobody can tell which, on either database."""

from collections.abc import AsyncIterator
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert
from sqlmodel import select

from review_scheduler import views
from review_scheduler.main import service
from review_scheduler.tables import ReviewRow
from service_kit import Settings, uuid7
from service_kit.bus.log_bus import LogBus
from service_kit.testing import running

ORGS = {"officer": None, "school": "900001", "icb": "QOP", "social-care": "team-a"}
TODAY = date(2026, 9, 1)
YESTERDAY, TOMORROW = date(2026, 8, 31), date(2026, 9, 2)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def desk(request: pytest.FixtureRequest, tmp_path: Path, make_desk: Any) -> AsyncIterator[Any]:
    settings = {}
    if request.param == "postgres":
        url = request.getfixturevalue("postgres").create_database(f"reviews_{uuid7().hex}")
        settings["database_url"] = url
        bus = LogBus(tmp_path / "other.sqlite3")
        built = service.build(Settings(environment="test", data_dir=tmp_path, database_url=url), bus=bus)
        await built.migrate()
        await built.stop()
    async with running(service, tmp_path, today=TODAY, settings=settings) as app:
        yield make_desk(app)


async def in_every_state(desk: Any) -> None:
    """One review due, and one each booked, held, reported, decided, concluded and withdrawn; one was overdue on
    arrival, and one is of a child without a school."""
    await desk.register()
    await desk.register(last=date(2025, 6, 2))
    await desk.register(urn=None, social_care_team=None, officer=None)
    booked, held, reported, decided, concluded = [await desk.review(await desk.register()) for _ in range(5)]
    await desk.post(booked, "meeting", meeting_on="2026-11-25")
    for review in (held, reported, decided, concluded):
        await desk.post(review, "held", held_on="2026-08-03")
    for review in (reported, decided, concluded):
        await desk.post(review, "report", received_on="2026-08-20")
    await desk.post(decided, "decision", outcome="amend", notified_on="2026-09-01")
    await desk.post(concluded, "decision", outcome="maintain", notified_on="2026-09-01")


@pytest.mark.parametrize("role", ORGS)
async def test_a_review_stands_in_a_list_as_it_is_read_by_itself(desk: Any, role: str) -> None:
    await in_every_state(desk)
    client = desk.app.as_(role, org=ORGS[role])
    items = (await client.get("/v1/reviews?limit=200")).json()["items"]
    read = [(await client.get(f"/v1/reviews/{item['id']}")).json() for item in items]
    assert items == read
    assert [list(item) for item in items] == [list(one) for one in read]
    assert {item["status"] for item in items} >= {"due", "booked", "held", "reported", "decided", "concluded"}
    (late,) = [item for item in items if item["missed_before_arrival"]]
    assert late["missed_before_arrival"] == ["plan", "invite", "last_call", "due", "overdue"]
    assert late["overdue_since"] == "2026-06-02"


async def test_what_a_review_waits_for_is_the_same_in_every_list(desk: Any) -> None:
    case = await desk.register()
    review = await desk.review(case)
    await store_variants(desk, UUID(review["id"]))
    items = {item["id"]: item["next_step"] for item in await every_item(desk)}
    async with desk.app.hub.db.read() as session:
        rows = (await session.exec(select(ReviewRow))).all()
    assert len(rows) == 1 + 5 * 2 * 4 * 3 * 3
    for row in rows:
        view = views.review_view(row, [], TODAY, role="officer").model_dump(mode="json")
        assert items[str(row.id)] == view["next_step"], view
    steps = {step["what"] for step in items.values()}
    assert steps == {"book-meeting", "send-notice", "hold-meeting", "send-report", "decide", "send-amendment-notice"}  # fmt: skip


async def store_variants(desk: Any, like: UUID) -> None:
    """Open reviews in every status, with and without a school, and with each order of the days that decide what is to
    be done next."""
    days = (None, YESTERDAY, TOMORROW)
    variants = product(
        ("due", "booked", "held", "reported", "decided"),
        ("900001", None),
        (None, YESTERDAY, TODAY, TOMORROW),
        days,
        days,
    )
    async with desk.app.hub.db.write() as session:
        given = (await session.exec(select(ReviewRow).where(ReviewRow.id == like))).one().model_dump()
        rows = [
            given
            | {
                "id": uuid7(),
                "status": status,
                "urn": urn,
                "due_on": date.fromordinal(given["due_on"].toordinal() + number),
                "notice_due": notice_due,
                "decision_due": decision_due,
                "held_on": held_on,
                "meeting_on": TOMORROW,
                "report_due": date(2026, 9, 15),
                "meeting_limb_due": date(2026, 9, 29),
            }
            for number, (status, urn, notice_due, decision_due, held_on) in enumerate(variants, 1)
        ]
        await session.execute(insert(ReviewRow), rows)


async def every_item(desk: Any) -> list[dict[str, Any]]:
    client, cursor, items = desk.app.as_("officer"), "", []
    while cursor is not None:
        page = (await client.get(f"/v1/reviews?limit=200{cursor and f'&cursor={cursor}'}")).json()
        items += page["items"]
        cursor = page["next"]
    return items
