"""The database that the revisions make is the one the code expects."""

from __future__ import annotations

from pathlib import Path

from case_service.main import service
from service_kit import migrate
from service_kit.database import Database


async def test_the_revisions_make_exactly_the_tables_of_the_code(tmp_path: Path) -> None:
    db = Database(f"sqlite+aiosqlite:///{tmp_path / 'case.sqlite3'}", service.metadata)
    for _ in range(2):  # running it again does nothing
        await migrate.upgrade(db, service.package, service.metadata)
    assert await migrate.differences(db, service.metadata) == []
    await migrate.downgrade(db, service.package, service.metadata, "base")
    await migrate.upgrade(db, service.package, service.metadata)
    assert await migrate.is_current(db, service.package)
    await db.close()
