"""Migrations of every service, on both databases: they give what the code expects, go back, and may run twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from case_service.main import service as cases
from notification_service.main import service as notifications
from reporting_service.main import service as reporting
from review_scheduler.main import service as reviews
from service_kit import Database, Service, migrate, uuid7

SERVICES = {service.name: service for service in (cases, reviews, notifications, reporting)}


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'service.sqlite3'}"
    made: str = request.getfixturevalue("postgres").create_database(f"migrations_{uuid7().hex}")
    return made


@pytest.fixture(params=sorted(SERVICES))
def service(request: pytest.FixtureRequest) -> Service:
    return SERVICES[request.param]


@pytest.fixture
async def db(service: Service, url: str) -> AsyncIterator[Database]:
    database = Database(url, service.metadata)
    yield database
    await database.close()


async def tables(db: Database) -> set[str]:
    async with db.engine.connect() as connection:
        return set(await connection.run_sync(lambda c: inspect(c).get_table_names()))


async def test_migrations_give_exactly_the_tables_of_the_code(service: Service, db: Database) -> None:
    await migrate.upgrade(db, service.package, service.metadata)
    assert await migrate.differences(db, service.metadata) == []
    assert await migrate.is_current(db, service.package)


def test_the_newest_revision_is_found_without_alembic_and_is_the_one_it_finds(service: Service) -> None:
    versions = (
        Path(__file__).parents[2] / f"services/{service.name}/src/{service.package}/migrations/versions"
    )
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "alembic"))
    config.set_main_option("version_locations", str(versions))
    config.set_main_option("path_separator", "newline")
    assert migrate.newest(service.package) == ScriptDirectory.from_config(config).get_current_head()


async def test_migrations_run_twice_and_by_two_processes_at_once(
    service: Service, url: str, db: Database
) -> None:
    await migrate.upgrade(db, service.package, service.metadata)
    other = Database(url, service.metadata)
    await asyncio.gather(
        migrate.upgrade(db, service.package, service.metadata),
        migrate.upgrade(other, service.package, service.metadata),
    )
    await other.close()
    assert await migrate.is_current(db, service.package)


async def test_a_database_can_be_taken_back_to_nothing_and_up_again(service: Service, db: Database) -> None:
    await migrate.upgrade(db, service.package, service.metadata)
    await migrate.downgrade(db, service.package, service.metadata, "base")
    assert await tables(db) <= {"alembic_version"}
    assert not await migrate.is_current(db, service.package)
    await migrate.upgrade(db, service.package, service.metadata)
    assert await migrate.differences(db, service.metadata) == []
