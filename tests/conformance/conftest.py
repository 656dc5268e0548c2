"""The two ports of the kit, each on its two implementations. Nothing in this folder knows which one it has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from conformance.toy import toy_metadata

from service_kit.bus import Bus, open_bus
from service_kit.clock import Clock
from service_kit.database import Database
from service_kit.ids import uuid7


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def bus_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the bus is: a SQLite event log in a temporary folder, or the run's Kafka."""
    if request.param == "sqlite":
        return f"sqlite://{tmp_path / 'bus.sqlite3'}"
    return f"kafka://{request.getfixturevalue('kafka').bootstrap}"


@pytest.fixture
async def topic(bus_url: str, request: pytest.FixtureRequest) -> str:
    """A topic that no other test uses."""
    name = f"ehcp.test-{uuid7()}"
    if bus_url.startswith("kafka"):
        await request.getfixturevalue("kafka").create_topics(name)
    return name


@pytest.fixture
async def open_another(bus_url: str) -> AsyncIterator[Callable[[], Bus]]:
    """Opens further clients of the same bus, as other processes would."""
    opened: list[Bus] = []

    def another() -> Bus:
        opened.append(open_bus(bus_url))
        return opened[-1]

    yield another
    for one in opened:
        await one.close()


@pytest.fixture
def bus(open_another: Callable[[], Bus]) -> Bus:
    return open_another()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A database with the toy's tables: a SQLite file, or a new database on the run's PostgreSQL."""
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path / 'toy.sqlite3'}"
    else:
        server = request.getfixturevalue("postgres")
        url = server.create_database(f"toy_{uuid7().hex}")
    clock = Clock(date(2026, 9, 1), lambda: datetime(2026, 9, 1, 8, 0, tzinfo=UTC))
    metadata = toy_metadata()
    database = Database(url, metadata, source="/toy", topic="ehcp.cases", clock=clock)
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield database
    await database.close()
