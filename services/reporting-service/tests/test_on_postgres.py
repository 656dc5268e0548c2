"""The same service on PostgreSQL: the same tables to the bit, the same figures, the same rebuild."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, true

from reporting_service.main import service
from reporting_service.queries import By, Figures, Filters, as_of
from reporting_service.rebuild import SHADOW, fingerprint, rebuild
from reporting_service.tables import BUSINESS_TABLES, Counter, Item
from service_kit import migrate
from service_kit.bus import Message
from service_kit.service import Running
from service_kit.settings import Settings
from service_kit.testing import Harness

pytestmark = pytest.mark.postgres


@pytest.fixture
async def there(
    request: pytest.FixtureRequest, unique: Callable[[str], str], tmp_path: Path, bury: Any
) -> AsyncIterator[Running]:
    """The service on PostgreSQL, with the year at Bury consumed from its own bus."""
    server = request.getfixturevalue("postgres")
    url = server.create_database(unique("reporting").replace("-", "_"))
    (tmp_path / "pg").mkdir()
    built = service.build(Settings(environment="test", data_dir=tmp_path / "pg", database_url=url))
    await built.migrate()
    await built.bus.publish([Message(type(r.event).topic, str(r.case), r.raw) for r in bury.received()])
    await consume(built)
    yield built
    await built.stop()


async def consume(built: Running) -> None:
    assert built.inbox
    async with built.bus.consumer(service.name, service.listens) as consumer:
        while records := await consumer.fetch(wait=0):
            await built.inbox.take(records)
            await consumer.commit(records)


async def test_both_databases_hold_the_same_to_the_bit_i9(there: Running, hub: Harness) -> None:
    assert await fingerprint(there.hub.db) == await fingerprint(hub.hub.db)
    assert await migrate.differences(there.hub.db, service.metadata) == []


@pytest.mark.parametrize("as_at", ["2026-11-10", "2026-11-30"])
async def test_both_databases_give_the_same_figures(there: Running, hub: Harness, as_at: str) -> None:
    from datetime import date

    found = []
    for db in (there.hub.db, hub.hub.db):
        async with db.read() as session:
            asked = Filters(date.fromisoformat(as_at), "351", "2026/27")
            figures = Figures(session, asked, await as_of(session), {Counter: true(), Item: true()})
            found.append(
                [
                    await figures.standings_by(By.YEAR_GROUP),
                    await figures.months(),
                    await figures.backlog(),
                    sorted(map(str, await figures.transfers())),
                    await figures.choices(By.ACADEMIC_YEAR),
                ]
            )
    assert found[0] == found[1]


async def test_a_rebuild_ends_with_identical_tables_and_takes_its_schema_away_f40(there: Running) -> None:
    before = await fingerprint(there.hub.db)
    async with there.hub.db.write() as tx:
        for table in BUSINESS_TABLES:
            await tx.execute(table.delete())
    await rebuild(there.hub, there.bus, service.listens)
    assert await fingerprint(there.hub.db) == before
    async with there.hub.db.read() as session:
        schemas = (
            (await session.execute(text("SELECT schema_name FROM information_schema.schemata")))
            .scalars()
            .all()
        )
    assert SHADOW not in schemas
